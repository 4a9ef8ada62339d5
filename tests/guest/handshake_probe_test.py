"""Handshakes with the kernel's WireGuard: what a probe says in each condition (tests/live/PROBES.md)."""
import json
import os
import pathlib
import sys
import unittest

LIVE = pathlib.Path(__file__).resolve().parents[1] / "live"
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(LIVE)]
import guest
import probes_table

SCRIPT = LIVE / "probe_conditions.py"


class HandshakeProbe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        interpreter, programs = guest.python(SCRIPT, "concurrent.futures.thread", "encodings.idna")
        programs |= guest.library("libsodium.so.23") | guest.library("libcrypto.so.3")
        folder = os.environ.get("WGVITALS_BIN", str(guest.BUILD / "release"))
        programs["/bin/tests/flood"] = f"{folder}/tests/flood"
        result = guest.run_for(cls, "handshake_probe", files={"/command": f"{interpreter} -SB {SCRIPT}"},
                               programs=programs, timeout=600)
        cls.found = json.loads(result.text("found.json"))

    def test_each_condition_is_told(self):
        probes_table.judge(self, "kernel", self.found["conditions"])

    def test_the_server_sees_a_session(self):
        for session in self.found["sessions"]:
            with self.subTest(session["answer"]):
                probes_table.judge_session(self, session)


if __name__ == "__main__":
    unittest.main()
