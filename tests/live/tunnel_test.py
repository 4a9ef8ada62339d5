"""Real tunnels against wg(8), through `wgvitals once` in every format and through a running wgvitals-execd."""

import json
import re
import unittest

import bed
from bed import WIREGUARD_GO, program
from line_protocol import Record, select
from programs import Execd, once, toml, write
from star import Star


def of_peer(records: list[Record], key: str) -> dict[str, object]:
    """All fields of a peer."""
    return {
        field: value
        for record in select(records, "wireguard_peer", public_key=key)
        for field, (_, value) in record.fields.items()
    }


class TunnelTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.star = Star(self.bed)
        self.keys = [spoke.device.keys.public for spoke in self.star.spokes] + [self.star.silent]

    def once(self, form: str, *arguments: str) -> str:
        done = self.bed.here.run(
            program("wgvitals"), "once", "--format", form, "--config", write(self.bed, toml()), *arguments
        )
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_values(self):
        records, dump = self.star.quiet(lambda: once(self.bed))
        self.assertEqual(
            dump.keys(), {record.tags["public_key"] for record in select(records, "wireguard_peer")}
        )
        for key, row in dump.items():
            peer = of_peer(records, key)
            self.assertEqual((peer["rx_bytes"], peer["tx_bytes"]), (row.rx_bytes, row.tx_bytes))
            self.assertEqual(peer.get("last_handshake_time_ns", 0) // 10**9, row.latest_handshake)
            self.assertEqual(peer.get("endpoint", "(none)"), row.endpoint)
            self.assertEqual(
                peer["persistent_keepalive_interval_ns"],
                0 if row.keepalive == "off" else int(row.keepalive) * 10**9,
            )
            self.assertEqual(set(peer["allowed_peer_cidr"].split(",")), set(row.allowed_ips.split(",")))
            self.assertEqual(peer["allowed_ips"], len(row.allowed_ips.split(",")))
            self.assertFalse(
                {"handshakes", "endpoint_changes", "counter_resets"} & peer.keys(), "nothing was counted yet"
            )
        self.assertEqual(
            len({row.rx_bytes for row in dump.values()} | {row.tx_bytes for row in dump.values()}),
            2 * len(dump) - 1,
        )

    def test_every_format_tells_the_same(self):
        forms = ("json", "prometheus", "graphite", "table")
        said, dump = self.star.quiet(lambda: {form: self.once(form) for form in forms})
        metrics = json.loads(said["json"])["metrics"]
        for name, separator in (("prometheus", " "), ("graphite", " ")):
            numbers = {
                line.split(separator)[1]
                for line in said[name].splitlines()
                if line and not line.startswith("#")
            }
            for row in dump.values():
                self.assertLessEqual({str(row.rx_bytes), str(row.tx_bytes)}, numbers, name)
        for key, row in dump.items():
            peer = {
                field: value
                for metric in metrics
                if metric["tags"].get("public_key") == key
                for field, value in metric["fields"].items()
            }
            self.assertEqual((peer["rx_bytes"], peer["tx_bytes"]), (row.rx_bytes, row.tx_bytes))
        table = said["table"]
        self.assertLessEqual(max(map(len, table.splitlines())), 80)
        self.assertNotIn("\x1b", table)
        for key in self.keys:
            self.assertIn(key[:6], table)

    def test_prometheus_names(self):
        text, dump = self.star.quiet(lambda: self.once("prometheus"))
        key, row = self.keys[1], dump[self.keys[1]]
        labels = re.escape(f'{{interface="wg0",public_key="{key}"}}')
        self.assertRegex(text, rf"(?m)^wireguard_received_bytes_total{labels} {row.rx_bytes}$")
        self.assertRegex(text, rf"(?m)^wireguard_sent_bytes_total{labels} {row.tx_bytes}$")
        self.assertRegex(
            text, rf"(?m)^wireguard_latest_handshake_seconds{labels} {row.latest_handshake}(\.\d+)?$"
        )

    def test_devices_and_collectors_can_be_chosen(self):
        self.bed.here.device("wg1", "10.88.0.1/24", port=51821)
        names = lambda *arguments: {
            record.tags["name"] for record in select(once(self.bed, *arguments), "wireguard_device")
        }
        self.assertEqual(names(), {"wg0", "wg1"})
        self.assertEqual(names("wg1"), {"wg1"})
        self.assertEqual(names("--only", "wireguard", "wg0"), {"wg0"})

    def test_what_is_counted(self):
        execd = self.enterContext(Execd(self.bed))
        spoke, key = self.star.spokes[0], self.keys[0]
        first = of_peer(execd.gather(), key)
        self.assertEqual((first["handshakes"], first["endpoint_changes"], first["counter_resets"]), (0, 0, 0))

        spoke.device.set("listen-port", "40100")
        spoke.device.ping(spoke.hub_address, count=1)
        records = execd.gather()
        self.assertEqual(of_peer(records, key)["endpoint_changes"], 1)
        self.assertEqual(of_peer(records, key)["endpoint"], f"{self.star.link.b.v4}:40100")
        texts = [
            record
            for record in select(records, "wireguard_event", device="wg0", public_key=key, event="endpoint")
            if "from" in record.fields
        ]
        self.assertEqual(
            [(text["from"], text["to"]) for text in texts],
            [(f"{self.star.link.b.v4}:40000", f"{self.star.link.b.v4}:40100")],
        )

        self.star.hub.remove_peer(key)
        self.star.hub.add_peer(key, "10.77.0.2/32", f"{self.star.link.b.v4}:40100")
        self.star.hub.ping(spoke.address, count=1)
        peer = of_peer(execd.gather(), key)
        self.assertEqual((peer["handshakes"], peer["counter_resets"]), (1, 1))
        self.assertEqual(execd.said, "")

    def test_events(self):
        execd = self.enterContext(Execd(self.bed))
        execd.gather()
        key = bed.Keys.make().public
        events = lambda: {
            record.tags["event"]: record.tags.get("public_key")
            for record in select(execd.gather(), "wireguard_event", device="wg0")
        }
        self.star.hub.add_peer(key, "10.79.0.0/24")
        self.assertEqual(events(), {"peer_added": key})
        self.assertEqual(events(), {})
        self.star.hub.remove_peer(key)
        self.assertEqual(events(), {"peer_removed": key})
        self.bed.here.run("ip", "link", "set", "wg0", "down")
        self.assertEqual(events(), {"link": None})
        self.bed.here.run("ip", "link", "set", "wg0", "up")
        self.assertEqual(events(), {"link": None})
        self.star.hub.remove()
        self.assertEqual(events(), {"link": None})


class NamespaceTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())

    def test_a_host_without_wireguard(self):
        records = once(self.bed, config=toml(host=False, conntrack=False))
        self.assertEqual({record.name for record in records}, {"wgvitals"})

    def test_a_link_in_another_namespace(self):
        """Its socket is here all the same; what only the link tells is absent."""
        self.bed.host("far", own_sockets=False).device("wg9", "10.79.0.1/24", daemon=WIREGUARD_GO)
        for config, netns in (("", False), (toml(netns=["far"]), True)):
            records = once(self.bed, config=config)
            devices = select(records, "wireguard_device", name="wg9")
            self.assertEqual(len(devices), 2)
            self.assertEqual({record.tags.get("netns") for record in devices}, {"far" if netns else None})
            self.assertEqual(any("mtu" in record.fields for record in devices), netns)

    def test_a_namespace_that_comes_later_and_goes(self):
        execd = self.enterContext(Execd(self.bed, toml(netns=["far"])))
        self.assertFalse(select(execd.gather(), "wireguard_device"))
        execd.hears("far")
        far = self.bed.host("far", own_sockets=False)
        device = far.device("wg9", "10.79.0.1/24", daemon=WIREGUARD_GO)
        self.assertTrue(select(execd.gather(), "wireguard_device", name="wg9", netns="far"))
        device.remove()
        self.assertFalse(select(execd.gather(), "wireguard_device"))
        self.assertEqual(execd.end(), 0)


if __name__ == "__main__":
    bed.main()
