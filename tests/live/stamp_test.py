"""STAMP against packets built and read here by hand, from the figures of RFC 8762 and RFC 5357.

What a network would lose, hold up or double, the reflector of this test does by a plan.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import socket
import struct
import threading
import time
import unittest

import bed
from bed import wait_until
from line_protocol import select
from programs import Execd, once

NTP_1970 = 2208988800  # RFC 5905 figure 4
PORT = 8620
# RFC 8762 figure 2: Sequence Number, Timestamp, Error Estimate, SSID (RFC 8972 figure 1), MBZ.
REQUEST = struct.Struct(">IQHH28x")
# Figure 5: Sequence Number, Timestamp, Error Estimate, SSID, Receive Timestamp, and of the sender
# Sequence Number, Timestamp, Error Estimate, MBZ, TTL, MBZ.
REPLY = struct.Struct(">IQHHQIQHHB3x")
# The same up to the TTL: RFC 5357 section 4.2.1.
TWAMP_REPLY = struct.Struct(">IQHHQIQHHB")
SYNCHRONISED = 0x8000


def ntp_now() -> int:
    now = time.time_ns()
    return (now // 10**9 + NTP_1970) << 32 | (now % 10**9 << 32) // 10**9


def is_synchronised() -> bool:
    """As adjtimex(2) has it; the state's fifth number is the status, of which 0x40 is STA_UNSYNC."""
    state = (ctypes.c_char * 256)()
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(state)
    status = struct.unpack_from("@iqqqqi", state)[5]
    return answer not in (-1, 5) and not status & 0x40


@dataclasses.dataclass
class Plan:
    """What becomes of the packets with these numbers."""

    never_arrive: set[int] = dataclasses.field(default_factory=set)
    lose_answer: set[int] = dataclasses.field(default_factory=set)
    arrive_twice: set[int] = dataclasses.field(default_factory=set)
    answer_twice: set[int] = dataclasses.field(default_factory=set)
    swap: set[int] = dataclasses.field(default_factory=set)  # each is overtaken by the one behind it
    stateful: bool = True
    hold: float = 0.0  # seconds between T2 and T3
    error: int = 0x0001  # not synchronised, the least there is


class Reflector:
    """Answers by a plan, and keeps every request."""

    def __init__(self, address: str, plan: Plan) -> None:
        self.plan, self.requests, self.count, self.stopping = plan, [], 0, False
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, PORT))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def __enter__(self) -> Reflector:
        return self

    def __exit__(self, *_) -> None:
        self.stopping = True
        self.thread.join()
        self.socket.close()

    def run(self) -> None:
        self.socket.settimeout(0.05)
        held = None
        while not self.stopping:
            try:
                request, sender = self.socket.recvfrom(4096)
            except TimeoutError:
                continue
            received = ntp_now()
            number = REQUEST.unpack_from(request)[0]
            self.requests.append(request)
            if number in self.plan.swap:
                held = (request, sender)
                continue
            self.arrive(request, sender, received)
            if held:
                self.arrive(*held, ntp_now())
                held = None

    def arrive(self, request: bytes, sender, received: int) -> None:
        number, sent, error, _ = REQUEST.unpack_from(request)
        plan = self.plan
        if number in plan.never_arrive:
            return
        for _ in range(2 if number in plan.arrive_twice else 1):
            mine = self.count if plan.stateful else number
            self.count += 1
            time.sleep(plan.hold)
            reply = REPLY.pack(mine, ntp_now(), plan.error, 0, received, number, sent, error, 0, 255)
            if number in plan.lose_answer:
                continue
            for _ in range(2 if number in plan.answer_twice else 1):
                self.socket.sendto(reply + request[REPLY.size :], sender)


def sender_config(server: str, *lines: str, interval: str = "20ms") -> str:
    options = [f'interval = "{interval}"', 'timeout = "500ms"', "backoff = 1", *lines]
    return "\n".join(["[[inputs.wgvitals]]", "[[inputs.wgvitals.stamp]]", f'server = "{server}"', *options, ""])


def reflector_config(listen: list[str], allow: list[str], *lines: str) -> str:
    block = ["[[inputs.wgvitals.stamp_reflector]]", f"listen = {listen}", f"allow = {allow}", *lines]
    return "\n".join(["[[inputs.wgvitals]]", *block, ""])


class StampTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.far = self.bed.host("far")
        self.link = self.bed.join(self.bed.here, self.far)

    def start_sender(self, plan: Plan, *lines: str, **more) -> tuple[Reflector, Execd]:
        """Our sender on the far host, behind its first gather."""
        reflector = self.enterContext(Reflector(self.link.a.v4, plan))
        config = sender_config(self.link.a.v4, *lines, **more)
        execd = self.enterContext(Execd(self.bed, config, host=self.far))
        execd.gather()
        return reflector, execd

    def window(self, execd: Execd):
        (record,) = select(execd.gather(), "wireguard_stamp", server=self.link.a.v4)
        return record

    def pass_packets(self, reflector: Reflector, count: int) -> None:
        """Until so many more were sent, and nothing of them is open any more."""
        wanted = len(reflector.requests) + count
        wait_until(lambda: len(reflector.requests) >= wanted, f"{count} packets", 60)
        time.sleep(2)  # four times the timeout


class SenderTest(StampTest):
    def test_its_packets(self):
        reflector, execd = self.start_sender(Plan(), "size = 60")
        self.pass_packets(reflector, 20)
        synchronised = is_synchronised()
        numbers = []
        for request in reflector.requests:
            self.assertEqual(len(request), 60)
            number, sent, error, session = REQUEST.unpack_from(request)
            numbers.append(number)
            self.assertLess(abs((ntp_now() - sent) >> 32), 60)
            self.assertEqual(bool(error & 0x8000), synchronised)
            self.assertEqual(error & 0x4000, 0)  # NTP's format
            self.assertNotEqual(error & 0xFF, 0)
            self.assertEqual(session, 0)
            self.assertEqual(request[14:], bytes(46))
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))

    def test_each_direction_is_what_the_plan_lost(self):
        plan = Plan()
        reflector, execd = self.start_sender(plan)
        self.pass_packets(reflector, 10)
        self.window(execd)
        first = len(reflector.requests) + 100
        # 12 and 7 of 400: alone, in a row, beside one another, with others that were overtaken.
        plan.never_arrive |= {first + i for i in (3, 10, 11, 12, 13, 40, 90, 150, 151, 200, 300, 399)}
        plan.lose_answer |= {first + i for i in (20, 41, 42, 149, 152, 260, 398)}
        plan.swap |= {first + i for i in (30, 43, 91, 201)}
        plan.arrive_twice |= {first + i for i in (60, 120, 350)}
        plan.answer_twice |= {first + i for i in (61, 180)}
        self.pass_packets(reflector, 600)
        record = self.window(execd)
        self.assertEqual(record["sent"] - record["received"], 12 + 7)
        settled = round(100 * 12 / record["lost_forward_percent"])
        self.assertGreater(settled, 600)
        self.assertLessEqual(settled, len(reflector.requests))
        self.assertAlmostEqual(record["lost_forward_percent"], 100 * 12 / settled, 9)
        self.assertAlmostEqual(record["lost_backward_percent"], 100 * 7 / (settled - 12), 9)
        self.assertEqual(record["duplicates_forward"], 3)
        self.assertEqual(record["duplicates_backward"], 2)
        # And nothing of it is told twice.
        self.pass_packets(reflector, 20)
        record = self.window(execd)
        self.assertEqual(record["sent"], record["received"])
        fields = ("lost_forward_percent", "lost_backward_percent", "duplicates_forward", "duplicates_backward")
        self.assertEqual([record[field] for field in fields], [0, 0, 0, 0])

    def test_a_stateless_reflector_tells_no_direction(self):
        plan = Plan(stateful=False)
        reflector, execd = self.start_sender(plan)
        self.window(execd)
        first = len(reflector.requests) + 30
        plan.never_arrive |= {first, first + 5}
        plan.lose_answer |= {first + 10}
        self.pass_packets(reflector, 60)
        record = self.window(execd)
        self.assertEqual(record["sent"] - record["received"], 3)
        self.assertGreater(record["rtt_ms"], 0)
        self.assertGreater(record["ipdv_forward_ms"], 0)
        for field in ("lost_forward_percent", "lost_backward_percent", "duplicates_forward", "duplicates_backward"):
            self.assertNotIn(field, record.fields)

    def test_the_reflectors_own_time_is_not_counted(self):
        reflector, execd = self.start_sender(Plan(hold=0.05), interval="100ms")
        self.pass_packets(reflector, 20)
        record = self.window(execd)
        self.assertGreater(record["received"], 10)
        self.assertLess(record["rtt_ms"], 50)

    def test_delays_only_where_both_clocks_are_synchronised(self):
        plan = Plan(error=SYNCHRONISED | 20 << 8 | 100)  # 24 ms
        reflector, execd = self.start_sender(plan)
        self.pass_packets(reflector, 20)
        self.assertEqual("delay_forward_ms" in self.window(execd).fields, is_synchronised())
        plan.error = 0x0001
        self.pass_packets(reflector, 20)
        self.window(execd)  # the last that were answered with the other
        self.pass_packets(reflector, 20)
        record = self.window(execd)
        self.assertIn("rtt_ms", record.fields)
        self.assertNotIn("delay_forward_ms", record.fields)
        self.assertNotIn("delay_backward_ms", record.fields)

    def test_an_outage_and_a_reflector_that_begins_anew(self):
        plan = Plan()
        reflector, execd = self.start_sender(plan)
        self.pass_packets(reflector, 20)
        self.window(execd)
        plan.never_arrive |= set(range(len(reflector.requests), 1_000_000))
        self.pass_packets(reflector, 50)
        self.window(execd)
        self.pass_packets(reflector, 20)
        record = self.window(execd)
        self.assertEqual(record["received"], 0)
        self.assertNotIn("rtt_ms", record.fields)
        self.assertNotIn("lost_forward_percent", record.fields)  # nobody knows
        reflector.count = 0
        plan.never_arrive = set()
        self.pass_packets(reflector, 50)
        record = self.window(execd)
        self.assertEqual((record["lost_forward_percent"], record["lost_backward_percent"]), (0, 0))
        self.assertEqual((record["duplicates_forward"], record["duplicates_backward"]), (0, 0))

    def test_once(self):
        reflector = self.enterContext(Reflector(self.link.a.v4, Plan()))
        config = sender_config(self.link.a.v4)
        (record,) = select(once(self.bed, config=config, host=self.far), "wireguard_stamp")
        self.assertGreater(record["received"], 0)
        self.assertGreater(len(reflector.requests), 0)


