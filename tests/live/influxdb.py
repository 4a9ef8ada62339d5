"""A real InfluxDB 1.x on the bed's loopback, asked by InfluxQL over HTTP; it listens to collectd as well."""

from __future__ import annotations

import dataclasses
import http.client
import json
import pathlib
import signal
import subprocess
import time
import urllib.parse

from bed import Bed, wait_until
from packages import unpacked

HTTP, COLLECTD = 8086, 25826  # ports


@dataclasses.dataclass(frozen=True)
class Series:
    """Its points by time, without the fields that a point does not have."""

    name: str
    tags: dict[str, str]
    points: dict[int, dict[str, object]]

    def newest(self) -> tuple[int, dict[str, object]]:
        return max(self.points.items(), key=lambda point: point[0])


def program() -> str:
    """To be called once before bed.main(): it may have to be fetched."""
    return str(unpacked("influxdb") / "usr/bin/influxd")


class Influxdb:
    """Its data is in `dir`, and there again after stop() and start(), or a further `with`."""

    def __init__(self, bed: Bed) -> None:
        self.bed, self.dir = bed, bed.dir / f"influxdb.{time.monotonic_ns()}"
        self.dir.mkdir()
        self.log, self.config = (pathlib.Path(f"{self.dir}.{end}") for end in ("log", "conf"))
        self.config.write_text(f"""
reporting-disabled = true
bind-address = "127.0.0.1:8088"
[meta]
  dir = "{self.dir}/meta"
[data]
  dir = "{self.dir}/data"
  wal-dir = "{self.dir}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{HTTP}"
  log-enabled = false
[[collectd]]
  enabled = true
  bind-address = "127.0.0.1:{COLLECTD}"
  typesdb = "/usr/share/collectd/types.db"
  batch-timeout = "100ms"
""")
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Influxdb:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> None:
        with open(self.log, "a") as log:
            self.process = self.bed.here.start(
                program(), "-config", str(self.config), stdout=log, stderr=log
            )
        wait_until(self.answers, f"influxd, which said: {self.log.read_text()}", 60)

    def stop(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait(15)

    def answers(self) -> bool:
        try:
            return self._get("/ping")[0] == 204
        except ConnectionError:
            return False

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def query(self, text: str, database: str) -> list[dict]:
        """The series of the answer; [] where the database is not there yet."""
        parameters = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ns"})
        [result] = json.loads(self._get("/query?" + parameters)[1])["results"]
        if "error" in result and "database not found" not in result["error"]:
            raise RuntimeError(f"{text}: {result['error']}")
        return result.get("series", [])

    def series(self, database: str, measurement: str = "", where: str = "") -> list[Series]:
        """Everything of one measurement, or of all of them."""
        source = f'"{measurement}"' if measurement else "/.*/"
        found = self.query(f"SELECT * FROM {source} {where} GROUP BY *", database)
        return [
            Series(
                one["name"],
                {tag: value for tag, value in one["tags"].items() if value},
                {
                    time: {field: value for field, value in zip(one["columns"][1:], row) if value is not None}
                    for time, *row in one["values"]
                },
            )
            for one in found
        ]

    def fields(self, database: str, measurement: str) -> dict[str, str]:
        """The fields of a measurement and their types. One that has two types is an error."""
        [shown] = self.query(f'SHOW FIELD KEYS FROM "{measurement}"', database)
        types = dict(shown["values"])
        if len(types) != len(shown["values"]):
            raise RuntimeError(f"a field of two types: {shown['values']}")
        return types

    def keys(self, database: str) -> set[str]:
        """What SHOW SERIES shows."""
        return {row[0] for one in self.query("SHOW SERIES", database) for row in one["values"]}
