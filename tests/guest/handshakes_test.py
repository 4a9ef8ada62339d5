"""Peers with real handshakes, no two values of which are the same: a swap of two peers or of two fields shows."""
import json
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import configuration
import guest
import oracle

COUNT = 24


def files() -> dict[str, str]:
    source = random.Random("handshakes")
    private = [configuration.key(source) for _ in range(COUNT + 1)]
    public = [configuration.public(key) for key in private]

    def interface(n: int, port: int) -> configuration.Configuration:
        return configuration.Configuration(0, f"PrivateKey = {configuration.text(private[n])}", f"ListenPort = {port}",
                                           "FwMark = 0x2a")

    hub, keepalive = interface(0, 51820), interface(0, 51820)  # without and with keepalives, which start handshakes
    made = {}
    for n in range(1, COUNT + 1):
        endpoint = f"Endpoint = 10.0.0.{n}:{40000 + n}"
        prefixes = [f"10.98.{n}.0/30", *(f"fd00:{n:x}:{m:x}::/64" for m in range(n))]
        hub.peer(endpoint, public_key=public[n], prefixes=prefixes)
        keepalive.peer(endpoint, f"PersistentKeepalive = {1000 + n}", public_key=public[n], prefixes=prefixes)
        far = interface(n, 40000 + n)
        far.peer("Endpoint = 10.0.0.254:51820", public_key=public[0], prefixes=[f"10.98.{n}.0/30"])
        made[f"/conf/p{n}.conf"] = far.text
    return {**made, "/conf/hub.conf": hub.text, "/conf/keepalive.conf": keepalive.text}


class Handshakes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.result = guest.run_for(cls, "handshakes", files=files())

    def dump(self, name: str) -> oracle.State:
        dump = oracle.from_dump(self.result.text(f"{name}/before"))
        self.assertEqual(dump, oracle.from_dump(self.result.text(f"{name}/after")), "the peers were not at rest")
        return dump

    def lines(self, name: str) -> list[oracle.Line]:
        self.assertEqual(self.result.text(f"{name}/status"), "0\n", self.result.text(f"{name}/stderr"))
        return {"json": oracle.from_json, "influx": oracle.from_influx}[name](self.result.text(f"{name}/out"))

    def test_all_values_differ(self):
        peers = self.dump("json").peers.values()
        self.assertEqual(len(peers), COUNT)
        numbers = [number for peer in peers for number in (peer.rx_bytes, peer.tx_bytes, peer.handshake_s)]
        self.assertNotIn(None, numbers)
        self.assertEqual(len(set(numbers)), 3 * COUNT)
        for distinct in ("endpoint", "allowed_ips", "prefixes", "keepalive_s"):
            self.assertEqual(len({getattr(peer, distinct) for peer in peers}), COUNT, distinct)

    def test_equal_to_wg(self):
        for name in ("json", "influx"):
            with self.subTest(name):
                dump = self.dump(name)
                said = oracle.from_lines(self.lines(name))
                self.assertEqual(said.devices, dump.devices)
                self.assertEqual(said.peers, dump.peers)

    def test_link_counters(self):
        for name in ("json", "influx"):
            with self.subTest(name):
                [link] = json.loads(self.result.text(f"{name}/link"))
                rx, tx = link["stats64"]["rx"], link["stats64"]["tx"]
                expected = {"mtu": link["mtu"], "link_up": 1, "rx_frame_errors": rx["frame_errors"],
                            "rx_length_errors": rx["length_errors"]}
                for counter in ("bytes", "packets", "errors", "dropped"):
                    expected |= {f"rx_{counter}": rx[counter], f"tx_{counter}": tx[counter]}
                self.assertGreater(tx["errors"], 0)
                device = oracle.merged(self.lines(name), "wireguard_device", "name")["hub",]
                self.assertEqual({field: device.get(field) for field in expected}, expected)


if __name__ == "__main__":
    unittest.main()
