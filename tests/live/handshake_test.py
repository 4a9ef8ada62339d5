"""Handshakes with real servers: what a probe says in each condition (PROBES.md), at the terminal and in both hosts."""

import json
import os
import pathlib
import shutil
import signal
import unittest

import bed
import probes_table
from bed import AS_NOBODY, WIREGUARD_GO, Keys, program, wait_until
from collectd import DAEMON, Collectd
from flood import Flood
from line_protocol import Record, select
from probe_conditions import FINE, run, sessions
from probe_site import INSIDE, OURS, PORT, Server, Site
from programs import Execd, once, toml
from scanner import Scanner, core_of

CORE_LIMIT = ("prlimit", "--core=unlimited")
NUMBERS = {"outcome_code", "handshake_rtt_ms", "cookie", "tunnel_sent", "tunnel_received"}
NUMBERS |= {"tunnel_rtt_ms", "tunnel_loss_percent"}
JSON_KEYS = NUMBERS | {"probe", "server", "outcome", "advice", "answered_from", "resolve_ms"}


class ProbeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.site = Site(cls.bed, WIREGUARD_GO)
        # Of programs that run on: theirs, not this host's.
        os.environ["STATE_DIRECTORY"] = cls.site.states("all")


class ConditionsTest(ProbeTest):
    def test_each_is_told(self):
        probes_table.judge(self, "wireguard-go", run(self.site, "wireguard-go", threads=8))

    def test_the_server_sees_a_session(self):
        for session in sessions(self.site):
            probes_table.judge_session(self, session)


