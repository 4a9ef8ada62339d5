"""What is lost when Telegraf or wgvitals-execd stops or dies (each gather here carries its own number), and
what happens where they start without rights."""

import os
import shutil
import signal
import time
import unittest

import bed
import fake_uapi
import telegraf
from bed import AS_NOBODY, is_running, program, wait_until
from fake_uapi import FakeUapi
from line_protocol import select
from programs import toml, write
from telegraf import Telegraf


class LifecycleTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        sockets = self.bed.dir / "wireguard"
        sockets.mkdir()
        self.uapi = self.enterContext(FakeUapi(sockets, "wg0", self.answer))
        # The engine's own samples would use up numbers.
        block = telegraf.sample_block(write(self.bed, toml(uapi_dir=str(sockets), sample_interval="1h")))
        self.telegraf = Telegraf(
            self.bed,
            TELEGRAF,
            block.replace('restart_delay = "10s"', 'restart_delay = "200ms"'),
            interval="500ms",
        )

    def answer(self, connection) -> None:
        """The number of the request is peer 1's rx_bytes, and among enough other peers for two pipes full."""
        connection.sendall(
            fake_uapi.answer(600).replace(b"rx_bytes=1000001\n", b"rx_bytes=%d\n" % self.uapi.requests)
        )

    def arrived(self) -> list[int]:
        records = self.telegraf.records(fake_uapi.key_text(1).rstrip("="))
        return [record["rx_bytes"] for record in records if "rx_bytes" in record.fields]

    def missing(self) -> list[int]:
        """The gathers that were made and did not arrive."""
        arrived = self.arrived()
        self.assertEqual(len(arrived), len(set(arrived)))
        return sorted(set(range(1, self.uapi.requests + 1)) - set(arrived))

    def wait_for_gathers(self, count: int) -> None:
        target = len(self.arrived()) + count
        wait_until(
            lambda: len(self.arrived()) >= target,
            f"{target} gathers in the file; Telegraf said: {self.telegraf.log.read_text()}",
            20,
        )

    def test_stop_and_restart_of_telegraf_lose_nothing(self):
        for round in range(3):
            with self.telegraf:
                self.wait_for_gathers(3)
                time.sleep(0.17 * round)  # stop at another moment of the interval each time
                child = self.telegraf.child()
            self.assertFalse(is_running(child))
        self.assertEqual(self.missing(), [])
        self.assertNotRegex(self.telegraf.log.read_text(), "E! ")

    def test_stop_and_restart_of_ours_lose_nothing(self):
        with self.telegraf:
            for _ in range(3):
                self.wait_for_gathers(3)
                child = self.telegraf.child()
                os.kill(child, signal.SIGTERM)
                wait_until(lambda: not is_running(child), "its end")
            self.wait_for_gathers(3)
        self.assertEqual(self.missing(), [])

    def test_kill_of_ours_loses_at_most_the_last_gather(self):
        with self.telegraf:
            for _ in range(3):
                self.wait_for_gathers(3)
                os.kill(self.telegraf.child(), signal.SIGKILL)
            self.wait_for_gathers(3)
        self.assertLessEqual(len(self.missing()), 3)

    def test_kill_of_telegraf_loses_only_what_it_had_not_flushed(self):
        with self.telegraf:
            self.wait_for_gathers(4)
            child = self.telegraf.child()
            self.telegraf.stop(signal.SIGKILL)
            made = self.uapi.requests
            wait_until(lambda: not is_running(child), "the end of ours after Telegraf's", 3)
            # One flush_interval of them, and the one under way.
            self.assertLessEqual(set(self.missing()), set(range(made - 3, made + 2)))
        before = self.arrived()
        with self.telegraf:
            self.wait_for_gathers(3)
        self.assertEqual(self.arrived()[: len(before)], before)


class BoundingSetTest(unittest.TestCase):
    def test_starts_and_says_what_is_missing(self):
        """As an unprivileged user, with a bounding set cut to CAP_NET_RAW, with our file capabilities."""
        world = self.enterContext(bed.Bed())
        world.here.device("wg0", "10.77.0.1/24")
        execd = world.dir / "wgvitals-execd"
        shutil.copy(program("wgvitals-execd"), execd)
        world.here.run("setcap", "cap_net_admin,cap_net_raw=p", str(execd))
        block = telegraf.sample_block(write(world, toml()), str(execd))
        prefix = (*AS_NOBODY, "--bounding-set=-all,+net_raw")
        missing = "CAP_NET_ADMIN" if bed.kernel_has_wireguard() else r"wg0\.sock: Permission denied"
        with Telegraf(world, TELEGRAF, block, prefix) as agent:
            agent.logs(rf"[EW]! \[inputs\.execd\].*{missing}")
            ours = lambda: select(agent.records(), "wgvitals", collector="engine")
            wait_until(ours, "lines of our own state")
            self.assertIsNone(agent.process.poll())
        self.assertNotRegex(agent.log.read_text(), "exited|Restarting")


if __name__ == "__main__":
    TELEGRAF = telegraf.build()
    bed.main()
