"""A directory as an identity source: its table of the site document.

What is not written follows from `directory`, whose schema it is.  It must never accept a way to the directory on which
a password could be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from sansldap import LDAPFilter

from penstock.model import DirectoryKind, GroupWay, LdapPlan
from penstock.policy.faults import shown
from penstock.policy.fields import Fields, text_of
from penstock.policy.sections.identity.groups import read_authorities, read_groups, read_secret
from penstock.policy.source import Listing

KEYS = (
    *("title", "directory", "url", "start_tls", "authorities", "bind", "secret"),
    *("people", "membership", "groups", "refresh", "timeout"),
)
PEOPLE = ("base", "filter", "name", "key")
MEMBERSHIP = ("base", "way", "nested")
MAX_URLS = 8
MAX_DN = 512
#: RFC 4512 section 1.4: a short name or the digits of an object identifier.
_ATTRIBUTE = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]{0,62}|[0-9]+(?:\.[0-9]+){1,20})\Z")
#: Only enough of RFC 4514 to tell a DN from a name: the directory reads the rest.
_DN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*=[^=,]")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45})\Z")
_FIRST_REFRESH_S, _REFRESH_S, _LAST_REFRESH_S = 10, 60, 3600
_FIRST_TIMEOUT_S, _TIMEOUT_S, _LAST_TIMEOUT_S = 1, 5, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a directory of one kind calls things.

    Active Directory: [MS-ADTS] sections 3.1.1.2 and 2.2.  OpenLDAP: RFC 4519 and RFC 4530.
    """

    people_filter: str
    name_attribute: str
    key_attribute: str
    group_way: GroupWay


