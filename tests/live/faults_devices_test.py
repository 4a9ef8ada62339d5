"""Devices go wrong: their sockets, their processes, their namespaces. Each time: what is said (once, in words
that help), what is still delivered, and that it recovers."""

import contextlib
import pathlib
import signal
import socket
import subprocess
import time

import bed
import fake_uapi
from bed import UAPI_DIR, WIREGUARD_GO, Device, wait_until
from fake_uapi import FakeUapi
from faults import FaultTest, devices, events, late, open_files, peers
from line_protocol import Record, select
from programs import Execd, toml, write
from star import Star


class SocketTest(FaultTest):
    """Beside a healthy device, others whose sockets fail in every way."""

    def setUp(self):
        super().setUp()
        self.enterContext(FakeUapi(UAPI_DIR, "wg0", fake_uapi.healthy(3)))

    def refuse(self, name: str, backlog: int | None, until: contextlib.ExitStack) -> None:
        """A socket that is bound but not listened at, or whose queue of connections is full."""
        listener = until.enter_context(socket.socket(socket.AF_UNIX))
        path = str(UAPI_DIR / f"{name}.sock")
        listener.bind(path)
        if backlog is None:
            return
        listener.listen(backlog)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = until.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(path)

    def test_each_is_said_once_and_costs_only_itself(self):
        answers = {
            "hung": fake_uapi.silent,
            "endless": fake_uapi.endless,
            "garbage": fake_uapi.says(b"\x01\xff\n" * 1000),
            "short": fake_uapi.says(fake_uapi.answer(3)[:500]),
            "failing": fake_uapi.says(b"errno=-5\n\n"),
        }
        with contextlib.ExitStack() as refused:
            servers = [self.enterContext(FakeUapi(UAPI_DIR, name, does)) for name, does in answers.items()]
            self.refuse("dead", None, refused)
            self.refuse("full", 0, refused)
            execd = self.execd(toml(sample_interval="0s"))
            files = []
            for _ in range(10):
                records = execd.gather()
                self.assertEqual((devices(records), len(peers(records))), ({"wg0"}, 3))
                files.append(open_files(execd.pid))
            self.assertEqual(files[2:], files[2:3] * 8)
        for server in servers:
            server.behaviour = fake_uapi.healthy(1)
        for name in ("dead", "full"):
            (UAPI_DIR / f"{name}.sock").unlink()
            self.enterContext(FakeUapi(UAPI_DIR, name, fake_uapi.healthy(1)))
        everything = {"wg0", "dead", "full", *answers}
        wait_until(lambda: devices(execd.gather()) == everything, "all devices", 8)
        self.assertEqual(late(execd), 0)
        for words in (
            ("hung: ", "is it hung?"),
            ("endless: ", "answer"),
            ("garbage: ", "a line without '='"),
            ("short: ", "broke off"),
            ("failing: ", "errno=-5"),
            ("dead.sock", "nobody listens"),
            ("full: ", "is it hung?"),
        ):
            with self.subTest(words):
                self.assert_said_once(execd, *words, over=True)


