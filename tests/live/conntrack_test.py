"""Connection tracking on this machine's own kernel, in a namespace: against conntrack(8), and Telegraf's and collectd's
own plugins."""

import os
import re
import unittest

import bed
import telegraf
from bed import program, wait_until
from collectd import Collectd
from line_protocol import Record, select
from programs import Execd, once, toml, write
from star import Star
from telegraf import Telegraf

CPUS = os.cpu_count()
# conntrack(8)'s names where they are not ours.
NAMES = {"error": "icmp_error", "chaintoolong": "chain_toolong", "delete": "expect_delete"}
# Telegraf takes the columns by position: these two are other columns of a newer kernel.
STIRRED = ("insert", "invalid", "icmp_error")
MISTAKEN = {"searched", "delete_list"}
THEIRS = """entries searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error
expect_new expect_create expect_delete search_restart"""
RULES = """
table inet wgvitals {
  chain in { type filter hook input priority 0; ct state invalid counter; }
  chain out { type filter hook output priority 0; ct state invalid counter; }
  chain through { type filter hook forward priority 0; ct state invalid counter; }
}
"""


def track(host: bed.Host) -> None:
    """From now on, the host tracks its connections: a rule asks for it."""
    host.run("nft", "-f", "-", input=RULES)


def stir(host: bed.Host) -> None:
    """On each CPU another number: of flows that are made, of answers to no question, of ICMP errors cut short."""
    for cpu in range(CPUS):
        on = ("taskset", "--cpu-list", str(cpu))
        for n in range(3 + 2 * cpu):
            flow = f"-p udp -s 198.51.100.{cpu + 1} -d 192.0.2.9 --sport {1000 + n} --dport 53 -t 600"
            host.run(*on, "conntrack", "-I", *flow.split())
        host.run(*on, "python3", "-c", STRAY, str(5 + 3 * cpu), str(2 + cpu))


STRAY = """
import socket, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
answers, errors = map(int, sys.argv[1:])
for n in range(answers):
    raw.sendto(bytes([0, 0, 255 - n, 254, 0, 1, 0, n]), ("127.0.0.1", 0))
for n in range(errors):
    raw.sendto(bytes([3, 1, 252, 254, 0, 0, 0, 0]), ("127.0.0.1", 0))
"""


