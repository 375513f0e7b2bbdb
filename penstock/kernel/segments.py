"""Pure: which hardware addresses the packets of a network behind routers come from.

Stands beside `fillings`.  The kernel takes no overlapping networks for one hardware address, so they are joined here.
It must never let a router speak for a network that has been given to another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, collapse_addresses

from penstock.kernel import checked
from penstock.model import Segment


def segments(given: Iterable[Segment], hardware: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """The elements of ``behind`` and ``routed``.  A source with a hardware address of its own may come from that.

    The most specific network counts where one lies in another.  Raises `Invalid`.
    """
    routers: dict[IPv4Network, set[str]] = {}
    for segment in given:
        if not segment.routers:
            raise checked.invalid("segment, it has no routers", segment.network)
        routers.setdefault(checked.network(segment.network), set()).update(map(checked.mac, segment.routers))
    networks: dict[str, list[IPv4Network]] = {}
    for network, macs in routers.items():
        for mac in macs:
            networks.setdefault(mac, []).extend(_without(network, routers))
    for source, mac in hardware:
        host = checked.network(f"{checked.address(source)}/32")
        if any(host.subnet_of(network) for network in routers):
            networks.setdefault(checked.mac(mac), []).append(host)
    return {
        "behind": {str(network) for network in collapse_addresses(routers)},
        "routed": {f"{network} . {mac}" for mac, own in networks.items() for network in collapse_addresses(own)},
    }


def _without(network: IPv4Network, others: Iterable[IPv4Network]) -> list[IPv4Network]:
    """What is left of a network without those that lie in it."""
    left = [network]
    for inner in others:
        if inner != network and inner.subnet_of(network):
            left = [part for whole in left for part in _cut_out(whole, inner)]
    return left


def _cut_out(whole: IPv4Network, inner: IPv4Network) -> Iterable[IPv4Network]:
    if inner.subnet_of(whole):
        return whole.address_exclude(inner)
    return () if whole.subnet_of(inner) else (whole,)
