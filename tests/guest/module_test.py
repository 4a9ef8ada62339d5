"""The module, a namespace and a device go and come back while execd runs: what it says each time, and that the first
gather after it has everything again."""
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import guest
import oracle
from configuration import Configuration

CONFIG = '[[inputs.wgvitals]]\ngather_wait = "8s"\nsample_interval = "0s"\n'  # no gather is late, none is unasked


class Module(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ours = Configuration(1, "ListenPort = 20001").ordinary(40)
        wide = Configuration(3, "ListenPort = 20003")  # of few peers, which are soon deleted, and many datagrams
        for _ in range(20):
            wide.peer(prefixes=wide.prefixes(250))
        cls.result = guest.run_for(cls, "module", files={
            "/conf/wg0.conf": ours.text,
            "/conf/wg-red.conf": Configuration(2, "ListenPort = 20002").ordinary(3).text,
            "/module.toml": CONFIG + 'netns = ["red"]\n',
            "/conf/wide.conf": wide.text,
            **{f"/{name}.toml": CONFIG + 'interface_include = ["wide"]\n' for name in ("listed", "read")}})

    def gather(self, name: str) -> list[oracle.Line]:
        lines = oracle.from_influx(self.result.text(name))
        self.assertEqual(len({line.timestamp for line in lines}), 1)
        return lines

    def devices(self, name: str) -> dict[str, int]:
        """How many peers each has."""
        return {device: found.peers for (device, _), found in oracle.from_lines(self.gather(name)).devices.items()}

    def events(self, lines: list[oracle.Line]) -> list[tuple]:
        return [(line.tags["event"], line.tags["device"], line.tags.get("netns"), line.fields["message"])
                for line in lines if line.name == "wireguard_event" and "message" in line.fields]

    def flaps(self, name: str, device: str) -> int:
        return oracle.merged(self.gather(name), "wireguard_device", "name")[device,]["link_flaps"]

    def test_the_module_is_missing(self):
        for name in ("missing", "unloaded"):
            self.assertEqual(self.devices(name), {})
        self.assertEqual(self.events(self.gather("unloaded")), [("link", "wg0", None, "the device is gone")])

    def test_the_module_is_loaded_anew(self):
        numbers = [set(re.findall(r"nlmsg_type=(0x\w+)", self.result.text(f"family.{n}"))) for n in (1, 2)]
        self.assertNotEqual(*numbers, "the kernel gave the family its old number")
        for name in ("loaded", "again", "anew"):
            with self.subTest(name):
                self.assertEqual(self.devices(name), {"wg0": 40})
        self.assertEqual(self.events(self.gather("again")), [("link", "wg0", None, "the device is back")])
        self.assertEqual(self.events(self.gather("anew")), [("link", "wg0", None, "the device was made anew")])
        self.assertEqual([self.flaps(name, "wg0") for name in ("loaded", "again", "anew")], [0, 1, 2])
        self.assertEqual(oracle.from_lines(self.gather("anew")), oracle.from_dump(self.result.text("anew.dump")))

    def test_a_namespace_is_deleted(self):
        self.assertEqual(self.devices("red"), {"wg0": 40, "wg-red": 3})
        for name, events in (("red.gone", [("link", "wg-red", "red", "the device is gone")]), ("red.still_gone", [])):
            self.assertEqual(self.devices(name), {"wg0": 40})
            self.assertEqual(self.events(self.gather(name)), events)
        # Nothing of ours keeps it alive: its end of the cable is gone.
        self.assertNotIn("cable", self.result.text("links"))
        self.assertEqual(self.devices("red.back"), {"wg0": 40, "wg-red": 3})
        self.assertEqual(self.events(self.gather("red.back")), [("link", "wg-red", "red", "the device is back")])

    def test_what_is_said(self):
        self.assertEqual(self.result.text("module.status"), "0\n")
        said = [line for line in self.result.text("module.err").splitlines() if "netns red" in line]
        self.assertEqual(said, self.result.text("module.err").splitlines())
        self.assertEqual(len([line for line in said if "No such file" in line and line.startswith("W! ")]), 1)
        self.assertEqual(len([line for line in said if line.startswith("I! well again")]), 1)
        self.assertEqual(len(said), 2)

    def test_made_anew_while_it_is_read(self):
        self.assertIn(r"\355\377\377\377", self.result.text("listed.trace"))  # -ENODEV in a netlink error
        self.assertEqual(self.devices("listed.during"), {})
        for name in ("listed", "read"):
            with self.subTest(name):
                before, during, after = (self.gather(f"{name}.{part}") for part in ("before", "during", "after"))
                self.assertNotIn("wide", self.result.text(f"{name}.links"))
                self.assertGreater(oracle.own(during, "wireguard")["duration_ns"], 3e9)
                self.assertEqual(self.devices(f"{name}.before"), {"wide": 20})
                self.assertIn(self.devices(f"{name}.during"), ({}, {"wide": 20}))  # all or nothing
                gone = self.devices(f"{name}.during") == {}
                self.assertEqual(self.events(during), [("link", "wide", None, "the device is gone")] * gone)
                message = "the device is back" if gone else "the device was made anew"
                self.assertEqual(self.events(after), [("link", "wide", None, message)])
                self.assertEqual(self.devices(f"{name}.after"), {"wide": 20})
                self.assertEqual(self.flaps(f"{name}.after", "wide"), 1)
                for fields in oracle.merged(after, "wireguard_peer", "public_key").values():
                    self.assertEqual((fields["handshakes"], fields["counter_resets"]), (0, 0))
                self.assertEqual(oracle.own(after, "wireguard")["errors"], 0)
                self.assertEqual(self.result.text(f"{name}.err"), "")
                self.assertEqual(self.result.text(f"{name}.status"), "0\n")


if __name__ == "__main__":
    unittest.main()
