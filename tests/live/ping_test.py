"""Pings of hosts by wgvitals-execd, against the truth about each."""

import pathlib
import shutil
import signal
import time

import bed
from bed import AS_NOBODY, program, wait_until
from line_protocol import Record, select
from ping_lines import (
    DELAY,
    RESPONSES,
    PingTest,
    Wire,
    config,
    instead_of,
    name_server,
    no_way,
    numbers,
    sums,
)
from programs import Execd
from responder import Responder, address, addresses


class LossTest(PingTest):
    def test_lost_are_exactly_those_that_were_dropped(self):
        """Gather by gather: each burst has ended by the time of the next."""
        responder, burst = self.responder(loss=0.1, seed=5), 10
        hosts = addresses(20) + addresses(20, 6)
        block = {"hosts": hosts, "count": burst, "interval": "30ms", "timeout": "500ms", "backoff": 1}
        execd = self.execd(config(block))
        gathers = [execd.gather(seconds=8)]
        for _ in range(3):
            time.sleep(1.5)
            gathers.append(execd.gather())
        fates: dict[str, list[str]] = {host: [] for host in hosts}
        for probe in responder.probes():
            fates[probe.address].append(probe.fate)
        lost = 0
        for number, records in enumerate(gathers):
            for host in hosts:
                dropped = fates[host][number * burst : (number + 1) * burst].count("lost")
                line = numbers(records, host)
                self.assertEqual(
                    (line["packets_transmitted"], line["packets_received"], line["packets_unsent"]),
                    (burst, burst - dropped, 0),
                    host,
                )
                self.assertAlmostEqual(line["percent_packet_loss"], 100 * dropped / burst)
                self.assertGreaterEqual(line["minimum_response_ms"], DELAY)
                lost += dropped
        self.assertGreater(lost, 100)  # of 1,600
        self.assertEqual(execd.said, "")

    def test_all_the_time(self):
        responder, hosts = self.responder(loss=0.1, seed=6), addresses(20)
        block = {"hosts": hosts, "interval": "50ms", "timeout": "300ms", "backoff": 1}
        execd = self.execd(config(block))
        gathers = [execd.gather(seconds=8)]
        for _ in range(3):
            time.sleep(0.7)
            gathers.append(execd.gather())
        responder.set(loss=0)
        time.sleep(0.6)  # what was lost is known to be
        gathers.append(execd.gather())
        truth = responder.addresses()
        for host in hosts:
            total = sums(gathers, host)
            self.assertEqual(total["packets_transmitted"] - total["packets_received"], truth[host]["lost"])
            self.assertEqual(total["late"] + total["duplicates"] + total["packets_unsent"], 0)
            # But for those of the last moment.
            self.assertAlmostEqual(total["packets_received"], truth[host]["answered"], delta=10)

    def test_a_dead_host(self):
        """Is probed ever less, but once a gather; and at the full rate as soon as it answers."""
        responder, (alive, dead) = self.responder(), addresses(2)
        responder.set(dead=dead)
        execd = self.execd(config({"hosts": [alive, dead], "interval": "50ms", "timeout": "200ms"}))
        lines = [numbers(execd.gather(seconds=8), dead)]
        for _ in range(6):
            time.sleep(1)
            lines.append(numbers(execd.gather(), dead))
        for line in lines:
            self.assertEqual(
                (line["result_code"], line["percent_packet_loss"], line["packets_received"]), (1, 100, 0)
            )
            self.assertGreaterEqual(line["packets_transmitted"], 1)
            self.assertFalse(RESPONSES & line.keys())
        got = responder.addresses()
        self.assertGreater(got[alive]["answered"], 100)
        # Its first three, one after 2, 4, 8 intervals, then every 16 of 50 ms.
        self.assertLess(got[dead]["dead"], 25)

        responder.set(alive=dead)
        before = responder.addresses()[dead]["answered"]
        wait_until(lambda: responder.addresses()[dead]["answered"] > before, "an answer")
        execd.gather()
        time.sleep(1)
        line = numbers(execd.gather(), dead)
        self.assert_alive(line, DELAY)
        self.assertGreaterEqual(line["packets_received"], 15)

    def test_a_dead_host_is_in_every_gather(self):
        """Also in the first ones, when nobody can know how far apart they are to be; here the very first one
        waits for a name as long as it may."""
        self.enterContext(name_server(self.bed, address(700)))  # which never answers
        host = address(300)
        self.responder(dead=host)
        block = {"hosts": [host, "name.example.org"], "interval": "200ms", "timeout": "180ms"}
        execd = self.execd(config(block))
        execd.gather(seconds=8)
        for _ in range(4):
            time.sleep(1)
            self.assertEqual(numbers(execd.gather(), host)["percent_packet_loss"], 100)

    def test_a_process_that_stood_still_blames_nobody(self):
        """Replies that came meanwhile are judged by when they came."""
        self.responder()
        hosts = addresses(5) + addresses(5, 6)
        execd = self.execd(config({"hosts": hosts, "interval": "25ms", "timeout": "400ms"}))
        execd.gather(seconds=8)
        for _ in range(2):
            execd.process.send_signal(signal.SIGSTOP)
            time.sleep(2)
            execd.process.send_signal(signal.SIGCONT)
            time.sleep(0.3)
            records = execd.gather()
            for host in hosts:
                line = numbers(records, host)
                self.assert_alive(line, DELAY)
                self.assertLess(line["maximum_response_ms"], 400)
                self.assertLess(line["packets_transmitted"], 60)  # what was missed is not made up for


