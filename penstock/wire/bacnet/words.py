"""How a site document speaks of BACnet objects, properties and priorities.

Pure text to `Span`; what names nothing raises `UnreadableError`.  An object is its type and instance
(``analog-value:1-5``), a property its name in the standard (``present-value``), a priority one of 1 to 16.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from penstock.model import Span
from penstock.wire.bacnet.names import OBJECT_TYPE_NUMBERS, PROPERTIES, PROPERTY_NUMBERS
from penstock.wire.bacnet.properties import DEFAULT_PRIORITY
from penstock.wire.bacnet.tags import MAX_INSTANCE, type_name
from penstock.wire.protocol import UnreadableError
from penstock.wire.words import read_range

PROPERTY_AXIS: Final = "property"
PRIORITY_AXIS: Final = "priority"
#: 15.11: groups of channels are no objects, but numbered like them.
#: What the asset does for others is none either; its numbers are those of networks.
_OTHERS: Final = {"channel-group": (1 << 32) - 1, "relay": (1 << 16) - 1}
_MAX_TYPE: Final = (1 << 10) - 1
#: 22 bits hold a property (clause 21, BACnetPropertyIdentifier).
_MAX_PROPERTY: Final = (1 << 22) - 1
_OBJECT_HINT: Final = "write it as analog-value:1-5, binary-output:* or 130:7 (type and instances)"
_PROPERTY_HINT: Final = "write it as present-value, priority-array[3] or 512"
_REFERENCE: Final = re.compile(r"([a-z][a-z0-9-]*|[0-9]{1,7})(?:\[([0-9]{1,9})\])?\Z", re.ASCII)


def read_objects(text: str) -> Sequence[Span]:
    """``analog-value:1-5``, ``binary-output:*``, ``130:7``."""
    kind, colon, instances = text.strip().partition(":")
    if not colon:
        why = f"{text!r} has no instance"
        raise UnreadableError(why, _OBJECT_HINT)
    table, limit = _table(kind.strip(), text)
    if instances.strip() == "*":
        return (Span(table=table, first=0, last=limit),)
    found = read_range(instances)
    if found is None or found[0] < 0 or found[1] > limit:
        why = f"{text!r} is no range of instances from 0 to {limit}"
        raise UnreadableError(why, _OBJECT_HINT)
    return (Span(table=table, first=found[0], last=found[1]),)


def read_properties(text: str) -> Sequence[Span]:
    """``present-value``: all of it, at every priority; ``priority-array[3]``: that element."""
    match = _REFERENCE.match(text.strip())
    if match is None:
        why = f"{text!r} is no property"
        raise UnreadableError(why, _PROPERTY_HINT)
    name = _property(match[1], text)
    if match[2] is not None:
        return _named(PROPERTY_AXIS, f"{name}[{int(match[2])}]", f"{name}[{int(match[2])}]@*")
    return _named(PROPERTY_AXIS, name, f"{name}@*", f"{name}[*")


def read_priorities(text: str) -> Sequence[Span]:
    """``8-16`` or ``16``: at which priorities may be written; a write that names none is one at 16."""
    found = read_range(text)
    if found is None or not 1 <= found[0] <= found[1] <= DEFAULT_PRIORITY:
        why = f"{text!r} is no range of priorities from 1 to 16"
        raise UnreadableError(why, "write it as 8-16; 1 is the highest (life safety), 16 what a write has by itself")
    return _named(PRIORITY_AXIS, *(f"*@{priority}" for priority in range(found[0], found[1] + 1)))


def _named(axis: str, *names: str) -> Sequence[Span]:
    return tuple(Span(table="", name=name, axis=axis) for name in names)


def _table(kind: str, text: str) -> tuple[str, int]:
    if kind in _OTHERS:
        return kind, _OTHERS[kind]
    if kind in OBJECT_TYPE_NUMBERS:
        return kind, MAX_INSTANCE
    if kind.isascii() and kind.isdecimal() and int(kind) <= _MAX_TYPE:
        return type_name(int(kind)), MAX_INSTANCE
    why = f"{text!r} names no type of object"
    raise UnreadableError(why, _OBJECT_HINT)


def _property(word: str, text: str) -> str:
    if word in PROPERTY_NUMBERS:
        return word
    if word.isdecimal() and int(word) <= _MAX_PROPERTY:
        return PROPERTIES.get(int(word)) or str(int(word))
    why = f"{text!r} names no property of the standard"
    raise UnreadableError(why, _PROPERTY_HINT)
