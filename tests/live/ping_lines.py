"""What the tests of pings have in common: blocks of a configuration, and the lines that come of them."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import pathlib
import socket
import struct
import unittest

import bed
from bed import Bed
from line_protocol import Record, select
from programs import Execd, toml
from responder import Responder

DELAY = 20  # ms, of the responder
SLOW = 100  # ms that the quickest reply may take beyond it on a busy machine
RESPONSES = {  # there where an answer came, absent where none did
    "ttl",
    "minimum_response_ms",
    "average_response_ms",
    "maximum_response_ms",
    "standard_deviation_ms",
    "percentile50_ms",
    "percentile95_ms",
    "percentile99_ms",
}


def config(*blocks: dict[str, object], **options) -> str:
    """A configuration of the execd with ping blocks."""
    text = toml(**options)
    for block in blocks:
        rows = (f"    {key} = {json.dumps(value)}\n" for key, value in block.items())
        text += "  [[inputs.wgvitals.ping]]\n" + "".join(rows)
    return text


def numbers(records: list[Record], url: str, **tags: str) -> dict[str, object]:
    """The one line of numbers about an address."""
    lines = [
        record
        for record in select(records, "ping", url=url, **tags)
        if "resolved_address" not in record.fields
    ]
    if len(lines) != 1:
        raise AssertionError(f"{len(lines)} lines about {url} {tags}: {lines}")
    return {field: value for field, (_, value) in lines[0].fields.items()}


def sums(gathers: list[list[Record]], url: str) -> collections.Counter:
    """Of the numbers of packets in several gathers."""
    total: collections.Counter = collections.Counter()
    for records in gathers:
        total.update({key: value for key, value in numbers(records, url).items() if isinstance(value, int)})
    return total


@contextlib.contextmanager
def instead_of(bed: Bed, name: str, text: str):
    """A file of the system has this text, for this run alone: the tests have a private mount namespace."""
    path = pathlib.Path(name).resolve()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    file = bed.dir / path.name
    file.write_text(text)
    bed.here.run("mount", "--bind", str(file), str(path))
    try:
        yield
    finally:
        bed.here.run("umount", str(path))


def name_server(bed: Bed, address: str):
    return instead_of(bed, "/etc/resolv.conf", f"nameserver {address}\noptions timeout:30\n")


@contextlib.contextmanager
def no_way(bed: Bed, kind: str, host: str):
    """A route of a kind that forbids: unreachable, prohibit, blackhole."""
    bed.here.run("ip", "route", "add", kind, host)
    try:
        yield
    finally:
        bed.here.run("ip", "route", "delete", kind, host)


@dataclasses.dataclass(frozen=True)
class Request:
    """An echo request as it left."""

    source: str
    target: str
    ttl: int
    size: int  # of its payload
    tos: int
    dont_fragment: bool


class Wire:
    """The IPv4 echo requests that leave by a device."""

    def __init__(self, device: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))  # ETH_P_ALL
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((device, 0))
        self._socket.setblocking(False)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_) -> None:
        self._socket.close()

    def requests(self) -> list[Request]:
        """Since the last call."""
        found = []
        while True:
            try:
                packet = self._socket.recv(65536)
            except BlockingIOError:
                return found
            if len(packet) < 28 or packet[0] != 0x45 or packet[9] != 1 or packet[20] != 8:
                continue
            length, _, fragment = struct.unpack_from("!HHH", packet, 2)
            found.append(
                Request(
                    socket.inet_ntoa(packet[12:16]),
                    socket.inet_ntoa(packet[16:20]),
                    packet[8],
                    length - 28,
                    packet[1],
                    bool(fragment & 0x4000),
                )
            )


class PingTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())

    def execd(self, text: str, *arguments: str, **more) -> Execd:
        return self.enterContext(Execd(self.bed, text, *arguments, **more))

    def responder(self, **settings) -> Responder:
        return self.enterContext(Responder(self.bed.here, **({"delay": DELAY} | settings)))

    def assert_alive(self, line: dict[str, object], delay: float = 0):
        self.assertEqual((line["result_code"], line["percent_packet_loss"]), (0, 0), line)
        self.assertEqual(line["packets_received"], line["packets_transmitted"])
        self.assertEqual((line["packets_unsent"], line["late"], line["duplicates"]), (0, 0, 0))
        times = [line[f"{field}_response_ms"] for field in ("minimum", "average", "maximum")]
        self.assertEqual(times, sorted(times))
        self.assertGreaterEqual(times[0], delay)
        self.assertLess(times[0], delay + SLOW)

    def assert_unsent(self, line: dict[str, object]):
        """Nothing left, which is no loss."""
        self.assertEqual((line["result_code"], line["packets_transmitted"]), (2, 0), line)
        self.assertGreater(line["packets_unsent"], 0)
        self.assertFalse({"percent_packet_loss", *RESPONSES} & line.keys(), line)
