"""stream.py COUNT: at 10.97.0.2, takes a stream from each of so many connections; stream.py: sends one and says how many
microseconds it took. For the guest."""
import socket
import sys
import time

ADDRESS = ("10.97.0.2", 5000)
SIZE = 8 << 20
BLOCK = 1 << 17


def take(count: int) -> None:
    buffer = bytearray(BLOCK)
    with socket.create_server(ADDRESS) as server:
        for _ in range(count):
            peer, _ = server.accept()
            with peer:
                left = SIZE
                while left and (got := peer.recv_into(buffer)):
                    left -= got
                peer.sendall(b".")


def send() -> int:
    with socket.socket() as peer:
        peer.connect(ADDRESS)
        begun = time.monotonic_ns()
        for _ in range(SIZE // BLOCK):
            peer.sendall(bytes(BLOCK))
        if peer.recv(1) != b".":
            raise OSError("it was not taken")
        return (time.monotonic_ns() - begun) // 1000


if __name__ == "__main__":
    if len(sys.argv) > 1:
        take(int(sys.argv[1]))
    else:
        print(send())
