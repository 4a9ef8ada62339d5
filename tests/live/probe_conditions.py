"""Real WireGuard servers, each in one condition, and what `wgvitals probe handshake` says of it.

CONDITIONS is the table of what is expected, which is what users are promised. It is the same for every server:
wireguard-go in the live bed, the kernel in the guest, where `probe_conditions.py FILE` leaves what it saw.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import signal
import sys
import time
import traceback
from collections.abc import Callable

import bed
from bed import Bed, Host, Keys
from flood import Flood
from middle import COOKIE_REPLY, DATA, INITIATION, RESPONSE, Middle, each_bit_flipped, lose, of_type, pass_on
from probe_site import ECHOES, INSIDE, PORT, Said, Site

FINE = f"ok, tunnel {ECHOES} of {ECHOES}"
DEAD = f"tunnel_dead, tunnel 0 of {ECHOES}"


@dataclasses.dataclass
class Condition:
    name: str
    expected: str  # what each probe ends with
    arrange: Callable[[Site], list[Said]]
    advice: tuple[str, ...] = ()  # words of the last one's advice
    only: str = ""  # this server's
    alone: bool = False  # while nothing else runs


CONDITIONS: list[Condition] = []


def condition(name: str, expected: str, *advice: str, **more):
    def register(arrange: Callable[[Site], Said | list[Said]]):
        as_list = lambda site: (said if isinstance(said := arrange(site), list) else [said])
        CONDITIONS.append(Condition(name, expected, as_list, advice, **more))
        return arrange

    return register


@condition("right", FINE)
def _(site: Site):
    return site.probe(site.server())


@condition("right, by IPv6, outside and inside", FINE)
def _(site: Site):
    server = site.server()
    return site.probe(server, f"[{server.link.b.v6}]:{PORT}", inside=INSIDE[1])


@condition("right, with a preshared key", FINE)
def _(site: Site):
    psk = Keys.make().preshared
    return site.probe(site.server(psk=psk), psk=psk)


@condition("right, nothing asked inside the tunnel", "ok")
def _(site: Site):
    return site.probe(site.server(), inside="")


@condition("wrong server key", "silent", "does not know this key", "server key is wrong")
def _(site: Site):
    return site.probe(site.server(), key=Keys.make().public)


@condition("key not registered", "silent", "does not know this key", "wg show")
def _(site: Site):
    return site.probe(site.server(registered=False))


@condition("peer removed", f"{FINE}; silent", "does not know this key")
def _(site: Site):
    server = site.server()
    before = site.probe(server)
    server.device.remove_peer(server.key.public)
    return [before, site.probe(server)]


@condition("wrong preshared key", "psk_mismatch", "preshared key")
def _(site: Site):
    return site.probe(site.server(psk=Keys.make().preshared), psk=Keys.make().preshared)


@condition("preshared key on the server only", "psk_mismatch", "preshared key")
def _(site: Site):
    return site.probe(site.server(psk=Keys.make().preshared))


@condition("preshared key here only", "psk_mismatch", "preshared key")
def _(site: Site):
    return site.probe(site.server(), psk=Keys.make().preshared)


@condition("closed port", "closed", "port unreachable", "the server itself")
def _(site: Site):
    return site.probe(site.server(device=False))


@condition("interface removed", f"{FINE}; closed", "port unreachable", "the server itself")
def _(site: Site):
    server = site.server()
    before = site.probe(server)
    server.device.remove()
    return [before, site.probe(server)]


@condition("no route here", "unreachable", "cannot be sent from here")
def _(site: Site):
    return site.probe(site.server(device=False), f"203.0.113.9:{PORT}")


def behind_a_router(site: Site, kind: str) -> Said:
    """The server's address is behind a router that has a route of this kind to it."""
    router = site.server(device=False)
    address = f"10.66.{router.link.b.v4.split('.')[2]}.9"
    site.bed.here.run("ip", "route", "add", address, "via", router.link.b.v4)
    router.host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    router.host.run("ip", "route", "add", kind, address)
    return site.probe(router, f"{address}:{PORT}")


@condition("no route on the way", "unreachable", "host unreachable", "198.51.")
def _(site: Site):
    return behind_a_router(site, "unreachable")


@condition("forbidden on the way", "unreachable", "prohibited", "198.51.")
def _(site: Site):
    return behind_a_router(site, "prohibit")


@condition("dropped on the way", "silent", "firewall")
def _(site: Site):
    return behind_a_router(site, "blackhole")


def filter_packets(host: Host, what: str, rule: str) -> None:
    chain = f"type {what}\n{rule}\n"
    host.run("nft", "-f", "-", input=f"table ip test {{\nchain test {{\n{chain}}}\n}}\n")


def behind_a_firewall(site: Site, verdict: str) -> Said:
    server = site.server()
    filter_packets(server.host, "filter hook input priority 0", f"udp dport {PORT} {verdict}")
    return site.probe(server)