PRESETS: Mapping[DirectoryKind, Preset] = {
    DirectoryKind.OPENLDAP: Preset(
        people_filter="(objectClass=person)",
        name_attribute="uid",
        key_attribute="entryUUID",
        group_way=GroupWay.MEMBER,
    ),
    DirectoryKind.ACTIVE_DIRECTORY: Preset(
        people_filter="(&(objectCategory=person)(objectClass=user))",
        name_attribute="sAMAccountName",
        key_attribute="objectGUID",
        group_way=GroupWay.IN_CHAIN,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _People:
    found_below: str | None = None
    matching: str | None = None
    name: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Membership:
    found_below: str | None
    way: GroupWay
    nested: bool


def read_ldap(name: str, fields: Fields) -> LdapPlan | None:
    """This source, or ``None`` with the reason in `fields.faults`."""
    before = len(fields.faults)
    is_whole = fields.need("url", "authorities", "bind", "secret", "people")
    kind = DirectoryKind(fields.choice("directory", DirectoryKind) or DirectoryKind.OPENLDAP)
    preset, title, bind_name = PRESETS[kind], fields.text("title"), _line(fields, "bind")
    start_tls = fields.boolean("start_tls") or False
    urls, secret, authorities = _urls(fields, start_tls=start_tls), read_secret(fields), read_authorities(fields)
    people, membership = _people(fields), _membership(fields, kind, preset)
    groups = read_groups(fields, MAX_DN)
    refresh_s = fields.duration("refresh", _FIRST_REFRESH_S, _LAST_REFRESH_S) or _REFRESH_S
    timeout_s = fields.duration("timeout", _FIRST_TIMEOUT_S, _LAST_TIMEOUT_S) or _TIMEOUT_S
    if not is_whole or len(fields.faults) > before:
        return None
    return LdapPlan(
        name=name,
        title=title or name,
        urls=urls,
        start_tls=start_tls,
        authorities=authorities or "",
        bind_name=bind_name or "",
        secret=secret or "",
        directory=kind,
        people=people.found_below or "",
        people_filter=people.matching or preset.people_filter,
        name_attribute=people.name or preset.name_attribute,
        key_attribute=people.key or preset.key_attribute,
        group_base=membership.found_below or people.found_below or "",
        group_way=membership.way,
        nested=membership.nested,
        groups=groups,
        refresh_s=refresh_s,
        timeout_s=timeout_s,
    )


def _urls(fields: Fields, *, start_tls: bool) -> tuple[str, ...]:
    value = fields.value("url")
    if value is None:
        return ()
    items = value.items if isinstance(value, Listing) else (value,)
    if not 1 <= len(items) <= MAX_URLS:
        fields.faults.add(value.place, f"'url' must have from 1 to {MAX_URLS} addresses")
        return ()
    found = []
    for item in items:
        url = text_of(item, fields.faults, "'url'")
        if url is None:
            continue
        if wrong := _wrong(url, start_tls=start_tls):
            fields.faults.add(item.place, *wrong)
        found.append(url)
    return tuple(found)


def _wrong(url: str, *, start_tls: bool) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    is_bare = parts.username is None and not (parts.path.strip("/") or parts.query or parts.fragment)
    if parts.scheme not in {"ldap", "ldaps"} or not _HOST.match(parts.hostname or "") or not is_bare:
        return f"{shown(url)} is no address of a directory", "write ldaps://HOST or ldaps://HOST:PORT"
    if parts.scheme == "ldap" and not start_tls:
        why = f"{shown(url)} would carry passwords in the clear"
        return why, "write ldaps://…, or add `start_tls: true` where the directory has no LDAPS"
    if parts.scheme == "ldaps" and start_tls:
        return f"{shown(url)} is TLS from the first byte: 'start_tls' does not go with it", "remove `start_tls`"
    return None


def _people(fields: Fields) -> _People:
    table = fields.inner("people")
    if table is None:
        return _People()
    inner = Fields(table, fields.faults, "'people'", PEOPLE)
    inner.need("base")
    return _People(
        found_below=_dn(inner), matching=_filter(inner), name=_attribute(inner, "name"), key=_attribute(inner, "key")
    )


def _membership(fields: Fields, kind: DirectoryKind, preset: Preset) -> _Membership:
    table = fields.inner("membership")
    inner = None if table is None else Fields(table, fields.faults, "'membership'", MEMBERSHIP)
    way = GroupWay((inner.choice("way", GroupWay) if inner else None) or preset.group_way)
    nested = inner.boolean("nested") if inner else None
    if inner and way is GroupWay.IN_CHAIN and kind is not DirectoryKind.ACTIVE_DIRECTORY:
        why = "only Active Directory follows groups in groups itself ('in-chain')"
        inner.faults.add(inner.place("way"), why, "write `way: member`, or `directory: active-directory`")
    if inner and way is GroupWay.MEMBER_UID and nested:
        why = "groups that name their members by 'memberUid' cannot hold groups"
        inner.faults.add(inner.place("nested"), why, "remove `nested`")
    if inner and way is GroupWay.IN_CHAIN and nested is False:
        why = "'in-chain' follows groups in groups"
        inner.faults.add(inner.place("nested"), why, "write `way: memberOf`, or remove `nested`")
    usual = way is not GroupWay.MEMBER_UID
    return _Membership(found_below=_dn(inner) if inner else None, way=way, nested=usual if nested is None else nested)


def _line(fields: Fields, key: str) -> str | None:
    value = fields.value(key)
    return None if value is None else text_of(value, fields.faults, repr(key), MAX_DN)


def _dn(fields: Fields) -> str | None:
    text = _line(fields, "base")
    if text is None or _DN.match(text):
        return text
    fields.faults.add(fields.place("base"), f"{shown(text)} is no DN", "for example ou=people,dc=plant,dc=example")
    return None


def _filter(fields: Fields) -> str | None:
    text = _line(fields, "filter")
    if text is None:
        return None
    try:
        LDAPFilter.from_string(text)
    except (ValueError, IndexError) as error:
        why = f"{shown(text)} is no filter (RFC 4515): {error}"
        fields.faults.add(fields.place("filter"), why, "for example (objectClass=person)")
        return None
    return text


def _attribute(fields: Fields, key: str) -> str | None:
    text = fields.text(key)
    if text is None or _ATTRIBUTE.match(text):
        return text
    fields.faults.add(fields.place(key), f"{shown(text)} is no name of an attribute", "for example uid or entryUUID")
    return None
