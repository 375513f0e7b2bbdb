"""Checks of conduits against the inventory and against each other.

Pure.  A conduit that can never permit anything, or that asks for what its subjects cannot give, is a mistake of its
author: it is a problem, never a silent nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from penstock.model import (
    ECHO,
    Asset,
    Binding,
    Conduit,
    FactorStrength,
    PortPermission,
    RecordMode,
    Selector,
    Service,
)
from penstock.policy.faults import Faults, did_you_mean, shown
from penstock.policy.sections import PlacedAsset, PlacedConduit
from penstock.policy.selection import (
    Inventory,
    is_inspected_by,
    is_port_of,
    selector_text,
    sources_of,
    targets_of,
    transports_of,
)
from penstock.policy.unseen import check_ended, check_unseen
from penstock.wire import SPOKEN


def check_conduits(
    conduits: Sequence[PlacedConduit],
    assets: Sequence[PlacedAsset],
    names: Mapping[str, frozenset[str]],
    faults: Faults,
) -> list[Conduit]:
    """The conduits with TLS required where CUI asks for it.

    `names` holds the known names of ``zone``, ``asset``, ``role`` and ``window``.  With ``is_complete`` among its keys
    the inventory was read in full, so that a selector without any asset is a problem of the conduit.
    """
    inventory = Inventory(item.asset for item in assets)
    checked = []
    for item in conduits:
        unknown = [end for end, selector in _ends(item.conduit) if not _names(item, end, selector, names, faults)]
        if not item.is_whole:
            continue
        _failure_mode(item, faults)
        _keeping(item, names["window"], faults)
        _machines(item, faults)
        if not unknown and "is_complete" in names:
            _reach(item, inventory, faults)
        conduit = _cui(item, inventory, faults)
        _encrypted(item, conduit, faults)
        checked.append(conduit)
    whole = [item for item in conduits if item.is_whole]
    _ports(whole, inventory, faults)
    check_unseen(whole, inventory, faults)
    _holds(whole, inventory, faults)
    check_ended(whole, inventory, faults)
    return checked


def _ends(conduit: Conduit) -> tuple[tuple[str, Selector], tuple[str, Selector]]:
    return ("from", conduit.source), ("to", conduit.target)


def _names(
    item: PlacedConduit, end: str, selector: Selector, names: Mapping[str, frozenset[str]], faults: Faults
) -> bool:
    """Note every zone, asset or role that does not exist; whether all do."""
    is_known = True
    for kind in ("zone", "asset", "role"):
        name = getattr(selector, kind)
        if name is None or name in names[kind]:
            continue
        is_known = False
        hint = did_you_mean(name, names[kind]) or f"no asset has a {kind}"
        faults.add(item.at(end), f"unknown {kind} {shown(name)} in {end!r} of conduit {shown(item.conduit.name)}", hint)
    return is_known


def _failure_mode(item: PlacedConduit, faults: Faults) -> None:
    conduit = item.conduit
    if not conduit.is_safety_critical:
        return
    if conduit.is_for_people:
        why = f"conduit {shown(conduit.name)} is for people, and only machines' conduits may fail open"
        faults.add(
            item.at("on_failure"), why, "remove `on_failure: open`: an unsupervised person is no safety function"
        )
    if conduit.approved_by is None:
        why = f"conduit {shown(conduit.name)} fails open, and nobody approved it"
        faults.add(item.at("on_failure"), why, "add `approved_by: …`, the person who answers for it")


def _keeping(item: PlacedConduit, windows: frozenset[str], faults: Faults) -> None:
    """Drills need a window that exists; what is recorded must be something that passes there."""
    conduit = item.conduit
    if conduit.drill is not None and conduit.drill.window not in windows:
        hint = did_you_mean(conduit.drill.window, windows) or "add it under `windows:`"
        faults.add(item.at("drill"), f"unknown window {shown(conduit.drill.window)}", hint)
    spoken = next((each.protocol for each in conduit.permissions if each.protocol in SPOKEN), None)
    if conduit.latency is not None and spoken is not None:
        why = f"`latency_budget`: nothing of {spoken} is measured, for its answers are not told from one another"
        faults.add(item.at("latency_budget"), why, f"remove it, or move {spoken} to a conduit of its own")
    if conduit.hold and spoken is not None:
        why = f"nothing of {spoken} waits for a second person: the gate could not keep its client waiting"
        faults.add(item.at("hold"), why, f"move {spoken} to a conduit of its own")
    if conduit.records_payload and spoken is not None:
        why = f"`record: payload`: the gate recognises {spoken} and reads no answers of it"
        faults.add(item.at("record"), why, "write `record: operations`, or permit the port (`tcp/443: any`) instead")
    if conduit.permissions:
        return
    if conduit.record in {RecordMode.SESSION, RecordMode.WRITES}:
        why = f"`record: {conduit.record}`: nothing that passes here is inspected, so nobody tells reads from writes"
        faults.add(item.at("record"), why, "write `record: operations`, or name operations under `allow:`")
    elif conduit.records_payload and all(port.transport == ECHO for port in conduit.ports):
        faults.add(item.at("record"), "echo has no payload to record", "write `record: operations`")


def _machines(item: PlacedConduit, faults: Faults) -> None:
    conduit = item.conduit
    if conduit.is_for_people:
        return
    if conduit.require.tls:
        why = "a machine cannot meet `tls: true`: it has no client of the gate"
        faults.add(item.at("require"), why, "remove `tls`; machines are known by address and hardware address")
    if conduit.require.factors is not FactorStrength.NONE:
        why = f"a machine cannot meet `factors: {conduit.require.factors}`: it does not sign in"
        faults.add(item.at("require"), why, "remove `factors`")
    if conduit.require.binding is not Binding.ADDRESS:
        why = f"a machine cannot meet `binding: {conduit.require.binding}`: it is known by its address"
        faults.add(item.at("require"), why, "remove `binding`")
    if conduit.require.reauthenticate_s is not None:
        why = "a machine cannot meet `reauthenticate`: it does not sign in"
        faults.add(item.at("require"), why, "remove `reauthenticate`")


def _reach(item: PlacedConduit, inventory: Inventory, faults: Faults) -> None:
    """Each end selects something, and each permission finds a service there."""
    conduit = item.conduit
    targets, sources = targets_of(conduit, inventory), sources_of(conduit, inventory)
    if not targets:
        faults.add(item.at("to"), f"no asset fits {selector_text(conduit.target)!r}", "a conduit must lead somewhere")
    if not conduit.is_for_people and not sources:
        faults.add(
            item.at("from"), f"no asset fits {selector_text(conduit.source)!r}", "a conduit must lead from somewhere"
        )
    if not targets or not (sources or conduit.is_for_people):
        return
    if sources == targets and len(sources) == 1:
        faults.add(item.at("to"), f"the conduit leads from {sources[0].name!r} to itself", "name another target")
        return
    for protocol in dict.fromkeys(permission.protocol for permission in conduit.permissions):
        only = replace(conduit, permissions=tuple(p for p in conduit.permissions if p.protocol == protocol))
        if not any(is_inspected_by(only, service) for asset in targets for service in asset.services):
            _unoffered(item, protocol, targets, faults)
    for port in conduit.ports:
        _offered(item, port, targets, inventory, faults)


def _unoffered(item: PlacedConduit, protocol: str, targets: Sequence[Asset], faults: Faults) -> None:
    """No target has a service of this protocol that a worker can see."""
    ranges = (each for asset in targets for each in asset.services if each.protocol == protocol and each.last_port)
    wide = next(ranges, None)
    if wide is not None:
        why = f"service {wide.name!r} is a range, and a flow is held to {protocol} at one port"
        faults.add(item.at("allow"), why, f"make each port a service, or write `{wide.at}: any`")
        return
    over = " or ".join(transports_of(protocol))
    why = f"{_listed(targets)} offers no service of protocol {protocol!r} over {over}"
    faults.add(item.at("allow"), why, f"add `services: {{{protocol}: …}}` to the asset, or correct 'to'")


def _offered(
    item: PlacedConduit, port: PortPermission, targets: Sequence[Asset], inventory: Inventory, faults: Faults
) -> None:
    """Something is offered there, and nothing that is permitted in part only."""
    if port.transport == ECHO:
        shared = next((asset for asset in targets if inventory.shares_overlay(asset)), None)
        if shared is not None:
            why = f"asset {shared.name!r} shares its overlay address, and echo has no port that tells who is meant"
            faults.add(item.at("allow"), why, "give it an overlay address of its own, or name another target")
        bare = next((asset for asset in targets if not asset.overlay), None)
        if bare is not None:
            why = f"asset {bare.name!r} has no overlay address, so nothing leads to it"
            faults.add(item.at("allow"), why, "set its `overlay: …`, or name another target")
        return
    first, last = port.port, port.last_port or port.port
    meeting = [
        (asset, service)
        for asset in targets
        for service in asset.services
        if service.transport == port.transport and service.port <= last and first <= (service.last_port or service.port)
    ]
    if not meeting:
        why = f"{_listed(targets)} offers no service at {port.at}"
        shown_port = port.port if port.last_port is None else f"{port.port}-{port.last_port}"
        hint = f"add `services: {{name: {{protocol: …, port: {shown_port}}}}}` to the asset, or correct 'to'"
        faults.add(item.at("allow"), why, hint)
    only = replace(item.conduit, ports=(port,), permissions=())
    for asset, service in meeting:
        if not is_port_of(only, service):
            why = f"`{port.at}: any` is a part only of service {service.name!r} of {asset.name!r}: {service.at}"
            faults.add(item.at("allow"), why, f"write `{service.at}: any`: a service is permitted as a whole")


def _listed(assets: Sequence[Asset]) -> str:
    return f"asset {assets[0].name!r}" if len(assets) == 1 else f"none of {len(assets)} assets"


def _cui(item: PlacedConduit, inventory: Inventory, faults: Faults) -> Conduit:
    """TLS between people and the gate wherever controlled unclassified information is reached."""
    conduit = item.conduit
    if not conduit.is_for_people:
        return conduit
    asset = next((each for each in targets_of(conduit, inventory) if each.handles_cui), None)
    if asset is None:
        return conduit
    if item.is_tls_refused:
        why = f"`tls: false` contradicts `handles_cui: true` of asset {asset.name!r}"
        faults.add(item.at("require"), why, "remove `tls: false`: people reach such an asset over TLS only")
    return replace(conduit, require=replace(conduit.require, tls=True))


def _encrypted(item: PlacedConduit, conduit: Conduit, faults: Faults) -> None:
    """Where TLS is required, people come through the client's tunnel: what that cannot carry nobody could ever use."""
    if not (conduit.is_for_people and conduit.require.tls):
        return
    because = "requires TLS" if item.conduit.require.tls else "leads to an asset with `handles_cui: true`"
    for port in conduit.ports:
        if port.transport == ECHO:
            why = f"nobody could use `{port.at}`: the conduit {because}, and the client's tunnel carries no echo"
            faults.add(item.at("allow"), why, "name TCP and UDP ports, or make a conduit without TLS for it")


