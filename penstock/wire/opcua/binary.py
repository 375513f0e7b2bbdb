"""The built-in types of OPC UA as OPC UA Binary encodes them (OPC 10000-6, 5.2.2): bytes in, values out.

Pure.  Every reader takes the bytes and a place and gives the value and the place behind it.  What contradicts the
encoding is `Malformed`, because a server might read such bytes otherwise than the gate does.  A reader never looks
behind the end of the bytes, and never keeps more elements than bytes are there.  Where the bytes end within a field of
one size it raises one of `ENDS_EARLY` instead; who reads a whole message makes `Malformed` of it (`ends_early`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from struct import Struct
from struct import error as StructError  # noqa: N812 - as errors are written here
from typing import Any, Final

import msgspec

from penstock.model import Malformed

Reader = Callable[[bytes, int], tuple[Any, int]]

#: 5.1.5 and 5.2.2.12: decoders support at least 100 levels of nesting; no more are followed here.
MAX_DEPTH: Final = 100
#: Elements of all arrays of a request, but for numbers in values.  Servers take ten thousand nodes or fewer.
MAX_ELEMENTS: Final = 65_536
#: 5.2.2.9: the bits of a NodeId's first byte that only an ExpandedNodeId may have.
HAS_URI: Final = 0x80
HAS_SERVER: Final = 0x40
#: What is raised where the bytes end within a field of one size: asking first would cost more than reading.
ENDS_EARLY: Final = (IndexError, StructError)
#: What is raised for bytes that are not what they should be.
BROKEN: Final = (Malformed, *ENDS_EARLY)
_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_TICKS_PER_US: Final = 10
_MAX_DATE_US: Final = int((datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) / timedelta(microseconds=1))
_int32 = Struct("<i").unpack_from
_uint32 = Struct("<I").unpack_from
_two_uint32 = Struct("<HI").unpack_from


class Counted(bytes):
    """A request whose arrays have so many elements at most, with what its objects hold: `room` is what is left.

    A megabyte can hold a million of them, and while they are read every other flow waits.
    """

    room: list[int]

    @classmethod
    def of(cls, data: bytes, room: list[int] | None = None) -> Counted:
        """`data` with room of its own, or with the room of what it stands in."""
        found = cls(data)
        found.room = [MAX_ELEMENTS] if room is None else room
        return found


def charge(data: bytes, count: int) -> None:
    """Count the elements of an array.  Raises `Malformed` where a request has too many; a response may have any."""
    if isinstance(data, Counted):
        data.room[0] -= max(count, 0)
        if data.room[0] < 0:
            raise Malformed(f"a request whose arrays have more than {MAX_ELEMENTS} elements")


class NodeId(msgspec.Struct, frozen=True, gc=False):
    """The name of a node: `kind` is ``i``, ``s``, ``g`` or ``b``; opaque identifiers are lower-case hexadecimal.

    `uri` and `server` are those of an ExpandedNodeId; a node of another server has no object here.
    """

    namespace: int
    kind: str
    identifier: int | str
    uri: str = ""
    server: int = 0

    @property
    def text(self) -> str:
        """``ns=2;s=Line1.Speed``, or ``i=2253`` in namespace 0 (OPC 10000-6, 5.3.1.10)."""
        if self.kind == "i" and not (self.uri or self.server):  # nearly all of the standard's own
            return f"ns={self.namespace};i={self.identifier}" if self.namespace else f"i={self.identifier}"
        namespace = f"ns={self.namespace};" if self.namespace else ""
        name = str(self.identifier)
        # Two nodes never have one text: what is written out stands behind another sign.
        return f"{self.place}{namespace}{self.kind}" + (f"={name}" if name.isprintable() else f"~{printable(name)}")

    @property
    def place(self) -> str:
        """``svr=1;nsu=urn:x;`` where the node is named beyond this server, else nothing."""
        server = f"svr={self.server};" if self.server else ""
        return f"{server}nsu={printable(self.uri)};" if self.uri else server

    @property
    def number(self) -> int:
        """The identifier where it is a number, else 0."""
        return self.identifier if isinstance(self.identifier, int) else 0


def printable(text: str) -> str:
    r"""`text` with every control character written out (``\x0a``), so that it cannot play with who reads it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() and each != "\\" else f"\\x{ord(each):02x}" for each in text)


