"""Many hosts that answer pings behind a TUN device, as late and as badly as they are told, with the truth about
each ping (tests/support/echo_responder.cpp)."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import pathlib
import struct
import subprocess

import bed
from bed import Host

PREFIXES = ("10.99.0.0/16", "fd99::/112")
SOURCES = ("10.98.0.1/32", "fd98::1/128")  # of our own requests
# The order of the counts of an address, and of fates in the log: enum Fate of echo_targets.h.
FATES = ("waiting", "answered", "lost", "dead", "refused", "wrong_source", "wrong_id", "wrong_payload")
PROBE = struct.Struct("=IBxxxqq")
IPV6_MARK = 1 << 31


def address(number: int, family: int = 4) -> str:
    """The one with this offset in its prefix."""
    return str(ipaddress.ip_network(PREFIXES[family == 6])[number])


def addresses(count: int, family: int = 4, first: int = 256) -> list[str]:
    """An even first one: dead="odd" then makes half of them dead. None ends in .0 of the prefix itself."""
    return [address(number, family) for number in range(first, first + count)]


@dataclasses.dataclass(frozen=True)
class Probe:
    """A request as the responder had it. Times are those of CLOCK_MONOTONIC, in ns; written 0: no reply."""

    address: str
    fate: str
    read: int
    written: int


class Responder:
    """Settings are those of echo_responder.cpp: Responder(host, delay=20, loss=0.01, dead="odd")."""

    def __init__(self, host: Host, device: str = "ping0", queue: int = 50_000, **settings) -> None:
        self.host, self.device = host, device
        commands = [f"tuntap add dev {device} mode tun", f"link set {device} up txqueuelen {queue}"]
        commands += [f"address add {source} dev {device}" for source in SOURCES]
        commands += [f"route add {prefix} dev {device}" for prefix in PREFIXES]
        host.run("ip", "-batch", "-", input="\n".join(commands))
        program = bed.program("tests/bench/echo_responder")
        words = [f"prefix={prefix}" for prefix in PREFIXES]
        words += [f"{name}={value}" for name, value in settings.items()]
        self.process = host.start(
            program, device, *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._hear("ready")

    def __enter__(self) -> Responder:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        self.host.run("ip", "link", "delete", self.device)

    def set(self, **settings) -> None:
        for name, value in settings.items():
            self._ask(f"{name}={value}", "ok")

    def counts(self) -> dict[str, float]:
        """Totals of the requests so far, and the delays of the replies; `overrun`: requests that the device's
        own queue had no room for."""
        link = self.host.run("ip", "-json", "-statistics", "link", "show", self.device).stdout
        return json.loads(self._ask("counts")) | {"overrun": json.loads(link)[0]["stats64"]["tx"]["dropped"]}

    def addresses(self) -> dict[str, dict[str, int]]:
        """The fates of the requests to each address that was asked."""
        counts = json.loads(self._ask("addresses"))
        return {name: dict(zip(FATES, of)) for name, of in counts.items()}

    def probes(self) -> list[Probe]:
        """Each request so far, in the order in which they came."""
        file = pathlib.Path(self.host.bed.dir, f"{self.device}.probes")
        self.set(log=file)
        names: dict[int, str] = {}
        found = []
        for number, fate, read, written in PROBE.iter_unpack(file.read_bytes()):
            if number not in names:
                names[number] = address(number & ~IPV6_MARK, 6 if number & IPV6_MARK else 4)
            found.append(Probe(names[number], FATES[fate], read, written))
        file.unlink()
        return found

    def _ask(self, line: str, expected: str = "") -> str:
        self.process.stdin.write(line + "\n")
        return self._hear(expected)

    def _hear(self, expected: str) -> str:
        said = self.process.stdout.readline().rstrip("\n")
        if not said or said != (expected or said):
            raise RuntimeError(f"the echo responder said {said!r}")
        return said
