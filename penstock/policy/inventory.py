"""Checks that need the whole inventory: networks, addresses, overlay addresses, hardware addresses.

Pure.  Overlay addresses are derived here, see docs/decisions/0002-overlay-addresses.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from penstock.policy.faults import Faults, Place, did_you_mean, shown
from penstock.policy.same_subnet import check_same_subnet, networks_within
from penstock.policy.sections import PlacedAsset, PlacedZone

#: A smaller overlay has no room for two assets.
_LONGEST_PREFIX = 30


def check_zones(zones: Sequence[PlacedZone], overlay: tuple[IPv4Network, Place] | None, faults: Faults) -> None:
    """No network twice, no network in two zones.  One that the overlay shares is for `same_subnet` to judge."""
    placed = sorted(
        ((network, place, zone.zone.name) for zone in zones for network, place in zone.networks),
        key=lambda item: item[1],
    )
    # Sorted by address, a network can only overlap one that is still open: this stays fast for thousands of zones.
    by_address = sorted(placed, key=lambda item: (int(item[0].network_address), item[0].prefixlen))
    still: tuple[IPv4Network, Place, str] | None = None
    for item in by_address:
        if still is not None and still[0].overlaps(item[0]):
            first, second = sorted((still, item), key=lambda each: each[1])
            why = f"network {second[0]} overlaps {first[0]} of zone {first[2]!r} ({first[1]})"
            faults.add(second[1], why, "an address belongs to one zone; split the larger network")
        if still is None or int(item[0].broadcast_address) > int(still[0].broadcast_address):
            still = item
    if overlay is None:
        return
    network, place = overlay
    if network.prefixlen > _LONGEST_PREFIX:
        faults.add(place, f"the overlay {network} is too small", "for example 100.64.0.0/16")


def place_assets(
    assets: Sequence[PlacedAsset],
    zones: Sequence[PlacedZone],
    names: frozenset[str],
    overlay: IPv4Network | None,
    faults: Faults,
) -> list[PlacedAsset]:
    """The assets with their overlay addresses; `names` are all zones, those too that could not be read.

    Whether several may share one of these is for `overlay` to say.
    """
    networks = {zone.zone.name: [network for network, _ in zone.networks] for zone in zones}
    routed = {zone.zone.name for zone in zones if zone.zone.routers}
    for item in assets:
        _check_zone(item, networks, names, faults)
        if item.asset.mac is not None and item.asset.zone in routed:
            why = f"zone {item.asset.zone!r} lies behind routers, so no packet comes from {item.asset.mac}"
            faults.add(item.at("mac"), why, "remove `mac`, or the zone's `routers`")
    _check_collisions(assets, "address", faults, "two assets cannot share an address")
    _check_collisions(assets, "mac", faults, "two assets cannot share a hardware address")
    if overlay is None:
        return list(assets)
    shared = networks_within(zones, overlay)
    placed = [_with_overlay(item, overlay, faults, is_derived=not shared) for item in assets]
    if shared:
        check_same_subnet(placed, shared, faults)
    return placed


def _check_zone(
    item: PlacedAsset, networks: dict[str, list[IPv4Network]], names: frozenset[str], faults: Faults
) -> None:
    asset = item.asset
    if asset.zone not in names:
        faults.add(item.at("zone"), f"unknown zone {shown(asset.zone)}", did_you_mean(asset.zone, names))
        return
    mine = networks.get(asset.zone)
    if not mine:
        return
    address = IPv4Address(asset.address)
    inside = next((network for network in mine if address in network), None)
    if inside is None:
        other = next((zone for zone, found in networks.items() if any(address in network for network in found)), None)
        listed = ", ".join(str(network) for network in mine)
        hint = f"it lies in zone {other!r}" if other else "correct the address, or add its network to the zone"
        faults.add(item.at("address"), f"address {address} is not in zone {asset.zone!r} ({listed})", hint)
    elif _is_edge(address, inside):
        faults.add(item.at("address"), f"{address} is the network or broadcast address of {inside}, no asset has it")


def _with_overlay(item: PlacedAsset, overlay: IPv4Network, faults: Faults, *, is_derived: bool) -> PlacedAsset:
    if item.asset.overlay:
        address = IPv4Address(item.asset.overlay)
        if address not in overlay or _is_edge(address, overlay):
            faults.add(item.at("overlay"), f"overlay address {address} is not an address of the overlay {overlay}")
        return item
    if not is_derived:
        return item
    host = int(IPv4Address(item.asset.address)) & int(overlay.hostmask)
    address = IPv4Address(int(overlay.network_address) | host)
    if _is_edge(address, overlay):
        why = f"the overlay address derived from {item.asset.address} is {address}, the edge of {overlay}"
        faults.add(item.at("address"), why, f"set `overlay: …` of {item.asset.name!r} to a free address")
    return PlacedAsset(asset=replace(item.asset, overlay=str(address)), place=item.place, places=item.places)


def _is_edge(address: IPv4Address, network: IPv4Network) -> bool:
    """RFC 3021: a /31 or /32 has no network and no broadcast address."""
    return network.prefixlen <= _LONGEST_PREFIX and address in {network.network_address, network.broadcast_address}


def _check_collisions(assets: Sequence[PlacedAsset], field: str, faults: Faults, hint: str) -> None:
    seen: dict[str, PlacedAsset] = {}
    for item in sorted(assets, key=lambda each: each.place):
        value = getattr(item.asset, field)
        if not value:
            continue
        first = seen.setdefault(value, item)
        if first is not item:
            why = (
                f"{field} {value} of asset {item.asset.name!r} is already that of {first.asset.name!r} ({first.place})"
            )
            faults.add(item.at(field), why, hint)
