"""Graphite lines in a real carbon, read back from its whisper files: of `wgvitals once` and `serve`, of
collectd's write_graphite and of Telegraf's outputs.graphite."""

import contextlib
import re
import signal
import socket
import unittest

import bed
import carbon
import fake_uapi
import odd_names
import telegraf
from bed import program, wait_until
from carbon import Carbon
from collectd import Collectd
from fake_uapi import FakeUapi
from programs import toml, write
from serve import Serve
from star import Star
from telegraf import Telegraf, sample_block

TARGET = f"127.0.0.1:{carbon.PORT}"
FIELDS = {"rx_bytes": "rx_bytes", "tx_bytes": "tx_bytes"}
WRITE_GRAPHITE = f"""LoadPlugin write_graphite
<Plugin write_graphite>
  <Node "bed">
    Host "127.0.0.1"
    Port "{carbon.PORT}"
    StoreRates false
  </Node>
</Plugin>
"""


class GraphiteTest(unittest.TestCase):
    """Two spokes, named, and a carbon."""

    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.star = Star(cls.bed, spokes=2)
        cls.keys = [spoke.device.keys.public for spoke in cls.star.spokes]
        names = ["laptop", "phone", "silent"]
        cls.names = dict(zip([*cls.keys, cls.star.silent], names))
        cls.config = toml(names=cls.names)
        cls.carbon = Carbon(cls.bed)

    def setUp(self):
        self.counting = self.enterContext(FakeUapi(bed.UAPI_DIR, "counting", fake_uapi.healthy(0)))

    def gathers(self) -> int:
        return self.counting.requests

    def follows(self, path, fields: dict[str, str], tell=lambda: None) -> None:
        """What is in the files, at path(name, field), becomes what wg says. tell() brings it there: each time
        anew, because idle peers send a keepalive now and then."""
        says = lambda: {
            (name, field): getattr(row, attribute)
            for key, row in self.star.hub.dump().items()
            for field, attribute in fields.items()
            if (name := self.names[key]) and (attribute != "latest_handshake" or row.latest_handshake)
        }

        def holds() -> bool:
            tell()
            expected = says()
            return {at: whole(self.carbon.last(path(*at))) for at in expected} == expected

        wait_until(holds, f"in whisper: {says()}", 40)

    def follows_through_a_restart(self, path, fields: dict[str, str]) -> None:
        """Of carbon."""
        self.follows(path, fields)
        self.carbon.stop()
        self.star.spokes[0].device.ping(self.star.spokes[0].hub_address)
        self.carbon.start()
        self.follows(path, fields)

    def test_once(self):
        command = [program("wgvitals"), "once", "--format", "graphite", "--host", "gw.example", "--config"]
        command.append(write(self.bed, self.config))
        self.follows(
            lambda name, field: f"wireguard.gw_example.wireguard_peer.wg0.{name}.{field}",
            FIELDS,
            lambda: self.carbon.send(self.bed.here.run(*command).stdout),
        )
        # Nanoseconds as whisper keeps them: in a double.
        stamp = self.carbon.last("wireguard.gw_example.wireguard_peer.wg0.laptop.last_handshake_time_ns")
        self.assertAlmostEqual(stamp / 1e9, self.star.hub.dump()[self.keys[0]].latest_handshake, delta=1)
        self.assertNotIn("invalid line", self.carbon.said)

    def serve(self, output: str = TARGET, **more) -> Serve:
        arguments = ["--prefix", "vitals.wg", "--host", self.id().rpartition(".")[2]]
        return self.enterContext(Serve(self.bed, "graphite", output, *arguments, config=self.config, **more))

    def served(self, name: str, field: str) -> str:
        return f"vitals.wg.{self.id().rpartition('.')[2]}.wireguard_peer.wg0.{name}.{field}"

    def test_serve_through_a_restart(self):
        serve = self.serve()
        self.follows(self.served, FIELDS)
        self.carbon.becomes(0, self.served("laptop", "handshakes"))
        self.star.shake_hands()
        self.carbon.becomes(1, self.served("laptop", "handshakes"))
        self.carbon.stop()
        serve.hears("Connection refused")
        self.carbon.start()
        self.follows_through_a_restart(self.served, FIELDS)
        self.carbon.becomes(1, self.served("laptop", "handshakes"))
        serve.hears(f"info: well again: {TARGET}")
        self.assertEqual(len(re.findall("(?m)^warning: .*Connection refused$", serve.said)), 1)
        self.assertEqual(serve.end(), 0)

    def test_a_carbon_that_hangs(self):
        """It takes connections and reads nothing, until its queue is full."""
        serve = self.serve(interval="1s")
        self.follows(self.served, FIELDS)
        memory, descriptors, fillers = serve.memory, serve.descriptors, contextlib.ExitStack()
        self.carbon.process.send_signal(signal.SIGSTOP)
        try:
            serve.hears("it may be lost")
            with fillers:
                for _ in range(100):
                    filler = fillers.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex(("127.0.0.1", carbon.PORT))
                serve.hears("Connection timed out")
                gathers = self.gathers()
                wait_until(lambda: self.gathers() > gathers + 3, "gathers that go on")
            self.bounded(serve, memory, descriptors)
            self.assertNotIn("well again", serve.said)
        finally:
            self.carbon.process.send_signal(signal.SIGCONT)
        self.star.spokes[0].device.ping(self.star.spokes[0].hub_address)
        self.follows(self.served, FIELDS)
        wait_until(lambda: serve.said.count("info: well again") == 2, "a recovery from both")
        self.assertEqual(serve.said.count("warning: "), 2)
        self.assertEqual(serve.end(), 0)

    def bounded(self, serve: Serve, memory: int, descriptors: int) -> None:
        self.assertLess(serve.memory, memory + (2 << 20))
        self.assertLessEqual(serve.descriptors, descriptors + 1)

    def test_a_receiver_that_reads_nothing(self):
        """Of a gather that is larger than what the kernel keeps for it."""
        sockets = self.bed.dir / "many"
        sockets.mkdir()
        self.enterContext(FakeUapi(sockets, "many", fake_uapi.healthy(8000)))
        config = toml(uapi_dir=str(sockets), gather_wait="5s")
        with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as taken:
            server.settimeout(30)
            output = f"127.0.0.1:{server.getsockname()[1]}"
            serve = Serve(self.bed, "graphite", output, config=config, interval="500ms")
            self.enterContext(serve)
            take = lambda: taken.enter_context(server.accept()[0])
            for _ in range(4):
                take()
            memory, descriptors = serve.memory, serve.descriptors
            for _ in range(6):
                take()
            self.bounded(serve, memory, descriptors)
            self.assertEqual(serve.said.count("warning: "), 1)
            self.assertIn("carbon does not read: Connection timed out", serve.said)
            self.assertEqual(serve.end(), 0, "in the midst of a line")

    def test_ends_at_once_whatever_it_waits_for(self):
        with socket.socket() as deaf, contextlib.ExitStack() as fillers:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            address = deaf.getsockname()
            serve = self.serve(f"{address[0]}:{address[1]}", interval="60s")
            connected, _ = deaf.accept()
            with connected:
                self.assertEqual(serve.end(), 0, "while it waits for the end of the reading")
            for _ in range(2):  # from now on a connection hangs
                filler = fillers.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(address)
            serve = self.serve(f"{address[0]}:{address[1]}", interval="60s")
            sockets = lambda: self.bed.here.run("ss", "-Htn", "dport", f"= :{address[1]}").stdout
            wait_until(lambda: "SYN-SENT" in sockets() and self.gathers() >= 2, "a connection that hangs")
            self.assertEqual(serve.end(signal.SIGINT), 0)

    def test_addresses(self):
        """IPv6 in brackets; a name's addresses one after the other."""
        for family, address, shown in (
            (socket.AF_INET6, "::1", "[::1]"),
            (socket.AF_INET, "127.0.0.1", "localhost"),
        ):
            with socket.create_server((address, 0), family=family) as server:
                server.settimeout(10)
                self.serve(f"{shown}:{server.getsockname()[1]}")
                connection, _ = server.accept()
                with connection, connection.makefile() as lines:
                    self.assertTrue(lines.readline().startswith("vitals.wg."))
        serve = self.serve("nowhere.invalid:2003")
        serve.hears("nowhere.invalid:2003: this gather is dropped")

    def test_a_file(self):
        file = self.bed.dir / "lines"
        self.serve(str(file))
        wait_until(file.exists, "the file")
        self.follows(self.served, FIELDS, lambda: self.carbon.send(file.read_text()))

    def test_collectd(self):
        names = "".join(f'  Name "{key}" "{name}"\n' for key, name in self.names.items())
        plugin = f"LoadPlugin wireguard\n<Plugin wireguard>\n{names}</Plugin>\n"
        kinds = {"rx": "if_octets-%s.rx", "tx": "if_octets-%s.tx", "time": "time_ref-%s"}
        path = lambda name, field: f"bed_example.wireguard-wg0.{kinds[field] % name}"
        fields = {"rx": "rx_bytes", "tx": "tx_bytes", "time": "latest_handshake"}
        for _ in range(2):
            with Collectd(self.bed, plugin, more=WRITE_GRAPHITE):
                self.follows_through_a_restart(path, fields)

    def test_telegraf(self):
        outputs = f'[[outputs.graphite]]\n  servers = ["{TARGET}"]\n  prefix = "telegraf"\n'
        inputs = sample_block(write(self.bed, self.config, "telegraf.toml"))
        keys = {name: key for key, name in self.names.items()}
        path = lambda name, field: f"telegraf.wg0.{name}.{telegraf_part(keys[name])}.wireguard_peer.{field}"
        for _ in range(2):
            with Telegraf(self.bed, TELEGRAF, inputs, outputs=outputs):
                self.follows_through_a_restart(path, FIELDS)


