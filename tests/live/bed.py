"""Real WireGuard between hosts made of namespaces.

A test file ends with `bed.main()`, which runs its tests in process, mount and network namespaces of their
own, with a private /run. However the run ends (also by kill -9), the kernel clears every process, tunnel,
socket and file of it away, and two runs never meet.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000  # linux/sched.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h
WIREGUARD_GO = ("wireguard-go", "-f")
BORINGTUN = ("boringtun-cli", "-f", "--disable-drop-privileges")
SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("WGVITALS_BIN", SOURCE / "build" / "release"))
# What is fetched or built once.
BEDS = pathlib.Path(os.environ.get("WGVITALS_BEDS", SOURCE / "build" / "beds"))
UAPI_DIR = pathlib.Path("/var/run/wireguard")
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")

TOOLS = {
    "ip": "iproute2",
    "ping": "iputils-ping",
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}


def main() -> None:
    need(TOOLS)
    enter()
    unittest.main(verbosity=2)


def need(tools: dict[str, str]) -> None:
    """Ends the run where a program is missing: a test that cannot run has failed."""
    missing = {package for tool, package in tools.items() if not shutil.which(tool)}
    if missing:
        sys.exit(f"missing programs: apt-get install {' '.join(sorted(missing))}")


def enter() -> None:
    """Goes on in a child that owns new namespaces; the parent waits for it and ends as it did."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET) != 0:
        sys.exit(f"cannot make namespaces ({os.strerror(ctypes.get_errno())}): the live tests need root")
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for mount in (
            ["--make-rprivate", "/"],
            ["-t", "proc", "proc", "/proc"],
            ["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
        ):
            subprocess.run(["mount", *mount], check=True)
        UAPI_DIR.mkdir(mode=0o755, parents=True)
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGKILL))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else 128 - code)


def program(name: str) -> str:
    """The absolute path of one of the programs under test."""
    path = PROGRAMS / name
    if not path.is_file():
        sys.exit(f"{path} is missing: build the release preset first")
    return str(path)


def readme_block(language: str, text: str) -> str:
    """The one code block of the README that is in this language and holds this text."""
    # prose, language, block, end, prose ...
    parts = re.split(r"(?m)^```(.*)\n", (SOURCE / "README.md").read_text())
    found = [block for name, block in zip(parts[1::4], parts[2::4]) if name == language and text in block]
    if len(found) != 1:
        raise RuntimeError(f"README.md has {len(found)} blocks with {text!r}")
    return found[0]


def wait_until(condition, what: str, seconds: float = 30.0):
    """The first true value of condition(), which is asked 50 times a second."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return value


def is_running(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Bed:
    """Hosts and the processes on them, which end with the `with` block. `here` is the test's own host."""

    def __init__(self) -> None:
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bed.", dir="/run"))
        self.dir.chmod(0o755)
        self.processes: list[subprocess.Popen] = []
        self.links: list[str] = []
        self.hosts: list[str] = []
        self.here = Host(self, "here")
        self.here.run("ip", "link", "set", "lo", "up")

    def __enter__(self) -> Bed:
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.processes):
            process.kill()
        for process in self.processes:
            process.wait()
        for link in self.links:  # the kernel would do it a little later
            self.here.run("ip", "link", "delete", link, check=False)
        for name in self.hosts:
            self.here.run("ip", "netns", "delete", name)
        for path in UAPI_DIR.iterdir():
            path.unlink()
        shutil.rmtree(self.dir)

    def host(self, name: str, own_sockets: bool = True) -> Host:
        """A host in the network namespace /run/netns/<name>; without own_sockets it shares our UAPI_DIR."""
        mount = f"mount -t tmpfs tmpfs {UAPI_DIR.resolve()} &&" if own_sockets else ""
        script = f"{mount} ip link set lo up && echo up && exec sleep infinity"
        command = ["unshare", "--net", "--mount", "sh", "-c", script]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(holder)
        with holder.stdout:
            up = holder.stdout.readline() == "up\n"
        if not up:
            raise RuntimeError(f"host {name} did not come up")
        self.here.run("ip", "netns", "attach", name, str(holder.pid))
        self.hosts.append(name)
        prefix = ("nsenter", "--net", "--mount", "--root", "--wd", f"--target={holder.pid}", "--")
        return Host(self, name, prefix)

    def join(self, a: Host, b: Host) -> Link:
        """A cable between two hosts, with IPv4 and IPv6 addresses on both ends."""
        number = len(self.links) + 1
        ends = (Ends(f"198.51.{number}.{end}", f"2001:db8:{number}::{end}") for end in (1, 2))
        link = Link(f"veth{number}", *ends)
        self.links.append(link.name)
        self.here.run("ip", "link", "add", link.name, "type", "veth", "peer", "name", link.name + "b")
        for host, name, ends in ((a, link.name, link.a), (b, link.name + "b", link.b)):
            if host is not self.here:
                self.here.run("ip", "link", "set", name, "netns", host.name)
            host.run("ip", "address", "add", f"{ends.v4}/24", "dev", name)
            host.run("ip", "address", "add", f"{ends.v6}/64", "dev", name, "nodad")
            host.run("ip", "link", "set", name, "up")
        return link


@dataclasses.dataclass(frozen=True)
class Ends:
    v4: str
    v6: str


@dataclasses.dataclass(frozen=True)
class Link:
    name: str
    a: Ends
    b: Ends


