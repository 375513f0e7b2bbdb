"""What stands behind the address of an information object: states, values, qualifiers and times.

Pure.  IEC 60870-5-101:2003, 7.2.6 (numbers below).  A state that the standard does not permit is `Malformed`; a
qualifier that it reserves or leaves to vendors is not known, and whoever asks with one asks for something unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from struct import Struct
from typing import Final

from penstock.model import Malformed, Value
from penstock.wire.iec104 import codes

#: What a control object asks for: the values, how ("select"), and whether its qualifier is one of the standard's.
Asked = tuple[tuple[Value, ...] | None, str, bool]

OFF, ON, LOWER, HIGHER = "off", "on", "lower", "higher"
#: 7.2.6.2: what a double point shows beside off and on.
_DOUBLE: Final = ("intermediate", OFF, ON, "indeterminate")
_NORMALISED: Final = 32768
_EXECUTE: Final = "execute"
_SELECT: Final = "select"

_short = Struct("<h").unpack_from
_long = Struct("<i").unpack_from
_bits = Struct("<I").unpack_from
_float = Struct("<f").unpack_from
_milliseconds = Struct("<H").unpack_from


def _commands(states: tuple[Value | None, ...], mask: int) -> tuple[Asked | None, ...]:
    """All 256 octets of a command (7.2.6.15 to 7.2.6.17 and 7.2.6.26): state, qualifier of command, select bit."""
    known = 4  # no addition, short pulse, long pulse, persistent
    return tuple(
        None
        if (state := states[octet & mask]) is None
        else ((state,), _SELECT if octet & 0x80 else _EXECUTE, octet >> 2 & 0x1F < known)
        for octet in range(256)
    )


#: A single command has one bit for the state, and a reserved one beside it.
_SINGLE: Final = _commands((OFF, ON, None, None), 3)
_DOUBLE_COMMAND: Final = _commands((None, OFF, ON, None), 3)
_STEP: Final = _commands((None, LOWER, HIGHER, None), 3)


def _command(table: tuple[Asked | None, ...]) -> Callable[[bytes, int], Asked]:
    def read(asdu: bytes, at: int) -> Asked:
        found = table[asdu[at]]
        if found is None:
            raise Malformed(f"0x{asdu[at]:02X} is no command (-101, 7.2.6.15 to 7.2.6.17)")
        return found

    return read


def normalised(asdu: bytes, at: int) -> Value:
    """7.2.6.6: a 16-bit fraction from -1 to 1."""
    value: int = _short(asdu, at)[0]
    return value / _NORMALISED


def scaled(asdu: bytes, at: int) -> Value:
    """7.2.6.7: a 16-bit number."""
    value: int = _short(asdu, at)[0]
    return value


def real(asdu: bytes, at: int) -> Value:
    """7.2.6.8: a 32-bit float; what is no finite number is text, so that it lies in no range."""
    value: float = _float(asdu, at)[0]
    return value if isfinite(value) else f"0x{_bits(asdu, at)[0]:08x}"


def bitstring(asdu: bytes, at: int) -> Value:
    """7.2.6.13: 32 bits."""
    value: int = _bits(asdu, at)[0]
    return value


def _set_point(read: Callable[[bytes, int], Value], size: int) -> Callable[[bytes, int], Asked]:
    """A value and the qualifier of set-point commands (7.2.6.39): 0 is the only one of the standard."""

    def asked(asdu: bytes, at: int) -> Asked:
        qualifier = asdu[at + size]
        return (read(asdu, at),), _SELECT if qualifier & 0x80 else _EXECUTE, not qualifier & 0x7F

    return asked


def _bitstring_command(asdu: bytes, at: int) -> Asked:
    return (_bits(asdu, at)[0],), _EXECUTE, True


def _parameter(read: Callable[[bytes, int], Value], size: int) -> Callable[[bytes, int], Asked]:
    """A value and what kind of parameter it is (7.2.6.24)."""
    kinds = {1: "threshold", 2: "smoothing factor", 3: "low limit", 4: "high limit"}

    def asked(asdu: bytes, at: int) -> Asked:
        kind = kinds.get(asdu[at + size] & 0x3F)
        return (read(asdu, at),), kind or "reserved kind", kind is not None

    return asked


def _activation(asdu: bytes, at: int) -> Asked:
    """7.2.6.25: which parameter is switched."""
    return (asdu[at],), "", 1 <= asdu[at] <= 3  # noqa: PLR2004 - the three of the standard


def _interrogation(asdu: bytes, at: int) -> Asked:
    """7.2.6.22: the station or one of its 16 groups."""
    asked = asdu[at]
    station, last_group = 20, 36
    if asked == station:
        return None, "station", True
    return None, f"group {asked - station}", station < asked <= last_group


def _counters(asdu: bytes, at: int) -> Asked:
    """7.2.6.23: which counters, and whether they are frozen or reset."""
    which, freeze = asdu[at] & 0x3F, ("", ", freeze", ", freeze and reset", ", reset")[asdu[at] >> 6]
    general, last_group = 5, 4
    name = "all counters" if which == general else f"counter group {which}"
    return None, name + freeze, which == general or 1 <= which <= last_group


def _reset(asdu: bytes, at: int) -> Asked:
    """7.2.6.27."""
    known = {1: "general reset", 2: "reset of events that wait"}
    return (asdu[at],), known.get(asdu[at], "reserved kind"), asdu[at] in known


def _clock(asdu: bytes, at: int) -> Asked:
    return (time(asdu, at),), "", True


def _nothing(_asdu: bytes, _at: int) -> Asked:
    return None, "", True


def time(asdu: bytes, at: int) -> str:
    """7.2.6.18, CP56Time2a: ``2009-08-13T12:00:00.123``; two digits of the year are all it has.  Raises `Malformed`."""
    milliseconds: int = _milliseconds(asdu, at)[0]
    minute, hour, day, month, year = (
        asdu[at + place] & bits for place, bits in ((2, 0x3F), (3, 0x1F), (4, 0x1F), (5, 0xF), (6, 0x7F))
    )
    is_time = milliseconds < 60_000 and minute < 60 and hour < 24  # noqa: PLR2004
    if not (is_time and 1 <= day <= 31 and 1 <= month <= 12 and year < 100):  # noqa: PLR2004
        raise Malformed("the time is none (-101, 7.2.6.18)")
    second, rest = divmod(milliseconds, 1000)
    return f"20{year:02}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}"


_ASKED: Final[dict[int, Callable[[bytes, int], Asked]]] = {
    codes.SINGLE_COMMAND: _command(_SINGLE),
    codes.DOUBLE_COMMAND: _command(_DOUBLE_COMMAND),
    codes.STEP_COMMAND: _command(_STEP),
    48: _set_point(normalised, 2),
    49: _set_point(scaled, 2),
    50: _set_point(real, 4),
    51: _bitstring_command,
}
#: By type, what reads its object in control direction.  The types with a time tag have it behind the same object.
ASKED: Final[dict[int, Callable[[bytes, int], Asked]]] = {
    **_ASKED,
    **{number + 13: read for number, read in _ASKED.items()},
    codes.INTERROGATION: _interrogation,
    codes.COUNTER_INTERROGATION: _counters,
    codes.READ: _nothing,
    codes.CLOCK: _clock,
    104: _nothing,
    codes.RESET: _reset,
    106: _nothing,
    107: _nothing,
    110: _parameter(normalised, 2),
    111: _parameter(scaled, 2),
    112: _parameter(real, 4),
    113: _activation,
}


def _single_point(asdu: bytes, at: int) -> Value:
    return ON if asdu[at] & 1 else OFF


def _double_point(asdu: bytes, at: int) -> Value:
    return _DOUBLE[asdu[at] & 3]


def _step(asdu: bytes, at: int) -> Value:
    """7.2.6.5: seven bits with sign; the eighth says that it moves."""
    position = asdu[at] & 0x7F
    return position - 0x80 if position & 0x40 else position


def _counter(asdu: bytes, at: int) -> Value:
    value: int = _long(asdu, at)[0]
    return value


def _octet(asdu: bytes, at: int) -> Value:
    return asdu[at]


#: By type, what reads the value of an object in monitor direction; its quality and time follow it.
SHOWN: Final[dict[int, Callable[[bytes, int], Value]]] = {
    **dict.fromkeys((1, 2, 30), _single_point),
    **dict.fromkeys((3, 4, 31), _double_point),
    **dict.fromkeys((5, 6, 32), _step),
    **dict.fromkeys((7, 8, 33, 20), bitstring),
    **dict.fromkeys((9, 10, 34, 21), normalised),
    **dict.fromkeys((11, 12, 35), scaled),
    **dict.fromkeys((13, 14, 36), real),
    **dict.fromkeys((15, 16, 37), _counter),
    **dict.fromkeys((17, 18, 19, 38, 39, 40, codes.END_OF_INITIALISATION), _octet),
}
