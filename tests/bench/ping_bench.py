#!/usr/bin/env python3
"""Programs that ping, side by side: what they get wrong by the truth of the responder, and their CPU time.

    tests/bench/ping_bench.py [--sizes N...] [--only PROGRAM...]     as root; about 20 minutes; the first time
                                                                 it builds Telegraf

Each program pings N hosts three times, a second apart, and waits 0.9 s for each answer. What does not get so far
in 30 s is ended.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import re
import subprocess
import time

from pings import LOST, Bed, Responder, Run, Said, Verdict, bed, driver, fping, judge  # finds the others

import responder
import telegraf
from bed import wait_until
from collectd import HOST, Collectd

SIZES = (10, 100, 1000, 5000, 20_000)
ROUNDS = 3
SECONDS = 30
ENGINE, FLOOR = "wgvitals", "bare loop"


@dataclasses.dataclass(frozen=True)
class Series:
    title: str
    delay: float
    family: int
    dead: str = ""


SERIES = (
    Series("IPv4, 20 ms", 20, 4),
    Series("IPv4, 20 ms, every second host dead", 20, 4, "odd"),
    Series("IPv4, 0 ms", 0, 4),
    Series("IPv6, 20 ms", 20, 6),
    Series("IPv6, 0 ms", 0, 6),
)


def cpu_seconds(pid: int) -> float:
    return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) names a process's clock


# --- the hosts' own plugins: they ping for ever, so a window of theirs is judged by its totals ---


def daemon(process: subprocess.Popen, hosts: Responder, enough, said) -> Run:
    """From its first ping on; start-up is left out, as with the others."""
    wait_until(lambda: hosts.counts()["got"] > 0, "its first ping", SECONDS)
    before, began = cpu_seconds(process.pid), time.monotonic()
    wait_until(enough, "enough pings", max(SECONDS - (time.monotonic() - began), 1))
    cpu, sent = cpu_seconds(process.pid) - before, hosts.counts()["got"]
    process.kill()  # it would finish what it has queued
    process.wait()
    return Run(said(), cpu, {"sent": sent}, paired=False)


def run_collectd(place: Bed, hosts: Responder, addresses: list[str]) -> Run:
    names = "".join(f'  Host "{address}"\n' for address in addresses)
    block = f"LoadPlugin ping\n<Plugin ping>\n{names}  Interval 1.0\n  Timeout 0.9\n</Plugin>\n"
    with Collectd(place, plugin="", interval=1, more=block) as host:
        folder = host.dir / "csv" / HOST
        last = lambda kind: next(iter(folder.glob(f"ping/{kind}-{addresses[-1]}-*")), None)

        def enough() -> bool:
            file = last("ping_droprate")
            return file is not None and len(file.read_text().splitlines()) > ROUNDS

        def said() -> dict[str, Said]:
            of = collections.defaultdict(Said)
            for kind, meaning in (("ping_droprate", loss), ("ping", answers)):
                for file in folder.glob(f"ping/{kind}-*"):
                    address = re.fullmatch(rf"{kind}-(.*)-\d{{4}}-\d\d-\d\d", file.name)[1]
                    rows = file.read_text().splitlines()[1:]
                    of[address].trips += meaning([float(row.split(",")[1]) for row in rows if row[-1:].strip()])
            return of

        loss = lambda rates: [LOST] * round(sum(rate for rate in rates if rate == rate))
        answers = lambda trips: [round(trip * 1e6) for trip in trips if trip == trip]
        return daemon(host.process, hosts, enough, said)


def run_telegraf(place: Bed, hosts: Responder, addresses: list[str], binary: str) -> Run:
    urls = ", ".join(f'"{address}"' for address in addresses)
    ipv6 = "  ipv6 = true\n" if ":" in addresses[0] else ""
    # This method ignores "timeout"; a deadline is of whole seconds.
    block = f'[[inputs.ping]]\n  method = "native"\n  count = 1\n  deadline = 1\n{ipv6}  urls = [{urls}]\n'
    with telegraf.Telegraf(place, binary, block) as host:

        def said() -> dict[str, Said]:
            of = collections.defaultdict(Said)
            for line in host.output.read_text().split("\n")[:-1]:
                address = re.search(r",url=([^, ]+)", line)[1].replace("\\", "")
                trip = re.search(r"average_response_ms=([\d.e+-]+)", line)
                sent = re.search(r"packets_transmitted=(\d+)", line)
                if trip:
                    of[address].trips.append(round(float(trip[1]) * 1e6))
                elif sent and int(sent[1]) > 0:
                    of[address].trips.append(LOST)
            return of

        enough = lambda: host.output.read_text().count("\nping,") >= ROUNDS * len(addresses) - 1
        return daemon(host.process, hosts, enough, said)


# --- tables ---


def programs(binary: str) -> dict:
    """Functions of bed, responder and addresses."""
    ours = lambda name: lambda place, hosts, of: driver(place, name, of, ROUNDS, SECONDS)
    return {
        FLOOR: ours("bench_ping_floor"),
        ENGINE: ours("bench_pinger"),
        "liboping": ours("bench_oping"),
        "fping, paced": lambda place, hosts, of: fping(place, of, ROUNDS, 1000 / len(of), SECONDS),
        "fping -i 0": lambda place, hosts, of: fping(place, of, ROUNDS, 0, SECONDS),
        "collectd's ping": run_collectd,
        "Telegraf's inputs.ping, native": lambda place, hosts, of: run_telegraf(place, hosts, of, binary),
    }


HEAD = (
    "program",
    "hosts",
    "false loss",
    "answers that never were",
    "shorter than the truth",
    "round trip off by, median",
    "99 %",
    "the responder late by, 99 %",
    "CPU a ping, us",
    "against the bare loop",
)


def measure(place: Bed, series: Series, size: int, run) -> tuple[Run, Verdict, dict]:
    settings = {"dead": series.dead} if series.dead else {}
    with Responder(place.here, delay=series.delay, **settings) as hosts:
        of = run(place, hosts, responder.addresses(size, series.family))
        return of, judge(of, hosts.probes()), hosts.counts()


def row(name: str, of: Run, verdict: Verdict) -> list[str]:
    """What is wrong in what it says."""
    if name == FLOOR:  # says nothing
        return [""] * 5
    judged = of.probes - verdict.unsent
    share = lambda count: f"{count:,}" + (f" ({count / judged:.1%})" if count else "")
    cells = [share(count) for count in (verdict.false_loss, verdict.false_answers, verdict.invented)]
    if verdict.unsent:
        cells[0] += f"; {verdict.unsent:,} told as not sent"
    return cells + [f"{verdict.error(share):.3f} ms" for share in (0.5, 0.99)]


def table(place: Bed, series: Series, sizes: list[int], runs: dict) -> None:
    print(f"\n**{series.title}**\n\n| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    for size in sizes:
        floor = float("nan")
        for name, run in runs.items():
            try:
                of, verdict, counts = measure(place, series, size, run)
                floor = of.cost if name == FLOOR else floor
                late = counts["delay_ms_p99"] - series.delay
                cells = [*row(name, of, verdict), f"{late:.3f} ms", f"{of.cost:.1f}", f"{of.cost / floor:.2f}"]
                if counts["overrun"]:
                    cells[0] += f"; {counts['overrun']:,} more had no room in the device's queue"
            except (subprocess.TimeoutExpired, TimeoutError):
                cells = [f"ended after {SECONDS} s", *[""] * 7]
            print(f"| {name} | {size:,} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--series", type=int, nargs="+", default=range(len(SERIES)), help="from 0")
    parser.add_argument("--only", nargs="+", help="beside the bare loop")
    options = parser.parse_args()
    bed.need(bed.TOOLS | {"fping": "fping", "collectd": "collectd-core"})
    runs = programs(telegraf.build())
    if options.only:
        runs = {name: run for name, run in runs.items() if name in (FLOOR, *options.only)}
    bed.enter()
    with Bed() as place:
        for number in options.series:
            table(place, SERIES[number], options.sizes, runs)


if __name__ == "__main__":
    main()