class Host:
    def __init__(self, bed: Bed, name: str, prefix: tuple[str, ...] = ()) -> None:
        self.bed, self.name, self.prefix = bed, name, prefix

    def run(
        self, *argv: str, input: str | None = None, timeout: float = 30, check: bool = True, **more
    ) -> subprocess.CompletedProcess:
        """Runs a program to its end. A failure is raised with what the program said."""
        done = subprocess.run(
            [*self.prefix, *argv], input=input, timeout=timeout, capture_output=True, text=True, **more
        )
        if check and done.returncode != 0:
            raise RuntimeError(
                f"{' '.join(argv)} on {self.name} ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done

    def start(self, *argv: str, **more) -> subprocess.Popen:
        """Starts a program that the bed ends, if it still runs by then."""
        process = subprocess.Popen([*self.prefix, *argv], **more)
        self.bed.processes.append(process)
        return process

    def device(self, name: str, *addresses: str, port: int = 51820, daemon: tuple[str, ...] = ()) -> Device:
        """A WireGuard device that is up: the daemon's, else the kernel's, else (no such kernel) wireguard-go's."""
        return Device(self, name, addresses, port, daemon or (() if kernel_has_wireguard() else WIREGUARD_GO))


@functools.cache
def kernel_has_wireguard() -> bool:
    made = subprocess.run(["ip", "link", "add", "wgkernel", "type", "wireguard"], capture_output=True)
    if made.returncode == 0:
        subprocess.run(["ip", "link", "delete", "wgkernel"], check=True)
    return made.returncode == 0


@dataclasses.dataclass(frozen=True)
class Keys:
    """Random, as `wg genkey` and `wg genpsk` make them; public belongs to private."""

    private: str
    public: str
    preshared: str

    @staticmethod
    def make() -> Keys:
        def wg(verb: str, text: str = "") -> str:
            done = subprocess.run(["wg", verb], input=text, capture_output=True, text=True, check=True)
            return done.stdout.strip()

        private = wg("genkey")
        return Keys(private, wg("pubkey", private), wg("genpsk"))


@dataclasses.dataclass(frozen=True)
class PeerDump:
    """A peer's line of `wg show <device> dump`, without its preshared key."""

    public_key: str
    endpoint: str
    allowed_ips: str
    latest_handshake: int
    rx_bytes: int
    tx_bytes: int
    keepalive: str


class Device:
    def __init__(
        self, host: Host, name: str, addresses: tuple[str, ...], port: int, daemon: tuple[str, ...]
    ) -> None:
        self.host, self.name, self.port, self.keys = host, name, port, Keys.make()
        self.addresses = [address.partition("/")[0] for address in addresses]
        self.process: subprocess.Popen | None = None
        if daemon:
            with open(host.bed.dir / f"{daemon[0]}.{host.name}.{name}.log", "w") as log:
                self.process = host.start(*daemon, name, stdout=log, stderr=log)
            exists = ("test", "-S", str(self.socket))
            wait_until(lambda: host.run(*exists, check=False).returncode == 0, f"the socket of {name}")
        else:
            host.run("ip", "link", "add", name, "type", "wireguard")
        self.configure(f"[Interface]\nPrivateKey = {self.keys.private}\nListenPort = {port}\n")
        for address in addresses:
            host.run("ip", "address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        host.run("ip", "link", "set", name, "up")
        if daemon:  # which opens its port a little later; an initiation that it misses is repeated after 5 s
            wait_until(self._listens, f"port {port} of {name}")

    def _listens(self) -> bool:
        return f":{self.port:04X} " in self.host.run("cat", "/proc/thread-self/net/udp").stdout

    @property
    def socket(self) -> pathlib.Path:
        return UAPI_DIR / f"{self.name}.sock"

    def configure(self, text: str) -> None:
        self.host.run("wg", "addconf", self.name, "/dev/stdin", input=text)

    def set(self, *words: str) -> None:
        self.host.run("wg", "set", self.name, *words)

    def add_peer(
        self,
        public_key: str,
        allowed_ips: str,
        endpoint: str = "",
        preshared_key: str = "",
        keepalive: int = 0,
    ) -> None:
        settings = {
            "AllowedIPs": allowed_ips,
            "Endpoint": endpoint,
            "PresharedKey": preshared_key,
            "PersistentKeepalive": keepalive,
        }
        self.configure(
            f"[Peer]\nPublicKey = {public_key}\n"
            + "".join(f"{key} = {value}\n" for key, value in settings.items() if value)
        )

    def remove_peer(self, public_key: str) -> None:
        self.set("peer", public_key, "remove")

    def dump(self) -> dict[str, PeerDump]:
        """What wg(8) says, by public key."""
        lines = self.host.run("wg", "show", self.name, "dump").stdout.splitlines()[1:]
        rows = [line.split("\t") for line in lines]
        return {
            row[0]: PeerDump(row[0], row[2], row[3], int(row[4]), int(row[5]), int(row[6]), row[7])
            for row in rows
        }

    def ping(self, address: str, count: int = 3, size: int = 56) -> None:
        self.host.run("ping", "-n", "-q", "-i", "0.05", "-W", "10", "-c", str(count), "-s", str(size), address)

    def send(self, address: str, size: int) -> None:
        """One UDP datagram, to a port where nobody listens."""
        script = f"head -c {size} /dev/zero | dd bs={size} iflag=fullblock status=none > /dev/udp/{address}/9"
        self.host.run("bash", "-c", script)

    def ask(self, request: str = "get=1\n\n") -> str:
        """The raw UAPI answer of a userspace device that shares our sockets."""
        with socket.socket(socket.AF_UNIX) as uapi:
            uapi.settimeout(5)
            uapi.connect(str(self.socket))
            uapi.sendall(request.encode())
            answer = b""
            while not answer.endswith(b"\n\n") and (part := uapi.recv(65536)):
                answer += part
        return answer.decode()

    def remove(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()
        else:
            self.host.run("ip", "link", "delete", self.name)
