"""WireGuard's data packets, for the guest. `data_packets.py take LINK FOLDER` leaves the first one with content that
passes the link to each address in FOLDER/ADDRESS. `data_packets.py send FOLDER/ADDRESS TO KIND COUNT` sends it so often
to port 51820 of an address: again as it is (same), with other content and numbers (forged), for a session that nobody
has (foreign), too short to be one (short). `data_packets.py flood FOLDER/ADDRESS TO` sends it as it is, as often as can
be, until it is killed; it says a dot before."""
import os
import socket
import struct
import sys

KEEPALIVE = 32  # bytes


def take(link: str, folder: str) -> None:
    found: set[str] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as tap:  # ETH_P_ALL
        tap.bind((link, 3))
        open(f"{folder}/ready", "w").close()
        while len(found) < 2:
            packet = tap.recv(65536)
            head, content = packet[:28], packet[28:]
            if head[0] != 0x45 or head[9] != socket.IPPROTO_UDP or content[0] != 4 or len(content) <= KEEPALIVE:
                continue
            address = socket.inet_ntoa(head[16:20])
            if address not in found:
                found.add(address)
                with open(f"{folder}/{address}", "wb") as file:
                    file.write(content)


def send(path: str, to: str, kind: str, count: int) -> None:
    with open(path, "rb") as file:
        packet = file.read()
    index = packet[:8]
    with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for n in range(count):
            if kind == "forged":
                packet = index + struct.pack("<Q", n) + os.urandom(80)
            elif kind == "foreign":
                packet = index[:4] + os.urandom(4) + packet[8:]
            elif kind == "short":
                packet = index[:4] + os.urandom(27)
            udp.sendto(packet, (to, 51820))


def flood(path: str, to: str) -> None:
    with open(path, "rb") as file:
        packet = file.read()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.IPPROTO_UDP, 103, len(packet))  # UDP_SEGMENT: the kernel cuts them, at one call
        many = packet * (65000 // len(packet))
        print(".", end="", flush=True)
        while True:
            udp.sendto(many, (to, 51820))


if __name__ == "__main__":
    if sys.argv[1] == "take":
        take(*sys.argv[2:])
    elif sys.argv[1] == "flood":
        flood(*sys.argv[2:])
    else:
        send(*sys.argv[2:5], int(sys.argv[5]))
