"""The `assets:` section: what is reached and what talks, with addresses and services."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from penstock.model import Asset, Service
from penstock.policy.faults import Faults, Place, shown
from penstock.policy.fields import Fields, integer_of, name_of, table_of
from penstock.policy.numbers import MAX_PORT
from penstock.policy.source import Entry, Scalar, Table

_MAC = re.compile(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\Z")
_KEYS = ("zone", "role", "address", "overlay", "mac", "services", "handles_cui")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedAsset:
    """An asset with the places of its fields.  Its `overlay` is empty until it is derived."""

    asset: Asset
    place: Place
    places: dict[str, Place]

    def at(self, key: str) -> Place:
        """Where this field stands, or the asset's name."""
        return self.places.get(key, self.place)


def read_asset(entry: Entry, faults: Faults) -> PlacedAsset | None:
    """One asset, or ``None`` with the reason in `faults`."""
    name = name_of(entry.key, faults, "the name of an asset")
    table = table_of(entry.value, faults, f"asset {entry.key.text!r}")
    if name is None or table is None:
        return None
    fields = Fields(table, faults, f"asset {name!r}", _KEYS)
    is_complete = fields.need("zone", "role", "address")
    zone, role = fields.name("zone"), fields.name("role")
    address, overlay = _address(fields, "address"), _address(fields, "overlay")
    mac, services = _mac(fields), _services(fields)
    handles_cui = fields.boolean("handles_cui")
    if not is_complete or zone is None or role is None or address is None:
        return None
    asset = Asset(
        name=name,
        zone=zone,
        role=role,
        address=address,
        overlay=overlay or "",
        mac=mac,
        services=services,
        handles_cui=bool(handles_cui),
    )
    places = {item.key.text: item.value.place for item in table.entries}
    return PlacedAsset(asset=asset, place=entry.key.place, places=places)


def _address(fields: Fields, key: str) -> str | None:
    text = fields.text(key)
    if text is None:
        return None
    try:
        address = IPv4Address(text)
    except AddressValueError:
        fields.faults.add(
            fields.place(key),
            f"{shown(text)} is no IPv4 address",
            "write it as 10.20.10.11; IPv6 is not supported by this version",
        )
        return None
    return str(address)


def _mac(fields: Fields) -> str | None:
    text = fields.text("mac")
    if text is None:
        return None
    mac = text.lower().replace("-", ":")
    if not _MAC.match(mac):
        fields.faults.add(
            fields.place("mac"), f"{shown(text)} is no hardware address", 'write it as "00:1d:9c:00:00:12"'
        )
        return None
    if int(mac[:2], 16) & 1:
        fields.faults.add(fields.place("mac"), f"{shown(text)} is a group address, no device sends from it")
        return None
    return mac


def _services(fields: Fields) -> tuple[Service, ...]:
    table = fields.inner("services")
    if table is None:
        return ()
    found = [(entry, service) for entry in table.entries if (service := _service(entry, fields.faults)) is not None]
    for index, (entry, service) in enumerate(found):
        for _, earlier in found[:index]:
            _compare(entry, service, earlier, fields.faults)
    return tuple(service for _, service in found)


def _service(entry: Entry, faults: Faults) -> Service | None:
    name = name_of(entry.key, faults, "the name of a service")
    if isinstance(entry.value, Scalar):
        port = integer_of(entry.value, faults, f"the port of {entry.key.text!r}", 1, MAX_PORT)
        return None if name is None or port is None else Service(name=name, protocol=name, port=port)
    if not isinstance(entry.value, Table):
        faults.add(entry.value.place, f"service {entry.key.text!r} must be a port or a table", "write `modbus: 502`")
        return None
    fields = Fields(entry.value, faults, f"service {entry.key.text!r}", ("protocol", "port", "transport"))
    fields.need("port")
    port = fields.integer("port", 1, MAX_PORT)
    protocol = fields.name("protocol") if fields.has("protocol") else name
    transport = fields.choice("transport", ("tcp", "udp")) if fields.has("transport") else "tcp"
    if name is None or port is None or protocol is None or transport is None:
        return None
    return Service(name=name, protocol=protocol, port=port, transport=transport)


def _compare(entry: Entry, service: Service, earlier: Service, faults: Faults) -> None:
    """Two services of one asset must differ in port, and no name may be the other's protocol."""
    if (service.transport, service.port) == (earlier.transport, earlier.port):
        port = f"{service.transport}/{service.port}"
        faults.add(
            entry.value.place, f"services {earlier.name!r} and {service.name!r} share {port}", "keep one of them"
        )
    for one, other in ((service, earlier), (earlier, service)):
        if one.name == other.protocol != one.protocol:
            why = f"the name of service {one.name!r} is the protocol of service {other.name!r}"
            faults.add(entry.key.place, why, "give it another name")
