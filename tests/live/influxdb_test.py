"""From a live tunnel through wgvitals-execd and Telegraf into InfluxDB, read back by InfluxQL."""

import base64
import json
import os
import pathlib
import re
import signal
import time
import unittest

import bed
import influxdb
import telegraf
from bed import wait_until
from influxdb import Influxdb, Series
from line_protocol import Record
from programs import toml, write
from star import Star
from telegraf import Telegraf

DATABASE = "vitals"
TYPES = {"i": "integer", "u": "integer", "f": "float", "s": "string", "b": "boolean"}
BUFFER, BATCH = 300, 100  # metrics


def outputs(**options) -> str:
    settings = {"urls": [f"http://127.0.0.1:{influxdb.HTTP}"], "database": DATABASE, **options}
    return "[[outputs.influxdb]]\n" + "".join(f"  {key} = {json.dumps(settings[key])}\n" for key in settings)


def label(record: Record | Series) -> tuple:
    return record.name, tuple(sorted(record.tags.items()))


class PipelineTest(unittest.TestCase):
    """One tunnel and one InfluxDB for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.star = Star(cls.bed)
        cls.influx = Influxdb(cls.bed)

    def telegraf(self, interval: str, precision: str, **options) -> Telegraf:
        block = telegraf.sample_block(write(self.bed, toml()))
        for ours, theirs in (('restart_delay = "10s"', "200ms"), ('precision = "1s"', precision)):
            self.assertIn(ours, block)
            block = block.replace(ours, f'{ours.split(" = ")[0]} = "{theirs}"')
        return Telegraf(self.bed, TELEGRAF, block, interval=interval, outputs=outputs(**options))

    def newest(self, measurement: str, **tags: str) -> tuple[int, dict[str, object]]:
        """The time and the fields of the newest point of the one series that has these tags."""
        found = [
            one for one in self.influx.series(DATABASE, measurement) if tags.items() <= one.tags.items()
        ]
        return found[0].newest() if len(found) == 1 else (0, {})

    def arrive(self, seconds: float = 40) -> None:
        """Points have come that are newer than this call."""
        now = time.time_ns()
        wait_until(lambda: self.newest("wireguard_device", name="wg0")[0] > now, "new points", seconds)


class ValuesTest(PipelineTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(cls.influx)

    def truth(self) -> dict[str, dict[str, object]]:
        """What wg(8) and ip(8) say, as InfluxDB should: of each peer, and of the device as \"\"."""
        hub = self.star.hub
        [link] = json.loads(self.bed.here.run("ip", "-s", "-j", "link", "show", "wg0").stdout)
        totals = {
            f"{way}_{what}": link["stats64"][way][what]
            for way in ("rx", "tx")
            for what in ("bytes", "packets")
        }
        truth = {"": {"listen_port": hub.port, "firewall_mark": 0x51, "peers": len(hub.dump()), **totals}}
        for key, row in hub.dump().items():
            keepalive = 0 if row.keepalive == "off" else int(row.keepalive)
            truth[key] = {
                "rx_bytes": row.rx_bytes,
                "tx_bytes": row.tx_bytes,
                "persistent_keepalive_interval_ns": keepalive * 10**9,
                "allowed_ips": len(row.allowed_ips.split(",")),
            }
            if row.latest_handshake:
                truth[key] |= {"endpoint": row.endpoint, "last_handshake_time_ns": self.handshake(key, row)}
        return truth

    def handshake(self, key: str, row: bed.PeerDump) -> int:
        """wg(8) shows the second; a userspace device that is asked itself, the rest too."""
        if not self.star.hub.process:
            return row.latest_handshake * 10**9
        answer = self.star.hub.ask().partition("public_key=" + base64.b64decode(key).hex())[2]
        of_peer = answer.partition("public_key=")[0]
        time = dict(line.split("=", 1) for line in of_peer.split() if "=" in line)
        seconds, rest = int(time["last_handshake_time_sec"]), int(time["last_handshake_time_nsec"])
        self.assertEqual(seconds, row.latest_handshake)
        return seconds * 10**9 + rest

    @staticmethod
    def counted(truth: dict[str, dict[str, object]]) -> list[object]:
        return [truth[key][field] for key in truth for field in ("rx_bytes", "tx_bytes")]

    def compare(self) -> None:
        """InfluxDB's newest points with the truth, once that has stood still while they came. All counts differ, but
        for one zero: a value in another's place is seen."""
        for _ in range(5):
            counted = self.counted(self.truth())
            if len(set(counted)) == len(counted) - 1:
                break
            for n, spoke in enumerate(self.star.spokes):  # each by another amount
                spoke.device.send(spoke.hub_address, 300 + 100 * n)

        def at_rest():
            truth = self.truth()
            self.arrive()
            self.arrive()
            points = {
                key: self.newest("wireguard_peer", public_key=key)[1]
                if key
                else self.newest("wireguard_device", name="wg0")[1]
                for key in truth
            }
            return truth == self.truth() and (truth, points)

        truth, points = wait_until(at_rest, "a tunnel at rest", 60)
        for key, fields in truth.items():
            self.assertEqual({field: points[key].get(field) for field in fields}, fields, key)
        counted = self.counted(truth)
        self.assertEqual(len(set(counted)), len(counted) - 1)

    def test_values_and_types(self):
        with self.telegraf("1s", "1s") as agent:
            self.compare()
            for name in ("wireguard_device", "wireguard_peer", "wgvitals"):
                told = {
                    field: TYPES[kind]
                    for record in agent.records(name)
                    if record.name == name
                    for field, (kind, _) in record.fields.items()
                }
                self.assertGreater(list(told.values()).count("integer"), 3)
                self.assertEqual(self.influx.fields(DATABASE, name), told)
            peers = self.influx.series(DATABASE, "wireguard_peer")
            self.assertCountEqual([one.tags["public_key"] for one in peers], self.star.hub.dump())
        self.assertNotRegex(agent.log.read_text(), "[EW]! .*outputs|conflict|partial write")

    def test_restarts(self):
        agent = self.telegraf("500ms", "1ms")
        with agent:
            self.compare()
            series = self.influx.keys(DATABASE)
            self.star.spokes[0].device.ping(self.star.spokes[0].hub_address, count=5)
            self.influx.stop()
            self.influx.start()
            self.compare()
            self.star.spokes[1].device.ping(self.star.spokes[1].hub_address, count=5)
            child = agent.child()
            os.kill(child, signal.SIGKILL)
            wait_until(lambda: not bed.is_running(child), "its end")
            self.compare()
            self.assertNotEqual(agent.child(), child)
        with agent:
            self.compare()
        self.assertEqual(self.influx.keys(DATABASE), series)


