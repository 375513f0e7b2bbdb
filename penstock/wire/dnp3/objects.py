"""The object groups of DNP3: which points they are, how long each variation is, and how its value is read.

Pure.  IEEE 1815-2012, annex A, with the obsolete variations that its tables still list.  A variation that is not here
has no known length: whatever follows it in a message cannot be read, so nobody may guess on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final

import msgspec

from penstock.model import Value

#: DNP3 indexes have 16 bits; "all points" of a type are these.
ALL_POINTS: Final = 0x1_0000

#: What the points of each group are called, in targets and in site documents.
TABLES: Final = {
    0: "device_attributes",
    **dict.fromkeys((1, 2), "binary_inputs"),
    **dict.fromkeys((3, 4), "double_bit_inputs"),
    **dict.fromkeys((10, 11, 12, 13), "binary_outputs"),
    **dict.fromkeys((20, 22), "counters"),
    **dict.fromkeys((21, 23), "frozen_counters"),
    **dict.fromkeys((30, 32), "analog_inputs"),
    **dict.fromkeys((31, 33), "frozen_analog_inputs"),
    34: "analog_deadbands",
    **dict.fromkeys((40, 41, 42, 43), "analog_outputs"),
    **dict.fromkeys((50, 51, 52), "clock"),
    60: "event_classes",
    70: "files",
    80: "internal_indications",
    81: "storage",
    82: "device_profiles",
    83: "registrations",
    **dict.fromkeys((85, 86, 87, 88), "data_sets"),
    90: "applications",
    91: "requested_operations",
    101: "decimals",
    102: "unsigned_integers",
    **dict.fromkeys((110, 111), "octet_strings"),
    **dict.fromkeys((112, 113), "virtual_terminals"),
    120: "authentication",
    **dict.fromkeys((121, 122), "security_statistics"),
}

#: Control codes of a CROB (annex A.8.1): the operation in bits 0 to 3, queue and clear (obsolete), trip or close.
_OPERATIONS: Final = ("nul", "pulse_on", "pulse_off", "latch_on", "latch_off")
_RELAYS: Final = ("", "close", "trip")
_OPERATION: Final = 0x0F
_QUEUE: Final = 0x10
_CLEAR: Final = 0x20
_RELAY_SHIFT: Final = 6
_PULSE_ON: Final = 1


def _control_word(code: int) -> str | None:
    """``latch_on``, ``close`` (which pulses on), ``pulse_off+trip``, ``latch_on+clear``; ``None``: reserved."""
    operation, relay = code & _OPERATION, code >> _RELAY_SHIFT
    if operation >= len(_OPERATIONS) or relay >= len(_RELAYS):
        return None
    parts = [] if relay and operation == _PULSE_ON else [_OPERATIONS[operation]]
    parts += [_RELAYS[relay]] if relay else []
    parts += ["queue"] if code & _QUEUE else []
    parts += ["clear"] if code & _CLEAR else []
    return "+".join(parts)


#: The word for each control code, ``None`` where it is reserved.
CONTROL_WORDS: Final = tuple(_control_word(code) for code in range(256))
DOUBLE_BITS: Final = ("intermediate", "off", "on", "indeterminate")
STATES: Final = ("off", "on")
#: All words for values.
WORDS: Final = tuple(dict.fromkeys((*STATES, *DOUBLE_BITS, *(word for word in CONTROL_WORDS if word))))

Read = Callable[[bytes, int], Value]


class Layout(msgspec.Struct, frozen=True, gc=False):
    """One variation: `size` octets an object, or `bits` of a packed octet; `read` gives its value."""

    size: int
    read: Read
    bits: int = 0


def _number(form: str, offset: int) -> Read:
    unpack = Struct(form).unpack_from

    def read(body: bytes, at: int) -> Value:
        value: int | float = unpack(body, at + offset)[0]
        return value

    return read


def _time(offset: int) -> Read:
    """Milliseconds since 1970 in UTC, 48 bits (A.2.3)."""

    def read(body: bytes, at: int) -> Value:
        return int.from_bytes(body[at + offset : at + offset + 6], "little")

    return read


def _octets(size: int) -> Read:
    def read(body: bytes, at: int) -> Value:
        return "0x" + body[at : at + size].hex()

    return read


def _state(body: bytes, at: int) -> Value:
    return STATES[body[at] >> 7]


def _double(body: bytes, at: int) -> Value:
    return DOUBLE_BITS[body[at] >> 6]


def _control(body: bytes, at: int) -> Value:
    return CONTROL_WORDS[body[at]] or f"0x{body[at]:02x}"


def _bit(body: bytes, at: int) -> Value:
    return STATES[body[at] & 1]


#: Value forms without and with the flag octet in front of them.
_U32, _U16 = _number("<I", 0), _number("<H", 0)
_I32, _I16, _F32, _F64 = _number("<i", 0), _number("<h", 0), _number("<f", 0), _number("<d", 0)
_FLAG_U32, _FLAG_U16 = _number("<I", 1), _number("<H", 1)
_FLAG_I32, _FLAG_I16, _FLAG_F32, _FLAG_F64 = _number("<i", 1), _number("<h", 1), _number("<f", 1), _number("<d", 1)

#: Variations from 1 on as (octets, value); times are six octets, relative times two.
_COUNTER: Final = (
    *((5, _FLAG_U32), (3, _FLAG_U16)) * 2,
    *((4, _U32), (2, _U16)) * 2,
)
_FROZEN_COUNTER: Final = (
    *((5, _FLAG_U32), (3, _FLAG_U16)) * 2,
    *((11, _FLAG_U32), (9, _FLAG_U16)) * 2,
    *((4, _U32), (2, _U16)) * 2,
)
_COUNTER_EVENT: Final = _FROZEN_COUNTER[:8]
_ANALOG_EVENT: Final = (
    (5, _FLAG_I32), (3, _FLAG_I16), (11, _FLAG_I32), (9, _FLAG_I16),
    (5, _FLAG_F32), (9, _FLAG_F64), (11, _FLAG_F32), (15, _FLAG_F64),
)  # fmt: skip
_FIXED: Final[dict[int, tuple[tuple[int, Read], ...]]] = {
    2: ((1, _state), (7, _state), (3, _state)),
    4: ((1, _double), (7, _double), (3, _double)),
    11: ((1, _state), (7, _state)),
    12: ((11, _control), (11, _control)),
    13: ((1, _state), (7, _state)),
    20: _COUNTER,
    21: _FROZEN_COUNTER,
    22: _COUNTER_EVENT,
    23: _COUNTER_EVENT,
    30: ((5, _FLAG_I32), (3, _FLAG_I16), (4, _I32), (2, _I16), (5, _FLAG_F32), (9, _FLAG_F64)),
    31: (
        (5, _FLAG_I32), (3, _FLAG_I16), (11, _FLAG_I32), (9, _FLAG_I16),
        (4, _I32), (2, _I16), (5, _FLAG_F32), (9, _FLAG_F64),
    ),
    32: _ANALOG_EVENT,
    33: _ANALOG_EVENT,
    34: ((2, _U16), (4, _U32), (4, _F32)),
    40: ((5, _FLAG_I32), (3, _FLAG_I16), (5, _FLAG_F32), (9, _FLAG_F64)),
    41: ((5, _I32), (3, _I16), (5, _F32), (9, _F64)),
    42: _ANALOG_EVENT,
    43: _ANALOG_EVENT,
    50: ((6, _time(0)), (10, _time(0)), (6, _time(0)), (11, _time(0))),
    51: ((6, _time(0)), (6, _time(0))),
    52: ((2, _U16), (2, _U16)),
    81: ((3, _octets(3)),),
    101: ((2, _octets(2)), (4, _octets(4)), (8, _octets(8))),
    102: ((1, _number("B", 0)),),
    120: ((0, _octets(0)), (0, _octets(0)), (6, _octets(6)), (2, _octets(2))),
    121: ((7, _number("<I", 3)),),
    122: ((7, _number("<I", 3)), (13, _number("<I", 3))),
}  # fmt: skip


#: Data types of device attributes (A.1.4): text, unsigned, signed, floating point by its length.
_TEXT: Final = 1
_UNSIGNED: Final = 2
_SIGNED: Final = 3
_FLOATING: Final = 4
_FLOATS: Final = {4: Struct("<f"), 8: Struct("<d")}


def attribute(spot: bytes) -> Value:
    """The value of a device attribute: data type, length, data; other types in hexadecimal, with both."""
    kind, data = spot[0], spot[2:]
    if kind == _TEXT:
        return data.decode("utf-8", "backslashreplace")
    if kind in {_UNSIGNED, _SIGNED} and data:
        return int.from_bytes(data, "little", signed=kind == _SIGNED)
    if kind == _FLOATING and len(data) in _FLOATS:
        value: float = _FLOATS[len(data)].unpack(data)[0]
        return value
    return "0x" + spot.hex()


def _layouts() -> Iterator[tuple[int, Layout]]:
    for group, variations in _FIXED.items():
        for variation, (size, read) in enumerate(variations, 1):
            if size:
                yield group << 8 | variation, Layout(size, read)
    for group in (1, 10):
        yield group << 8 | 1, Layout(0, _bit, 1)
        yield group << 8 | 2, Layout(1, _state)
    yield 3 << 8 | 1, Layout(0, _double, 2)
    yield 3 << 8 | 2, Layout(1, _double)
    yield 12 << 8 | 3, Layout(0, _bit, 1)
    yield 80 << 8 | 1, Layout(0, _bit, 1)
    for group in (110, 111, 112, 113):
        for size in range(1, 256):
            yield group << 8 | size, Layout(size, _octets(size))


#: By group and variation (``group << 8 | variation``).
LAYOUTS: Final = dict(_layouts())

#: Variations beside those in `LAYOUTS`: of the classes, and of what says its own size.
_SIZED: Final = {
    70: range(2, 9),
    82: range(1, 2),
    83: range(1, 3),
    85: range(1, 2),
    86: range(1, 4),
    87: range(1, 2),
    88: range(1, 2),
    90: range(1, 2),
    91: range(1, 2),
    120: range(1, 16),
}
#: Groups of which variation 0 asks for any variation (A.1.4).
_ANY: Final = (
    *range(1, 5),
    *range(10, 14),
    *range(20, 24),
    *range(30, 35),
    *range(40, 44),
    85,
    86,
    87,
    88,
    110,
    111,
    113,
)
#: Every variation that a request may name.
KNOWN: Final = frozenset(
    {
        *LAYOUTS,
        *(group << 8 | each for group, variations in _SIZED.items() for each in variations),
        *(group << 8 for group in _ANY),
        *(60 << 8 | each for each in range(1, 5)),
        *range(1, 256),
    }
)
