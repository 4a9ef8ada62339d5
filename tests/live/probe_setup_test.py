"""A probe from its beginning: what `wgvitals probe setup` prints is done as it stands, and the probe works. And servers
that a wg-quick file names."""

import json
import os
import pathlib
import re
import shlex
import shutil
import unittest

import bed
from bed import AS_NOBODY, WIREGUARD_GO, Keys, program, wait_until
from line_protocol import select
from programs import once
from scanner import Scanner, core_of

INSIDE = "10.70.0.1"
CORE_LIMIT = ("prlimit", "--core=unlimited")
QUICK = ("--timeout", "1s", "--retries", "1")


class ProbeTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())
        self.states = self.bed.dir / "states"
        self.states.mkdir()
        self.environment = os.environ | {"STATE_DIRECTORY": str(self.states)}
        self.host = self.bed.host("server")
        self.address = self.bed.join(self.bed.here, self.host).b.v4 + ":51820"
        self.server = self.host.device("wg0", f"{INSIDE}/24", daemon=WIREGUARD_GO)
        self.key_file = str(self.bed.dir / "probe.key")

    def probe(self, *arguments: str, status: int = 0, prefix: tuple[str, ...] = ()):
        done = self.bed.here.run(
            *prefix, program("wgvitals"), "probe", *arguments, check=False, env=self.environment
        )
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done


class SetupTest(ProbeTest):
    def setup(self, address: str = "10.70.0.9", status: int = 0):
        words = ["--server", self.address, "--server-key", self.server.keys.public, "--tunnel", INSIDE]
        return self.probe("setup", "--key-file", self.key_file, "--address", address, *words, status=status)

    def line(self, page: str, start: str) -> list[str]:
        (line,) = [line for line in page.splitlines() if line.startswith(start)]
        return shlex.split(line)

    def test_what_is_printed_works(self):
        page = self.setup().stdout
        key = pathlib.Path(self.key_file)
        self.assertEqual(key.stat().st_mode & 0o7777, 0o600)
        private = key.read_text()
        public = self.bed.here.run("wg", "pubkey", input=private).stdout.strip()
        self.assertNotIn(private.strip(), page)
        self.assertEqual(private, self.bed.here.run("sh", "-c", "base64 -d | base64", input=private).stdout)

        self.host.run(*self.line(page, "wg set"))
        self.assertEqual(self.server.dump()[public].allowed_ips, "10.70.0.9/32")
        one_shot = self.line(page, "wgvitals probe handshake")
        self.assertIn("3 of 3 pings through the tunnel", self.probe(*one_shot[2:]).stdout)
        section = page[page.index("[Peer]"):].split("\n\n")[0]
        self.server.remove_peer(public)
        self.server.configure(section)
        self.assertEqual(self.server.dump()[public].allowed_ips, "10.70.0.9/32")

        block = page[page.index("  [[inputs.wgvitals.probe]]"):].split("\n\n")[0]
        records = once(self.bed, config="[[inputs.wgvitals]]\n" + block, env=self.environment)
        (numbers,) = [record for record in select(records, "wireguard_probe") if "ok" in record.fields]
        self.assertEqual((numbers["ok"], numbers["tunnel_received"]), (1, 3))
        collectd = page[page.index("  <Probe"):].split("\n\n")[0]
        file = self.bed.dir / "collectd.conf"
        file.write_text(f"LoadPlugin wireguard\n<Plugin wireguard>\n{collectd}\n</Plugin>\n")
        checked = self.bed.here.run(program("wgvitals"), "check", str(file), env=self.environment)
        self.assertIn("no problems", checked.stdout)

    def test_a_key_is_never_overwritten(self):
        before = self.setup().stdout
        private = pathlib.Path(self.key_file).read_text()
        again = self.setup()
        self.assertEqual((again.stdout, pathlib.Path(self.key_file).read_text()), (before, private))
        self.assertIn("is there already", again.stderr)
        pathlib.Path(self.key_file).write_text("something of mine\n")
        self.assertIn(self.key_file, self.setup(status=1).stderr)
        self.assertEqual(pathlib.Path(self.key_file).read_text(), "something of mine\n")
        os.unlink(self.key_file)
        os.symlink(self.bed.dir / "elsewhere", self.key_file)
        self.setup(status=1)
        self.assertFalse((self.bed.dir / "elsewhere").exists())

    def test_an_address_of_the_other_family(self):
        page = self.setup("fd00:70::9").stdout
        self.assertIn("allowed-ips fd00:70::9/128", page)
        self.assertIn("no address", self.probe("setup", "--key-file", "x", "--address", "here", status=2).stderr)

    def test_what_a_shell_would_take_apart_is_not_printed(self):
        folder = self.bed.dir / "a b"
        folder.mkdir()
        words = [program("wgvitals"), "probe", "setup", "--key-file", "key"]
        for more, cwd in (([], folder), (["--device", "wg0;id"], None), (["--server", "$(id):1"], None)):
            done = self.bed.here.run(*words, *more, cwd=cwd or self.bed.dir, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), more)
            self.assertIn("plain word", done.stderr)
        self.assertFalse((folder / "key").exists())


