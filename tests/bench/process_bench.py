#!/usr/bin/env python3
"""Our processes on this host, with userspace WireGuard: memory, threads, descriptors, start-up, and how long
collectd's reading thread is held. Each figure stands beside a floor or another program of the same run.

    tests/bench/process_bench.py [--runs N]     as root; the first time it builds Telegraf
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "live"))
import bed
import telegraf
from bed import UAPI_DIR, Bed, wait_until
from collectd import DAEMON
from fake_uapi import FakeUapi, answer, says
from programs import Execd, toml, write

COUNTS = (1, 1000, 10_000)
GATHERS = 5  # before memory is read
READS = 20
PATIENT = {"uapi_timeout": "10s", "gather_wait": "20s"}
ORACLE = "[[inputs.wireguard]]\n"
EMPTY = "an empty C++ program"
FLOOR = "#include <iostream>\nint main() { std::cout << 1 << std::endl; std::cin.get(); }\n"


def table(title: str, *rows: tuple) -> None:
    head, *lines = rows
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for line in lines:
        print(f"| {' | '.join(map(str, line))} |", flush=True)


def devices(peers: int) -> FakeUapi:
    return FakeUapi(UAPI_DIR, "utun0", says(answer(peers)))


def floor_program(folder: pathlib.Path) -> str:
    """A C++ program that writes a line and waits for the end of its input."""
    binary = folder / "floor"
    subprocess.run(["g++", "-O2", "-x", "c++", "-", "-o", str(binary)], input=FLOOR, text=True, check=True)
    return str(binary)


# --- memory, threads, descriptors ---


class Footprint:
    def __init__(self, process: subprocess.Popen) -> None:
        proc = pathlib.Path(f"/proc/{process.pid}")
        sizes = re.findall(r"(?m)^(Rss|Pss): +(\d+) kB", (proc / "smaps_rollup").read_text())
        self.rss, self.pss = (int(size) / 1024 for _, size in sizes)
        self.threads, self.descriptors = (len(os.listdir(proc / name)) for name in ("task", "fd"))


def footprints(place: Bed, floor: str, binary: str) -> None:
    process = place.here.start(floor, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    empty = Footprint(process)
    rows = [("program", "peers", f"RSS against {EMPTY}", "RSS MiB", "PSS MiB", "threads", "descriptors")]

    def add(program: str, peers: int | str, of: Footprint) -> None:
        sizes = (f"{size:.1f}" for size in (of.rss / empty.rss, of.rss, of.pss))
        rows.append((program, peers, *sizes, of.threads, of.descriptors))

    add(EMPTY, "", empty)
    for peers in COUNTS:
        with devices(peers), Execd(place, toml(**PATIENT)) as execd:
            for _ in range(GATHERS):
                if len(execd.gather(seconds=20)) < 2 * peers:
                    sys.exit(f"wgvitals-execd leaves peers out: {execd.said}")
            add("wgvitals-execd", peers, Footprint(execd.process))
        with devices(peers), telegraf.Telegraf(place, binary, ORACLE, interval="2s") as host:
            told = lambda: host.output.read_text().count("\nwireguard_device") >= 2 * GATHERS
            wait_until(told, f"{GATHERS} gathers of Telegraf", 90)
            add("Telegraf, inputs.wireguard", peers, Footprint(host.process))
    table(f"After {GATHERS} gathers", *rows)


# --- start-up ---


def start_up(command: list[str], end: bytes) -> tuple[float, float]:
    """Seconds until the first output, and until a line with `end` (else the end of the output)."""
    theirs, ours = os.pipe()
    os.write(ours, b"\n")  # it is asked before it starts
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )
    out = process.stdout.read(65536)
    first = time.monotonic() - began
    while end not in out[-500:] and (part := process.stdout.read(65536)):
        out += part
    whole = time.monotonic() - began
    process.kill()
    process.wait()
    process.stdout.close()
    os.close(theirs)
    os.close(ours)
    return first, whole


def start_ups(place: Bed, floor: str, binary: str, runs: int) -> None:
    execd = [bed.program("wgvitals-execd"), "-config", write(place, toml(**PATIENT), "start.toml")]
    host = telegraf.Telegraf(place, binary, ORACLE)
    commands = {
        "/bin/true": (["/bin/true"], b"\0"),
        EMPTY: ([floor], b"1\n"),
        "wgvitals-execd": (execd, b"collector=engine version="),
        "Telegraf --test, inputs.wireguard": ([*host.command, "--test"], b"\0"),
    }
    rows = [("program", "peers", f"first line against {EMPTY}", "first line, ms", "whole answer, ms")]
    for peers in COUNTS:
        with devices(peers):
            seconds: dict[str, list] = {name: [] for name in commands}
            for _ in range(runs):  # in turn, so that all meet the same load
                for name, (command, end) in commands.items():
                    seconds[name].append(start_up(command, end))
        medians = {
            name: [statistics.median(times) * 1000 for times in zip(*both)] for name, both in seconds.items()
        }
        empty, _ = medians[EMPTY]
        for name, (first, whole) in medians.items():
            rows.append((name, peers, f"{first / empty:.1f}", f"{first:.1f}", f"{whole:.1f}"))
    table(f"Start-up, median of {runs}", *rows)


# --- collectd's reading thread ---


class Daemon:
    """collectd with one plugin that is read over and over, and whose values go nowhere."""

    def __init__(self, place: Bed, plugin: str, folder: pathlib.Path, options: str = "") -> None:
        self.place, self.plugin, self.log = place, plugin, place.dir / "collectd.log"
        config = place.dir / f"collectd.{time.monotonic_ns()}.conf"
        self.command = [DAEMON, "-f", "-C", str(config)]
        config.write_text(
            f"""
