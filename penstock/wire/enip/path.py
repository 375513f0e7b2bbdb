"""CIP paths: the segments of a padded EPATH as the object that they name.

Pure.  ODVA CIP Volume 1, appendix C-1; symbolic segments as Rockwell 1756-PM020 describes them.  One object has one
spelling here, whatever sizes of segments were used: a tag is ``line1.motor[3].speed`` in small letters (tag names
compare without case), an object is ``0x8e/1/3`` (class, instance, attribute).  A path that breaks the standard is
`Malformed`; one with segments that the standard reserves, or that have no place in a request, is not `is_known`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from penstock.model import Malformed
from penstock.wire.enip.codes import TAG

#: The class of a path that names no class and no symbol.
NO_CLASS: Final = -2
#: Bits 7 to 5 of a segment's first byte (C-1.4).
_PORT: Final = 0x00
_LOGICAL: Final = 0x20
_NETWORK: Final = 0x40
_SYMBOLIC: Final = 0x60
_DATA: Final = 0x80
_KIND_BITS: Final = 0xE0
#: Bits 4 to 2 of a logical segment.
_CLASS, _INSTANCE, _MEMBER, _POINT, _ATTRIBUTE = 0x00, 0x04, 0x08, 0x0C, 0x10
_LOGICAL_BITS: Final = 0x1C
_KEY: Final = 0x34
_KEY_FORMAT: Final = 4
_KEY_BYTES: Final = 10
_ANSI_SYMBOL: Final = 0x91
_SIMPLE_DATA: Final = 0x80
_EXTENDED_NETWORK: Final = 0x10
_LONG_ADDRESS: Final = 0x10
_WIDE_PORT: Final = 15
_BACKPLANE: Final = 1
_SPACE, _DELETE = 0x20, 0x7F
#: Paths are short and few: clients ask for the same objects again and again.
_MAX_REMEMBERED: Final = 1024

#: A hop of a route: the number of a port and the address behind it.
Hop = tuple[int, str]


class Path(msgspec.Struct, frozen=True, gc=False):
    """What a path names.

    `number` is the class that gives a service its meaning: the last one, or `TAG` for a symbol.  `table` is ``tags`` or
    ``objects`` and `name` the object in its one spelling; `first` is the index of the element where the path ends with
    one, and `has_element` says so.  `attribute` is 0 where the path names none.  `numbers` are the logical segments in
    order, as kind (``class``, ``instance``, ``attribute``, ``connpoint``, ``member``) and number, `symbols` the symbols
    as they came.  `hops` are the port segments in front, `config` the data segments behind (a Forward Open's).
    """

    number: int
    table: str
    name: str
    first: int = 0
    has_element: bool = False
    attribute: int = 0
    numbers: tuple[tuple[str, int], ...] = ()
    symbols: tuple[str, ...] = ()
    hops: tuple[Hop, ...] = ()
    config: bytes = b""
    is_known: bool = True

    @property
    def route(self) -> str:
        """The hops as text: ``1/0`` is slot 0 of the backplane, ``1/0/2/10.0.0.5`` leads out of the rack."""
        return "/".join(f"{port}/{address}" for port, address in self.hops)

    @property
    def slot(self) -> int | None:
        """The slot in the rack, where the route is just that."""
        if len(self.hops) == 1 and self.hops[0][0] == _BACKPLANE and self.hops[0][1].isdecimal():
            return int(self.hops[0][1])
        return None


#: Paths of requests that were read before; what they name depends on nothing but their bytes.
REMEMBERED: Final[dict[bytes, Path]] = {}


_routes: dict[bytes, Path] = {}


def path_of(raw: bytes) -> Path:
    """What the path of a request names.  Raises `Malformed`."""
    found = REMEMBERED.get(raw)
    if found is None:
        found = read_path(raw)
        if found.hops or found.config:
            found = msgspec.structs.replace(found, is_known=False)
        if len(REMEMBERED) >= _MAX_REMEMBERED:
            REMEMBERED.clear()
        REMEMBERED[raw] = found
    return found


def route_of(raw: bytes) -> Path:
    """The route of an Unconnected Send, remembered as well.  Raises `Malformed`."""
    found = _routes.get(raw)
    if found is None:
        found = read_path(raw)
        if len(_routes) >= _MAX_REMEMBERED:
            _routes.clear()
        _routes[raw] = found
    return found


def read_path(raw: bytes) -> Path:
    """What a path names, with a route in front and data behind, as connections have them.  Raises `Malformed`."""
    reader = _Reader(raw)
    while reader.at < len(raw):
        reader.segment()
    return reader.path()


class _Reader:
    """Walks the segments of one path."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0
        self._number, self._text, self._attribute = NO_CLASS, "", 0
        self._members: list[int] = []
        self._numbers: list[tuple[str, int]] = []
        self._symbols: list[str] = []
        self._hops: list[Hop] = []
        self._config = b""
        self._is_known = True

    def path(self) -> Path:
        """What was read."""
        has_element = len(self._members) == 1
        first = self._members[0] if has_element else 0
        if len(self._members) > 1:
            self._close_members()
        is_tag = self._number == TAG
        return Path(
            self._number,
            "tags" if is_tag else "objects",
            self._text,
            first,
            has_element,
            self._attribute,
            tuple(self._numbers),
            tuple(self._symbols),
            tuple(self._hops),
            self._config,
            self._is_known and self._number != NO_CLASS,
        )

    def segment(self) -> None:
        """Read one segment."""
        head = self.raw[self.at]
        kind = head & _KIND_BITS
        if kind == _LOGICAL:
            if head == _KEY:
                self._key()
            else:
                self._logical(head)
        elif head == _ANSI_SYMBOL:
            self._symbol(self._take(2)[1])
        elif kind == _PORT:
            self._hop(head)
        elif kind == _NETWORK:
            self._network(head)
        elif kind == _SYMBOLIC and head != _SYMBOLIC:
            self._take(1)
            self._symbol(head & ~_KIND_BITS, heading=1)
        elif head == _SIMPLE_DATA:
            self._config += self._take(2 * self._take(2)[1])
        else:
            # Reserved, extended or constructed: how long it is is not known.
            self._is_known = False
            self.at = len(self.raw)

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.raw):
            raise Malformed("a path ends within a segment (C-1.4)")
        taken = self.raw[self.at : end]
        self.at = end
        return taken

    def _logical(self, head: int) -> None:
        """A number of 8, 16 or 32 bits (C-1.4.2); the longer ones follow a pad byte, which is 0."""
        size = head & 3
        if size == 0:
            value = self._take(2)[1]
        elif size == 3 or self.raw[self.at + 1 : self.at + 2] != b"\0":  # noqa: PLR2004 - reserved
            raise Malformed(f"a logical segment 0x{head:02X} of no legal size (C-1.4.2)")
        else:
            value = int.from_bytes(self._take(4 if size == 1 else 6)[2:], "little")
        kind = head & _LOGICAL_BITS
        if size > 1 and kind in (_CLASS, _ATTRIBUTE):
            raise Malformed("classes and attributes have 8 or 16 bits (C-1.4.2)")
        if kind == _MEMBER:
            self._members.append(value)
            self._numbers.append(("member", value))
            return
        self._close_members()
        if kind == _CLASS:
            self._number = value
            self._text += f"/0x{value:x}" if self._text else f"0x{value:x}"
            self._attribute = 0
            self._numbers.append(("class", value))
        elif kind in _NAMES:
            self._text += f"/{value}" if self._text else f"-/{value}"
            self._numbers.append((_NAMES[kind], value))
            if kind == _ATTRIBUTE:
                self._attribute = value
        else:
            self._is_known = False

    def _symbol(self, size: int, heading: int = 0) -> None:
        """A symbol (C-1.4.5.3); the segment has an even number of bytes."""
        raw = self._take(size)
        if (size + heading) % 2 and self._take(1) != b"\0":
            raise Malformed("a symbol's pad byte is not 0 (C-1.4.5.3)")
        if not raw or any(each < _SPACE or each == _DELETE for each in raw):
            raise Malformed("a symbol is empty or has control characters in it")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise Malformed("a symbol is no text") from None
        self._close_members()
        self._symbols.append(text)
        # Only ASCII letters: how an asset compares others is not known, so they are not taken for the same.
        small = raw.lower().decode()
        self._text += f".{small}" if self._text else small
        if self._number == NO_CLASS:
            self._number = TAG

    def _close_members(self) -> None:
        if self._members:
            self._text += f"[{','.join(map(str, self._members))}]"
            self._members.clear()

    def _hop(self, head: int) -> None:
        """A port and a link address (C-1.4.1)."""
        if self._text or self._members:
            self._is_known = False
        is_long = head & _LONG_ADDRESS
        size = self._take(2 if is_long else 1)[-1]
        port = head & _WIDE_PORT
        wide = 0
        if port == _WIDE_PORT:
            port = int.from_bytes(self._take(2), "little")
            wide = 2
        if is_long:
            raw = self._take(size)
            if (size + wide) % 2 and self._take(1) != b"\0":
                raise Malformed("a link address's pad byte is not 0 (C-1.4.1)")
            is_text = bool(raw) and all(_SPACE < each < _DELETE for each in raw)
            address = raw.decode() if is_text and size > 1 else f"0x{raw.hex()}"
        else:
            address = str(self._take(1)[0])
        if not port:
            self._is_known = False
        self._hops.append((port, address))

    def _key(self) -> None:
        """An electronic key (C-1.4.2.5): which device is meant, not which object."""
        raw = self._take(_KEY_BYTES)
        if raw[1] != _KEY_FORMAT:
            self._is_known = False
            self.at = len(self.raw)

    def _network(self, head: int) -> None:
        """A network segment (C-1.4.3): when data is sent, not what."""
        second = self._take(2)[1]
        if head & _EXTENDED_NETWORK:
            self._take(2 * second)


_NAMES: Final = {_INSTANCE: "instance", _POINT: "connpoint", _ATTRIBUTE: "attribute"}