@condition("dropped by the server's firewall", "silent", "firewall")
def _(site: Site):
    return behind_a_firewall(site, "drop")


@condition("rejected by the server's firewall", "closed", "port unreachable", "firewall")
def _(site: Site):
    return behind_a_firewall(site, "reject")


@condition("name does not resolve", "name_error", "none.invalid")
def _(site: Site):
    return site.probe(site.server(device=False), f"none.invalid:{PORT}")


@condition("server's allowed IPs are others", DEAD, "allowed IPs")
def _(site: Site):
    return site.probe(site.server(allowed_ips="10.70.0.77/32"))


@condition("nobody answers behind the tunnel", DEAD, "does not answer inside the tunnel")
def _(site: Site):
    return site.probe(site.server(), inside="10.71.0.1")


@condition("no route behind the tunnel", DEAD, "inside the tunnel", INSIDE[0], "unreachable")
def _(site: Site):
    server = site.server()
    server.host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    return site.probe(server, inside="10.71.0.1")


@condition("frozen (SIGSTOP), then thawed", f"{FINE}; silent; {FINE}", only="wireguard-go")
def _(site: Site):
    server = site.server()
    said = [site.probe(server)]
    for number in (signal.SIGSTOP, signal.SIGCONT):
        server.device.process.send_signal(number)
        said.append(site.probe(server))
    return said


@condition("clock behind a timestamp that the server remembers", f"{FINE}; silent", "clock", "--ahead")
def _(site: Site):
    server = site.server()
    return [
        site.probe(server, states="ahead", options=("--ahead", "3600")),
        site.probe(server, states=f"behind.{server.host.name}"),
    ]


@condition("the same, with --ahead", f"{FINE}; silent; {FINE}; {FINE}")
def _(site: Site):
    server = site.server()
    states = f"proof.{server.host.name}"
    return [
        site.probe(server, states="ahead", options=("--ahead", "3600")),
        site.probe(server, states=states),
        site.probe(server, states=states, options=("--ahead", "7200")),
        site.probe(server, states=states),  # the floor stays ahead
    ]


@condition("three processes with one key at once", "ok; ok; ok")
def _(site: Site):
    server = site.server()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda _: site.probe(server, inside=""), range(3)))


@condition("answers from another address", f"{FINE}, from another address")
def _(site: Site):
    return site.through(site.server(), answers_from="127.0.0.2")


@condition("NAT between", FINE)
def _(site: Site):
    router, server = site.server(device=False), site.server()
    link = site.join(router.host, server.host)
    site.bed.here.run("ip", "route", "add", link.b.v4, "via", router.link.b.v4)
    router.host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    filter_packets(router.host, "nat hook postrouting priority 100", "masquerade")
    said = site.probe(server, f"{link.b.v4}:{PORT}")
    endpoint = server.device.dump()[server.key.public].endpoint
    if not endpoint.startswith(f"{link.a.v4}:"):
        raise RuntimeError(f"the server saw {endpoint}")
    return said


@condition("NAT between, which forgets us behind the handshake", FINE)
def _(site: Site):
    def forth(packet: bytes, number: int) -> list[bytes]:
        if packet[0] == DATA and number == 1:
            middle.rebind()
        return [packet]

    server = site.server()
    with Middle(server.place, forth=forth) as middle:
        return site.probe(server, middle.address)


def with_losses(site: Site, forth=pass_on, back=pass_on, initiations: int = 0) -> Said:
    server = site.server()
    with Middle(server.place, forth=forth, back=back) as middle:
        said = site.probe(server, middle.address)
    if (sent := middle.counts["forth", INITIATION]) != initiations:
        raise RuntimeError(f"{sent} initiations instead of {initiations}")
    return said


@condition("the first initiation is lost", FINE)
def _(site: Site):
    return with_losses(site, forth=lose((INITIATION, 1)), initiations=2)


@condition("the first response is lost", FINE)
def _(site: Site):
    return with_losses(site, back=lose((RESPONSE, 1)), initiations=2)


@condition("the first initiation and the first response are lost", FINE)
def _(site: Site):
    return with_losses(site, lose((INITIATION, 1)), lose((RESPONSE, 1)), initiations=3)


@condition("all responses are lost", "silent")
def _(site: Site):
    return with_losses(site, back=lambda packet, _: [], initiations=3)


@condition("each packet comes twice", FINE)
def _(site: Site):
    twice = lambda packet, _: [packet, packet]
    return site.through(site.server(), forth=twice, back=twice)


@condition("replayed: all that the server said before comes again, before what it says", f"{FINE}; {FINE}")
def _(site: Site):
    kept: list[bytes] = []

    def back(packet: bytes, _number: int) -> list[bytes]:
        kept.append(packet)
        return list(kept)

    server = site.server()
    with Middle(server.place, back=back) as middle:
        return [site.probe(server, middle.address) for _ in range(2)]


