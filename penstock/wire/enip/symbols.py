"""Names of tags that clients ask for by number: learned from the asset's own list, as it goes by.

Pure.  A Logix controller gives each tag a number in its symbol class (0x6B), and clients that have read the list of
them (Get Instance Attribute List, Rockwell 1756-PM020) then ask by number.  What the list said on this flow is what a
site document's `tags` are compared with.  It must never
guess: a list that is not read to its last byte teaches nothing, two questions that cannot be told apart teach nothing,
and whatever changes the program makes everything forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from struct import unpack_from
from typing import Final

import msgspec

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.enip.codes import SYMBOL
from penstock.wire.enip.path import path_of
from penstock.wire.enip.tags import expect_list

LIST: Final = 0x55
MAX_NAMES: Final = 16_384
_MAX_ASKED: Final = 64
_GOOD: Final = (0, 6)
_NAME_ATTRIBUTE: Final = 1
#: Bytes of the other attributes that lists are asked for: type, addresses, byte count, dimensions, access.
_SIZES: Final = {2: 2, 3: 4, 5: 4, 6: 4, 7: 2, 8: 12, 10: 1}
#: Names of tags, also of the controller's own (``Local:1:I``, ``Map:X``, ``__hidden``).
_IS_NAME: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_:]{0,255}\Z")
#: A symbol by its number, at the beginning of the spelling of an object; its members and elements follow.
_NUMBERED: Final = re.compile(r"((?:program:[^/]+/)?0x6b/[0-9]+)(?=\Z|[.\[])")
#: How such a path begins: class 0x6B in 8 bits or in 16.
_BEGINNINGS: Final = (b"\x20\x6b", b"\x21\x00\x6b\x00")
_CHANGES: Final = OperationClass.PROGRAM_TO_DEVICE


class _Asked(msgspec.Struct, frozen=True, gc=False):
    heading: bytes
    scope: str
    attributes: tuple[int, ...]


class Symbols:
    """What the lists of one flow said.  `MAX_NAMES` names; what comes later stays a number."""

    __slots__ = ("_asked", "_names")

    def __init__(self) -> None:
        self._names: dict[tuple[bytes, str], str] = {}
        self._asked: dict[int, _Asked | None] = {}

    def __len__(self) -> int:
        return len(self._names)

    def ask(self, exchange: int, heading: bytes, message: bytes) -> None:
        """A client asks for a list.  Two such questions with one number are not to be told apart."""
        found = None if exchange in self._asked else _question(heading, message)
        if len(self._asked) >= _MAX_ASKED:
            del self._asked[next(iter(self._asked))]
        self._asked[exchange] = found

    def tell(self, exchange: int, message: bytes) -> None:
        """The asset's answer to a list, if it is one."""
        asked = self._asked.pop(exchange, None)
        if asked is None or message[0] != LIST | 0x80 or message[2] not in _GOOD:
            return
        for number, name in _entries(message[4 + 2 * message[3] :], asked.attributes):
            if len(self._names) >= MAX_NAMES:
                return
            self._names[asked.heading, f"{asked.scope}0x{SYMBOL:x}/{number}"] = _scoped(asked.scope, name)

    def refused(self, exchange: int) -> None:
        """What was asked under this number did not go on."""
        self._asked.pop(exchange, None)

    def names_in(self, heading: bytes, targets: Iterable[Target]) -> bytes:
        """The names of those symbols that a request means by number, as `named` reads them; empty for none."""
        found: dict[str, str] = {}
        for target in targets:
            match = _NUMBERED.match(target.name)
            if match is not None and (name := self._names.get((heading, match[1]))) is not None:
                found[match[1]] = name
        return "\n".join(f"{number}={name}" for number, name in found.items()).encode()

    def forget(self) -> None:
        """The program changes: numbers may mean other tags from now on."""
        self._names.clear()


def concerns(message: bytes) -> bool:
    """Whether a request may name symbols by number."""
    return any(each in message for each in _BEGINNINGS)


def changes(classes: Iterable[OperationClass]) -> bool:
    """Whether an operation may change which number is which tag."""
    return _CHANGES in classes


def read_names(text: bytes) -> Mapping[str, str]:
    """What `Symbols.names_in` wrote."""
    pairs = (line.partition("=") for line in text.decode().split("\n"))
    return {number: name for number, _, name in pairs}


def named(targets: Iterable[Target], names: Mapping[str, str]) -> tuple[Target, ...]:
    """The same targets as tags by name, with the number as another name of theirs."""
    found: list[Target] = []
    for each in targets:
        match = _NUMBERED.match(each.name)
        name = names.get(match[1]) if match is not None else None
        if match is None or name is None:
            found.append(each)
        else:
            spelled = name + each.name[match.end() :]
            found.append(msgspec.structs.replace(each, table="tags", name=spelled, aliases=(each.name,)))
    return tuple(found)


def _question(heading: bytes, message: bytes) -> _Asked | None:
    end = 2 + 2 * message[1] if len(message) > 1 else 0
    if not 1 < end <= len(message):
        return None
    try:
        path, data = path_of(message[2:end]), message[end:]
        attributes = tuple(data[i] | data[i + 1] << 8 for i in expect_list(data))
    except Malformed:
        return None
    scope, _, rest = path.name.rpartition(f"0x{SYMBOL:x}/")
    is_list = path.is_known and path.number == SYMBOL and rest.isdecimal() and (not scope or scope.count("/") == 1)
    is_readable = attributes[:1] == (_NAME_ATTRIBUTE,) and all(each in _SIZES for each in attributes[1:])
    return _Asked(heading, scope, attributes) if is_list and is_readable else None


def _entries(data: bytes, attributes: tuple[int, ...]) -> list[tuple[int, str]]:
    """Number and name of each; nothing at all where the list is not just that."""
    behind = sum(_SIZES[each] for each in attributes[1:])
    found: list[tuple[int, str]] = []
    at = 0
    while at + 6 <= len(data):
        number, size = unpack_from("<IH", data, at)
        name = data[at + 6 : at + 6 + size]
        at += 6 + size + behind
        if at > len(data) or not _IS_NAME.match(name):
            return []
        found.append((number, name.lower().decode()))
    return found if at == len(data) else []


def _scoped(scope: str, name: str) -> str:
    """``program:main.speed``, or ``speed`` where the controller itself has it."""
    return f"{scope[:-1]}.{name}" if scope else name
