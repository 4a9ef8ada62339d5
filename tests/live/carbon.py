"""A real carbon, Debian's, and the whisper files that it writes."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import socket
import sys
import time

from bed import Bed, wait_until
from packages import unpacked

MODULES = pathlib.Path("/usr/lib/python3/dist-packages")  # where Debian's packages are, for its own python3
PORT = 2003


def need() -> None:
    """What carbon stands on; to be called before bed.main()."""
    unpacked("graphite-carbon")
    packages = {
        "twisted": "python3-twisted",
        "whisper.py": "python3-whisper",
        "cachetools": "python3-cachetools",
        "urllib3": "python3-urllib3",
    }
    missing = [package for module, package in packages.items() if not (MODULES / module).exists()]
    if missing:
        sys.exit(f"missing for carbon: apt-get install {' '.join(missing)}")


def load_whisper():
    spec = importlib.util.spec_from_file_location("whisper", MODULES / "whisper.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Carbon:
    """Takes lines on 127.0.0.1:2003 and keeps every second of ten minutes."""

    def __init__(self, bed: Bed, start: bool = True) -> None:
        self.bed, self.dir, self.whisper = bed, bed.dir / "carbon", load_whisper()
        self.dir.mkdir()
        (self.dir / "storage-schemas.conf").write_text("[all]\npattern = .*\nretentions = 1s:10m\n")
        self.config = self.dir / "carbon.conf"
        self.config.write_text(f"""
[cache]
STORAGE_DIR = {self.dir}
LOCAL_DATA_DIR = {self.dir}/whisper
CONF_DIR = {self.dir}
LOG_DIR = {self.dir}
PID_DIR = {self.dir}
MAX_UPDATES_PER_SECOND = inf
MAX_CREATES_PER_MINUTE = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {PORT}
PICKLE_RECEIVER_PORT = 0
CACHE_QUERY_PORT = 0
ENABLE_TAGS = False
CARBON_METRIC_INTERVAL = 0
""")
        if start:
            self.start()

    def start(self) -> None:
        root = unpacked("graphite-carbon")
        command = ["/usr/bin/python3", str(root / "usr/bin/carbon-cache"), f"--config={self.config}"]
        command += [f"--logdir={self.dir}", f"--pidfile={self.dir}/pid", "--nodaemon", "start"]
        modules = {"PYTHONPATH": str(root / MODULES.relative_to("/")), "PYTHONDONTWRITEBYTECODE": "1"}
        with open(self.dir / "log", "a") as log:
            self.process = self.bed.here.start(*command, stdout=log, stderr=log, env=os.environ | modules)
        wait_until(self.answers, "carbon's port", 60)

    def answers(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", PORT)) == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)

    @property
    def said(self) -> str:
        return "".join(path.read_text() for path in sorted(self.dir.glob("*.log")) + [self.dir / "log"])

    def send(self, text: str) -> None:
        """As a pipe to nc does."""
        with socket.create_connection(("127.0.0.1", PORT), 5) as connection:
            connection.sendall(text.encode())

    def paths(self) -> set[str]:
        root = self.dir / "whisper"
        return {str(file.relative_to(root))[: -len(".wsp")].replace("/", ".") for file in root.rglob("*.wsp")}

    def points(self, path: str) -> dict[int, float]:
        """By their second."""
        file = self.dir / "whisper" / (path.replace(".", "/") + ".wsp")
        if not file.exists():
            return {}
        (start, end, step), values = self.whisper.fetch(str(file), time.time() - 590)
        return {t: value for t, value in zip(range(start, end, step), values) if value is not None}

    def last(self, path: str) -> float | None:
        points = self.points(path)
        return points[max(points)] if points else None

    def values(self, last_part: str) -> dict[str, float]:
        """The last value of each path that ends so."""
        found = {path: self.last(path) for path in self.paths() if path.endswith("." + last_part)}
        return {path: value for path, value in found.items() if value is not None}

    def becomes(self, expected: float, path: str, seconds: float = 30) -> None:
        wait_until(lambda: self.last(path) == expected, f"{path} {expected} in whisper", seconds)
