"""Private and preshared keys are nowhere: in no output, log or core, nor in memory after a gather."""

import os
import pathlib
import random
import signal
import subprocess
import time
import unittest

import bed
import fake_uapi
from bed import WIREGUARD_GO, Keys, program
from collectd import DAEMON, Collectd
from fake_uapi import FakeUapi
from line_protocol import select
from programs import Execd, toml, write
from scanner import Scanner, core_of
from star import Star

CORES = 6
CORE_LIMIT = ("prlimit", "--core=unlimited")


class SecretsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.star = Star(cls.bed, daemon=WIREGUARD_GO)
        cls.enterClassContext(FakeUapi(bed.UAPI_DIR, "big", cls.big))
        cls.peer = cls.star.spokes[1].device.keys
        cls.secrets = {
            "the device's private key": cls.star.hub.keys.private,
            "the peer's preshared key": cls.peer.preshared,
            "a private key of the big device": fake_uapi.key_text(0),
        }
        cls.names = [cls.wg_quick(), cls.networkd()]
        # A sample would read keys again while the memory is searched.
        cls.config = toml(names_files=cls.names, sample_interval="0s")
        cls.scanner = Scanner(cls.secrets)

    @staticmethod
    def big(connection) -> None:
        """So much that most moments are in the middle of a gather."""
        key = fake_uapi.key(0)
        psk = b"preshared_key=" + key.hex().encode()
        connection.sendall(
            fake_uapi.answer(1000, private_key=key).replace(b"preshared_key=" + b"00" * 32, psk)
        )

    @classmethod
    def wg_quick(cls) -> str:
        own, other = Keys.make(), Keys.make()
        cls.secrets |= {
            "PrivateKey of wg-quick": own.private,
            "PresharedKey of wg-quick": own.preshared,
            "a key on a line that is none": other.private,
        }
        # More than a buffer holds.
        filler = f"[Peer]\nPublicKey = {cls.star.silent}\nPresharedKey = {own.preshared}\n" * 200
        return write(
            cls.bed,
            f"{filler}[Interface]\nPrivateKey = {own.private}\nPrivateKey: {other.private}\n{other.private}\n"
            f"# friendly_name = laptop\n[Peer]\nPublicKey = {cls.peer.public}\n"
            f"PresharedKey = {own.preshared}\nPresharedkey={other.private} # and more\n"
            f"#[Peer]\n# PresharedKey = {other.private}\n#PrivateKey={other.private}\n[Peer]\nPublicKey =\n",
            "wg0.conf",
        )

    @classmethod
    def networkd(cls) -> str:
        own = Keys.make()
        cls.secrets |= {"PrivateKey of networkd": own.private, "PresharedKey of networkd": own.preshared}
        return write(
            cls.bed,
            f"[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\nPrivateKey={own.private}\n"
            f"# Name = phone\n[WireGuardPeer]\nPublicKey={cls.star.spokes[0].device.keys.public}\n"
            f"PresharedKey={own.preshared}\n",
            "10-wg0.netdev",
        )

    def assert_clean(self, found: set[str]) -> None:
        self.assertEqual(found, set())

    def stalled(self, name: str, last: str) -> FakeUapi:
        """A daemon that goes silent in the middle of the line `last`, right behind a key."""
        key = fake_uapi.key(0).hex()
        text = fake_uapi.answer(1, private_key=fake_uapi.key(0)).decode().replace("00" * 32, key)
        data = text[: text.index(f"{last}={key}") + len(f"{last}={key}")].encode()
        stall = lambda connection: (connection.sendall(data), fake_uapi.silent(connection))
        return self.enterContext(FakeUapi(bed.UAPI_DIR, name, stall))

    def execd(self, *arguments: str, **more) -> Execd:
        return self.enterContext(Execd(self.bed, self.config, *arguments, **more))

    def folder(self) -> pathlib.Path:
        path = self.bed.dir / f"cores.{time.monotonic_ns()}"
        path.mkdir()
        return path

    def test_the_scanner_finds_what_is_there(self):
        key = self.star.hub.keys.private
        holds = {"raw": "base64.b64decode(key)", "hex": "base64.b64decode(key).hex()", "base64": "key"}
        for form, what in holds.items():
            with self.subTest(form):
                script = (
                    "import base64, sys; key = sys.stdin.readline().strip(); "
                    f"held = {what}; del key; print(flush=True); sys.stdin.readline()"
                )
                folder, pipe = self.folder(), subprocess.PIPE
                command = [*CORE_LIMIT, "python3", "-c", script]
                with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=folder) as process:
                    process.stdin.write(key.encode() + b"\n")
                    process.stdin.flush()
                    process.stdout.readline()
                    self.assertIn(f"the device's private key ({form})", self.scanner.memory(process.pid))
                    core_of(process, folder)
                self.assertIn(f"the device's private key ({form})", self.scanner.tree(folder))

    def test_outputs_and_logs(self):
        execd = self.execd()
        records = execd.gather() + execd.gather()
        names = {
            record.tags.get("friendly_name") for record in select(records, "wireguard_peer", device="wg0")
        }
        self.assertLessEqual({"laptop", "phone"}, names)  # so the files were read
        self.assertTrue(select(records, "wireguard_peer", device="big"))
        self.assertEqual(execd.end(), 0)
        self.assert_clean(self.scanner.text(execd.out, execd.said))

    def test_wgvitals(self):
        commands = [
            ["once", "--config", write(self.bed, self.config), "--format", form]
            for form in ("influx", "prometheus", "graphite", "json", "table")
        ]
        commands += [
            ["check", write(self.bed, self.config)],
            ["names", "--config", write(self.bed, self.config)],
            ["catalogue"],
            ["check", self.names[0]],
        ]
        for command in commands:
            with self.subTest(command):
                done = self.bed.here.run(program("wgvitals"), *command, check=False)
                self.assertTrue(done.stdout + done.stderr)
                self.assert_clean(self.scanner.text(done.stdout, done.stderr))

    def test_collectd(self):
        files = " ".join(f'"{name}"' for name in self.names)
        text = f"LoadPlugin wireguard\n<Plugin wireguard>\n  NamesFiles {files}\n</Plugin>\n"
        with Collectd(self.bed, text) as collectd:
            collectd.wait_for("wireguard-wg0/if_octets-laptop", "wireguard-wg0/if_octets-phone")
            self.settled_memory(collectd.process.pid)
        self.assert_clean(self.scanner.tree(collectd.dir))

    def settled_memory(self, pid: int) -> None:
        """Between two gathers the memory is clean. One under way may hold keys: then it is looked at again."""
        for _ in range(20):
            os.kill(pid, signal.SIGSTOP)
            found = self.scanner.memory(pid)
            os.kill(pid, signal.SIGCONT)
            if not found:
                return
            time.sleep(random.uniform(0.02, 0.2))
        self.assert_clean(found)

    def test_memory_after_a_gather(self):
        execd = self.execd()
        for _ in range(3):
            execd.gather()
            self.assert_clean(self.scanner.memory(execd.pid))
        public = Scanner({"a public key": self.peer.public})
        self.assertTrue(public.memory(execd.pid))  # so it is really its memory that was searched

    def test_memory_after_an_answer_that_broke_off(self):
        for last in ("private_key", "preshared_key"):
            self.stalled(last, last)
        execd = self.execd()
        execd.gather()
        self.assert_clean(self.scanner.memory(execd.pid))
        execd.hears("private_key: ")
        execd.hears("preshared_key: ")

    def test_cores_in_the_middle_of_an_answer(self):
        """The key was received, its line is not complete: it is in the program's buffer now."""
        for last in ("private_key", "preshared_key"):
            for daemon in ("execd", "collectd"):
                with self.subTest(last=last, daemon=daemon):
                    uapi = self.stalled(f"{last}.{daemon}", last)
                    if daemon == "execd":
                        folder = self.folder()
                        execd = self.execd(command=[*CORE_LIMIT, program("wgvitals-execd")], cwd=folder)
                        execd.trigger()
                        process = execd.process
                    else:
                        collectd = Collectd(self.bed)
                        folder = collectd.dir
                        process = self.bed.here.start(
                            *CORE_LIMIT, DAEMON, "-f", "-C", str(collectd.config), cwd=folder
                        )
                    bed.wait_until(lambda: uapi.requests, "the question")
                    time.sleep(0.2)
                    core_of(process, folder)
                    self.assert_clean(self.scanner.tree(folder))

    def test_cores_of_execd(self):
        folder = self.folder()
        public = Scanner({"a public key": self.peer.public})
        seen = 0
        for _ in range(CORES):
            execd = self.execd(command=[*CORE_LIMIT, program("wgvitals-execd")], cwd=folder)
            execd.gather()
            execd.trigger()
            time.sleep(random.uniform(0, 0.02))
            core = core_of(execd.process, folder)
            with open(core, "rb") as stream:
                seen += bool(public.stream(stream))
            self.assert_clean(self.scanner.tree(folder))
            core.unlink()
        self.assertEqual(seen, CORES)

    def test_cores_of_collectd(self):
        for _ in range(CORES // 2):
            collectd = Collectd(self.bed, "LoadPlugin wireguard\n", interval=0.01)
            process = self.bed.here.start(
                *CORE_LIMIT, DAEMON, "-f", "-C", str(collectd.config), cwd=collectd.dir
            )
            bed.wait_until(collectd.socket.exists, "collectd's socket")
            collectd.wait_for("wireguard-wg0/count-peers")
            time.sleep(random.uniform(0, 0.05))
            core_of(process, collectd.dir)
            self.assert_clean(self.scanner.tree(collectd.dir))


if __name__ == "__main__":
    bed.need({DAEMON: "collectd-core", "gdb": "gdb", "prlimit": "util-linux"})
    bed.main()
