"""What the tests of faults ask of a gather, and of the words that come with it."""

from __future__ import annotations

import os
import re
import unittest

import bed
from line_protocol import Record, select
from programs import Execd


def devices(records: list[Record]) -> set[str]:
    return {record.tags["name"] for record in select(records, "wireguard_device")}


def peers(records: list[Record], device: str = "wg0") -> dict[str, dict[str, object]]:
    """The counters of each peer, by public key."""
    return {
        record.tags["public_key"]: {field: value for field, (_, value) in record.fields.items()}
        for record in select(records, "wireguard_peer", device=device)
        if "rx_bytes" in record.fields
    }


def events(records: list[Record]) -> list[tuple[str, str, str]]:
    """(device, event, message); an event's other line has its severity."""
    return [
        (record.tags["device"], record.tags["event"], record["message"])
        for record in select(records, "wireguard_event")
        if "message" in record.fields
    ]


def late(execd: Execd) -> int:
    """How many gathers did not get the engine in time."""
    own = select(execd.records(), "wgvitals", collector="engine")
    return [record["late"] for record in own if "late" in record.fields][-1]


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class FaultTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())

    def execd(self, config: str = "", *arguments: str, **more) -> Execd:
        return self.enterContext(Execd(self.bed, config, *arguments, **more))

    def assert_said_once(self, execd: Execd, *words: str, over: bool = False):
        """One complaint with all these words; where it is over, one more line that tells so."""
        lines = [line for line in execd.said.splitlines() if all(word in line for word in words)]
        complaints = [line for line in lines if re.match("[EW]! ", line)]
        ends = [line for line in lines if line.startswith("I! well again: ")]
        self.assertEqual((len(complaints), len(ends)), (1, int(over)), f"{words} in: {execd.said}")
