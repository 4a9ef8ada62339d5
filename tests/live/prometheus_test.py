"""What promtool, node_exporter and Prometheus make of `wgvitals once` and `serve`, and of our values that
come by way of Telegraf and collectd."""

import base64
import contextlib
import json
import os
import re
import threading
import unittest

import bed
import fake_uapi
import odd_names
import prometheus
import telegraf
from bed import AS_NOBODY, SOURCE, program, wait_until
from collectd import Collectd
from fake_uapi import FakeUapi
from programs import toml, write
from prometheus import NodeExporter, Prometheus, series
from serve import Serve
from star import Star
from telegraf import Telegraf, sample_block

WRITE_PROMETHEUS = """LoadPlugin write_prometheus
<Plugin write_prometheus>
  Host "127.0.0.1"
  Port "9103"
</Plugin>
"""
NAMES = (
    "wireguard_received_bytes_total",
    "wireguard_sent_bytes_total",
    "wireguard_latest_handshake_seconds",  # wg has no fractions
)


def safe(key: str) -> str:
    """How collectd calls a peer without a name."""
    return base64.urlsafe_b64encode(base64.b64decode(key)).decode().rstrip("=")


class PrometheusTest(unittest.TestCase):
    """Two spokes, a node_exporter and a Prometheus, which also scrapes what Telegraf and collectd offer."""

    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.star = Star(cls.bed, spokes=2)
        cls.keys = [spoke.device.keys.public for spoke in cls.star.spokes]
        cls.folder = cls.bed.dir / "textfile"
        cls.folder.mkdir()
        cls.node_exporter = NodeExporter(cls.bed, cls.folder)
        cls.prometheus = Prometheus(cls.bed, node=9100, collectd=9103, version_1=9273, version_2=9274)

    def setUp(self):
        self.file = self.folder / "wgvitals.prom"
        self.addCleanup(self.file.unlink, missing_ok=True)
        # What the test before left must not pass for an answer to this one.
        wait_until(lambda: not any(map(self.prometheus.query, NAMES)), "Prometheus forgets the last file")

    def serve(self, **more) -> Serve:
        return self.enterContext(Serve(self.bed, "prometheus", str(self.file), **more))

    def once(self, config: str = "") -> str:
        command = [program("wgvitals"), "once", "--format", "prometheus", "--config"]
        return self.bed.here.run(*command, write(self.bed, config or toml())).stdout

    def labels(self, key: str) -> dict[str, str]:
        return {"interface": "wg0", "public_key": key}

    def follows(self) -> None:
        """What Prometheus answers becomes what wg says."""
        answers = lambda: [
            {dict(labels)["public_key"]: int(value) for labels, value in self.prometheus.query(name).items()}
            for name in NAMES
        ]

        def says():
            dump = self.star.hub.dump()
            return [
                {key: row.rx_bytes for key, row in dump.items()},
                {key: row.tx_bytes for key, row in dump.items()},
                {key: row.latest_handshake for key, row in dump.items() if row.latest_handshake},
            ]

        # Both sides each time: idle peers send a keepalive now and then.
        wait_until(lambda: answers() == says(), f"Prometheus says {says()}")

    def test_once(self):
        text = self.once()
        self.assertEqual(prometheus.check(text), "")
        self.assertNotEqual(prometheus.check(text + "rx_bytes 1\n"), "", "promtool objects to nothing")
        fresh = self.folder / "fresh"
        fresh.write_text(text)
        fresh.rename(self.file)
        self.follows()
        self.assertEqual(
            self.prometheus.query("wireguard_device_peers"),
            {frozenset({("interface", "wg0"), ("type", self.type())}): 3},
        )
        self.assertEqual(self.prometheus.value("node_textfile_scrape_error"), 0)

    def type(self) -> str:
        return "linux_kernel" if bed.kernel_has_wireguard() else "userspace"

    def test_serve_follows_and_counts(self):
        self.serve()
        self.follows()
        self.assertEqual(prometheus.check(self.file.read_text()), "")
        labels = self.labels(self.keys[0])
        self.prometheus.becomes(0, "wireguard_peer_handshakes_total", **labels)
        before = self.star.hub.dump()[self.keys[0]]
        self.star.shake_hands()
        self.prometheus.becomes(1, "wireguard_peer_handshakes_total", **labels)
        self.prometheus.becomes(0, "wireguard_peer_handshakes_total", **self.labels(self.keys[1]))
        after = self.star.hub.dump()[self.keys[0]]
        self.assertGreater(after.rx_bytes, before.rx_bytes)
        self.follows()

    def test_with_the_rights_of_its_unit(self):
        """Root with the unit's capabilities reads userspace sockets and writes into root's folder."""
        unit = (SOURCE / "packaging/systemd/wgvitals-serve.service").read_text()
        (rights,) = re.findall("(?m)^CapabilityBoundingSet=(.+)$", unit)
        bounds = "--bounding-set=-all" + rights.lower().replace(" ", "").replace("cap_", ",+")
        serve = self.serve(prefix=("setpriv", bounds, "--inh-caps=-all", "--no-new-privs"))
        self.follows()
        self.assertEqual(serve.said, "")

    def test_restarts(self):
        """Of each of the three; a file stays behind, and counts begin anew with the program."""
        serve, spoke, labels = self.serve(), self.star.spokes[0], self.labels(self.keys[0])
        self.prometheus.becomes(0, "wireguard_peer_handshakes_total", **labels)
        self.star.shake_hands()
        self.prometheus.becomes(1, "wireguard_peer_handshakes_total", **labels)
        for daemon in (self.prometheus, self.node_exporter):
            daemon.stop()
            spoke.device.ping(spoke.hub_address)
            daemon.start()
            self.follows()
            self.prometheus.becomes(1, "wireguard_peer_handshakes_total", **labels)
        self.assertEqual(serve.end(), 0)
        self.assertEqual(serve.said, "")
        self.assertEqual(list(self.folder.iterdir()), [self.file])
        age = f'time() - node_textfile_mtime_seconds{{file="{self.file}"}}'  # as the manual has it
        wait_until(lambda: list(self.prometheus.query(age + " > 1").values()), "an age of the file")
        spoke.device.ping(spoke.hub_address)
        self.serve()
        self.prometheus.becomes(0, "wireguard_peer_handshakes_total", **labels)
        self.follows()
        self.assertEqual(self.prometheus.query(age + " > 3"), {})

    def test_a_reader_never_sees_half_a_file(self):
        peers, seen, ended = 3000, set(), threading.Event()
        sockets = self.bed.dir / "many"
        sockets.mkdir()
        with FakeUapi(sockets, "many", fake_uapi.healthy(peers)):
            serve = self.serve(interval="100ms", config=toml(uapi_dir=str(sockets)))
            wait_until(self.file.exists, "the file")

            def read():
                while not ended.is_set():
                    text = self.file.read_text()
                    seen.add((text.count("\nwireguard_sent_bytes_total{"), text[-1]))
                    inodes.add(os.stat(self.file).st_ino)

            inodes: set[int] = set()
            reader = threading.Thread(target=read)
            reader.start()
            try:
                wait_until(lambda: len(inodes) > 10 or not reader.is_alive(), "ten files", 30)
            finally:
                ended.set()
                reader.join()
            self.assertEqual(seen, {(peers, "\n")})
            self.assertEqual(serve.end(), 0)
            self.assertEqual(list(self.folder.iterdir()), [self.file])
            prometheus.parse(self.file.read_text())

    def test_a_folder_that_takes_nothing(self):
        folder = self.bed.dir / "small"
        folder.mkdir()
        mount = lambda *options: self.bed.here.run("mount", *options, str(folder))
        mount("-t", "tmpfs", "-o", "size=64k", "tmpfs")
        self.addCleanup(self.bed.here.run, "umount", str(folder))
        self.file = folder / "wgvitals.prom"
        self.counting = self.enterContext(FakeUapi(bed.UAPI_DIR, "counting", fake_uapi.healthy(0)))
        serve = self.serve()
        wait_until(self.file.exists, "the file")

        filler = folder / "filler"
        with contextlib.suppress(OSError):
            filler.write_bytes(bytes(1 << 20))
        self.goes_through_a_failure(serve, "No space left on device", filler.unlink)
        mount("-o", "remount,ro")
        self.goes_through_a_failure(serve, "Read-only file system", lambda: mount("-o", "remount,rw"))
        self.assertEqual(serve.said.count("warning: "), 2)
        self.assertEqual(list(folder.iterdir()), [self.file])
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o644)
        serve.end()
        self.file.unlink()
        self.file.symlink_to("/dev/null")
        for output, why in (
            (self.bed.dir / "missing" / "wgvitals.prom", "No such file or directory"),
            (self.file, "is no plain file"),
        ):
            refused = Serve(self.bed, "prometheus", str(output))
            self.assertEqual(refused.process.wait(5), 1)
            self.assertRegex(refused.said, rf"^error: {output} .*{why}")

    def test_without_the_right_to_write(self):
        self.folder.chmod(0o755)
        serve = self.serve(prefix=AS_NOBODY)
        serve.hears(f"{self.file} is not written")
        self.assertIn("this user may not write into its folder: Permission denied", serve.said)
        self.assertFalse(self.file.exists())

    def samples(self) -> dict[prometheus.Series, float]:
        return prometheus.parse(self.file.read_text())

    def goes_through_a_failure(self, serve: Serve, said: str, mend) -> None:
        """Which is said once with its place; the old file stays whole; the recovery is said."""
        serve.hears(said)
        old, gathers = self.file.read_text(), self.counting.requests
        self.assertTrue(self.samples())
        self.star.spokes[0].device.ping(self.star.spokes[0].hub_address)
        bytes_now = self.star.hub.dump()[self.keys[0]].rx_bytes
        wait_until(lambda: self.counting.requests > gathers + 3, "three more gathers")
        self.assertEqual(self.file.read_text(), old)
        self.assertEqual(serve.said.count(said), 1)
        warning = rf"(?m)^warning: {self.file} is not written, an old file stays; .*{said}$"
        self.assertRegex(serve.said, warning)
        mend()
        labels = self.labels(self.keys[0])
        fresh = lambda: self.samples()[series("wireguard_received_bytes_total", **labels)] >= bytes_now
        wait_until(fresh, "a fresh file")
        serve.hears(f"info: well again: {self.file}")

    def test_telegraf_in_both_versions(self):
        """No text of ours becomes a label of a number, but for the line that is also Telegraf's own."""
        config = toml(labels={self.keys[0]: {"site": "berlin"}})
        outputs = ""
        for port, version in ((9273, 1), (9274, 2)):
            outputs += f"""
[[outputs.prometheus_client]]
  listen = "127.0.0.1:{port}"
  metric_version = {version}
  expiration_interval = "3s"
  collectors_exclude = ["gocollector", "process"]
"""
        with Telegraf(self.bed, TELEGRAF, sample_block(write(self.bed, config)), outputs=outputs):
            for version in ("version_1", "version_2"):
                self.telegraf_follows(version)
            roams = [self.roamed(40100 + n) for n in range(2)]
        texts = self.texts() - {"endpoint", "allowed_peer_cidr"}
        self.assertLessEqual({"version", "message", "from", "to"}, texts)
        for before, after in zip(*roams):
            for name, labels in before | after:
                self.assertFalse(texts & dict(labels).keys(), name)
            self.assertEqual(len(before), len(after))
            changed = before ^ after
            self.assertTrue(changed, "a peer roamed")
            for name, labels in changed:
                self.assertIn("endpoint", dict(labels), name)

    def telegraf_follows(self, job: str) -> None:
        for field in ("rx_bytes", "tx_bytes"):
            values = lambda: {
                dict(labels)["public_key"]: int(value)
                for labels, value in self.prometheus.query(f'wireguard_peer_{field}{{job="{job}"}}').items()
            }
            dump = lambda: {key: getattr(row, field) for key, row in self.star.hub.dump().items()}
            wait_until(lambda: values() == dump(), f"{field} of {job}: {dump()}", 40)

    def roamed(self, port: int) -> list[set[prometheus.Series]]:
        """The series of both versions after a peer came from another port, and old ones are gone."""
        spoke = self.star.spokes[0]
        old = self.star.hub.dump()[self.keys[0]].endpoint
        spoke.device.set("listen-port", str(port))
        spoke.device.ping(spoke.hub_address, count=1)
        new = self.star.hub.dump()[self.keys[0]].endpoint
        self.assertNotEqual(old, new)

        def settled():
            texts = [prometheus.fetch(f"http://127.0.0.1:{n}/metrics") for n in (9273, 9274)]
            pages = [set(prometheus.parse(text)) for text in texts]
            ends = [{dict(labels).get("endpoint") for _, labels in page} for page in pages]
            event = all("wireguard_event_severity" in dict(page) for page in pages)
            return pages if event and all(new in seen and old not in seen for seen in ends) else None

        return wait_until(settled, f"{new} in place of {old}", 15)

    def texts(self) -> set[str]:
        """The names of all texts."""
        catalogue = self.bed.here.run(program("wgvitals"), "catalogue", "--json").stdout
        return {metric["field"] for metric in json.loads(catalogue) if metric["type"] == "s"}

    def test_collectd(self):
        with Collectd(self.bed, more=WRITE_PROMETHEUS):
            for field, ends in (("rx_bytes", "rx_total"), ("tx_bytes", "tx_total")):
                values = lambda: {
                    dict(labels)["type"]: int(value)
                    for labels, value in self.prometheus.query(f"collectd_wireguard_if_octets_{ends}").items()
                    if "type" in dict(labels)
                }
                dump = lambda: {safe(key): getattr(row, field) for key, row in self.star.hub.dump().items()}
                wait_until(lambda: values() == dump(), f"{field} through collectd: {dump()}", 40)
            (handshake,) = self.prometheus.query(
                f'collectd_wireguard_time_ref{{type="{safe(self.keys[0])}"}}'
            ).values()
            self.assertEqual(int(handshake), self.star.hub.dump()[self.keys[0]].latest_handshake)