class TroubleTest(PingTest):
    """Hosts that cannot be reached, beside those that can."""

    GONE = {"unreachable": "10.66.0.1", "prohibit": "10.66.0.2", "blackhole": "10.66.0.3"}
    GONE6 = {"unreachable": "fd66::1", "prohibit": "fd66::2", "blackhole": "fd66::3"}

    def test_cost_only_themselves(self):
        self.responder()
        self.enterContext(name_server(self.bed, "127.0.0.1"))  # where there is none
        for routes, more in ((self.GONE, "192.0.2.1"), (self.GONE6, "2001:db8:ffff::1")):
            for kind, host in routes.items():
                self.enterContext(no_way(self.bed, kind, host))
        gone = [*self.GONE.values(), *self.GONE6.values(), "192.0.2.1", "2001:db8:ffff::1"]
        alive = addresses(10) + addresses(10, 6)
        mixed = [host for pair in zip(alive, gone + ["no-such.invalid"] * 10) for host in pair]
        block = {"hosts": list(dict.fromkeys(mixed)), "interval": "50ms", "timeout": "300ms"}
        execd = self.execd(config(block))
        for records in (execd.gather(seconds=8), self.again(execd), self.again(execd)):
            for host in alive[:9]:
                self.assert_alive(numbers(records, host), DELAY)
            for host in gone:
                with self.subTest(host):
                    self.assert_unsent(numbers(records, host))
        self.assertEqual(numbers(records, "no-such.invalid"), {"result_code": 2})
        self.assertRegex(execd.said, r"(?m)^[EW]! .*no-such\.invalid")
        resolved = {
            record["resolved_address"]
            for record in select(records, "ping")
            if "resolved_address" in record.fields
        }
        self.assertLessEqual(set(alive[:9]), resolved)

    def again(self, execd: Execd) -> list[Record]:
        time.sleep(0.5)
        return execd.gather()

    def test_a_route_that_comes_and_goes(self):
        self.responder()
        host = address(300)
        with no_way(self.bed, "unreachable", host):
            execd = self.execd(config({"hosts": [host], "interval": "50ms", "timeout": "300ms"}))
            self.assert_unsent(numbers(execd.gather(seconds=8), host))
        execd.gather()
        time.sleep(0.5)
        self.assert_alive(numbers(execd.gather(), host), DELAY)

    def test_what_our_own_queue_drops_never_left(self):
        self.responder()
        hosts = [address(300), address(300, 6)]
        self.bed.here.run("tc", "qdisc", "replace", "dev", "ping0", "root", "bfifo", "limit", "1")
        execd = self.execd(config({"hosts": hosts, "interval": "50ms", "timeout": "300ms"}))
        records = execd.gather(seconds=8)
        for host in hosts:
            with self.subTest(host):
                self.assert_unsent(numbers(records, host))

    def test_a_device_that_is_made_anew(self):
        """Its number is another one, to which no socket is bound any more."""
        hosts = [address(300), address(300, 6)]
        execd = None
        for _ in range(2):
            with Responder(self.bed.here, delay=DELAY):
                block = {"hosts": hosts, "device": "ping0", "interval": "50ms", "timeout": "300ms"}
                execd = execd or self.execd(config(block))
                for host in hosts:
                    with self.subTest(host):
                        alive = lambda: numbers(self.again(execd), host).get("percent_packet_loss") == 0
                        wait_until(alive, "answers by the device", 40)
            self.again(execd)  # tells of those that were on their way
            records = self.again(execd)
            for host in hosts:
                with self.subTest(host):
                    self.assert_unsent(numbers(records, host))
        self.assertRegex(execd.said, "(?m)^[EW]! .*ping0")

    def test_what_a_block_says_of_its_packets(self):
        self.responder()
        self.bed.here.run("ip", "address", "add", "10.98.0.7/32", "dev", "ping0")
        self.bed.here.run("ip", "rule", "add", "fwmark", "7", "prohibit")
        self.addCleanup(self.bed.here.run, "ip", "rule", "delete", "fwmark", "7", "prohibit")
        plain, odd, marked = addresses(3)
        shared = {"interval": "100ms", "timeout": "300ms"}
        special = {"ttl": 9, "size": 1000, "tos": 184, "dont_fragment": True, "source_address": "10.98.0.7"}
        with Wire("ping0") as wire:
            text = config(
                {"hosts": [plain]} | shared,
                {"hosts": [odd], "device": "ping0"} | shared | special,
                {"hosts": [marked], "mark": 7} | shared,
            )
            records = self.execd(text).gather(seconds=8)
            requests = {request.target: request for request in wire.requests()}
        for host in (plain, odd):
            self.assert_alive(numbers(records, host), DELAY)
        self.assert_unsent(numbers(records, marked))
        seen = requests[odd]
        self.assertEqual(
            (seen.ttl, seen.size, seen.tos, seen.dont_fragment, seen.source),
            (9, 1000, 184, True, "10.98.0.7"),
        )
        seen = requests[plain]
        self.assertEqual((seen.ttl, seen.size, seen.tos, seen.source), (64, 56, 0, "10.98.0.1"))


