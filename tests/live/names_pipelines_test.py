"""Strange names of peers and devices, as InfluxDB and collectd's files have them in the end: each arrives,
all are distinct, and none harms its neighbours."""

import base64
import json
import os
import pathlib
import re
import unittest

import bed
import fake_uapi
import influxdb
import telegraf
from bed import UAPI_DIR, program, wait_until
from collectd import DAEMON, HOST, Collectd
from fake_uapi import FakeUapi, key, key_text
from influxdb import Influxdb
from line_protocol import select
from programs import once, toml, write
from telegraf import Telegraf

DATABASE = "vitals"

# The name as it is configured, and as we show it where that differs; behind a last ~ the key begins.
PEERS = {
    "plain": "",
    "two words": "",
    "a  wide   gap": "",
    "comma,comma": "",
    "equals=equals": "",
    "rx_bytes=7i,tx_bytes=8i 9": "",
    ",=, =,": "",
    'say "hi"': "",
    '"': "",
    "it's": "",
    "back\\slash": "",
    "back\\\\slashes": "",
    "at the end\\": "",
    "at the end, twice\\\\": "",
    "before\\ a blank": "",
    "before\\,a comma": "",
    "before\\=equals": "",
    'quoted\\"quote': "",
    'quoted\\"quote and blank': "",
    'quoted\\\\"quote and blank': "",
    'quoted"quote and a blank': "",
    "before n\\n": "",
    "dot.dot": "",
    "..": "",
    "...": "",
    "slash/slash": "",
    "/in front": "",
    "Böb ☃ 日本 🐧": "",
    "col:on;semi": "",
    "#hash": "",
    "-minus": "",
    "[a-z]*?": "",
    "{brace}(paren)": "",
    "$ %s %n `x`": "",
    "NaN": "",
    "42": "",
    "line\nbreak": "line_break",
    "tab\tand\x01control\x1b[31m": "tab_and_control_[31m",
    "del\x7f": "del_",
    "next line\x85c1": "next line_c1",
    "  blanks around ": "blanks around",
    "n" * 300: "n" * 93 + "~",
    "n" * 299 + "m": "n" * 93 + "~",
    "ü" * 300: "ü" * 46 + "~",
    "q" * 50 + '\\" ' * 40: ("q" * 50 + '\\" ' * 40)[:93] + "~",
    # Alike to a host that knows fewer characters.
    "the.twin": "the.twin~",
    "the/twin": "the/twin~",
    "the twin": "the twin~",
    "the\x02twin": "the_twin~",
}
# What Linux takes for the name of a link, and what only a socket can have.
LINKS = ("wg,1", "wg=1", "wg'1", 'wg"1', 'wg\\"1', "wg\\1", "wg.1", "wgü☃", "#wg{1};$")
SOCKETS = ("wg 1", "wg\\ 1", 'wg\\" =1', "wg,rx=1i 2")


def shown(n: int, name: str) -> str:
    text = PEERS[name] or name
    mark = base64.urlsafe_b64encode(key(n)).decode()[:6]
    return text + mark if text.endswith("~") else text


def in_influxdb(text: str) -> str:
    """Line protocol cannot have a backslash at these places."""
    return re.sub(r'\\(?=[ ,="]|$)', "_", text)


def in_collectd(text: str) -> str:
    return re.sub("[/;]", "_", text)


def quoted(text: str) -> str:
    """For collectd's configuration."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def in_toml(text: str) -> str:
    return re.sub(r"[\0-\x1f\x7f]", lambda found: rf"\u{ord(found[0]):04x}", quoted(text))


class NamesTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.names = {key_text(n): name for n, name in enumerate(PEERS, 1)}
        cls.shown = {n: shown(n, name) for n, name in enumerate(PEERS, 1)}
        cls.enterClassContext(FakeUapi(UAPI_DIR, "wg0", fake_uapi.healthy(len(PEERS))))
        cls.devices = {"wg0": 51820}
        for number, name in enumerate([*LINKS, *SOCKETS]):
            cls.devices[name] = port = 52000 + number
            if name in LINKS:
                address = f"10.99.{number}.1/24"  # without one collectd cannot resolve anything
                cls.bed.here.device(name, address, port=port, daemon=bed.WIREGUARD_GO)
            else:
                cls.enterClassContext(device(UAPI_DIR, name, port))
        cls.influx = cls.enterClassContext(Influxdb(cls.bed))

    def test_telegraf(self):
        names = "".join(f'"{key}" = {in_toml(name)}\n' for key, name in self.names.items())
        block = telegraf.sample_block(write(self.bed, f"{toml()}[inputs.wgvitals.names]\n{names}"))
        outputs = f"""
[[outputs.influxdb]]
  urls = ["http://127.0.0.1:{influxdb.HTTP}"]
  database = "{DATABASE}"
