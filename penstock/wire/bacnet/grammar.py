"""How the parts of a BACnet service follow each other: small rules that `services` puts together.

Pure.  ANSI/ASHRAE 135-2020, clause 21 is written in ASN.1; a rule here is one line of it.  Reading is linear in the
number of tags: no rule ever goes back.  What a rule does not expect is `Malformed`, and so is what is left over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from penstock.model import Malformed, Value
from penstock.wire.bacnet.tags import (
    APPLICATION,
    CLOSING,
    CONTEXT,
    OBJECT,
    OPENING,
    Tag,
    object_of,
    primitive,
    read_tags,
    value_of,
)

#: What was read, in its order: the label that its rule has, and the value (an object: type and instance; anything: the
#: values in it).
Found = list[tuple[str, Any]]
#: The label of objects that stand within other values.
INNER: Final = "inner object"
_END: Final[Tag] = (-1, -1, 0, 0)


class Reader:
    """The tags of one service, read from the first to the last.  `found` stays readable when a rule raised."""

    __slots__ = ("data", "found", "next", "tags")

    def __init__(self, data: bytes, tags: Sequence[Tag]) -> None:
        self.data, self.tags, self.next = data, tags, 0
        self.found: Found = []

    @property
    def tag(self) -> Tag:
        """The tag that comes next; one that fits no rule at the end."""
        return self.tags[self.next] if self.next < len(self.tags) else _END

    def expect(self, kind: int, number: int) -> Tag:
        """That tag comes next, and is behind us now."""
        tag = self.tag
        if tag[0] != kind or tag[1] != number:
            raise Malformed(f"tag {number} is missing, here is {tag[1]} (clause 21)")
        self.next += 1
        return tag


class Rule(Protocol):
    """One part of a service."""

    def starts(self, tag: Tag) -> bool:
        """Whether the part can begin with this tag."""

    def read(self, reader: Reader) -> None:
        """Take the part.  Raises `Malformed`."""


class Plain:
    """One primitive value of a known type, with a context tag `context`, or with its application tag without one."""

    __slots__ = ("_key", "_label", "_type")

    def __init__(self, type_number: int, context: int | None = None, label: str = "") -> None:
        self._key = (APPLICATION, type_number) if context is None else (CONTEXT, context)
        self._type, self._label = type_number, label

    def starts(self, tag: Tag) -> bool:
        """See `Rule.starts`."""
        return tag[:2] == self._key

    def read(self, reader: Reader) -> None:
        """See `Rule.read`."""
        tag = reader.expect(*self._key)
        if self._type == OBJECT:
            reader.found.append((self._label or INNER, object_of(reader.data, tag[2], tag[3])))
            return
        value = (
            value_of(reader.data, tag) if tag[0] == APPLICATION else primitive(self._type, reader.data, tag[2], tag[3])
        )
        if self._label:
            reader.found.append((self._label, value))


class Group:
    """Parts in a row between an opening and a closing tag."""

    __slots__ = ("_number", "_parts")

    def __init__(self, number: int, *parts: Rule) -> None:
        self._number, self._parts = number, parts

    def starts(self, tag: Tag) -> bool:
        """See `Rule.starts`."""
        return tag[0] == OPENING and tag[1] == self._number

    def read(self, reader: Reader) -> None:
        """See `Rule.read`."""
        reader.expect(OPENING, self._number)
        for part in self._parts:
            part.read(reader)
        reader.expect(CLOSING, self._number)


class Anything:
    """Values of any type between an opening and a closing tag (ABSTRACT-SYNTAX.&Type).

    A group among them is ``[3`` and ``]``, with its values in between: what limits values is not met by a group.
    """

    __slots__ = ("_label", "_number")

    def __init__(self, number: int, label: str = "") -> None:
        self._number, self._label = number, label

    def starts(self, tag: Tag) -> bool:
        """See `Rule.starts`."""
        return tag[0] == OPENING and tag[1] == self._number

    def read(self, reader: Reader) -> None:
        """See `Rule.read`."""
        reader.expect(OPENING, self._number)
        values, depth = list[Value](), 1
        while True:
            tag = reader.tag
            if tag is _END:
                raise Malformed(f"group {self._number} is not closed (20.2.1.3.2)")
            reader.next += 1
            if tag[0] == OPENING:
                depth += 1
                values.append(f"[{tag[1]}")
            elif tag[0] == CLOSING:
                depth -= 1
                if not depth:
                    break
                values.append("]")
            else:
                values.append(value_of(reader.data, tag))
                if tag[0] == APPLICATION and tag[1] == OBJECT:
                    reader.found.append((INNER, object_of(reader.data, tag[2], tag[3])))
        if self._label:
            reader.found.append((self._label, tuple(values)))


class Maybe:
    """Parts that may be missing, together."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: Rule) -> None:
        self._parts = parts

    def starts(self, tag: Tag) -> bool:
        """See `Rule.starts`."""
        return self._parts[0].starts(tag)

    def read(self, reader: Reader) -> None:
        """See `Rule.read`."""
        if self.starts(reader.tag):
            for part in self._parts:
                part.read(reader)


class Many:
    """Parts in a row, any number of times, at least `least`."""

    __slots__ = ("_least", "_parts")

    def __init__(self, *parts: Rule, least: int = 0) -> None:
        self._parts, self._least = parts, least

    def starts(self, tag: Tag) -> bool:
        """See `Rule.starts`."""
        return self._parts[0].starts(tag)

    def read(self, reader: Reader) -> None:
        """See `Rule.read`."""
        count = 0
        while self.starts(reader.tag):
            for part in self._parts:
                part.read(reader)
            count += 1
        if count < self._least:
            raise Malformed("a list that may not be empty is empty (clause 21)")


class Choice:
    """Exactly one of several parts."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: Rule) -> None:
        self._parts = parts

    def starts(self, tag: Tag) -> bool:
        """See `Rule.starts`."""
        return any(part.starts(tag) for part in self._parts)

    def read(self, reader: Reader) -> None:
        """See `Rule.read`."""
        tag = reader.tag
        for part in self._parts:
            if part.starts(tag):
                part.read(reader)
                return
        raise Malformed(f"none of the choices begins with tag {tag[1]} (clause 21)")


class Opaque:
    """Whatever is left, well tagged: services that the standard removed, or that a vendor defines."""

    __slots__ = ()

    def starts(self, tag: Tag) -> bool:
        """See `Rule.starts`."""
        return tag is not _END

    def read(self, reader: Reader) -> None:
        """See `Rule.read`."""
        reader.next = len(reader.tags)


def read_parts(parts: Sequence[Rule], data: bytes, at: int, end: int) -> Found:
    """What the parts, in a row from `at` to `end`, say.  Raises `Malformed`, also for what is left over."""
    reader = Reader(data, read_tags(data, at, end))
    finish(reader, parts)
    return reader.found


def finish(reader: Reader, parts: Sequence[Rule]) -> None:
    """Read all parts, and nothing may be left.  Raises `Malformed`; `reader.found` has what was read until then."""
    for part in parts:
        part.read(reader)
    if reader.next < len(reader.tags):
        raise Malformed(f"tag {reader.tag[1]} is behind the end of the service (clause 21)")
