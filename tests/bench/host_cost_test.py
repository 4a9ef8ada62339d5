"""The guard of what the default set costs from gather to gather, with all that is done in between: its instructions
in the guest, against those of the wireguard collector alone. The limits are a tenth above what was counted when
they were set; host_bench.py tells more."""

import tempfile
import unittest

import host_bench

ROUNDS = 8
LIMITS = {"default": 1.75, "crypto estimated": 2.0}


class HostCost(unittest.TestCase):
    def test_cost(self):
        works = {name: host_bench.IN_KERNEL[name] for name in (*LIMITS, "wireguard alone")}
        with tempfile.TemporaryDirectory(prefix="wgvitals-bench-") as folder:
            result = host_bench.run_guest(works, ROUNDS, folder)
            counts = host_bench.counts_of(result, works)
        # Into some rounds one reading more falls.
        floor = min(counts["wireguard alone"])
        for name, limit in LIMITS.items():
            with self.subTest(name):
                ratio = min(counts[name]) / floor
                print(f"{name}: {ratio:.3f} times wireguard alone, limit {limit}")
                self.assertLess(ratio, limit)
                self.assertGreater(ratio, limit / 2, "lower the limit")


if __name__ == "__main__":
    unittest.main(verbosity=2)