class DaemonTest(FaultTest):
    """wireguard-go itself is stopped, killed and started anew, beside another device."""

    def setUp(self):
        super().setUp()
        self.star = Star(self.bed, spokes=2, daemon=WIREGUARD_GO)
        self.hub = self.star.hub
        self.enterContext(FakeUapi(UAPI_DIR, "other", fake_uapi.healthy(3)))
        self.config = toml(gather_wait="2s", sample_interval="0s")

    def gather_without_hub(self, execd: Execd) -> list[Record]:
        """In time, and with the other device."""
        started = time.monotonic()
        records = execd.gather()
        self.assertLess(time.monotonic() - started, 2.5)
        self.assertEqual((devices(records), len(peers(records, "other"))), ({"other"}, 3))
        return records

    def remake(self) -> Device:
        """The hub under its old name, with its old key and peers, none of which was heard of yet."""
        self.hub.socket.unlink(missing_ok=True)  # of one that was killed: the bed waits for a new one
        hub = self.bed.here.device("wg0", "10.77.0.1/24", "10.77.1.1/24", daemon=WIREGUARD_GO)
        hub.set("private-key", write(self.bed, self.hub.keys.private, "key"))
        for spoke in self.star.spokes:
            endpoint = f"{self.star.link.b.v4}:{spoke.device.port}"
            hub.add_peer(spoke.device.keys.public, f"{spoke.address}/32", endpoint)
        hub.add_peer(self.star.silent, "10.78.0.0/24")
        return hub

    def assert_made_anew(self, records: list[Record], before: list[Record], message: str):
        """The same peers, whose counters begin anew."""
        self.assertEqual(events(records), [("wg0", "link", message)])
        lines = select(records, "wireguard_device", name="wg0")
        self.assertEqual([line["link_flaps"] for line in lines if "mtu" in line.fields], [1])
        self.assertEqual(peers(records).keys(), peers(before).keys())
        for peer in peers(records).values():
            for counter in ("rx_bytes", "handshakes", "endpoint_changes", "counter_resets"):
                self.assertEqual(peer[counter], 0, counter)
            self.assertNotIn("handshake_age_s", peer)

    def test_stopped_and_continued(self):
        execd = self.execd(self.config)
        before = execd.gather()
        self.hub.process.send_signal(signal.SIGSTOP)
        for _ in range(4):
            self.assertEqual(events(self.gather_without_hub(execd)), [])
        self.hub.process.send_signal(signal.SIGCONT)
        wait_until(lambda: peers(execd.gather()), "its peers", 7)
        records = execd.gather()
        self.assertEqual(events(records), [])
        now, then = peers(records), peers(before)
        for key, peer in now.items():  # an idle one may have sent a keepalive
            self.assertIn(peer.pop("rx_bytes") - then[key].pop("rx_bytes"), (0, 32))
        for peer in (*now.values(), *then.values()):
            peer.pop("handshake_age_s", None)
        self.assertEqual(now, then)
        self.assert_said_once(execd, "wg0: ", "is it hung?", over=True)
        self.assertEqual(late(execd), 0)

    def test_killed_and_started_anew(self):
        execd = self.execd(self.config)
        before = execd.gather()
        self.hub.process.kill()
        self.hub.process.wait()
        self.assertTrue(self.hub.socket.exists())
        told = [events(self.gather_without_hub(execd)) for _ in range(3)]
        self.assertEqual(told, [[("wg0", "link", "the device is gone")], [], []])
        self.assert_said_once(execd, str(self.hub.socket), "nobody listens")
        self.remake()
        self.assert_made_anew(execd.gather(), before, "the device is back")
        self.assert_said_once(execd, str(self.hub.socket), "nobody listens", over=True)

    def test_made_anew_between_two_gathers(self):
        execd = self.execd(self.config)
        before, index = execd.gather(), socket.if_nametoindex("wg0")
        self.hub.remove()
        hub = self.remake()
        self.assertNotEqual(socket.if_nametoindex("wg0"), index)
        self.assert_made_anew(execd.gather(), before, "the device was made anew")
        spoke = self.star.spokes[0]
        hub.ping(spoke.address, count=1)
        peer = peers(execd.gather())[spoke.device.keys.public]
        self.assertEqual((peer["handshakes"], peer["counter_resets"]), (1, 0))
        self.assertGreater(peer["rx_bytes"], 0)
        self.assertEqual(execd.said, "")


class NamespaceTest(FaultTest):
    def make(self) -> tuple[Device, subprocess.Popen]:
        """A device in the namespace far, and the process that holds the namespace."""
        far = self.bed.host("far", own_sockets=False)
        holder = self.bed.processes[-1]
        self.cable = self.bed.join(self.bed.here, far).name
        device = far.device("wg9", "10.79.0.1/24", daemon=WIREGUARD_GO)
        device.add_peer(fake_uapi.key_text(9), "10.79.1.0/24")
        return device, holder

    def assert_has_far(self, records: list[Record], link: bool = True):
        """The device here, and the one there, under one name on all its lines."""
        self.assertEqual(len(peers(records)), 3)
        far = [
            *select(records, "wireguard_device", name="wg9"),
            *select(records, "wireguard_peer", device="wg9"),
        ]
        self.assertEqual([record.tags.get("netns") for record in far], ["far"] * 4)
        self.assertEqual(any("mtu" in record.fields for record in far), link)

    def test_deleted_and_made_anew(self):
        self.enterContext(FakeUapi(UAPI_DIR, "wg0", fake_uapi.healthy(3)))
        device, holder = self.make()
        execd = self.execd(toml(netns=["far"], sample_interval="0s"))
        self.assert_has_far(execd.gather())
        for _ in range(2):  # its name goes and comes, while the tunnel works on
            self.bed.here.run("ip", "netns", "delete", "far")
            for _ in range(2):
                records = execd.gather()
                self.assert_has_far(records, link=False)
                self.assertEqual(events(records), [])
            self.bed.here.run("ip", "netns", "attach", "far", str(holder.pid))
            self.assert_has_far(execd.gather())
        self.assert_said_once(execd, "netns far", "No such file", over=True)

        files = open_files(execd.pid)
        device.remove()
        holder.kill()
        holder.wait()
        self.bed.here.run("ip", "netns", "delete", "far")
        self.bed.hosts.remove("far")
        records = execd.gather()
        self.assertEqual((devices(records), len(peers(records))), ({"wg0"}, 3))
        self.assertEqual(events(records), [("wg9", "link", "the device is gone")])
        # No socket of ours keeps it alive: with it goes the cable.
        wait_until(lambda: not pathlib.Path("/sys/class/net", self.cable).exists(), "the namespace's end")
        self.make()
        records = execd.gather()
        self.assert_has_far(records)
        self.assertEqual(events(records), [("wg9", "link", "the device is back")])
        self.assertEqual(open_files(execd.pid), files)


if __name__ == "__main__":
    bed.main()
