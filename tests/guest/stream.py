"""stream.py take COUNT: at 10.97.0.2, takes a stream from each of so many connections; stream.py send [MBIT_S]: sends
one, as fast as it can or as that, and says how many microseconds it took. For the guest."""
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


def send(mbit_s: float) -> int:
    block = 1 << 14 if mbit_s else BLOCK
    with socket.socket() as peer:
        peer.connect(ADDRESS)
        begun = time.monotonic_ns()
        for n in range(SIZE // block):
            if mbit_s:
                time.sleep(max(0, n * block * 8e3 / mbit_s - (time.monotonic_ns() - begun)) / 1e9)
            peer.sendall(bytes(block))
        if peer.recv(1) != b".":
            raise OSError("it was not taken")
        return (time.monotonic_ns() - begun) // 1000


if __name__ == "__main__":
    if sys.argv[1] == "take":
        take(int(sys.argv[2]))
    else:
        print(send(float(sys.argv[2]) if len(sys.argv) > 2 else 0))
