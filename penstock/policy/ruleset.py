"""The kernel's share of a policy: the `Ruleset` of a revision and its standing grants.

Pure.  Everything in it is sorted, so that equal policies give equal rulesets.  Of the grants only those that are
safety-critical enter it; the others are elements that come and go beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.model import (
    ECHO,
    Asset,
    GatePlace,
    Grant,
    Inspected,
    Limits,
    Ruleset,
    Segment,
    Site,
    Standing,
    Translation,
)
from penstock.policy.compile import Policy
from penstock.policy.overlay import port_ranges, port_translations
from penstock.policy.same_subnet import is_shared
from penstock.policy.selection import Inventory, sources_of


def compile_ruleset(policy: Policy, place: GatePlace, standing: Sequence[Grant]) -> Ruleset:
    """All that the kernel must know.  Of the `standing` grants only those that are safety-critical enter it."""
    site = policy.site
    assets = sorted(site.assets, key=lambda asset: asset.name)
    inventory = Inventory(site.assets)
    sources = {source.name for each in policy.conduits for source in sources_of(each, inventory)}
    keeping = {zone.name for zone in site.zones if zone.keeps_client_address}
    return Ruleset(
        revision=policy.revision,
        overlay=site.overlay,
        overlay_is_shared=is_shared(site),
        place=place,
        assets=tuple(_translation(each, keeps_client_address=each.zone in keeping) for each in assets),
        inspected=tuple(sorted(_inspected(policy), key=lambda each: (each.overlay, each.transport, each.port))),
        standing=tuple(_standing(grant) for grant in sorted(standing, key=lambda each: each.number) if _stands(grant)),
        has_copies=any(each.records_payload or each.latency is not None for each in policy.conduits),
        hardware=tuple((each.address, each.mac) for each in assets if each.mac is not None and each.name in sources),
        ports=tuple(
            sorted(port_translations(assets), key=lambda each: (each.overlay, each.transport, each.overlay_port))
        ),
        ranges=tuple(sorted(port_ranges(assets), key=lambda each: (each.overlay, each.transport, each.first))),
        segments=tuple(sorted(_segments(site), key=lambda each: each.network)),
    )


def _translation(asset: Asset, *, keeps_client_address: bool) -> Translation:
    return Translation(
        overlay=asset.overlay,
        underlay=asset.address,
        mac=asset.mac,
        keeps_client_address=keeps_client_address,
        limits=None if asset.limits == Limits() else asset.limits,
    )


def _inspected(policy: Policy) -> set[Inspected]:
    """By the port on the overlay address: that is where the kernel still knows which asset is meant."""
    return {
        Inspected(overlay=way.asset.overlay, transport=way.service.transport, port=way.service.reached_at)
        for way in policy.ways.values()
        if way.service.transport != ECHO and any(lane.permits for lanes in way.lanes.values() for lane in lanes)
    }


def _segments(site: Site) -> Iterator[Segment]:
    for zone in site.zones:
        if zone.routers:
            yield from (Segment(network=network, routers=zone.routers) for network in zone.networks)


def _stands(grant: Grant) -> bool:
    return grant.is_safety_critical and grant.source is not None


def _standing(grant: Grant) -> Standing:
    return Standing(
        source=grant.source or "",
        overlay=grant.overlay,
        transport=grant.transport,
        port=grant.reached_at,
        grant=grant.number,
        last_port=None if grant.last_port is None else grant.reached_at + grant.last_port - grant.port,
        to_port=None if grant.reached_at == grant.port else grant.port,
        underlay=grant.underlay,
        is_copied=grant.is_copied,
    )