class OddNamesTest(unittest.TestCase):
    """Every name arrives at a path of its own, and harms no neighbour."""

    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.config = odd_names.host(cls.bed, cls.enterClassContext(contextlib.ExitStack()))
        cls.carbon = Carbon(cls.bed)

    def arrive(self, start: str, end: str, expected: set[float], but: set[float] = frozenset()) -> None:
        """At as many paths; what else arrives is one of the last."""

        def others() -> list[float]:
            found = self.carbon.values(end).items()
            values = [value for path, value in found if path.startswith(start) and value not in but]
            twice = [value for value in values if values.count(value) > 1]
            return sorted({*twice, *(set(values) ^ expected)})

        try:
            wait_until(lambda: not others(), start, 40)
        except TimeoutError:
            self.fail(f"{start}: missing or too many: {others()}")

    def test_once(self):
        command = [program("wgvitals"), "once", "--format", "graphite", "--host", "once", "--config"]
        self.carbon.send(self.bed.here.run(*command, write(self.bed, self.config)).stdout)
        self.arrive("wireguard.once.wireguard_peer.", "rx_bytes", odd_names.peers())
        self.arrive("wireguard.once.wireguard_device.", "listen_port", odd_names.devices())
        self.assertNotIn("invalid line", self.carbon.said)

    def test_collectd(self):
        with Collectd(self.bed, odd_names.collectd(self.bed), more=WRITE_GRAPHITE):
            self.arrive("bed_example.wireguard-plain.if_octets-", "rx", odd_names.peers())
            # write_graphite itself makes these two the same, as it does for every plugin.
            same = {odd_names.port("a.b"), odd_names.port("a_b")}
            self.arrive("bed_example.wireguard-", "gauge-listen_port", odd_names.devices() - same, same)
        self.assertNotIn("invalid line", self.carbon.said)
        self.assertNotIn("Unhandled Error", self.carbon.said)

    def test_telegraf(self):
        outputs = f'[[outputs.graphite]]\n  servers = ["{TARGET}"]\n  prefix = "telegraf"\n'
        inputs = sample_block(write(self.bed, self.config, "telegraf.toml"))
        with Telegraf(self.bed, TELEGRAF, inputs, outputs=outputs):
            # A peer's path has its key, too; devices that differ only in what Telegraf escapes share one.
            self.arrive("telegraf.plain.", "rx_bytes", odd_names.peers())
            path = "telegraf.plain.userspace.wireguard_device.listen_port"
            self.carbon.becomes(odd_names.port("plain"), path)


def whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def telegraf_part(key: str) -> str:
    """As Telegraf's serializer writes a tag's value."""
    return key.replace("/", "-").replace("+", "_")


if __name__ == "__main__":
    TELEGRAF = telegraf.build()
    carbon.need()
    bed.main()
