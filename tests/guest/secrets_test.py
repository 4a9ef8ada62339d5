"""Private and preshared keys of kernel peers are in no output, log or core dump, nor in memory after a gather."""
import base64
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import configuration
import guest

PEERS = 1000
# A sample would read keys again while the memory is searched.
CONFIG = '[[inputs.wgvitals]]\nsample_interval = "0s"\nnames_files = ["/etc/wireguard/wg0.conf"]\n'


def needles(key: bytes) -> dict[str, bytes]:
    """Parts of a key that give it away, long enough not to occur by chance, also where its start was overwritten."""
    return {"raw, first part": key[:24], "raw, last part": key[8:],
            "hex": key[:24].hex().encode(), "HEX": key[:24].hex().upper().encode(),
            "base64": base64.b64encode(key[:24]), "base64, url": base64.urlsafe_b64encode(key[:24])}


def found(data: bytes, keys: list[bytes]) -> set[str]:
    return {form for key in keys for form, part in needles(key).items() if part in data}


class Secrets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        source = random.Random("secrets")
        # Few, so that the search is quick: peers may share a preshared key.
        cls.keys = [configuration.key(source) for _ in range(9)]
        peers = configuration.Configuration(1, f"PrivateKey = {configuration.text(cls.keys[0])}")
        for n in range(PEERS):
            peers.ordinary(1, f"PresharedKey = {configuration.text(cls.keys[1 + n % 8])}")
        cls.public_key = peers.keys[-1].rstrip("=").encode()  # line protocol escapes it
        cls.planted = bytes(range(1, 33))
        cls.result = guest.run_for(cls, "secrets", files={
            "/conf/wg0.conf": peers.text.replace("[Peer]", "# friendly_name = somebody\n[Peer]"),
            "/secrets.toml": CONFIG,
            "/planted/raw": cls.planted,
            "/planted/text": b" ".join(needles(cls.planted).values())})

    def files(self, folder: str) -> list[pathlib.Path]:
        return [path for path in sorted((self.result.folder / folder).iterdir()) if path.name != "planted"]

    def assert_clean(self, path: pathlib.Path) -> bytes:
        data = path.read_bytes()
        self.assertEqual(found(data, self.keys), set(), path.name)
        return data

    def test_search_finds_planted_keys(self):
        for name in ("memory/planted", "cores/planted"):
            with self.subTest(name):
                self.assertEqual(found(self.result.bytes(name), [self.planted]), set(needles(self.planted)))

    def test_keys_are_in_memory_while_they_are_read(self):
        """The crashes come at a moment when there is something to find."""
        self.assertIn("raw, first part", found(self.result.bytes("memory/reading"), self.keys))

    def test_said(self):
        for path in (*self.files("said"), *self.result.folder.glob("*.out"), *self.result.folder.glob("*.err")):
            with self.subTest(path.name):
                self.assert_clean(path)
        for name in ("said/influx", "said/json", "said/prometheus", "secrets.out"):
            self.assertTrue(self.public_key in self.result.bytes(name), name)
        self.assertEqual(found(self.result.console.encode(), self.keys), set())

    def test_memory_after_a_gather(self):
        data = self.assert_clean(self.result.folder / "memory/execd")
        self.assertTrue(base64.b64decode(self.public_key + b"=") in data, "not the memory of one that read the peers")

    def test_cores(self):
        cores = self.files("cores")
        self.assertEqual(len(cores), 8 + 3)
        for core in cores:
            with self.subTest(core.name):
                data = self.assert_clean(core)
                self.assertTrue(data.startswith(b"\x7fELF"))
                self.assertTrue(b"/etc/wireguard/wg0.conf" in data, "not the process's memory")


if __name__ == "__main__":
    unittest.main()
