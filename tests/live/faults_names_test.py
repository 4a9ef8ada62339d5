"""The file of names goes bad in every way: the last good names stay, it is said once and in words that help,
and a good file mends it at once."""

import base64
import fcntl
import pathlib
import shutil
import signal
import time

import bed
import fake_uapi
from bed import AS_NOBODY, UAPI_DIR, program
from fake_uapi import FakeUapi, key_text
from faults import FaultTest, peers
from line_protocol import select
from programs import Execd, toml

MIB = 1 << 20


def conf(name: str) -> str:
    return f"# friendly_name = {name}\n[Peer]\nPublicKey = {key_text(1)}\n"


def export(name: str) -> str:
    return f'[names]\n"{key_text(1)}" = "{name}"\n'


def hundred_mib(path: pathlib.Path) -> None:
    """Of peers with names; what is read of it holds each but once."""
    keys = (base64.b64encode(n.to_bytes(32, "big")).decode() for n in range(MIB // 4))
    lines = "".join(f"# friendly_name = {key[:9]}\n[Peer]\nPublicKey = {key}\n" for key in keys)
    with open(path, "w") as file:
        while file.tell() < 100 * MIB:
            file.write(lines)


class NamesTest(FaultTest):
    def setUp(self):
        super().setUp()
        self.enterContext(FakeUapi(UAPI_DIR, "wg0", fake_uapi.healthy(3))).path.chmod(0o777)
        self.folder = self.bed.dir / "names"
        self.folder.mkdir()

    def judge(self, file: str, text, spoil, *words: str, **more):
        """Good names, then what spoil(path) makes of the file, then what it gives to call, or a good file."""
        path = self.folder / file
        path.write_text(text("first"))
        execd = self.execd(toml(names_files=[str(path)], sample_interval="0s"), **more)
        self.assert_name(execd, "first")
        memory = execd.memory
        mend = spoil(path)
        for _ in range(4):
            started = time.monotonic()
            self.assert_name(execd, "first")
            self.assertLess(time.monotonic() - started, 1)
        self.assertLess(execd.memory - memory, 100 * MIB)
        if mend:
            mend()
        else:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            path.write_text(text("second"))
        for _ in range(2):
            self.assert_name(execd, "second")
        self.assert_said_once(execd, str(path), *words, over=True)
        self.assertEqual(len(execd.said.splitlines()), 2)

    def assert_name(self, execd: Execd, name: str):
        records = execd.gather()
        self.assertEqual(len(peers(records)), 3)
        found = select(records, "wireguard_peer", public_key=key_text(1))
        self.assertEqual([record.tags.get("friendly_name") for record in found], [name, name])

    def test_cut_in_the_middle(self):
        def spoil(path):
            path.write_text(export("cut")[:-3])

        self.judge("names.toml", export, spoil, ":2: not TOML")

    def test_a_folder_in_its_place(self):
        def spoil(path):
            path.unlink()
            path.mkdir()

        self.judge("wg0.conf", conf, spoil, "not a file")

    def test_a_loop_of_links(self):
        def spoil(path):
            path.unlink()
            path.symlink_to(path.name)

        self.judge("wg0.conf", conf, spoil, "Too many levels of symbolic links")

    def test_in_a_folder_that_may_only_be_listed(self):
        def spoil(path):
            self.folder.chmod(0o744)
            path.write_text(conf("second"))
            return lambda: self.folder.chmod(0o755)

        command = [*AS_NOBODY, program("wgvitals-execd")]
        self.judge("wg0.conf", conf, spoil, "Permission denied", command=command)

    def test_busy_for_a_moment(self):
        """Another process has a lease on it: what the system refuses so leaves no trace on the file."""

        def spoil(path):
            path.write_text(conf("second"))
            holder = self.enterContext(open(path, "r+"))
            signal.signal(signal.SIGIO, signal.SIG_IGN)  # the kernel's wish that we give it up
            fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            return holder.close

        self.judge("wg0.conf", conf, spoil, "Resource temporarily unavailable")

    def test_100_mib(self):
        for file, text in (("wg0.conf", conf), ("names.toml", export)):
            with self.subTest(file):
                self.judge(file, text, hundred_mib, "too large")


if __name__ == "__main__":
    bed.main()
