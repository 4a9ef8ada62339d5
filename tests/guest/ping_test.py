"""Pings of peers through the kernel's WireGuard: what it refuses to send is no loss; what it counts for a probe."""
import json
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import configuration
import guest
import oracle

LIVE, HOMELESS, DEAD, NOBODYS = (f"10.99.0.{n}" for n in (2, 3, 4, 9))
COUNT = 10  # probes of a burst
PROBE = 32 + 96  # bytes: a data message around 20 + 8 + 56, padded to 16
INITIATION = 148


def config(*options: str, hosts: str = "") -> str:
    return "\n".join(["[[inputs.wgvitals]]", 'gather_wait = "5s"', 'netns = ["blue"]', "ping_peers = true",
                      'ping_peer_interval = "30ms"', *options, hosts])


def files(homeless: str) -> dict[str, str]:
    source = random.Random("ping")
    here, far, blue = (configuration.key(source) for _ in range(3))

    def interface(seed: int, private: bytes, port: int) -> configuration.Configuration:
        return configuration.Configuration(seed, f"PrivateKey = {configuration.text(private)}", f"ListenPort = {port}")

    def to_far(device: configuration.Configuration) -> configuration.Configuration:
        return device.peer("Endpoint = 10.0.0.2:40000", public_key=configuration.public(far), prefixes=[f"{LIVE}/32"])

    ours = to_far(interface(1, here, 51820))
    ours.peer(public_key=homeless, prefixes=[f"{HOMELESS}/32"])
    ours.peer("Endpoint = 10.0.0.99:40000", prefixes=[f"{DEAD}/32"])
    theirs = interface(2, far, 40000)
    theirs.peer(public_key=configuration.public(here), prefixes=["10.99.0.1/32"])
    theirs.peer(public_key=configuration.public(blue), prefixes=["10.99.0.5/32"])
    count = f"ping_peer_count = {COUNT}"
    host = f'[[inputs.wgvitals.ping]]\nhosts = ["{NOBODYS}"]\ndevice = "wg0"\ninterval = "30ms"\n'
    return {"/conf/wg0.conf": ours.text, "/conf/far.conf": theirs.text,
            "/conf/blue.conf": to_far(interface(3, blue, 51821)).text,
            "/conf/far.key": configuration.public(far) + "\n",
            "/steady.toml": config(hosts=host),
            "/burst.toml": config(count, hosts=f"{host}count = {COUNT}\n"),
            "/sometimes.toml": config(count, f'[inputs.wgvitals.expect]\n"{homeless}" = "sometimes"\n')}


class Ping(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        homeless = configuration.text(random.Random("homeless").randbytes(32))
        cls.result = guest.run_for(cls, "ping", files=files(homeless))

    def pings(self, name: str) -> dict[tuple, dict]:
        """By address, device and namespace."""
        return oracle.merged(oracle.from_influx(self.result.text(name)), "ping", "url", "device", "netns")

    def sent(self, name: str) -> list[int]:
        """Bytes to each peer here, in order, and to that in blue."""
        return [int(line.split("\t")[2]) for file in ("here", "blue")
                for line in self.result.text(f"{name}/{file}").splitlines()]

    def refused(self, name: str) -> int:
        [link] = json.loads(self.result.text(f"{name}/link"))
        return link["stats64"]["tx"]["errors"]

    def assert_all(self, pings: dict[tuple, dict]):
        self.assertEqual(set(pings), {(LIVE, "wg0", None), (LIVE, "wg0", "blue"), (HOMELESS, "wg0", None),
                                      (DEAD, "wg0", None), (NOBODYS, None, None)})
        self.assert_alive(pings)
        for where in ((HOMELESS, "wg0", None), (NOBODYS, None, None)):  # EDESTADDRREQ, ENOKEY
            line = pings[where]
            self.assertEqual((line["result_code"], line["packets_transmitted"]), (2, 0), line)
            self.assertGreater(line["packets_unsent"], 0)
            self.assertNotIn("percent_packet_loss", line)
        line = pings[DEAD, "wg0", None]
        self.assertEqual((line["result_code"], line["percent_packet_loss"], line["packets_unsent"]), (1, 100, 0), line)
        self.assertGreater(line["packets_transmitted"], 0)

    def assert_alive(self, pings: dict[tuple, dict]):
        for netns in (None, "blue"):
            line = pings[LIVE, "wg0", netns]
            told = line["result_code"], line["percent_packet_loss"], line["packets_unsent"]
            self.assertEqual(told, (0, 0, 0), line)
            self.assertGreater(line["packets_transmitted"], 0)
            self.assertGreater(line["minimum_response_ms"], 0)

    def test_each_tells_of_itself(self):
        for name in ("steady.1", "steady.2", "steady.3", "burst.1", "burst.2"):
            with self.subTest(name):
                self.assert_all(self.pings(name))
        for name in ("steady", "burst"):
            self.assertEqual((self.result.text(f"{name}.status"), self.result.text(f"{name}.err")), ("0\n", ""))

    def test_what_the_kernel_counts(self):
        """Two bursts were told of, a third followed."""
        for name in ("burst.1", "burst.2"):
            self.assert_alive(self.pings(name))
            for where, line in self.pings(name).items():
                if where[0] != DEAD:
                    self.assertEqual(line["packets_transmitted"] + line["packets_unsent"], COUNT, (name, where))
        for name, after, bursts in (("before", "between", 2), ("between", "after", 1)):
            with self.subTest(after):
                grown = [now - then for then, now in zip(self.sent(name), self.sent(after), strict=True)]
                here, homeless, dead, blue = grown
                self.assertEqual((here, homeless, blue), (bursts * COUNT * PROBE, 0, bursts * COUNT * PROBE))
                self.assertEqual(dead % INITIATION, 0)
                # Behind others of one call, what cannot be sent is tried once more, to learn why.
                refused = self.refused(after) - self.refused(name)
                self.assertTrue(2 * bursts * COUNT <= refused <= 4 * bursts * COUNT, refused)

    def test_one_that_sleeps_is_left_alone(self):
        pings = self.pings("sometimes/out")
        self.assertEqual(set(pings), {(LIVE, "wg0", None), (LIVE, "wg0", "blue"), (DEAD, "wg0", None)})
        self.assert_alive(pings)
        self.assertEqual(self.refused("after"), self.refused("asleep"))


if __name__ == "__main__":
    unittest.main()