"""
        with Telegraf(self.bed, TELEGRAF, block, outputs=outputs) as agent:
            wait_until(lambda: len(agent.records("collector=engine version")) > 2, "three gathers")
        self.assertNotRegex(agent.log.read_text(), r"E! |W! \[(in|out)puts")

        devices = self.influx.series(DATABASE, "wireguard_device")
        ports = [(one.tags["name"], one.newest()[1]["listen_port"]) for one in devices]
        self.assertCountEqual(ports, [(in_influxdb(name), port) for name, port in self.devices.items()])
        linked = {one.tags["name"] for one in devices if "mtu" in one.newest()[1]}
        self.assertEqual(linked, {in_influxdb(name) for name in LINKS})

        peers = self.influx.series(DATABASE, "wireguard_peer", "WHERE device = 'wg0'")
        told = [
            (one.tags["public_key"], one.tags["friendly_name"], one.newest()[1]["rx_bytes"]) for one in peers
        ]
        meant = [(key_text(n), in_influxdb(name), 1000000 + n) for n, name in self.shown.items()]
        self.assertCountEqual(told, meant)
        self.assertEqual(len({name for _, name, _ in told}), len(PEERS))

    def test_collectd(self):
        names = "".join(f'  Name "{key}" {quoted(name)}\n' for key, name in self.names.items())
        plugin = f"LoadPlugin wireguard\n<Plugin wireguard>\n{names}</Plugin>\n"
        network = f'<Plugin network>\n  Server "127.0.0.1" "{influxdb.COLLECTD}"\n</Plugin>\n'
        with Collectd(self.bed, plugin, more="LoadPlugin network\n" + network) as collectd:
            read = lambda: csv(collectd, "wg0", "count-peers").get("", [])
            wait_until(lambda: len(read()) > 2, f"three reads of collectd, which said: {collectd.said}")
        self.assertNotRegex(collectd.said, "fail|wireguard plugin|too old")

        folders = [folder.name for folder in (collectd.dir / "csv" / HOST).glob("wireguard-*")]
        shown = [name.removeprefix("wireguard-") for name in folders]
        ports = {name: float(csv(collectd, name, "gauge-listen_port")[""][-1][1]) for name in shown}
        self.assertCountEqual(ports.values(), self.devices.values())
        for name, port in self.devices.items():
            [found] = [one for one in shown if ports[one] == port]
            plain = re.sub(r"[^\w.@+=~\x80-\U0010ffff-]", "_", name, flags=re.ASCII)
            mark = "" if plain == name else r"~[\w-]{6}"
            self.assertRegex(found, f"^{re.escape(plain)}{mark}$")

        meant = {in_collectd(name): 1000000 + n for n, name in self.shown.items()}
        self.assertEqual(len(meant), len(PEERS))
        told = {name: int(rows[-1][1]) for name, rows in csv(collectd, "wg0", "if_octets").items()}
        self.assertEqual(told, meant)
        longest = csv(collectd, "wg0", "gauge-persistent_keepalive_interval_ns")  # which does not fit with all
        self.assertEqual(len(longest), len(PEERS))
        cut_in_two = [name for name in longest if name.encode(errors="replace") != os.fsencode(name)]
        self.assertEqual(cut_in_two, [])

        def in_influx() -> dict[str, object]:
            where = "WHERE type = 'if_octets' AND instance = 'wg0'"
            series = self.influx.series("collectd", "wireguard_rx", where)
            return {one.tags["type_instance"]: one.newest()[1]["value"] for one in series}

        wait_until(lambda: len(in_influx()) >= len(meant), "the peers in InfluxDB")
        self.assertEqual(in_influx(), meant)

    def test_an_export_says_what_the_originals_say(self):
        """Any of these texts, in the comments of a wg-quick file."""
        comments = "".join(
            f"# friendly_json = {json.dumps({'text': name})}\n[Peer]\nPublicKey = {key}\n\n"
            for key, name in self.names.items()
        )
        original = toml(names_files=[write(self.bed, comments.replace("before n", "$PATH"), "wg0.conf")])

        def texts(config: str) -> dict[str, str]:
            records = select(once(self.bed, "wg0", config=config), "wireguard_peer")
            return {record.tags["public_key"]: record.tags.get("text") for record in records}

        command = [program("wgvitals"), "names", "--config", write(self.bed, original)]
        exported = write(self.bed, self.bed.here.run(*command).stdout, "names.toml")
        self.assertEqual(texts(toml(names_files=[exported])), texts(original))
        self.assertNotIn(None, texts(original).values())


def device(folder: pathlib.Path, name: str, port: int) -> FakeUapi:
    answer = fake_uapi.answer(1).replace(b"listen_port=51820", b"listen_port=%d" % port)
    return FakeUapi(folder, name, fake_uapi.says(answer))


def csv(collectd: Collectd, device: str, kind: str) -> dict[str, list[list[str]]]:
    """The rows of each file of that kind, by what stands behind it in the file's name."""
    folder = collectd.dir / "csv" / HOST / f"wireguard-{device}"
    day = len("-2000-01-01")
    return {
        file.name[len(kind) : -day].removeprefix("-"): [
            line.split(",") for line in file.read_text().splitlines()[1:]
        ]
        for file in folder.glob(kind + "-*")
    }


if __name__ == "__main__":
    bed.need({DAEMON: "collectd-core"})
    TELEGRAF = telegraf.build()
    influxdb.program()
    bed.main()
