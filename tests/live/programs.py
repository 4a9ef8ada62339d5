"""The programs under test: wgvitals-execd with its three streams in our hands, and `wgvitals once`."""

from __future__ import annotations

import json
import os
import pathlib
import re
import select
import signal
import subprocess
import threading

import line_protocol
from bed import Bed, Host, program, wait_until
from line_protocol import Record


def toml(**options) -> str:
    """A configuration of the execd. A dict becomes a table of its own."""
    plain = {key: value for key, value in options.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in options.items() if isinstance(value, dict)}
    lines = ["[[inputs.wgvitals]]", *(f"  {key} = {json.dumps(value)}" for key, value in plain.items())]
    for table, entries in tables.items():
        lines += [
            f"  [inputs.wgvitals.{table}]",
            *(f"    {json.dumps(key)} = {json.dumps(value)}" for key, value in entries.items()),
        ]
    return "\n".join(lines) + "\n"


def write(bed: Bed, text: str, name: str = "wgvitals.toml") -> str:
    path = bed.dir / name
    path.write_text(text)
    return str(path)


def once(bed: Bed, *arguments: str, config: str = "", host: Host | None = None, **more) -> list[Record]:
    """The records of `wgvitals once`, through its line protocol."""
    path = write(bed, config or toml(), "once.toml")
    command = [program("wgvitals"), "once", "--format", "influx", "--config", path, *arguments]
    done = (host or bed.here).run(*command, **more)
    return line_protocol.parse(done.stdout)


class Written:
    """What a process writes into a pipe, read by a thread from the start. `text` has all that was in the pipe
    when it was asked for, so what was written before something else was seen is never missing."""

    def __init__(self, pipe) -> None:
        self._pipe, self._bytes, self._ended = pipe, bytearray(), False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._collect)
        self._thread.start()

    @property
    def text(self) -> str:
        with self._lock:
            while self._take():
                pass
            return bytes(self._bytes).decode()

    def join(self) -> None:
        """Until the other end is closed."""
        self._thread.join()

    def _collect(self) -> None:
        while not self._ended:
            self._ready(None)
            with self._lock:
                self._take()

    def _ready(self, seconds: float | None) -> bool:
        return bool(select.select([self._pipe], [], [], seconds)[0])

    def _take(self) -> bool:
        """Whether there may be more."""
        if self._ended or not self._ready(0):
            return False
        part = os.read(self._pipe.fileno(), 65536)
        self._bytes += part
        self._ended = not part
        return not self._ended


class Execd:
    """A running wgvitals-execd. What it writes is collected from the start, unless reading is False.

    config is the text of its configuration, or a path.
    """

    def __init__(
        self,
        bed: Bed,
        config: str | pathlib.Path = "",
        *arguments: str,
        host: Host | None = None,
        command: list[str] | None = None,
        reading: bool = True,
        stderr=subprocess.PIPE,
        **more,
    ) -> None:
        self.config = str(config) if isinstance(config, pathlib.Path) else write(bed, config or toml())
        self.process = (host or bed.here).start(
            *(command or [program("wgvitals-execd")]),
            "-config",
            self.config,
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            **more,
        )
        self._written: dict[str, Written] = {}
        if reading:
            self.read("stdout")
        if self.process.stderr:
            self.read("stderr")

    def __enter__(self) -> Execd:
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()

    def read(self, name: str) -> None:
        """From now on, collects what it writes there."""
        self._written[name] = Written(getattr(self.process, name))

    @property
    def out(self) -> str:
        return self._written["stdout"].text if "stdout" in self._written else ""

    @property
    def said(self) -> str:
        return self._written["stderr"].text if "stderr" in self._written else ""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def memory(self) -> int:
        """Resident bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def records(self) -> list[Record]:
        """Of the whole lines so far."""
        return line_protocol.parse(self.out[: self.out.rfind("\n") + 1])

    def gathers(self) -> list[list[Record]]:
        """The records so far, in the order of time, one list for each time stamp."""
        times: dict[int, list[Record]] = {}
        for record in self.records():
            times.setdefault(record.timestamp, []).append(record)
        return [times[time] for time in sorted(times)]

    def starts(self) -> None:
        """Until it takes signals: before that they end it, as they do the loader."""
        status = pathlib.Path(f"/proc/{self.pid}/status")
        taken = lambda: int(re.search(r"SigBlk:\s*(\w+)", status.read_text())[1], 16) >> signal.SIGTERM - 1 & 1
        wait_until(taken, f"the start of wgvitals-execd, which said: {self.said}")

    def trigger(self) -> None:
        self.process.stdin.write(b"\n")

    def gather(self, trigger=None, seconds: float = 5.0) -> list[Record]:
        """Asks for one gather, by a newline unless told otherwise, and gives its records."""
        seen = len(self.out)
        (trigger or self.trigger)()
        # What the engine says of itself is the end of a gather, or all of one that is late.
        end = re.compile(r"(?m)^wgvitals,collector=engine (version|late)=.*\n\Z")
        ended = lambda: end.search(self.out, seen)
        wait_until(ended, f"an answer of wgvitals-execd, which said: {self.said}", seconds)
        return line_protocol.parse(self.out[seen:])

    def hears(self, text: str, seconds: float = 5.0) -> None:
        wait_until(lambda: text in self.said, f"{text!r} on stderr, where there is: {self.said}", seconds)

    def end(self, seconds: float = 5.0) -> int:
        """Closes its stdin, as a host does that stops; its exit status."""
        self.process.stdin.close()
        return self.wait(seconds)

    def wait(self, seconds: float = 5.0) -> int:
        code = self.process.wait(seconds)
        for written in self._written.values():
            written.join()
        return code
