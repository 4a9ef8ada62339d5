"""What the host does to its tunnels: sockets that overflow, fragments, the links below."""

import json
import os
import pathlib
import re
import signal
import socket
import unittest

import bed
import fake_uapi
import telegraf
from bed import wait_until
from fake_uapi import FakeUapi
from line_protocol import Record, select
from programs import Execd, once, toml
from telegraf import Telegraf

FLOOD = 20000  # datagrams, at most


def counters(host: bed.Host) -> dict[str, int]:
    """/proc/net/snmp and snmp6 as Telegraf's nstat names them: UdpInErrors, Udp6InErrors."""
    found = {}
    lines = host.run("cat", "/proc/thread-self/net/snmp").stdout.splitlines()
    for names, values in zip(lines[::2], lines[1::2]):
        table, *columns = names.split()
        found |= {table[:-1] + name: int(value) for name, value in zip(columns, values.split()[1:])}
    for line in host.run("cat", "/proc/thread-self/net/snmp6").stdout.splitlines():
        name, value = line.split()
        found[name] = int(value)
    return found


def of_both(seen: dict[str, int], name: str) -> int:
    return seen[name] + seen[re.sub(r"^(Udp|Ip)", r"\g<1>6", name)]


def send_whole(address: str, sizes) -> None:
    """UDP datagrams that may not be fragmented and that keep to no path MTU, to a port where nobody listens."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    level, discover = (socket.IPPROTO_IPV6, 23) if ":" in address else (socket.IPPROTO_IP, 10)  # *_MTU_DISCOVER
    for size in sizes:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(level, discover, 3)  # *_PMTUDISC_PROBE, linux/in.h and in6.h
            sender.sendto(b"x" * size, (address, 9))


SUMS = {
    "udp_rcvbuf_errors": "UdpRcvbufErrors",
    "udp_sndbuf_errors": "UdpSndbufErrors",
    "udp_in_errors": "UdpInErrors",
    "ip_frag_fails": "IpFragFails",
    "ip_frag_creates": "IpFragCreates",
    "ip_reasm_fails": "IpReasmFails",
}


class HostTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.here = self.bed.here

    def tell(self, execd: Execd) -> Record:
        (record,) = select(execd.gather(), "wireguard_host")
        return record

    def execd(self, host: bed.Host | None = None, **options) -> Execd:
        return self.enterContext(Execd(self.bed, toml(**options), host=host))

    def assert_counters(self, record: Record, host: bed.Host) -> None:
        """Nothing happens meanwhile, so that both are equal."""
        seen = counters(host)
        for field, name in SUMS.items():
            self.assertEqual(record[field], of_both(seen, name), field)
        self.assertEqual(record["icmp6_in_too_big"], seen["Icmp6InPktTooBigs"])
        self.assertEqual(record["tcp_retrans_segs"], seen["TcpRetransSegs"])

    def test_a_device_whose_socket_overflows(self):
        """A device that is only its UAPI socket, and a UDP socket of its port that nobody reads."""
        self.enterContext(FakeUapi(bed.UAPI_DIR, "wg0", fake_uapi.healthy(1)))
        execd = self.execd()
        before = execd.gather()
        self.assertEqual(select(before, "wireguard_transport"), [])  # has no socket yet
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as v4, socket.socket(
            socket.AF_INET6, socket.SOCK_DGRAM
        ) as v6:
            v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            room = 0
            for one, size in ((v4, 8192), (v6, 16384)):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
                room += one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            v4.bind(("", 51820))
            v6.bind(("", 51820))
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
                for n in range(50):
                    sender.sendto(b"x" * 1000, ("::ffff:127.0.0.1", 51820))
                for n in range(70):
                    sender.sendto(b"x" * 1000, ("::1", 51820))
            records = execd.gather()
            (record,) = select(records, "wireguard_transport", device="wg0")
            rows = [
                line.split()
                for name in ("udp", "udp6")
                for line in pathlib.Path("/proc/net", name).read_text().splitlines()
                if ":CA6C " in line
            ]
            self.assertEqual(len(rows), 2)
            drops = sum(int(row[12]) for row in rows)
            self.assertGreater(drops, 60)
            self.assertLess(drops, 120)
            self.assertEqual(record["socket_drops"], drops)
            self.assertEqual(record["socket_rx_queue_bytes"], sum(int(row[4].split(":")[1], 16) for row in rows))
            self.assertGreater(record["socket_rx_queue_bytes"], 8192)
            self.assertEqual(record["socket_rcvbuf_bytes"], room)
            self.assertEqual(record["socket_tx_queue_bytes"], 0)
            said = self.here.run("ss", "-uanmH", "sport = :51820").stdout
            self.assertEqual(record["socket_drops"], sum(map(int, re.findall(r"\bd(\d+)\)", said))))
            (host,) = select(records, "wireguard_host")
            lost = host["udp_rcvbuf_errors"] - select(before, "wireguard_host")[0]["udp_rcvbuf_errors"]
            self.assertEqual(lost, drops)
            self.assert_counters(host, self.here)

    def test_a_real_tunnel(self):
        """wireguard-go, held while its port is flooded, has lost packets afterwards."""
        device = self.here.device("wg0", "10.9.0.1/24", daemon=bed.WIREGUARD_GO)
        execd = self.execd()
        (before,) = select(execd.gather(), "wireguard_transport", device="wg0")
        self.assertEqual(before["socket_drops"], 0)
        said = self.here.run("ss", "-uanmH", "sport = :51820").stdout
        self.assertEqual(before["socket_rcvbuf_bytes"], sum(map(int, re.findall(r"\brb(\d+)", said))))
        lost = counters(self.here)["UdpRcvbufErrors"]  # by the tests before
        dropped = lambda: counters(self.here)["UdpRcvbufErrors"] - lost
        os.kill(device.process.pid, signal.SIGSTOP)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for n in range(FLOOD):
                    sender.sendto(b"x" * 1400, ("127.0.0.1", 51820))
                    if n % 500 == 0 and dropped() > 0:
                        break
        finally:
            os.kill(device.process.pid, signal.SIGCONT)
        self.assertGreater(dropped(), 0)

        def after() -> Record | None:  # the daemon has to take what waits first
            found = select(execd.gather(), "wireguard_transport", device="wg0")
            return found[0] if found and found[0]["socket_rx_queue_bytes"] == 0 else None

        self.assertEqual(wait_until(after, "an empty queue")["socket_drops"], dropped())

    def test_equal_to_telegraf(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as full, socket.socket(
            socket.AF_INET, socket.SOCK_DGRAM
        ) as sender:
            full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            full.bind(("127.0.0.1", 0))
            for n in range(30):
                sender.sendto(b"x" * 1000, full.getsockname())
        theirs = {}
        for record in Telegraf(self.bed, TELEGRAF, "[[inputs.nstat]]\n  dump_zeros = true\n").test():
            if record.name == "nstat":
                theirs |= {name: number for name, (_, number) in record.fields.items()}
        ours = self.tell(self.execd())
        for field, name in SUMS.items():
            self.assertEqual(ours[field], of_both(theirs, name), field)
        self.assertEqual(ours["icmp6_in_too_big"], theirs["Icmp6InPktTooBigs"])
        self.assertEqual(ours["tcp_retrans_segs"], theirs["TcpRetransSegs"])
        self.assertGreater(ours["udp_rcvbuf_errors"], 20)

    def test_packets_too_large(self):
        """A router whose next link is narrow: it counts what does not pass, and the sender is told."""
        near, far = self.bed.host("near"), self.bed.host("far")
        first, narrow = self.bed.join(self.here, near), self.bed.join(near, far)
        near.run("ip", "link", "set", narrow.name, "mtu", "1300")
        near.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        near.run("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        for family, gateway, back in (("-4", first.b.v4, narrow.a.v4), ("-6", first.b.v6, narrow.a.v6)):
            self.here.run("ip", family, "route", "add", "default", "via", gateway)
            far.run("ip", family, "route", "add", "default", "via", back)
        # They share a file of configuration.
        sender, router = self.execd(host_frag_needed=True), self.execd(near, host_frag_needed=True)
        mine, before = self.tell(sender), self.tell(router)
        self.assertEqual(mine["icmp_in_frag_needed"], 0)
        unreachable, too_big = (counters(self.here)[name] for name in ("IcmpInDestUnreachs", "Icmp6InPktTooBigs"))
        self.assert_counters(before, near)
        sizes = (1400, 1410, 1420)
        send_whole(narrow.b.v4, sizes)
        send_whole(narrow.b.v6, sizes)
        send_whole(narrow.b.v4, [100])  # to a port where nobody listens: unreachable, but not too large
        wait_until(lambda: counters(self.here)["IcmpInDestUnreachs"] == unreachable + len(sizes) + 1, "all ICMP errors")
        wait_until(lambda: counters(self.here)["Icmp6InPktTooBigs"] == too_big + len(sizes), "all of ICMPv6")
        mine, after = self.tell(sender), self.tell(router)
        self.assertEqual(mine["icmp_in_frag_needed"], len(sizes))
        self.assertEqual(mine["icmp6_in_too_big"], too_big + len(sizes))
        self.assert_counters(mine, self.here)
        self.assertEqual(after["ip_frag_fails"] - before["ip_frag_fails"], 2 * len(sizes))
        self.assert_counters(after, near)
        near.run("ping", "-n", "-q", "-M", "dont", "-c", "1", "-W", "1", "-s", "4000", narrow.b.v4, check=False)
        fragments = self.tell(router)
        self.assertGreaterEqual(fragments["ip_frag_creates"] - after["ip_frag_creates"], 4)
        self.assert_counters(fragments, near)

    def test_the_links_below_a_tunnel(self):
        server, other = self.bed.host("server"), self.bed.host("other")
        one, two = self.bed.join(self.here, server), self.bed.join(self.here, other)
        self.here.run("ip", "link", "set", two.name, "mtu", "1400")
        device = self.here.device("wg0", "10.9.0.1/24", daemon=bed.WIREGUARD_GO)
        device.add_peer(bed.Keys.make().public, "10.9.0.2/32", f"{one.b.v4}:51820")
        device.add_peer(bed.Keys.make().public, "10.9.0.3/32", f"[{two.b.v6}]:51820")
        device.add_peer(bed.Keys.make().public, "10.9.0.4/32")
        execd = self.execd()

        def told() -> dict[str, Record]:
            records = select(execd.gather(), "wireguard_underlay", device="wg0")
            return {record.tags["link"]: record for record in records}

        self.assertEqual(set(told()), {one.name, two.name})
        # A veth drops what is larger than its other end's MTU.
        server.run("ip", "link", "set", one.name + "b", "mtu", "1000")
        send_whole(one.b.v4, [1400] * 5)
        records = told()
        self.assertEqual((records[one.name]["tx_dropped"], records[two.name]["tx_dropped"]), (5, 0))
        for name, record in records.items():
            link = json.loads(self.here.run("ip", "-s", "-s", "-j", "link", "show", name).stdout)[0]
            stats = link["stats64"]
            self.assertEqual(record["mtu"], {one.name: 1500, two.name: 1400}[name])
            for field, (way, what) in {
                "rx_errors": ("rx", "errors"),
                "tx_errors": ("tx", "errors"),
                "rx_dropped": ("rx", "dropped"),
                "tx_dropped": ("tx", "dropped"),
            }.items():
                self.assertEqual(record[field], stats[way][what], field)

    def test_another_namespace(self):
        far = self.bed.host("far", own_sockets=False)
        far.device("wgfar", "10.9.0.1/24", port=51999, daemon=bed.WIREGUARD_GO)
        far.run("bash", "-c", "echo x > /dev/udp/127.0.0.1/9; echo x > /dev/udp/127.0.0.1/51999")
        execd = self.execd(netns=["far"])
        records = wait_until(
            lambda: (found := execd.gather()) and select(found, "wireguard_transport") and found, "its socket"
        )
        (transport,) = select(records, "wireguard_transport", device="wgfar", netns="far")
        self.assertGreater(transport["socket_rcvbuf_bytes"], 0)
        (host,) = select(records, "wireguard_host", netns="far")
        self.assert_counters(host, far)
        self.assertNotIn("cpu_busiest", host.fields)
        own = [record for record in select(records, "wireguard_host") if "netns" not in record.tags]
        self.assert_counters(own[0], self.here)

    def test_cpu_time(self):
        """A process that uses one CPU up shows, whatever else the machine does."""
        execd = self.execd(sample_interval="0s")
        first = self.tell(execd)
        self.assertNotIn("cpu_max_busy_percent", first.fields)
        busy = self.here.start("sh", "-c", "while :; do :; done")
        ticks = lambda: int(pathlib.Path(f"/proc/{busy.pid}/stat").read_text().split()[13])
        wait_until(lambda: ticks() >= 50, "half a second of CPU time", 30)
        then = self.tell(execd)
        self.assertGreater(then["cpu_max_busy_percent"], 30)
        self.assertLessEqual(then["cpu_max_busy_percent"], 100)
        self.assertIn(then["cpu_busiest"], range(os.cpu_count() or 1))
        self.assertIn(then["clock_synchronised"], (0, 1))
        for name in ("rmem_max", "wmem_max"):
            path = pathlib.Path("/proc/sys/net/core", name)
            if path.exists():  # not in every namespace of every kernel
                self.assertEqual(then[name], int(path.read_text()))

    def test_without_rights(self):
        """All of it but the ICMP counter, whose right is named once."""
        config = self.bed.dir / "public.toml"
        config.write_text(toml(host_frag_needed=True, sample_interval="0s"))
        config.chmod(0o644)
        command = [*bed.AS_NOBODY, bed.program("wgvitals-execd")]
        execd = self.enterContext(Execd(self.bed, config, command=command))
        for _ in range(2):
            record = self.tell(execd)
            self.assertNotIn("icmp_in_frag_needed", record.fields)
            self.assertIn("softnet_dropped", record.fields)
        self.assertEqual(execd.said.count("CAP_NET_RAW"), 1, execd.said)
        complaints = [line for line in execd.said.splitlines() if "host: " in line]
        self.assertEqual(len(complaints), 1, execd.said)

    def test_once_tells_no_rates(self):
        (record,) = select(once(self.bed, config=toml(host_frag_needed=True)), "wireguard_host")
        self.assertLessEqual({"udp_rcvbuf_errors", "softnet_dropped"}, set(record.fields))
        since = {"cpu_max_busy_percent", "irq_busiest_cpu_percent", "icmp_in_frag_needed"}
        self.assertFalse(since & set(record.fields))


if __name__ == "__main__":
    bed.need({"ss": "iproute2"})
    TELEGRAF = telegraf.build()
    bed.main()
