"""What `wg show all dump` says and what wgvitals says, as values of the same type, to be compared by assertEqual."""
from __future__ import annotations

import dataclasses
import json
import re


@dataclasses.dataclass(frozen=True)
class Device:
    listen_port: int
    fwmark: int
    peers: int


@dataclasses.dataclass(frozen=True)
class Peer:
    endpoint: str | None
    allowed_ips: int
    prefixes: frozenset[str] | None  # None: more than allowed_ips_field_max
    handshake_s: int | None
    rx_bytes: int
    tx_bytes: int
    keepalive_s: int


@dataclasses.dataclass
class State:
    """Devices by (name, netns), peers by (device, netns, public key)."""
    devices: dict[tuple, Device] = dataclasses.field(default_factory=dict)
    peers: dict[tuple, Peer] = dataclasses.field(default_factory=dict)


def from_dump(text: str, netns: str | None = None, prefixes_max: int = 64) -> State:
    """`wg show all dump`. One line is a device or a peer:
    wg0 <private> <public> 51820 off
    wg0 <public> <psk> 10.0.0.1:51820 10.1.0.0/24,10.2.0.0/24 1700000000 92 148 off
    """
    state = State()
    ports = {}
    for line in text.splitlines():
        words = line.split("\t")
        name = words[0]
        if len(words) == 5:
            ports[name] = (int(words[3]), 0 if words[4] == "off" else int(words[4], 16))
            continue
        key, _, endpoint, allowed, handshake, rx, tx, keepalive = words[1:]
        prefixes = frozenset() if allowed == "(none)" else frozenset(allowed.split(","))
        state.peers[name, netns, key] = Peer(
            # Telegraf's own plugin leaves the scope of a link-local address out, and so do we.
            endpoint=None if endpoint == "(none)" else re.sub("%[^]]+", "", endpoint),
            allowed_ips=len(prefixes),
            prefixes=prefixes if len(prefixes) <= prefixes_max else None,
            handshake_s=int(handshake) or None,
            rx_bytes=int(rx), tx_bytes=int(tx),
            keepalive_s=0 if keepalive == "off" else int(keepalive))
    for name, (port, mark) in ports.items():
        state.devices[name, netns] = Device(port, mark, sum(key[0] == name for key in state.peers))
    return state


@dataclasses.dataclass(frozen=True)
class Line:
    """One metric of one gather."""
    name: str
    tags: dict[str, str]
    fields: dict[str, int | float | str | bool]
    timestamp: int


def from_json(text: str) -> list[Line]:
    return [Line(m["name"], m["tags"], m["fields"], m["timestamp"]) for m in json.loads(text)["metrics"]]


_TAG = re.compile(r",((?:[^,= \\]|\\.)+)=((?:[^,= \\]|\\.)+)")
_FIELD = re.compile(r'((?:[^,= \\"]|\\.)+)=("(?:[^"\\]|\\.)*"|[^", ]+),?')


def _field(text: str) -> int | float | str | bool:
    if text[0] == '"':
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in ("true", "false"):
        return text == "true"
    return int(text[:-1]) if text[-1] in "iu" else float(text)


def from_influx(text: str) -> list[Line]:
    """Line protocol; raises ValueError at a line that is none, also at a torn one."""
    lines = []
    for line in text.splitlines(keepends=True):
        parts = re.fullmatch(r'((?:[^, \\]|\\.)+)((?:,(?:[^,= \\]|\\.)+=(?:[^,= \\]|\\.)+)*) (\S.*) (\d+)\n', line)
        if not parts or _FIELD.sub("", parts[3]):
            raise ValueError(f"not line protocol: {line!r}")
        def plain(name: str) -> str:
            return re.sub(r"\\([,= \\])", r"\1", name)
        lines.append(Line(plain(parts[1]),
                          {plain(key): plain(value) for key, value in _TAG.findall(parts[2])},
                          {plain(key): _field(value) for key, value in _FIELD.findall(parts[3])},
                          int(parts[4])))
    return lines


def merged(lines: list[Line], name: str, *labels: str) -> dict[tuple, dict]:
    """The fields of all lines of one family, by the values of these labels. A field said twice is an error."""
    things: dict[tuple, dict] = {}
    for line in lines:
        if line.name != name:
            continue
        fields = things.setdefault(tuple(line.tags.get(label) for label in labels), {})
        twice = fields.keys() & line.fields.keys()
        if twice:
            raise ValueError(f"{name} {line.tags}: {twice} twice")
        fields.update(line.fields)
    return things


def from_lines(lines: list[Line]) -> State:
    state = State()
    for (name, netns), fields in merged(lines, "wireguard_device", "name", "netns").items():
        state.devices[name, netns] = Device(fields["listen_port"], fields["firewall_mark"], fields["peers"])
    for where, fields in merged(lines, "wireguard_peer", "device", "netns", "public_key").items():
        cidr = fields.get("allowed_peer_cidr")
        count = fields["allowed_ips"]
        nanoseconds = fields.get("last_handshake_time_ns")
        state.peers[where] = Peer(
            endpoint=fields.get("endpoint") or None,
            allowed_ips=count,
            prefixes=frozenset(cidr.split(",")) if cidr else frozenset() if count == 0 else None,
            handshake_s=None if nanoseconds is None else nanoseconds // 10**9,
            rx_bytes=fields["rx_bytes"], tx_bytes=fields["tx_bytes"],
            keepalive_s=fields["persistent_keepalive_interval_ns"] // 10**9)
    return state


def own(lines: list[Line], collector: str) -> dict:
    """The self metrics of one collector of one gather."""
    return merged(lines, "wgvitals", "collector").get((collector,), {})


def gathers(text: str) -> list[list[Line]]:
    """The output of execd, cut into gathers: each has one timestamp."""
    by_time: dict[int, list[Line]] = {}
    for line in from_influx(text):
        by_time.setdefault(line.timestamp, []).append(line)
    return list(by_time.values())
