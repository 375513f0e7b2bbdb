"""A site, compiled: an immutable, indexed `Policy` for judging, and the `Ruleset` that the kernel needs.

Pure.  A policy is made once a revision and swapped in whole; nothing in it changes afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from penstock.model import (
    ECHO,
    Asset,
    Conduit,
    Invalid,
    Problem,
    Selector,
    Service,
    Site,
)
from penstock.policy.lanes import Lane, lane_of
from penstock.policy.selection import Inventory, is_inspected_by, is_port_of, sources_of, targets_of

SubjectKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Way:
    """One service of one asset, and the lanes that lead to it, by the most telling field of their source.

    `differs_in_record`: its conduits are told more or less fully.
    The keys are pairs such as ``("group", "operators")``: of user, group, asset, role or zone, and a name.
    """

    asset: Asset
    service: Service
    lanes: Mapping[SubjectKey, tuple[Lane, ...]]
    differs_in_record: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """One revision, ready to judge.  Make it with `compile_policy` only.

    `ways` finds a service by asset and by its name, its protocol (the first such service) or its port (``tcp/5432``,
    ``udp/5000-5010``).  `leading` finds the conduits that lead to an asset at all.
    """

    revision: int
    site: Site
    assets: Mapping[str, Asset]
    ways: Mapping[tuple[str, str], Way]
    leading: Mapping[str, tuple[Conduit, ...]]
    conduits: tuple[Conduit, ...]
    by_name: Mapping[str, Conduit]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePath:
    """One machine may reach one service of another.  `conduits` are the names of all that permit it, sorted.

    `is_safety_critical`: at least one of them fails open, and so does the flow as a whole: when inspection is not alive
    the kernel cannot tell the operations of one conduit from those of another.
    """

    source: Asset
    target: Asset
    service: Service
    conduits: tuple[str, ...]
    is_safety_critical: bool
    is_inspected: bool


def compile_policy(site: Site, revision: int) -> Policy:
    """Index a site.  Raises `Invalid` where one conduit inspects a port that another permits uninspected."""
    inventory = Inventory(site.assets)
    conduits = tuple(sorted(site.conduits, key=lambda conduit: conduit.name))
    leading: dict[str, list[Conduit]] = {asset.name: [] for asset in site.assets}
    for conduit in conduits:
        for asset in targets_of(conduit, inventory):
            leading[asset.name].append(conduit)
    ways: dict[tuple[str, str], Way] = {}
    problems: list[Problem] = []
    for asset in site.assets:
        for service in asset.services:
            lanes = [lane_of(each, asset, service, service.protocol, revision) for each in leading[asset.name]]
            problems += _contradictions(asset, service, lanes)
            way = Way(
                asset=asset,
                service=service,
                lanes=MappingProxyType(_by_subject(lanes)),
                differs_in_record=len({lane.conduit.record for lane in lanes}) > 1,
            )
            for name in (service.name, service.protocol, service.at):
                known = ways.get((asset.name, name))
                if known is None or (name == service.name != known.service.name):
                    ways[asset.name, name] = way
    if problems:
        raise Invalid(*problems)
    return Policy(
        revision=revision,
        site=site,
        assets=MappingProxyType({asset.name: asset for asset in site.assets}),
        ways=MappingProxyType(ways),
        leading=MappingProxyType({name: tuple(found) for name, found in leading.items()}),
        conduits=conduits,
        by_name=MappingProxyType({conduit.name: conduit for conduit in conduits}),
    )


def _by_subject(lanes: list[Lane]) -> dict[SubjectKey, tuple[Lane, ...]]:
    found: dict[SubjectKey, list[Lane]] = {}
    for lane in lanes:
        if lane.permits or lane.is_port:
            key = _subject_key(lane.conduit.source)
            if key is not None:
                found.setdefault(key, []).append(lane)
    return {key: tuple(lanes) for key, lanes in found.items()}


def _subject_key(selector: Selector) -> SubjectKey | None:
    """The field that the fewest subjects share; the criterion looks at the others."""
    for field in ("user", "group", "asset", "role", "zone"):
        name = getattr(selector, field)
        if name is not None:
            return field, name
    return None


def _contradictions(asset: Asset, service: Service, lanes: list[Lane]) -> list[Problem]:
    inspecting = next((lane.conduit.name for lane in lanes if lane.permits), None)
    if inspecting is None or service.transport == ECHO:
        return []
    return [
        Problem(
            where=f"conduit {lane.conduit.name!r}",
            why=f"`{service.at}: any` contradicts conduit {inspecting!r}: it inspects {service.at} of {asset.name!r}",
            hint="name the operations in both, or permit the port in both",
        )
        for lane in lanes
        if lane.is_port
    ]


def machine_paths(policy: Policy) -> tuple[MachinePath, ...]:
    """Every path that machine conduits permit: one for each source, target and service, in a fixed order."""
    inventory = Inventory(policy.site.assets)
    found: dict[tuple[str, str, str], list[Conduit]] = {}
    for conduit in policy.conduits:
        targets = [(asset, service) for asset in targets_of(conduit, inventory) for service in asset.services]
        for source in sources_of(conduit, inventory):
            for target, service in targets:
                if source is not target and (is_inspected_by(conduit, service) or is_port_of(conduit, service)):
                    found.setdefault((source.name, target.name, service.name), []).append(conduit)
    return tuple(_paths(policy, found))


def _paths(policy: Policy, found: dict[tuple[str, str, str], list[Conduit]]) -> Iterator[MachinePath]:
    for (source, target, name), conduits in sorted(found.items()):
        service = policy.ways[target, name].service
        yield MachinePath(
            source=policy.assets[source],
            target=policy.assets[target],
            service=service,
            conduits=tuple(conduit.name for conduit in conduits),
            is_safety_critical=any(conduit.is_safety_critical for conduit in conduits),
            is_inspected=any(is_inspected_by(conduit, service) for conduit in conduits),
        )
