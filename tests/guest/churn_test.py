"""Gathers while peers and devices come and go: each is complete, or says that it is not."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import guest
import oracle
from configuration import Configuration

CONFIG = '[[inputs.wgvitals]]\ngather_wait = "5s"\n'  # no gather is late, however slow the emulator is


class Churn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests = Configuration(2)
        for _ in range(5):
            guests.peer("Endpoint = 192.0.2.1:1")
        cls.guests = set(guests.keys)
        cls.stable = {"wg0": Configuration(1).ordinary(1500), "wide": Configuration(3).ordinary(8000)}
        cls.result = guest.run_for(cls, "churn", files={
            **{f"/conf/{name}.conf": made.text for name, made in cls.stable.items()},
            "/conf/guests.conf": guests.text,
            "/conf/leave": "\n".join(f"peer\n{key}\nremove" for key in guests.keys),
            "/vanish.toml": CONFIG,
            "/torn.toml": CONFIG,
            "/wide.toml": CONFIG + 'interface_include = ["wide"]\n'})
        cls.rest = oracle.from_dump(cls.result.text("rest"))

    def gathers(self, name: str) -> list[list[oracle.Line]]:
        self.assertEqual(self.result.text(f"{name}.status"), "0\n")
        self.assertGreater(int(self.result.text(f"{name}.cycles")), 10, "the bed did not do its part")
        return oracle.gathers(self.result.text(f"{name}.out"))

    def judge(self, name: str, device: str) -> tuple[list[bool], dict]:
        """For each gather, whether it was complete, and the self metrics of the last one."""
        stable = set(self.stable[device].keys)
        complete, errors, own = [], 0, {}
        for gather in self.gathers(name):
            own = oracle.own(gather, "wireguard")
            reported = own["success"] == 0 and own["errors"] > errors
            errors = own["errors"]
            state = oracle.from_lines(gather)
            keys = {key for (where, _, key) in state.peers if where == device}
            self.assertLessEqual(keys, stable | self.guests)
            complete.append(stable <= keys)
            if complete[-1]:
                self.assertEqual(state.devices[device, None].peers, len(keys))
            else:
                self.assertTrue(reported, f"{len(keys)} peers only, and nothing said: {own}")
            for where, peer in self.rest.peers.items():  # what is said is right, also where it is not all
                self.assertEqual(state.peers.get(where, peer), peer)
        return complete, own

    def test_a_torn_dump_is_repeated(self):
        complete, own = self.judge("torn", "wg0")
        self.assertGreaterEqual(len(complete), 8)
        self.assertGreater(own["retries"], 0, "no dump was torn")
        self.assertTrue(complete[-1])

    def test_a_device_that_is_always_torn_is_reported(self):
        complete, own = self.judge("wide", "wide")
        self.assertIn(False, complete)
        self.assertGreaterEqual(own["retries"], 3)
        self.assertIn("wide", self.result.text("wide.err"))
        self.assertTrue(complete[-1], "does not recover")

    def test_devices_vanish(self):
        # -ENODEV as strace writes the bytes of a netlink error.
        self.assertIn(r"\355\377\377\377", self.result.text("vanish.trace"), "no device went after it was listed")
        gathers = self.gathers("vanish")
        self.assertGreaterEqual(len(gathers), 8)
        seen = set()
        for gather in gathers:
            own = oracle.own(gather, "wireguard")
            self.assertEqual((own["success"], own["errors"]), (1, 0))
            state = oracle.from_lines(gather)
            peers = state.peers
            seen |= state.devices.keys()
            self.assertEqual({where: peer for where, peer in peers.items() if where[0] == "wg0"}, self.rest.peers)
            for line in gather:
                self.assertIn(line.tags.get("device", "wg0"), ("wg0", *(f"gone{n}" for n in range(1, 5))), line)
        self.assertGreater(len(seen), 1, "no gather met a device that goes later")
        self.assertEqual(self.result.text("vanish.err"), "")

    def test_once_while_devices_vanish(self):
        for n in range(1, 6):
            name = f"vanish_once{n}"
            self.assertEqual(self.result.text(f"{name}/status"), "0\n", self.result.text(f"{name}/stderr"))
            self.assertEqual(self.result.text(f"{name}/stderr"), "")
            state = oracle.from_lines(oracle.from_json(self.result.text(f"{name}/out")))
            self.assertEqual(state.peers, self.rest.peers)


if __name__ == "__main__":
    unittest.main()