@condition("replayed: an earlier handshake's answers instead of this one's", f"{FINE}; invalid", "repeats")
def _(site: Site):
    kept: list[bytes] = []

    def back(packet: bytes, number: int) -> list[bytes]:
        if packet[0] == RESPONSE and number == 1 or packet[0] == DATA:
            kept.append(packet)
            return [packet]
        return list(kept)

    server = site.server()
    with Middle(server.place, back=back) as middle:
        return [site.probe(server, middle.address) for _ in range(2)]


@condition("response truncated, and too long: each length but the right one", "invalid", "cuts")
def _(site: Site):
    lengths = lambda packet, _: [
        *(packet[:size] for size in range(len(packet))),
        *(packet + bytes(size) for size in (1, 2, 4, 16, 1000)),
    ]
    return site.through(site.server(), back=of_type(RESPONSE, lengths))


@condition("response mangled: each bit in its turn", "invalid", "changes")
def _(site: Site):
    bits = lambda packet, _: each_bit_flipped(packet, range(8 * len(packet)))
    return site.through(site.server(), back=of_type(RESPONSE, bits))


@condition("response mangled in each way, then as it was", FINE)
def _(site: Site):
    bits = lambda packet, _: [*each_bit_flipped(packet, range(8 * len(packet))), packet]
    return site.through(site.server(), back=of_type(RESPONSE, bits))


@condition("answers inside the tunnel mangled: each bit in its turn", DEAD)
def _(site: Site):
    bits = lambda packet, _: each_bit_flipped(packet, range(8 * len(packet)))
    return site.through(site.server(), back=of_type(DATA, bits))


@condition("answers inside the tunnel truncated", DEAD)
def _(site: Site):
    lengths = lambda packet, _: [packet[:size] for size in range(len(packet))]
    return site.through(site.server(), back=of_type(DATA, lengths))


def under_load(site: Site, registered: bool = True, limited: bool = False) -> Said:
    """A probe that met the condition. The server comes to itself now and then, also in a flood, and one packet in
    many is within the limit: then once more."""
    server = site.server(registered=registered)
    key = server.device.keys.public
    with Flood(site.bed, *server.place, key):
        limit = Flood(site.bed, *server.place, key, cookies=True) if limited else None
        with limit or contextlib.nullcontext():
            for _ in range(5):
                said = site.probe(server, inside="")
                if said.answer["cookie"] and not (limited and said.answer["outcome"] == "ok"):
                    break
    return said


@condition("under load", "ok, cookie", alone=True)
def _(site: Site):
    return under_load(site)


@condition("under load, key not registered", "under_load, cookie", "cannot be seen", alone=True)
def _(site: Site):
    return under_load(site, registered=False)


@condition("under load, and its limit for our address is used up", "under_load, cookie", "limit", alone=True)
def _(site: Site):
    return under_load(site, limited=True)


@condition("under load, cookie replies mangled: each bit in its turn", "invalid", alone=True)
def _(site: Site):
    bits = lambda packet, _: each_bit_flipped(packet, range(8 * len(packet)))
    server = site.server()
    with Flood(site.bed, *server.place, server.device.keys.public):
        for _ in range(5):
            with Middle(server.place, back=of_type(COOKIE_REPLY, bits)) as middle:
                said = site.probe(server, middle.address, inside="")
            if not middle.counts["back", RESPONSE]:
                break
    return said


def sessions(site: Site) -> list[dict]:
    """What carries data both ways, and what wg(8) on the server says of it."""

    def one(inside: str) -> dict:
        server = site.server()
        began = int(time.time())
        said = site.probe(server, inside=inside, count=5)
        peer = lambda: server.device.dump()[server.key.public]
        bed.wait_until(lambda: peer().latest_handshake, "the server's own handshake time")
        return dataclasses.asdict(said) | {"began": began, "peer": dataclasses.asdict(peer())}

    return [one(inside) for inside in INSIDE]


def run(site: Site, kind: str, threads: int) -> dict[str, dict]:
    """Each condition's name and what was seen in it, or the `fault` of what should have brought it about."""

    def one(what: Condition) -> dict:
        try:
            said = what.arrange(site)
        except Exception:
            return {"fault": traceback.format_exc()}
        return {"seen": "; ".join(map(str, said)), "said": [dataclasses.asdict(one) for one in said]}

    chosen = [what for what in CONDITIONS if what.only in ("", kind)]
    together = [what for what in chosen if not what.alone]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        seen = dict(zip((what.name for what in together), pool.map(one, together)))
    return seen | {what.name: one(what) for what in chosen if what.alone}


if __name__ == "__main__":
    bed.UAPI_DIR.mkdir(parents=True, exist_ok=True)
    with Bed() as the_bed:
        the_site = Site(the_bed)
        found = {"sessions": sessions(the_site), "conditions": run(the_site, "kernel", threads=4)}
    pathlib.Path(sys.argv[1]).write_text(json.dumps(found, indent=1))