BaseDir "{place.dir}"
PIDFile "{place.dir}/collectd.pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
Timeout 1000000
LoadPlugin logfile
<Plugin logfile>
  LogLevel warning
  File "{self.log}"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "stdout"
</Plugin>
PluginDir "{folder}"
<LoadPlugin {plugin}>
  Interval 0.0001
</LoadPlugin>
{options}"""
        )

    def value_lists(self) -> int:
        """How many one read dispatches."""
        self.log.write_text("")
        written = self.place.here.run(*self.command, "-T").stdout.count("PUTVAL ")
        left = re.search(r"(\d+) value lists? .*left after shutting down", self.log.read_text())
        return written + (int(left[1]) if left else 0)

    def held(self, **environment: str) -> list[float]:
        """Milliseconds that reads took: the daemon complains of each one that is longer than its interval."""
        self.log.write_text("")
        process = self.place.here.start(
            *self.command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        took = lambda: re.findall(rf"`{self.plugin}' plugin took ([\d.]+) seconds", self.log.read_text())
        wait_until(
            lambda: len(took()) > READS, f"reads of collectd, which said: {self.log.read_text()[-500:]}", 60
        )
        process.kill()  # it would finish what it has queued
        process.wait()
        return [float(seconds) * 1000 for seconds in took()[1 : READS + 1]]


def wireguard(place: Bed, shown: str) -> Daemon:
    return Daemon(
        place,
        "wireguard",
        bed.PROGRAMS,
        f"""
<Plugin wireguard>
  PeersShown "{shown}"
  UapiTimeout 10
  GatherWait 20
</Plugin>
""",
    )


def reading_thread(place: Bed) -> None:
    rows = [("plugin", "peers", "value lists", "against the dispatch alone", "median, ms", "least", "most")]
    floor = place.dir / "floor.so"
    includes = [f"-I{bed.SOURCE}", "-I/usr/include/collectd"]
    source = bed.SOURCE / "tests/bench/dispatch_floor.cpp"
    compiler = ["g++", "-std=c++20", "-O2", "-shared", "-fPIC", *includes, str(source), "-o", str(floor)]
    subprocess.run(compiler, check=True)

    for peers in COUNTS:
        with devices(peers):
            none, ours = wireguard(place, "none"), wireguard(place, "all")
            values = ours.value_lists()
            alone = Daemon(place, "floor", place.dir).held(VALUE_LISTS=str(values))
            for plugin, lists, times in (
                ("one that only dispatches as many", values, alone),
                ("wireguard", values, ours.held()),
                ("wireguard, no peer shown", none.value_lists(), none.held()),
            ):
                middle, floor_middle = statistics.median(times), statistics.median(alone)
                ratio = f"{middle / floor_middle:.1f}" if floor_middle else "all under 1 ms"
                rows.append(
                    (plugin, peers, lists, ratio, *(f"{ms:.0f}" for ms in (middle, min(times), max(times))))
                )
    table("collectd's reading thread, read after read", *rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    bed.need(bed.TOOLS)
    binary = telegraf.build()
    bed.enter()
    with Bed() as place:
        floor = floor_program(place.dir)
        footprints(place, floor, binary)
        start_ups(place, floor, binary, runs)
        reading_thread(place)


if __name__ == "__main__":
    main()
