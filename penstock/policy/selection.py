"""Which subjects and assets a selector means.  Pure; every given field must fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from penstock.model import ECHO, Asset, Conduit, OperationClass, Selector, Service, Subject, SubjectKind
from penstock.policy.numbers import read_port
from penstock.wire import SPOKEN, TRANSPORTS


def fits_asset(selector: Selector, asset: Asset) -> bool:
    """Whether the selector, as the target of a conduit or as its machine source, means this asset."""
    return (
        selector.asset in {None, asset.name}
        and selector.role in {None, asset.role}
        and selector.zone in {None, asset.zone}
        and selector.group is None
        and selector.user is None
        and (selector.asset or selector.role or selector.zone) is not None
    )


def fits_subject(selector: Selector, subject: Subject) -> bool:
    """Whether the selector, as the source of a conduit, means this subject.

    A person is never a machine: a person who is called like an asset does not fit `asset`, and the reverse.
    """
    if selector.group is not None or selector.user is not None:
        return (
            subject.kind is SubjectKind.PERSON
            and (selector.group is None or selector.group in subject.groups)
            and (selector.user is None or selector.user == subject.name)
            and selector.role is None
            and selector.zone is None
            and selector.asset is None
        )
    return (
        subject.kind is SubjectKind.MACHINE
        and (selector.asset is None or selector.asset == subject.name)
        and (selector.role is None or selector.role == subject.role)
        and (selector.zone is None or selector.zone == subject.zone)
        and (selector.asset or selector.role or selector.zone) is not None
    )


def is_inspectable(service: Service) -> bool:
    """Whether this version can inspect what the service speaks, over that transport."""
    return service.transport in TRANSPORTS.get(service.protocol, ())


def is_inspected_by(conduit: Conduit, service: Service) -> bool:
    """Whether the conduit names operations of this service's protocol, and a worker can see its flows."""
    return is_seen(service) and any(item.protocol == service.protocol for item in conduit.permissions)


def is_seen(service: Service) -> bool:
    """Whether a worker can read, or hold to its protocol, what the service speaks, over its transport."""
    return service.transport in transports_of(service.protocol) and service.last_port is None


def transports_of(protocol: str) -> tuple[str, ...]:
    """Over which a worker can read this protocol, or hold flows to it; the usual one first."""
    spoken = SPOKEN.get(protocol)
    return TRANSPORTS.get(protocol) or (() if spoken is None else spoken.transports)


def is_port_of(conduit: Conduit, service: Service) -> bool:
    """Whether the conduit permits all of this service's ports as a whole, or, where the service is echo, echo."""
    if service.transport == ECHO:
        return admits_echo(conduit)
    last = service.last_port or service.port
    return any(
        item.transport == service.transport and item.port <= service.port and last <= (item.last_port or item.port)
        for item in conduit.ports
    )


def admits_echo(conduit: Conduit) -> bool:
    """Whether its subjects may ask its targets whether they are there.

    A conduit that allows `discovery` of any protocol does.  Not where that has a rate: nobody counts echoes.  Nor where
    it requires TLS: echo has none.  Nor where it holds them: no packet of echo waits.
    """
    if conduit.require.tls:
        return False
    discovery = OperationClass.DISCOVERY
    if any(item.transport == ECHO for item in conduit.ports):
        return True
    return discovery not in conduit.hold and any(
        item.operation_class is discovery and item.rate is None for item in conduit.permissions
    )


def service_at(asset: Asset, over: str) -> Service | None:
    """The service of that name or protocol, or at that port: ``tcp/502``, and ``tcp/5003`` of ``tcp/5000-5010``."""
    named, asked = asset.service(over), read_port(over)
    if named is not None or asked is None:
        return named
    transport, first, last = asked
    offered = (item for item in asset.services if item.transport == transport)
    return next((each for each in offered if each.port <= first <= last <= (each.last_port or each.port)), None)


class Inventory:
    """The assets of a site, found by name, zone and role."""

    def __init__(self, assets: Iterable[Asset]) -> None:
        self.assets = tuple(assets)
        self._found: dict[tuple[str, str], list[Asset]] = {}
        self._holders = Counter(asset.overlay for asset in self.assets)
        for asset in self.assets:
            for field in ("name", "zone", "role"):
                self._found.setdefault((field, getattr(asset, field)), []).append(asset)

    def fitting(self, selector: Selector) -> list[Asset]:
        """The assets that the selector means, in the order of the document."""
        for field, name in (("name", selector.asset), ("zone", selector.zone), ("role", selector.role)):
            if name is not None:
                return [asset for asset in self._found.get((field, name), ()) if fits_asset(selector, asset)]
        return []

    def shares_overlay(self, asset: Asset) -> bool:
        """Whether its overlay address is another asset's too."""
        return bool(asset.overlay) and self._holders[asset.overlay] > 1


def targets_of(conduit: Conduit, inventory: Inventory) -> list[Asset]:
    """The assets that the conduit leads to."""
    return inventory.fitting(conduit.target)


def sources_of(conduit: Conduit, inventory: Inventory) -> list[Asset]:
    """The machines that the conduit leads from; none where it is for people."""
    return [] if conduit.is_for_people else inventory.fitting(conduit.source)


def selector_text(selector: Selector) -> str:
    """``group operators``, ``role plc in zone filtration``: how messages name it."""
    parts = []
    if selector.user is not None:
        parts.append(f"user {selector.user}")
    if selector.group is not None:
        parts.append(f"group {selector.group}")
    if selector.asset is not None:
        parts.append(f"asset {selector.asset}")
    if selector.role is not None:
        parts.append(f"role {selector.role}")
    if selector.zone is not None:
        parts.append(f"in zone {selector.zone}" if parts else f"zone {selector.zone}")
    return " ".join(parts)
