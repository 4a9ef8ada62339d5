"""Initiations by the thousand: all a server needs to be under load is its public key, which is not secret."""

from __future__ import annotations

import base64
import hashlib
import os
import pathlib
import socket
import struct
import subprocess
import time

from bed import Bed, program

COUNT = 8000  # of packets, which the program sends each second
COOKIE_REPLY = 3


def initiation(server_key: str) -> bytes:
    """With a valid MAC1; all that it says of who sends it is random."""
    body = struct.pack("<I", 1) + os.urandom(112)
    key = hashlib.blake2s(b"mac1----" + base64.b64decode(server_key)).digest()
    return body + hashlib.blake2s(body, key=key, digest_size=16).digest() + bytes(16)


def with_mac2(packet: bytes, cookie: bytes) -> bytes:
    return packet[:132] + hashlib.blake2s(packet[:132], key=cookie, digest_size=16).digest()


def cookie_of(reply: bytes, server_key: str) -> bytes:
    """XChaCha20 without its Poly1305: this server is ours."""
    key = hashlib.blake2s(b"cookie--" + base64.b64decode(server_key)).digest()
    nonce, sealed = reply[8:32], reply[32:48]
    words = _rounds(_state(key, nonce[:16]))
    stream = _chacha20(struct.pack("<8I", *words[:4], *words[12:]), 1, bytes(4) + nonce[16:])
    return bytes(a ^ b for a, b in zip(sealed, stream))


def _state(key: bytes, last: bytes) -> list[int]:
    return [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), *struct.unpack("<4I", last)]


def _chacha20(key: bytes, counter: int, nonce: bytes) -> bytes:
    state = _state(key, struct.pack("<I", counter) + nonce)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, _rounds(state))))


def _rounds(state: list[int]) -> list[int]:
    x = list(state)

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for to, other, turned, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[to] = (x[to] + x[other]) & 0xFFFFFFFF
            mixed = x[turned] ^ x[to]
            x[turned] = (mixed << by | mixed >> (32 - by)) & 0xFFFFFFFF

    for _ in range(10):
        for n in range(4):
            quarter(n, 4 + n, 8 + n, 12 + n)
        for n in range(4):
            quarter(n, 4 + (n + 1) % 4, 8 + (n + 2) % 4, 12 + (n + 3) % 4)
    return x


class Flood:
    """From an address of this host to a server, until the `with` block ends. With `cookies`, every packet carries
    the valid MAC2 that only who can read the server's answers knows: then the server's limit of 20 packets a
    second for this address is used up. That takes a server that is under load already."""

    def __init__(self, bed: Bed, address: str, port: int, server_key: str, cookies: bool = False) -> None:
        self._bed = bed
        self._gap_ms = "1" if cookies else "125"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((address, port))
        packets = [initiation(server_key)] if cookies else [initiation(server_key) for _ in range(COUNT)]
        if cookies:
            packets[0] = with_mac2(packets[0], cookie_of(self._cookie_reply(packets[0]), server_key))
        self._file = pathlib.Path(bed.dir, f"flood.{time.monotonic_ns()}")
        self._file.write_bytes(b"".join(packets))
        self._process: subprocess.Popen | None = None

    def _cookie_reply(self, packet: bytes) -> bytes:
        """None comes in the moments in which the server is not under load."""
        self._socket.settimeout(0.2)
        for _ in range(50):
            self._socket.send(packet)
            try:
                reply = self._socket.recv(2048)
            except TimeoutError:
                continue
            if reply[0] == COOKIE_REPLY and len(reply) == 64:
                self._socket.settimeout(None)
                return reply
        raise TimeoutError("the server sends no cookie")

    def __enter__(self) -> Flood:
        flood = program("tests/flood")
        self._process = self._bed.here.start(flood, str(self._file), self._gap_ms, stdin=self._socket)
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()
