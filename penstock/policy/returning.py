"""Conduits whose answers would not come back through the gate.

Pure.  Where a zone keeps the client's address, an asset answers the client itself.  A client on the asset's own network
gets that answer directly, from an address that it never asked: the flow dies, and nobody sees why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from penstock.model import Asset, Conduit
from penstock.policy.faults import Faults, shown
from penstock.policy.sections import PlacedConduit, PlacedZone
from penstock.policy.selection import Inventory, sources_of, targets_of


def check_answers(
    conduits: Iterable[PlacedConduit], zones: Sequence[PlacedZone], assets: Iterable[Asset], faults: Faults
) -> None:
    """Note every conduit with a source and a target on one network of a zone that keeps the client's address."""
    keeping = {item.zone.name: [network for network, _ in item.networks] for item in zones if _keeps(item)}
    inventory = Inventory(assets)
    for item in conduits:
        if keeping and item.is_whole and _takes_the_kernel_path(item.conduit):
            found = _neighbours(item.conduit, inventory, keeping)
            if found is not None:
                source, target = found
                why = f"zone {shown(target.zone)} keeps the client's address, and {source.name!r} and {target.name!r} "
                why += "are on one network: the answers would not come back through the gate"
                hint = "name targets on another network, or remove `keep_client_address`"
                faults.add(item.at("to"), why, hint)


def _keeps(item: PlacedZone) -> bool:
    return item.zone.keeps_client_address


def _takes_the_kernel_path(conduit: Conduit) -> bool:
    """The worker dials by itself, so what it inspects comes back; until it fails open."""
    return bool(conduit.ports) or conduit.is_safety_critical


def _neighbours(
    conduit: Conduit, inventory: Inventory, keeping: dict[str, list[IPv4Network]]
) -> tuple[Asset, Asset] | None:
    first_on: dict[IPv4Network, list[Asset]] = {}
    for source in sources_of(conduit, inventory):
        network = _network(source, keeping)
        if network is not None:
            first_on.setdefault(network, []).append(source)
    for target in targets_of(conduit, inventory):
        network = _network(target, keeping)
        for source in () if network is None else first_on.get(network, ())[:2]:
            if source is not target:
                return source, target
    return None


def _network(asset: Asset, keeping: dict[str, list[IPv4Network]]) -> IPv4Network | None:
    address = IPv4Address(asset.address)
    return next((network for network in keeping.get(asset.zone, ()) if address in network), None)
