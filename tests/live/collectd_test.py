"""wireguard.so in a real collectd."""

import base64
import os
import pathlib
import re
import subprocess
import time
import unittest

import bed
import fake_uapi
from bed import PROGRAMS, wait_until
from collectd import DAEMON, Collectd, daemon
from fake_uapi import FakeUapi
from star import Star

# What the plugin takes from the daemon: each is a promise of collectd 5.12 that we depend on.
HOST_SYMBOLS = {
    "cdtime",
    "hostname_g",
    "meta_data_add_string",
    "meta_data_create",
    "meta_data_destroy",
    "plugin_dispatch_notification",
    "plugin_dispatch_values",
    "plugin_log",
    "plugin_notification_meta_add_string",
    "plugin_notification_meta_free",
    "plugin_register_complex_config",
    "plugin_register_complex_read",
    "plugin_register_init",
    "plugin_register_shutdown",
    "plugin_thread_create",
}

PEER_TYPES = (
    "if_octets",
    "duration",
    "time_ref",
    "derive-handshakes",
    "derive-endpoint_changes",
    "derive-counter_resets",
)
DEVICE_TYPES = (
    "if_octets",
    "if_packets",
    "if_errors",
    "if_dropped",
    "count-peers",
    "gauge-mtu",
    "bool-link_up",
    "derive-link_flaps",
)


def safe(key: str) -> str:
    """How a peer without a name is called."""
    return base64.urlsafe_b64encode(base64.b64decode(key)).decode().rstrip("=")


def cpu_ms(pid: int) -> int:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) * 1000 // os.sysconf("SC_CLK_TCK")


class TunnelTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.star = Star(self.bed, spokes=2)
        self.keys = [spoke.device.keys.public for spoke in self.star.spokes]

    def test_identifiers_and_values(self):
        names = f'LoadPlugin wireguard\n<Plugin wireguard>\n  Names "{self.keys[0]}" "laptop"\n</Plugin>\n'
        with Collectd(self.bed, names) as collectd:
            peers = {"laptop": self.keys[0], safe(self.keys[1]): self.keys[1]}
            collectd.wait_for(
                *(f"wireguard-wg0/{kind}-{peer}" for kind in PEER_TYPES for peer in peers),
                *(f"wireguard-wg0/{kind}" for kind in DEVICE_TYPES),
            )
            self.assertEqual(collectd.value("wireguard-wg0/count-peers"), {"value": 3})
            self.assertEqual(collectd.value("wireguard-wg0/bool-link_up"), {"value": 1})
            # csv has the counters themselves; both sides each time: idle peers send a keepalive now and then.
            told = lambda peer: collectd.rows(f"wireguard-wg0/if_octets-{peer}")[-1]
            same = lambda: all(
                (int(told(peer)["rx"]), int(told(peer)["tx"])) == (row.rx_bytes, row.tx_bytes)
                for peer, row in ((peer, self.star.hub.dump()[key]) for peer, key in peers.items())
            )
            wait_until(same, "the counters in csv")
            dump = self.star.hub.dump()
            for peer, key in peers.items():
                wait_until(lambda: collectd.value(f"wireguard-wg0/if_octets-{peer}"), "a rate")
                self.assertAlmostEqual(
                    collectd.value(f"wireguard-wg0/duration-{peer}")["seconds"],
                    time.time() - dump[key].latest_handshake,
                    delta=3,
                )
            silent = {name for name in collectd.identifiers() if safe(self.star.silent) in name}
            self.assertIn(f"wireguard-wg0/if_octets-{safe(self.star.silent)}", silent)
            self.assertFalse({name for name in silent if "/duration" in name or "/time_ref" in name})
        for peer, key in peers.items():
            self.assertEqual(
                float(collectd.rows(f"wireguard-wg0/time_ref-{peer}")[-1]["value"]) // 1,
                dump[key].latest_handshake,
            )
        self.assertEqual(len({(row.rx_bytes, row.tx_bytes) for row in dump.values()}), 3)
        self.assertNotRegex(collectd.said, "Dataset not found|ds_num|too old|failed|took")

    def test_the_cpu_time_and_the_handshakes_on_the_wire(self):
        pid = self.star.hub.process.pid
        while cpu_ms(pid) < 50:
            self.star.far.run("ping", "-q", "-f", "-c", "2000", self.star.spokes[0].hub_address)
        spent = cpu_ms(pid)
        with Collectd(self.bed, "LoadPlugin wireguard\n<Plugin wireguard>\n  Trace true\n</Plugin>\n") as collectd:
            collectd.wait_for(
                "wireguard-wg0/total_time_in_ms-total",
                "wireguard-wg0/gauge-crypto_busy_percent",
                "wireguard-wg0/gauge-process_threads",
                "wireguard-wg0/derive-invalid_mac",
                "wireguard-wg0/derive-cookies_sent",
                "wireguard/derive-tap_dropped",
            )
        told = int(collectd.rows("wireguard-wg0/total_time_in_ms-total")[-1]["value"])
        self.assertGreaterEqual(told, spent)
        self.assertLessEqual(told, cpu_ms(pid))
        self.assertEqual(int(collectd.rows("wireguard/derive-tap_dropped")[-1]["value"]), 0)
        self.assertNotRegex(collectd.said, "Dataset not found|ds_num|too old|failed|took")

    def test_raw_instances(self):
        """The form of the script that people have used so far."""
        with Collectd(
            self.bed, 'LoadPlugin wireguard\n<Plugin wireguard>\n  PeerInstance "raw"\n</Plugin>\n'
        ) as collectd:
            collectd.wait_for(
                *(f"wireguard-wg0/if_octets-{key.lstrip('/').replace('/', '_')}" for key in self.keys)
            )

    def test_notifications(self):
        with Collectd(self.bed) as collectd:
            collectd.wait_for("wireguard-wg0/count-peers")
            key = bed.Keys.make().public
            self.star.hub.add_peer(key, "10.79.0.0/24")
            self.notified(collectd, "peer_added", safe(key))
            self.star.hub.remove_peer(key)
            self.notified(collectd, "peer_removed", safe(key))
            self.star.hub.host.run("ip", "link", "set", "wg0", "down")
            self.notified(collectd, "link", "wg0", severity="WARNING|FAILURE")
            self.star.hub.host.run("ip", "link", "set", "wg0", "up")
            self.notified(collectd, "link", "wg0", severity="OKAY")

    def notified(self, collectd: Collectd, event: str, whom: str, severity: str = r"\w+"):
        identifier = rf"host = bed\.example, plugin = wireguard, plugin_instance = wg0, .*{event}"
        pattern = rf"Notification: severity = (?:{severity}), {identifier}"
        wait_until(
            lambda: [
                line for line in collectd.said.splitlines() if re.search(pattern, line) and whom in line
            ],
            f"{pattern} {whom} in {collectd.said}",
        )

    def test_a_vanished_device_is_no_read_failure(self):
        with Collectd(self.bed) as collectd:
            collectd.wait_for("wireguard-wg0/count-peers")
            self.star.hub.remove()
            wait_until(
                lambda: "wireguard-wg0/count-peers" not in collectd.identifiers(), "the end of its values"
            )
            time.sleep(2)
            self.assertNotRegex(collectd.said, "suspend|read-function")
            self.bed.here.device("wg0", "10.77.0.1/24")
            collectd.wait_for("wireguard-wg0/count-peers")

    def test_stop_and_start(self):
        collectd = Collectd(self.bed)
        for _ in range(3):
            with collectd:
                collectd.wait_for("wireguard-wg0/count-peers")
                self.assertLess(collectd.stop(), 1)
                self.assertEqual(collectd.process.returncode, 0)
        self.assertEqual(collectd.said.count("Exiting normally."), 3)

    def test_daemon(self):
        """Without -f collectd forks after it has read its configuration: no thread may run by then."""
        collectd = Collectd(self.bed)
        self.bed.here.run(*daemon(), "-C", str(collectd.config))
        wait_until(collectd.socket.exists, "collectd's socket")
        collectd.wait_for("wireguard-wg0/count-peers")
        pid = int((collectd.dir / "pid").read_text())
        started = time.monotonic()
        self.bed.here.run("kill", str(pid))
        wait_until(lambda: not bed.is_running(pid), "its end", 5)
        self.assertLess(time.monotonic() - started, 1)

    def test_T(self):
        collectd = Collectd(self.bed)
        done = collectd.test()
        self.assertEqual(done.returncode, 0, done.stderr + collectd.said)
        self.assertNotRegex(collectd.said, "fail|wireguard plugin")


class ConfigurationTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.sockets = self.bed.dir / "wireguard"
        self.sockets.mkdir()
        self.enterContext(FakeUapi(self.sockets, "wg0", fake_uapi.healthy(2)))

    def collectd(self, *blocks: str, interval: float = 0.5) -> Collectd:
        text = "".join(
            f"<Plugin wireguard>\n{block}\n</Plugin>\n" for block in (f'UapiDir "{self.sockets}"', *blocks)
        )
        return self.enterContext(Collectd(self.bed, "LoadPlugin wireguard\n" + text, interval))

    def test_wrong_configuration_does_not_stop_the_daemon(self):
        collectd = self.collectd(
            'NoSuchOption "x"',
            "GatherWait true",
            'HandshakeNever "often"',
            'PeerInclude "/(/"',
            "<NoSuchBlock>\n  Something 1\n</NoSuchBlock>",
        )
        collectd.wait_for("wireguard-wg0/count-peers")
        for word in ("NoSuchOption", "GatherWait", "HandshakeNever", "PeerInclude", "NoSuchBlock"):
            self.assertRegex(
                collectd.said,
                rf"(?im)^.*wireguard.*{word.lower()}|{re.sub('(?<!^)(?=[A-Z])', '_', word).lower()}",
            )

    def test_our_own_examples_are_right(self):
        sample = (bed.SOURCE / "configs" / "collectd-wireguard.conf").read_text()
        every_option = re.sub(r"(?m)^(\s+)#(?=\w)", r"\1", sample)
        self.assertGreater(len(every_option.split()), 20)
        for text in (bed.readme_block("", "LoadPlugin wireguard"), sample, every_option):
            with Collectd(self.bed, text) as collectd:
                collectd.hears("entering read-loop")
            self.assertNotRegex(collectd.said, "unknown option|expected")

    def test_blocks_merge(self):
        collectd = self.collectd(
            f'Names "{fake_uapi.key_text(1)}" "one"', f'Names "{fake_uapi.key_text(2)}" "two"'
        )
        collectd.wait_for("wireguard-wg0/if_octets-one", "wireguard-wg0/if_octets-two")

    def test_hung_sockets_do_not_keep_it_from_stopping(self):
        for n in range(3):
            self.enterContext(FakeUapi(self.sockets, f"hung{n}", fake_uapi.silent))
        collectd = self.collectd('UapiTimeout "5s"', interval=1)
        time.sleep(1.2)
        self.assertLess(collectd.stop(), 1.5)
        self.assertNotIn("which is above its read interval", collectd.said)

    def test_a_peer_that_comes_and_goes_is_found_without_a_restart(self):
        with FakeUapi(self.sockets, "wg1", fake_uapi.healthy(1)):
            collectd = self.collectd()
            collectd.wait_for(f"wireguard-wg1/if_octets-{safe(fake_uapi.key_text(1))}")
        wait_until(
            lambda: not [name for name in collectd.identifiers() if "wg1" in name], "the end of wg1's values"
        )


class SharedObjectTest(unittest.TestCase):
    @staticmethod
    def symbols(which: str, path: pathlib.Path | str) -> set[str]:
        out = subprocess.run(
            ["nm", "-D", which, str(path)], check=True, capture_output=True, text=True
        ).stdout
        return {line.split()[-1].partition("@")[0] for line in out.splitlines()}

    def test_exports_only_its_entry(self):
        self.assertEqual(self.symbols("--defined-only", PROGRAMS / "wireguard.so"), {"module_register"})

    def test_takes_from_the_daemon_only_what_is_listed(self):
        taken = self.symbols("--undefined-only", PROGRAMS / "wireguard.so") & self.symbols(
            "--defined-only", DAEMON
        )
        self.assertEqual(taken - {"stderr"}, HOST_SYMBOLS)  # stderr is the C library's


if __name__ == "__main__":
    bed.need({DAEMON: "collectd-core", "nm": "binutils"})
    bed.main()
