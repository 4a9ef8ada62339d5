"""A real Telegraf, built once into bed.BEDS: the host for execd, and with its own inputs the oracle."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import bed
import line_protocol
from bed import BEDS, Bed, program, readme_block, wait_until
from line_protocol import Record

VERSION = "v1.39.3"
GO = "1.26.8"  # go.mod of that version asks for 1.26
PLUGINS = (
    "inputs.execd inputs.wireguard inputs.ping inputs.conntrack inputs.nstat inputs.kernel "
    "inputs.net_response inputs.http_response inputs.file outputs.file outputs.influxdb outputs.graphite "
    "outputs.prometheus_client parsers.influx serializers.influx serializers.graphite"
)


def build() -> str:
    """The path of the binary, one for each list of plugins. Safe to interrupt, and to call from several
    tests at once."""
    plugins = hashlib.sha256(PLUGINS.encode()).hexdigest()[:8]
    binary, scratch = BEDS / f"telegraf-{VERSION}-{plugins}", BEDS / "tmp" / "telegraf"
    BEDS.mkdir(parents=True, exist_ok=True)
    with open(BEDS / "telegraf.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove(scratch)  # of a run that was killed
        if not binary.exists():
            print(f"building Telegraf {VERSION} into {BEDS}, once: a minute or two", file=sys.stderr)
            default = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
            try:
                os.replace(_compile(scratch), binary)
            finally:
                remove(scratch)
                signal.signal(signal.SIGTERM, default)
    return str(binary)


def remove(directory: pathlib.Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def _compile(scratch: pathlib.Path) -> pathlib.Path:
    host_go = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
    if not host_go:
        sys.exit("no Go to build Telegraf with: apt-get install golang-go")
    environment = os.environ | {
        "GOPATH": str(scratch),
        "GOMODCACHE": str(scratch / "modules"),
        "GOCACHE": str(scratch / "objects"),
        "GOBIN": str(scratch),
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    tags = ",".join(["custom", *PLUGINS.split()])
    package = f"github.com/influxdata/telegraf/cmd/telegraf@{VERSION}"
    install = [_go(host_go, environment), "install", "-trimpath", "-ldflags=-s -w", "-tags", tags, package]
    subprocess.run(install, env=environment, check=True)
    return scratch / "telegraf"


def _go(host_go: str, environment: dict[str, str]) -> str:
    """A Go that is new enough: the host's, else one that it fetches as a module, which is checked."""

    def ask(*words: str) -> str:
        command = [host_go, *words]
        return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    version = re.match(r"go(\d+)\.(\d+)", ask("env", "GOVERSION"))
    if version and tuple(map(int, version.groups())) >= tuple(map(int, GO.split(".")[:2])):
        return host_go
    platform = "-".join(ask("env", "GOOS", "GOARCH").split())
    module = f"golang.org/toolchain@v0.0.1-go{GO}.{platform}"
    root = pathlib.Path(json.loads(ask("mod", "download", "-json", module))["Dir"])
    for program in [*root.glob("bin/*"), *root.glob("pkg/tool/*/*")]:
        program.chmod(program.stat().st_mode | 0o111)
    return str(root / "bin" / "go")


def sample_block(config: str, execd: str = "") -> str:
    """The README's block for an existing Telegraf, with our program and configuration in its command."""
    command = json.dumps([execd or program("wgvitals-execd"), "-config", config])
    sample = readme_block("toml", "[[inputs.execd]]")
    block, replaced = re.subn(r"(?m)^( *command = ).*$", lambda found: found[1] + command, sample)
    if replaced != 1:
        raise RuntimeError("the README's block has no command line")
    return block


class Telegraf:
    """A running Telegraf that writes to a file, and to further outputs."""

    def __init__(
        self,
        bed: Bed,
        binary: str,
        inputs: str,
        prefix: tuple[str, ...] = (),
        interval: str = "1s",
        outputs: str = "",
    ) -> None:
        self.bed, self.output, self.log = bed, bed.dir / "telegraf.lp", bed.dir / "telegraf.log"
        self.config = bed.dir / "telegraf.conf"
        self.config.write_text(f"""
[agent]
  interval = "{interval}"
  flush_interval = "1s"
  omit_hostname = true
[[outputs.file]]
  files = ["{self.output}"]
  data_format = "influx"
  influx_uint_support = true
{outputs}{inputs}""")
        for path in (self.output, self.log):
            path.write_text("")
            path.chmod(0o666)
        self.command = [*prefix, binary, "--config", str(self.config)]
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Telegraf:
        with open(self.log, "a") as log:
            self.process = self.bed.here.start(*self.command, stdout=log, stderr=log)
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(15)

    def test(self) -> list[Record]:
        """What `telegraf --test` prints."""
        out = self.bed.here.run(*self.command, "--test").stdout
        return [line_protocol.parse_line(line[2:]) for line in out.splitlines() if line.startswith("> ")]

    def records(self, text: str = "") -> list[Record]:
        """Of the whole lines so far that hold this text."""
        lines = self.output.read_text().split("\n")[:-1]
        return [line_protocol.parse_line(line) for line in lines if text in line]

    def logs(self, pattern: str, seconds: float = 30) -> None:
        found = lambda: re.search(pattern, self.log.read_text())
        wait_until(found, f"{pattern!r} in Telegraf's log", seconds)

    def child(self) -> int:
        """The process id of its execd child."""

        def children() -> list[str]:
            return [
                child
                for thread in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
                for child in (thread / "children").read_text().split()
            ]

        return int(wait_until(children, "a child of Telegraf")[0])
