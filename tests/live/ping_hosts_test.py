"""Pings in a real Telegraf and a real collectd, beside their own ping plugins on the same hosts."""

import base64
import math
import statistics
import time
import unittest

import bed
import telegraf
from bed import wait_until
from collectd import DAEMON, Collectd, daemon
from line_protocol import Record, select
from ping_lines import DELAY, RESPONSES, Wire, config, instead_of, name_server, no_way, numbers
from programs import write
from responder import Responder, address, addresses
from star import Star
from telegraf import Telegraf

SLOW = 100  # ms that a reply may take beyond it on a busy machine, but not all of them
QUICK = 5

COUNTS = {"packets_transmitted", "packets_received", "percent_packet_loss", "result_code"}


class TelegrafTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.responder = self.enterContext(Responder(self.bed.here, delay=DELAY))

    def ours(self, text: str) -> str:
        block = telegraf.sample_block(write(self.bed, text))
        return block + '  [inputs.execd.tags]\n    reader = "ours"\n'

    def lines(self, agent: Telegraf, reader: str, url: str) -> list[Record]:
        """Of numbers."""
        found = select(agent.records(), "ping", reader=reader, url=url)
        return [record for record in found if "resolved_address" not in record.fields]

    def test_as_its_own_input(self):
        """Field by field: the same names, types and tags; and, with what may differ allowed, values."""
        four, six, dead, name = address(300), address(300, 6), address(301), "no-such.invalid"
        barred = "10.66.0.1"
        self.enterContext(no_way(self.bed, "unreachable", barred))
        self.enterContext(name_server(self.bed, "127.0.0.1"))  # where there is none
        self.responder.set(dead=dead)
        block = {"hosts": [four, six, dead, name, barred], "backoff": 1}
        ours = self.ours(config(block | {"count": 3, "interval": "200ms", "timeout": "800ms"}))
        theirs = f"""
[[inputs.ping]]
  urls = ["{four}", "{six}", "{dead}", "{name}", "{barred}"]
  method = "native"
  count = 3
  ping_interval = 0.2
  deadline = 1
  percentiles = [50, 95, 99]
  [inputs.ping.tags]
    reader = "theirs"
"""
        agent = Telegraf(self.bed, TELEGRAF, ours + theirs, interval="2s")
        readers, hosts = ("ours", "theirs"), (four, six, dead)
        lines = lambda: [self.lines(agent, reader, host) for reader in readers for host in hosts]
        enough = lambda: min(map(len, lines())) > 3
        with agent:
            wait_until(enough, f"four lines of each, where there is: {agent.log.read_text()}", 30)
        for host in hosts:
            ours, theirs = (self.lines(agent, reader, host)[3] for reader in readers)
            with self.subTest(host):
                self.assertEqual(theirs.fields.keys(), COUNTS if host == dead else COUNTS | RESPONSES)
                self.assertEqual(ours.fields.keys() & (COUNTS | RESPONSES), theirs.fields.keys())
                for field, (kind, value) in theirs.fields.items():
                    self.assertEqual(ours.fields[field][0], kind, field)
                    if field in COUNTS | {"ttl"}:
                        self.assertEqual(ours[field], value, field)
                    elif field != "standard_deviation_ms":
                        self.assertGreaterEqual(min(ours[field], value), DELAY)
                        self.assertLess(ours[field], DELAY + SLOW, field)
                self.assertEqual(ours.tags | {"reader": "theirs"}, theirs.tags)
        for reader in readers:
            best = min(line["minimum_response_ms"] for line in self.lines(agent, reader, four))
            self.assertLess(best, DELAY + QUICK)
        for host in (name, barred):  # ours tells how many did not leave, too
            ours, theirs = (self.lines(agent, reader, host)[-1] for reader in readers)
            self.assertEqual(theirs.fields, {"result_code": ("i", 2)})
            self.assertEqual(ours.fields["result_code"], ("i", 2))
            self.assertFalse(ours.fields.keys() & (RESPONSES | {"percent_packet_loss"}))

    def test_test_mode(self):
        """`telegraf --test` asks once and stops at once: the one gather waits for the first windows."""
        alive, dead = address(300), address(301)
        self.responder.set(dead=dead)
        text = self.ours(config({"hosts": [alive, dead]}))
        for _ in range(3):
            records = Telegraf(self.bed, TELEGRAF, text).test()
            line = numbers(records, alive)
            self.assertEqual((line["result_code"], line["percent_packet_loss"]), (0, 0))
            self.assertGreaterEqual(line["average_response_ms"], DELAY)
            self.assertEqual(numbers(records, dead)["percent_packet_loss"], 100)
            engine = select(records, "wgvitals", collector="engine")
            self.assertEqual([record["late"] for record in engine if "late" in record.fields], [0])

    def test_a_burst_in_test_mode(self):
        alive = address(300, 6)
        text = self.ours(config({"hosts": [alive], "count": 5, "interval": "100ms", "timeout": "900ms"}))
        line = numbers(Telegraf(self.bed, TELEGRAF, text).test(), alive)
        self.assertEqual((line["packets_transmitted"], line["packets_received"]), (5, 5))


