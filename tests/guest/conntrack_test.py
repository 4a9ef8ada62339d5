"""Connection tracking of a kernel with modules: nothing where it is not loaded, all from files without ctnetlink's
module, which asking does not load, and the same as conntrack(8) with it."""
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import guest
import oracle
from configuration import Configuration

NAMES = {"error": "icmp_error", "chaintoolong": "chain_toolong"}  # conntrack(8)'s, where they are not ours
PRIVATE = "aAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAUE="
DEVICE = Configuration(1, "ListenPort = 20001", f"PrivateKey = {PRIVATE}").text + (
    "[Peer]\nPublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\nAllowedIPs = 10.0.0.0/8\n"
    "Endpoint = 192.0.2.9:4500\n")


class Conntrack(unittest.TestCase):
    kernel = "usual"

    @classmethod
    def setUpClass(cls):
        cls.result = guest.run_for(cls, "conntrack", kernel=cls.kernel, files={
            "/conf/wg0.conf": DEVICE,
            "/conntrack.toml": "[[inputs.wgvitals]]\nconntrack_per_cpu = true\nconntrack_flows = true\n"})

    def told(self, name: str) -> list[oracle.Line]:
        self.assertEqual(self.result.text(f"{name}/status"), "0\n")
        return [line for line in oracle.from_influx(self.result.text(f"{name}/out")) if "conntrack" in line.name]

    def by_cpu(self, name: str) -> dict[str, dict]:
        return {line.tags["cpu"]: line.fields for line in self.told(name) if "cpu" in line.tags}

    def test_not_loaded(self):
        self.assertEqual(self.told("missing"), [])
        self.assertNotIn("conntrack", self.result.text("missing/stderr"))

    def test_no_module_is_wanted(self):
        for name in ("wanted_missing", "wanted"):
            self.assertEqual(self.result.text(name), "", name)

    def test_without_ctnetlink(self):
        """The same from files, but the flows; what is missing for them is said."""
        self.assertEqual(self.by_cpu("files").keys(), self.by_cpu("netlink").keys())
        self.assertEqual([line for line in self.told("files") if line.name == "wireguard_conntrack"], [])
        self.assertIn("modprobe nf_conntrack_netlink", self.result.text("files/stderr"))

    def test_equal_to_conntrack(self):
        before, after = (self.result.text(f"{name}.S") for name in ("before", "after"))
        self.assertEqual(before, after)
        cpus = self.by_cpu("netlink")
        for line in before.splitlines():
            theirs = {NAMES.get(name, name): int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
            ours = cpus[f"cpu{theirs.pop('cpu')}"]
            self.assertEqual({name: ours[name] for name in theirs}, theirs)
        (table,) = (line.fields for line in self.told("netlink") if line.name == "conntrack" and not line.tags)
        self.assertEqual({int(self.result.text(f"{name}.C")) for name in ("before", "after")},
                         {table["ip_conntrack_count"]})
        self.assertGreater(table["ip_conntrack_count"], 3)
        self.assertEqual(cpus["all"]["insert"], 3)

    def test_the_flow_of_a_handshake(self):
        (line,) = (line for line in self.told("netlink") if line.name == "wireguard_conntrack")
        self.assertRegex(self.result.text("flows"), r"udp +17 .*sport=20001 dport=4500 \[UNREPLIED\]")
        self.assertEqual({name: line.fields[name] for name in ("flows", "unreplied", "assured")},
                         {"flows": 1, "unreplied": 1, "assured": 0})
        self.assertIn(line.fields["min_timeout_s"], range(1, 31))  # nf_conntrack_udp_timeout is 30


if __name__ == "__main__":
    unittest.main()
