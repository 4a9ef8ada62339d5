#!/usr/bin/env python3
"""What the default set of collectors costs from gather to gather, all threads and all that is done in between, on a
host with 400 processes, connection tracking and 100 peers that is asked every 10 s: with in-kernel WireGuard in
the guest, by instructions, and with wireguard-go on this machine, by CPU time.

    tests/bench/host_bench.py [--rounds N] [guest] [live]     as root; 2 and 5 minutes
"""

from __future__ import annotations

import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import gather
from gather import HERE, devices

import bed
import guest

PEERS = 100
PROCESSES = 400
INTERVAL = 10
WARM = 2  # rounds that do not count
# The emulator counts a string instruction once a byte, and the kernel clears what it allocates by them: without the
# fast ones it takes 8 bytes at once.
STRINGS_ONCE = (*guest.COUNTED, "-cpu", "max,-cx16,-erms,-fsrm")

COLLECTORS = ("conntrack", "crypto", "host", "transport", "underlay", "peer_names")  # beside wireguard


def options(**changed: str) -> str:
    return "".join(["[[inputs.wgvitals]]\n", *(f"  {name} = {value}\n" for name, value in changed.items())])


WORKS = {
    "default": options(),
    **{f"without {name}": options(**{name: "false"}) for name in COLLECTORS},
    "wireguard alone": options(**{name: "false" for name in COLLECTORS}),
    "with path": options(path="true"),
    "no samples": options(sample_interval='"0s"'),
}
ESTIMATED = options(crypto_ebpf="false")
IN_KERNEL = {**WORKS, "crypto estimated": ESTIMATED, "crypto estimated under load": ESTIMATED}


def file_of(name: str) -> str:
    return name.replace(" ", "_")


def rounds_of(text: str) -> list[int]:
    return [int(line.split()[0]) for line in text.splitlines()][WARM:]


def durations(lines: str) -> str:
    """By collector: microseconds of the gathers' own passes, the median."""
    found: dict[str, list[int]] = {}
    for name, spent in re.findall(r"(?m)^wgvitals,collector=(\w+) success=1i,duration_ns=(\d+)i", lines):
        found.setdefault(name, []).append(int(spent))
    return ", ".join(f"{name} {statistics.median(spent[WARM:]) / 1000:.0f}" for name, spent in found.items())


