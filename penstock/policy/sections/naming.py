"""The `names:` section: who may ask the gate for the overlay addresses of assets."""

from __future__ import annotations

from ipaddress import IPv4Network

from penstock.policy.fields import Fields
from penstock.policy.sections.zones import network_of

KEYS = ("askers",)


def read_askers(fields: Fields) -> tuple[str, ...]:
    """The networks (CIDR) of `names.askers` in the document's top level, those that could be read."""
    table = fields.inner("names")
    if table is None:
        return ()
    inner = Fields(table, fields.faults, "'names'", KEYS)
    listed = inner.listing("askers")
    if listed == ():
        inner.faults.add(inner.place("askers"), "'askers' names no network", "remove it, or add one: 10.20.0.0/24")
    found: list[IPv4Network] = []
    for item in listed or ():
        network = network_of(item, inner.faults)
        if network is None:
            continue
        other = next((each for each in found if each.overlaps(network)), None)
        if other is not None:
            inner.faults.add(item.place, f"network {network} overlaps {other} of the same list", "keep the larger one")
        found.append(network)
    return tuple(str(network) for network in found)
