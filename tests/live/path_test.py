"""The path outside the tunnels: MTU, hops, tunnels within tunnels, over two routers with a narrow link between."""

import json
import subprocess
import unittest

import bed
from bed import program, wait_until
from line_protocol import Record, select
from programs import Execd, once, toml

NARROW = 1300


class Chain:
    """The bed's own host, two routers and a server. The link between the routers is narrow."""

    def __init__(self, made: bed.Bed) -> None:
        self.here = made.here
        self.near, self.far, self.server = (made.host(name) for name in ("near", "far", "server"))
        self.links = [
            made.join(a, b)
            for a, b in ((self.here, self.near), (self.near, self.far), (self.far, self.server))
        ]
        first, middle, last = self.links
        self.near.run("ip", "link", "set", middle.name, "mtu", str(NARROW))
        self.far.run("ip", "link", "set", middle.name + "b", "mtu", str(NARROW))
        for router in (self.near, self.far):
            router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
            # One that answers as often as it is asked; some tests have another.
            router.run("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        for host, gateway in (
            (self.here, first.b),
            (self.near, middle.b),
            (self.far, middle.a),
            (self.server, last.a),
        ):
            host.run("ip", "route", "add", "default", "via", gateway.v4)
            host.run("ip", "-6", "route", "add", "default", "via", gateway.v6)
        self.target = last.b
        self.hops = [first.b, middle.b, last.b]

    def silence_near(self) -> None:
        """From now on, the near router sends us nothing of its own, and what it told is forgotten."""
        ends = self.links[0].a
        self.near.run("ip", "rule", "add", "iif", "lo", "to", ends.v4, "blackhole")
        self.near.run("ip", "-6", "rule", "add", "iif", "lo", "to", ends.v6, "blackhole")
        self.here.run("ip", "route", "flush", "cache")
        self.here.run("ip", "-6", "route", "flush", "cache")


class PathTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.chain = Chain(self.bed)
        for address in (self.chain.target.v4, self.chain.target.v6):  # neighbours are found
            self.bed.here.run("ping", "-n", "-q", "-c", "1", "-w", "10", address)

    def probe(self, *arguments: str, status: int = 0, **more) -> subprocess.CompletedProcess:
        done = self.bed.here.run(program("wgvitals"), "probe", *arguments, check=False, **more)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def measure(self, *arguments: str, status: int = 0) -> dict:
        return json.loads(self.probe(*arguments, "--json", status=status).stdout)

    def test_mtu_that_a_router_tells(self):
        for family, overhead in (("v4", 60), ("v6", 80)):
            found = self.measure("mtu", getattr(self.chain.target, family))
            self.assertEqual(
                (found["path_mtu"], found["found"], found["icmp_from"], found["wireguard_mtu"]),
                (NARROW, "icmp", getattr(self.chain.hops[0], family), NARROW - overhead),
            )
            self.assertEqual((found["kernel_path_mtu"], found["link_mtu"]), (NARROW, 1500))
            self.assertLessEqual(found["probes"], 4)
            found = self.measure("mtu", getattr(self.chain.hops[0], family))
            self.assertEqual((found["path_mtu"], found["found"]), (1500, "whole"))

    def test_mtu_of_a_black_hole(self):
        self.chain.silence_near()
        for address in (self.chain.target.v4, self.chain.target.v6):
            found = self.measure("mtu", address)
            self.assertEqual((found["path_mtu"], found["found"]), (NARROW, "search"))
            self.assertEqual(found["kernel_path_mtu"], 1500)
        self.assertIn("BLACK HOLE", self.probe("mtu", self.chain.target.v4).stdout)

    def test_mtu_of_a_silent_target(self):
        self.chain.server.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
        said = self.probe("mtu", self.chain.target.v4, status=1).stderr
        self.assertIn("does not answer", said)
        self.assertIn(f"{self.chain.hops[0].v4} says by ICMP that packets over {NARROW} bytes", said)

    def test_hops(self):
        for family in ("v4", "v6"):
            expected = [getattr(hop, family) for hop in self.chain.hops]
            found = self.measure("path", "-c", "3", getattr(self.chain.target, family))
            self.assertTrue(found["reached"])
            self.assertEqual([hop["address"] for hop in found["hops"]], expected)
            for hop in found["hops"]:
                self.assertEqual((hop["packets_transmitted"], hop["packets_received"]), (3, 3))
                self.assertLessEqual(hop["best_response_ms"], hop["average_response_ms"])
                self.assertLessEqual(hop["average_response_ms"], hop["worst_response_ms"])
                self.assertGreater(hop["best_response_ms"], 0)
            self.assertEqual((found["via_device"], found["nested"]), (self.chain.links[0].name, 0))

    def test_hops_without_the_right_to_raw_sockets(self):
        self.bed.here.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 100000")
        done = self.bed.here.run(
            *bed.AS_NOBODY, program("wgvitals"), "probe", "path", "-c", "2", "--json", self.chain.target.v4
        )
        self.assertEqual(
            [hop["address"] for hop in json.loads(done.stdout)["hops"]], [hop.v4 for hop in self.chain.hops]
        )
        self.bed.here.run("sysctl", "-qw", "net.ipv4.ping_group_range=1 0")
        done = self.bed.here.run(
            *bed.AS_NOBODY, program("wgvitals"), "probe", "path", self.chain.target.v4, check=False
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("CAP_NET_RAW", done.stderr)

    def test_a_hop_that_is_silent_and_one_that_limits_its_answers(self):
        self.chain.silence_near()
        self.chain.far.run("sysctl", "-qw", "net.ipv4.icmp_ratelimit=60000")
        silent, limited, target = self.measure("path", "-c", "10", self.chain.target.v4)["hops"]
        self.assertEqual((silent["packets_transmitted"], silent["packets_received"]), (10, 0))
        self.assertNotIn("address", silent)
        self.assertEqual(limited["address"], self.chain.hops[1].v4)
        self.assertIn(limited["packets_received"], range(1, 10))
        self.assertEqual((target["packets_transmitted"], target["packets_received"]), (10, 10))
        self.assertIn("routers limit", self.probe("path", "-c", "2", self.chain.target.v4).stdout)

    def test_nothing_answers(self):
        absent = self.chain.target.v4 + "0"
        done = self.probe("path", "-c", "1", absent, status=1)
        self.assertIn(f"{absent} did not answer", done.stderr)
        self.assertIn(self.chain.hops[1].v4, done.stdout)
        self.bed.here.run("ip", "route", "delete", "default")
        for command in ("path", "mtu"):
            said = self.probe(command, self.chain.target.v4, status=1).stderr
            self.assertIn("unreachable", said)
        self.probe("path", status=2)
        self.probe("mtu", "-S", "here", self.chain.target.v4, status=2)

    def test_the_collector_of_hops(self):
        config = toml() + f'[[inputs.wgvitals.hops]]\nhost = ["{self.chain.target.v4}"]\nrounds = 3\n'
        records = select(once(self.bed, config=config), "wireguard_hop", url=self.chain.target.v4)
        addresses = {r.tags["hop"]: r["address"] for r in records if "address" in r.fields}
        self.assertEqual(addresses, {str(n + 1): hop.v4 for n, hop in enumerate(self.chain.hops)})
        numbers = [record for record in records if "address" not in record.fields]
        self.assertEqual(len(numbers), 3)
        for record in numbers:
            self.assertEqual(record.fields["packets_received"], ("i", 3))
            self.assertEqual(record.fields["percent_packet_loss"], ("f", 0))

    def test_a_way_where_nobody_answers_is_told_as_such(self):
        self.bed.here.run("ip", "tuntap", "add", "dev", "hole", "mode", "tun")
        self.bed.here.run("ip", "link", "set", "hole", "up")
        self.bed.here.run("ip", "route", "add", "192.0.2.0/24", "dev", "hole")
        config = toml() + '[[inputs.wgvitals.hops]]\nhost = ["192.0.2.1"]\nrounds = 2\nmax_hops = 3\ntimeout = "100ms"\n'
        (record,) = select(once(self.bed, config=config), "wireguard_hop", url="192.0.2.1")
        self.assertEqual(record.tags["hop"], "1")
        self.assertEqual(record.fields["packets_received"], ("i", 0))
        self.assertEqual(record.fields["percent_packet_loss"], ("f", 100))


class TunnelsTest(unittest.TestCase):
    """`outer` ends at the far router, `inner` at the server, whose address is reached through `outer`."""

    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.chain = Chain(self.bed)
        chain, here = self.chain, self.bed.here
        self.outer = here.device("outer", "10.66.0.1/24")
        self.inner = here.device("inner", "10.67.0.1/24", port=51821)
        far = chain.far.device("wgfar", "10.66.0.2/24")
        server = chain.server.device("wgserver", "10.67.0.2/24")
        self.outer.add_peer(
            far.keys.public, f"10.66.0.2/32, {chain.target.v4}/32", f"{chain.hops[1].v4}:{far.port}"
        )
        far.add_peer(self.outer.keys.public, "10.66.0.1/32")
        self.inner.add_peer(server.keys.public, "10.67.0.2/32, 0.0.0.0/0", f"{chain.target.v4}:{server.port}")
        server.add_peer(self.inner.keys.public, "10.67.0.1/32")
        here.run("ip", "route", "add", chain.target.v4, "dev", "outer")
        self.peers = {"outer": far.keys.public, "inner": server.keys.public}
        self.outer.ping("10.66.0.2")
        self.inner.ping("10.67.0.2")

    def path(self, records: list[Record], device: str) -> dict[str, object]:
        found = select(records, "wireguard_path", device=device, public_key=self.peers[device])
        return {field: value for record in found for field, (_, value) in record.fields.items()}

    def test_tunnels_within_tunnels(self):
        records = once(self.bed, config=toml(path=True))
        outer, inner = self.path(records, "outer"), self.path(records, "inner")
        self.assertEqual((outer["nested"], outer["via_device"]), (0, self.chain.links[0].name))
        self.assertEqual((inner["nested"], inner["via_device"]), (1, "outer"))
        self.assertEqual((inner["path_mtu"], inner["mtu_headroom"]), (1420, 1420 - 60 - 1420))
        done = self.bed.here.run(program("wgvitals"), "probe", "path", "-c", "1", self.chain.target.v4)
        self.assertIn("by outer, a WireGuard device", done.stdout)

    def test_the_round_trips_of_tunnels_within_tunnels_stand_apart(self):
        records = once(self.bed, config=toml(path=True, path_underlay=True, ping_peers=True))
        times = [
            self.path(records, device)[field]
            for device in ("outer", "inner")
            for field in ("underlay_rtt_ms", "tunnel_rtt_ms")
        ]
        self.assertGreater(min(times), 0)
        self.assertEqual(len(set(times)), 4)

    def test_the_kernel_learns_the_mtu(self):
        address = self.chain.hops[1].v4
        before = self.path(once(self.bed, config=toml(path=True)), "outer")
        self.bed.here.run(program("wgvitals"), "probe", "mtu", address)
        after = self.path(once(self.bed, config=toml(path=True)), "outer")
        self.assertIn(before["path_mtu"], (1500, NARROW))
        self.assertEqual(after["interface_mtu"], 1420)
        self.assertEqual((after["path_mtu"], after["mtu_headroom"]), (NARROW, NARROW - 60 - 1420))

    def test_searches_and_round_trips(self):
        config = toml(path=True, path_search=True, path_underlay=True, ping_peers=True)
        outer = self.path(once(self.bed, config=config), "outer")
        self.assertEqual(outer["path_mtu"], NARROW)
        # Outer packets are fragmented on the way, so this says nothing of the path outside.
        self.assertEqual(outer["tunnel_path_mtu"], 1420)
        self.assertGreater(outer["underlay_rtt_ms"], 0)
        self.assertGreater(outer["tunnel_rtt_ms"], 0)
        self.assertAlmostEqual(
            outer["overhead_ms"], outer["tunnel_rtt_ms"] - outer["underlay_rtt_ms"], places=3
        )

    def test_a_search_finds_a_black_hole(self):
        self.chain.silence_near()
        config = toml(path=True, path_search=True, path_search_interval="1s", gather_wait="1s")
        with Execd(self.bed, config) as execd:
            execd.gather(seconds=15)

            def found():
                outer = self.path(execd.gather(), "outer")
                return outer if outer.get("path_mtu") == NARROW else None

            outer = wait_until(found, "the narrow link", 30)
            self.assertEqual(outer["mtu_headroom"], NARROW - 60 - 1420)

    def test_a_leak(self):
        config = toml(path=True, egress_address="203.0.113.1")
        self.assertEqual(self.path(once(self.bed, config=config), "inner")["egress_via_tunnel"], 0)
        self.bed.here.run("ip", "route", "add", "203.0.113.0/24", "dev", "inner")
        records = once(self.bed, config=config)
        self.assertEqual(self.path(records, "inner")["egress_via_tunnel"], 1)
        self.assertNotIn("egress_via_tunnel", self.path(records, "outer"))
        self.bed.here.run("ip", "route", "replace", "unreachable", "203.0.113.0/24")
        self.assertNotIn("egress_via_tunnel", self.path(once(self.bed, config=config), "inner"))


if __name__ == "__main__":
    bed.main()
