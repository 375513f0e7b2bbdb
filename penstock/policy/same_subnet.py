"""An overlay that the plant uses as well: overlay and underlay addresses side by side in one network.

Pure.  Nothing can be derived there, because a derived address could be anybody's: what is reached says its overlay
address, and that is nobody's own.  The kernel then goes by the overlay addresses one by one, not by their network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from penstock.model import Site
from penstock.policy.faults import Faults
from penstock.policy.sections import PlacedAsset, PlacedZone


def networks_within(zones: Sequence[PlacedZone], overlay: IPv4Network) -> tuple[IPv4Network, ...]:
    """The networks of the plant that overlap the overlay."""
    return tuple(network for zone in zones for network, _ in zone.networks if network.overlaps(overlay))


def is_shared(site: Site) -> bool:
    """Whether the plant uses addresses of the overlay's network."""
    overlay = IPv4Network(site.overlay)
    return any(IPv4Network(network).overlaps(overlay) for zone in site.zones for network in zone.networks)


def check_same_subnet(assets: Sequence[PlacedAsset], networks: Iterable[IPv4Network], faults: Faults) -> None:
    """Who is reached has an overlay address, and that is no asset's own and can be a host's."""
    own = {item.asset.address: item for item in assets}
    edges = {edge for each in networks for edge in (each.network_address, each.broadcast_address)}
    for item in assets:
        overlay = item.asset.overlay
        if not overlay and item.asset.services:
            why = f"the plant uses the overlay's network too, so no overlay address of {item.asset.name!r} is derived"
            faults.add(item.place, why, "set `overlay: …` to a free address, or choose an overlay of its own")
        elif overlay in own:
            why = f"overlay address {overlay} is the own address of {own[overlay].asset.name!r} ({own[overlay].place})"
            faults.add(item.at("overlay"), why, "set `overlay: …` to a free address")
        elif overlay and IPv4Address(overlay) in edges:
            faults.add(item.at("overlay"), f"{overlay} is a network or broadcast address, no asset has it")
