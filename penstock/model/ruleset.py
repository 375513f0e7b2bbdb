"""A ruleset: all that the kernel must know, compiled from a site and its standing grants."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.model.site import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """An asset's overlay address and its own (underlay) address, and its hardware address where it is declared.

    `overlay` is empty where nobody reaches it.
    `keeps_client_address`: packets to it keep the source address of the client.  `limits`: what it can bear.
    """

    overlay: str
    underlay: str
    mac: str | None = None
    keeps_client_address: bool = False
    limits: Limits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortTranslation:
    """One service that is reached at another port, or at an overlay address that it shares with other assets."""

    overlay: str
    transport: str
    overlay_port: int
    underlay: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRange:
    """A range of ports on an overlay address, `first` to `last`, both included, that is one service."""

    overlay: str
    transport: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A service whose payload goes through the inspecting proxy, by its port on the overlay address."""

    overlay: str
    transport: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A safety-critical flow that is admitted without expiry and fails open: source, overlay address, port, grant.

    `port` is the one on the overlay address (the first of a range); `to_port` is the asset's own where that differs.
    `is_copied`: its packets are copied into the payload store.
    """

    source: str
    overlay: str
    transport: str
    port: int
    grant: int
    last_port: int | None = None
    to_port: int | None = None
    underlay: str | None = None
    is_copied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A network of the plant that lies behind routers: its packets come from these hardware addresses only."""

    network: str
    routers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlace:
    """Where the gate stands: its one leg on the plant network, and its own ports.

    `interface` and `address` are the leg; `proxy_port` is the transparent listener on loopback, `beat_port` the
    loopback port of the workers' heartbeat, `open_ports` and `open_udp_ports` those that the gate itself answers on
    its leg.
    """

    interface: str
    address: str
    proxy_port: int = 15002
    beat_port: int = 15999
    open_ports: tuple[int, ...] = (8443, 8444)
    open_udp_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """The complete kernel state that a revision asks for; dynamic grants are kept beside it."""

    revision: int
    overlay: str
    place: GatePlace
    assets: tuple[Translation, ...] = ()
    inspected: tuple[Inspected, ...] = ()
    standing: tuple[Standing, ...] = ()
    hardware: tuple[tuple[str, str], ...] = ()
    """Pairs of source address and the hardware address that it must come from."""
    ports: tuple[PortTranslation, ...] = ()
    ranges: tuple[PortRange, ...] = ()
    segments: tuple[Segment, ...] = ()
    overlay_is_shared: bool = False
    """The plant uses addresses of the overlay network too: only the assets' own overlay addresses are the overlay."""
    aside: tuple[int, ...] = ()
    """Grants of safety-critical conduits that have been told to leave inspection."""
    has_copies: bool = False
    """Whether any conduit asks for copies of its packets: without it the table has no rule that copies."""