class OddNamesTest(unittest.TestCase):
    """Every name arrives, distinct from the others and with its own value."""

    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.folder = cls.bed.dir / "textfile"
        cls.folder.mkdir()
        NodeExporter(cls.bed, cls.folder)
        cls.prometheus = Prometheus(cls.bed, node=9100, collectd=9103)
        cls.config = odd_names.host(cls.bed, cls.enterClassContext(contextlib.ExitStack()))

    def test_textfile(self):
        serve = Serve(self.bed, "prometheus", str(self.folder / "odd.prom"), config=self.config)
        self.enterContext(serve)
        peers = self.arrive("wireguard_received_bytes_total", odd_names.peers())
        for labels in peers:
            name = odd_names.printable(odd_names.PEERS[odd_names.KEYS.index(labels["public_key"])])
            if labels["friendly_name"] != name:  # others are like it, or it is too long
                self.assertRegex(labels["friendly_name"], f"^{re.escape(name[:40])}.*~[\\w-]{{6}}$")
        self.assertEqual(len({labels["friendly_name"] for labels in peers}), len(peers))
        devices = self.arrive("wireguard_device_listen_port", odd_names.devices())
        self.assertEqual({labels["interface"] for labels in devices}, set(odd_names.DEVICES))
        self.assertEqual(prometheus.check((self.folder / "odd.prom").read_text()), "")

    def test_collectd(self):
        # write_prometheus finds no address where there is only the loopback's.
        self.bed.here.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
        with Collectd(self.bed, odd_names.collectd(self.bed), more=WRITE_PROMETHEUS):
            peers = self.arrive("collectd_wireguard_if_octets_rx_total", odd_names.peers())
            self.assertEqual(len({labels["type"] for labels in peers}), len(peers))
            self.arrive('collectd_wireguard_gauge{type="listen_port"}', odd_names.devices())

    def test_names_that_are_refused(self):
        """And harm no neighbour, however it is called."""
        sockets = self.bed.dir / "refused"
        sockets.mkdir()
        for name in ("c\x01", "c_", "c\n", "d\udcff"):  # one is a name
            self.enterContext(FakeUapi(sockets, name, fake_uapi.healthy(1)))
        command = [program("wgvitals"), "once", "--format", "prometheus", "--config"]
        done = self.bed.here.run(*command, write(self.bed, toml(uapi_dir=str(sockets))))
        for name in ("c?", "d?"):
            self.assertIn(f"{name}: left out, its name has control characters or wide blanks, or is no UTF-8", done.stderr)
        samples = prometheus.parse(done.stdout)
        devices = [dict(labels)["interface"] for name, labels in samples if name == "wireguard_device_peers"]
        self.assertEqual(devices, ["c_"])

    def arrive(self, metric: str, expected: set[float]) -> list[dict[str, str]]:
        """The labels of the series with these values, one for each."""

        def arrived():
            answer = self.prometheus.query(metric)
            return answer if set(answer.values()) == expected and len(answer) == len(expected) else None

        try:
            return [dict(labels) for labels in wait_until(arrived, metric)]
        except TimeoutError:
            others = set(self.prometheus.query(metric).values()) ^ expected
            self.fail(f"{metric}: missing or too many: {sorted(others)}")


if __name__ == "__main__":
    prometheus.need()
    TELEGRAF = telegraf.build()
    bed.main()
