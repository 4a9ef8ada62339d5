"""Handshakes of real tunnels as they pass by on the wire: their time, wrong MACs, cookies, the tap's own losses."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import time
import unittest

import bed
import flood
import middle
from bed import WIREGUARD_GO, Keys, program, wait_until
from line_protocol import Record, select
from programs import Execd, once, toml

DELAYS = (0.0, 0.01, 0.05)  # seconds
HANDSHAKES = 9
INITIATIONS = 3000
NEAR, FAR = 51820, 51821


class Hold:
    """Holds responses up, and keeps for how many milliseconds it did: a busy host makes it longer."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.held: list[float] = []
        self.fate = middle.of_type(middle.RESPONSE, self._hold)

    def _hold(self, packet: bytes, _number: int) -> list[bytes]:
        began = time.monotonic()
        if self.seconds > 0:
            time.sleep(self.seconds)
        self.held.append((time.monotonic() - began) * 1000)
        return [packet]


class TraceTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.here = self.bed.here

    def execd(self, **options) -> Execd:
        options = {"trace": True, "sample_interval": "0s"} | options
        return self.enterContext(Execd(self.bed, toml(**options)))

    def server(self) -> tuple[bed.Host, bed.Link]:
        far = self.bed.host("far")
        return far, self.bed.join(self.here, far)

    def tell(self, execd: Execd) -> tuple[Record, int]:
        """Of wg0, and what the tap dropped."""
        records = execd.gather()
        (of_device,) = [one for one in select(records, "wireguard_trace", device="wg0") if len(one.tags) == 1]
        (of_tap,) = [one for one in select(records, "wireguard_trace") if not one.tags]
        return of_device, of_tap["tap_dropped"]


class HandshakeTimeTest(TraceTest):
    def rests(self, near: str, family: str) -> list[list[float]]:
        """For each delay that a host between the two puts in, how many milliseconds longer handshakes took."""
        far, link = self.server()
        client = self.here.device("wg0", "10.9.0.1/24", port=NEAR, daemon=WIREGUARD_GO)
        server = far.device("wg9", "10.9.0.2/24", port=FAR, daemon=WIREGUARD_GO)
        server.add_peer(client.keys.public, "10.9.0.1/32")
        execd = self.execd()
        execd.gather()
        rests = []
        for delay in DELAYS:
            hold = Hold(delay)
            with middle.Middle((getattr(link.b, family), FAR), back=hold.fate, near=near) as between:
                shake = lambda: self.handshake(execd, client, server, between.address)
                rests.append([shake() - hold.held[-1] for _ in range(HANDSHAKES)])
        return rests

    def handshake(self, execd: Execd, client: bed.Device, server: bed.Device, endpoint: str) -> float:
        """A peer that is made anew, with a keepalive, begins one at once."""
        key = server.keys.public
        client.add_peer(key, "10.9.0.2/32", endpoint=endpoint, keepalive=25)
        wait_until(lambda: client.dump()[key].latest_handshake > 0, "a handshake")
        told = lambda: select(execd.gather(), "wireguard_trace", device="wg0", public_key=key)
        (record,) = wait_until(told, "its time")
        self.assertEqual(told(), [], "a time is told once")
        client.remove_peer(key)
        return record["handshake_rtt_ms"]

    def follows(self, near: str, family: str) -> None:
        rests = self.rests(near, family)
        base, *others = map(statistics.median, rests)
        self.assertGreater(base, 0)
        for rest in others:
            self.assertAlmostEqual(rest, base, delta=2, msg=str(rests))

    def test_a_server_sees_its_clients_time(self):
        """Where the other side begins handshakes: until its first packet."""
        far, link = self.server()
        server = self.here.device("wg0", "10.9.0.1/24", port=NEAR, daemon=WIREGUARD_GO)
        client = far.device("wg9", "10.9.0.2/24", port=FAR, daemon=WIREGUARD_GO)
        server.add_peer(client.keys.public, "10.9.0.2/32")
        execd = self.execd()
        execd.gather()
        hold = Hold(0.05)
        with middle.Middle(("127.0.0.1", NEAR), back=hold.fate, near=link.a.v4) as between:
            client.add_peer(server.keys.public, "10.9.0.1/32", endpoint=between.address, keepalive=25)
            key = client.keys.public
            told = lambda: select(execd.gather(), "wireguard_trace", device="wg0", public_key=key)
            (record,) = wait_until(told, "its time")
        self.assertGreater(record["handshake_rtt_ms"], hold.held[-1])
        self.assertLess(record["handshake_rtt_ms"], hold.held[-1] + 500)

    def test_follows_the_delay(self):
        self.follows("127.0.0.1", "v4")

    def test_follows_the_delay_over_ipv6(self):
        self.follows("::1", "v6")


