"""YAML text to a tree of values that know their place (file, line, column).

The first step of reading a site document.  It accepts a small, unambiguous part of YAML: no aliases, anchors or tags,
one document a file, text as keys, each key once, a bounded size and depth.  It must never build Python objects out of
tags, and never recurse over what it reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import yaml

from penstock.policy.faults import Faults, Place

#: A site of some 10,000 assets takes about half of it; more is not a site document.
MAX_DOCUMENT_BYTES = 1 << 20
#: The document's own grammar needs seven levels.
MAX_DEPTH = 16

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FRACTION = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")


class Kind(Enum):
    """What a scalar is: the core schema of YAML 1.2, so ``on`` and ``12:30:45`` are text."""

    TEXT = "text"
    INTEGER = "a whole number"
    FRACTION = "a fraction"
    BOOLEAN = "true or false"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One plain or quoted value, as it is written."""

    place: Place
    text: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A sequence."""

    place: Place
    items: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a table and its value."""

    key: Scalar
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping in the order of the file; every key is text and stands once."""

    place: Place
    entries: tuple[Entry, ...] = ()

    def get(self, key: str) -> Value | None:
        """The value of `key`, or ``None``."""
        return next((entry.value for entry in self.entries if entry.key.text == key), None)


Value: TypeAlias = Scalar | Listing | Table


class _Refused(Exception):
    """The text cannot be read any further; the fault is noted."""


@dataclass(slots=True)
class _Open:
    """A sequence or mapping that is not closed yet."""

    place: Place
    is_table: bool
    items: list[Value] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    seen: dict[str, Place] = field(default_factory=dict)
    key: Scalar | None = None
    is_skipped: bool = False


def read(file: str, text: str, faults: Faults) -> Value | None:
    """The tree of one file; ``None``, with the reason in `faults`, where the text is not such YAML."""
    start = Place(file=file, line=1, column=1)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_DOCUMENT_BYTES:
        faults.add(
            start, f"the file is larger than {MAX_DOCUMENT_BYTES} bytes", "split the document over several files"
        )
        return None
    try:
        value = _Tree(file, faults).build(text)
    except _Refused:
        return None
    except (yaml.YAMLError, UnicodeError) as error:
        faults.add(
            _place_of(error, file, text), f"not readable as YAML: {_reason_of(error)}", "check quotes and indents"
        )
        return None
    if value is None:
        faults.add(start, "the file is empty", "it needs at least `site:` and `overlay:`")
    return value


class _Tree:
    """Puts the events of the YAML parser together, with a stack of its own instead of recursion."""

    def __init__(self, file: str, faults: Faults) -> None:
        self._file, self._faults = file, faults
        self._stack: list[_Open] = []
        self._root: Value | None = None
        self._documents = 0

    def build(self, text: str) -> Value | None:
        for event in yaml.parse(text, Loader=_LOADER):
            self._take(event)
        return self._root

    def _take(self, event: yaml.Event) -> None:
        mark = event.start_mark
        assert mark is not None
        place = Place(file=self._file, line=mark.line + 1, column=mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(place, "a second YAML document begins here", "put it into a file of its own")
        elif isinstance(event, yaml.AliasEvent):
            self._refuse(place, f"the alias *{event.anchor} is not allowed", "write the value out")
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._close()
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            self._begin(event, place)

    def _begin(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, place: Place) -> None:
        if event.anchor is not None:
            self._refuse(place, f"the anchor &{event.anchor} is not allowed", "write the value out where it is needed")
        if event.tag is not None:
            self._refuse(place, f"the tag {event.tag} is not allowed", "remove it")
        if isinstance(event, yaml.ScalarEvent):
            kind = _kind(event.value) if event.implicit[0] else Kind.TEXT
            self._put(Scalar(place=place, text=event.value, kind=kind))
            return
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(place, f"nested deeper than {MAX_DEPTH} levels", "a site document needs no more than seven")
        self._stack.append(_Open(place=place, is_table=isinstance(event, yaml.MappingStartEvent)))

    def _close(self) -> None:
        done = self._stack.pop()
        if done.is_table:
            self._put(Table(place=done.place, entries=tuple(done.entries)))
        else:
            self._put(Listing(place=done.place, items=tuple(done.items)))

    def _put(self, value: Value) -> None:
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        if not top.is_table:
            top.items.append(value)
        elif top.key is None:
            top.key, top.is_skipped = self._key(top, value)
        else:
            if not top.is_skipped:
                top.entries.append(Entry(key=top.key, value=value))
            top.key = None

    def _key(self, table: _Open, value: Value) -> tuple[Scalar, bool]:
        """The key, and whether its value is passed over because the key is at fault."""
        if not isinstance(value, Scalar):
            self._faults.add(value.place, "a key must be text", "remove the brackets")
            return Scalar(place=value.place, text=""), True
        if value.kind is not Kind.TEXT:
            self._faults.add(
                value.place, f"the key {value.text!r} must be text, it is {value.kind.value}", "put it in quotes"
            )
            return value, True
        first = table.seen.setdefault(value.text, value.place)
        if first is not value.place:
            self._faults.add(value.place, f"the key {value.text!r} stands here twice", f"it is already at {first}")
            return value, True
        return value, False

    def _refuse(self, place: Place, why: str, hint: str) -> None:
        self._faults.add(place, why, hint)
        raise _Refused


def _kind(text: str) -> Kind:
    if text in {"", "~", "null", "Null", "NULL"}:
        return Kind.NOTHING
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return Kind.BOOLEAN
    if _INTEGER.match(text):
        return Kind.INTEGER
    return Kind.FRACTION if _FRACTION.match(text) else Kind.TEXT


def _place_of(error: Exception, file: str, text: str) -> Place:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return Place(file=file, line=mark.line + 1, column=mark.column + 1)
    position = next((i for i, letter in enumerate(text) if not _is_printable(letter)), 0)
    before = text[:position]
    return Place(file=file, line=before.count("\n") + 1, column=position - (before.rfind("\n") + 1) + 1)


def _reason_of(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return str(error.problem or error.context or "syntax error")
    return "a character that YAML does not allow"


def _is_printable(letter: str) -> bool:
    """The printable characters of YAML 1.2, section 5.1 (without the lone surrogates)."""
    code = ord(letter)
    return (
        letter in "\t\n\r\x85"
        or 0x20 <= code <= 0x7E  # noqa: PLR2004
        or 0xA0 <= code <= 0xD7FF  # noqa: PLR2004
        or (code >= 0xE000 and code not in {0xFFFE, 0xFFFF})  # noqa: PLR2004
    )
