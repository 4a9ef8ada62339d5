"""The host goes wrong or is unusual: no descriptors left, thousands of other links, other readers of the same
devices. Each time: what is said, what is still delivered, and that it recovers."""

import contextlib
import os
import resource
import subprocess
import time

import bed
import fake_uapi
from bed import UAPI_DIR, program, wait_until
from collectd import Collectd
from fake_uapi import FakeUapi
from faults import FaultTest, devices, events, late, peers
from line_protocol import Record, select
from programs import once, toml
from star import Star


class DescriptorTest(FaultTest):
    """No file and no socket can be opened any more, for a while."""

    def setUp(self):
        super().setUp()
        self.uapi = self.enterContext(FakeUapi(UAPI_DIR, "wg0", fake_uapi.healthy(3)))

    def limit(self, pid: int, count: int | None = None) -> None:
        """To so many descriptors, or so that no more can be opened."""
        if count is None:  # the lowest that is free, but for those that are open only for a moment
            count = min(self.free(pid) for _ in range(20))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, 4096))

    def free(self, pid: int) -> int:
        time.sleep(0.02)
        used = set(map(int, os.listdir(f"/proc/{pid}/fd")))
        return min(set(range(len(used) + 1)) - used)

    def test_execd(self):
        key, file = fake_uapi.key_text(1), self.bed.dir / "wg0.conf"
        text = f"# friendly_name = old\n[Peer]\nPublicKey = {key}\n"
        file.write_text(text)
        execd = self.execd(toml(names_files=[str(file)], sample_interval="0s"))
        before = execd.gather()
        self.limit(execd.pid)
        file.write_text(text.replace("old", "new"))
        for _ in range(3):
            records = execd.gather()
            [own] = select(records, "wgvitals", collector="wireguard")
            self.assertEqual((own["success"], devices(records), events(records)), (0, set(), []))
        self.limit(execd.pid, 1024)
        records = execd.gather()
        self.assertEqual((len(records), events(records)), (len(before), []))
        for gather, name in ((before, "old"), (records, "new")):
            self.assertEqual(len(select(gather, "wireguard_peer", public_key=key, friendly_name=name)), 2)
        self.assert_said_once(execd, "wireguard: ", str(UAPI_DIR), "Too many open files", over=True)
        self.assert_said_once(execd, "peer_names: ", str(self.bed.dir), "Too many open files", over=True)
        self.assertNotIn("root", execd.said)  # which would not help

    def test_execd_with_too_few_to_start(self):
        """It could neither tick nor be stopped: it says why it ends."""
        command = ["prlimit", "--nofile=4", program("wgvitals-execd")]
        execd = self.execd("", "-poll_interval", "100ms", command=command)
        self.assertEqual(execd.wait(), 1)
        self.assert_said_once(execd, "Too many open files")

    def test_collectd(self):
        """The daemon itself can neither log nor answer then; ours must be back with it."""
        collectd = self.enterContext(Collectd(self.bed))
        collectd.wait_for("wireguard-wg0/count-peers")
        pid = collectd.process.pid
        self.limit(pid)
        asked = self.uapi.requests
        time.sleep(1.5)
        self.assertLessEqual(self.uapi.requests, asked + 1)
        self.limit(pid, 1024)
        rows = lambda: len(collectd.rows("wireguard-wg0/count-peers"))
        before = rows()
        wait_until(lambda: rows() > before + 2, "values")
        self.assertNotIn("suspend", collectd.said)


class ThreadTest(FaultTest):
    def test_none_to_enter_a_namespace_with(self):
        self.enterContext(FakeUapi(UAPI_DIR, "wg0", fake_uapi.healthy(3)))
        run = self.bed.here.run
        run("ip", "netns", "add", "far")
        execd = self.execd(toml(netns=["far"], sample_interval="0s"))
        execd.gather()
        run("ip", "netns", "delete", "far")
        run("ip", "netns", "add", "far")
        self.addCleanup(run, "ip", "netns", "delete", "far")
        with self.threads_refused(execd.pid):
            for _ in range(3):
                records = execd.gather()
                self.assertEqual((devices(records), len(peers(records)), events(records)), ({"wg0"}, 3, []))
        [own] = select(execd.gather(), "wgvitals", collector="wireguard")
        self.assertEqual(own["success"], 1)
        self.assert_said_once(execd, "netns/far", "thread", "Resource temporarily unavailable", over=True)

    @contextlib.contextmanager
    def threads_refused(self, pid: int):
        inject = ("-e", "trace=clone,clone3", "-e", "inject=clone,clone3:error=EAGAIN")
        command = ("strace", "-f", "-o", "/dev/null", *inject, "-p", str(pid))
        tracer = self.bed.here.start(*command, stderr=subprocess.PIPE, text=True)
        with tracer.stderr:
            self.assertIn("attached", tracer.stderr.readline())
            yield
            tracer.terminate()
            tracer.wait()


class CrowdTest(FaultTest):
    def test_5000_other_links(self):
        star = Star(self.bed, spokes=1)
        execd = self.execd(toml(sample_interval="0s"))
        alone, memory = execd.gather(), execd.memory
        crowd = "\n".join(f"link add crowd{n} type veth peer name crowd{n}b" for n in range(2500))
        self.bed.here.run("ip", "-batch", "-", input=crowd, timeout=120)
        for _ in range(5):
            records, dump = star.quiet(execd.gather)
            self.assertEqual([(r.name, r.tags) for r in records], [(r.name, r.tags) for r in alone])
            self.assertEqual(
                {key: peer["rx_bytes"] for key, peer in peers(records).items()},
                {key: row.rx_bytes for key, row in dump.items()},
            )
        self.assertEqual((late(execd), execd.said), (0, ""))
        self.assertLess(execd.memory - memory, 8 << 20)


class TogetherTest(FaultTest):
    def test_several_read_the_same_devices(self):
        star = Star(self.bed, spokes=2)
        star.rest()
        dump = {key: (row.rx_bytes, row.tx_bytes) for key, row in star.hub.dump().items()}

        def counters(records: list[Record]) -> dict[str, tuple[object, object]]:
            return {key: (peer["rx_bytes"], peer["tx_bytes"]) for key, peer in peers(records).items()}

        with Collectd(self.bed) as collectd:
            patient = toml(gather_wait="5s")  # they hold nobody up for long, but the machine may
            execds = [self.execd(patient, "-poll_interval", "100ms") for _ in range(2)]

            def all_have_read() -> bool:
                self.assertEqual(counters(once(self.bed)), dump)
                return all(len(execd.gathers()) > 25 for execd in execds)

            wait_until(all_have_read, "gathers of both", 60)
            collectd.wait_for("wireguard-wg0/count-peers")
            for execd in execds:
                self.assertEqual(execd.end(), 0)
                for gather in execd.gathers():
                    self.assertEqual(counters(gather), dump)
                self.assertEqual((late(execd), execd.said), (0, ""))
        for key, values in dump.items():
            instance = key.translate(str.maketrans("+/", "-_", "="))
            rows = collectd.rows(f"wireguard-wg0/if_octets-{instance}")
            self.assertEqual({(int(row["rx"]), int(row["tx"])) for row in rows}, {values})
        self.assertNotIn("wireguard plugin", collectd.said)


if __name__ == "__main__":
    bed.need({"strace": "strace"})
    bed.main()