class NamesTest(PingTest):
    def setUp(self):
        super().setUp()
        self.enterContext(name_server(self.bed, "127.0.0.1"))  # where there is none
        self.enterContext(instead_of(self.bed, "/etc/hosts", ""))
        self.hosts = self.bed.dir / "hosts"
        block = {"hosts": ["name"], "interval": "50ms", "timeout": "300ms", "max_missed": 3}
        self.text = config(block | {"address_family": "ipv4"})

    def wait_for(self, execd: Execd, where: str, loss: float) -> None:
        def there() -> bool:
            time.sleep(0.4)
            records = execd.gather()
            resolved = [
                record["resolved_address"]
                for record in select(records, "ping", url="name")
                if "resolved_address" in record.fields
            ]
            return resolved == [where] and numbers(records, "name").get("percent_packet_loss") == loss

        wait_until(there, f"loss {loss} at {where}, where was said: {execd.said}", 20)

    def test_a_name_that_moves(self):
        """After some lost probes it is asked for anew; while it fails its last address stays."""
        first, second = addresses(2)
        responder = self.responder()
        self.hosts.write_text(f"{first} name\n")
        execd = self.execd(self.text)
        self.wait_for(execd, first, loss=0)
        self.hosts.write_text(f"{second} name\n")
        time.sleep(1)
        self.wait_for(execd, first, loss=0)
        responder.set(dead=first)
        self.wait_for(execd, second, loss=0)
        self.assertEqual(execd.said, "")
        self.hosts.write_text("")
        responder.set(dead=second)
        self.wait_for(execd, second, loss=100)
        execd.hears("name: ", 20)
        responder.set(alive=second)
        self.wait_for(execd, second, loss=0)

    def test_a_name_that_comes_to_exist(self):
        self.responder()
        execd = self.execd(self.text)
        records = execd.gather(seconds=8)
        self.assertEqual(numbers(records, "name"), {"result_code": 2})
        execd.hears("name: ")
        self.hosts.write_text(f"{address(300)} name\n")
        self.wait_for(execd, address(300), loss=0)


class EndTest(PingTest):
    def test_what_was_asked_before_the_end_has_a_window(self):
        self.responder()
        host = address(300)
        for more in ({}, {"count": 4, "interval": "100ms", "timeout": "900ms"}):
            execd = self.execd(config({"hosts": [host]} | more))
            execd.trigger()
            self.assertEqual(execd.end(), 0)
            self.assert_alive(numbers(execd.records(), host), DELAY)
            self.assertEqual(execd.said, "")

    def test_it_ends_as_soon_as_ever(self):
        """With probes on their way, and names whose server never answers; nor do gathers wait for them."""
        self.responder(delay=5000)
        self.enterContext(name_server(self.bed, address(700)))  # which never answers
        hosts = [*addresses(100), *(f"name{number}.example.org" for number in range(20))]
        for signalled in (False, True):
            execd = self.execd(config({"hosts": hosts, "interval": "200ms", "timeout": "180ms"}))
            execd.gather(seconds=8)
            time.sleep(1)
            started = time.monotonic()
            self.assertEqual(numbers(execd.gather(), hosts[0])["percent_packet_loss"], 100)
            self.assertLess(time.monotonic() - started, 1)
            started = time.monotonic()
            if signalled:
                execd.process.terminate()
            self.assertEqual(execd.wait() if signalled else execd.end(), 0)
            self.assertLess(time.monotonic() - started, 0.7)


