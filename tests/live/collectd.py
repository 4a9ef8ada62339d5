"""A real collectd with a generated configuration: csv, unixsock and a log file, in a folder of its own."""

from __future__ import annotations

import pathlib
import signal
import socket
import subprocess
import time

from bed import PROGRAMS, Bed, wait_until

DAEMON = "/usr/sbin/collectd"
HOST = "bed.example"


def daemon() -> list[str]:
    """The daemon's command; with a sanitized plugin what that needs is loaded first."""
    if b"__asan_init" not in pathlib.Path(PROGRAMS, "wireguard.so").read_bytes():
        return [DAEMON]
    ask = ["clang++-14", "-print-file-name=libclang_rt.asan-x86_64.so"]
    runtime = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    # Its leaks are not ours.
    return ["env", f"LD_PRELOAD={runtime}", "ASAN_OPTIONS=detect_leaks=0", DAEMON]


class Collectd:
    """`plugin` loads and configures what is tested, from the directory of our programs; `more` does so with
    collectd's own plugins."""

    def __init__(
        self, bed: Bed, plugin: str = "LoadPlugin wireguard\n", interval: float = 0.5, more: str = ""
    ) -> None:
        self.bed, self.interval = bed, interval
        self.dir = pathlib.Path(bed.dir, f"collectd.{time.monotonic_ns()}")
        self.dir.mkdir()
        self.log, self.config, self.socket = (
            self.dir / "log",
            self.dir / "collectd.conf",
            self.dir / "unixsock",
        )
        self.log.touch()
        self.config.write_text(f"""
Hostname "{HOST}"
BaseDir "{self.dir}"
PIDFile "{self.dir}/pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
Interval {interval}
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{self.log}"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{self.dir}/csv"
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{self.socket}"
  SocketGroup "root"
</Plugin>
{more}
PluginDir "{PROGRAMS}"
{plugin}""")
        self.process: subprocess.Popen | None = None

    def test(self) -> subprocess.CompletedProcess:
        """`collectd -T`: reads everything once."""
        return self.bed.here.run(*daemon(), "-T", "-C", str(self.config), check=False)

    def __enter__(self) -> Collectd:
        with open(self.log, "a") as log:
            command = [*daemon(), "-f", "-C", str(self.config)]
            self.process = self.bed.here.start(*command, stdout=log, stderr=log)
        wait_until(self.socket.exists, "collectd's socket")
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self, how: int = signal.SIGTERM) -> float:
        """How many seconds it took."""
        started = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(15)
        self.socket.unlink(missing_ok=True)
        return time.monotonic() - started

    def ask(self, command: str) -> list[str]:
        """The lines of unixsock's answer after its first; [] where it says that there is no such thing."""
        with wait_until(self._connect, "collectd's socket") as connection:
            with connection.makefile("rw") as stream:
                stream.write(command + "\n")
                stream.flush()
                count = int(stream.readline().split()[0])
                return [stream.readline().rstrip("\n") for _ in range(max(count, 0))]

    def _connect(self) -> socket.socket | None:
        """None where the socket is there and nobody listens yet."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self.socket))
            return connection
        except ConnectionRefusedError:
            connection.close()
            return None

    def identifiers(self) -> set[str]:
        """What LISTVAL lists, without the host."""
        return {line.split()[1].removeprefix(HOST + "/") for line in self.ask("LISTVAL")}

    def wait_for(self, *identifiers: str, seconds: float = 30) -> None:
        wait_until(
            lambda: set(identifiers) <= self.identifiers(),
            f"{identifiers} in collectd, which said: {self.said}",
            seconds,
        )

    def value(self, identifier: str) -> dict[str, float]:
        """GETVAL: of counters, the rate."""
        pairs = (line.split("=") for line in self.ask(f'GETVAL "{HOST}/{identifier}"'))
        return {name: float(value) for name, value in pairs}

    def rows(self, identifier: str) -> list[dict[str, str]]:
        """The csv file's rows, as written: of counters, the counter."""
        files = sorted(self.dir.glob(f"csv/{HOST}/{identifier}-????-??-??"))
        rows: list[dict[str, str]] = []
        for file in files:
            head, *lines = file.read_text().splitlines()
            rows += [dict(zip(head.split(","), line.split(","))) for line in lines]
        return rows

    @property
    def said(self) -> str:
        return self.log.read_text()

    def hears(self, text: str, seconds: float = 30) -> None:
        wait_until(
            lambda: text in self.said, f"{text!r} in collectd's log, where there is: {self.said}", seconds
        )
