#!/usr/bin/env python3
"""What a gather costs with in-kernel WireGuard, beside others: by instruction counts and by time.

    tests/bench/guest_bench.py [--peers N]      takes some minutes; the first time it builds Telegraf

Prints tables, and all of them as JSON in the last line. Ends with 0 where a gather takes at most GOAL times
the instructions of a bare receive loop of the same dump.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from gather import WORKS, Cost, Costs, measure

GOAL = 2.0
SHAKEN = 1000  # peers of the run in which each has shaken hands, which takes the guest some time


def show(title: str, costs: Costs, to_text) -> None:
    print(f"\n{title}, {costs.peers} peers\n")
    print("| work | against the bare loop | each | spread of its rounds | resident |")
    print("| --- | --- | --- | --- | --- |")
    for name, cost in costs.of.items():
        memory = f"{cost.resident_kib / 1024:.1f} MiB" if cost.resident_kib else ""
        print(f"| {WORKS[name]} | {costs.ratio(name):.2f} | {to_text(cost)} | {cost.spread:.2%} | {memory} |")
    kernel, read, gather, delivered = (costs.of[name].cpu for name in ("bare", "read", "gather", "delivered"))
    parts = {
        "the kernel's dump": kernel,
        "parse and pair": read - kernel,
        "text": gather - read,
        "the pipe": delivered - gather,
    }
    shares = ", ".join(f"{name} {part / delivered:.0%}" for name, part in parts.items())
    print(f"\nOf a gather into a pipe: {shares}")


def instructions(cost: Cost) -> str:
    return f"{cost.cpu / 1e6:.2f} M instructions"


def milliseconds(cost: Cost) -> str:
    return f"{cost.cpu / 1e6:.1f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=int, default=10_000)
    peers = parser.parse_args().peers
    counts = measure(peers, counted=True, others=True)
    show("Instructions", counts, instructions)
    shaken = measure(min(peers, SHAKEN), counted=True, shaken=True)
    show("Instructions, after a handshake with each peer", shaken, instructions)
    times = measure(peers, counted=False, others=True)
    show("CPU time in the emulator", times, milliseconds)
    holds = counts.ratio("gather") <= GOAL
    print(f"\nA gather to /dev/null takes at most {GOAL} times the bare loop: {'yes' if holds else 'NO'}")
    runs = {"counts": counts, "shaken": shaken, "times": times}
    print(json.dumps({name: dataclasses.asdict(run) for name, run in runs.items()}))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
