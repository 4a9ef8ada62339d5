"""A newer kernel: the CPU time of a tunnel by the eBPF programs and as wgvitals-execd tells it by both methods, where
workqueues are named otherwise, and connection tracking."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import conntrack_test
import crypto_cpu_test
import methods_test


class Programs(crypto_cpu_test.CryptoCpu):
    kernel = "newer"


class Methods(methods_test.Methods):
    kernel = "newer"
    most_estimated = 1.6


class Conntrack(conntrack_test.Conntrack):
    kernel = "newer"


if __name__ == "__main__":
    unittest.main()
