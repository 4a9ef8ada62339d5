"""Data packets that the kernel's WireGuard refuses and counts nowhere: forged and replayed ones and those of no
session, each counted once by the eBPF program, and nothing else that it frees."""
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import configuration
import guest
import oracle


def files(interpreter: str, script: pathlib.Path) -> dict[str, str | bytes]:
    source = random.Random("refused_packets")
    private = [configuration.key(source) for _ in range(2)]
    made: dict[str, str | bytes] = {
        "/tunnel.sh": (guest.HERE / "scenarios/crypto_cpu_tunnel.sh").read_text(),
        "/python": f"{interpreter} {script}\n"}
    for n, name in enumerate(("near", "far")):
        end = configuration.Configuration(0, f"PrivateKey = {configuration.text(private[n])}", "ListenPort = 51820")
        end.peer(f"Endpoint = 10.0.0.{2 - n}:51820", public_key=configuration.public(private[1 - n]),
                 prefixes=["10.97.0.0/24"])
        made[f"/conf/{name}.conf"] = end.text
    options = ('[[inputs.wgvitals]]\ngather_wait = "5s"\nsample_interval = "0s"\ntrace = true\n'
               "trace_refused_data = true\n")
    made |= {"/refused.toml": options, "/without.toml": options, "/moved.toml": options + 'netns = ["third"]\n'}
    return made


class RefusedPackets(unittest.TestCase):
    kernel = "usual"

    @classmethod
    def setUpClass(cls):
        script = guest.HERE / "data_packets.py"
        interpreter, programs = guest.python(script)
        for name in ("libbpf.so.1", "libsodium.so.23", "libcrypto.so.3"):
            programs |= guest.library(name)
        cls.result = guest.run_for(cls, "refused_packets", files=files(interpreter, script), programs=programs,
                                   timeout=400, kernel=cls.kernel)

    def fields(self, name: str) -> dict:
        """Of the device."""
        lines = oracle.from_influx(self.result.text(name))
        return oracle.merged([line for line in lines if len(line.tags) == 1], "wireguard_trace", "device")[("near",)]

    def counts(self, name: str) -> tuple[int, int, int]:
        fields = self.fields(name)
        return fields["auth_failures"], fields["replays"], fields["unknown_index"]

    def test_what_is_accepted_is_no_refusal(self):
        self.assertEqual(self.counts("attached"), (0, 0, 0))
        self.assertRegex(self.result.text("ping"), "500 packets transmitted, 500 received")
        self.assertEqual(self.result.text("keepalives"), f"{5 * 32}\n")
        self.assertEqual(self.counts("honest"), (0, 0, 0))
        errors = [next(line.fields["rx_frame_errors"] for line in oracle.from_influx(self.result.text(name))
                       if line.name == "wireguard_device" and "rx_frame_errors" in line.fields)
                  for name in ("attached", "honest")]
        self.assertEqual(errors[1] - errors[0], 7)  # from an inner address that is not the peer's

    def test_each_forged_and_each_replayed_packet_is_counted(self):
        self.assertEqual(self.counts("forged"), (300, 0, 0))
        self.assertEqual(self.counts("replayed"), (325, 200, 0))

    def test_each_packet_of_no_session_is_counted(self):
        self.assertEqual(self.counts("foreign"), (325, 200, 60 + 20))

    def test_others_are_not_the_devices(self):
        """Those of another device with the same port in another namespace, and what is too short."""
        self.assertEqual(self.counts("others"), (325, 200, 60 + 20))

    def test_a_device_that_was_moved_has_its_own(self):
        """The socket stays where it was made. Its session is gone: what the far end still sends of it counts, too."""
        first, said = (
            oracle.merged([line for line in oracle.from_influx(self.result.text(name)) if len(line.tags) == 2],
                          "wireguard_trace", "device", "netns")["near", "third"]["unknown_index"]
            for name in ("moved.first", "moved.said"))
        self.assertIn(said - first, (15, 16, 17))

    def test_without_the_rights_the_rest_is_told(self):
        fields = self.fields("without.said")
        self.assertIn("cookies_sent", fields)
        self.assertNotIn("auth_failures", fields)
        [line] = [line for line in self.result.text("without.err").splitlines() if "trace: " in line]
        self.assertIn("CAP_BPF and CAP_PERFMON", line)

    def test_nothing_goes_wrong(self):
        for name in ("refused", "moved"):
            self.assertEqual((self.result.text(f"{name}.status"), self.result.text(f"{name}.err")), ("0\n", ""))


class NewerKernel(RefusedPackets):
    kernel = "newer"


if __name__ == "__main__":
    unittest.main()