def table(title: str, *rows: tuple) -> None:
    head, *lines = rows
    print(f"\n**{title}**\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for line in lines:
        print(f"| {' | '.join(map(str, line))} |", flush=True)


# --- in the guest ---


def run_guest(works: dict[str, str], rounds: int, folder: str) -> guest.Result:
    files = devices(PEERS, shaken=True) | {
        "/cost": gather.program(),
        "/numbers": f"{PROCESSES} {rounds}\n",
        **{f"/options/{file_of(name)}.toml": text for name, text in works.items()},
    }
    result = guest.run(
        str(HERE / "scenarios/host"),
        pathlib.Path(folder),
        files=files,
        programs=guest.library("libbpf.so.1"),
        timeout=900,
        processors=STRINGS_ONCE,
    )
    shaken = [line.split()[1] != "0" for line in result.text("handshakes").splitlines()]
    if shaken != [True] * PEERS:
        raise guest.GuestError(f"{sum(shaken)} of {len(shaken)} peers have shaken hands")
    for name, method in (("default", "ebpf"), ("crypto estimated", "kworker")):
        if f"method={method}" not in result.text(f"{file_of(name)}.lines"):
            raise guest.GuestError(f"{name}: not by {method}: {result.text(f'{file_of(name)}.said')}")
    return result


def counts_of(result: guest.Result, works: dict[str, str]) -> dict[str, list[int]]:
    """Instructions of each round."""
    return {name: rounds_of(result.text(file_of(name))) for name in works}


def in_guest(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="wgvitals-bench-") as folder:
        result = run_guest(IN_KERNEL, rounds, folder)
        counts = counts_of(result, IN_KERNEL) | {"a bare dump": rounds_of(result.text("bare"))}
        floor = min(counts["wireguard alone"])
        rows = [("options", "least", "mean", "least, against wireguard alone")]
        for name, some in counts.items():
            least, mean = min(some), statistics.mean(some)
            rows.append((name, f"{least / 1e6:.2f} M", f"{mean / 1e6:.2f} M", f"{least / floor:.2f}"))
        table("In the guest, instructions from gather to gather", *rows)
        lines = result.text("default.lines")
        print(f"\nA gather's own pass, default, thousands of instructions: {durations(lines)}")

        grown = [late - early for early, late in zip(*(programs(result, when) for when in ("before", "after")))]
        print(
            f"\nThe eBPF programs take {sum(grown[0::2]) / 6e6:.2f} M instructions in {INTERVAL} s, "
            f"in {sum(grown[1::2]) / 6:.0f} runs, of whatever comes by. "
            f"{result.text('kernel_threads').strip()} kernel threads."
        )


def programs(result: guest.Result, when: str) -> list[int]:
    """Of each program, its time and its runs."""
    return [int(word) for word in result.text(f"programs.{when}").split()]


# --- on this machine ---


def userspace(place: bed.Bed, name: str) -> subprocess.Popen:
    with open(place.dir / f"{name}.log", "w") as log:
        process = place.here.start("wireguard-go", "-f", name, stdout=log, stderr=log)
    bed.wait_until((bed.UAPI_DIR / f"{name}.sock").exists, f"the socket of {name}")
    place.here.run("ip", "link", "set", name, "up")
    return process


def make_host(place: bed.Bed) -> None:
    """As scenarios/host.sh does."""
    here, files = place.here, devices(PEERS, shaken=True)
    rule = "{ type nat hook postrouting priority 100; }\nadd rule ip nat post masquerade\n"
    here.run("nft", "-f", "-", input=f"add table ip nat\nadd chain ip nat post {rule}")
    here.run("ip", "link", "add", "below", "type", "veth", "peer", "name", "under")
    here.run("ip", "address", "add", "192.0.2.254/24", "dev", "below")
    for name in ("below", "under"):
        here.run("ip", "link", "set", name, "arp", "off", "up")
    userspace(place, "wg0")
    here.run("wg", "setconf", "wg0", "/dev/stdin", input=files["/conf/wg0.conf"])
    far = userspace(place, "far")
    for n in range(PEERS):
        here.run("wg", "setconf", "far", "/dev/stdin", input=files[f"/far/{n}.conf"])
        time.sleep(0.05)
    far.kill()
    far.wait()
    (bed.UAPI_DIR / "far.sock").unlink()
    shaken = here.run("wg", "show", "wg0", "latest-handshakes").stdout.splitlines()
    if sum(not line.endswith("\t0") for line in shaken) != PEERS:
        sys.exit("not all peers have shaken hands")
    here.run("wg", "addconf", "wg0", "/dev/stdin", input=files["/conf/wg0.conf"])
    for _ in range(PROCESSES):
        here.start("sleep", "infinity")


class Live:
    def __init__(self, place: bed.Bed, rounds: int) -> None:
        self.place, self.rounds, self.cost = place, rounds, place.dir / "cost"
        self.cost.write_bytes(gather.program())
        self.cost.chmod(0o755)

    def start(self, name: str) -> subprocess.Popen:
        config = self.place.dir / f"{file_of(name)}.toml"
        config.write_text(WORKS[name])
        lines = str(config.with_suffix(".lines"))
        every = (str(self.cost), "every", str(INTERVAL), str(self.rounds), lines)
        execd = (bed.program("wgvitals-execd"), "-poll_interval_disabled", "-config", str(config))
        return self.place.here.start(*every, *execd, stdout=subprocess.PIPE, text=True)

    def lines(self, name: str) -> str:
        return (self.place.dir / f"{file_of(name)}.lines").read_text()


def load() -> str:
    return pathlib.Path("/proc/loadavg").read_text().split()[0]


def live(rounds: int) -> None:
    with bed.Bed() as place:
        make_host(place)
        run, before = Live(place, rounds), load()
        times = {"default, alone": rounds_of(run.start("default").communicate()[0])}
        print(f"\nA gather's own pass, default, alone, us: {durations(run.lines('default'))}")
        running = {}
        for name in WORKS:  # beside each other, so that all meet the same load
            running[name] = run.start(name)
            time.sleep(INTERVAL / 2 / len(WORKS))
        times |= {name: rounds_of(process.communicate()[0]) for name, process in running.items()}
        floor = statistics.median(times["wireguard alone"])
        rows = [("options", "least, ms", "median, ms", "mean, ms", "against wireguard alone, medians")]
        for name, some in times.items():
            figures = (min(some), statistics.median(some), statistics.mean(some))
            rows.append((name, *(f"{ns / 1e6:.2f}" for ns in figures), f"{figures[1] / floor:.2f}"))
        table(f"On this machine, load {before} to {load()}", *rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("where", nargs="*", help="guest, live; both where neither is said")
    arguments = parser.parse_args()
    where = arguments.where or ["guest", "live"]
    if "guest" in where:
        in_guest(arguments.rounds)
    if "live" in where:
        bed.need(bed.TOOLS)
        bed.enter()
        live(arguments.rounds)


if __name__ == "__main__":
    main()