def _ports(conduits: Sequence[PlacedConduit], inventory: Inventory, faults: Faults) -> None:
    """A port is inspected, or it is not: two conduits must not differ about it."""
    inspecting: dict[tuple[str, str], PlacedConduit] = {}
    for item, asset, service in _services(conduits, inventory):
        if is_inspected_by(item.conduit, service):
            inspecting.setdefault((asset.name, service.name), item)
    for item, asset, service in _services(conduits, inventory):
        other = inspecting.get((asset.name, service.name))
        if other is None or not is_port_of(item.conduit, service):
            continue
        port = service.at
        by = f"conduit {shown(other.conduit.name)} ({other.place})"
        why = f"`{port}: any` contradicts {by}: it inspects {port} of {asset.name!r}"
        faults.add(
            item.at("allow"), why, f"name the operations of {service.protocol} here too, or permit the port in both"
        )


def _holds(conduits: Sequence[PlacedConduit], inventory: Inventory, faults: Faults) -> None:
    """A flow that goes on uninspected carries what should wait as well: its conduits must not differ about that."""
    is_open = [item for item in conduits if item.conduit.is_safety_critical]
    for item in conduits:
        conduit = item.conduit
        if not conduit.hold or conduit.is_safety_critical:
            continue
        paths = _paths(conduit, inventory)
        for other in is_open:
            shared = sorted(paths & _paths(other.conduit, inventory))
            if shared:
                source, target, service = shared[0]
                by = f"conduit {shown(other.conduit.name)} ({other.place})"
                path = f"from {source!r} to {target!r} over {service!r}"
                why = f"{by} fails open {path}, and what is to wait here would go on with it"
                hint = "let other machines, or another service, carry what waits for a second person"
                faults.add(item.at("hold"), why, hint)
                break


def _paths(conduit: Conduit, inventory: Inventory) -> set[tuple[str, str, str]]:
    """Source, target and service of every inspected flow between machines that the conduit permits."""
    sources = sources_of(conduit, inventory)
    return {
        (source.name, asset.name, service.name)
        for asset in (targets_of(conduit, inventory) if sources else ())
        for service in asset.services
        if is_inspected_by(conduit, service)
        for source in sources
        if source is not asset
    }


def _services(conduits: Sequence[PlacedConduit], inventory: Inventory) -> list[tuple[PlacedConduit, Asset, Service]]:
    return [
        (item, asset, service)
        for item in conduits
        for asset in targets_of(item.conduit, inventory)
        for service in asset.services
    ]
