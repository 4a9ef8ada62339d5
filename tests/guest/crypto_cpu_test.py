"""The CPU time of a tunnel in the kernel, as the eBPF programs count it: equal to what the kernel's own trace of the
same events shows, by the names of the functions, and within what its threads took in all; and what counting costs."""
from __future__ import annotations

import collections
import os
import pathlib
import random
import re
import statistics
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import configuration
import guest

BUILT = pathlib.Path(os.environ.get("WGVITALS_BIN", guest.BUILD / "dev"))
WORKS = {"wg_packet_encrypt_worker": "encrypt", "wg_packet_decrypt_worker": "decrypt",
         "wg_packet_tx_worker": "transmit", "wg_packet_handshake_send_worker": "handshake",
         "wg_packet_handshake_receive_worker": "handshake"}
ITEM = re.compile(r"work struct (\w+): function (\w+)")
NAPI = re.compile(r"next_comm=napi/(?:near|far)\S* next_pid=(\d+)")  # threaded, where the kernel has it so
EVENT = re.compile(r"^.+-(\d+) +\[(\d+)\] \S+ +(\d+)\.(\d{6}): (\w+): (.*)$")


def run_for(test: type[unittest.TestCase], scenario: str, files_too: dict[str, str] | None = None,
            programs_too: dict[str, str] | None = None, **options) -> guest.Result:
    source = random.Random("crypto_cpu")
    private = [configuration.key(source) for _ in range(2)]
    files = {"/tunnel.sh": (guest.HERE / "scenarios/crypto_cpu_tunnel.sh").read_text(), **(files_too or {})}
    for n, name in enumerate(("near", "far")):
        end = configuration.Configuration(0, f"PrivateKey = {configuration.text(private[n])}", "ListenPort = 51820")
        end.peer(f"Endpoint = 10.0.0.{2 - n}:51820", public_key=configuration.public(private[1 - n]),
                 prefixes=["10.97.0.0/24"])
        files[f"/conf/{name}.conf"] = end.text
    programs = {"/bin/crypto_cpu_reader": str(BUILT / "tests/crypto_cpu_reader"), **guest.library("libbpf.so.1"),
                **(programs_too or {})}
    return guest.run_for(test, scenario, files=files, programs=programs, timeout=400, **options)


def readings(text: str) -> list[dict[tuple, tuple[int, int]]]:
    """(namespace, index, queue, work, cpu) -> (ns, runs), for each reading."""
    head, _, answers = text.partition("\n")
    assert head == "attached", text
    found = []
    for answer in answers.split(".\n")[:-1]:
        rows = [line.split() for line in answer.splitlines()]
        assert ["missed", "0"] in rows, answer
        found.append({(int(row[0]), int(row[1]), row[2], row[3], int(row[4])): (int(row[5]), int(row[6]))
                      for row in rows if len(row) == 7})
    return found


def programs(text: str) -> dict[str, tuple[int, int]]:
    """By number: (ns, runs) of each program that is open, from the text of /proc/PID/fdinfo/*."""
    found = re.findall(r"prog_id:\t(\d+)\nrun_time_ns:\t(\d+)\nrun_cnt:\t(\d+)", text)
    return {number: (int(ns), int(runs)) for number, ns, runs in found}


def threads_took(result: guest.Result, name: str) -> int:
    """The kernel's threads, in ns, by their own accounts."""
    before, after = (dict(map(int, line.split()) for line in result.text(f"{name}.{when}").splitlines())
                     for when in ("before", "after"))
    return sum(ns - before.get(pid, 0) for pid, ns in after.items())


class Traced:
    """On-CPU time of each work without the softirqs on top, and how many ended, from the text of the trace."""

    def __init__(self, text: str):
        self.ns: collections.Counter[str] = collections.Counter()
        self.runs: collections.Counter[str] = collections.Counter()
        self._work: dict[str, str] = {}  # thread -> its open work, or what it does all its life
        self._item: dict[str, str] = {}  # thread -> the open work's address
        self._since: dict[str, int] = {}  # CPU -> begin of what is not yet counted
        for line in text.splitlines():
            found = EVENT.match(line)
            if not found:
                continue
            thread, cpu, seconds, micros, event, rest = found.groups()
            getattr(self, "_" + event, lambda *_: None)(cpu, thread, int(seconds + micros) * 1000, rest)

    def _count(self, cpu: str, thread: str, now: int) -> None:
        begun = self._since.pop(cpu, None)
        if thread in self._work and begun is not None:
            self.ns[self._work[thread]] += now - begun

    def _workqueue_execute_start(self, cpu, thread, now, rest):
        item, function = ITEM.match(rest).groups()
        if function in WORKS:
            self._work[thread], self._item[thread] = WORKS[function], item
            self._since[cpu] = now

    def _workqueue_execute_end(self, cpu, thread, now, rest):
        """Those of BH workqueues begin and end in softirqs, on top of any thread."""
        if self._item.get(thread) == ITEM.match(rest).group(1):
            self._count(cpu, thread, now)
            self.runs[self._work.pop(thread)] += 1
            del self._item[thread]

    def _softirq_entry(self, cpu, thread, now, _):
        self._count(cpu, thread, now)

    def _softirq_exit(self, cpu, thread, now, _):
        self._since[cpu] = now

    def _sched_switch(self, cpu, thread, now, rest):
        self._count(cpu, thread, now)
        self._since[cpu] = now
        if napi := NAPI.search(rest):
            self._work[napi.group(1)] = "receive"