class ReflectorTest(StampTest):
    def setUp(self):
        super().setUp()
        listen = [self.link.b.v4, self.link.b.v6]
        allow = ["198.51.0.0/16", "2001:db8::/32"]
        self.execd = self.enterContext(Execd(self.bed, reflector_config(listen, allow), host=self.far))
        self.execd.gather()
        self.socket = self.open()
        self.ask(1)  # it listens

    def open(self, address: str = "", port: int = 0) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        opened = self.enterContext(socket.socket(family, socket.SOCK_DGRAM))
        opened.bind((address or self.link.a.v4, port))
        opened.settimeout(1)
        return opened

    def send(self, packet: bytes, by: socket.socket | None = None) -> bytes | None:
        """The answer, by which nothing else comes."""
        by = by or self.socket
        server = self.link.b.v6 if by.family == socket.AF_INET6 else self.link.b.v4
        by.sendto(packet, (server, PORT))
        try:
            answer, sender = by.recvfrom(65536)
        except TimeoutError:
            return None
        self.assertEqual(sender[:2], (server, PORT))
        return answer

    def ask(self, number: int, by: socket.socket | None = None, session: int = 0, tail: bytes = b"") -> tuple:
        sent = ntp_now()
        packet = REQUEST.pack(number, sent, SYNCHRONISED | 0x0102, session) + tail
        answer = wait_until(lambda: self.send(packet, by), "an answer")
        self.assertEqual(len(answer), len(packet))
        self.assertEqual(answer[REPLY.size :], tail)
        fields = REPLY.unpack_from(answer)
        self.assertEqual(answer[: REPLY.size], REPLY.pack(*fields))  # what must be zero is
        mine, back, error, identifier, there, *copied, ttl = fields
        self.assertEqual(copied, [number, sent, SYNCHRONISED | 0x0102, 0])
        self.assertEqual(identifier, session)
        self.assertEqual(bool(error & SYNCHRONISED), is_synchronised())
        self.assertNotEqual(error & 0xFF, 0)
        self.assertTrue(sent <= there <= back <= ntp_now(), (sent, there, back))
        return mine, ttl

    def test_it_counts_for_each_sender(self):
        one, other = self.open(), self.open()
        self.assertEqual([self.ask(number, one)[0] for number in (0, 1, 5)], [0, 1, 2])
        self.assertEqual([self.ask(number, other)[0] for number in (7, 8)], [0, 1])
        self.assertEqual(self.ask(9, one, session=0x1234)[0], 0)
        self.assertEqual(self.ask(10, one)[0], 3)

    def test_the_ttl_is_copied(self):
        for ttl in (255, 7):
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            self.assertEqual(self.ask(1)[1], ttl)

    def test_ipv6(self):
        by = self.open(self.link.a.v6)
        by.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 9)
        self.assertEqual(self.ask(0, by), (0, 9))

    def test_padding_and_tlvs_go_back(self):
        self.ask(1, tail=bytes(1000))
        self.ask(2, tail=bytes.fromhex("80010004deadbeef"))  # RFC 8972: Extra Padding, U set

    def test_twamp_light(self):
        """14 bytes and 27 of random padding, the least that TWAMP's reflectors answer in full."""
        by = self.open()
        for count in range(3):
            head = struct.pack(">IQH", count, ntp_now(), 0x0001)
            answer = self.send(head + os.urandom(27), by)
            self.assertEqual(len(answer), 41)
            fields = TWAMP_REPLY.unpack(answer)
            self.assertEqual((fields[0], fields[3], fields[5]), (count, 0, count))

    def test_nothing_shorter(self):
        for size in (0, 13, 40):
            self.assertIsNone(self.send(bytes(size)))
        self.ask(1)

    def test_no_strangers(self):
        self.bed.here.run("ip", "address", "add", "192.0.2.1/32", "dev", self.link.name)
        self.far.run("ip", "route", "add", "192.0.2.1/32", "via", self.link.a.v4)
        stranger = self.open("192.0.2.1")
        self.assertIsNone(self.send(REQUEST.pack(0, ntp_now(), 1, 0), stranger))
        self.ask(1)

    def test_no_other_reflector(self):
        self.assertIsNone(self.send(REQUEST.pack(0, ntp_now(), 1, 0), self.open(port=PORT)))
        self.ask(1)

    def test_our_own_sender(self):
        server = f"[{self.link.b.v6}]:{PORT}"
        sender = self.enterContext(Execd(self.bed, sender_config(server)))

        def told():
            (record,) = select(sender.gather(), "wireguard_stamp", server=server) or (None,)
            return record if record and "lost_forward_percent" in record.fields else None

        record = wait_until(told, "directions", 30)
        self.assertEqual(record["sent"], record["received"])
        self.assertEqual((record["lost_forward_percent"], record["lost_backward_percent"]), (0, 0))
        self.assertEqual(sender.said, "")
        self.assertEqual(self.execd.said, "")