class TerminalTest(ProbeTest):
    def test_steps_and_verdict(self):
        server = self.site.server()
        words = ["--server", server.address, "--server-key", server.device.keys.public]
        words += ["--tunnel", INSIDE[0], "--source", OURS[0], "--timeout", "1s", "--retries", "1"]
        handshake = [program("wgvitals"), "probe", "handshake", *words, "--key-file"]
        done = self.bed.here.run(*handshake, server.key_file)
        for step in ("initiation", "response", "echo"):
            self.assertIn(step, done.stdout)
        self.assertRegex(done.stdout, r"(?m)^.*\bok\b")
        nobodys = self.site.secret(Keys.make().private)
        done = self.bed.here.run(*handshake, nobodys, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("silent", done.stdout)
        self.assertIn("does not know this key", done.stdout)
        done = self.bed.here.run(*handshake, f"{nobodys}.none", check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn(f"{nobodys}.none", done.stderr)

    def test_as_json(self):
        said = self.site.probe(self.site.server())
        self.assertLessEqual(JSON_KEYS - {"answered_from", "resolve_ms", "advice"}, set(said.answer))
        self.assertEqual(said.answer["outcome_code"], 0)
        self.assertGreater(said.answer["handshake_rtt_ms"], 0)
        self.assertEqual(said.answer["tunnel_loss_percent"], 0)

    def test_an_ordinary_user(self):
        server = self.site.server()
        device = self.bed.here.device("own1", port=51998, daemon=WIREGUARD_GO)
        self.addCleanup(device.remove)
        copy = shutil.copy(program("wgvitals"), self.bed.dir)
        own = self.site.states("nobody")
        shutil.copy(server.key_file, f"{own}/key")
        for path in (own, f"{own}/key"):
            shutil.chown(path, "nobody", "nogroup")
        os.chmod(f"{own}/key", 0o600)
        words = [*AS_NOBODY, copy, "probe", "handshake", "--json", "--server", server.address, "--server-key"]
        end = ["--timeout", "1s", "--retries", "1", "--key-file"]
        environment = os.environ | {"STATE_DIRECTORY": own}

        def verdict(server_key: str, key_file: str) -> tuple[int, str, str]:
            done = self.bed.here.run(*words, server_key, *end, key_file, check=False, env=environment)
            answer = json.loads(done.stdout) if done.stdout else {"outcome": ""}
            return done.returncode, answer["outcome"], answer.get("advice", "") + done.stderr

        key = server.device.keys.public
        status, outcome, notes = verdict(key, f"{own}/key")
        self.assertEqual((status, outcome), (0, "ok"), notes)
        self.assertIn("CAP_NET_ADMIN", notes)  # whose key it is could not be checked
        status, outcome, notes = verdict(Keys.make().public, f"{own}/key")
        self.assertEqual((status, outcome), (1, "silent"), notes)
        self.assertIn("wg show", notes)
        status, outcome, notes = verdict(key, server.key_file)  # root's
        self.assertEqual((status, outcome), (2, ""), notes)
        self.assertIn(server.key_file, notes)
        os.chmod(f"{own}/key", 0o644)
        status, outcome, notes = verdict(key, f"{own}/key")
        self.assertEqual((status, outcome), (2, ""), notes)
        self.assertIn("chmod", notes)

    def test_a_service_inside(self):
        server = self.site.server()
        listen = f"import socket, time; s = socket.create_server(('{INSIDE[0]}', 7)); print(flush=True); time.sleep(99)"
        listener = server.host.start("python3", "-c", listen, stdout=-1)
        with listener.stdout:
            listener.stdout.readline()
        said = self.site.probe(server, options=("--port", "7"))
        self.assertEqual((str(said), said.status), (FINE, 0), said)
        said = self.site.probe(server, options=("--port", "8"))
        self.assertEqual(said.answer["outcome"], "tunnel_dead", said)
        self.assertEqual(said.answer["tunnel_received"], 3)
        self.assertIn("port 8", said.answer["advice"])

    def test_the_way_there(self):
        """The server's other address is behind a rule for marked packets alone."""
        server, (ours, theirs) = self.site.server(), ("192.0.2.78", "192.0.2.77")
        at = f"{theirs}:{PORT}"
        link, here = server.link, self.bed.here
        server.host.run("ip", "address", "add", f"{theirs}/32", "dev", "lo")
        server.host.run("ip", "route", "add", ours, "via", link.a.v4)
        here.run("ip", "address", "add", f"{ours}/32", "dev", link.name)
        self.assertEqual(str(self.site.probe(server, options=("-S", ours, "-I", link.name))), FINE)
        self.assertRegex(server.device.dump()[server.key.public].endpoint, f"^{ours}:")
        self.assertEqual(self.site.probe(server, options=("-I", "lo")).answer["ok"], 0)
        here.run("ip", "route", "add", theirs, "via", link.b.v4, "table", "77")
        here.run("ip", "rule", "add", "fwmark", "7", "table", "77")
        self.addCleanup(here.run, "ip", "rule", "delete", "fwmark", "7")
        self.assertEqual(self.site.probe(server, at).answer["outcome"], "unreachable")
        self.assertEqual(str(self.site.probe(server, at, options=("-m", "7", "-S", ours))), FINE)

    def test_a_name(self):
        server = self.site.server()
        hosts = self.bed.dir / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{server.link.b.v4} berlin.example\n")
        self.bed.here.run("mount", "--bind", str(hosts), "/etc/hosts")
        self.addCleanup(self.bed.here.run, "umount", "/etc/hosts")
        at = f"berlin.example:{PORT}"
        said = self.site.probe(server, at)
        self.assertEqual((str(said), said.answer["server"]), (FINE, at))
        self.assertGreater(said.answer["resolve_ms"], 0)
        words = ["--server", at, "--server-key", server.device.keys.public, "--key-file", server.key_file]
        steps = self.bed.here.run(program("wgvitals"), "probe", "handshake", *words).stdout
        self.assertIn(f"berlin.example is {server.link.b.v4}\n", steps)

    def test_a_cookie(self):
        server = self.site.server()
        words = ["--server", server.address, "--server-key", server.device.keys.public, "--key-file", server.key_file]
        probe = lambda: self.bed.here.run(program("wgvitals"), "probe", "handshake", *words, check=False).stdout
        with Flood(self.bed, *server.place, server.device.keys.public):
            asked = lambda: "cookie reply" in (steps := probe()) and steps
            steps = wait_until(asked, "a cookie")
        self.assertIn(f"cookie reply from {server.address}: it is under load\n", steps)
        self.assertRegex(steps, f"initiation [0-9]+ with the cookie to {server.address}\n")

    def test_ahead_claims_what_happened(self):
        server, strange = self.site.server(), self.site.server(registered=False)
        probe = lambda at, host: self.site.probe(host, at, states="claims", options=("--ahead", "60"))
        self.assertIn("here and at the server", probe("", server).notes)
        notes = probe("", strange).notes
        self.assertIn("ahead of the clock, here, and", notes)
        self.assertNotIn("of this key", probe(f"none.invalid:{PORT}", server).notes)

    def test_the_key_of_a_local_device(self):
        server = self.site.server()
        device = self.bed.here.device("own0", port=51999, daemon=WIREGUARD_GO)
        self.addCleanup(device.remove)
        server.device.add_peer(device.keys.public, "10.70.0.9/32")
        words = ["--server", server.address, "--server-key", server.device.keys.public, "--key-file"]
        key = self.site.secret(device.keys.private)
        done = self.bed.here.run(program("wgvitals"), "probe", "handshake", *words, key, check=False)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("own0", done.stderr)
        self.assertEqual(server.device.dump()[device.keys.public].rx_bytes, 0)
        text = config(block(server, "stolen", key_file=key))
        with Execd(self.bed, text) as execd:
            execd.gather()
            execd.hears("own0")
            self.assertEqual(select(execd.gather(), "wireguard_probe"), [])
        self.assertEqual(server.device.dump()[device.keys.public].rx_bytes, 0)


def block(server: Server, name: str, /, **more) -> dict:
    return {
        "name": name,
        "server": server.address,
        "server_key": server.device.keys.public,
        "key_file": server.key_file,
        "tunnel_address": INSIDE[0],
        "tunnel_source": OURS[0],
        "interval": "500ms",
        "timeout": "1s",
        "retries": 1,
    } | more


def config(*blocks: dict) -> str:
    lines = [toml(gather_wait="5s")]
    for one in blocks:
        lines += ["  [[inputs.wgvitals.probe]]"]
        lines += [f"    {key} = {json.dumps(value)}" for key, value in one.items()]
    return "\n".join(lines) + "\n"


def plugin(*blocks: dict) -> str:
    """The same for collectd."""
    lines = []
    for one in blocks:
        lines += [f'  <Probe "{one["name"]}">']
        lines += [
            f"    {key.replace('_', ' ').title().replace(' ', '')} {json.dumps(value)}"
            for key, value in one.items()
            if key != "name"
        ]
        lines += ["  </Probe>"]
    return "\n".join(["LoadPlugin wireguard", "<Plugin wireguard>", *lines, "</Plugin>\n"])


def told(records: list[Record]) -> dict[str, dict]:
    """By probe, of all its lines."""
    found: dict[str, dict] = {}
    for record in select(records, "wireguard_probe"):
        found.setdefault(record.tags["probe"], {}).update({field: record[field] for field in record.fields})
    return found


class HostsTest(ProbeTest):
    def test_execd(self):
        fine, strange = self.site.server(), self.site.server(registered=False)
        text = config(
            block(fine, "berlin"),
            block(strange, "paris"),
            block(fine, "nowhere", server=f"none.invalid:{PORT}", key_file=strange.key_file),
        )
        with Execd(self.bed, text) as execd:
            seen: dict[str, dict] = {}

            def all_told() -> bool:
                seen.update(told(execd.gather()))
                return set(seen) == {"berlin", "paris", "nowhere"}

            wait_until(all_told, "lines about all probes", 20)
            self.assertEqual(seen["berlin"]["outcome"], "ok")
            self.assertLessEqual(NUMBERS, set(seen["berlin"]))
            self.assertEqual(seen["berlin"]["tunnel_received"], 3)
            self.assertEqual((seen["paris"]["outcome"], seen["paris"]["outcome_code"]), ("silent", 1))
            self.assertIn("does not know this key", seen["paris"]["advice"])
            self.assertNotIn("handshake_rtt_ms", seen["paris"])
            self.assertEqual((seen["nowhere"]["outcome"], seen["nowhere"]["outcome_code"]), ("name_error", 8))
            # The others' troubles are not its own.
            for _ in range(5):
                again = lambda: told(execd.gather()).get("berlin")
                self.assertEqual(wait_until(again, "another handshake")["outcome"], "ok")
            self.assertEqual(execd.end(), 0)
        (line,) = [line for line in select(once(self.bed, config=text), "wireguard_probe", probe="berlin")
                   if "outcome_code" in line.fields]
        self.assertEqual(line.tags["server"], fine.address)
        self.assertEqual(line["outcome_code"], 0)

    def test_two_probes_of_one_key_and_server(self):
        """Neither takes the session of the other, whose pings it would lose."""
        server = self.site.server()
        more = {"tunnel_count": 30, "timeout": "1s", "interval": "2s"}
        with Execd(self.bed, config(block(server, "one", **more), block(server, "two", **more))) as execd:
            seen: dict[str, list] = {"one": [], "two": []}

            def enough() -> bool:
                for name, fields in told(execd.gather()).items():
                    seen[name].append((fields["outcome"], fields["tunnel_received"]))
                return min(map(len, seen.values())) >= 2

            wait_until(enough, "two probes of each", 40)
        self.assertEqual(set(seen["one"] + seen["two"]), {("ok", 30)}, seen)

    def test_collectd(self):
        fine, strange = self.site.server(), self.site.server(registered=False)
        text = plugin(block(fine, "berlin"), block(strange, "paris"))
        with Collectd(self.bed, text) as collectd:
            of = lambda name, *types: [f"wireguard-probe_{name}/{type}" for type in types]
            collectd.wait_for(*of("berlin", "ping", "bool-ok", "gauge-outcome"), *of("paris", "gauge-outcome"))
            value = lambda name, type: collectd.value(f"wireguard-probe_{name}/{type}")["value"]
            self.assertGreater(value("berlin", "ping"), 0)
            self.assertEqual((value("berlin", "bool-ok"), value("berlin", "gauge-outcome")), (1, 0))
            self.assertEqual((value("paris", "bool-ok"), value("paris", "gauge-outcome")), (0, 1))
            self.assertNotIn("wireguard-probe_paris/ping", collectd.identifiers())


class SecretsTest(ProbeTest):
    """The keys of a probe are nowhere but in its locked memory."""

    def setUp(self):
        self.psk = Keys.make().preshared
        self.server = self.site.server(psk=self.psk)
        self.psk_file = self.site.secret(self.psk)
        self.secrets = {"the probe's private key": self.server.key.private, "its preshared key": self.psk}
        self.scanner = Scanner(self.secrets)
        self.folder = pathlib.Path(self.bed.dir, f"secrets.{self.id()}")
        self.folder.mkdir()
        self.states = pathlib.Path(self.site.states(self.id()))
        self.environment = os.environ | {"STATE_DIRECTORY": str(self.states)}

    def assert_clean(self, found: set[str]) -> None:
        self.assertEqual(found, set())

    def test_the_terminal(self):
        for options in (["--json"], []):
            words = ["--server", self.server.address, "--server-key", self.server.device.keys.public]
            words += ["--key-file", self.server.key_file, "--psk-file", self.psk_file, *options]
            done = self.bed.here.run(program("wgvitals"), "probe", "handshake", *words, env=self.environment)
            self.assertIn("ok", done.stdout)
            self.assert_clean(self.scanner.text(done.stdout, done.stderr))
        self.assertTrue(list(self.states.iterdir()))
        self.assert_clean(self.scanner.tree(self.states))

    def test_execd(self):
        text = config(block(self.server, "berlin", psk_file=self.psk_file, interval="200ms"))
        limit = [*CORE_LIMIT, program("wgvitals-execd")]
        public = Scanner({"a public key": self.server.device.keys.public})
        for _ in range(3):
            with Execd(self.bed, text, command=limit, cwd=self.folder, env=self.environment) as execd:
                shook = lambda: told(execd.gather()).get("berlin", {}).get("outcome") == "ok"
                wait_until(shook, "a handshake", 20)
                core = core_of(execd.process, self.folder)
                self.assert_clean(self.scanner.text(execd.out, execd.said))
            with open(core, "rb") as stream:
                self.assertTrue(public.stream(stream))
            self.assert_clean(self.scanner.tree(self.folder))
            core.unlink()
        self.assert_clean(self.scanner.tree(self.states))

    def test_memory(self):
        """It has them, between two probes, and all places are locked and left out of cores."""
        text = config(block(self.server, "berlin", psk_file=self.psk_file))
        with Execd(self.bed, text, env=self.environment) as execd:
            shook = lambda: told(execd.gather()).get("berlin", {}).get("outcome") == "ok"
            wait_until(shook, "a handshake", 20)
            os.kill(execd.pid, signal.SIGSTOP)
            places = self.scanner.places(execd.pid)
            self.assertEqual({name for name, _ in places}, {f"{key} (raw)" for key in self.secrets})
            for name, flags in places:
                self.assertLessEqual({"lo", "dd"}, flags, name)

    def test_collectd(self):
        text = plugin(block(self.server, "berlin", psk_file=self.psk_file, interval="200ms"))
        collectd = Collectd(self.bed, text)
        command = [*CORE_LIMIT, DAEMON, "-f", "-C", str(collectd.config)]
        process = self.bed.here.start(*command, cwd=collectd.dir, env=self.environment)
        wait_until(collectd.socket.exists, "collectd's socket")
        collectd.wait_for("wireguard-probe_berlin/ping")
        self.assertEqual(collectd.value("wireguard-probe_berlin/bool-ok")["value"], 1)
        core_of(process, collectd.dir)
        self.assert_clean(self.scanner.tree(collectd.dir))


if __name__ == "__main__":
    bed.need({DAEMON: "collectd-core", "gdb": "gdb", "nft": "nftables", "prlimit": "util-linux"})
    bed.main()