class Opaque(msgspec.Struct, frozen=True, gc=False):
    """An ExtensionObject whose inside is not looked at here: its type, and its bytes where it has any."""

    type_id: NodeId
    encoding: int
    body: bytes


class DataValue(msgspec.Struct, frozen=True, gc=False):
    """A value with its quality; `value` is a `Variant`, ``None`` where none was sent."""

    value: Variant | None
    status: int = 0


class Variant(msgspec.Struct, frozen=True, gc=False):
    """A value of any type: `kind` is the built-in type's number, `is_array` tells one element from an array of one."""

    kind: int
    values: tuple[Any, ...]
    is_array: bool = False


def ends_early(what: str) -> Malformed:
    """The error for bytes that end within a field."""
    return Malformed(f"{what} ends within a field (OPC 10000-6, 5.2)")


def need(data: bytes, at: int, count: int) -> int:
    """The place behind `count` bytes from `at` on.  Raises `Malformed` where these are not all there."""
    end = at + count
    if count < 0 or end > len(data):
        raise Malformed(f"{count} bytes at {at} go past the end of {len(data)} bytes (OPC 10000-6, 5.2)")
    return end


def fixed(form: str) -> Reader:
    """A reader of one number."""
    layout = Struct("<" + form)
    size, unpack = layout.size, layout.unpack_from

    def read(data: bytes, at: int) -> tuple[Any, int]:
        return unpack(data, at)[0], at + size

    return read


read_uint16, read_uint32, read_int32 = fixed("H"), fixed("I"), fixed("i")


def read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    """5.2.2.1: 0 is false, every other number is true."""
    return data[at] != 0, at + 1


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """5.2.2.4, 5.2.5: a length in front of what it counts; -1 is null, and nothing below it."""
    length: int = _int32(data, at)[0]
    at += 4
    if length > len(data) - at or length < -1:
        raise Malformed(f"a length of {length} with {len(data) - at} bytes behind it (OPC 10000-6, 5.2.5)")
    return length, at


def read_bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    """5.2.2.7: ByteString; ``None`` is null."""
    length, at = read_length(data, at)
    return (None, at) if length < 0 else (data[at : at + length], at + length)


def read_string(data: bytes, at: int) -> tuple[str | None, int]:
    """5.2.2.4: UTF-8; ``None`` is null."""
    length: int = _int32(data, at)[0]
    at += 4
    if length == -1:
        return None, at
    end = at + length
    if end > len(data) or length < 0:
        raise Malformed(f"a length of {length} with {len(data) - at} bytes behind it (OPC 10000-6, 5.2.5)")
    try:
        return data[at:end].decode(), end
    except UnicodeDecodeError as error:
        raise Malformed("a string is no UTF-8 (OPC 10000-6, 5.2.2.4)") from error


