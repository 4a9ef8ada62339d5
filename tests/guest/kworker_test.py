"""The CPU time of a tunnel in the kernel by the names of the kernel's workers: nothing while it is idle, all that the
workers took while they had nothing else to do, and the same device after it was renamed."""
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import configuration
import guest
import oracle

OPTIONS = 'gather_wait = "10s"\nsample_interval = "0s"\ncrypto_ebpf = false\nnetns = ["far"]\n'


def files() -> dict[str, str]:
    source = random.Random("kworker")
    private = [configuration.key(source) for _ in range(2)]
    made = {"/kworker.toml": f"[[inputs.wgvitals]]\n{OPTIONS}crypto_per_cpu = true\n",
            "/renamed.toml": f"[[inputs.wgvitals]]\n{OPTIONS}",
            **{f"/{name}.toml": '[[inputs.wgvitals]]\ngather_wait = "10s"\nsample_interval = "0s"\n'
               for name in ("denied", "untyped")}}
    for n, name in enumerate(("near", "far")):
        end = configuration.Configuration(0, f"PrivateKey = {configuration.text(private[n])}", "ListenPort = 51820")
        end.peer(f"Endpoint = 10.0.0.{2 - n}:51820", public_key=configuration.public(private[1 - n]),
                 prefixes=["10.97.0.0/24"])
        made[f"/conf/{name}.conf"] = end.text
    return made


class Kworker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.result = guest.run_for(cls, "kworker", files=files())

    def lines(self, gather: str) -> dict[str, list[oracle.Line]]:
        """By device."""
        found = {}
        for line in oracle.from_influx(self.result.text(gather)):
            if line.name == "wireguard_crypto":
                self.assertEqual(line.tags["method"], "kworker")
                if "method_reason" in line.fields:
                    continue
                found.setdefault(line.tags["device"], []).append(line)
        return found

    def all(self, gather: str, device: str) -> dict:
        [line] = [line for line in self.lines(gather)[device] if line.tags["cpu"] == "all"]
        return line.fields

    def total(self, gather: str) -> int:
        return sum(self.all(gather, device)["total_ns"] for device in ("wg0", "wgfar"))

    def test_says_nothing(self):
        for name in ("kworker", "renamed"):
            self.assertEqual(self.result.text(f"{name}.err"), "")

    def test_an_idle_tunnel_takes_nothing(self):
        for phase in ("idle", "rest"):
            took = self.total(f"{phase}.end") - self.total(f"{phase}.begin")
            self.assertLess(took, 5 * 10**6, f"{phase}: 1 ms a second at most")

    def test_under_load(self):
        """The workers do little else, so that both devices' work is nearly all that they took."""
        spent = []
        for when in ("before", "after"):
            rows = [line.split(maxsplit=2) for line in self.result.text(f"workers.{when}").splitlines()]
            spent.append({row[0]: int(row[1]) for row in rows})
        gained = sum(time - spent[0].get(worker, 0) for worker, time in spent[1].items())
        told = self.total("loaded") - self.total("idle.end")
        self.assertGreater(gained, 10**8)
        self.assertGreater(told, 0.65 * gained)
        self.assertLess(told, 1.02 * gained)
        for device in ("wg0", "wgfar"):
            fields = self.all("loaded", device)
            self.assertGreater(fields["busy_percent"], 0)
            self.assertGreater(fields["total_ns"], 0)
            self.assertLess(fields["handshake_ns"], fields["total_ns"])

    def test_the_cpus(self):
        lines = self.lines("loaded")["wg0"]
        cpus = {line.tags["cpu"]: line.fields for line in lines}
        self.assertLessEqual(set(cpus), {"all", "cpu0", "cpu1"})
        told = cpus.pop("all")
        self.assertEqual(sum(fields["total_ns"] for fields in cpus.values()), told["total_ns"])

    def test_a_device_that_is_renamed(self):
        self.assertGreaterEqual(self.all("renamed", "home")["total_ns"], self.all("rest.end", "wg0")["total_ns"])
        # To who has never seen the first name it is told by the packets that passed.
        self.assertNotIn("home", self.lines("anew.idle"))
        self.assertGreater(self.all("anew.loaded", "home")["total_ns"], 0)

    def test_without_the_rights_for_ebpf(self):
        """How to mend it without losing what is there."""
        self.estimates("denied", "ebpf: ", "needs CAP_BPF and CAP_PERFMON",
                       "setcap cap_net_admin,cap_net_raw,cap_perfmon,cap_bpf=p")

    def test_without_the_types_for_ebpf(self):
        self.estimates("untyped", "ebpf: ", "CONFIG_DEBUG_INFO_BTF")

    def test_check_names_what_is_missing_in_a_line_each(self):
        _, _, told = self.result.text("check").partition("\nThis host shows:\n")
        lines = told.splitlines()
        missing = {"exact CPU times": "CONFIG_DEBUG_INFO_BTF", "conntrack": "nf_conntrack",
                   "heat": "core_throttle_count", "socket buffers": "modprobe udp_diag"}
        for row, (what, without) in enumerate(missing.items()):
            self.assertRegex(lines[2 * row], f"^  {what} .* not there$")
            self.assertRegex(lines[2 * row + 1], f"^    without: .*{without}")
        self.assertEqual(len(lines), 8)

    def estimates(self, name: str, *reasons: str) -> None:
        """Says why, once in the log, and delivers all else."""
        self.assertGreater(self.all(name, "wg0")["total_ns"], 0)
        lines = oracle.from_influx(self.result.text(name))
        [why] = [line.fields["method_reason"] for line in lines if "method_reason" in line.fields]
        for reason in reasons:
            self.assertIn(reason, why)
        [said] = self.result.text(f"{name}.err").splitlines()
        self.assertIn(why, said)
        for name in ("wireguard_peer", "wireguard_underlay", "wireguard_transport", "wireguard_host"):
            self.assertIn(name, {line.name for line in lines})
        self.assertEqual({line.fields["success"] for line in lines if "success" in line.fields}, {1})

    def test_no_threaded_napi(self):
        fields = oracle.merged(oracle.from_influx(self.result.text("loaded")), "wireguard_device", "name")["wg0",]
        self.assertEqual(fields["threaded"], 0)
        self.assertNotIn("receive_ns", self.all("loaded", "wg0"))


if __name__ == "__main__":
    unittest.main()
