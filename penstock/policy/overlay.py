"""Overlay addresses that several assets share, and services that are reached at another port.

Pure.  Behind a shared address the port says which asset is meant, so there no two services may meet, and an asset
without services could not be reached at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from penstock.model import ECHO, Asset, PortRange, PortTranslation, Service, Site
from penstock.policy.faults import Faults, Place
from penstock.policy.sections import PlacedAsset
from penstock.policy.selection import Inventory

#: Each port of a range that is moved is an element of its own in the kernel.
MAX_MOVED_PORTS = 1024
MAX_TRANSLATIONS = 65_536

_Offer = tuple[str, int, int, PlacedAsset, Service]


def check_sharing(assets: Sequence[PlacedAsset], faults: Faults) -> None:
    """Note every shared overlay address that does not say which asset is meant, and every two services that meet."""
    holders: dict[str, list[PlacedAsset]] = {}
    for item in sorted(assets, key=lambda each: each.place):
        holders.setdefault(item.asset.overlay or item.asset.name, []).append(item)
    for sharing in holders.values():
        if _are_told_apart(sharing, faults):
            _check_ports(sharing, faults)
    _check_total([item for sharing in holders.values() for item in sharing], faults)


def _are_told_apart(sharing: list[PlacedAsset], faults: Faults) -> bool:
    """Whether all who share an address were told to, and offer something there."""
    first, *others = sharing
    before = len(faults)
    for item in others:
        taken = f"overlay {item.asset.overlay} of asset {item.asset.name!r} is already that of {first.asset.name!r}"
        taken += f" ({first.place})"
        bare = next((each for each in (item, first) if not each.asset.services), None)
        if "overlay" not in item.places and "overlay" not in first.places:
            hint = "set `overlay: …` of one of them to a free address, or write it there if they are to share this one"
            faults.add(item.at("overlay"), taken, hint)
        elif bare is not None:
            why = f"{taken}, and {bare.asset.name!r} has no service that would tell them apart"
            faults.add(item.at("overlay"), why, "set `overlay: …` of one of them to a free address")
    return len(faults) == before


def _check_total(assets: list[PlacedAsset], faults: Faults) -> None:
    """All moved ports together must fit into the kernel's table in no time."""
    total = sum(1 for _ in port_translations([item.asset for item in assets]))
    if total > MAX_TRANSLATIONS:
        why = f"{total} ports are reached at another port or behind a shared address; {MAX_TRANSLATIONS} can be"
        faults.add(assets[0].place, why, "give assets overlay addresses of their own")


def _check_ports(sharing: list[PlacedAsset], faults: Faults) -> None:
    is_shared = len(sharing) > 1
    offers: list[_Offer] = [
        (service.transport, service.reached_at, service.reached_at + service.size - 1, item, service)
        for item in sharing
        for service in item.asset.services
    ]
    for _, _, _, item, service in offers:
        if service.size > MAX_MOVED_PORTS and (is_shared or service.overlay_port is not None):
            why = f"service {service.name!r} has {service.size} ports; at another port, or behind a shared address, "
            why += f"at most {MAX_MOVED_PORTS} can be carried"
            faults.add(_at(item, service), why, "give it an overlay address of its own and leave out `overlay_port`")
    widest: _Offer | None = None
    for offer in sorted(offers, key=lambda each: (each[0], each[1], _at(each[3], each[4]))):
        if widest is not None and widest[0] == offer[0] and offer[1] <= widest[2]:
            _meet(widest, offer, faults)
        if widest is None or offer[0] != widest[0] or offer[2] > widest[2]:
            widest = offer


def _meet(one: _Offer, other: _Offer, faults: Faults) -> None:
    (_, _, _, first, earlier), (transport, _, _, second, later) = sorted(
        (one, other), key=lambda each: _at(each[3], each[4])
    )
    port = f"{transport}/{max(one[1], other[1])}"
    if first is not second:
        why = (
            f"overlay {second.asset.overlay} of asset {second.asset.name!r} is already that of {first.asset.name!r} "
            f"({first.place}), and both offer {port} there ({earlier.name!r} and {later.name!r})"
        )
        place = second.at("overlay") if "overlay" in second.places else _at(second, later)
        faults.add(place, why, "set `overlay: …` of one of them to a free address, or `overlay_port: …` of the service")
    elif earlier.overlay_port is not None or later.overlay_port is not None:
        why = f"services {earlier.name!r} and {later.name!r} share {port} of the overlay address"
        faults.add(_at(second, later), why, "give one of them another `overlay_port`")


def _at(item: PlacedAsset, service: Service) -> Place:
    return item.places.get(f"services.{service.name}", item.place)


def moved_services(site: Site) -> Iterator[tuple[Asset, Service]]:
    """The services that are reached at another port, or at an address that their asset shares."""
    inventory = Inventory(site.assets)
    for asset in site.assets:
        for service in asset.services:
            if service.transport != ECHO and (service.overlay_port is not None or inventory.shares_overlay(asset)):
                yield asset, service


def port_translations(assets: Sequence[Asset]) -> Iterator[PortTranslation]:
    """One for each port that cannot be told by the overlay address and the asset's own port alone."""
    holders = Counter(asset.overlay for asset in assets)
    for asset in assets:
        for service in asset.services:
            if service.transport == ECHO or (service.overlay_port is None and holders[asset.overlay] == 1):
                continue
            for offset in range(service.size):
                yield PortTranslation(
                    overlay=asset.overlay,
                    transport=service.transport,
                    overlay_port=service.reached_at + offset,
                    underlay=asset.address,
                    port=service.port + offset,
                )


def port_ranges(assets: Sequence[Asset]) -> Iterator[PortRange]:
    """Each service that is a range of ports, as it stands on the overlay address."""
    for asset in assets:
        for service in asset.services:
            if service.last_port is not None:
                yield PortRange(
                    overlay=asset.overlay,
                    transport=service.transport,
                    first=service.reached_at,
                    last=service.reached_at + service.size - 1,
                )
