"""From a live tunnel through wireguard.so and collectd to other collectds, to InfluxDB and over HTTP."""

import http.server
import json
import signal
import sys
import threading
import time
import unittest
from ctypes.util import find_library

import bed
import influxdb
from bed import wait_until
from collectd import DAEMON, HOST, Collectd
from influxdb import Influxdb
from star import Star

SECOND, HTTP = 25827, 8081  # ports
PEERS = ("laptop", "phone", "desk", "silent")


class Listener:
    """Takes what write_http posts. `answer` is its status; while `free` is not set it does not answer."""

    def __init__(self) -> None:
        self.answer, self.posts, self.lists = 200, 0, {}
        self.free = threading.Event()
        self.free.set()
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.posts += 1
                listener.free.wait()
                if listener.answer == 200:
                    for one in json.loads(body):
                        listener.lists.setdefault(identifier(one), []).append(one)
                self.send_response(listener.answer)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", HTTP), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.free.set()
        self.server.shutdown()
        self.server.server_close()


def identifier(one: dict[str, object]) -> str:
    parts = ((one[part], one[part + "_instance"]) for part in ("plugin", "type"))
    return "/".join("-".join(filter(None, part)) for part in parts)


def to_network(*ports: int) -> str:
    servers = "".join(f'  Server "127.0.0.1" "{port}"\n' for port in ports)
    return f"LoadPlugin network\n<Plugin network>\n{servers}</Plugin>\n"


def to_http() -> str:
    return f"""
LoadPlugin write_http
<Plugin write_http>
  <Node "test">
    URL "http://127.0.0.1:{HTTP}/"
    Format "JSON"
    BufferSize 1024
  </Node>
</Plugin>
"""


class PipelineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.star = Star(cls.bed)
        cls.keys = [*(spoke.device.keys.public for spoke in cls.star.spokes), cls.star.silent]

    def collectd(self, more: str) -> Collectd:
        names = "".join(f'  Name "{key}" "{name}"\n' for key, name in zip(self.keys, PEERS))
        return Collectd(
            self.bed, f"LoadPlugin wireguard\n<Plugin wireguard>\n{names}</Plugin>\n", more=more
        )

    def second(self) -> Collectd:
        listen = f'LoadPlugin network\n<Plugin network>\n  Listen "127.0.0.1" "{SECOND}"\n</Plugin>\n'
        return Collectd(self.bed, plugin="", more=listen)

    def truth(self) -> dict[str, tuple]:
        """What wg(8) and ip(8) say, as values of collectd."""
        [link] = json.loads(self.bed.here.run("ip", "-s", "-j", "link", "show", "wg0").stdout)
        truth: dict[str, tuple] = {
            f"wireguard-wg0/{kind}": tuple(link["stats64"][way][what] for way in ("rx", "tx"))
            for kind, what in (("if_octets", "bytes"), ("if_packets", "packets"))
        }
        dump = self.star.hub.dump()
        truth["wireguard-wg0/count-peers"] = (len(dump),)
        for key, name in zip(self.keys, PEERS):
            row = dump[key]
            truth[f"wireguard-wg0/if_octets-{name}"] = (row.rx_bytes, row.tx_bytes)
            if row.latest_handshake:
                truth[f"wireguard-wg0/time_ref-{name}"] = (row.latest_handshake,)
        return truth


