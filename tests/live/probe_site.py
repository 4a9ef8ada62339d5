"""WireGuard servers, each on a host of its own, and `wgvitals probe handshake` at each."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import threading

from bed import Bed, Device, Host, Keys, Link, program
from middle import Middle

PORT = 51820
INSIDE, OURS = ("10.70.0.1", "fd00:70::1"), ("10.70.0.2", "fd00:70::2")  # the server's, the probe's
ECHOES = 3


@dataclasses.dataclass
class Said:
    """What one run of the program ended with."""

    answer: dict
    status: int
    notes: str

    def __str__(self) -> str:
        answer = self.answer
        words = [answer["outcome"]]
        if answer.get("cookie"):
            words.append("cookie")
        if answer.get("tunnel_sent"):
            words.append(f"tunnel {answer['tunnel_received']} of {answer['tunnel_sent']}")
        if answer.get("answered_from"):
            words.append("from another address")
        return ", ".join(words)


@dataclasses.dataclass
class Server:
    host: Host
    link: Link
    device: Device | None
    key_file: str
    key: Keys  # the probe's own

    @property
    def place(self) -> tuple[str, int]:
        return self.link.b.v4, PORT

    @property
    def address(self) -> str:
        return f"{self.link.b.v4}:{PORT}"


class Site:
    """Makes servers, each on a host of its own, and probes them from here."""

    def __init__(self, bed: Bed, daemon: tuple[str, ...] = (), timeout: str = "2s") -> None:
        self.bed, self.timeout = bed, timeout
        self._daemon, self._lock, self._numbers = daemon, threading.Lock(), itertools.count()

    def server(
        self,
        *,
        psk: str = "",
        allowed_ips: str = ", ".join(OURS),
        registered: bool = True,
        device: bool = True,
    ) -> Server:
        with self._lock:
            host = self.bed.host(f"server{next(self._numbers)}")
            link = self.bed.join(self.bed.here, host)
            made = None
            if device:
                made = host.device("wg0", *(f"{a}/{n}" for a, n in zip(INSIDE, (24, 64))), daemon=self._daemon)
            key = Keys.make()
            if made and registered:
                made.add_peer(key.public, allowed_ips, preshared_key=psk)
            return Server(host, link, made, self.secret(key.private), key)

    def join(self, a: Host, b: Host) -> Link:
        with self._lock:
            return self.bed.join(a, b)

    def secret(self, key: str) -> str:
        path = pathlib.Path(self.bed.dir, f"key.{next(self._numbers)}")
        path.touch(0o600)
        path.write_text(key + "\n")
        return str(path)

    def states(self, name: str) -> str:
        path = self.bed.dir / f"state.{name}"
        path.mkdir(exist_ok=True)
        return str(path)

    def probe(
        self,
        server: Server,
        at: str = "",
        *,
        key: str = "",
        psk: str = "",
        inside: str = INSIDE[0],
        count: int = ECHOES,
        states: str = "all",
        options: tuple[str, ...] = (),
    ) -> Said:
        key = key or (server.device.keys.public if server.device else Keys.make().public)
        words = ["--server", at or server.address, "--server-key", key, "--key-file", server.key_file]
        if inside:
            words += ["--tunnel", inside, "--source", OURS[":" in inside], "--count", str(count)]
        if psk:
            words += ["--psk-file", self.secret(psk)]
        words += ["--timeout", self.timeout, "--retries", "2", *options]
        done = self.bed.here.run(
            program("wgvitals"),
            "probe",
            "handshake",
            "--json",
            *words,
            check=False,
            timeout=120,
            env=os.environ | {"STATE_DIRECTORY": self.states(states)},
        )
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            raise RuntimeError(
                f"probe {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            ) from None
        return Said(answer, done.returncode, done.stderr)

    def through(self, server: Server, **fates) -> Said:
        """A probe through a Middle."""
        with Middle(server.place, **fates) as middle:
            return self.probe(server, middle.address)
