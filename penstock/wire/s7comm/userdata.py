"""What S7comm userdata asks for or tells: groups and sub-functions in, `Operation` out.

Pure.  A request may go on with an earlier one (the next part of a long answer, a job of the programming device that was
set up before); the decoder puts the earlier one behind it, and its objects are then those of both.  Variable tables of
programming devices are writes like any other: group 1, sub-functions 7, 8 and 9.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.s7comm.addresses import BLOCK_KINDS, LAST_NUMBER
from penstock.wire.s7comm.blocks import BLOCK_NAME_BYTES, block_target
from penstock.wire.s7comm.codes import (
    BLOCKS,
    BSEND,
    CPU,
    CYCLIC,
    IDENTITY_LISTS,
    NC,
    PROGRAMMER,
    READ_SZL,
    SET_CLOCK,
    TIME,
    USERDATA_MEANINGS,
    Origin,
    userdata_name,
)
from penstock.wire.s7comm.items import read_items, read_targets
from penstock.wire.s7comm.programmer import job_operation, programmer_targets

Targets = tuple[Target, ...]

#: Offsets in a body: the two lengths, the head of the parameters, then type and group, sub-function, sequence.
KIND_AT: Final = 9
SUB_AT: Final = 10
SEQUENCE_AT: Final = 11
#: Parameters of a first request, and of everything that goes on.
SHORT_BYTES: Final = 8
LONG_BYTES: Final = 12
_PARAMETERS_AT: Final = 4
_DATA_HEAD: Final = 4
#: Transport sizes of data whose length counts bits; 0 has no data.
_IN_BITS: Final = frozenset({3, 4, 5})

_UNKNOWN: Final = (OperationClass.UNKNOWN,)
_szl = Struct(">HH")
_CYCLIC_ON_MEMORY: Final = frozenset({1, 5, 7})
_CYCLIC_HEAD: Final = 4
_LIST_OF_TYPE: Final = 2
_BLOCK_ABOUT: Final = 3
_TIMESTAMP_BYTES: Final = 10
#: Specification, a byte, R_ID and length in front of what is sent.
_SEND_HEAD: Final = 10
_REQUEST: Final = 1
_PUSH: Final = 0


def kind_of(type_and_group: int) -> tuple[int, int]:
    """Kind (0 push, 1 request, 2 response) and group of the byte that has both; an unknown group is above 15.

    The two top bits are the kind.  Numerical controls set the next two as well, for their own group 15.
    """
    kind, group, middle = type_and_group >> 6, type_and_group & 0x0F, type_and_group >> 4 & 3
    known = not middle or (middle == 3 and group == NC)  # noqa: PLR2004 - both bits
    return kind, group if known else type_and_group & 0x3F


class _Meaning(NamedTuple):
    """What kind, group, sub-function and side say by themselves.

    `is_foreign`: the other side asks for this, never this one.
    """

    kind: int
    group: int
    classes: tuple[OperationClass, ...]
    is_foreign: bool
    name: str
    code: str
    parse: Callable[[int, bytes, OperationClass], Targets] | None


@lru_cache(maxsize=1024)
def _meaning(type_and_group: int, sub: int, is_from_asset: bool) -> _Meaning:  # noqa: FBT001 - a key of the cache
    kind, group = kind_of(type_and_group)
    found = USERDATA_MEANINGS.get((group, sub)) or USERDATA_MEANINGS.get((group, None))
    classes, origin = found or (_UNKNOWN, Origin.BOTH)
    is_foreign = origin is not Origin.BOTH and (kind == _PUSH or (origin is Origin.DEVICE) is not is_from_asset)
    name, code = userdata_name(group, sub), f"userdata {group}/{sub}"
    return _Meaning(kind, group, classes, is_foreign, name, code, _PARSERS.get(group))


def userdata_operation(body: bytes, unit: int | None, *, is_from_asset: bool) -> Operation:
    """The operation of a request or a push.  `body` begins with the two lengths.  Raises `Malformed`."""
    sub = body[SUB_AT]
    kind, group, classes, is_foreign, name, code, parse = _meaning(body[KIND_AT], sub, is_from_asset)
    end = _PARAMETERS_AT + (body[0] << 8 | body[1])
    earlier = body[end + (body[2] << 8 | body[3]) :]
    if kind == _PUSH and is_from_asset:
        return _pushed(earlier, classes, code, name, unit)
    data = data_of(body)
    if is_foreign:
        classes, group, parse = _UNKNOWN, -1, None
    elif earlier and not data and end - _PARAMETERS_AT == LONG_BYTES:
        first = userdata_operation(earlier, unit, is_from_asset=is_from_asset)
        return Operation("s7comm", first.classes, code, f"{name} (next part)", unit, first.targets)
    if group == CPU and sub == READ_SZL and data:
        return _status_list(data, code, name, unit)
    if group == PROGRAMMER:
        return _of_programmer(sub, data, earlier, Operation("s7comm", classes, code, name, unit))
    return Operation("s7comm", classes, code, name, unit, () if parse is None else parse(sub, data, classes[0]))


def _operation_of_job(earlier: bytes) -> Operation:
    return userdata_operation(earlier, None, is_from_asset=False)


def _pushed(earlier: bytes, classes: tuple[OperationClass, ...], code: str, name: str, unit: int | None) -> Operation:
    """What an asset tells without being asked at this moment: of the objects of the job that it belongs to."""
    if not earlier:
        return Operation("s7comm", classes, code, f"{name} (told)", unit)
    job = userdata_operation(earlier, unit, is_from_asset=False)
    return Operation("s7comm", job.classes, code, f"{name} (told)", unit, job.targets)


def _of_programmer(sub: int, data: bytes, earlier: bytes, bare: Operation) -> Operation:
    """The operation `bare` with the variables or the job that it is about."""
    classes, code, name, unit = bare.classes, bare.code, bare.name, bare.unit
    job = job_operation(sub, data, earlier, _operation_of_job)
    if job is not None:
        return Operation("s7comm", job.classes, code, f"{name} ({job.name})", unit, job.targets)
    targets = programmer_targets(sub, data, classes[0])
    if any(target.operation_class is OperationClass.UNKNOWN for target in targets):
        classes = (*classes, OperationClass.UNKNOWN)
    return Operation("s7comm", classes, code, name, unit, targets)


def data_of(body: bytes) -> bytes:
    """The data of a body behind its head of code, transport size and length.  Raises `Malformed`."""
    end = _PARAMETERS_AT + (body[0] << 8 | body[1])
    stop = end + (body[2] << 8 | body[3])
    if stop == end:
        return b""
    if stop - end < _DATA_HEAD:
        raise Malformed("data without its head")
    length = body[end + 2] << 8 | body[end + 3]
    if body[end + 1] in _IN_BITS:
        length = (length + 7) // 8
    start = end + _DATA_HEAD
    if stop - start - length not in {0, length % 2}:
        raise Malformed(f"data of {length} bytes in {stop - start}")
    return body[start : start + length]


def _status_list(data: bytes, code: str, name: str, unit: int | None) -> Operation:
    """A part of the system status: its number, and an index into it."""
    if len(data) != _szl.size:
        raise Malformed("a system status list is named by four bytes")
    number, index = _szl.unpack(data)
    found = OperationClass.DISCOVERY if number & 0xFF in IDENTITY_LISTS else OperationClass.DIAGNOSTICS
    target = Target(found, "szl", number, 1, f"0x{number:04x}/0x{index:04x}")
    return Operation("s7comm", (found,), code, name, unit, (target,))


def _cyclic(sub: int, data: bytes, found: OperationClass) -> Targets:
    """Memory that is to be sent again and again: a byte, how many items, time base and factor, the items."""
    if sub not in _CYCLIC_ON_MEMORY:
        return ()
    if len(data) < _CYCLIC_HEAD:
        raise Malformed("a subscription without items")
    return read_targets(found, read_items(data, _CYCLIC_HEAD, len(data), data[1]))


def _block_list(sub: int, data: bytes, found: OperationClass) -> Targets:
    """All kinds; or those of a kind in two digits; or one block by name."""
    if sub == _LIST_OF_TYPE:
        kind = BLOCK_KINDS.get(data)
        return (Target(found, kind, 0, LAST_NUMBER + 1),) if kind is not None else ()
    return (block_target(found, data),) if sub == _BLOCK_ABOUT and len(data) == BLOCK_NAME_BYTES else ()


def _block_send(_sub: int, data: bytes, found: OperationClass) -> Targets:
    """Data for a block in the partner's program: its R_ID, in a specification of its own kind."""
    if len(data) < _SEND_HEAD or data[:3] != b"\x12\x06\x13":  # specification, length 6, syntax id
        return ()
    return (Target(found, "r_id", int.from_bytes(data[4:8]), 1, "", (f"0x{data[_SEND_HEAD:].hex()}",)),)


def _clock(sub: int, data: bytes, found: OperationClass) -> Targets:
    """A time in digits: a byte, year in full, month, day, hour, minute, second, milliseconds and weekday."""
    if sub not in SET_CLOCK:
        return ()
    if len(data) != _TIMESTAMP_BYTES:
        raise Malformed("a clock is set by ten bytes")
    digits = data.hex()
    if not digits.isdecimal():
        return (Target(found, "clock"),)
    century = "20" if digits[4:6] < "90" else "19"
    date = f"{century}{digits[4:6]}-{digits[6:8]}-{digits[8:10]}"
    time = f"{digits[10:12]}:{digits[12:14]}:{digits[14:16]}.{digits[16:19]}"
    return (Target(found, "clock", 0, 1, "", (f"{date}T{time}",)),)


_PARSERS: Final[dict[int, Callable[[int, bytes, OperationClass], Targets]]] = {
    CYCLIC: _cyclic,
    BLOCKS: _block_list,
    BSEND: _block_send,
    TIME: _clock,
}
