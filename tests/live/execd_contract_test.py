"""wgvitals-execd as Telegraf's execd runs it: its stdin, stdout, stderr and signals."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import statistics
import threading
import time
import unittest

import bed
import fake_uapi
import line_protocol
from bed import program, wait_until
from fake_uapi import FakeUapi
from line_protocol import select
from programs import Execd, toml

MANY = 600  # peers: their lines do not fit into a pipe


class ExecdTest(unittest.TestCase):
    """A bed without a tunnel: the devices are sockets in a folder that option uapi_dir names."""

    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.sockets = self.bed.dir / "wireguard"
        self.sockets.mkdir()

    def config(self, **options) -> str:
        return toml(uapi_dir=str(self.sockets), **options)

    def serve(self, name: str, behaviour) -> FakeUapi:
        return self.enterContext(FakeUapi(self.sockets, name, behaviour))

    def execd(self, *arguments, config: str | pathlib.Path | None = None, **more) -> Execd:
        return self.enterContext(
            Execd(self.bed, self.config() if config is None else config, *arguments, **more)
        )

    def assert_whole(self, records, peers: int, device: str = "wg0"):
        """One gather: one time, the device, and for each peer its settings and its counters."""
        self.assertEqual(len({record.timestamp for record in records}), 1)
        self.assertTrue(select(records, "wireguard_device", name=device, type="userspace"))
        shown = {
            record.tags["public_key"]: record
            for record in select(records, "wireguard_peer", device=device)
            if "rx_bytes" in record.fields
        }
        self.assertEqual(
            {key: record["rx_bytes"] for key, record in shown.items()},
            {fake_uapi.key_text(n): 1000000 + n for n in range(1, peers + 1)},
        )


class TriggerTest(ExecdTest):
    def setUp(self):
        super().setUp()
        self.serve("wg0", fake_uapi.healthy(3))

    def test_a_newline_is_one_gather(self):
        execd = self.execd()
        for _ in range(3):
            self.assert_whole(execd.gather(), peers=3)
        self.assertEqual(len(execd.gathers()), 3)

    def test_newlines_in_a_heap_are_answered_but_not_queued(self):
        execd = self.execd()
        execd.gather(lambda: execd.process.stdin.write(b"\n" * 50))
        time.sleep(0.3)
        self.assertEqual(execd.end(), 0)
        self.assertLess(len(execd.gathers()), 10)
        self.assert_whole(execd.gathers()[-1], peers=3)

    def test_nothing_comes_unasked(self):
        execd = self.execd()
        time.sleep(2.5)
        self.assertEqual(execd.out, "")

    def test_signals_trigger(self):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            with self.subTest(number.name):
                execd = self.execd()
                execd.starts()
                for _ in range(3):
                    self.assert_whole(execd.gather(lambda: execd.process.send_signal(number)), peers=3)
                self.assertEqual(execd.end(), 0)

    def test_poll_interval(self):
        for arguments in (["-poll_interval", "200ms"], ["--poll_interval", "200ms"], ["-poll_interval=0.2s"]):
            with self.subTest(arguments):
                execd = self.execd(*arguments)
                wait_until(lambda: len(execd.gathers()) >= 11, "eleven gathers")
                self.assertEqual(execd.end(), 0)
                gathers = execd.gathers()
                times = [gather[0].timestamp / 1e9 for gather in gathers]
                steps = [after - before for before, after in zip(times, times[1:])]
                self.assertAlmostEqual(statistics.median(steps), 0.2, delta=0.05, msg=str(steps))
                for gather in gathers:
                    self.assert_whole(gather, peers=3)

    def test_poll_interval_disabled(self):
        for arguments in (
            ["-poll_interval_disabled"],
            ["--poll_interval_disabled"],
            ["-poll_interval", "200ms", "-poll_interval_disabled"],
        ):
            with self.subTest(arguments):
                execd = self.execd(*arguments)
                time.sleep(0.6)
                self.assertEqual(execd.out, "")
                self.assert_whole(execd.gather(), peers=3)


class EndTest(ExecdTest):
    def test_end_of_file_loses_no_line(self):
        """Telegraf stops reading at the moment it has seen the exit: what was not read by then is lost."""
        self.serve("wg0", fake_uapi.healthy(MANY))
        for _ in range(20):
            execd = self.execd()
            execd.trigger()
            execd.process.stdin.close()
            self.assertEqual(execd.process.wait(10), 0)
            self.assert_whole(line_protocol.parse(execd.out), MANY)
            self.assertEqual(execd.said, "")

    def test_end_of_file_in_the_middle_of_a_gather(self):
        self.serve("wg0", lambda connection: (time.sleep(0.3), connection.sendall(fake_uapi.answer(3))))
        execd = self.execd()
        execd.trigger()
        time.sleep(0.1)
        self.assertEqual(execd.end(), 0)
        self.assert_whole(execd.records(), peers=3)

    def test_end_of_file_is_quick(self):
        self.serve("wg0", fake_uapi.healthy(1))
        execd = self.execd()
        execd.gather()
        started = time.monotonic()
        self.assertEqual(execd.end(), 0)
        self.assertLess(time.monotonic() - started, 1.0)

    def test_sigterm_is_a_silent_stop(self):
        self.serve("wg0", fake_uapi.healthy(MANY))
        for pause in (0.02, 0.1):
            execd = self.execd()
            execd.starts()
            execd.trigger()
            time.sleep(pause)
            execd.process.terminate()
            self.assertEqual(execd.wait(), 0)
            execd.records()
            self.assertTrue(execd.out == "" or execd.out.endswith("\n"))
            self.assertEqual(execd.said, "")

    def test_never_notifies_systemd(self):
        self.serve("wg0", fake_uapi.healthy(1))
        path = str(self.bed.dir / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.setblocking(False)
            execd = self.execd(env=os.environ | {"NOTIFY_SOCKET": path})
            execd.gather()
            self.assertEqual(execd.end(), 0)
            with self.assertRaises(BlockingIOError):
                notify.recv(1)


class ConfigurationTest(ExecdTest):
    def setUp(self):
        super().setUp()
        self.serve("wg0", fake_uapi.healthy(2))

    def complaint(self, text: str, *expected: str, served: bool = True) -> None:
        """It starts, names file and what is expected in one line with a level, and serves."""
        execd = self.execd(config=text)
        records = execd.gather()
        if served:
            self.assert_whole(records, peers=2)
        self.assertTrue(
            [
                line
                for line in execd.said.splitlines()
                if re.match("[EW]! ", line)
                and execd.config in line
                and all(part in line for part in expected)
            ],
            f"{expected} in one line of: {execd.said}",
        )
        self.assertEqual(execd.end(), 0)

    def test_broken_toml(self):
        self.complaint("[[inputs.wgvitals]]\n  gather_wait = \n", ":2", served=False)

    def test_unknown_option(self):
        self.complaint(self.config(no_such_option=1), ":3", "no_such_option")

    def test_wrong_type(self):
        self.complaint(self.config(gather_wait=True), ":3", "gather_wait", "expected a time")

    def test_wrong_choice(self):
        self.complaint(
            self.config(handshake_never="often"), ":3", "handshake_never", "omit", "zero", "telegraf"
        )

    def test_out_of_range(self):
        self.complaint(self.config(allowed_ips_field_max=-1), ":3", "allowed_ips_field_max")

    def test_bad_regular_expression(self):
        self.complaint(self.config(peer_include=["/(/"]), ":3", "peer_include")

    def test_no_such_file(self):
        execd = self.execd(config=pathlib.Path("/nonexistent/wgvitals.toml"))
        execd.gather()
        self.assertRegex(execd.said, "(?m)^[EW]! .*/nonexistent/wgvitals.toml")
        self.assertEqual(execd.end(), 0)

    def test_unknown_argument(self):
        execd = self.execd("-no_such_flag")
        self.assert_whole(execd.gather(), peers=2)
        self.assertRegex(execd.said, "(?m)^[EW]! .*no_such_flag")

    def test_our_own_example_is_right(self):
        sample = (bed.SOURCE / "configs" / "wgvitals.toml").read_text()
        every_option = re.sub(r"(?m)^( +)# ", r"\1", sample)  # prose has two of them
        self.assertGreater(len(re.findall(r"(?m)^ +\w+ = ", every_option)), 10)
        for text in (sample, every_option):
            execd = self.execd(config=text)
            execd.gather()
            self.assertNotRegex(execd.said, "unknown option|expected|wgvitals.toml")

    def test_nothing_wrong_says_nothing(self):
        execd = self.execd(
            config=self.config(
                gather_wait="2s",
                sample_interval="1s",
                interface_include=["wg0"],
                peer_exclude=["/^nobody/"],
                handshake_never="zero",
                allowed_ips_field_max=3,
                peers_shown="top:10",
                uapi_timeout="500ms",
            )
        )
        self.assert_whole(execd.gather(), peers=2)
        self.assertEqual(execd.said, "")


class StuckReaderTest(ExecdTest):
    def test_a_reader_that_stops_neither_hangs_it_nor_makes_it_grow(self):
        self.serve("wg0", fake_uapi.healthy(MANY))
        execd = self.execd("-poll_interval", "100ms", reading=False)
        time.sleep(2)
        before = execd.memory
        time.sleep(4)
        self.assertLess(execd.memory - before, 1 << 20)
        execd.read("stdout")
        wait_until(lambda: execd.out.count("memory_bytes=") > 10, "gathers after the reader went on")
        skipped = [
            record["skipped"]
            for record in select(execd.records(), "wgvitals", collector="engine")
            if "skipped" in record.fields
        ]
        self.assertGreater(skipped[-1], 30)
        self.assertEqual(execd.end(), 0)
        for gather in execd.gathers():
            self.assert_whole(gather, MANY)

    def test_a_reader_that_stopped_does_not_keep_it_from_ending(self):
        self.serve("wg0", fake_uapi.healthy(MANY))
        execd = self.execd("-poll_interval", "100ms", reading=False)
        time.sleep(1)
        execd.process.stdin.close()
        self.assertEqual(execd.process.wait(5), 0)

    def test_a_reader_that_went_away(self):
        self.serve("wg0", fake_uapi.healthy(3))
        execd = self.execd(reading=False)
        execd.process.stdout.close()
        execd.trigger()
        self.assertGreaterEqual(execd.process.wait(5), 0)  # by its own will, not by SIGPIPE
        execd.process.stdout = None

    def test_stderr_that_nobody_reads(self):
        """The pipe is full and stays so, and there is much to complain about."""
        self.serve("wg0", fake_uapi.healthy(3))
        read, write = os.pipe()
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        os.set_blocking(write, True)
        execd = self.execd(config=self.config(**{f"unknown_{n}": n for n in range(300)}), stderr=write)
        for _ in range(3):
            self.assert_whole(execd.gather(), peers=3)
        self.assertEqual(execd.end(), 0)
        os.close(read)
        os.close(write)

    def test_stderr_closed(self):
        self.serve("wg0", fake_uapi.healthy(3))
        execd = self.execd(
            config=self.config(unknown=1),
            command=["sh", "-c", 'exec "$@" 2>&-', "sh", program("wgvitals-execd")],
        )
        self.assert_whole(execd.gather(), peers=3)
        self.assertEqual(execd.end(), 0)

    def test_stderr_lines_are_short(self):
        """A line of 64 KiB would end Telegraf's reader."""
        self.serve("wg0", fake_uapi.healthy(1))
        execd = self.execd(config=self.config(**{"u" * 100000: 1}))
        execd.gather()
        self.assertTrue(execd.said)
        self.assertLessEqual(max(map(len, execd.said.splitlines())), 4096)


