"""A tunnel in the kernel: its sockets, which procfs shows, the link below it, its host; and tunnels in another
namespace. No module is loaded for it."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import guest
import oracle
from configuration import Configuration

PORT = 20001


class Host(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.result = guest.run_for(cls, "host", files={
            **{f"/conf/{name}.conf": Configuration(1 + n, f"ListenPort = {PORT + n}").ordinary(40).text
               for n, name in enumerate(("wg0", "made", "moved"))},
            "/host.toml": '[[inputs.wgvitals]]\ngather_wait = "5s"\nsample_interval = "0s"\nnetns = ["blue"]\n'})

    def only(self, gather: str, name: str) -> oracle.Line:
        """Of our own namespace."""
        [line] = [line for line in oracle.from_influx(self.result.text(gather))
                  if line.name == name and "netns" not in line.tags]
        return line

    def test_the_socket(self):
        rows = [line.split() for name in ("udp", "udp6") for line in self.result.text(name).splitlines()[1:]]
        own = [row for row in rows if row[1].endswith(f":{PORT:04X}")]
        self.assertEqual(len(own), 2, "the kernel shows WireGuard's sockets, of IPv4 and IPv6")
        for gather in ("first", "second"):
            line = self.only(gather, "wireguard_transport")
            self.assertEqual(line.tags, {"device": "wg0"})
            self.assertEqual((line.fields["socket_rx_queue_bytes"], line.fields["socket_drops"]), (0, 0))
            self.assertNotIn("socket_rcvbuf_bytes", line.fields)  # only udp_diag tells it

    def test_the_link_below(self):
        line = self.only("first", "wireguard_underlay")
        self.assertEqual(line.tags, {"device": "wg0", "link": "below"})
        self.assertEqual((line.fields["mtu"], line.fields["tx_dropped"]), (1400, 0))

    def test_the_links_below_tunnels_elsewhere(self):
        """One sends where it was made, though it was moved."""
        for gather in ("first", "second"):
            lines = [line for line in oracle.from_influx(self.result.text(gather))
                     if line.name == "wireguard_underlay" and "netns" in line.tags]
            found = {(line.tags["device"], line.tags["netns"]): (line.tags["link"], line.fields["mtu"])
                     for line in lines}
            self.assertEqual(found, {("made", "blue"): ("under", 1300), ("moved", "blue"): ("below", 1400)})
            self.assertEqual(len(lines), 2)

    def test_the_host(self):
        self.assertNotIn("cpu_busiest", self.only("first", "wireguard_host").fields)
        fields = self.only("second", "wireguard_host").fields
        for name in ("udp_rcvbuf_errors", "icmp6_in_too_big", "softnet_dropped", "rmem_max", "cpu_max_busy_percent",
                     "cpu_max_softirq_percent", "clock_synchronised"):
            self.assertIn(name, fields)
        self.assertEqual(self.result.text("host.err"), "")

    def test_no_module_is_loaded(self):
        self.assertEqual(self.result.text("modules.after"), self.result.text("modules.before"))


if __name__ == "__main__":
    unittest.main()
