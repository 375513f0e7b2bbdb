"""The `zones:` section: segments of the plant network and their target security level (IEC 62443-3-2)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

from penstock.model import Zone
from penstock.policy.faults import Faults, Place, shown
from penstock.policy.fields import Fields, name_of, table_of, text_of
from penstock.policy.sections.assets import hardware_address_of
from penstock.policy.source import Entry, Value

KEYS = ("networks", "security_level", "keep_client_address", "routers")
#: IEC 62443-3-3, annex A: SL 0 (none) to SL 4.
MAX_SECURITY_LEVEL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedZone:
    """A zone with the places of its networks."""

    zone: Zone
    place: Place
    networks: tuple[tuple[IPv4Network, Place], ...]


def read_zone(entry: Entry, faults: Faults) -> PlacedZone | None:
    """One zone, or ``None`` with the reason in `faults`."""
    name = name_of(entry.key, faults, "the name of a zone")
    table = table_of(entry.value, faults, f"zone {entry.key.text!r}")
    if name is None or table is None:
        return None
    fields = Fields(table, faults, f"zone {name!r}", KEYS)
    fields.need("networks")
    listed = fields.listing("networks")
    if listed == ():
        faults.add(fields.place("networks"), f"zone {name!r} has no network", "add one, such as 10.20.10.0/24")
    networks = tuple(
        (network, item.place) for item in listed or () if (network := network_of(item, faults)) is not None
    )
    return PlacedZone(
        zone=Zone(
            name=name,
            networks=tuple(str(network) for network, _ in networks),
            security_level=fields.integer("security_level", 0, MAX_SECURITY_LEVEL),
            keeps_client_address=bool(fields.boolean("keep_client_address")),
            routers=_routers(fields),
        ),
        place=entry.key.place,
        networks=networks,
    )


def _routers(fields: Fields) -> tuple[str, ...]:
    listed = fields.listing("routers")
    if listed == ():
        fields.faults.add(fields.place("routers"), "'routers' names no hardware address", "remove it, or name one")
    found: dict[str, Place] = {}
    for item in listed or ():
        mac = hardware_address_of(item, fields.faults, "a router's hardware address")
        if mac is not None and found.setdefault(mac, item.place) is not item.place:
            fields.faults.add(item.place, f"router {mac} stands here twice", f"it is already at {found[mac]}")
    return tuple(found)


def network_of(value: Value, faults: Faults) -> IPv4Network | None:
    """An IPv4 network in CIDR form."""
    text = text_of(value, faults, "a network")
    if text is None:
        return None
    try:
        return IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError):
        pass
    try:
        hint = f"did you mean {str(IPv4Network(text, strict=False))!r}?"
    except ValueError:
        hint = "write it as 10.20.10.0/24; IPv6 is not supported by this version"
    faults.add(value.place, f"{shown(text)} is no IPv4 network", hint)
    return None