class UapiTest(ExecdTest):
    def test_twenty_hung_sockets_cost_one_deadline(self):
        for n in range(20):
            self.serve(f"hung{n}", fake_uapi.silent)
        self.serve("wg0", fake_uapi.healthy(3))
        execd = self.execd(config=self.config(uapi_timeout="1s", gather_wait="4s"))
        started = time.monotonic()
        records = execd.gather(seconds=10)
        self.assertLess(time.monotonic() - started, 2.5)
        self.assert_whole(records, peers=3)
        for n in range(20):
            self.assertFalse(select(records, "wireguard_device", name=f"hung{n}"))
        self.assertRegex(execd.said, "(?m)^[EW]! .*hung")

    def test_a_hung_socket_is_asked_again_but_seldom(self):
        hung = self.serve("hung", fake_uapi.silent)
        self.serve("wg0", fake_uapi.healthy(1))
        execd = self.execd("-poll_interval", "100ms", config=self.config(uapi_timeout="200ms"))
        wait_until(lambda: hung.requests, "the first question")
        hung.behaviour = fake_uapi.healthy(1)
        wait_until(
            lambda: select(execd.records(), "wireguard_device", name="hung"), "the recovered device", 15
        )
        before = [gather for gather in execd.gathers() if not select(gather, "wireguard_device", name="hung")]
        self.assertGreater(before[-1][0].timestamp - before[0][0].timestamp, 2 * 10**9)

    def test_the_host_does_not_wait_for_a_hung_socket(self):
        """Longer than gather_wait it cannot last, whatever uapi_timeout says; not even the first time."""
        self.serve("wg0", fake_uapi.healthy(3))
        self.serve("hung", fake_uapi.silent)
        execd = self.execd(config=self.config(uapi_timeout="10s", gather_wait="2s"))
        execd.starts()
        started = time.monotonic()
        self.assert_whole(execd.gather(), peers=3)
        self.assertLess(time.monotonic() - started, 2.5)

    def test_bad_answers_cost_only_themselves(self):
        healthy = fake_uapi.answer(3)
        cases = {
            "garbage": os.urandom(4096) + b"\n\n",
            "words": b"hello world\nerrno=0\n\n",
            "numbers": healthy.replace(b"rx_bytes=1000001", b"rx_bytes=99999999999999999999999"),
            "keys": healthy.replace(fake_uapi.key(2).hex().encode(), b"zz" * 32),
            "refused": b"errno=-5\n\n",
            "refused_by_boringtun": b"errno=5\n\n",
            "short": healthy[: len(healthy) // 2],
            "empty": b"",
            "no_end": healthy.removesuffix(b"\n\n"),
            "long_line": b"endpoint=" + b"9" * 200000 + b"\nerrno=0\n\n",
        }
        for name, data in cases.items():
            self.serve(name, fake_uapi.says(data))
        self.serve("endless", fake_uapi.endless)
        self.serve("wg0", fake_uapi.healthy(3))
        execd = self.execd(config=self.config(gather_wait="4s"))
        started = time.monotonic()
        records = execd.gather(seconds=10)
        self.assertLess(time.monotonic() - started, 3)
        self.assert_whole(records, peers=3)
        for name in (
            "garbage",
            "words",
            "refused",
            "refused_by_boringtun",
            "short",
            "empty",
            "endless",
            "long_line",
        ):
            with self.subTest(name):
                self.assertFalse(select(records, "wireguard_device", name=name))
                self.assertRegex(execd.said, rf"(?m)^[EWI]! .*\b{name}\b")
        self.assertLess(execd.memory, 64 << 20)
        self.assertEqual(execd.end(), 0)

    def test_never_removes_a_socket(self):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.sockets / "dead.sock"))
        self.serve("wg0", fake_uapi.healthy(1))
        execd = self.execd()
        self.assert_whole(execd.gather(), peers=1)
        self.assertTrue((self.sockets / "dead.sock").exists())

    def test_what_is_no_socket_is_left_alone(self):
        (self.sockets / "file.sock").write_text("errno=0\n\n")
        os.mkfifo(self.sockets / "fifo.sock")
        (self.sockets / "link.sock").symlink_to("/nonexistent")
        self.serve("wg0", fake_uapi.healthy(1))
        execd = self.execd()
        self.assert_whole(execd.gather(), peers=1)

    def test_ten_thousand_peers(self):
        self.serve("wg0", fake_uapi.healthy(10000))
        execd = self.execd(config=self.config(gather_wait="10s"))
        self.assert_whole(execd.gather(seconds=20), peers=10000)


