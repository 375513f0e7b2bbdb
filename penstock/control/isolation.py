"""What an isolation covers: which paths and grants have an end in it.

Pure.  Emergencies are state, not policy: they stand before it and only take away.  It must never free anything because
somebody gave it another name: addresses count as well as names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from penstock.control.minting import Path
from penstock.control.rows import IsolatedKind, Isolation, LiveGrant
from penstock.control.state import Snapshot
from penstock.model import Asset, Decision, Grant, Miss, Reason, Site, SubjectKind

#: Hundreds of assets poll each other: their addresses are parsed once.
_REMEMBERED = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Both ends of a path: their names and zones as far as they are of the inventory, and their addresses.

    `goes_on`: a machine's safety-critical path, which an isolation leaves alone unless it says otherwise.
    """

    names: tuple[str, ...]
    zones: tuple[str | None, ...]
    addresses: tuple[str, ...]
    goes_on: bool


def ends_of_path(path: Path, *stations: str) -> Ends:
    """The ends of a path; `stations` are further addresses that its subject comes from."""
    return Ends(
        names=(path.asset.name, *_machine(path.subject.kind, path.subject.name)),
        zones=(path.asset.zone, path.subject.zone),
        addresses=(path.asset.address, *(each for each in (path.source, *stations) if each)),
        goes_on=path.is_safety_critical and path.subject.kind is SubjectKind.MACHINE,
    )


def ends_of_grant(live: LiveGrant, now: Snapshot) -> Ends:
    """The ends of a live grant.  A person is also where the sign-in was, whatever the grant is bound to."""
    grant = live.grant
    asset = None if now.policy is None else now.policy.assets.get(grant.asset)
    sign_in = None if live.sign_in is None else now.sign_ins.get(live.sign_in)
    station = None if sign_in is None else sign_in.source
    return Ends(
        names=(grant.asset, *_machine(grant.subject.kind, grant.subject.name)),
        zones=(None if asset is None else asset.zone, grant.subject.zone),
        addresses=(grant.underlay, *(each for each in (grant.source, station) if each)),
        goes_on=goes_on(grant),
    )


def ends_of_asset(asset: Asset, *stations: str) -> Ends:
    """An asset that a person at these stations asks for."""
    return Ends(names=(asset.name,), zones=(asset.zone,), addresses=(asset.address, *stations), goes_on=False)


def goes_on(grant: Grant) -> bool:
    """Whether this grant carries a safety-critical standing flow."""
    return grant.is_safety_critical and grant.subject.kind is SubjectKind.MACHINE


def covers(isolation: Isolation, ends: Ends) -> bool:
    """Whether one of the ends is isolated, and the path between them therefore closed."""
    return not (ends.goes_on and not isolation.even_safety_critical) and concerns(isolation, ends)


def concerns(isolation: Isolation, ends: Ends) -> bool:
    """Whether one of the ends is isolated, also where the path is left alone."""
    match isolation.kind:
        case IsolatedKind.SITE:
            return True
        case IsolatedKind.ASSET:
            is_named = isolation.name in ends.names
        case IsolatedKind.ZONE:
            is_named = isolation.name in ends.zones
    return is_named or any(_is_within(address, isolation.networks) for address in ends.addresses)


def covering(isolations: Iterable[Isolation], ends: Ends) -> Isolation | None:
    """The first of these isolations that closes the path, or ``None``."""
    return next((each for each in isolations if covers(each, ends)), None)


def covered_grants(isolation: Isolation, now: Snapshot) -> tuple[LiveGrant, ...]:
    """The live grants that this isolation ends."""
    return tuple(live for live in now.grants.values() if covers(isolation, ends_of_grant(live, now)))


def spared_grants(isolation: Isolation, now: Snapshot) -> tuple[Grant, ...]:
    """The safety-critical standing flows that pass although one of their ends is isolated, by number."""
    found = (
        live.grant
        for live in now.grants.values()
        if goes_on(live.grant) and not isolation.even_safety_critical and concerns(isolation, ends_of_grant(live, now))
    )
    return tuple(sorted(found, key=lambda grant: grant.number))


def networks_of(kind: IsolatedKind, name: str, site: Site) -> tuple[str, ...] | None:
    """The addresses (CIDR) of what is to be isolated, none for the whole site; ``None``: there is no such thing."""
    match kind:
        case IsolatedKind.SITE:
            return () if name == site.name else None
        case IsolatedKind.ASSET:
            asset = site.asset(name)
            return None if asset is None else (asset.address,)
        case IsolatedKind.ZONE:
            zone = next((zone for zone in site.zones if zone.name == name), None)
            addresses = (asset.address for asset in site.assets if asset.zone == name)
            return None if zone is None else tuple(dict.fromkeys((*zone.networks, *addresses)))


def refusal(decision: Decision, isolation: Isolation) -> Decision:
    """The denial of what would be allowed, were it not for this isolation: why, and who can help."""
    miss = Miss(
        criterion="isolation",
        reason=Reason.ISOLATED,
        wanted="not isolated",
        found=f"{title(isolation)} is isolated: {isolation.reason}",
        remedy="this is an emergency measure; ask the gate's administrator when it will be released",
    )
    return Decision(
        is_allowed=False,
        reason=Reason.ISOLATED,
        revision=decision.revision,
        conduit=decision.conduit,
        misses=(miss,),
    )


def title(isolation: Isolation) -> str:
    """What is isolated, in words."""
    match isolation.kind:
        case IsolatedKind.SITE:
            return f"the whole site {isolation.name}"
        case IsolatedKind.ZONE:
            return f"the zone {isolation.name}"
        case IsolatedKind.ASSET:
            return isolation.name


def _machine(kind: SubjectKind, name: str) -> tuple[str, ...]:
    return (name,) if kind is SubjectKind.MACHINE else ()


def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    parsed = _address(address)
    return parsed is not None and any(parsed in _network(network) for network in networks)


@lru_cache(_REMEMBERED)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """``None`` for what is no address, such as a user of the machine itself."""
    try:
        return ip_address(text)
    except ValueError:
        return None


@lru_cache(_REMEMBERED)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text, strict=False)
