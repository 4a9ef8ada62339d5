"""Names that hosts may stumble over, of peers and of devices, and userspace devices that have them."""

from __future__ import annotations

import contextlib
import pathlib
import re

import fake_uapi
from bed import Bed
from fake_uapi import FakeUapi, key_text
from programs import toml

# fmt: off
PEERS = [
    "plain", "a b", "a,b", "a=b", 'a"b', "a'b", "a\\b", "a.b", "a_b", "a-b", "a/b", "a:b", "a;b", "a{b}",
    "a\nb", "a\tb", "a\x01b", "a\x7fb", "a\x85b", "/lead", "lead", "/", "root", ".", "..", "-", "~", "%41",
    "$x", "nan", "ends in \\", 'ends in "', "büro", "b__ro", "東京", "nb\u00a0sp", "wide\u3000blank",
    "line\u2028end", "host", "rx_bytes", "x" * 300, "x" * 299 + "y", "ü" * 50, "ö" * 60,
]
DEVICES = [
    "plain", "a b", "a,b", "a=b", 'a"b', "a'b", "a\\b", "a.b", "a_b", "a-b", "a:b", "a;b", "a{b}", "a(b",
    "a*b", "a?b", "a[b", "a|b", "büro", "東京", ".x", "..", "~", "%41", "$x", "x" * 60, "x" * 59 + "y",
    "ends in \\",
]
# fmt: on
KEYS = [key_text(n + 1) for n in range(len(PEERS))]


def peers() -> set[float]:
    """The bytes that each of PEERS has received."""
    return {1000001.0 + n for n in range(len(PEERS))}


def devices() -> set[float]:
    """The port of each of DEVICES."""
    return {port(name) for name in DEVICES}


def port(device: str) -> float:
    return 20000.0 + DEVICES.index(device)


def host(bed: Bed, devices: contextlib.ExitStack) -> str:
    """Starts the devices; a configuration that reads them. The first has all of PEERS, the others none."""
    sockets = pathlib.Path(bed.dir, "odd")
    sockets.mkdir()
    for name in DEVICES:
        peers = fake_uapi.answer(len(PEERS) if name == "plain" else 0)
        answer = peers.replace(b"listen_port=51820", b"listen_port=%d" % port(name))
        devices.enter_context(FakeUapi(sockets, name, fake_uapi.says(answer)))
    return toml(uapi_dir=str(sockets), names=dict(zip(KEYS, PEERS)))


def collectd(bed: Bed) -> str:
    """The same for collectd, whose configuration cannot hold a line's end."""
    quoted = lambda text: '"' + re.sub(r'(["\\\\])', r"\\\1", text) + '"'
    names = [f"  Name {quoted(key)} {quoted(name)}\n" for key, name in zip(KEYS, PEERS) if "\n" not in name]
    options = f'  UapiDir "{bed.dir}/odd"\n' + "".join(names)
    return f"LoadPlugin wireguard\n<Plugin wireguard>\n{options}</Plugin>\n"


def printable(name: str) -> str:
    """As it is shown where nothing else is wrong with it."""
    return re.sub(r"[\u00a0\u2028\u3000]", " ", re.sub(r"[\x00-\x1f\x7f\x85]", "_", name))