class WaitingTest(unittest.TestCase):
    """Looks, as the last of all, at what setUpModule started."""

    def test_neither_ticker_nor_trigger_for_a_minute_is_said_once(self):
        time.sleep(max(0, waiting.started + 62 - time.monotonic()))
        waiting.idle.hears("poll_interval", 20)
        hints = [
            line for line in waiting.idle.said.splitlines() if "signal" in line and "poll_interval" in line
        ]
        self.assertEqual(len(hints), 1, waiting.idle.said)
        self.assertRegex(hints[0], "^[WI]! ")
        self.assertEqual((waiting.ticking.said, waiting.asked.said), ("", ""))


class Waiting:
    """While the other tests run, a minute passes for three: one never asked, one that ticks, one asked at times."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        world = unittest.enterModuleContext(bed.Bed())
        self.idle, self.ticking, self.asked = (
            unittest.enterModuleContext(Execd(world, "", *arguments))
            for arguments in ([], ["-poll_interval", "10s"], [])
        )
        self._ended = threading.Event()
        thread = threading.Thread(target=self._ask)
        thread.start()
        unittest.addModuleCleanup(thread.join)
        unittest.addModuleCleanup(self._ended.set)

    def _ask(self) -> None:
        while not self._ended.wait(5):
            self.asked.trigger()


def setUpModule():
    global waiting
    waiting = Waiting()


if __name__ == "__main__":
    bed.main()
