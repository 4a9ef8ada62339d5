"""The CPU time of a tunnel by both methods at once, as wgvitals-execd tells it: eBPF's is that of the kernel's own
trace and of samples of the CPU, the estimate by the workers' names is near it, and an idle tunnel takes nothing."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import crypto_cpu_test
import guest
import oracle
import stream

OPTIONS = 'gather_wait = "10s"\nsample_interval = "0s"\nnetns = ["far"]\n'


class Methods(unittest.TestCase):
    kernel = "usual"
    # Above works without the softirqs on top; since Linux 6.4 many more run on top of workers.
    most_estimated = 1.3

    @classmethod
    def setUpClass(cls):
        script = guest.HERE / "stream.py"
        interpreter, programs = guest.python(script, "encodings.idna")
        files = {f"/{method}.toml": f"[[inputs.wgvitals]]\n{OPTIONS}crypto_ebpf = {ebpf}\n"
                 for method, ebpf in (("ebpf", "true"), ("kworker", "false"))}
        files["/python"] = f"{interpreter} {script}\n"
        programs["/bin/work_sampler"] = str(crypto_cpu_test.BUILT / "tests/work_sampler")
        # Counted: of a machine that others use, too, softirqs take another share of the workers' time.
        cls.result = crypto_cpu_test.run_for(cls, "methods", files, programs, kernel=cls.kernel,
                                             processors=guest.COUNTED)

    def fields(self, method: str, when: str) -> dict[str, dict]:
        """By device. Both ends are here, and their works take turns on the same workers: the estimate of their sum is
        what is to be right. It says nothing of a device whose work it has not yet come upon."""
        lines = [line for line in oracle.from_influx(self.result.text(f"{method}.{when}"))
                 if line.name == "wireguard_crypto"]
        self.assertEqual({(line.tags["method"], line.tags["cpu"]) for line in lines}, {(method, "all")})
        found = {line.tags["device"]: line.fields for line in lines}
        if method == "ebpf" or not when.startswith("idle"):
            self.assertEqual(found.keys(), {"near", "far"})
        return found

    def took(self, method: str, begin: str, end: str, field: str = "total_ns") -> int:
        begun, ended = (sum(fields[field] for fields in self.fields(method, when).values()) for when in (begin, end))
        return ended - begun

    def test_they_say_nothing_else(self):
        for method in ("ebpf", "kworker"):
            self.assertEqual(self.result.text(f"{method}.err"), "")

    def test_an_idle_tunnel_takes_nothing(self):
        for method in ("ebpf", "kworker"):
            self.assertLess(self.took(method, "idle.begin", "idle.end"), 5 * 10**6, f"{method}: 1 ms a second at most")

    def test_the_estimate_is_near(self):
        for took_file, begin, end in (("took", "idle.end", "loaded"), ("took.slow", "loaded", "slow")):
            took = [int(us) for us in self.result.text(took_file).split()]
            speed = 8 * stream.SIZE * len(took) / sum(took)  # Mbit/s
            exact, estimate = (self.took(method, begin, end) for method in ("ebpf", "kworker"))
            print(f"{speed:.1f} Mbit/s: ebpf {exact / 1e6:.0f} ms, kworker {estimate / 1e6:.0f} ms", file=sys.stderr)
            with self.subTest(end):
                self.assertGreater(speed, 9.5)
                self.assertGreater(estimate, 0.65 * exact)
                self.assertLess(estimate, self.most_estimated * exact)

    def test_they_are_as_samples_of_the_cpu(self):
        """Which know nothing of the kernel's tracepoints, nor of threads' accounts: these have softirqs on top, too."""
        begin, end = (map(int, line.split()) for line in self.result.text("sampled").splitlines()[1:])
        works, with_softirqs, lost = (after - before for before, after in zip(begin, end))
        told, estimate = (self.took(method, "sampled.begin", "sampled.end") for method in ("ebpf", "kworker"))
        print(f"ebpf / samples {told / works:.3f}, of {works / 1e6:.0f} ms; "
              f"kworker / samples with softirqs {estimate / with_softirqs:.3f}", file=sys.stderr)
        self.assertEqual(lost, 0)
        self.assertGreater(works, 5 * 10**8)  # 2,000 samples
        self.assertAlmostEqual(told / works, 1, delta=0.1)
        self.assertGreater(estimate, 0.65 * with_softirqs)
        self.assertLess(estimate, 1.3 * with_softirqs)

    def test_ebpf_is_as_the_trace(self):
        for line in self.result.text("trace.stats").splitlines():
            if line.startswith(("overrun", "dropped events", "commit overrun")):
                self.assertEqual(line.split(": ")[1], "0", line)
        trace = crypto_cpu_test.Traced(self.result.text("trace"))
        for work in ("encrypt", "decrypt", "transmit"):
            with self.subTest(work=work):
                told = self.took("ebpf", "traced.begin", "traced.end", f"{work}_ns")
                self.assertAlmostEqual(told / trace.ns[work], 1, delta=0.2)
        told = self.took("ebpf", "traced.begin", "traced.end")
        print(f"ebpf / trace {told / sum(trace.ns.values()):.3f}", file=sys.stderr)
        self.assertAlmostEqual(told / sum(trace.ns.values()), 1, delta=0.1)

    def test_each_device_has_its_own(self):
        for device, fields in self.fields("ebpf", "loaded").items():
            with self.subTest(device=device):
                works = {name: ns for name, ns in fields.items() if name.endswith("_ns")}
                self.assertEqual(works.pop("total_ns"), sum(works.values()))
                self.assertLessEqual({"encrypt_ns", "decrypt_ns", "transmit_ns", "handshake_ns"}, works.keys())
                self.assertGreater(fields["busy_percent"], 0)


if __name__ == "__main__":
    unittest.main()