def read_date(data: bytes, at: int) -> tuple[str, int]:
    """5.2.2.5: 100 ns since 1601 as ``2026-11-23T14:00:00Z``; what lies outside of the calendar is its end."""
    ticks, end = _read_int64(data, at)
    us = min(max(ticks // _TICKS_PER_US, 0), _MAX_DATE_US)
    text = (_EPOCH + timedelta(microseconds=us)).isoformat().removesuffix("+00:00")
    return text + "Z", end


_read_int64 = fixed("q")


def read_guid(data: bytes, at: int) -> tuple[str, int]:
    """5.2.2.6."""
    end = need(data, at, 16)
    return str(uuid.UUID(bytes_le=data[at:end])), end


def read_node(data: bytes, at: int) -> tuple[NodeId, int]:
    """5.2.2.9: a NodeId in any of its six encodings."""
    encoding = data[at]
    if encoding == 1:
        return NodeId(data[at + 1], "i", data[at + 2] | data[at + 3] << 8), at + 4
    if encoding == 0:
        return NodeId(0, "i", data[at + 1]), at + 2
    return _read_longer_node(data, at, encoding)


def _read_node_as(encoding: int, data: bytes, at: int) -> tuple[NodeId, int]:
    if encoding == 1:
        return NodeId(data[at + 1], "i", data[at + 2] | data[at + 3] << 8), at + 4
    if encoding == 0:
        return NodeId(0, "i", data[at + 1]), at + 2
    return _read_longer_node(data, at, encoding)


def end_of_node(data: bytes, at: int) -> int:
    """Where a NodeId ends that begins at `at`; the place itself where its encoding is none."""
    encoding = data[at]
    if encoding in _LONG_NODES:
        length: int = _int32(data, at + 3)[0]
        return at + 7 + (length if length > 0 else 0)  # noqa: FURB136 - `max` takes three times as long
    return at + _NODE_BYTES.get(encoding, 0)


#: Table 16: how long the encodings are that have one length; the others say theirs.
_NODE_BYTES: Final = {0: 2, 1: 4, 2: 7, 4: 19}
_LONG_NODES: Final = frozenset((3, 5))


def read_expanded_node(data: bytes, at: int) -> tuple[NodeId, int]:
    """5.2.2.10: a NodeId that may name its namespace by a URI, and a server."""
    flags = data[at]
    if flags == 1:
        return NodeId(data[at + 1], "i", data[at + 2] | data[at + 3] << 8), at + 4
    if flags == 0:
        return NodeId(0, "i", data[at + 1]), at + 2
    if not flags & (HAS_URI | HAS_SERVER):
        return _read_longer_node(data, at, flags)
    node, at = _read_node_as(flags & ~(HAS_URI | HAS_SERVER), data, at)
    uri, server = None, 0
    if flags & HAS_URI:
        uri, at = read_string(data, at)
    if flags & HAS_SERVER:
        server, at = read_uint32(data, at)
    return NodeId(node.namespace, node.kind, node.identifier, uri or "", server), at


def _read_longer_node(data: bytes, at: int, encoding: int) -> tuple[NodeId, int]:
    if encoding == 2:  # noqa: PLR2004 - table 16: numeric
        namespace, number = _two_uint32(data, at + 1)
        return NodeId(namespace, "i", number), at + 7
    if encoding not in _LONG:
        raise Malformed(f"0x{encoding:02x} is no encoding of a NodeId (OPC 10000-6, 5.2.2.9)")
    namespace, end = read_uint16(data, at + 1)
    kind, read = _LONG[encoding]
    identifier, end = read(data, end)
    if isinstance(identifier, bytes):
        identifier = identifier.hex()
    return NodeId(namespace, kind, identifier or ""), end


_LONG: Final[dict[int, tuple[str, Reader]]] = {3: ("s", read_string), 4: ("g", read_guid), 5: ("b", read_bytes)}


def read_qualified(data: bytes, at: int) -> tuple[str, int]:
    """5.2.2.13: QualifiedName as ``2:Level``; the null name is empty."""
    namespace = data[at] | data[at + 1] << 8
    name, at = read_string(data, at + 2)
    return (f"{namespace}:{name}" if name is not None or namespace else ""), at


def read_localized(data: bytes, at: int) -> tuple[str, int]:
    """5.2.2.14: LocalizedText; the locale is read and left out."""
    mask, text = data[at], None
    at += 1
    if mask & ~0x03:
        raise Malformed(f"0x{mask:02x} is no mask of a LocalizedText (OPC 10000-6, 5.2.2.14)")
    if mask & 1:
        _, at = read_string(data, at)
    if mask & 2:
        text, at = read_string(data, at)
    return text or "", at


def read_extension(data: bytes, at: int) -> tuple[Opaque, int]:
    """5.2.2.15: an ExtensionObject; without a body, with one in binary (1) or in XML (2)."""
    type_id, at = read_node(data, at)
    encoding, body = data[at], None
    at += 1
    if encoding > 2:  # noqa: PLR2004 - the three encodings
        raise Malformed(f"{encoding} is no encoding of an ExtensionObject (OPC 10000-6, 5.2.2.15)")
    if encoding:
        body, at = read_bytes(data, at)
        if isinstance(data, Counted):
            body = Counted.of(body or b"", data.room)
    return Opaque(type_id, encoding, body or b""), at


def read_data_value(data: bytes, at: int, depth: int = 0) -> tuple[DataValue, int]:
    """5.2.2.17: a mask, then what it says is there."""
    mask, value, status = data[at], None, 0
    at += 1
    if mask & ~0x3F:
        raise Malformed(f"0x{mask:02x} is no mask of a DataValue (OPC 10000-6, 5.2.2.17)")
    if mask & 0x01:
        value, at = read_variant(data, at, depth)
    if mask & 0x02:
        status, at = read_uint32(data, at)
    stamps = _STAMP_BYTES[mask >> 2]
    return DataValue(value, status), need(data, at, stamps) if stamps else at


#: What stands behind a DataValue's status, by the four bits of its mask that say so: a timestamp has 8 bytes, its
#: picoseconds 2.  The source's are first, then the server's.
_STAMP_BYTES: Final = tuple(8 * (bits & 3).bit_count() + 2 * (bits >> 2).bit_count() for bits in range(16))


def read_diagnostic(data: bytes, at: int) -> tuple[None, int]:
    """5.2.2.12: a DiagnosticInfo is read for its length only; inner ones follow in a row."""
    for _ in range(MAX_DEPTH):
        mask = data[at]
        if mask & 0x80:
            raise Malformed(f"0x{mask:02x} is no mask of a DiagnosticInfo (OPC 10000-6, 5.2.2.12)")
        at = need(data, at + 1, 4 * (mask & 0x0F).bit_count())
        if mask & 0x10:
            _, at = read_string(data, at)
        if mask & 0x20:
            at = need(data, at, 4)
        if not mask & 0x40:
            return None, at
    raise Malformed(f"a DiagnosticInfo has more than {MAX_DEPTH} levels (OPC 10000-6, 5.2.2.12)")


def read_variant(data: bytes, at: int, depth: int = 0) -> tuple[Variant, int]:
    """5.2.2.16: any built-in type, one or an array of it, or a matrix (an array with its dimensions)."""
    mask = data[at]
    kind, at = mask & 0x3F, at + 1
    if depth > MAX_DEPTH:
        raise Malformed(f"a Variant has more than {MAX_DEPTH} levels (OPC 10000-6, 5.1.5)")
    if kind > _LAST_KIND or (mask & 0x40 and not mask & 0x80) or (not kind and mask):
        raise Malformed(f"0x{mask:02x} is no mask of a Variant (OPC 10000-6, 5.2.2.16)")
    if not kind:
        return Variant(0, ()), at
    if not mask & 0x80:
        if kind == VARIANT:
            raise Malformed("a Variant holds a Variant that is no array (OPC 10000-6, 5.2.2.16)")
        value, at = _read_one(kind, data, at, depth)
        return Variant(kind, (value,)), at
    values, at = _read_many(kind, data, at, depth)
    if mask & 0x40:
        at = _read_dimensions(data, at, len(values))
    return Variant(kind, values, is_array=True), at


def _read_one(kind: int, data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if kind == VARIANT:
        return read_variant(data, at, depth + 1)
    if kind == DATA_VALUE:
        return read_data_value(data, at, depth + 1)
    return BY_KIND[kind](data, at)


def _read_many(kind: int, data: bytes, at: int, depth: int) -> tuple[tuple[Any, ...], int]:
    count, at = read_length(data, at)
    form = FORMS.get(kind)
    if form is not None and count > 0:
        layout = Struct(f"<{count}{form}")
        end = need(data, at, layout.size)
        return layout.unpack_from(data, at), end
    if kind != BOOLEAN:
        charge(data, count)
    values = []
    for _ in range(count):
        value, at = _read_one(kind, data, at, depth)
        values.append(value)
    return tuple(values), at


def _read_dimensions(data: bytes, at: int, count: int) -> int:
    """The dimensions of a matrix: their product is the number of its elements."""
    ranks, at = read_length(data, at)
    end, product = need(data, at, 4 * max(ranks, 0)), 1
    for place in range(at, end, 4):
        product *= _int32(data, place)[0]
        if not 0 <= product <= max(count, 1):
            break
    if ranks < 1 or product != count:
        raise Malformed(f"the dimensions of a matrix do not make {count} elements (OPC 10000-6, 5.2.2.16)")
    return end


#: Table 1 of OPC 10000-6: the built-in types by their number.
BOOLEAN: Final = 1
DATA_VALUE: Final = 23
VARIANT: Final = 24
_LAST_KIND: Final = 31
#: Numbers of one size, which are read as one array; Booleans are bytes that need a look each.
FORMS: Final = {2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d", 19: "I"}
BY_KIND: Final[dict[int, Reader]] = {
    BOOLEAN: read_boolean,
    **{kind: fixed(form) for kind, form in FORMS.items()},
    12: read_string,
    13: read_date,
    14: read_guid,
    15: read_bytes,
    16: read_string,
    17: read_node,
    18: read_expanded_node,
    20: read_qualified,
    21: read_localized,
    22: read_extension,
    25: read_diagnostic,
    # 5.2.2.16: numbers without a type yet are to be read as ByteStrings.
    **dict.fromkeys(range(26, _LAST_KIND + 1), read_bytes),
}
