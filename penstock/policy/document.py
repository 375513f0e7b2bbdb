"""The site document: YAML files of one site to a `Document`, strictly, with every problem at once.

The way in: `source` (text to a tree with places) → `sections` (one parser each) → `inventory` and `crosschecks` (the
whole).  Pure; `files` reads the disk.  It must never accept a key that this version does not enforce.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import PurePath

from penstock.model import Asset, Identity, Invalid, Problem, Site
from penstock.policy.crosschecks import check_conduits
from penstock.policy.echo import with_echo
from penstock.policy.faults import Faults, Place
from penstock.policy.fields import Fields, table_of
from penstock.policy.inventory import check_zones, place_assets
from penstock.policy.overlay import check_sharing
from penstock.policy.returning import check_answers
from penstock.policy.sections import (
    Assertion,
    PlacedAsset,
    fit_zones,
    network_of,
    read_askers,
    read_assertion,
    read_asset,
    read_conduit,
    read_identity,
    read_window,
    read_zone,
)
from penstock.policy.source import Entry, Listing, Table, Value, read

_TABLES = ("zones", "assets", "conduits", "windows")
_SINGLE = ("site", "domain", "overlay")
KEYS = (*_SINGLE, *_TABLES, "names", "identity", "tests")
LATER = ("agreements",)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,190}}\Z){_LABEL}(?:\.{_LABEL})*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a site document says: the site, and what the document claims about itself."""

    site: Site
    assertions: tuple[Assertion, ...] = ()


def parse(documents: Mapping[str, str]) -> Document:
    """Read the files of one site: file name → YAML text.  Their sections are put together; nothing may stand twice.

    Raises `Invalid` with every problem of every file, each as ``file:line:column``, what is wrong, and a hint.
    """
    if not documents:
        raise Invalid(
            Problem(where="site", why="there is no document", hint="name a file or a folder with *.yaml files")
        )
    faults = Faults()
    tables = []
    for file, text in sorted(documents.items()):
        value = read(PurePath(file).as_posix(), text, faults)
        table = None if value is None else table_of(value, faults, "the document")
        if table is not None:
            tables.append(table)
    document = None
    if len(tables) == len(documents):
        document = _document(_merge(tables, faults), faults)
    if faults or document is None:
        raise Invalid(*faults.problems())
    return document


def _merge(tables: list[Table], faults: Faults) -> Table:
    """One table out of all files, with each name once."""
    entries: dict[str, Entry] = {}
    for table in tables:
        for entry in table.entries:
            first = entries.get(entry.key.text)
            if first is None:
                entries[entry.key.text] = entry
            elif isinstance(first.value, Table) and isinstance(entry.value, Table):
                entries[entry.key.text] = Entry(key=first.key, value=_joined(first.value, entry.value, faults))
            elif isinstance(first.value, Listing) and isinstance(entry.value, Listing):
                both = Listing(place=first.value.place, items=first.value.items + entry.value.items)
                entries[entry.key.text] = Entry(key=first.key, value=both)
            else:
                why = f"the key {entry.key.text!r} stands in two files"
                faults.add(entry.key.place, why, f"it is already at {first.key.place}")
    return Table(place=tables[0].place, entries=tuple(entries.values()))


def _joined(first: Table, second: Table, faults: Faults) -> Table:
    places = {entry.key.text: entry.key.place for entry in first.entries}
    fresh = []
    for entry in second.entries:
        if entry.key.text in places:
            why = f"the key {entry.key.text!r} stands in two files"
            faults.add(entry.key.place, why, f"it is already at {places[entry.key.text]}")
        else:
            fresh.append(entry)
    return Table(place=first.place, entries=(*first.entries, *fresh))


def _document(table: Table, faults: Faults) -> Document | None:
    fields = Fields(table, faults, "the document", KEYS, LATER)
    fields.need("site", "overlay")
    name, domain, overlay = fields.name("site"), _domain(fields), _overlay(fields)
    raw = {key: _entries(fields, key) for key in _TABLES}
    zones = [zone for entry in raw["zones"] if (zone := read_zone(entry, faults)) is not None]
    zone_names = frozenset(entry.key.text for entry in raw["zones"])
    check_zones(zones, overlay, faults)
    found = [asset for entry in raw["assets"] if (asset := read_asset(entry, faults)) is not None]
    assets = place_assets(found, zones, zone_names, None if overlay is None else overlay[0], faults)
    check_sharing(assets, faults)
    windows = [window for entry in raw["windows"] if (window := read_window(entry, faults)) is not None]
    names = {
        "zone": zone_names,
        "asset": frozenset(entry.key.text for entry in raw["assets"]),
        "role": frozenset(item.asset.role for item in assets) | _written_roles(raw["assets"]),
        "window": frozenset(entry.key.text for entry in raw["windows"]),
    }
    if len(assets) == len(raw["assets"]):
        names["is_complete"] = frozenset()
    ports = _ports(assets)
    conduits = [item for entry in raw["conduits"] if (item := read_conduit(entry, faults, ports)) is not None]
    checked = check_conduits(conduits, assets, names, faults)
    check_answers(conduits, zones, [item.asset for item in assets], faults)
    whole = with_echo([item.asset for item in assets], checked)
    by_name: dict[str, Asset | None] = dict.fromkeys(names["asset"])
    by_name |= {asset.name: asset for asset in whole}
    claims = (read_assertion(item, faults, by_name, zone_names) for item in fields.listing("tests") or ())
    assertions = tuple(claim for claim in claims if claim is not None)
    askers, people = read_askers(fields), fields.inner("identity")
    identity = Identity() if people is None else fit_zones(read_identity(people, faults), people, zone_names, faults)
    if name is None or overlay is None:
        return None
    site = Site(
        name=name,
        domain=domain or f"{name}.ot",
        overlay=str(overlay[0]),
        zones=tuple(item.zone for item in zones),
        assets=whole,
        conduits=tuple(checked),
        windows=tuple(windows),
        askers=askers,
        identity=identity,
    )
    return Document(site=site, assertions=assertions)


def _entries(fields: Fields, key: str) -> tuple[Entry, ...]:
    table = fields.inner(key)
    return () if table is None else table.entries


def _written_roles(entries: tuple[Entry, ...]) -> frozenset[str]:
    """The roles of assets that could not be read: they exist all the same."""
    values: list[Value | None] = [entry.value.get("role") for entry in entries if isinstance(entry.value, Table)]
    return frozenset(text for value in values if isinstance(text := getattr(value, "text", None), str))


def _ports(assets: list[PlacedAsset]) -> dict[str, str]:
    services = [service for item in assets for service in item.asset.services]
    return {name: item.at for item in services for name in (item.protocol, item.name)}


def _domain(fields: Fields) -> str | None:
    text = fields.text("domain")
    if text is None or _DOMAIN.match(text):
        return text
    fields.faults.add(
        fields.place("domain"), f"{text!r} is no domain name", "for example riverside.ot, in small letters"
    )
    return None


def _overlay(fields: Fields) -> tuple[IPv4Network, Place] | None:
    value = fields.value("overlay")
    network = None if value is None else network_of(value, fields.faults)
    return None if network is None else (network, fields.place("overlay"))
