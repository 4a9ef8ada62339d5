"""What a gather costs inside the guest: us, a bare receive loop of the same dump, and others."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "live"), str(HERE.parent / "guest")]
import configuration
import guest
import telegraf

# The files of the scenario.
WORKS = {
    "bare": "bare receive loop",
    "read": "wgvitals-execd, a gather that shows no peer",
    "gather": "wgvitals-execd, a gather to /dev/null",
    "delivered": "wgvitals-execd, a gather into a pipe",
    "wg": "wg show wg0 dump, a process each time",
    "telegraf": "Telegraf's inputs.wireguard, into a pipe",
}
WARM = 2  # rounds that do not count: memory grows to its size, the kernel's code and ours are met first
PORT = 51820
# Without crypto, whose lines come when its programs are attached: answers are known by their number of lines. What
# it costs stands in host_bench.py.
OPTIONS = '[[inputs.wgvitals]]\n  gather_wait = "60s"\n  crypto = false\n'
TELEGRAF = """
[agent]
  interval = "5s"
  flush_interval = "1s"
  metric_buffer_limit = 100000
  omit_hostname = true
[[inputs.wireguard]]
[[outputs.file]]
  files = ["stdout"]
"""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one round: nanoseconds of CPU time, the least, as others disturb it; or instructions, the median."""

    cpu: int
    spread: float  # of the rounds, against that
    resident_kib: int | None


@dataclasses.dataclass(frozen=True)
class Costs:
    peers: int
    of: dict[str, Cost]

    def ratio(self, name: str) -> float:
        return self.of[name].cpu / self.of["bare"].cpu


def measure(peers: int, *, counted: bool, others: bool = False, shaken: bool = False) -> Costs:
    """Boots once. `others`: wg(8) and Telegraf, too; `shaken`: every peer has shaken hands."""
    files = devices(peers, shaken) | {
        "/cost": program(),
        "/all.toml": OPTIONS,
        "/none.toml": OPTIONS + '  peers_shown = "none"\n',
    }
    if others:
        files |= {"/telegraf": pathlib.Path(telegraf.build()).read_bytes(), "/telegraf.conf": TELEGRAF}
    with tempfile.TemporaryDirectory(prefix="wgvitals-bench-") as folder:
        result = guest.run(
            str(HERE / "scenarios/gather"),
            pathlib.Path(folder),
            files=files,
            timeout=900,
            processors=guest.COUNTED if counted else guest.TWO,
        )
        handshakes = [line.split()[1] != "0" for line in result.text("handshakes").splitlines()]
        if handshakes != [shaken] * peers:
            raise guest.GuestError(f"{sum(handshakes)} of {len(handshakes)} peers have shaken hands")
        if int(result.text("lines")) < 2 * peers:
            raise guest.GuestError("wgvitals-execd leaves peers out")
        works = [name for name in WORKS if (result.folder / name).exists()]
        pick = statistics.median if counted else min
        return Costs(peers, {name: _cost(result.text(name), pick) for name in works})


def _cost(text: str, pick) -> Cost:
    rounds = [[int(word) for word in line.split()] for line in text.splitlines()][WARM:]
    times = [numbers[0] for numbers in rounds]
    cpu = pick(times)
    resident = rounds[-1][1] if len(rounds[-1]) > 1 else None
    return Cost(int(cpu), (max(times) - min(times)) / cpu, resident)


def program() -> bytes:
    """cost.cpp, compiled."""
    with tempfile.TemporaryDirectory(prefix="wgvitals-bench-") as folder:
        binary = pathlib.Path(folder, "cost")
        compiler = ["g++", "-std=c++20", "-O2", "-o", str(binary), str(HERE / "cost.cpp"), "-lmnl"]
        subprocess.run(compiler, check=True)
        return binary.read_bytes()


def devices(peers: int, shaken: bool) -> dict[str, str]:
    """wg0, a server with a prefix and an endpoint for each peer; the far sides, which shake hands with it."""
    source = random.Random(1)
    hub = configuration.key(source)
    settings = [f"ListenPort = {PORT}", *([f"PrivateKey = {configuration.text(hub)}"] if shaken else [])]
    server = configuration.Configuration(1, *settings)
    hub_public = configuration.public(hub)
    files = {}
    for n in range(peers):
        private = configuration.key(source)
        server.peer(
            f"Endpoint = 192.0.2.{n % 250 + 1}:{1024 + n}",
            "PersistentKeepalive = 25",
            public_key=configuration.public(private) if shaken else None,
            prefixes=[f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32"],
        )
        if shaken:
            far = configuration.Configuration(1, f"PrivateKey = {configuration.text(private)}")
            far.peer(
                f"Endpoint = 127.0.0.1:{PORT}",
                "PersistentKeepalive = 25",
                public_key=hub_public,
                prefixes=["0.0.0.0/0"],
            )
            files[f"/far/{n}.conf"] = far.text
    return files | {"/conf/wg0.conf": server.text}
