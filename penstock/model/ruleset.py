"""A ruleset: all that the kernel must know, compiled from a site and its standing grants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """An asset's overlay address and its own (underlay) address, and its hardware address where it is declared."""

    overlay: str
    underlay: str
    mac: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A service whose payload goes through the inspecting proxy."""

    overlay: str
    transport: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A safety-critical flow that is admitted without expiry and fails open: source, overlay address, port, grant."""

    source: str
    overlay: str
    transport: str
    port: int
    grant: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlace:
    """Where the gate stands: its one leg on the plant network, and its own ports.

    `interface` and `address` are the leg; `proxy_port` is the transparent listener on loopback, `beat_port` the
    loopback port of the workers' heartbeat, `open_ports` the TCP ports that the gate itself answers on its leg.
    """

    interface: str
    address: str
    proxy_port: int = 15002
    beat_port: int = 15999
    open_ports: tuple[int, ...] = (8443, 8444)


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
