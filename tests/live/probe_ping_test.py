"""wgvitals probe ping, as it is called at a terminal."""

import json
import re
import subprocess

import bed
from bed import AS_NOBODY, program
from ping_lines import DELAY, RESPONSES, PingTest, config, no_way, numbers
from responder import addresses

QUICK = ("-c", "3", "-i", "50ms", "-t", "500ms")


class ProbePingTest(PingTest):
    def ping(self, *arguments: str, status: int = 0, user: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
        words = (*user, program("wgvitals"), "probe", "ping", *arguments)
        done = self.bed.here.run(*words, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def test_each_answer_and_what_they_come_to(self):
        self.responder(dead="odd")
        alive, dead, away = addresses(3)
        with no_way(self.bed, "unreachable", away):
            done = self.ping(*QUICK, alive, dead, away, status=1)
        answers, sums, histogram = done.stdout.split("\n\n")
        rows = answers.splitlines()
        self.assertEqual(len(rows), 9, answers)
        for number in range(3):
            told = [row for row in rows if re.match(rf"{re.escape(alive)} : \[{number}\], [0-9.]+ ms, ttl \d+$", row)]
            self.assertEqual(len(told), 1, answers)
            self.assertIn(f"{dead} : [{number}], timed out", rows)
            self.assertIn(f"{away} : [{number}], not sent: No route to host", rows)
        first, second, third = sums.splitlines()
        self.assertRegex(first, rf"^{re.escape(alive)} +: xmt/rcv/%loss = 3/3/0%, min/avg/max = .*, jitter = .* ms$")
        self.assertRegex(second, rf"^{re.escape(dead)} +: xmt/rcv/%loss = 3/0/100%$")
        self.assertRegex(third, rf"^{re.escape(away)} +: xmt/rcv/%loss = 0/0/-, 3 unsent \(No route to host\)$")
        self.assertTrue(histogram.startswith("round trips of all answers\n"), histogram)
        self.assertGreater(len(histogram.splitlines()), 1)
        self.assertEqual(done.stderr, "")

    def test_the_sum_only(self):
        self.responder()
        hosts = addresses(2) + addresses(1, 6)
        done = self.ping(*QUICK, "-q", *hosts)
        for row, host in zip(done.stdout.splitlines(), hosts):
            self.assertTrue(row.startswith(host), done.stdout)
            self.assertIn("= 3/3/0%", row)
        self.assertNotIn("[0]", done.stdout)
        self.assertIn("round trips of all answers", done.stdout)

    def test_json_is_named_as_the_measurement(self):
        self.responder(dead="odd")
        alive, dead = addresses(2)
        block = {"hosts": [alive, dead], "count": 3, "interval": "50ms", "timeout": "500ms"}
        records = self.execd(config(block)).gather(seconds=8)
        done = self.ping(*QUICK, "--json", alive, dead, status=1)
        told = [json.loads(row) for row in done.stdout.splitlines()]
        self.assertEqual([one["url"] for one in told], [alive, dead])
        own = {"url", "resolved_address", "round_trips_ms"}
        for one in told:
            self.assertEqual(one.keys() - own, numbers(records, one["url"]).keys())
        self.assert_alive(told[0], DELAY)
        self.assertEqual(len(told[0]["round_trips_ms"]), 3)
        self.assertEqual((told[1]["result_code"], told[1]["percent_packet_loss"]), (1, 100))
        self.assertFalse(RESPONSES & told[1].keys())

    def test_what_is_asked_wrongly(self):
        for arguments in (("--ttl", "300", "127.0.0.1"), ("-S", "x", "127.0.0.1"), (), ("-c", "0", "127.0.0.1")):
            done = self.ping(*arguments, status=2)
            self.assertEqual(done.stdout, "")
            self.assertNotEqual(done.stderr, "")

    def test_a_right_that_is_missing_is_named_once(self):
        self.bed.here.run("sysctl", "-qw", "net.ipv4.ping_group_range=1 0")
        done = self.ping(*QUICK, "127.0.0.1", "127.0.0.2", status=1, user=AS_NOBODY)
        (line,) = done.stderr.splitlines()
        self.assertIn("needs CAP_NET_RAW", line)


if __name__ == "__main__":
    bed.main()
