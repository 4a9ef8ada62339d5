"""What a peer costs in our own code, in instructions counted by valgrind: they do not depend on what else
the machine does. The guard against a slow creep; what a whole gather costs beside the kernel is measured in
the guest.
"""

import os
import pathlib
import re
import subprocess
import unittest

REPLAY = str(pathlib.Path(os.environ["WGVITALS_BIN"], "tests", "bench", "bench_replay"))
PEERS = 1000
# For reading, pairing and both lines of line protocol. A tenth above what was counted when it was set: an
# update of the compiler or of libc moves the count, one more copy or escape of a key moves it further.
LIMIT = 5200


def valgrind(*options: str, gathers: int) -> str:
    command = ["valgrind", *options, REPLAY, "--gathers", str(gathers), str(PEERS)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stderr


def instructions(gathers: int) -> int:
    said = valgrind("--tool=callgrind", "--callgrind-out-file=/dev/null", gathers=gathers)
    return int(re.search(r"Collected : (\d+)", said)[1])


class Replay(unittest.TestCase):
    def test_a_peer_costs_no_more_instructions(self):
        # The difference is free of the start and of the first gather, which allocates.
        peer = (instructions(12) - instructions(2)) / 10 / PEERS
        print(f"{peer:.0f} instructions a peer, at most {LIMIT}")
        self.assertLess(peer, LIMIT)
        self.assertGreater(peer, LIMIT / 2, "lower the limit")

    def test_no_byte_is_lost_or_read_unset(self):
        said = valgrind("--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all", gathers=3)
        self.assertIn("ERROR SUMMARY: 0 errors", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
