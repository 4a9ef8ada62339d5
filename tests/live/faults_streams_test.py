"""Where our values go goes wrong: full disks, and either side stopped or killed. Each time: what is said,
what is still delivered, and that it recovers."""

import os
import pathlib
import signal
import subprocess
import time

import bed
import fake_uapi
import line_protocol
import telegraf
from bed import UAPI_DIR, program, wait_until
from collectd import Collectd
from fake_uapi import FakeUapi, key_text
from faults import FaultTest, late, peers
from line_protocol import Record
from programs import toml, write

MANY = 600  # peers: their lines do not fit into a pipe


class StreamTest(FaultTest):
    def setUp(self):
        super().setUp()
        self.enterContext(FakeUapi(UAPI_DIR, "wg0", fake_uapi.healthy(MANY)))

    def assert_whole(self, gather: list[Record]):
        found = {key: peer["rx_bytes"] for key, peer in peers(gather).items()}
        self.assertEqual(found, {key_text(n): 1000000 + n for n in range(1, MANY + 1)})


class FullDiskTest(StreamTest):
    def setUp(self):
        super().setUp()
        self.disk = self.bed.dir / "disk"
        self.disk.mkdir()
        self.bed.here.run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(self.disk))
        self.addCleanup(self.bed.here.run, "umount", str(self.disk))

    def leave(self, room: int) -> None:
        """So many bytes of it."""
        (self.disk / "big").write_bytes(b"")
        free = os.statvfs(self.disk)
        (self.disk / "big").write_bytes(bytes(free.f_bavail * free.f_bsize - room))

    def test_programs_that_print_once(self):
        names = write(self.bed, toml(names={key_text(n): f"peer {n}" for n in range(1, MANY + 1)}))
        much = [
            *(["once", "--format", form] for form in ("influx", "prometheus", "graphite", "json", "table")),
            ["names", "--config", names],
        ]
        for room, commands in ((0, [*much, ["check"], ["check", "--options"], ["catalogue"]]), (4096, much)):
            self.leave(room)
            for command in commands:
                with self.subTest(command, room=room):
                    done, written = self.print_to(self.disk / "out", command)
                    self.assertEqual((done.returncode, len(written)), (1, room))
                    self.assertRegex(done.stderr, r"\Aerror: .*No space left on device\n\Z")
        (self.disk / "big").unlink()
        done, written = self.print_to(self.disk / "out", ["once", "--format", "influx"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assert_whole(line_protocol.parse(written.decode()))

    def print_to(self, path: pathlib.Path, command: list[str]) -> tuple[subprocess.CompletedProcess, bytes]:
        with open(path, "wb") as out:
            argv = [program("wgvitals"), *command]
            done = subprocess.run(argv, stdout=out, stderr=subprocess.PIPE, text=True, timeout=10)
        return done, path.read_bytes()

    def test_execd_into_a_file(self):
        """It says why it ends, so that who supervises it knows, and starts it again."""
        room = 4096
        self.leave(room)
        out = self.disk / "out"
        script = 'exec "$0" "$@" >>' + str(out)
        command = ["sh", "-c", script, program("wgvitals-execd")]
        execd = self.execd(toml(), "-poll_interval", "100ms", command=command)
        self.assertEqual(execd.wait(), 1)
        self.assertEqual(len(execd.said.splitlines()), 1)
        self.assert_said_once(execd, "stdout: No space left on device")
        self.assertEqual(out.stat().st_size, room)
        line_protocol.parse(out.read_text().rpartition("\n")[0] + "\n")  # but for the last line

        (self.disk / "big").unlink()
        out.unlink()
        execd = self.execd(toml(), "-poll_interval", "100ms", command=command)
        wait_until(lambda: out.exists() and "collector=engine version" in out.read_text(), "a gather")
        self.assertEqual(execd.end(), 0)
        records = line_protocol.parse(out.read_text())
        self.assert_whole([record for record in records if record.timestamp == records[0].timestamp])


class StopTest(StreamTest):
    """A process is held and let go (SIGSTOP, SIGCONT): what it missed is missing, and nothing else."""

    def hold(self, pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def test_execd(self):
        execd = self.execd()
        execd.gather()
        os.kill(execd.pid, signal.SIGSTOP)
        for _ in range(20):
            execd.trigger()
        time.sleep(1.5)
        seen = len(execd.out)
        os.kill(execd.pid, signal.SIGCONT)
        wait_until(lambda: len(execd.out) > seen, "an answer")
        execd.gather()
        self.assertEqual(execd.end(), 0)
        self.assertLessEqual(len(execd.gathers()), 4)  # the triggers in a heap are one
        for gather in execd.gathers():
            self.assert_whole(gather)
        self.assertEqual((late(execd), execd.said), (0, ""))

    def test_telegraf_and_its_execd(self):
        block = telegraf.sample_block(write(self.bed, toml()))
        with telegraf.Telegraf(self.bed, TELEGRAF, block, interval="250ms") as agent:
            gathers = lambda: {record.timestamp for record in agent.records("collector=engine")}
            wait_until(gathers, "a gather", 20)
            child = agent.child()
            memory = self.resident(child)
            for pid in (agent.process.pid, child):
                self.hold(pid, 2)
                before = len(gathers())
                wait_until(lambda: len(gathers()) >= before + 3, "more gathers")
            self.assertEqual(agent.child(), child)
            self.assertLess(self.resident(child) - memory, 1 << 20)
        times: dict[int, list[Record]] = {}
        for record in agent.records():
            times.setdefault(record.timestamp, []).append(record)
        for gather in times.values():
            self.assert_whole(gather)
        self.assertNotRegex(agent.log.read_text(), r"(?m)[EW]! \[inputs\.execd\]|exited|Restarting")

    @staticmethod
    def resident(pid: int) -> int:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def test_collectd(self):
        with Collectd(self.bed) as collectd:
            rows = lambda: len(collectd.rows("wireguard-wg0/count-peers"))
            wait_until(rows, "values")
            self.hold(collectd.process.pid, 2)
            before = rows()
            wait_until(lambda: rows() > before + 2, "values again")
        self.assertNotRegex(collectd.said, "suspend|wireguard plugin")

    def test_collectd_killed(self):
        collectd = Collectd(self.bed)
        rows = lambda: len(collectd.rows("wireguard-wg0/count-peers"))
        for _ in range(2):
            before = rows()
            with collectd:
                wait_until(lambda: rows() > before + 1, "values")
                collectd.process.kill()
        self.assertNotRegex(collectd.said, "wireguard plugin")


if __name__ == "__main__":
    TELEGRAF = telegraf.build()
    bed.main()
