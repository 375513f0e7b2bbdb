"""Test functions of programming devices: variable tables that watch, modify and force, and the jobs they become.

Pure.  Userdata group 1.  A request has parameters (when to act, how often) and data: for variables, how many, six bytes
for each with area, repetition, block and first byte, then what is written to each.  Modifying and forcing are writes
that are no function 5.  A job that was set up is started, changed and ended by further requests, which name it by its
function and number; they stay what the job is.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.s7comm.addresses import BYTE_BITS
from penstock.wire.s7comm.codes import (
    CONTROLS_JOBS,
    FORCE,
    FORCE_SELECTION,
    MODIFY_VARIABLE,
    REPLACE_JOB,
    SUBFUNCTIONS,
    VARIABLE_STATUS,
)
from penstock.wire.s7comm.codes import PROGRAMMER as GROUP
from penstock.wire.s7comm.items import item_values

Targets = tuple[Target, ...]

#: The high half of the area byte; the low half is the width (bit, byte, word, double word).
_AREAS: Final = {0: "M", 1: "I", 2: "Q", 3: "P", 7: "DB"}
_BLOCK_AREA: Final = 7
_COUNTED: Final = {0x54: "T", 0x64: "C"}
#: By width: how many bits, and which transport size has such values.
_WIDTHS: Final = {0: (1, 1), 1: (8, 2), 2: (16, 4), 3: (32, 6)}
_COUNTED_SIZE: Final = 4
#: The names that the area bytes have.
AREA_NAMES: Final = {
    high << 4 | low: f"{name}{letter}"
    for high, name in {0: "M", 1: "I", 2: "Q", 3: "PI", 7: "DB"}.items()
    for low, letter in enumerate("XBWD")
    if high != 3 or low  # noqa: PLR2004 - peripheral inputs have no single bits
} | {0x54: "TIMER", 0x64: "COUNTER"}
_sizes = Struct(">HH")
#: Area, repetition (of a bit: its place in the byte), block and first byte.
VARIABLE: Final = Struct(">BBHH")
_ENTRY_HEAD: Final = 4
_OCTETS: Final = 9
_WRITING: Final = frozenset({MODIFY_VARIABLE, FORCE})
_ON_VARIABLES: Final = frozenset({VARIABLE_STATUS, *_WRITING})
#: Functions whose jobs write.
WRITES: Final = frozenset({FORCE_SELECTION, *_WRITING})
_JOB_BYTES: Final = 2


def function_data(data: bytes) -> bytes:
    """The data of a test function, behind the two sizes and the parameters.  Raises `Malformed`."""
    if len(data) < _sizes.size:
        raise Malformed("a test function without its sizes")
    parameters, size = _sizes.unpack_from(data)
    if _sizes.size + parameters + size != len(data):
        raise Malformed(f"a test function of {parameters} and {size} bytes in {len(data)}")
    return data[_sizes.size + parameters :]


def job_reference(data: bytes) -> tuple[int, int] | None:
    """Function and number of the job that a request names, ``None`` where it names none."""
    try:
        found = function_data(data)
    except Malformed:
        return None
    return (found[0], found[1]) if len(found) >= _JOB_BYTES else None


def programmer_targets(sub: int, data: bytes, found: OperationClass) -> Targets:
    """The variables of a request of group 1.  Raises `Malformed`."""
    if sub not in _ON_VARIABLES or not data:
        return ()
    return _variables(sub, function_data(data), found)


def job_operation(sub: int, data: bytes, earlier: bytes, read: Callable[[bytes], Operation]) -> Operation | None:
    """What a request to control a job is about, ``None`` for every other.

    `earlier` is the request that set the job up, and `read` reads it.  A job that nobody saw may be a write.
    """
    if sub not in CONTROLS_JOBS:
        return None
    found = function_data(data)
    if len(found) < _JOB_BYTES:
        raise Malformed("a request to control a job that names none")
    function = found[0]
    job = read(earlier) if earlier else None
    is_write = function in WRITES or job is None or OperationClass.WRITE in job.classes
    targets = job.targets if job is not None and is_write else ()
    classes = {OperationClass.WRITE if is_write else OperationClass.DIAGNOSTICS}
    if len(found) > _JOB_BYTES:
        if sub != REPLACE_JOB:
            raise Malformed("bytes behind the job")
        kind = OperationClass.WRITE if function in WRITES else OperationClass.READ
        classes.add(kind)
        targets += programmer_targets(function, found[_JOB_BYTES:], kind)
    name = f"{SUBFUNCTIONS[GROUP].get(function, f'function {function}')}, job {found[1]}"
    classes |= {target.operation_class for target in targets}
    return Operation("s7comm", tuple(sorted(classes)), "", name, None, targets)


def _variables(sub: int, data: bytes, found: OperationClass) -> Targets:
    count = int.from_bytes(data[:2])
    at = 2 + VARIABLE.size * count
    if len(data) < at or not count:
        raise Malformed(f"{count} variables in {len(data)} bytes")
    targets = [_variable(data, 2 + VARIABLE.size * each, found) for each in range(count)]
    if sub not in _WRITING:
        if at != len(data):
            raise Malformed("bytes behind the variables")
        return tuple(target for target, _ in targets)
    return tuple(_values(targets, data, at))


def _variable(data: bytes, at: int, found: OperationClass) -> tuple[Target, int]:
    """The variable at this place, and the transport size of its values (0: not known)."""
    area, repetition, block, first = VARIABLE.unpack_from(data, at)
    if area in _COUNTED:
        return Target(found, _COUNTED[area], first, max(repetition, 1)), _COUNTED_SIZE
    table, width = _AREAS.get(area >> 4), _WIDTHS.get(area & 0x0F)
    if table is None or width is None:
        return Target(OperationClass.UNKNOWN, "unknown", 0, 1, f"area 0x{area:02x}"), 0
    if area >> 4 == _BLOCK_AREA:
        table = f"{table}{block}"
    bits, size = width
    if bits == 1:
        if repetition >= BYTE_BITS:
            raise Malformed(f"bit {repetition} of a byte")
        return Target(found, table, first * BYTE_BITS + repetition, 1), size
    return Target(found, table, first * BYTE_BITS, bits * max(repetition, 1)), size


def _values(variables: list[tuple[Target, int]], data: bytes, at: int) -> list[Target]:
    """The variables with what is written to each: a code, transport size 9, the length in bytes, the bytes."""
    written = []
    start = stop = at
    for target, size in variables:
        at = stop + (stop - start) % 2
        if at + _ENTRY_HEAD > len(data) or data[at + 1] != _OCTETS:
            raise Malformed("a variable without its value")
        start = at + _ENTRY_HEAD
        stop = start + (data[at + 2] << 8 | data[at + 3])
        if stop > len(data):
            raise Malformed("a value that goes past the end")
        written.append(_with_value(target, size, data[start:stop]))
    if len(data) - stop not in {0, (stop - start) % 2}:
        raise Malformed("bytes behind the values")
    return written


def _with_value(target: Target, size: int, value: bytes) -> Target:
    found, table, first, count = target.operation_class, target.table, target.first, target.count
    if not size:
        return Target(found, table, first, count, target.name, (f"0x{value.hex()}",))
    if size == _COUNTED_SIZE and table in _COUNTED.values():
        count *= 2 * BYTE_BITS
    if len(value) != (count + 7) // BYTE_BITS:
        raise Malformed(f"{len(value)} bytes for a variable of {count} bits")
    if count == 1:
        if value[0] > 1:
            raise Malformed(f"0x{value[0]:02x} is no value of a bit")
        return Target(found, table, first, 1, "", (value[0],))
    return Target(found, table, first, target.count, "", item_values(size, value), value)
