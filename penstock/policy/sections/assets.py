"""The `assets:` section: what is reached and what talks, with addresses and services."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from penstock.model import Asset, Limits, Rate, Service
from penstock.policy.faults import Faults, Place, shown
from penstock.policy.fields import Fields, name_of, table_of, text_of
from penstock.policy.numbers import PERIODS_S, read_rate
from penstock.policy.sections.services import read_services
from penstock.policy.source import Entry, Table, Value

_MAC = re.compile(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\Z")
KEYS = ("zone", "role", "address", "overlay", "mac", "services", "handles_cui", "limits")
LIMITS = ("connections", "opens", "queue")
MAX_CONNECTIONS = 65_535
#: Who waits longer for a connection has given up: the client's own timeout is a matter of seconds.
MAX_QUEUE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedAsset:
    """An asset with the places of its fields and services (``services.modbus``).

    Its `overlay` is empty until it is derived.
    """

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
    fields = Fields(table, faults, f"asset {name!r}", KEYS)
    is_complete = fields.need("zone", "role", "address")
    zone, role = fields.name("zone"), fields.name("role")
    address, overlay = _address(fields, "address"), _address(fields, "overlay")
    mac, services = _mac(fields), _services(fields)
    limits = _limits(fields)
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
        limits=limits,
    )
    places = {item.key.text: item.value.place for item in table.entries}
    offered = table.get("services")
    if isinstance(offered, Table):
        places |= {f"services.{item.key.text}": item.value.place for item in offered.entries}
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
    value = fields.value("mac")
    return None if value is None else hardware_address_of(value, fields.faults, "'mac'")


def hardware_address_of(value: Value, faults: Faults, what: str) -> str | None:
    """The address of one network card, in small letters with colons."""
    text = text_of(value, faults, what)
    if text is None:
        return None
    mac = text.lower().replace("-", ":")
    if not _MAC.match(mac):
        faults.add(value.place, f"{shown(text)} is no hardware address", 'write it as "00:1d:9c:00:00:12"')
        return None
    if int(mac[:2], 16) & 1:
        faults.add(value.place, f"{shown(text)} is a group address, no device sends from it")
        return None
    return mac


def _services(fields: Fields) -> tuple[Service, ...]:
    table = fields.inner("services")
    return () if table is None else read_services(table, fields.faults)


def _limits(fields: Fields) -> Limits:
    table = fields.inner("limits")
    if table is None:
        return Limits()
    inner = Fields(table, fields.faults, "'limits'", LIMITS)
    if not table.entries:
        fields.faults.add(table.place, "'limits' names no limit", "for example `limits: {connections: 4}`")
    elif not fields.has("services"):
        why = "an asset without services is not reached, so there is nothing to limit"
        fields.faults.add(table.place, why, "add `services: …`, or remove the limits")
    queue_s = inner.duration("queue", 1, MAX_QUEUE_S)
    if inner.has("queue") and not (inner.has("connections") or inner.has("opens")):
        fields.faults.add(inner.place("queue"), "'queue' without a limit: nobody ever waits", "add `connections: …`")
    return Limits(
        connections=inner.integer("connections", 1, MAX_CONNECTIONS), opens=_opens(inner), queue_s=queue_s or 0
    )


def _opens(fields: Fields) -> Rate | None:
    text = fields.text("opens")
    if text is None:
        return None
    found = read_rate(text)
    if found is None:
        fields.faults.add(fields.place("opens"), f"{shown(text)} is no rate", "write it as 5/s, 20/min or 100/h")
        return None
    count, period_s = found
    if period_s not in PERIODS_S:
        why = f"the kernel counts by the second, minute, hour or day, not by {period_s} s"
        fields.faults.add(fields.place("opens"), why, "write it as 5/s, 20/min or 100/h")
        return None
    return Rate(count=count, period_s=period_s)