class NetworkTest(PipelineTest):
    def test_every_way_tells_the_truth(self):
        """Each has all values of one collectd, and the last are those of wg(8)."""
        influx = self.enterContext(Influxdb(self.bed))
        listener = self.enterContext(Listener())
        ways = to_network(influxdb.COLLECTD, SECOND) + to_http()
        with self.second() as second:
            with self.collectd(ways) as first:
                first.wait_for(*self.truth())

                def at_rest():
                    truth, began = self.truth(), time.time()
                    past = lambda: float(first.rows("wireguard-wg0/count-peers")[-1]["epoch"]) > began + 1
                    wait_until(past, "two reads")
                    return truth == self.truth() and truth

                truth = wait_until(at_rest, "a tunnel at rest", 40)
            later = self.truth()  # an idle peer may have sent a keepalive before the last read
            for name in truth:
                rows = first.rows(name)
                values = whole(list(rows[-1].values())[1:])
                with self.subTest(name):
                    self.assertIn(values, (truth[name], later[name]))
                    same = lambda: sorted_rows(second.rows(name)) == sorted_rows(rows)
                    wait_until(same, f"{name} in the second csv: {second.rows(name)[-3:]}, {rows[-3:]}")
                    lists = listener.lists[name]
                    self.assertEqual(len(lists), len(rows))
                    self.assertEqual(whole(max(lists, key=lambda one: one["time"])["values"]), values)
                    self.assertEqual(self.in_influx(influx, name, list(rows[-1])[1:], len(rows)), values)
        peer = listener.lists["wireguard-wg0/if_octets-laptop"][-1]
        self.assertEqual(peer["meta"]["wireguard:public_key"], self.keys[0])
        self.assertEqual((peer["dsnames"], peer["dstypes"]), (["rx", "tx"], ["derive", "derive"]))
        self.assertEqual(len({values for name, values in truth.items() if "if_octets-" in name}), len(PEERS))

    def in_influx(self, influx: Influxdb, name: str, sources: list[str], count: int) -> tuple:
        """The newest values there, when so many points have come."""
        place, _, kind = name.partition("/")
        names, parts = ("instance", "type", "type_instance"), (place.split("-")[1], *kind.split("-", 1))
        tags = {"host": HOST, **dict(zip(names, parts))}

        def newest():
            all = [influx.series("collectd", f"wireguard_{source}") for source in sources]
            found = [one for series in all for one in series if one.tags == tags]
            whole = [len(one.points) for one in found] == [count] * len(sources)
            return whole and [one.newest()[1]["value"] for one in found]

        return tuple(map(int, wait_until(newest, f"{name} in InfluxDB")))

    def test_restarts(self):
        """Of those that receive, killed, and then of the first: the numbers go on, under the same names."""
        name = "wireguard-wg0/if_octets-laptop"
        influx, second = Influxdb(self.bed), self.second()
        first = self.collectd(to_network(influxdb.COLLECTD, SECOND))
        count = lambda collectd: len(collectd.rows(name))
        points = lambda: sum(len(one.points) for one in influx.series("collectd", "wireguard_rx"))

        def arrive():
            rows, before = count(second), points()
            wait_until(lambda: count(second) > rows + 2, "rows in the second csv")
            wait_until(lambda: points() > before + 20, "points in InfluxDB")

        with first:
            with second, influx:
                arrive()
                arrive()
                series = influx.keys("collectd")
                second.stop(signal.SIGKILL)
            made = count(first)
            wait_until(lambda: count(first) > made + 2, "rows in the first csv")
            self.enterContext(second)
            self.enterContext(influx)
            arrive()
        with first:
            arrive()
        self.assertEqual(influx.keys("collectd"), series)
        self.assertLessEqual({*sorted_rows(second.rows(name))}, {*sorted_rows(first.rows(name))})
        self.assertNotIn("read interval", first.said)


class HttpTest(PipelineTest):
    def test_a_listener_that_fails_or_hangs(self):
        name = "wireguard-wg0/if_octets-laptop"
        listener = self.enterContext(Listener())
        arrived = lambda: len(listener.lists.get(name, []))
        with self.collectd(to_http()) as collectd:
            wait_until(arrived, "a value over HTTP")
            listener.answer = 500
            posts, seen = listener.posts, arrived()
            wait_until(lambda: listener.posts > posts + 3, "posts that fail")
            listener.answer = 200
            wait_until(lambda: arrived() > seen, "values after failures")

            listener.free.clear()
            posts, began = listener.posts, time.time()
            wait_until(lambda: listener.posts > posts, "a post that hangs")
            time.sleep(3)  # six reads
            ended = time.time()
            listener.free.set()
            read = lambda: [float(row["epoch"]) for row in collectd.rows(name)]
            wait_until(lambda: read()[-1] > ended + 1, "rows after the hang")
            seen = arrived()
            wait_until(lambda: arrived() > seen, "values after the hang")
        times = [began, *(time for time in read() if began < time < ended), ended]
        self.assertLess(max(later - time for time, later in zip(times, times[1:])), 2, times)
        self.assertNotRegex(collectd.said, "read interval|suspend")


def whole(values: list) -> tuple:
    return tuple(int(float(value)) for value in values)


def sorted_rows(rows: list[dict[str, str]]) -> list[tuple]:
    return sorted(tuple(row.values()) for row in rows)


if __name__ == "__main__":
    bed.need({DAEMON: "collectd-core"})
    if not find_library("yajl"):
        sys.exit("write_http lacks a library: apt-get install libyajl2")
    influxdb.program()
    bed.main()