class CryptoCpu(unittest.TestCase):
    kernel = "usual"

    @classmethod
    def setUpClass(cls):
        script = guest.HERE / "data_packets.py"
        interpreter, programs_too = guest.python(script)
        cls.result = run_for(cls, "crypto_cpu", {"/python": f"{interpreter} {script}\n"}, programs_too,
                             kernel=cls.kernel)
        before, after = readings(cls.result.text("readings"))
        cls.grown = {key: (ns - before.get(key, (0, 0))[0], runs - before.get(key, (0, 0))[1])
                     for key, (ns, runs) in after.items()}
        cls.trace = Traced(cls.result.text("trace"))

    def total(self, work: str, at: int) -> int:
        return sum(value[at] for key, value in self.grown.items() if key[3] == work)

    def test_the_trace_is_whole(self):
        for line in self.result.text("trace.stats").splitlines():
            if line.startswith(("overrun", "dropped events", "commit overrun")):
                self.assertEqual(line.split(": ")[1], "0", line)
        self.assertRegex(self.result.text("ping"), r"1000 packets transmitted, [1-9]\d* received")

    def test_the_works_are_those_of_the_trace(self):
        """What the programs themselves take at a work's end is in the trace: a tenth of a short one, emulated."""
        for work in ("encrypt", "decrypt", "transmit", "handshake"):
            with self.subTest(work=work):
                self.assertGreater(self.trace.runs[work], 0)
                self.assertEqual(self.total(work, 1), self.trace.runs[work])
                if work != "handshake":  # of three runs
                    self.assertAlmostEqual(self.total(work, 0) / self.trace.ns[work], 1, delta=0.2)
        counted = sum(ns for ns, _ in self.grown.values())
        self.assertAlmostEqual(counted / sum(self.trace.ns.values()), 1, delta=0.1)

    def test_each_device_has_its_own(self):
        """By identity, whatever it was called when it was made."""
        devices = set(zip(*(map(int, self.result.text(name).split()) for name in ("namespaces", "indexes"))))
        self.assertEqual({key[:2] for key in self.grown}, devices)
        self.assertEqual({key[2] for key in self.grown}, {"-"})
        for device in devices:
            works = {key[3] for key in self.grown if key[:2] == device}
            self.assertLessEqual({"encrypt", "decrypt", "transmit", "handshake"}, works)

    def test_it_is_within_what_the_threads_took(self):
        threads = threads_took(self.result, "threads")
        counted = sum(ns for ns, _ in self.grown.values())
        self.assertLess(counted, threads)
        self.assertGreater(counted, 0.4 * threads)

    def test_it_needs_two_capabilities(self):
        self.assertIn("CAP_BPF and CAP_PERFMON", self.result.text("without"))
        self.assertEqual(self.result.text("with"), "attached\n")

    def test_it_follows_a_device_to_another_namespace(self):
        [reading] = readings(self.result.text("moved"))
        place = int(self.result.text("third"))
        works = {key[3] for key, (ns, _) in reading.items() if key[0] == place and ns > 0}
        self.assertLessEqual({"encrypt", "decrypt", "transmit", "receive"}, works)

    def test_works_that_had_begun_before_are_counted(self):
        """And told before they end."""
        begin, end = (
            tuple(map(sum, zip(*(value for key, value in reading.items() if key[3] == "decrypt"), (0, 0))))
            for reading in readings(self.result.text("endless")))
        took, ended = (after - before for before, after in zip(begin, end))
        self.assertGreater(took, 0.5 * threads_took(self.result, "endless.threads"))
        self.assertLess(ended, 5, "it was to last")

    def test_it_attaches_under_load(self):
        begin, end = readings(self.result.text("again"))
        for work in ("encrypt", "decrypt", "transmit"):
            self.assertGreater(sum(value[0] for key, value in end.items() if key[3] == work), 0, work)
        counted = sum(ns for ns, _ in end.values()) - sum(ns for ns, _ in begin.values())
        threads = threads_took(self.result, "again.threads")
        print(f"{counted / threads:.2f} of what the threads took", file=sys.stderr)
        self.assertGreater(counted, 0.3 * threads)  # the rest is softirqs and the queue's own
        self.assertLess(counted, threads)


class Cost(unittest.TestCase):
    def test_a_full_cpu_sends_nearly_as_much(self):
        """In instructions of one CPU. How long a stream takes scatters by more than what is judged here (how works are
        batched is another in each), so what the programs took of it is, which does not."""
        script = guest.HERE / "stream.py"
        interpreter, files = guest.python(script, "encodings.idna")
        result = run_for(type(self), "crypto_cpu_cost", {"/python": f"{interpreter} {script}\n"}, files,
                         processors=guest.COUNTED)
        without, attached = ([int(took) for took in result.text(name).split()] for name in ("without", "with"))
        shares = []
        for n, took in enumerate(attached):
            [reading] = readings(result.text(f"readings.{n}"))
            self.assertGreater(sum(runs for _, runs in reading.values()), 1000)
            before, after = (programs(result.text(f"programs.{when}.{n}")) for when in ("before", "after"))
            self.assertEqual(len(after), 5)
            self.assertGreater(min(runs - before[number][1] for number, (_, runs) in after.items()), 1000)
            shares.append(sum(ns - before[number][0] for number, (ns, _) in after.items()) / (1000 * took))
        print(f"{statistics.median(without) / 1e3:.0f} ms without, {statistics.median(attached) / 1e3:.0f} ms with; "
              f"the programs took {', '.join(f'{100 * share:.2f} %' for share in shares)}", file=sys.stderr)
        self.assertLess(statistics.median(shares), 0.05)


if __name__ == "__main__":
    unittest.main()