class OutageTest(PipelineTest):
    """The file has what Telegraf was given, InfluxDB what is left of it."""

    def setUp(self):
        self.influx = Influxdb(self.bed)
        self.addCleanup(self.influx.stop)

    def gathers(self, count: int) -> None:
        """So many more are in the file."""
        made = lambda: len({record.timestamp for record in self.agent.records("wireguard_device")})
        target = made() + count
        wait_until(lambda: made() >= target, f"{target} gathers", 30 + count)

    def through(self, hurt, heal, gathers: int, buffer: int) -> tuple[int, int]:
        """How many metrics come between hurt() and the end of heal(), and how many are lost."""
        self.agent = self.telegraf(
            "200ms",
            "1ms",
            timeout="1s",
            flush_interval="200ms",
            flush_jitter="0s",
            metric_buffer_limit=buffer,
            metric_batch_size=BATCH,
        )
        with self.agent:
            self.gathers(5)
            child = self.agent.child()
            memory = resident(child)
            hurt()
            began = time.time_ns()
            self.gathers(gathers)
            heal()
            ended = time.time_ns()
            self.arrive()
            self.gathers(3)
            self.assertEqual(self.agent.child(), child)
            self.assertLess(resident(child) - memory, 1 << 20)
        given = self.agent.records()
        there = {label(one): one.points for one in self.influx.series(DATABASE)}
        lost = [record for record in given if not arrived(record, there.get(label(record), {}))]
        ours = [record.fields for record in given if record.name == "wgvitals"]
        held_up = [fields[name] for fields in ours for name in ("late", "skipped") if name in fields]
        self.assertEqual(set(held_up), {("u", 0)})
        times = sorted({record.timestamp for record in given})
        self.assertFalse({record.timestamp for record in lost} & {*times[:1], *times[-4:]})
        return len([record for record in given if began < record.timestamp < ended]), len(lost)

    def loses_nothing(self, hurt, heal) -> None:
        _, lost = self.through(hurt, heal, gathers=10, buffer=10 * BUFFER)
        self.assertEqual(lost, 0)

    def loses_what_the_buffer_loses(self, hurt, heal) -> None:
        """That is what did not fit into it, out of which Telegraf drops a batch more or less."""
        given, lost = self.through(hurt, heal, gathers=30, buffer=BUFFER)
        log = self.agent.log.read_text()
        dropped = sum(map(int, re.findall(r"Metric buffer overflow; (\d+) metrics have been dropped", log)))
        self.assertGreater(dropped, 0)
        self.assertLessEqual(dropped, lost)
        self.assertLessEqual(lost, given - BUFFER + BATCH)

    def test_absent_at_first(self):
        self.loses_nothing(lambda: None, self.influx.start)

    def test_stopped_for_long(self):
        self.influx.start()
        self.loses_what_the_buffer_loses(self.influx.stop, self.influx.start)

    def test_hung(self):
        self.influx.start()
        send = self.influx.process.send_signal
        self.loses_nothing(lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT))
        self.assertIn("Client.Timeout", self.agent.log.read_text())

    def test_disk_full(self):
        self.bed.here.run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(self.influx.dir))
        self.addCleanup(lambda: self.bed.here.run("umount", "-l", str(self.influx.dir)))
        filler = self.influx.dir / "filler"
        self.influx.start()

        def fill():
            with open(filler, "wb", buffering=0) as file, self.assertRaisesRegex(OSError, "No space left"):
                while True:
                    file.write(bytes(4096))

        def free():
            # What it takes between the first failure to write its log and a restart, it loses by itself.
            self.influx.stop()
            filler.unlink()
            self.influx.start()

        self.loses_what_the_buffer_loses(fill, free)
        self.assertIn("no space left on device", self.agent.log.read_text())


def resident(pid: int) -> int:
    """Bytes."""
    return int(pathlib.Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) * 1024


def arrived(record: Record, points: dict[int, dict[str, object]]) -> bool:
    fields = {field: value for field, (_, value) in record.fields.items()}
    return fields.items() <= points.get(record.timestamp, {}).items()


if __name__ == "__main__":
    TELEGRAF = telegraf.build()
    influxdb.program()
    bed.main()
