"""Prometheus with its node_exporter, both Debian's, and the text that they read."""

from __future__ import annotations

import ctypes.util
import json
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

from bed import Bed, wait_until
from packages import unpacked

LABEL = r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf"([a-zA-Z_:][\w:]*)(?:\{{((?:{LABEL},?)*)\}})? (\S+)(?: -?\d+)?")

Series = tuple[str, frozenset[tuple[str, str]]]


def need() -> None:
    """To be called before bed.main(). The libraries are those of collectd's write_prometheus."""
    for package in ("prometheus", "prometheus-node-exporter"):
        unpacked(package)
    libraries = {"microhttpd": "libmicrohttpd12", "protobuf-c": "libprotobuf-c1"}
    missing = [package for name, package in libraries.items() if not ctypes.util.find_library(name)]
    if missing:
        sys.exit(f"missing for write_prometheus: apt-get install {' '.join(missing)}")


def series(name: str, /, **labels: str) -> Series:
    return name, frozenset(labels.items())


def parse(text: str) -> dict[Series, float]:
    """The samples of a page, read strictly; one that is there twice is an error."""
    if not text.endswith("\n"):
        raise ValueError(f"the last line is not whole: {text[-80:]!r}")
    samples: dict[Series, float] = {}
    for line in text.split("\n")[:-1]:
        if line.startswith("#") or not line:
            continue
        found = SAMPLE.fullmatch(line)
        if not found:
            raise ValueError(f"no sample: {line!r}")
        plain = lambda value: re.sub(r"\\(.)", lambda c: "\n" if c[1] == "n" else c[1], value)
        labels = {name: plain(value) for name, value in re.findall(LABEL, found[2] or "")}
        if series(found[1], **labels) in samples:
            raise ValueError(f"a sample twice: {line!r}")
        samples[series(found[1], **labels)] = float(found[5])
    return samples


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def check(text: str) -> str:
    """What `promtool check metrics` objects to."""
    command = [str(unpacked("prometheus") / "usr/bin/promtool"), "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    return done.stdout + done.stderr or (f"status {done.returncode}" if done.returncode else "")


class Daemon:
    """A program that answers on a port of 127.0.0.1."""

    def __init__(self, bed: Bed, command: list[str], port: int, ready: str) -> None:
        self.bed, self.command, self.ready = bed, command, f"http://127.0.0.1:{port}{ready}"
        self.start()

    def start(self) -> None:
        with open(self.bed.dir / f"{pathlib.Path(self.command[0]).name}.log", "a") as log:
            self.process = self.bed.here.start(*self.command, stdout=log, stderr=log)
        wait_until(self.answers, f"an answer at {self.ready}", 60)

    def answers(self) -> bool:
        try:
            return bool(fetch(self.ready))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)


class NodeExporter(Daemon):
    """Nothing but its textfile folder, on port 9100."""

    def __init__(self, bed: Bed, folder: pathlib.Path) -> None:
        self.url = "http://127.0.0.1:9100/metrics"
        command = [
            str(unpacked("prometheus-node-exporter") / "usr/bin/prometheus-node-exporter"),
            "--web.listen-address=127.0.0.1:9100",
            "--web.disable-exporter-metrics",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={folder}",
        ]
        super().__init__(bed, command, 9100, "/")


class Prometheus(Daemon):
    """Scrapes ports of 127.0.0.1, each as the job of its name; on port 9090."""

    def __init__(self, bed: Bed, **jobs: int) -> None:
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [
                {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                for name, port in jobs.items()
            ],
        }
        file = bed.dir / "prometheus.yml"
        file.write_text(json.dumps(config))
        command = [
            str(unpacked("prometheus") / "usr/bin/prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={bed.dir}/prometheus",
            "--web.listen-address=127.0.0.1:9090",
        ]
        super().__init__(bed, command, 9090, "/-/ready")

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """The value of each series, by its labels without those that Prometheus itself adds."""
        query = urllib.parse.urlencode({"query": expression})
        answer = json.loads(fetch(f"http://127.0.0.1:9090/api/v1/query?{query}"))
        return {
            frozenset(
                (name, value)
                for name, value in found["metric"].items()
                if name not in ("__name__", "instance", "job")
            ): float(found["value"][1])
            for found in answer["data"]["result"]
        }

    def value(self, name: str, /, **labels: str) -> float | None:
        return self.query(name).get(frozenset(labels.items()))

    def becomes(self, expected: float, name: str, /, **labels: str) -> None:
        wait_until(
            lambda: self.value(name, **labels) == expected,
            f"{name} {labels} {expected} in Prometheus, which has {self.query(name)}",
        )