STOCK = """
  Interval 0.5
  Timeout 0.4
  TTL 77
  Size 90
  SourceAddress "10.98.0.7"
  AddressFamily "ipv4"
  Device "ping0"
  MaxMissed 20
"""
TYPES = ("ping", "ping_stddev", "ping_droprate")


class CollectdTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())

    def responder(self, **settings) -> Responder:
        return self.enterContext(Responder(self.bed.here, **({"delay": DELAY} | settings)))

    def stock(self, options: str) -> Collectd:
        more = f"LoadPlugin ping\n<Plugin ping>\n{options}\n</Plugin>\n"
        return Collectd(self.bed, "", interval=1, more=more)

    def ours(self, options: str, interval: float = 1, more: str = "") -> Collectd:
        """The same options, unchanged, in our block."""
        plugin = f"LoadPlugin wireguard\n<Plugin wireguard>\n<Ping>\n{options}\n</Ping>\n{more}</Plugin>\n"
        return Collectd(self.bed, plugin, interval)

    def values(self, collectd: Collectd, identifier: str) -> list[float]:
        return [float(row["value"]) for row in collectd.rows(identifier)]

    def of_host(self, collectd: Collectd, host: str) -> list[list[float]]:
        """By type, without the first ones, which may be of half a second."""
        return [self.values(collectd, f"ping/{kind}-{host}")[1:] for kind in TYPES]

    def files(self, collectd: Collectd) -> set[str]:
        """What a graph of the stock plugin reads: the paths below the host's folder, without the date."""
        root = collectd.dir / "csv" / "bed.example"
        return {str(path.relative_to(root))[:-11] for kind in TYPES for path in root.glob(f"ping/{kind}-*")}

    def test_as_the_stock_plugin(self):
        responder = self.responder()
        responder.host.run("ip", "address", "add", "10.98.0.7/32", "dev", "ping0")
        alive, dead = addresses(5), address(400)
        responder.set(dead=dead)
        options = "".join(f'  Host "{host}"\n' for host in (*alive, dead)) + STOCK
        seen, pairs, rates = {}, {}, {}
        for name, make in (("stock", self.stock), ("ours", self.ours)):
            collectd = make(options)
            with Wire("ping0") as wire, collectd:
                rows = lambda: len(self.values(collectd, f"ping/ping-{dead}")) >= 5
                wait_until(rows, f"five values; it said: {collectd.said}", 20)
                of_alive = lambda: [request for request in wire.requests() if request.target in alive]
                seen[name], began = of_alive(), time.monotonic()
                time.sleep(2)
                rates[name] = len(of_alive()) / len(alive) / (time.monotonic() - began)
            self.assertNotRegex(collectd.said, "unknown option|expected|Dataset|failed|too old")
            pairs[name] = collectd
        stock, ours = pairs["stock"], pairs["ours"]
        self.assertEqual(self.files(ours), self.files(stock))
        self.assertEqual(
            self.files(ours), {f"ping/{kind}-{host}" for kind in TYPES for host in (*alive, dead)}
        )
        for collectd in (stock, ours):
            for host in alive:
                latency, deviation, loss = self.of_host(collectd, host)
                self.assertGreaterEqual(min(latency), DELAY)
                self.assertLess(min(latency), DELAY + QUICK)
                self.assertLess(statistics.median(latency), DELAY + SLOW)
                self.assertLess(statistics.median(deviation), SLOW)
                self.assertEqual(set(loss), {0})
            latency, deviation, loss = self.of_host(collectd, dead)
            self.assertTrue(all(map(math.isnan, latency + deviation)))
            self.assertEqual(set(loss), {1})
        # The same packets, but for what is in them and whether they may be fragmented.
        packets = {
            name: {(request.source, request.target, request.ttl, request.size) for request in requests}
            for name, requests in seen.items()
        }
        self.assertEqual(packets["ours"], packets["stock"])
        self.assertEqual({packet[2:] for packet in packets["ours"]}, {(77, 90)})
        for rate in rates.values():
            self.assertAlmostEqual(rate, 2, delta=0.5)

    def test_daemon(self):
        """Without -f collectd forks after it has read its configuration: no thread may run by then."""
        self.responder()
        host = address(300)
        collectd = self.ours(f'  Host "{host}"\n  Interval 0.5\n  Timeout 0.4\n')
        self.bed.here.run(*daemon(), "-C", str(collectd.config))
        wait_until(lambda: len(self.values(collectd, f"ping/ping-{host}")) >= 2, collectd.said)
        self.bed.here.run("kill", (collectd.dir / "pid").read_text().strip())
        collectd.hears("Exiting normally.", 2)
        self.assertEqual(set(self.values(collectd, f"ping/ping_droprate-{host}")), {0})

    def test_six_and_names(self):
        """A name from the hosts file, and a family that is chosen by it."""
        self.responder()
        names = f"{address(300)} twofold\n{address(300, 6)} twofold\n"
        self.enterContext(instead_of(self.bed, "/etc/hosts", names))
        options = '  Host "twofold"\n  AddressFamily "ipv6"\n  Interval 0.5\n  Timeout 0.4\n'
        for make in (self.stock, self.ours):
            with Wire("ping0") as wire, make(options) as collectd:
                rows = lambda: len(self.values(collectd, "ping/ping-twofold")) >= 3
                wait_until(rows, f"three values; it said: {collectd.said}", 20)
                self.assertEqual(wire.requests(), [])  # of IPv4
            self.assertGreaterEqual(min(self.values(collectd, "ping/ping-twofold")[1:]), DELAY)
            self.assertEqual(set(self.values(collectd, "ping/ping_droprate-twofold")[1:]), {0})
            self.assertEqual(self.files(collectd), {f"ping/{kind}-twofold" for kind in TYPES})

    def test_peers(self):
        star = Star(self.bed, spokes=2)
        keys = [spoke.device.keys.public for spoke in star.spokes]
        safe = base64.urlsafe_b64encode(base64.b64decode(keys[1])).decode().rstrip("=")
        plugin = f"""LoadPlugin wireguard
<Plugin wireguard>
  PingPeers true
  PingPeerInterval "200ms"
  PingPeerTimeout "800ms"
  Names "{keys[0]}" "laptop"
</Plugin>
"""
        with Collectd(self.bed, plugin, 1) as collectd:
            peers = ("laptop", safe)
            collectd.wait_for(*(f"wireguard-wg0/{kind}-{peer}" for kind in TYPES for peer in peers))
            for peer in peers:
                wait_until(lambda: self.values(collectd, f"wireguard-wg0/ping-{peer}"), "a value")
                self.assertGreater(collectd.value(f"wireguard-wg0/ping-{peer}")["value"], 0)
                self.assertEqual(collectd.value(f"wireguard-wg0/ping_droprate-{peer}"), {"value": 0})
            self.assertFalse({name for name in collectd.identifiers() if name.startswith("ping/")})
        self.assertNotRegex(collectd.said, "Dataset not found|too old|failed")

    def test_one_that_fails_costs_only_itself(self):
        """Which silences the stock plugin altogether."""
        self.responder()
        self.enterContext(name_server(self.bed, "127.0.0.1"))  # where there is none
        self.enterContext(no_way(self.bed, "prohibit", "10.66.0.2"))
        hosts = [address(300), "10.66.0.2", "no-such.invalid", address(301)]
        options = "".join(f'  Host "{host}"\n' for host in hosts) + "  Interval 0.5\n  Timeout 0.4\n"
        with self.stock(options) as collectd:
            collectd.hears("ping_send failed")
            time.sleep(2)
            self.assertEqual(self.files(collectd), set())
        with self.ours(options) as collectd:
            rows = lambda: len(self.values(collectd, f"ping/ping-{hosts[3]}")) >= 4
            wait_until(rows, f"values; it said: {collectd.said}", 20)
        for host in (hosts[0], hosts[3]):
            self.assertEqual(set(self.values(collectd, f"ping/ping_droprate-{host}")), {0})
            self.assertGreaterEqual(min(self.values(collectd, f"ping/ping-{host}")), DELAY)
        self.assertEqual(self.values(collectd, f"ping/ping_droprate-{hosts[1]}"), [])  # nothing was lost
        self.assertTrue(all(map(math.isnan, self.values(collectd, f"ping/ping-{hosts[1]}"))))
        self.assertRegex(collectd.said, r"wireguard plugin: .*no-such\.invalid")

    def test_it_stops_as_soon_as_ever(self):
        """With probes on their way, dead hosts, and names whose server never answers."""
        responder = self.responder(delay=5000)
        self.enterContext(name_server(self.bed, address(700)))  # which never answers
        hosts = [*addresses(200), *(f"name{number}.example.org" for number in range(20))]
        responder.set(dead="odd")
        options = "".join(f'  Host "{host}"\n' for host in hosts) + "  Interval 1\n  Timeout 0.9\n"
        for round in range(5):
            with self.ours(options) as collectd, self.subTest(round):
                time.sleep(0.3 * round)
                self.assertLess(collectd.stop(), 1)
                self.assertEqual(collectd.process.returncode, 0, collectd.said)
                self.assertIn("Exiting normally.", collectd.said)
        self.assertGreater(responder.counts()["dead"], 100)

    def test_it_stops_in_the_middle_of_a_round(self):
        """Which liboping does not break off."""
        self.responder(dead=address(300))
        options = f'  Host "{address(300)}"\n  Interval 1\n  Timeout 0.9\n  Engine "oping"\n'
        with self.ours(options) as collectd:
            wait_until(lambda: self.values(collectd, f"ping/ping_droprate-{address(300)}"), "a round")
            self.assertLess(collectd.stop(), 1)
            self.assertEqual(collectd.process.returncode, 0, collectd.said)

    def test_reads_do_not_wait(self):
        self.responder(delay=5000)
        self.enterContext(name_server(self.bed, address(700)))  # which never answers
        hosts = [*addresses(100), *(f"name{number}.example.org" for number in range(20))]
        options = "".join(f'  Host "{host}"\n' for host in hosts) + "  Interval 0.5\n  Timeout 0.4\n"
        with self.ours(options, interval=0.5) as collectd:
            rows = lambda: len(self.values(collectd, f"ping/ping_droprate-{hosts[0]}")) >= 5
            wait_until(rows, f"values; it said: {collectd.said}", 20)
        self.assertNotRegex(collectd.said, "which is above its read interval|read-function")


if __name__ == "__main__":
    TELEGRAF = telegraf.build()
    bed.need({DAEMON: "collectd-core"})
    bed.main()
