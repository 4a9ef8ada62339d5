"""A userspace WireGuard that is only its socket, and answers as it is told."""

from __future__ import annotations

import base64
import hashlib
import pathlib
import socket
import threading


def key(n: int) -> bytes:
    """The public key of the n-th peer."""
    return hashlib.sha256(b"%d" % n).digest()


def key_text(n: int) -> str:
    return base64.b64encode(key(n)).decode()


def answer(peers: int, private_key: bytes = b"\1" * 32) -> bytes:
    """What a healthy daemon says; every peer's numbers differ."""
    lines = [f"private_key={private_key.hex()}", "listen_port=51820"]
    for n in range(1, peers + 1):
        lines += [
            f"public_key={key(n).hex()}",
            f"preshared_key={'00' * 32}",
            "protocol_version=1",
            f"endpoint=192.0.2.{n % 250 + 1}:{10000 + n % 50000}",
            f"last_handshake_time_sec={1700000000 + n}",
            f"last_handshake_time_nsec={n}",
            f"tx_bytes={2000000 + n}",
            f"rx_bytes={1000000 + n}",
            "persistent_keepalive_interval=25",
            f"allowed_ip=10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32",
        ]
    return "\n".join([*lines, "errno=0", "", ""]).encode()


def healthy(peers: int):
    return lambda connection: connection.sendall(answer(peers))


def says(data: bytes):
    return lambda connection: connection.sendall(data)


def silent(connection: socket.socket) -> None:
    """Holds the connection until the other end goes."""
    while connection.recv(4096):
        pass


def endless(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"allowed_ip=10.0.0.0/8\n" * 3000)


class FakeUapi:
    """Listens at <directory>/<name>.sock, runs `behaviour(connection)` after each whole request, then closes."""

    def __init__(self, directory: pathlib.Path, name: str, behaviour) -> None:
        self.behaviour, self.requests = behaviour, 0
        self.path = directory / f"{name}.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            request = b""
            try:
                while not request.endswith(b"\n\n"):
                    part = connection.recv(4096)
                    if not part:
                        return
                    request += part
                self.requests += 1
                self.behaviour(connection)
            except OSError:
                pass  # the other end had enough

    def __enter__(self) -> FakeUapi:
        return self

    def __exit__(self, *_) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink()
