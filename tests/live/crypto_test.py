"""The CPU time of WireGuard, as its process takes it and as the kernel counts it."""

import dataclasses
import os
import pathlib
import signal
import socket
import time
import unittest

import bed
from bed import wait_until
from line_protocol import Record, select
from programs import Execd, once, toml

TICK = 10**9 // os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def columns(pid: int) -> list[str]:
    """/proc/PID/stat behind the name, from its third column on."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_ns(pid: int) -> int:
    return sum(map(int, columns(pid)[11:13])) * TICK


def thread_ns(pid: int) -> dict[str, int]:
    folder = pathlib.Path(f"/proc/{pid}/task")
    return {thread.name: int((thread / "schedstat").read_text().split()[0]) for thread in folder.iterdir()}


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the kernel says of a process."""

    at: float
    cpu: int
    threads: dict[str, int]

    @staticmethod
    def of(pid: int) -> "Seen":
        return Seen(time.monotonic(), cpu_ns(pid), thread_ns(pid))


def most_gained(before: dict[str, int], after: dict[str, int]) -> int:
    return max(time - before.get(thread, 0) for thread, time in after.items())


class CryptoTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.here = self.bed.here

    def tunnel(self, name: str, daemon: tuple[str, ...] = bed.WIREGUARD_GO) -> bed.Device:
        """A device whose peer answers at 10.9.0.2."""
        far = self.bed.host("far")
        link = self.bed.join(self.here, far)
        near = self.here.device(name, "10.9.0.1/24", daemon=daemon)
        other = far.device("wgfar", "10.9.0.2/24", port=51821, daemon=bed.WIREGUARD_GO)
        near.add_peer(other.keys.public, "10.9.0.2/32", f"{link.b.v4}:51821")
        other.add_peer(near.keys.public, "10.9.0.1/32", f"{link.a.v4}:{near.port}")
        near.ping("10.9.0.2")
        return near

    def load(self, pid: int, nanoseconds: int) -> None:
        """Sends through the tunnel until the process has taken this much more CPU time."""
        end = cpu_ns(pid) + nanoseconds
        deadline = time.monotonic() + 120
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while cpu_ns(pid) < end:
                self.assertLess(time.monotonic(), deadline, "the tunnel takes no CPU time")
                for _ in range(200):
                    sender.sendto(b"x" * 1300, ("10.9.0.2", 9))

    def gather(self, execd: Execd, pid: int, name: str = "wg0") -> tuple[Seen, Record, Seen]:
        before = Seen.of(pid)
        (record,) = select(execd.gather(seconds=30), "wireguard_crypto", device=name)
        return before, record, Seen.of(pid)

    def test_a_process_under_load(self):
        """Its CPU time is that of /proc, as a sum and as a rate; so is that of its busiest thread."""
        pid = self.tunnel("wg0").process.pid
        execd = self.enterContext(Execd(self.bed, toml(sample_interval="0s")))
        early, first, early_end = self.gather(execd, pid)
        self.assertEqual(first.tags, {"device": "wg0", "cpu": "all", "method": "process"})
        self.assertEqual(set(first.fields), {"total_ns", "process_rss_bytes", "process_threads"})
        self.load(pid, 2 * 10**9)
        late, then, late_end = self.gather(execd, pid)

        for before, record, after in ((early, first, early_end), (late, then, late_end)):
            self.assertLessEqual(before.cpu, record["total_ns"])
            self.assertLessEqual(record["total_ns"], after.cpu)
        spent = then["total_ns"] - first["total_ns"]
        self.assertGreaterEqual(spent, 2 * 10**9)
        self.assertAlmostEqual(spent / (late.cpu - early.cpu), 1, delta=0.05)

        # It was read at some time within each gather.
        longest, shortest = (late_end.at - early.at) * 1e9, (late.at - early_end.at) * 1e9
        self.assertGreaterEqual(then["busy_percent"], 100 * spent / longest)
        self.assertLessEqual(then["busy_percent"], 100 * spent / shortest)
        busiest = then["busiest_thread_percent"]
        self.assertGreaterEqual(busiest, 100 * most_gained(early_end.threads, late.threads) / longest)
        self.assertLessEqual(busiest, 100 * most_gained(early.threads, late_end.threads) / shortest)

        seen = columns(pid)
        self.assertAlmostEqual(then["process_rss_bytes"] / (int(seen[21]) * PAGE), 1, delta=0.2)
        self.assertLessEqual(abs(then["process_threads"] - int(seen[17])), 3)

    def test_a_process_in_the_background(self):
        """wireguard-go as wg-quick starts it: another process than the one that began to listen."""
        device = self.tunnel("wgback", daemon=("wireguard-go",))
        started = device.process.pid
        device.process.wait()
        pids = [
            int(process.name)
            for process in pathlib.Path("/proc").iterdir()
            if process.name.isdigit() and b"wireguard-go\0wgback\0" == (process / "cmdline").read_bytes()
        ]
        self.assertEqual(len(pids), 1)
        self.addCleanup(os.kill, pids[0], signal.SIGKILL)
        self.assertNotEqual(pids[0], started)
        execd = self.enterContext(Execd(self.bed, toml(sample_interval="0s")))
        self.load(pids[0], 10**8)
        before, record, after = self.gather(execd, pids[0], "wgback")
        self.assertLessEqual(before.cpu, record["total_ns"])
        self.assertLessEqual(record["total_ns"], after.cpu)

    def test_a_process_that_was_started_anew(self):
        """Is counted anew: no rate across the two."""
        device = self.here.device("wg0", "10.9.0.1/24", daemon=bed.WIREGUARD_GO)
        execd = self.enterContext(Execd(self.bed, toml(sample_interval="0s")))
        self.gather(execd, device.process.pid)
        self.assertIn("busy_percent", self.gather(execd, device.process.pid)[1].fields)
        device.remove()
        again = self.here.device("wg0", "10.9.0.1/24", daemon=bed.WIREGUARD_GO)
        _, record, _ = self.gather(execd, again.process.pid)
        self.assertNotIn("busy_percent", record.fields)
        self.assertIn("busy_percent", self.gather(execd, again.process.pid)[1].fields)

    def test_a_process_in_another_pid_namespace(self):
        """All but its CPU time, and one line that says so."""
        self.tunnel("wg0")
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", bed.program("wgvitals-execd")]
        execd = self.enterContext(Execd(self.bed, toml(sample_interval="0s"), command=command))
        for _ in range(2):
            records = execd.gather()
            self.assertEqual(select(records, "wireguard_crypto"), [])
            self.assertEqual(len(select(records, "wireguard_device", name="wg0")), 2)
        self.assertEqual(execd.said.count("its process cannot be seen from here"), 1, execd.said)

    def test_once(self):
        device = self.here.device("wg0", "10.9.0.1/24", daemon=bed.WIREGUARD_GO)
        (record,) = select(once(self.bed), "wireguard_crypto")
        self.assertLessEqual(record["total_ns"], cpu_ns(device.process.pid))
        self.assertNotIn("busy_percent", record.fields)

    def test_switched_off(self):
        self.here.device("wg0", "10.9.0.1/24", daemon=bed.WIREGUARD_GO)
        self.assertEqual(select(once(self.bed, config=toml(crypto=False)), "wireguard_crypto"), [])

    def test_threaded(self):
        """As sysfs says; nothing where that shows another namespace's links."""
        self.here.device("wg0", "10.9.0.1/24", daemon=bed.WIREGUARD_GO)
        tells = lambda: [
            record["threaded"]
            for record in select(once(self.bed), "wireguard_device", name="wg0")
            if "threaded" in record.fields
        ]
        self.assertEqual(tells(), [])
        self.here.run("mount", "-t", "sysfs", "sysfs", "/sys")
        self.addCleanup(self.here.run, "umount", "/sys")
        seen = pathlib.Path("/sys/class/net/wg0/threaded").read_text()
        self.assertEqual(tells(), [int(seen)])


if __name__ == "__main__":
    bed.main()
