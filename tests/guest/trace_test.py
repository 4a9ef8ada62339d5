"""Handshakes of the kernel's WireGuard on the wire: their time under netem, and a flood that Linux counts nowhere."""
import pathlib
import random
import statistics
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import configuration
import guest
import oracle

COUNT, FLOOD = 9, 3000
INITIATION = bytes([1, 0, 0, 0])


def files() -> dict[str, str | bytes]:
    source = random.Random("trace")
    here, far = configuration.key(source), configuration.key(source)

    def interface(private: bytes, port: int) -> configuration.Configuration:
        return configuration.Configuration(0, f"PrivateKey = {configuration.text(private)}", f"ListenPort = {port}")

    theirs = interface(far, 40000).peer(public_key=configuration.public(here), prefixes=["10.99.0.1/32"])
    made: dict[str, str | bytes] = {
        "/conf/wg0.conf": interface(here, 51820).text, "/conf/far.conf": theirs.text,
        "/conf/far.key": configuration.public(far) + "\n",
        "/conf/flood": b"".join(INITIATION + source.randbytes(144) for _ in range(FLOOD)),
        "/trace.toml": '[[inputs.wgvitals]]\ngather_wait = "5s"\nsample_interval = "0s"\ntrace = true\n'
                       "trace_sources = true\n"}
    for family, address in (("v4", "10.0.0.2"), ("v6", "[fd00::2]")):
        peer = configuration.Configuration(0).peer(f"Endpoint = {address}:40000", "PersistentKeepalive = 25",
                                                   public_key=configuration.public(far), prefixes=["10.99.0.2/32"])
        made[f"/conf/peer.{family}.conf"] = peer.text
    return made


class Trace(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        programs = guest.library("libsodium.so.23") | guest.library("libcrypto.so.3")
        # What else the host has to do is no part of a delay then.
        cls.result = guest.run_for(cls, "trace", files=files(), programs=programs, processors=guest.COUNTED)

    def lines(self, name: str, **tags: str) -> list[oracle.Line]:
        return [line for line in oracle.from_influx(self.result.text(name))
                if line.name == "wireguard_trace" and tags.items() <= line.tags.items()]

    def test_follows_the_delay(self):
        for family in ("v4", "v6"):
            times = {}
            for delay in (0, 10, 50):
                found = []
                for n in range(1, COUNT + 1):
                    [line] = [one for one in self.lines(f"time.{family}.{delay}.{n}", device="wg0")
                              if "public_key" in one.tags]
                    found.append(line.fields["handshake_rtt_ms"])
                times[delay] = found
            base = statistics.median(times[0])
            for delay in (10, 50):
                with self.subTest(family=family, delay=delay):
                    self.assertAlmostEqual(statistics.median(times[delay]) - base, delay, delta=2, msg=times)

    def test_a_flood_is_counted(self):
        def of(name: str) -> tuple[dict, dict]:
            [device] = [line for line in self.lines(name, device="wg0") if len(line.tags) == 1]
            [tap] = [line for line in self.lines(name) if not line.tags]
            return device.fields, tap.fields

        device, tap = of("flood.before")
        self.assertEqual((device["invalid_mac"], tap["tap_dropped"]), (0, 0))
        device, tap = of("flood.after")
        self.assertEqual(device["invalid_mac"] + tap["tap_dropped"], FLOOD)
        self.assertGreater(device["invalid_mac"], 0)
        [source] = self.lines("flood.after", source="10.0.0.2")
        self.assertEqual(source.fields["refused_initiations"], device["invalid_mac"])
        links = [next(line.fields for line in oracle.from_influx(self.result.text(f"flood.{when}"))
                      if line.name == "wireguard_device" and "rx_errors" in line.fields)
                 for when in ("before", "after")]
        counters = [{name: value for name, value in link.items() if name.startswith("rx_")} for link in links]
        self.assertEqual(counters[0], counters[1])  # shows nothing

    def test_nothing_goes_wrong(self):
        self.assertEqual((self.result.text("trace.status"), self.result.text("trace.err")), ("0\n", ""))


if __name__ == "__main__":
    unittest.main()