class RightsTest(PingTest):
    RANGE = pathlib.Path("/proc/sys/net/ipv4/ping_group_range")  # of our namespace

    def unprivileged(self, text: str, capabilities: str = "") -> Execd:
        """As a user without any right, by a copy of the program that has these to give."""
        copy = self.bed.dir / "wgvitals-execd"
        shutil.copy(program("wgvitals-execd"), copy)
        if capabilities:
            self.bed.here.run("setcap", f"{capabilities}=p", str(copy))
        return self.execd(text, command=[*AS_NOBODY, "--inh-caps=-all", str(copy)])

    def test_datagram_sockets(self):
        responder = self.responder()
        self.RANGE.write_text("0 2147483647")
        hosts = addresses(20) + addresses(20, 6)
        responder.set(dead=hosts[3])
        execd = self.unprivileged(config({"hosts": hosts, "interval": "50ms", "timeout": "300ms"}))
        execd.gather(seconds=8)
        time.sleep(1)
        records = execd.gather()
        for host in hosts:
            if host == hosts[3]:
                self.assertEqual(numbers(records, host)["percent_packet_loss"], 100)
            else:
                self.assert_alive(numbers(records, host), DELAY)
        self.assertNotIn("ping", execd.said)

    def test_no_socket_at_all(self):
        self.responder()
        self.RANGE.write_text("1 0")
        hosts = addresses(3) + addresses(3, 6)
        execd = self.unprivileged(config({"hosts": hosts, "interval": "50ms", "timeout": "300ms"}))
        for seconds in (8, 5, 5):
            records = execd.gather(seconds=seconds)
            time.sleep(0.5)
            self.assertTrue(select(records, "wgvitals", collector="engine"))
            for host in hosts:
                self.assert_unsent(numbers(records, host))
        said = [line for line in execd.said.splitlines() if "CAP_NET_RAW" in line]
        self.assertEqual(len(said), 1, execd.said)
        self.assertRegex(said[0], "^[EW]! .*ping.*ping_group_range")

    def test_the_remedy(self):
        """That the message names, for devices, too."""
        self.responder()
        self.RANGE.write_text("1 0")
        plain, bound = address(300), address(301, 6)
        shared = {"interval": "50ms", "timeout": "300ms"}
        text = config({"hosts": [plain]} | shared, {"hosts": [bound], "device": "ping0"} | shared)
        execd = self.unprivileged(text, "cap_net_raw")
        records = execd.gather(seconds=8)
        for host in (plain, bound):
            self.assert_alive(numbers(records, host), DELAY)
        self.assertNotIn("ping", execd.said)

    def test_a_right_that_comes_is_used(self):
        self.responder()
        self.RANGE.write_text("1 0")
        host = address(300)
        execd = self.unprivileged(config({"hosts": [host], "interval": "50ms", "timeout": "300ms"}))
        self.assert_unsent(numbers(execd.gather(seconds=8), host))
        self.RANGE.write_text("0 2147483647")

        def alive() -> bool:
            time.sleep(0.3)
            return numbers(execd.gather(), host).get("percent_packet_loss") == 0

        wait_until(alive, "answers", 40)


class OpingTest(PingTest):
    def test_the_same_line(self):
        self.responder(dead=address(259))
        ours, theirs, dead = addresses(2)[0], addresses(2)[1], address(259)
        shared = {"interval": "200ms", "timeout": "150ms"}
        text = config(
            {"hosts": [ours]} | shared,
            {"hosts": [theirs, dead], "engine": "oping"} | shared,
        )
        execd = self.execd(text)
        execd.gather(seconds=8)
        time.sleep(1.5)
        records = execd.gather()
        lines = [numbers(records, host) for host in (ours, theirs)]
        self.assertEqual(lines[0].keys(), lines[1].keys())
        for line in lines:
            self.assert_alive(line, DELAY)
            self.assertGreaterEqual(line["packets_transmitted"], 4)
        self.assertEqual(lines[0]["ttl"], lines[1]["ttl"])
        line = numbers(records, dead)
        self.assertEqual((line["result_code"], line["percent_packet_loss"]), (1, 100))
        self.assertEqual(execd.said, "")

    def test_no_more_than_it_can_do(self):
        self.responder()
        hosts, own = addresses(130), address(500)
        shared = {"interval": "500ms", "timeout": "400ms"}
        text = config({"hosts": hosts, "engine": "oping"} | shared, {"hosts": [own]} | shared)
        execd = self.execd(text)
        execd.gather(seconds=8)
        time.sleep(1.2)
        records = execd.gather()
        for host in [*hosts[:128], own]:
            self.assert_alive(numbers(records, host), DELAY)
        self.assertFalse([record for record in select(records, "ping") if record.tags["url"] in hosts[128:]])
        self.assertRegex(execd.said, "(?m)^[EW]! .*oping.*128")


if __name__ == "__main__":
    bed.need({"setcap": "libcap2-bin"})
    bed.main()
