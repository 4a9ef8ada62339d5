"""Stands between a probe and its server and does to their packets what networks do, or should not."""

from __future__ import annotations

import collections
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable

# A packet and its number among those of its type in its direction, from 1, become what is sent on.
Fate = Callable[[bytes, int], Iterable[bytes]]
INITIATION, RESPONSE, COOKIE_REPLY, DATA = 1, 2, 3, 4


def pass_on(packet: bytes, _number: int) -> Iterable[bytes]:
    return [packet]


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Middle:
    """Listens at `near`; the server sees an address of this one, as behind a NAT."""

    def __init__(
        self,
        server: tuple[str, int],
        forth: Fate = pass_on,
        back: Fate = pass_on,
        answers_from: str = "",
        near: str = "127.0.0.1",
    ) -> None:
        self._server, self._forth, self._back = server, forth, back
        self._near = self._socket(near)
        self._answers = self._socket(answers_from) if answers_from else self._near
        self._rebind = False
        self._far = self._out()
        self._client = None
        self._wake = socket.socketpair()
        # By direction and type.
        self.counts: collections.Counter[tuple[str, int]] = collections.Counter()
        self.address = f"{f'[{near}]' if ':' in near else near}:{self._near.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _socket(address: str) -> socket.socket:
        made = socket.socket(_family(address), socket.SOCK_DGRAM)
        made.bind((address, 0))
        return made

    def _out(self) -> socket.socket:
        made = socket.socket(_family(self._server[0]), socket.SOCK_DGRAM)
        made.connect(self._server)
        return made

    def __enter__(self) -> Middle:
        return self

    def __exit__(self, *_) -> None:
        self._wake[1].send(b"x")
        self._thread.join()
        for one in {self._near, self._answers, self._far, *self._wake}:
            one.close()

    def rebind(self) -> None:
        """A NAT that forgets: what follows has another port. From a fate."""
        self._rebind = True

    def _run(self) -> None:
        while True:
            near = {self._near, self._answers}  # who was answered goes on with who answered
            ready = select.select([*near, self._far, self._wake[0]], [], [])[0]
            if self._wake[0] in ready:
                return
            if asked := near & set(ready):
                packet, self._client = asked.pop().recvfrom(65536)
                packets = self._fate(self._forth, "forth", packet)
                if self._rebind:
                    self._far.close()
                    self._far, self._rebind = self._out(), False
                self._send(packets, self._far.send)
            elif self._far in ready:
                try:
                    packet = self._far.recv(65536)
                except ConnectionRefusedError:
                    continue
                packets = self._fate(self._back, "back", packet)
                self._send(packets, lambda data: self._answers.sendto(data, self._client))

    def _fate(self, fate: Fate, direction: str, packet: bytes) -> Iterable[bytes]:
        self.counts[direction, packet[0]] += 1
        return fate(packet, self.counts[direction, packet[0]])

    @staticmethod
    def _send(packets: Iterable[bytes], send: Callable[[bytes], object]) -> None:
        for n, packet in enumerate(packets):
            if n % 50 == 49:  # more would not fit the socket of who reads it
                time.sleep(0.01)
            send(packet)


def lose(*numbers: tuple[int, int]) -> Fate:
    """The packets of this (type, number)."""
    return lambda packet, number: [] if (packet[0], number) in numbers else [packet]


def each_bit_flipped(packet: bytes, bits: range) -> Iterable[bytes]:
    """One packet a bit."""
    for bit in bits:
        mangled = bytearray(packet)
        mangled[bit // 8] ^= 1 << bit % 8
        yield bytes(mangled)


def of_type(kind: int, fate: Fate) -> Fate:
    return lambda packet, number: fate(packet, number) if packet[0] == kind else [packet]
