"""Devices of every shape, read from the kernel: what wgvitals says equals `wg show all dump`."""
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import guest
import oracle
from configuration import Configuration

PLAIN = "[[inputs.wgvitals]]\n"
NETNS = '[[inputs.wgvitals]]\nnetns = ["red", "blue"]\n'
HUGE = 2000  # prefixes of one peer: more than fit into the largest datagram of a dump


def configurations() -> dict[str, str]:
    def start(seed: int) -> Configuration:
        return Configuration(seed, f"ListenPort = {20000 + seed}", f"FwMark = {seed:#x}")

    def large(seed: int, size: int, first: bool) -> Configuration:
        made = start(seed)
        if first:
            made.peer("Endpoint = 192.0.2.7:7", prefixes=made.prefixes(size))
        made.ordinary(5)
        if not first:
            made.peer("Endpoint = 192.0.2.7:7", prefixes=made.prefixes(size))
        return made

    six = (start(9)
           .peer("Endpoint = [2001:db8::1]:51820", prefixes=["2001:db8:1::/48", "::/0"])
           .peer("Endpoint = [fe80::1:2%v0]:51821", prefixes=["fd00::1/128"])
           .peer("Endpoint = [::1]:1", prefixes=["0.0.0.0/0", "fd00::2/127"])
           .peer())
    devices = {
        "wg-zero": Configuration(0), "wg-one": start(1).peer(), "wg-many": start(2).ordinary(29),
        "wg-first": large(3, 200, True), "wg-last": large(4, 200, False),
        "wg-first-huge": large(5, HUGE, True), "wg-last-huge": large(6, HUGE, False), "wg-six": six,
        "red": start(10).ordinary(2), "blue": start(11).ordinary(3), "own": start(12).ordinary(1),
        "wg-10000": Configuration(13).ordinary(10000),
    }
    return {f"/conf/{name}.conf": made.text for name, made in devices.items()}


