"""What may pass, in words of its own: who reaches what where.  A second opinion on the table, made without it.

Knows nothing of sets, marks and chains: only of permissions, places and packets.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from gate_plant import GATE, INSPECTED, MODBUS, PLAIN, ROGUE, SAFETY, SCADA, USER, grant

from penstock.model import (
    Grant,
    Inspected,
    PortRange,
    PortTranslation,
    Ruleset,
    Standing,
    Translation,
)

SHARED = "100.64.0.99"
OWN = {PLAIN: "192.168.10.50", INSPECTED: "192.168.10.51", SAFETY: "192.168.10.60"}
SYN, ACK, DATA = 0x02, 0x10, 0x18
ECHO, TIMESTAMP = 8, 13
SOURCES = {"user": USER, "scada": SCADA, "rogue": ROGUE, "plc": OWN[PLAIN]}


@dataclass(frozen=True)
class Offer:
    """Something that can be reached: `size` ports from `at` on the overlay, from `own_at` on the asset itself."""

    overlay: str
    own: str
    transport: str
    at: int = 0
    own_at: int = 0
    size: int = 1
    is_inspected: bool = False


@dataclass(frozen=True)
class Permission:
    """A source may reach an offer; a machine's is safety-critical.  Without a source it is a tunnel's."""

    number: int
    source: str | None
    offer: Offer
    is_machine: bool


@dataclass(frozen=True)
class Packet:
    """What `node` sends with this source; `kind` are TCP's flags or the type of ICMP."""

    node: str
    source: str
    destination: str
    transport: str
    port: int
    kind: int


@dataclass(frozen=True)
class Arrival:
    """What an asset gets: from whom, at which of its addresses and ports."""

    source: str
    destination: str
    transport: str
    port: int