class ConfigTest(ProbeTest):
    """Two servers in a file of wg-quick."""

    def setUp(self):
        super().setUp()
        other = self.bed.host("other")
        self.other = self.bed.join(self.bed.here, other).b.v4 + ":51820"
        away = other.device("wg0", "10.71.0.1/24", daemon=WIREGUARD_GO)
        self.own, self.psk = Keys.make(), Keys.make().preshared
        self.server.add_peer(self.own.public, "10.70.0.9/32", preshared_key=self.psk)
        away.add_peer(self.own.public, "10.71.0.9/32")
        self.file = self.bed.dir / "probe.conf"
        self.text = f"""[Interface]
PrivateKey = {self.own.private}
Address = 10.70.0.9/24, fd00:70::9/64
[Peer]
# friendly_name = berlin
PublicKey = {self.server.keys.public}
presharedkey={self.psk}  # as wg-quick reads it
Endpoint = {self.address}
AllowedIPs = 10.70.0.0/24
[Peer]
PublicKey = {away.keys.public}
Endpoint = {self.other}
AllowedIPs = 10.71.0.0/24
[Peer]
PublicKey = {Keys.make().public}
AllowedIPs = 10.72.0.0/24
"""
        self.write(self.text)

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o600)

    def ask(self, *arguments: str, **more):
        return self.probe("handshake", "--config", str(self.file), *QUICK, *arguments, **more)

    def test_all_of_it(self):
        answers = {}
        for line in self.ask("--json", "--tunnel", INSIDE).stdout.splitlines():
            answer = json.loads(line)
            answers[answer["probe"]] = answer
        self.assertEqual(set(answers), {"berlin", self.other})
        self.assertEqual({answer["outcome"] for answer in answers.values()}, {"ok"})
        self.assertEqual(answers["berlin"]["tunnel_received"], 3)
        self.assertNotIn("tunnel_sent", answers[self.other])  # its allowed IPs are others
        page = self.ask().stdout
        self.assertRegex(page, r"(?m)^berlin: +[0-9.]+ ms  ")
        self.assertRegex(page, r"(?m)^berlin: ok, handshake in [0-9.]+ ms$")

    def test_one_of_it(self):
        for name in ("berlin", self.address, self.server.keys.public):
            (line,) = self.ask("--json", "--peer", name).stdout.splitlines()
            self.assertEqual(json.loads(line)["server"], self.address)
        self.assertIn("--peer", self.ask("--peer", "paris", status=2).stderr)
        self.assertIn("AllowedIPs", self.ask("--tunnel", "10.99.0.1", status=2).stderr)

    def test_one_failure_is_the_status(self):
        self.write(self.text.replace(self.psk, Keys.make().preshared))
        page = self.ask(status=1).stdout
        self.assertRegex(page, r"(?m)^berlin: psk_mismatch")
        self.assertRegex(page, rf"(?m)^{re.escape(self.other)}: ok")

    def test_a_file_that_cannot_be_used(self):
        self.file.chmod(0o644)
        self.assertIn("chmod 600", self.ask(status=2).stderr)
        mistakes = {
            "PrivateKey = ": "PrivateKee = ",
            "Endpoint = 198": "Endpoint = [198",
            "AllowedIPs = 10.70.0.0/24": "AllowedIPs = 10.70.0.0/33",
            f"PublicKey = {self.server.keys.public}": "PublicKey = short",
            f"presharedkey={self.psk}": "presharedkey=short",
        }
        for right, wrong in mistakes.items():
            self.write(self.text.replace(right, wrong))
            done = self.ask(status=2, *(["--peer", "berlin"] if "short" in wrong else []))
            self.assertIn(str(self.file), done.stderr, wrong)
            self.assertNotIn(self.own.private, done.stdout + done.stderr)
            self.assertNotIn(self.psk, done.stdout + done.stderr)

    def test_its_keys_are_in_no_core(self):
        self.write(self.text.replace(self.server.keys.public, Keys.make().public))  # it will not answer
        folder = self.bed.dir / "core"
        folder.mkdir()
        words = [program("wgvitals"), "probe", "handshake", "--config", str(self.file), "--timeout", "30s"]
        with open(folder / "said", "w") as said:
            process = self.bed.here.start(
                *CORE_LIMIT, *words, cwd=folder, stdout=said, stderr=said, env=self.environment
            )
        wait_until(lambda: "berlin:" in (folder / "said").read_text(), "an initiation")
        core = core_of(process, folder)
        with open(core, "rb") as stream:
            self.assertTrue(Scanner({"its public key": self.own.public}).stream(stream))  # a whole core
        secrets = {"the private key": self.own.private, "the preshared key": self.psk}
        self.assertEqual(Scanner(secrets).tree(folder), set())

    def test_an_ordinary_user(self):
        copy = shutil.copy(program("wgvitals"), self.bed.dir)
        for path in (self.file, self.states):
            shutil.chown(path, "nobody", "nogroup")
        words = [copy, "probe", "handshake", "--config", str(self.file), *QUICK, "--json", "--peer", "berlin"]
        done = self.bed.here.run(*AS_NOBODY, *words, env=self.environment)
        self.assertEqual(json.loads(done.stdout)["outcome"], "ok")


