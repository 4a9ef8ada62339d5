"""Text for `wg setconf`: devices with as many peers as a test wants, no two of them alike."""
from __future__ import annotations

import base64
import random
import subprocess


def key(source: random.Random) -> bytes:
    """32 bytes in the form of a private key, so that the kernel keeps them as they are."""
    raw = bytearray(source.randbytes(32))
    raw[0] &= 248
    raw[31] = raw[31] & 127 | 64
    return bytes(raw)


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def public(private: bytes) -> str:
    done = subprocess.run(["wg", "pubkey"], input=text(private), capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Configuration:
    def __init__(self, seed: int, *settings: str):
        self._random = random.Random(seed)
        self._prefixes = 0
        self.keys: list[str] = []
        self._lines = ["[Interface]", *settings]

    @property
    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def prefixes(self, count: int) -> list[str]:
        """Prefixes that no other peer of this device has."""
        first = self._prefixes
        self._prefixes += count
        return [f"fd00:{n:x}::/64" if n % 5 == 4 else f"10.{n >> 8}.{n & 255}.0/24"
                for n in range(first, first + count)]

    def peer(self, *settings: str, public_key: str | None = None, prefixes: list[str] | None = None) -> Configuration:
        self.keys.append(public_key or text(self._random.randbytes(32)))
        self._lines += ["[Peer]", f"PublicKey = {self.keys[-1]}", *settings]
        if prefixes:
            self._lines.append("AllowedIPs = " + ", ".join(prefixes))
        return self

    def ordinary(self, count: int, *settings: str) -> Configuration:
        for _ in range(count):
            n = self._prefixes
            self.peer(f"Endpoint = 192.0.2.{n % 250 + 1}:{1024 + n}", f"PersistentKeepalive = {n % 600}", *settings,
                      prefixes=self.prefixes(2))
        return self