class FloodTest(TraceTest):
    def flooded(self) -> tuple[bed.Device, bed.Host, str]:
        far, link = self.server()
        device = self.here.device("wg0", "10.9.0.1/24", port=NEAR, daemon=WIREGUARD_GO)
        return device, far, link.a.v4

    def flood(self, host: bed.Host, address: str, packets: list[bytes]) -> None:
        path = self.bed.dir / "packets"
        path.write_bytes(b"".join(packets))
        host.run("ping", "-q", "-c", "1", "-W", "2", address)  # none is lost for want of a neighbour
        host.run("bash", "-c", f"dd bs=148 if={path} status=none >/dev/udp/{address}/{NEAR}")

    def link_counters(self, execd: Execd) -> dict:
        (record,) = [one for one in select(execd.gather(), "wireguard_device", name="wg0") if "rx_errors" in one.fields]
        return {name: value for name, value in record.fields.items() if name.startswith("rx_")}

    def is_counted(self, execd: Execd, packets: int) -> int:
        """That so many were seen, or dropped by the tap: how many of them dropped."""

        def whole() -> bool:
            device, dropped = self.tell(execd)
            return device["invalid_mac"] + dropped >= packets

        wait_until(whole, "every packet is counted")
        device, dropped = self.tell(execd)
        self.assertEqual(device["invalid_mac"] + dropped, packets)
        return dropped

    def test_each_bad_mac_is_counted(self):
        device, far, address = self.flooded()
        execd = self.execd(trace_sources=True)
        before = self.link_counters(execd)
        self.assertEqual(self.tell(execd)[0]["invalid_mac"], 0)
        another = Keys.make().public
        self.flood(far, address, [flood.initiation(another) for _ in range(INITIATIONS)])
        dropped = self.is_counted(execd, INITIATIONS)
        self.assertLess(dropped, INITIATIONS)
        self.assertEqual(self.link_counters(execd), before)  # which show nothing
        (source,) = [one for one in select(execd.gather(), "wireguard_trace", device="wg0") if "source" in one.tags]
        self.assertEqual(source.tags["source"], "198.51.1.2")
        self.assertEqual(source["refused_initiations"], INITIATIONS - dropped)

    def test_those_that_came_joined_are_counted(self):
        """As the system joins packets that come together (GRO) for a socket that takes them so."""
        device, far, address = self.flooded()
        execd = self.execd()
        self.tell(execd)
        another = Keys.make().public
        path = self.bed.dir / "packets"
        path.write_bytes(b"".join(flood.initiation(another) for _ in range(40)))
        script = (
            "import socket, sys\n"
            "out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "out.setsockopt(socket.IPPROTO_UDP, 103, 148)\n"  # UDP_SEGMENT, linux/udp.h: the link leaves them joined
            f"out.sendto(open(sys.argv[1], 'rb').read(), ({address!r}, {NEAR}))\n"
        )
        far.run("python3", "-c", script, str(path))
        self.assertEqual(self.is_counted(execd, 40), 0)

    def test_what_finds_no_room_is_counted(self):
        device, far, address = self.flooded()
        execd = self.execd()
        self.tell(execd)
        packets = [flood.initiation(Keys.make().public)] * 20000
        os.kill(execd.pid, signal.SIGSTOP)
        try:
            self.flood(far, address, packets)
        finally:
            os.kill(execd.pid, signal.SIGCONT)
        self.assertGreater(self.is_counted(execd, len(packets)), 0)

    def test_a_cookie_for_us(self):
        """From a server that is loaded; in the moments in which it is not, a handshake is done."""
        far, link = self.server()
        client = self.here.device("wg0", "10.9.0.1/24", port=NEAR, daemon=WIREGUARD_GO)
        server = far.device("wg9", "10.9.0.2/24", port=FAR, daemon=WIREGUARD_GO)
        server.add_peer(client.keys.public, "10.9.0.1/32")
        execd = self.execd()
        self.assertEqual(self.tell(execd)[0]["cookies_received"], 0)

        def told() -> bool:
            client.add_peer(server.keys.public, "10.9.0.2/32", endpoint=f"{link.b.v4}:{FAR}", keepalive=25)
            time.sleep(0.1)
            client.remove_peer(server.keys.public)
            return self.tell(execd)[0]["cookies_received"] > 0

        with flood.Flood(self.bed, link.b.v4, FAR, server.keys.public):
            wait_until(told, "a cookie", 20)
        self.assertEqual(self.tell(execd)[0]["cookies_sent"], 0)

    def test_cookies_of_ours(self):
        device, far, address = self.flooded()
        execd = self.execd()
        self.tell(execd)
        packets = [flood.initiation(device.keys.public) for _ in range(8000)]
        self.flood(far, address, packets)

        def told() -> Record | None:
            record, _ = self.tell(execd)
            return record if record["cookies_sent"] > 0 else None

        record = wait_until(told, "a cookie")
        self.assertEqual(record["invalid_mac"], 0)
        self.assertEqual(record["cookies_received"], 0)