class World:
    """A random site: offers, permissions, and assets that are shown their clients."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.shown = {own for own in OWN.values() if random.random() < 0.3}
        self.offers: list[Offer] = [Offer(overlay, own, "icmp") for overlay, own in OWN.items()]
        self._taken: dict[tuple[str, str], list[range]] = {}
        while len(self.offers) < 12:
            self._try_offer()
        self.permissions: list[Permission] = []
        for number in range(1, 15):
            self.permissions.append(self._permission(number))

    def _try_offer(self) -> None:
        choose = self._random
        overlay = choose.choice([*OWN, SHARED])
        own = OWN.get(overlay) or choose.choice(list(OWN.values()))
        transport = choose.choice(["tcp", "udp"])
        size = choose.choice([1, 1, 2, 5, 40])
        own_at = choose.choice([MODBUS, choose.randrange(1, 200), choose.randrange(1000, 1100)])
        at = own_at if overlay != SHARED and choose.random() < 0.5 else choose.randrange(1, 1200)
        spans = {(overlay, transport): range(at, at + size), (own, transport): range(own_at, own_at + size)}
        for place, span in spans.items():
            if any(span.start < other.stop and other.start < span.stop for other in self._taken.get(place, ())):
                return
        for place, span in spans.items():
            self._taken.setdefault(place, []).append(span)
        is_inspected = size == 1 and choose.random() < 0.4
        self.offers.append(Offer(overlay, own, transport, at, own_at, size, is_inspected))

    def _permission(self, number: int) -> Permission:
        choose = self._random
        is_machine = choose.random() < 0.4
        source = SCADA if is_machine else choose.choice([USER, USER, ROGUE, SCADA, None])
        while True:
            offer = choose.choice(self.offers)
            if not any((each.source, each.offer) == (source, offer) for each in self.permissions):
                return Permission(number, source, offer, is_machine)

    def packet(self) -> Packet:
        """Often one that a permission would admit, often one that misses it by little."""
        choose = self._random
        wanted = choose.choice(self.permissions)
        node = next((name for name, source in SOURCES.items() if source == wanted.source), "user")
        found = {
            "node": node,
            "source": SOURCES[node],
            "destination": wanted.offer.overlay,
            "transport": wanted.offer.transport,
            "port": wanted.offer.at + choose.randrange(wanted.offer.size),
            "kind": {"tcp": SYN, "icmp": ECHO}.get(wanted.offer.transport, 0),
        }
        if choose.random() < 0.55:
            found |= choose.choice(
                [
                    {"node": (other := choose.choice(list(SOURCES))), "source": SOURCES[other]},
                    {"source": choose.choice([*SOURCES.values(), GATE, SAFETY, "10.1.2.3"])},
                    {"destination": choose.choice([*OWN, *OWN.values(), SHARED, GATE, ROGUE, "100.64.7.7"])},
                    {
                        "transport": (kind := choose.choice(["tcp", "udp", "icmp"])),
                        "kind": SYN if kind == "tcp" else ECHO,
                    },
                    {"port": wanted.offer.at + choose.choice([-1, wanted.offer.size])},
                    {"port": wanted.offer.own_at},
                    {"kind": choose.choice([ACK, DATA, SYN]) if wanted.offer.transport == "tcp" else TIMESTAMP},
                ]
            )
        return Packet(**found)  # type: ignore[arg-type]

    def arrival(self, packet: Packet, live: set[int]) -> Arrival | None:
        """Where this packet comes out, while these permissions are live; ``None``: nowhere."""
        if SOURCES[packet.node] != packet.source and self._is_known_as_forged(packet):
            return None
        for each in self.permissions:
            if each.number in live and each.source == packet.source and self._admits(each, packet):
                offer = each.offer
                seen = packet.source if offer.own in self.shown else GATE
                at = 0 if packet.transport == "icmp" else offer.own_at + packet.port - offer.at
                return Arrival(seen, offer.own, packet.transport, at)
        return None

    def _is_known_as_forged(self, packet: Packet) -> bool:
        """SCADA has a declared hardware address; the others' addresses are as good as the network that they are on."""
        return packet.source not in (USER, ROGUE, OWN[PLAIN])

    def _admits(self, permission: Permission, packet: Packet) -> bool:
        offer = permission.offer
        if (offer.overlay, offer.transport) != (packet.destination, packet.transport):
            return False
        if packet.transport == "icmp":
            return packet.kind == ECHO
        if packet.port not in range(offer.at, offer.at + offer.size):
            return False
        if permission.is_machine:
            return True  # goes uninspected without a worker, and is picked up half-way
        return not offer.is_inspected and (packet.transport != "tcp" or packet.kind == SYN)

    # --- the same, as the gate is told

    def ruleset(self, base: Ruleset) -> dict[str, object]:
        """The fields of a ruleset that say so."""
        ported = [each for each in self.offers if each.transport != "icmp"]
        moved = [each for each in ported if each.overlay == SHARED or each.at != each.own_at]
        return {
            "assets": tuple(
                Translation(overlay=overlay, underlay=own, keeps_client_address=own in self.shown)
                for overlay, own in OWN.items()
            ),
            "hardware": base.hardware,
            "inspected": tuple(
                Inspected(overlay=each.overlay, transport=each.transport, port=each.at)
                for each in ported
                if each.is_inspected
            ),
            "ports": tuple(
                PortTranslation(
                    overlay=each.overlay,
                    transport=each.transport,
                    overlay_port=each.at,
                    underlay=each.own,
                    port=each.own_at,
                )
                for each in moved
            ),
            "ranges": tuple(
                PortRange(overlay=each.overlay, transport=each.transport, first=each.at, last=each.at + each.size - 1)
                for each in ported
                if each.size > 1
            ),
            "standing": tuple(_standing(each) for each in self.permissions if each.is_machine),
        }

    def grants(self) -> list[Grant]:
        """The grants of people."""
        return [_grant(each) for each in self.permissions if not each.is_machine]


def _standing(permission: Permission) -> Standing:
    offer = permission.offer
    return Standing(
        source=permission.source or "",
        overlay=offer.overlay,
        transport=offer.transport,
        port=offer.at,
        grant=permission.number,
        last_port=offer.at + offer.size - 1 if offer.size > 1 else None,
        to_port=offer.own_at if offer.own_at != offer.at else None,
        underlay=offer.own,
    )


def _grant(permission: Permission) -> Grant:
    offer = permission.offer
    return grant(
        permission.number,
        overlay=offer.overlay,
        underlay=offer.own,
        source=permission.source,
        transport=offer.transport,
        port=offer.own_at,
        last_port=offer.own_at + offer.size - 1 if offer.size > 1 else None,
        overlay_port=offer.at,
        is_inspected=offer.is_inspected,
    )
