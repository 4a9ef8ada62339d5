"""One host with a WireGuard device and several peers on another host, every number of which differs."""

from __future__ import annotations

import dataclasses

from bed import Bed, Device, Keys, wait_until


@dataclasses.dataclass(frozen=True)
class Spoke:
    device: Device
    address: str  # inside the tunnel
    hub_address: str


class Star:
    """`hub` on the bed's own host, `spokes` that have shaken hands and carried traffic, and `silent`, the key
    of a peer that never did.

    Spoke 1 has an IPv6 endpoint, several allowed IPs and a preshared key. All but spoke 0 have a persistent
    keepalive, so rare that it never fires here.
    """

    def __init__(self, bed: Bed, spokes: int = 3, daemon: tuple[str, ...] = ()) -> None:
        self.bed = bed
        self.far = bed.host("far")
        self.link = bed.join(bed.here, self.far)
        self.hub = bed.here.device("wg0", *(f"10.77.{n}.1/24" for n in range(spokes)), daemon=daemon)
        self.hub.set("fwmark", "0x51")
        self.spokes = [self._spoke(n) for n in range(spokes)]
        self.silent = Keys.make().public
        self.hub.add_peer(self.silent, "10.78.0.0/24, fd00:78::/64")
        self._settled: list[int] = []  # what the hub had received of each
        for n, spoke in enumerate(self.spokes):
            spoke.device.ping(spoke.hub_address, count=n + 2, size=100 + 300 * n)
            # The answer is shorter, so that received and sent bytes differ.
            before = self._counted(spoke)[1]
            spoke.device.send(spoke.hub_address, 1000 + 100 * n)
            wait_until(lambda: self._has_settled(spoke, before), f"an answer to spoke {n}")
            self._settled.append(self._counted(spoke)[0])

    def _counted(self, spoke: Spoke) -> tuple[int, int]:
        """What a spoke sent and received."""
        row = spoke.device.dump()[self.hub.keys.public]
        return row.tx_bytes, row.rx_bytes

    def _has_settled(self, spoke: Spoke, before: int) -> bool:
        """More was received than before, and the hub has counted all of it. What it sent to a spoke that did not know
        it yet, that one has not."""
        row = self.hub.dump()[spoke.device.keys.public]
        sent, received = self._counted(spoke)
        return received > before and row.rx_bytes == sent and row.tx_bytes >= received

    def quiet(self, ask):
        """What ask() gives, and what wg(8) says before and after it: idle peers send a keepalive now and then."""

        def asked():
            before = self.hub.dump()
            given = ask()
            return before == self.hub.dump() and (given, before)

        return wait_until(asked, "a tunnel at rest")

    def rest(self) -> None:
        """Until each spoke has sent the keepalive that is due 10 s after what it received: then nothing comes."""
        for spoke, settled in zip(self.spokes, self._settled):
            come = lambda: self.hub.dump()[spoke.device.keys.public].rx_bytes > settled
            wait_until(come, f"a keepalive of {spoke.device.name}")

    def shake_hands(self) -> None:
        """Spoke 0 forgets the hub and their session, and is told of it again."""
        spoke, hub = self.spokes[0], self.hub
        spoke.device.remove_peer(hub.keys.public)
        spoke.device.add_peer(hub.keys.public, f"{spoke.hub_address}/32", f"{self.link.a.v4}:{hub.port}")
        spoke.device.ping(spoke.hub_address, count=2)

    def _spoke(self, n: int) -> Spoke:
        device = self.far.device(f"spoke{n}", f"10.77.{n}.2/24", port=40000 + n)
        wide, psk = n == 1, device.keys.preshared if n == 1 else ""
        allowed = f"10.77.{n}.2/32" + (f", fd00:77:{n}::/64, 192.168.{n}.0/24" if wide else "")
        ours, theirs = self.link.a.v4, self.link.b.v4
        if wide:
            ours, theirs = f"[{self.link.a.v6}]", f"[{self.link.b.v6}]"
        self.hub.add_peer(device.keys.public, allowed, f"{theirs}:{device.port}", psk, n and 40000 + n)
        device.add_peer(self.hub.keys.public, f"10.77.{n}.1/32", f"{ours}:{self.hub.port}", psk)
        return Spoke(device, f"10.77.{n}.2", f"10.77.{n}.1")
