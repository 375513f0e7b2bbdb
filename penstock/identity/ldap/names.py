"""Distinguished names (RFC 4514): read, compared, and asked what they lie below.

Pure.  It must never take two different names for one: what it cannot read is equal to nothing.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Rdn: TypeAlias = frozenset[tuple[str, str]]
Dn: TypeAlias = tuple[Rdn, ...]

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*")
_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_SPECIAL = frozenset('"+,;<>=# \\')
MAX_LENGTH = 4096


def read(text: str) -> Dn | None:
    """The parts of a DN, the entry's own first, ready to be compared; ``None`` where it is none.

    Case and runs of spaces do not count, as for the attributes that DNs are made of (RFC 4517 section 4.2.11).
    """
    if not text.strip() or len(text) > MAX_LENGTH:
        return None
    found, at, rdn = list[Rdn](), 0, set[tuple[str, str]]()
    while True:
        part = _part(text, at)
        if part is None:
            return None
        kind, value, at = part
        rdn.add((kind, value))
        if at < len(text) and text[at] == "+":
            at += 1
            continue
        found.append(frozenset(rdn))
        rdn = set()
        if at == len(text):
            return tuple(found)
        at += 1


def is_below(dn: Dn, above: Dn) -> bool:
    """Whether `dn` is `above` or lies below it."""
    return len(dn) >= len(above) and dn[len(dn) - len(above) :] == above


def name_of(dn: Dn) -> str | None:
    """The cn that a DN begins with, in small letters; ``None`` where it begins with something else."""
    return next((value for kind, value in dn[0] if kind == "cn"), None)


def folded(value: str) -> str:
    """A value as it is compared."""
    return " ".join(value.casefold().split())


def _part(text: str, at: int) -> tuple[str, str, int] | None:
    while at < len(text) and text[at] == " ":
        at += 1
    kind = _TYPE.match(text, at)
    if kind is None:
        return None
    at = kind.end()
    while at < len(text) and text[at] == " ":
        at += 1
    if text[at : at + 1] != "=":
        return None
    value = _value(text, at + 1)
    return None if value is None else (kind[0].lower(), folded(value[0]), value[1])


def _value(text: str, at: int) -> tuple[str, int] | None:
    octets = bytearray()
    while at < len(text) and text[at] not in "+,;":
        sign = text[at]
        if sign == "\\":
            escaped = text[at + 1 : at + 3]
            if _HEX.fullmatch(escaped):
                octets.append(int(escaped, 16))
                at += 3
                continue
            if not escaped or escaped[0] not in _SPECIAL:
                return None
            octets += escaped[0].encode()
            at += 2
            continue
        if sign in '"<>\0':
            return None
        octets += sign.encode("utf-8", "surrogatepass")
        at += 1
    try:
        value = octets.decode()
    except UnicodeDecodeError:
        return None
    return (value, at) if at == len(text) or text[at] != ";" else None