class RateTest(StampTest):
    def test_so_many_a_second(self):
        config = reflector_config([self.link.b.v4], ["198.51.0.0/16"], "rate = 50")
        execd = self.enterContext(Execd(self.bed, config, host=self.far))
        execd.gather()
        by = self.enterContext(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        by.settimeout(1)
        packet = REQUEST.pack(0, 1, 1, 0)
        begun = time.monotonic()
        for _ in range(500):
            by.sendto(packet, (self.link.b.v4, PORT))
        answers = 0
        try:
            while by.recv(100):
                answers += 1
        except TimeoutError:
            pass
        self.assertGreaterEqual(answers, 50)
        self.assertLessEqual(answers, 50 * (2 + time.monotonic() - begun))
        self.assertLess(answers, 500)

    def test_a_reflector_waits_for_its_address(self):
        config = reflector_config(["10.77.0.1"], ["10.77.0.0/24"])
        execd = self.enterContext(Execd(self.bed, config, host=self.far))
        execd.gather()
        wait_until(lambda: execd.gather() and "listening on 10.77.0.1:8620" in execd.said, "the complaint")
        self.far.run("ip", "address", "add", "10.77.0.1/24", "dev", self.link.name + "b")
        self.bed.here.run("ip", "address", "add", "10.77.0.2/24", "dev", self.link.name)
        by = self.enterContext(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        by.bind(("10.77.0.2", 0))
        by.settimeout(0.2)

        def answer():
            by.sendto(REQUEST.pack(0, 1, 1, 0), ("10.77.0.1", PORT))
            try:
                return by.recv(100)
            except (TimeoutError, ConnectionRefusedError):
                return None

        wait_until(answer, "an answer", 20)


if __name__ == "__main__":
    bed.main()
