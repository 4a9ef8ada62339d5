"""Odd records, written by our own writers and read by real hosts: what arrives is what was said.

The fuzz targets judge many more of them, but by readers that we wrote ourselves.
"""

from __future__ import annotations

import json
import re
import subprocess
import unittest

import bed
import telegraf
from bed import Bed, program, wait_until
from packages import unpacked
from telegraf import Telegraf

COUNT = 6000


def odd(what: str) -> str:
    command = [program("tests/fuzz/odd_records"), what, str(COUNT)]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode()


class LineProtocol(unittest.TestCase):
    def test_telegraf_reads_every_record_as_it_was_meant(self) -> None:
        # By their times, which all differ.
        meant = {record["time"]: record for record in map(json.loads, odd("lines").splitlines())}
        self.assertGreater(len(meant), COUNT / 2)
        with Bed() as here:
            lines = here.dir / "lines"
            lines.write_text("".join(record["line"] for record in meant.values()))
            # cat goes on to its stdin, which Telegraf keeps open as long as it runs.
            inputs = f"""
[[inputs.execd]]
  command = ["cat", "{lines}", "-"]
  data_format = "influx"
  signal = "none"
"""
            with Telegraf(here, TELEGRAF, inputs) as host:
                last = str(max(meant))
                refused = lambda: re.findall(r"(?m)^\S+ E! .*", host.log.read_text())
                wait_until(lambda: host.records(last) or refused(), "the last record, or a complaint", 30)
                # Before it is stopped, when it may complain of its child's pipes.
                self.assertEqual(refused()[:3], [])
            arrived = host.records()
        found = {record.timestamp: record for record in arrived}
        self.assertEqual(len(found), len(arrived), "records that came twice")
        self.assertEqual(sorted(set(meant) - set(found)), [], "records that did not come")
        for time, record in found.items():
            fields = {name: list(field) for name, field in record.fields.items()}
            read = {"name": record.name, "tags": record.tags, "fields": fields, "time": time}
            said = {key: value for key, value in meant[time].items() if key != "line"}
            self.assertEqual(read, said, meant[time]["line"])


class PrometheusText(unittest.TestCase):
    def test_promtool_reads_every_page(self) -> None:
        page = odd("page")
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=page.encode(), capture_output=True)
        # 1: not readable. 3: readable, but a metric that exists only in tests is not named as it should be.
        self.assertIn(done.returncode, (0, 3), done.stderr.decode())
        self.assertNotIn("parsing error", done.stderr.decode())


if __name__ == "__main__":
    TELEGRAF = telegraf.build()
    PROMTOOL = unpacked("prometheus") / "usr" / "bin" / "promtool"
    bed.main()
