"""The kernel's network lock is held for seconds: execd answers in time all the same, and recovers."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import guest
import oracle
from configuration import Configuration


class Lock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        large = Configuration(1)
        for _ in range(36000):
            large.peer()
        cls.result = guest.run_for(cls, "lock", files={
            "/conf/large.conf": large.text,
            "/conf/small.conf": Configuration(2).ordinary(3).text,
            "/lock.toml": '[[inputs.wgvitals]]\ngather_wait = "1s"\n'
                          'interface_exclude = ["large"]\n'})

    def answer(self, name: str) -> list[oracle.Line]:
        return oracle.from_influx(self.result.text(name))

    def peers(self, name: str) -> dict[str, int]:
        return {device: found.peers for (device, _), found in oracle.from_lines(self.answer(name)).devices.items()}

    def test_answers_while_the_lock_is_held(self):
        self.assertEqual(self.peers("before"), {"small": 3})
        count = int(self.result.text("locked"))
        self.assertGreaterEqual(count, 3, "the lock was not held for long enough")
        late = oracle.own(self.answer("before"), "engine").get("late", 0)
        for n in range(1, count + 1):
            with self.subTest(n):
                answer = self.answer(f"locked.{n}")
                self.assertEqual([line.name for line in answer], ["wgvitals"])
                now = oracle.own(answer, "engine")["late"]
                self.assertEqual(now, late + 1)
                late = now

    def test_recovers(self):
        for name in ("after.1", "after.2"):
            with self.subTest(name):
                self.assertEqual(self.peers(name), {"small": 3})
                self.assertEqual(oracle.own(self.answer(name), "wireguard")["success"], 1)
        late = [oracle.own(self.answer(name), "engine")["late"] for name in ("after.1", "after.2")]
        self.assertEqual(late[0], late[1], "gathers are late for ever")
        self.assertEqual(self.result.text("lock.status"), "0\n")


if __name__ == "__main__":
    unittest.main()