class RightsTest(TraceTest):
    def test_without_the_right(self):
        self.here.device("wg0", "10.9.0.1/24", port=NEAR, daemon=WIREGUARD_GO)
        path = self.bed.dir / "trace.toml"
        path.write_text(toml(trace=True))
        os.chmod(path, 0o644)
        drop = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", "--"]
        execd = self.enterContext(Execd(self.bed, path, command=[*drop, program("wgvitals-execd")]))
        records = execd.gather()
        self.assertEqual(select(records, "wireguard_trace"), [])
        self.assertEqual(len(select(records, "wireguard_device", name="wg0")), 2)
        execd.hears("CAP_NET_RAW")
        execd.gather()
        self.assertEqual(execd.said.count("the tap needs"), 1)

    def test_off_unless_asked_for(self):
        self.here.device("wg0", "10.9.0.1/24", port=NEAR, daemon=WIREGUARD_GO)
        execd = self.enterContext(Execd(self.bed))
        self.assertEqual(select(execd.gather(), "wireguard_trace"), [])
        self.assertEqual(self.here.run("ss", "-0H").stdout, "")
        self.assertEqual(select(once(self.bed, config=toml(trace=True)), "wireguard_trace"), [])

    def test_another_namespace(self):
        far = self.bed.host("far", own_sockets=False)
        link = self.bed.join(self.here, far)
        device = far.device("wg0", "10.9.0.1/24", port=NEAR, daemon=WIREGUARD_GO)
        execd = self.execd(netns=["far"])
        execd.gather()
        packet = flood.initiation(Keys.make().public)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as out:
            out.sendto(packet, (link.b.v6, NEAR))
        counted = lambda: [
            one
            for one in select(execd.gather(), "wireguard_trace", device=device.name)
            if one.fields.get("invalid_mac") == ("u", 1)
        ]
        wait_until(counted, "the packet")


if __name__ == "__main__":
    bed.main()
