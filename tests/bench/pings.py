"""Runs of programs that ping, and what is wrong with what they say, by the truth that the responder keeps."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "live"))
import bed
from bed import Bed
from responder import Probe, Responder

TIMEOUT = 900_000_000  # ns; of every program
RESULT = struct.Struct("=IIqq")
LOST, UNSENT, LATE, DUPLICATE, REORDERED = -1, -2, -3, -4, -5  # struct PingResult of ping_driver.h


def shorter(trip: int, took: int) -> bool:
    """A round trip that cannot be. fping shows three digits."""
    return trip < took - took // 200 - 10_000


@dataclasses.dataclass
class Said:
    """What a program says of the probes to one address, in their order: round trips in ns, or LOST, or UNSENT."""

    trips: list[int] = dataclasses.field(default_factory=list)
    sent: list[int] = dataclasses.field(default_factory=list)  # CLOCK_MONOTONIC, ns; 0: not known
    others: collections.Counter = dataclasses.field(default_factory=collections.Counter)


@dataclasses.dataclass
class Run:
    of: dict[str, Said]
    cpu: float  # seconds, of sending and receiving
    more: dict = dataclasses.field(default_factory=dict)
    # Whether each probe's number is known; a daemon leaves out its first and last.
    paired: bool = True

    @property
    def probes(self) -> int:
        return sum(len(said.trips) for said in self.of.values())

    @property
    def cost(self) -> float:
        """Microseconds of CPU time a probe."""
        return self.cpu / max(self.more.get("sent", self.probes), 1) * 1e6


def driver(place: Bed, name: str, addresses: list[str], rounds: int, seconds: float = 60) -> Run:
    """One of the programs of ping_driver.h."""
    file = place.dir / f"{name}.results"
    done = place.here.run(
        bed.program(f"tests/bench/{name}"),
        str(rounds),
        str(file),
        input="\n".join(addresses) + "\n",
        timeout=seconds,
    )
    told = json.loads(done.stdout)
    of = {address: Said([UNSENT] * rounds, [0] * rounds) for address in addresses}
    for target, number, trip, sent in RESULT.iter_unpack(file.read_bytes()):
        said = of[addresses[target]]
        if trip < UNSENT:
            said.others[trip] += 1
        else:
            said.trips[number], said.sent[number] = trip, sent
    return Run(of, told["cpu_s"], told)


def fping(place: Bed, addresses: list[str], rounds: int, gap: float, seconds: float = 60) -> Run:
    """`gap`: ms between its packets."""
    targets, out = place.dir / "fping.targets", place.dir / "fping.out"
    targets.write_text("\n".join(addresses) + "\n")
    command = ["fping", "-q", "-r", "0", "-t", "900", "-p", "1000", "-i", f"{gap:g}"]
    with open(out, "w") as file:
        process = subprocess.Popen(
            ["timeout", "-k", "1", f"{seconds}", *command, "-C", str(rounds), "-f", str(targets)],
            stdout=file,
            stderr=file,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode == 124:
        raise subprocess.TimeoutExpired(command, seconds)
    of = {}
    for line in out.read_text().splitlines():
        address, colon, values = line.partition(" : ")
        trips = [LOST if value == "-" else round(float(value) * 1e6) for value in values.split()]
        if colon and len(trips) == rounds:
            of[address.strip()] = Said(trips)
    if len(of) != len(addresses):
        raise RuntimeError(f"fping ended with {process.returncode}: {out.read_text()[-300:]}")
    return Run(of, usage.ru_utime + usage.ru_stime)


@dataclasses.dataclass
class Verdict:
    """What a program got wrong, in probes."""

    false_loss: int = 0
    false_answers: int = 0  # to what had no answer
    invented: int = 0  # round trips shorter than the responder alone took
    unsent: int = 0
    missing: int = 0  # sent by its word, and never seen by the responder
    errors: list[int] = dataclasses.field(default_factory=list)  # ns; round trip less the responder's delay
    wrong: list[str] = dataclasses.field(default_factory=list)  # the first few

    def error(self, share: float) -> float:
        """A percentile of the errors' sizes, in ms."""
        sizes = sorted(map(abs, self.errors))
        return sizes[min(int(share * len(sizes)), len(sizes) - 1)] / 1e6 if sizes else float("nan")

    def note(self, what: str) -> None:
        if len(self.wrong) < 5:
            self.wrong.append(what)


def delay(probe: Probe, sent: int = 0) -> int | None:
    """In the responder; None where there was no answer in time."""
    took = probe.written - (sent or probe.read)
    return probe.written - probe.read if probe.fate == "answered" and took < TIMEOUT else None


def judge(run: Run, probes: list[Probe]) -> Verdict:
    truth = collections.defaultdict(list)
    for probe in probes:
        truth[probe.address].append(probe)
    verdict = Verdict()
    for address, said in run.of.items():
        if run.paired and len(said.trips) - said.trips.count(UNSENT) == len(truth[address]):
            _judge_probes(verdict, address, said, truth[address])
        else:
            _judge_totals(verdict, address, said.trips, [delay(probe) for probe in truth[address]])
    return verdict


def _judge_probes(verdict: Verdict, address: str, said: Said, probes: list[Probe]) -> None:
    known = iter(probes)
    for number, (trip, sent) in enumerate(zip(said.trips, said.sent or [0] * len(said.trips))):
        if trip == UNSENT:
            verdict.unsent += 1
            continue
        took = delay(next(known), sent)
        if trip == LOST and took is not None:
            verdict.false_loss += 1
            verdict.note(f"{address} {number}: lost, answered after {took / 1e6:.3f} ms")
        elif trip != LOST and took is None:
            verdict.false_answers += 1
            verdict.note(f"{address} {number}: {trip / 1e6:.3f} ms, never answered")
        elif trip != LOST:
            verdict.errors.append(trip - took)
            if shorter(trip, took):
                verdict.invented += 1
                verdict.note(f"{address} {number}: {trip / 1e6:.3f} ms, answered after {took / 1e6:.3f} ms")


def _judge_totals(verdict: Verdict, address: str, trips: list[int], delays: list[int | None]) -> None:
    verdict.unsent += trips.count(UNSENT)
    trips = [trip for trip in trips if trip != UNSENT]
    verdict.missing += max(len(trips) - len(delays), 0)
    took = sorted(value for value in delays if value is not None)
    true_loss = len(delays) - len(took)
    answers = [trip for trip in trips if trip != LOST]
    verdict.false_loss += max(len(trips) - len(answers) - true_loss, 0)
    verdict.false_answers += max(len(answers) - len(took), 0)
    for trip in answers[: len(took)]:
        verdict.errors.append(trip - took[len(took) // 2])
        verdict.invented += shorter(trip, took[0])
    if answers and not took:
        verdict.note(f"{address}: {len(answers)} answers, never answered")