class UsageTest(unittest.TestCase):
    def test_what_makes_no_sense(self):
        key = Keys.make().public
        server = ["--server", "192.0.2.1:1", "--server-key", key, "--key-file", "/none"]
        with bed.Bed() as made:
            for words, said in (
                ([], "--server or --config"),
                (["--server", "192.0.2.1:1"], "--server-key"),
                ([*server[:1], "192.0.2.1", *server[2:]], "HOST:PORT"),
                ([*server[:3], "x", *server[4:]], "public key"),
                ([*server, "--tunnel", "10.0.0.1"], "--source"),
                ([*server, "--tunnel", "10.0.0.1", "--source", "fd00::1"], "family"),
                ([*server, "--count", "4"], "--tunnel"),
                ([*server, "--timeout", "soon"], "--timeout"),
                ([*server, "--config", "/none"], "--config"),
                ([*server, "--peer", "x"], "--config"),
                ([*server, "--source-address", "192.0.2.2", "--family", "ipv6"], "--source-address"),
                (server, "/none"),
            ):
                done = made.here.run(program("wgvitals"), "probe", "handshake", *words, check=False)
                self.assertEqual((done.returncode, done.stdout), (2, ""), words)
                self.assertIn(said, done.stderr, words)


if __name__ == "__main__":
    bed.need({"gdb": "gdb", "prlimit": "util-linux"})
    bed.main()