class Shapes(unittest.TestCase):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        files = {**configurations(), "/netns.toml": NETNS, "/patient.toml": PLAIN + 'gather_wait = "10s"\n',
                 "/only_veth_execd.toml": PLAIN, "/no_capability_execd.toml": PLAIN}
        cls.result = guest.run_for(cls, "shapes", files=files)

    def said(self, name: str) -> list[oracle.Line]:
        return oracle.from_json(self.result.text(f"{name}/out"))

    def assert_same(self, said: oracle.State, dump: oracle.State):
        self.assertEqual(said.devices, dump.devices)
        self.assertEqual(said.peers.keys(), dump.peers.keys())
        for where, peer in dump.peers.items():
            self.assertEqual(said.peers[where], peer, where)

    def assert_equals_dump(self, name: str) -> oracle.State:
        dump = oracle.from_dump(self.result.text(f"{name}/before"))
        self.assertEqual(dump, oracle.from_dump(self.result.text(f"{name}/after")), "the bed is not at rest")
        self.assertEqual(self.result.text(f"{name}/status"), "0\n", self.result.text(f"{name}/stderr"))
        self.assertEqual(self.result.text(f"{name}/stderr"), "")
        self.assert_same(oracle.from_lines(self.said(name)), dump)
        return dump

    def assert_nothing_found(self, name: str):
        self.assertEqual(self.result.text(f"{name}/status"), "0\n")
        self.assertEqual(self.result.text(f"{name}/stderr"), "")
        self.assertEqual(oracle.from_lines(self.said(name)), oracle.State())
        self.assertEqual(oracle.own(self.said(name), "wireguard")["success"], 1)

    def test_module_not_loaded(self):
        self.assertNotIn("wireguard", self.result.text("modules").split())
        self.assert_nothing_found("no_links")
        self.assert_nothing_found("only_veth")

    def test_reading_loads_no_module(self):
        self.assertEqual(self.result.text("asked_by_us"), "")
        self.assertIn("wireguard", self.result.text("asked_by_ip"))  # the log does see requests

    def test_execd_without_module(self):
        self.assertEqual(self.result.text("only_veth_execd.status"), "0\n")
        gathers = oracle.gathers(self.result.text("only_veth_execd.out"))
        self.assertEqual(len(gathers), 3)
        for gather in gathers:
            self.assertEqual(oracle.own(gather, "wireguard")["success"], 1)

    def test_no_device(self):
        self.assert_nothing_found("no_device")

    def test_no_peer(self):
        self.assertEqual(len(self.assert_equals_dump("zero").peers), 0)

    def test_one_peer(self):
        self.assertEqual(len(self.assert_equals_dump("one").peers), 1)

    def test_29_peers(self):
        self.assertEqual(self.assert_equals_dump("many").devices["wg-many", None].peers, 29)

    def test_200_prefixes_first_and_last(self):
        for name in ("first", "last"):
            with self.subTest(name):
                peers = self.assert_equals_dump(name).peers.values()
                self.assertIn(200, [peer.allowed_ips for peer in peers])

    def test_prefixes_of_several_datagrams_first_and_last(self):
        for name in ("first-huge", "last-huge"):
            with self.subTest(name):
                peers = self.assert_equals_dump(name).peers.values()
                self.assertIn(HUGE, [peer.allowed_ips for peer in peers])

    def test_ipv6_and_scoped_endpoints(self):
        peers = self.assert_equals_dump("six").peers
        endpoints = {peer.endpoint for (device, *_), peer in peers.items() if device == "wg-six"}
        self.assertEqual(endpoints, {"[2001:db8::1]:51820", "[fe80::1:2]:51821", "[::1]:1", None})
        self.assertIn("[fe80::1:2%v0]:51821", self.result.text("six/before"))

    def test_10000_peers(self):
        self.assertEqual(self.assert_equals_dump("ten_thousand").devices["wg-10000", None].peers, 10000)

    def assert_denied(self, message: str):
        self.assertIn("CAP_NET_ADMIN", message)
        self.assertRegex(message, r"setcap|AmbientCapabilities")  # how to grant it
        self.assertNotRegex(message.lower(), r"not found|no wireguard device")

    def test_no_capability(self):
        for name in ("no_capability", "bounded"):
            with self.subTest(name):
                self.assert_denied(self.result.text(f"{name}/stderr"))
                said = oracle.from_lines(self.said(name))
                self.assertEqual(said.peers, {})
                self.assertEqual(oracle.own(self.said(name), "wireguard")["success"], 0)

    def test_execd_without_capability(self):
        self.assertEqual(self.result.text("no_capability_execd.status"), "0\n")
        message = self.result.text("no_capability_execd.err")
        self.assert_denied(message)
        self.assertEqual(len(message.splitlines()), 1, "said more than once")
        gathers = oracle.gathers(self.result.text("no_capability_execd.out"))
        self.assertEqual(len(gathers), 3)

    def test_with_nothing_but_the_capability(self):
        dump = oracle.from_dump(self.result.text("rights_dump"))
        for name in ("ambient", "permitted"):
            with self.subTest(name):
                self.assertEqual(self.result.text(f"{name}/stderr"), "")
                self.assert_same(oracle.from_lines(self.said(name)), dump)

    def test_two_namespaces_with_one_name_and_index(self):
        for netns in ("red", "blue"):
            self.assertEqual(json.loads(self.result.text(f"{netns}.link"))[0]["ifindex"], 777)
        dump = oracle.from_dump(self.result.text("netns/before"))
        self.assertIn(("wg-same", None), dump.devices)
        for netns in ("red", "blue"):
            other = oracle.from_dump(self.result.text(f"{netns}.dump"), netns)
            self.assertIn(("wg-same", netns), other.devices)
            dump.devices.update(other.devices)
            dump.peers.update(other.peers)
        self.assertEqual(self.result.text("netns/stderr"), "")
        self.assert_same(oracle.from_lines(self.said("netns")), dump)
        for line in self.said("netns"):
            if line.name in ("wireguard_host", "conntrack"):  # of the namespaces themselves
                continue
            if line.tags.get("name", line.tags.get("device")) != "wg-same":
                self.assertNotIn("netns", line.tags)


if __name__ == "__main__":
    unittest.main()
