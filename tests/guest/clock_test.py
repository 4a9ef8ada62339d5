"""The clock is stepped by an hour, forth and back: no false handshake or event, no negative age, no gather at the
wrong time."""
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import configuration
import guest
import oracle

HOUR = 3600
SAID = ("before", "forth", "forth.shaken", "back", "back.shaken", "right")


def files() -> dict[str, str]:
    source = random.Random("clock")
    hub, spoke, other = (configuration.key(source) for _ in range(3))
    there = "\n".join(["[Peer]", f"PublicKey = {configuration.public(hub)}", "Endpoint = 10.0.0.1:51820",
                       "AllowedIPs = 10.98.0.1/32", ""])
    ours = configuration.Configuration(0, f"PrivateKey = {configuration.text(hub)}", "ListenPort = 51820")
    ours.peer("Endpoint = 10.0.0.2:40000", public_key=configuration.public(spoke), prefixes=["10.98.0.2/32"])
    config = '[[inputs.wgvitals]]\ngather_wait = "5s"\nsample_interval = "1s"\n'
    return {"/conf/hub.conf": ours.text, "/conf/hub.key": configuration.text(hub) + "\n",
            "/conf/other.key": configuration.text(other) + "\n", "/conf/hub.public": configuration.public(hub) + "\n",
            "/conf/peer.conf": there,
            "/conf/spoke.conf": f"[Interface]\nPrivateKey = {configuration.text(spoke)}\nListenPort = 40000\n{there}",
            "/clock.toml": config}


class Clock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # What else the host has to do holds no gather up then.
        cls.result = guest.run_for(cls, "clock", files=files(), processors=guest.COUNTED)

    def gather(self, name: str) -> list[oracle.Line]:
        return oracle.from_influx(self.result.text(name))

    def peer(self, name: str) -> dict:
        [peer] = oracle.merged(self.gather(name), "wireguard_peer", "public_key").values()
        return peer

    def number(self, name: str) -> float:
        return float(self.result.text(name))

    def test_times_are_as_the_kernel_tells_them(self):
        for name in SAID:
            with self.subTest(name):
                handshake = self.number(f"{name}.handshake")
                self.assertEqual(self.peer(name)["last_handshake_time_ns"] // 10**9, handshake)
                self.assertAlmostEqual(self.gather(name)[0].timestamp / 1e9, self.number(f"{name}.now"), delta=5)

    def test_ages(self):
        """Of a handshake that seems to be to come there is no age."""
        expected = {"before": 0, "forth": HOUR, "forth.shaken": 0, "back": None, "back.shaken": 0, "right": HOUR}
        ages = {name: self.peer(name).get("handshake_age_s") for name in SAID}
        for name in SAID:
            with self.subTest(name):
                if expected[name] is None:
                    self.assertIsNone(ages[name])
                else:
                    self.assertGreaterEqual(ages[name], max(0, expected[name] - 2))  # a step is in full seconds
                    self.assertLess(ages[name], expected[name] + 60)
        once = oracle.from_json(self.result.text("back_once/out"))
        [peer] = oracle.merged(once, "wireguard_peer", "public_key").values()
        self.assertNotIn("handshake_age_s", peer)

    def test_only_real_handshakes_count(self):
        counts = [self.peer(name)["handshakes"] for name in SAID]
        self.assertEqual(counts, [0, 0, 1, 1, 2, 2])

    def test_nothing_else_happens(self):
        for name in SAID:
            with self.subTest(name):
                self.assertNotIn("wireguard_event", [line.name for line in self.gather(name)])
                peer = self.peer(name)
                self.assertEqual((peer["counter_resets"], peer["endpoint_changes"]), (0, 0))
                self.assertEqual(oracle.own(self.gather(name), "engine")["late"], 0)
                self.assertIn(oracle.own(self.gather(name), "wireguard")["duration_ns"], range(1, 5 * 10**9))
        for name in ("clock.err", "tick.err", "back_once/stderr"):
            self.assertEqual(self.result.text(name), "")

    def test_the_ticker_goes_on(self):
        passed = self.number("end") - self.number("begin")
        times = [gather[0].timestamp / 1e9 for gather in oracle.gathers(self.result.text("tick.out"))]
        self.assertGreater(len(times), passed / 0.2 * 0.6)
        self.assertLess(len(times), passed / 0.2 + 20)
        steps = [round((after - before) / HOUR) for before, after in zip(times, times[1:])]
        self.assertEqual([step for step in steps if step], [1, -2, 1])


if __name__ == "__main__":
    unittest.main()
