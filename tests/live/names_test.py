"""Friendly names and labels of peers: where they come from, and what becomes of them when files change."""

import os
import pathlib
import time
import unittest

import bed
import fake_uapi
from bed import AS_NOBODY, program
from fake_uapi import FakeUapi, key_text
from line_protocol import Record, select
from programs import Execd, toml, write
from scanner import Scanner

PEERS = 4


def wg_quick(*peers: tuple[str, str]) -> str:
    """(key, comments) of each peer."""
    text = f"[Interface]\nPrivateKey = {key_text(0)}\nListenPort = 51820\n"
    return text + "".join(
        f"\n{comments}[Peer]\nPublicKey = {key}\nPresharedKey = {key_text(99)}\nAllowedIPs = 10.0.0.0/24\n"
        for key, comments in peers
    )


class NamesTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        sockets = self.bed.dir / "wireguard"
        sockets.mkdir()
        self.enterContext(FakeUapi(sockets, "wg0", fake_uapi.healthy(PEERS))).path.chmod(0o777)
        self.sockets = str(sockets)
        self.keys = [key_text(n) for n in range(PEERS + 1)]

    def config(self, **options) -> str:
        return toml(uapi_dir=self.sockets, **options)

    def execd(self, **options) -> Execd:
        return self.enterContext(Execd(self.bed, self.config(**options)))

    def as_nobody(self, **options) -> Execd:
        command = [*AS_NOBODY, "--bounding-set=-all", program("wgvitals-execd")]
        return self.enterContext(Execd(self.bed, self.config(**options), command=command))

    def tags(self, records: list[Record], n: int) -> dict[str, str]:
        """The tags of peer n, which are the same on all its lines, without those that it has anyway."""
        found = {
            tuple(sorted(record.tags.items()))
            for record in select(records, "wireguard_peer", public_key=self.keys[n])
        }
        self.assertEqual(len(found), 1)
        return {tag: value for tag, value in found.pop() if tag not in ("device", "public_key")}

    def test_sources_and_their_order(self):
        quick = write(
            self.bed,
            wg_quick(
                (self.keys[1], "# friendly_name = laptop\n"),
                (self.keys[2], '# friendly_json = {"site": "berlin", "floor": 3}\n'),
                (self.keys[3], "# friendly_name = not this\n"),
            ),
            "wg0.conf",
        )
        networkd = write(
            self.bed,
            f"[NetDev]\nName=wg0\nKind=wireguard\n\n[WireGuard]\nPrivateKey={key_text(0)}\n\n# Name = phone\n"
            f"[WireGuardPeer]\nPublicKey={self.keys[4]}\nAllowedIPs=10.0.0.0/24\n",
            "10-wg0.netdev",
        )
        records = self.execd(
            names_files=[quick, networkd],
            names={self.keys[3]: "from the table"},
            **{f'labels."{self.keys[3]}"': {"rack": "7"}},
        ).gather()
        self.assertEqual(self.tags(records, 1), {"friendly_name": "laptop"})
        self.assertEqual(self.tags(records, 2), {"site": "berlin", "floor": "3"})
        self.assertEqual(self.tags(records, 3), {"friendly_name": "from the table", "rack": "7"})
        self.assertEqual(self.tags(records, 4), {"friendly_name": "phone"})

    def test_wildcards_and_equal_names(self):
        write(self.bed, wg_quick((self.keys[1], "# friendly_name = twin\n")), "a.conf")
        write(self.bed, wg_quick((self.keys[2], "# friendly_name = twin\n")), "b.conf")
        records = self.execd(names_files=[f"{self.bed.dir}/*.conf"]).gather()
        names = {self.tags(records, n)["friendly_name"] for n in (1, 2)}
        self.assertEqual(len(names), 2)
        self.assertLessEqual(
            names, {"twin", *(f"twin~{key.replace('+', '-').replace('/', '_')[:6]}" for key in self.keys)}
        )

    def test_a_refused_label_is_said(self):
        quick = write(
            self.bed,
            wg_quick(
                (
                    self.keys[1],
                    '# friendly_json = {"host": "a", "device": "b", "rx_bytes": "c", "site": "berlin"}\n',
                )
            ),
            "wg0.conf",
        )
        execd = self.execd(names_files=[quick])
        self.assertEqual(self.tags(execd.gather(), 1), {"site": "berlin"})
        for label in ("host", "device", "rx_bytes"):
            self.assertRegex(execd.said, rf"(?m)^[EW]! .*'?{label}\b")

    def test_a_changed_file_is_read_again(self):
        path = pathlib.Path(write(self.bed, wg_quick((self.keys[1], "# friendly_name = old\n")), "wg0.conf"))
        execd = self.execd(names_files=[str(path)])
        self.assertEqual(self.tags(execd.gather(), 1), {"friendly_name": "old"})
        path.write_text(wg_quick((self.keys[1], "# friendly_name = new\n")))
        self.assertEqual(self.tags(execd.gather(), 1), {"friendly_name": "new"})
        replacement = path.with_suffix(".tmp")
        replacement.write_text(wg_quick((self.keys[1], "# friendly_name = third\n")))
        replacement.rename(path)
        self.assertEqual(self.tags(execd.gather(), 1), {"friendly_name": "third"})
        self.assertEqual(execd.said, "")

    def test_a_file_that_appears_later(self):
        path = self.bed.dir / "later.conf"
        execd = self.execd(names_files=[str(path)])
        self.assertEqual(self.tags(execd.gather(), 1), {})
        path.write_text(wg_quick((self.keys[1], "# friendly_name = late\n")))
        self.assertEqual(self.tags(execd.gather(), 1), {"friendly_name": "late"})

    def test_an_unreadable_file_is_said_once_and_its_names_stay(self):
        path = pathlib.Path(
            write(self.bed, wg_quick((self.keys[1], "# friendly_name = laptop\n")), "wg0.conf")
        )
        execd = self.as_nobody(names_files=[str(path)])
        self.assertEqual(self.tags(execd.gather(), 1), {"friendly_name": "laptop"})
        path.chmod(0)
        for _ in range(4):
            os.utime(path)
            self.assertEqual(self.tags(execd.gather(), 1), {"friendly_name": "laptop"})
        self.assertEqual(len([line for line in execd.said.splitlines() if str(path) in line]), 1, execd.said)
        path.write_text(wg_quick((self.keys[1], "# friendly_name = desktop\n")))
        path.chmod(0o644)
        self.assertEqual(self.tags(execd.gather(), 1), {"friendly_name": "desktop"})

    def test_a_file_that_goes_leaves_its_names(self):
        path = pathlib.Path(
            write(self.bed, wg_quick((self.keys[1], "# friendly_name = laptop\n")), "wg0.conf")
        )
        execd = self.execd(names_files=[str(path)])
        execd.gather()
        path.write_text("")
        self.assertEqual(self.tags(execd.gather(), 1), {"friendly_name": "laptop"})
        path.unlink()
        self.assertEqual(self.tags(execd.gather(), 1), {"friendly_name": "laptop"})

    def test_what_is_no_file_holds_nothing_up(self):
        fifo = self.bed.dir / "fifo.conf"
        os.mkfifo(fifo)
        execd = self.execd(names_files=[str(fifo), "/dev/zero", str(self.bed.dir), "/proc/kmsg"])
        started = time.monotonic()
        self.assertEqual(self.tags(execd.gather(), 1), {})
        self.assertLess(time.monotonic() - started, 1)

    def test_export(self):
        """`wgvitals names` as root, for a user who may not read the originals."""
        quick = write(
            self.bed,
            wg_quick(
                (self.keys[1], '# friendly_name = Böb\'s "laptop", C:\\x = home\n'),
                (self.keys[2], '# friendly_json = {"site": "berlin"}\n'),
            ),
            "wg0.conf",
        )
        pathlib.Path(quick).chmod(0o600)
        done = self.bed.here.run(
            program("wgvitals"), "names", "--config", write(self.bed, self.config(names_files=[quick]))
        )
        self.assertEqual(
            Scanner({"private": key_text(0), "preshared": key_text(99)}).text(done.stdout, done.stderr), set()
        )
        export = write(self.bed, done.stdout, "names.toml")
        execd = self.as_nobody(names_files=[quick, export])
        records = execd.gather()
        self.assertEqual(self.tags(records, 1), {"friendly_name": 'Böb\'s "laptop", C:\\x = home'})
        self.assertEqual(self.tags(records, 2), {"site": "berlin"})
        self.assertEqual(execd.said, "")


if __name__ == "__main__":
    bed.main()
