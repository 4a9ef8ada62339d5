"""Pings of peers through real tunnels, by wgvitals-execd."""

import json
import time

import bed
from bed import WIREGUARD_GO, Device, Keys, wait_until
from line_protocol import Record, select
from ping_lines import DELAY, PingTest, config, no_way, numbers
from programs import Execd, once
from responder import address
from star import Spoke, Star


class PeersTest(PingTest):
    def setUp(self):
        super().setUp()
        self.star = Star(self.bed)
        self.keys = [spoke.device.keys.public for spoke in self.star.spokes]

    def config(self, *blocks: dict[str, object], **options) -> str:
        short = {"ping_peer_interval": "50ms", "ping_peer_timeout": "400ms"}
        return config(*blocks, **({"ping_peers": True} | short | options))

    def pinged(self, records: list[Record]) -> set[tuple[str, str, str]]:
        """(device, public_key, url) of the peers that have a line."""
        return {
            (record.tags["device"], record.tags["public_key"], record.tags["url"])
            for record in select(records, "ping")
            if "device" in record.tags
        }

    def row(self, n: int) -> tuple[str, str, str]:
        return "wg0", self.keys[n], self.star.spokes[n].address

    def received(self, spoke: Spoke) -> int:
        """Packets that came out of its tunnel."""
        show = spoke.device.host.run("ip", "-json", "-statistics", "link", "show", spoke.device.name)
        return json.loads(show.stdout)[0]["stats64"]["rx"]["packets"]

    def test_tunnel_addresses(self):
        # Another way to it is not taken: each probe is bound to its peer's device.
        last, link = self.star.spokes[2], self.star.link
        way = ["dev", link.name, "src", last.hub_address]
        self.bed.here.run("ip", "route", "add", last.address, *way)
        before = [self.received(spoke) for spoke in self.star.spokes]
        execd = self.execd(self.config(names={self.keys[1]: "laptop"}))
        records = execd.gather(seconds=8)
        # The silent one has networks only, whose hosts nobody knows.
        self.assertEqual(self.pinged(records), {self.row(n) for n in range(3)})
        for n, spoke in enumerate(self.star.spokes):
            line = numbers(records, spoke.address, device="wg0", public_key=self.keys[n])
            self.assert_alive(line)
            self.assertEqual(line["ttl"], 64)
            gained = self.received(spoke) - before[n]
            self.assertGreaterEqual(gained, line["packets_transmitted"])
        self.assertEqual(
            {record.tags.get("friendly_name") for record in select(records, "ping", url="10.77.1.2")},
            {"laptop"},
        )
        self.assertEqual(execd.said, "")

    def test_once_waits_for_a_window(self):
        records = once(self.bed, config=self.config(ping_peer_interval="1s", ping_peer_timeout="900ms"))
        self.assertEqual(self.pinged(records), {self.row(n) for n in range(3)})
        for n in range(3):
            self.assert_alive(numbers(records, self.star.spokes[n].address))

    def test_they_are_followed(self):
        execd = self.execd(self.config())
        execd.gather(seconds=8)
        spoke, hub = self.star.spokes[0], self.star.hub
        hub.remove_peer(self.keys[0])
        self.assertEqual(self.pinged(self.later(execd)), {self.row(1), self.row(2)})
        hub.add_peer(self.keys[0], f"{spoke.address}/32", f"{self.star.link.b.v4}:{spoke.device.port}")
        back = lambda: self.row(0) in self.pinged(self.later(execd))
        wait_until(back, "a line about the peer that came back")
        self.assert_comes_alive(execd, spoke.address)
        # Another address, of the same peer.
        hub.set("peer", self.keys[0], "allowed-ips", "10.77.0.0/24,10.77.0.3/32")
        spoke.device.host.run("ip", "address", "add", "10.77.0.3/32", "dev", spoke.device.name)
        moved = ("wg0", self.keys[0], "10.77.0.3")
        wait_until(lambda: moved in self.pinged(self.later(execd)), "the new address")
        self.assertNotIn(self.row(0), self.pinged(self.later(execd)))
        self.assert_comes_alive(execd, "10.77.0.3")
        # Of another family.
        hub.host.run("ip", "address", "add", "fd00:77:9::1/64", "dev", "wg0", "nodad")
        hub.set("peer", self.keys[0], "allowed-ips", "fd00:77:9::3/128")
        device = spoke.device
        device.host.run("ip", "address", "add", "fd00:77:9::3/64", "dev", device.name, "nodad")
        device.set("peer", hub.keys.public, "allowed-ips", "fd00:77:9::1/128")
        moved = ("wg0", self.keys[0], "fd00:77:9::3")
        wait_until(lambda: moved in self.pinged(self.later(execd)), "the new address")
        self.assert_comes_alive(execd, "fd00:77:9::3")
        self.assertEqual(self.pinged(execd.gather()) & {self.row(0)}, set())
        self.assertEqual(execd.said, "")

    def later(self, execd: Execd) -> list[Record]:
        time.sleep(0.4)
        return execd.gather()

    def assert_comes_alive(self, execd: Execd, url: str):
        """Once those are told that were lost before there was a way."""
        line = lambda: numbers(self.later(execd), url)
        wait_until(lambda: line().get("percent_packet_loss") == 0, f"answers of {url}")
        self.assert_alive(line())

    def test_a_tunnel_that_is_made_anew(self):
        execd = self.execd(self.config())
        execd.gather(seconds=8)
        old, link = self.star.hub, self.star.link
        old.remove()
        self.assertEqual(self.pinged(execd.gather()), set())
        hub: Device = self.bed.here.device("wg0", "10.77.0.1/24")
        spoke = self.star.spokes[0]
        hub.add_peer(self.keys[0], f"{spoke.address}/32", f"{link.b.v4}:{spoke.device.port}")
        spoke.device.remove_peer(old.keys.public)
        spoke.device.add_peer(hub.keys.public, f"{spoke.hub_address}/32", f"{link.a.v4}:{hub.port}")

        def alive() -> bool:
            records = self.later(execd)
            return self.pinged(records) == {self.row(0)} and (
                numbers(records, spoke.address).get("percent_packet_loss") == 0
            )

        wait_until(alive, "answers through the new tunnel", 40)

    def test_one_that_cannot_be_reached_costs_only_itself(self):
        self.responder()
        homeless, gone = Keys.make().public, Keys.make().public
        self.star.hub.add_peer(homeless, "10.79.0.2/32")  # no endpoint
        self.star.hub.add_peer(gone, "10.79.0.3/32", "198.51.1.77:9")
        self.enterContext(no_way(self.bed, "unreachable", "10.66.0.1"))
        host = address(300)
        block = {"hosts": [host, "10.66.0.1"], "interval": "50ms", "timeout": "300ms"}
        execd = self.execd(self.config(block))
        for records in (execd.gather(seconds=8), self.later(execd), self.later(execd)):
            for spoke in self.star.spokes:
                self.assert_alive(numbers(records, spoke.address))
            self.assert_alive(numbers(records, host), DELAY)
            self.assert_unsent(numbers(records, "10.66.0.1"))
            line = numbers(records, "10.79.0.3")
            self.assertEqual((line["result_code"], line["percent_packet_loss"]), (1, 100))
        self.assert_unsent(numbers(records, "10.79.0.2"))
        self.assertEqual(execd.said, "")

    def test_those_that_sleep_are_left_alone(self):
        """By key, by label, and by choice of others."""
        sleeping = self.star.spokes[2]
        choices = {
            "key": {"expect": {self.keys[2]: "sometimes"}},
            "label": {f'labels."{self.keys[2]}"': {"expect": "sometimes"}},
            "exclude": {"ping_peer_exclude": [self.keys[2]]},
            "include": {"ping_peer_include": self.keys[:2]},
            "name": {"ping_peer_exclude": ["/^pho/"], "names": {self.keys[2]: "phone"}},
        }
        for what, options in choices.items():
            with self.subTest(what):
                before = self.received(sleeping)
                execd = self.execd(self.config(**options))
                execd.gather(seconds=8)
                self.assertEqual(self.pinged(self.later(execd)), {self.row(0), self.row(1)})
                self.assertEqual(self.received(sleeping), before)
                self.assertEqual(execd.said, "")
                execd.end()

    def test_an_address_that_the_allowed_ips_do_not_tell(self):
        spoke = self.star.spokes[1]
        self.star.hub.set("peer", self.keys[1], "allowed-ips", "10.77.1.0/24")
        addresses = {self.keys[1]: spoke.address}
        execd = self.execd(self.config(ping_peer_addresses=addresses))
        records = execd.gather(seconds=8)
        self.assertEqual(self.pinged(records), {self.row(n) for n in range(3)})
        self.assert_alive(numbers(records, spoke.address))


    def test_in_another_namespace(self):
        """From where the device is: both ends of one tunnel ping each other, in one process."""
        other = self.bed.host("other", own_sockets=False)
        link = self.bed.join(self.bed.here, other)
        near = self.bed.here.device("near", "10.88.0.1/24", port=51830)
        far = other.device("far", "10.88.0.2/24", daemon=WIREGUARD_GO)
        near.add_peer(far.keys.public, "10.88.0.2/32", f"{link.b.v4}:{far.port}")
        far.add_peer(near.keys.public, "10.88.0.1/32", f"{link.a.v4}:{near.port}")
        near.ping("10.88.0.2")  # a session, so that no first probe waits for one
        execd = self.execd(self.config(netns=["other"], interface_include=["near", "far"]))
        execd.gather(seconds=8)
        records = self.later(execd)
        rows = {("near", far.keys.public, "10.88.0.2"), ("far", near.keys.public, "10.88.0.1")}
        self.assertEqual(self.pinged(records), rows)
        self.assert_alive(numbers(records, "10.88.0.2", device="near"))
        self.assert_alive(numbers(records, "10.88.0.1", device="far", netns="other"))
        self.assertEqual(execd.said, "")


if __name__ == "__main__":
    bed.main()
