"""The object headers of a DNP3 fragment as lists, the way the reference decode has them.

Pure.  For passive use only: it shows what it can, and stops where it cannot go on.
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error
from typing import Any, Final

from penstock.wire.dnp3.codes import (
    CLOSE_FILE,
    CONTROLS,
    DELETE_FILE,
    DISABLE_UNSOLICITED,
    ENABLE_UNSOLICITED,
    FREEZES,
    OPEN_FILE,
    READ,
    RESPONSE,
    UNSOLICITED,
    WRITE,
)
from penstock.wire.dnp3.objects import LAYOUTS

_PREFIXES: Final = {
    1: Struct("<B"),
    2: Struct("<H"),
    3: Struct("<I"),
    4: Struct("<B"),
    5: Struct("<H"),
    6: Struct("<I"),
}
_RANGES: Final = {
    0: Struct("<BB"), 1: Struct("<HH"), 2: Struct("<II"), 3: Struct("<B"), 4: Struct("<H"), 5: Struct("<I"),
    6: Struct(""), 7: Struct("<B"), 8: Struct("<H"), 9: Struct("<I"), 11: Struct("<B"),
}  # fmt: skip
_START_STOP: Final = range(3)
_ABSOLUTE: Final = range(3, 6)
_QUANTITY: Final = (7, 8, 9, 11)
_FIRST_SIZE: Final = 4
_HEAD_BYTES: Final = 3
#: Control relay output blocks, and pattern blocks, which look like them.
_CONTROLS: Final = (12 << 8 | 1, 12 << 8 | 2)
_FILE_COMMAND: Final = 70 << 8 | 3
#: Where the mode lies in a file command.
_MODE_AT: Final = 20
#: Octet strings, of which the reference decode names no variation (that is their length).
_STRINGS: Final = (110, 111)
#: Requests whose headers have no objects behind them.
_HEADERS_ONLY: Final = frozenset({READ, *FREEZES, ENABLE_UNSOLICITED, DISABLE_UNSOLICITED})
#: Functions of which the reference decode shows objects; all but responses must have some.
_FILES: Final = (OPEN_FILE, CLOSE_FILE, DELETE_FILE)
_ASKING: Final = _HEADERS_ONLY | CONTROLS | {WRITE, *_FILES}
_SHOWN: Final = _ASKING | {RESPONSE, UNSOLICITED}


def listed(body: bytes, at: int, code: int) -> tuple[dict[str, Any], bool]:
    """Object, qualifier, range and index of every header from `at` on, and the controls among them.

    Also whether the message ends where it says that it ends.
    """
    lists: dict[str, Any] = {}
    if code not in _SHOWN:
        return lists, True
    if at >= len(body):
        return lists, code not in _ASKING
    try:
        while at + 1 < len(body):
            at = _header(lists, body, at, code)
    except (struct_error, IndexError):
        return lists, False
    return lists, True


def _header(lists: dict[str, Any], body: bytes, at: int, code: int) -> int:
    """Put one header into the lists; where the next one starts: behind everything where nobody can tell."""
    kind = body[at] << 8 | body[at + 1]
    _add(lists, "obj", kind & ~0xFF if body[at] in _STRINGS else kind)
    prefix, form = body[at + 2] >> 4 & 7, body[at + 2] & 0x0F
    _add(lists, "prefix_code", prefix)
    _add(lists, "range_code", form)
    at += _HEAD_BYTES
    numbers = _RANGES.get(form)
    if numbers is None:
        return len(body)
    found = numbers.unpack_from(body, at)
    at += numbers.size
    count = 0
    if form in _START_STOP:
        _add(lists, "start", found[0])
        _add(lists, "stop", found[1])
        count = found[1] - found[0] + 1
    elif form in _QUANTITY:
        _add(lists, "qty", found[0])
        count = found[0]
    elif form in _ABSOLUTE:
        count = 1
    if code in _HEADERS_ONLY and not prefix:
        return at
    layout = LAYOUTS.get(kind)
    if layout is not None and layout.bits and not prefix:
        end = at + (count * layout.bits + 7) // 8
        if end > len(body):
            raise IndexError
        return end
    return _objects(lists, body, at, (kind, prefix, count), code)


def _objects(lists: dict[str, Any], body: bytes, at: int, header: tuple[int, int, int], code: int) -> int:
    kind, prefix, count = header
    layout = LAYOUTS.get(kind)
    has_data = code not in _HEADERS_ONLY or prefix >= _FIRST_SIZE
    is_unreadable = has_data and layout is None and prefix < _FIRST_SIZE
    if prefix not in _PREFIXES and not is_unreadable and not (has_data and layout is not None and layout.size):
        return at  # they have no bytes, however many they are
    for _ in range(count):
        size = layout.size if layout is not None else 0
        if prefix in _PREFIXES:
            number = _PREFIXES[prefix]
            (value,) = number.unpack_from(body, at)
            at += number.size
            if prefix >= _FIRST_SIZE:
                size = value
            else:
                _add(lists, "index", value)
        if has_data:
            if layout is None and prefix < _FIRST_SIZE:
                return len(body)
            _object(lists, body, at, kind)
            at += size
            if at > len(body):
                raise IndexError
    return at


def _object(lists: dict[str, Any], body: bytes, at: int, kind: int) -> None:
    if kind in _CONTROLS:
        _add(lists, "crob_op", body[at] & 0x0F)
        _add(lists, "crob_trip", body[at] >> 6)
    elif kind == _FILE_COMMAND and at + _MODE_AT + 2 <= len(body):
        lists.setdefault("file_mode", int.from_bytes(body[at + _MODE_AT : at + _MODE_AT + 2], "little"))


def _add(lists: dict[str, Any], key: str, value: int) -> None:
    lists.setdefault(key, []).append(value)