def told_by_conntrack(host: bed.Host) -> dict[str, dict[str, int]]:
    """By cpu tag, what conntrack -S says, and -S expect."""
    cpus: dict[str, dict[str, int]] = {}
    for line in host.run("conntrack", "-S").stdout.splitlines():
        found = {NAMES.get(name, name): int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
        cpus[f"cpu{found.pop('cpu')}"] = found
    return cpus


def told_by_us(records: list[Record]) -> dict[str, Record]:
    return {record.tags["cpu"]: record for record in select(records, "conntrack") if "cpu" in record.tags}


class ConntrackTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.here = self.bed.here
        track(self.here)
        self.before = told_by_conntrack(self.here)  # the tests share a namespace
        stir(self.here)

    def tearDown(self):
        self.here.run("conntrack", "-F")
        self.here.run("nft", "flush", "ruleset")

    def sysctl(self, name: str) -> int:
        return int(self.here.run("sysctl", "-n", f"net.netfilter.nf_conntrack_{name}").stdout)

    def test_equal_to_conntrack(self):
        def quiet():
            """What they say before and after us is the same."""
            before = told_by_conntrack(self.here), self.here.run("conntrack", "-C").stdout
            ours = once(self.bed, "--uint", config=toml(conntrack_per_cpu=True))
            after = told_by_conntrack(self.here), self.here.run("conntrack", "-C").stdout
            return before == after and (*before, ours)

        theirs, count, records = wait_until(quiet, "nothing changes")
        (table,) = (record for record in select(records, "conntrack") if not record.tags)
        self.assertEqual(table.fields["ip_conntrack_count"], ("f", int(count)))
        self.assertEqual(table.fields["ip_conntrack_max"], ("f", self.sysctl("max")))
        self.assertEqual(table.fields["buckets"], ("i", self.sysctl("buckets")))
        self.assertAlmostEqual(table["percent_used"], 100 * int(count) / self.sysctl("max"))

        ours = told_by_us(records)
        self.assertEqual(ours.keys(), {"all", *theirs})
        for cpu, counters in theirs.items():
            self.assertEqual({name: ours[cpu][name] for name in counters}, counters, cpu)
        for name in counters:
            self.assertEqual(ours["all"][name], sum(one[name] for one in theirs.values()), name)
        self.assertEqual({record["entries"] for record in ours.values()}, {int(count)})
        for record in ours.values():
            self.assertEqual(record.fields.keys(), {*THEIRS.split(), "clash_resolve", "chain_toolong"})
            self.assertEqual({kind for kind, _ in record.fields.values()}, {"u"})
        # What was done on a CPU is told of that one, and in its own place: the numbers differ.
        done = [
            [ours[f"cpu{cpu}"][name] - self.before[f"cpu{cpu}"][name] for name in STIRRED]
            for cpu in range(CPUS)
        ]
        self.assertEqual([one[0] for one in done], [3 + 2 * cpu for cpu in range(CPUS)])
        for numbers in (*done, *zip(*done)):
            self.assertEqual(len(set(numbers)), len(numbers), f"{STIRRED} {done}")

    def test_only_the_sum_unless_asked(self):
        self.assertEqual(told_by_us(once(self.bed)).keys(), {"all"})

    def test_equal_to_telegraf(self):
        block = telegraf.sample_block(write(self.bed, toml(conntrack_per_cpu=True)))
        agent = Telegraf(
            self.bed,
            TELEGRAF,
            block + '  [inputs.execd.tags]\n    reader = "ours"\n'
            '[[inputs.conntrack]]\n  collect = ["all", "percpu"]\n  [inputs.conntrack.tags]\n    reader = "theirs"\n',
        )

        def same_gather():
            """By reader, then by CPU, what both said at the same time, while nothing changed."""
            records = select(agent.records(), "conntrack")
            for time in sorted({record.timestamp for record in records}):
                both = [
                    {record.tags.get("cpu"): record.fields for record in select(records, "conntrack", reader=reader)
                     if record.timestamp == time}
                    for reader in ("ours", "theirs")
                ]  # fmt: skip
                if all(len(one) == CPUS + 2 for one in both):
                    return both

        with agent:
            ours, theirs = wait_until(same_gather, "a gather of both", 30)
        self.assertEqual(ours.keys(), theirs.keys())
        for cpu, fields in theirs.items():
            if cpu is not None:
                self.assertEqual(fields.keys(), set(THEIRS.split()))
            if cpu == "all":  # theirs is the count as often as there are CPUs
                self.assertEqual(fields.pop("entries")[1], CPUS * ours["all"]["entries"][1])
            for name in fields.keys() - MISTAKEN:
                self.assertEqual(ours[cpu][name], fields[name], f"{cpu} {name}")
        for name, column in (("searched", "clash_resolve"), ("delete_list", "chain_toolong")):
            self.assertEqual(theirs["all"][name], ours["all"][column])
            self.assertEqual(ours["all"][name], ("u", 0))

    def test_equal_to_collectd(self):
        """The stock plugin's identifiers and values, and counters beyond."""
        stock = {"conntrack/conntrack", "conntrack/conntrack-max", "conntrack/percent-used"}
        with Collectd(self.bed, plugin="", more="LoadPlugin conntrack\n") as theirs:
            theirs.wait_for(*stock)
            self.assertEqual({one for one in theirs.identifiers() if one.startswith("conntrack/")}, stock)
            expected = {one: theirs.value(one) for one in stock}
        counters = {*THEIRS.split(), "clash_resolve", "chain_toolong"} - {"entries"}
        ours = {f"conntrack/derive-{name}{cpu}" for name in counters for cpu in ("", "-cpu0")}
        plugin = "LoadPlugin wireguard\n<Plugin wireguard>\n  ConntrackPerCpu true\n</Plugin>\n"
        with Collectd(self.bed, plugin) as collectd:
            collectd.wait_for(*stock, *ours, "conntrack/gauge-entries", "conntrack/gauge-buckets")
            self.assertEqual({one: collectd.value(one) for one in stock}, expected)
            (*_, row) = collectd.rows("conntrack/derive-insert-cpu0")
        self.assertEqual(int(row["value"]), told_by_conntrack(self.here)["cpu0"]["insert"])

    def test_without_the_right(self):
        """What procfs and sysctl tell is the same; flows have no other source: one complaint that names the right."""
        expected = told_by_us(once(self.bed, "--uint", config=toml(conntrack_per_cpu=True)))
        for flows in (False, True):
            config = toml(conntrack_per_cpu=True, conntrack_flows=flows, wireguard=False)
            with Execd(self.bed, config, command=[*bed.AS_NOBODY, program("wgvitals-execd")]) as execd:
                for _ in range(3):
                    records = execd.gather()
            self.assertEqual(
                {cpu: record.fields for cpu, record in told_by_us(records).items()},
                {cpu: record.fields for cpu, record in expected.items()},
            )
            said = [line for line in execd.said.splitlines() if "conntrack" in line]
            self.assertEqual(["CAP_NET_ADMIN" in line for line in said], [True] * flows)



class FlowsTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.here = self.bed.here
        track(self.here)
        self.star = Star(self.bed)

    def tearDown(self):
        self.here.run("conntrack", "-F")
        self.here.run("nft", "flush", "ruleset")

    def listed(self, port: int) -> dict[str, int]:
        """What conntrack -L says of our port at one of our addresses."""
        own = {*re.findall(r"inet6? (\S+)/", self.here.run("ip", "-o", "address").stdout)}
        told = {"flows": 0, "unreplied": 0, "assured": 0}
        timeouts = []
        for family in ("ipv4", "ipv6"):
            out = self.here.run("conntrack", "-L", "-p", "udp", "-f", family, "-o", "extended").stdout
            for line in out.splitlines():
                found = re.search(r"udp +17 (\d+) src=(\S+) .*?sport=(\d+) .*?src=(\S+) .*?sport=(\d+)", line)
                ends = [(found[2], int(found[3])), (found[4], int(found[5]))]
                if not any(address in own and at == port for address, at in ends):
                    continue
                told["flows"] += 1
                told["unreplied"] += "[UNREPLIED]" in line
                told["assured"] += "[ASSURED]" in line
                timeouts.append(int(found[1]))
        return told | ({"min_timeout_s": min(timeouts)} if timeouts else {})

    def compare(self, port: int, device: str) -> dict[str, int]:
        """Equal to what conntrack -L says before and after us; the time runs, and no more than that."""

        def quiet():
            before = self.listed(port)
            records = once(self.bed, config=toml(conntrack_flows=True))
            after = self.listed(port)
            still = [{k: v for k, v in one.items() if k != "min_timeout_s"} for one in (before, after)]
            return still[0] == still[1] and (before, after, records)

        before, after, records = wait_until(quiet, "no flow comes or goes", 20)
        (record,) = select(records, "wireguard_conntrack", device=device)
        told = {name: value for name, (_, value) in record.fields.items()}
        self.assertEqual({kind for kind, _ in record.fields.values()}, {"i"})
        self.assertEqual(told.keys(), before.keys())
        for name, value in told.items():
            low, high = sorted((before[name], after[name]))
            self.assertTrue(low <= value <= high, f"{name} {low} <= {value} <= {high}")
        return told

    def insert(self, *words: str) -> None:
        self.here.run("conntrack", "-I", "-p", "udp", *words)

    def test_flows_of_a_tunnel(self):
        told = self.compare(self.star.hub.port, "wg0")
        # The spokes that shook hands, one of them by IPv6.
        self.assertEqual((told["flows"], told["unreplied"]), (3, 0))
        self.assertGreater(told["min_timeout_s"], 0)

    def test_a_peer_that_does_not_answer(self):
        port = self.star.hub.port
        self.insert("-s", self.star.link.a.v4, "-d", "192.0.2.7", "--sport", str(port), "--dport", "9", "-t", "25")
        told = self.compare(port, "wg0")
        self.assertEqual((told["flows"], told["unreplied"]), (4, 1))
        self.assertLessEqual(told["min_timeout_s"], 25)

    def test_a_mapping_that_is_kept(self):
        self.insert(
            *("-s", self.star.link.b.v4, "-d", self.star.link.a.v4, "--sport", "7", "-t", "90"),
            *("--dport", str(self.star.hub.port), "-u", "SEEN_REPLY,ASSURED"),
        )
        told = self.compare(self.star.hub.port, "wg0")
        self.assertEqual((told["flows"], told["unreplied"]), (4, 0))
        self.assertGreaterEqual(told["assured"], 1)

    def test_what_is_only_forwarded(self):
        """Others' tunnels with the same port are not ours."""
        port = str(self.star.hub.port)
        for n, ports in enumerate((("--sport", port, "--dport", "9"), ("--sport", "9", "--dport", port))):
            self.insert("-s", f"198.51.100.{n}", "-d", "192.0.2.7", *ports, "-t", "5", "-u", "SEEN_REPLY")
        told = self.compare(self.star.hub.port, "wg0")
        self.assertEqual(told["flows"], 3)

    def test_a_table_too_large(self):
        config = toml(conntrack_flows=True, conntrack_flows_max=2)
        done = self.here.run(program("wgvitals"), "once", "--config", write(self.bed, config))
        self.assertNotIn("wireguard_conntrack", done.stdout)
        self.assertIn("conntrack_flows_max", done.stderr)

    def test_nothing_unless_asked(self):
        self.assertEqual(select(once(self.bed), "wireguard_conntrack"), [])

    def test_another_namespace(self):
        beyond = self.bed.host("beyond", own_sockets=False)
        link = self.bed.join(self.here, beyond)
        track(beyond)
        self.here.run("ip", "address", "add", "10.99.0.1/24", "dev", self.star.hub.name)
        far = beyond.device("wg9", "10.99.0.2/24", port=40009)
        far.add_peer(self.star.hub.keys.public, "10.99.0.1/32", f"{link.a.v4}:{self.star.hub.port}")
        self.star.hub.add_peer(far.keys.public, "10.99.0.2/32", f"{link.b.v4}:{far.port}")
        far.ping("10.99.0.1", count=1)

        records = once(self.bed, config=toml(conntrack_flows=True, netns=["beyond"]))
        (record,) = select(records, "wireguard_conntrack", device="wg9")
        self.assertEqual(record.tags["netns"], "beyond")
        self.assertEqual((record["flows"], record["unreplied"]), (1, 0))
        (table,) = (one for one in select(records, "conntrack", netns="beyond") if "cpu" not in one.tags)
        self.assertEqual(table["ip_conntrack_count"], int(beyond.run("conntrack", "-C").stdout))
        theirs = told_by_conntrack(beyond)
        (counted,) = select(records, "conntrack", netns="beyond", cpu="all")
        self.assertEqual(counted["found"], sum(one["found"] for one in theirs.values()))
        own = [one for one in select(records, "conntrack") if "netns" not in one.tags]
        self.assertEqual(len(own), 2)

    def test_a_device_moved_into_a_namespace(self):
        """Its socket, and so its flows, stay where it was made."""
        self.bed.host("beyond", own_sockets=False)
        name = self.star.hub.name
        self.here.run("ip", "link", "set", name, "netns", "beyond")
        records = once(self.bed, config=toml(conntrack_flows=True, netns=["beyond"]))
        (record,) = select(records, "wireguard_conntrack", device=name)
        self.assertEqual((record.tags["netns"], record["flows"], record["unreplied"]), ("beyond", 3, 0))
        (transport,) = select(records, "wireguard_transport", device=name)
        self.assertGreater(transport["socket_rcvbuf_bytes"], 0)


if __name__ == "__main__":
    bed.need({"nft": "nftables", "conntrack": "conntrack", "taskset": "util-linux", "sysctl": "procps"})
    TELEGRAF = telegraf.build()
    bed.main()
