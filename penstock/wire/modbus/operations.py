"""What a Modbus request asks for: PDU in, `Operation` out.

Pure.  Every length, quantity and byte count is checked against MODBUS Application Protocol Specification V1.1b3
(section numbers below); what contradicts it is `Malformed`, because an asset might read such bytes otherwise than the
gate does.  Addresses are protocol addresses (zero-based).  Records of files are numbered through: record `r` of file
`f` is address ``f * 10000 + r`` of the table ``files`` (6.14: a file has the records 0 to 9999).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, unpack
from typing import Final

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.modbus.codes import DIAGNOSTICS, INTERFACE, MEANINGS, REFINED, UMAS

RECORDS_PER_FILE: Final = 10_000
_ADDRESSES: Final = 0x1_0000
#: Section 4.1: 0 is no function code, 128 and up are exceptions.
_MAX_CODE: Final = 127
_MAX_PDU: Final = 253
_REFERENCE_TYPE: Final = 6
_COIL_VALUES: Final = {0x0000: 0, 0xFF00: 1}
_UMAS_MIN_BYTES: Final = 3
#: Section 6.8: the sub-functions of Diagnostics that the standard defines, all but 0 with one 16-bit data field.
_RESTART: Final = 1
_DELIMITER: Final = 3
_ANY_DATA: Final = 0

#: Function code and two words: the usual request.
_PDU_OF_TWO_WORDS: Final = 5
#: A member of an enumeration is slow to look up by its class.
_READ: Final = OperationClass.READ
_WRITE: Final = OperationClass.WRITE

_two_words = Struct(">xHH").unpack
_three_words = Struct(">xHHH").unpack
_write_head = Struct(">xHHB")
_exchange_head = Struct(">xHHHHB")
_group = Struct(">BHHH")

Targets = tuple[Target, ...]


def operation(unit: int, pdu: bytes) -> Operation:
    """The operation that the request `pdu` (function code and data) asks of `unit`.  Raises `Malformed`."""
    code = pdu[0]
    plain = _PLAIN.get(code)
    if plain is not None:
        parse, classes, text, name = plain
        return Operation("modbus", classes, text, name, unit, parse(pdu))
    if code == UMAS and len(pdu) >= _UMAS_MIN_BYTES:
        classes, text, name = _UMAS[pdu[2]]
        return Operation("modbus", classes, text, name, unit)
    if not 1 <= code <= _MAX_CODE:
        raise Malformed(f"{code} is not a function code of a request (4.1)")
    parse_refined = _PARSERS.get(code)
    targets = parse_refined(pdu) if parse_refined is not None else ()
    sub = _sub_code(code, pdu)
    return Operation("modbus", *_meaning(code, sub), unit, targets)


def _meaning(code: int, sub: int | None) -> tuple[tuple[OperationClass, ...], str, str]:
    """Classes, code as text and name."""
    name, classes = MEANINGS.get((code, sub), ("", (OperationClass.UNKNOWN,)))
    text = _code_text(code, sub)
    return classes, text, name or f"unknown function {text}"


def _sub_code(code: int, pdu: bytes) -> int | None:
    """The sub-code that refines a function code, ``None`` where the function code alone decides."""
    if code not in REFINED:
        return None
    if code == DIAGNOSTICS:
        return pdu[1] << 8 | pdu[2]
    return pdu[2] if code == UMAS else pdu[1]


def _code_text(code: int, sub: int | None) -> str:
    """``6``, ``8/1``, ``43/14``, ``90/0x41``: UMAS codes are always written in hexadecimal."""
    if sub is None:
        return str(code)
    return f"{code}/0x{sub:02X}" if code == UMAS else f"{code}/{sub}"


def _expect_length(pdu: bytes, length: int) -> None:
    if len(pdu) != length:
        raise Malformed(f"function {pdu[0]} has {len(pdu)} bytes, not {length}")


def _span(
    operation_class: OperationClass,
    table: str,
    first: int,
    count: int,
    values: tuple[int, ...] | None = None,
) -> Target:
    if first + count > _ADDRESSES:
        raise _past_the_last(table, first, count)
    return Target(operation_class, table, first, count, "", values)


def _past_the_last(table: str, first: int, count: int) -> Malformed:
    return Malformed(f"{count} {table} from {first} on go past the last address 65535")


def _expect_count(pdu: bytes, count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise Malformed(f"function {pdu[0]} asks for {count} objects, not for 1 to {limit}")


def _expect_bytes(pdu: bytes, head: int, byte_count: int, wanted: int) -> None:
    if byte_count != wanted or len(pdu) != head + wanted:
        raise Malformed(f"function {pdu[0]} announces {byte_count} and has {len(pdu) - head} bytes, not {wanted}")


def _read(table: str, limit: int) -> Callable[[bytes], Targets]:
    """Functions 1 to 4 (6.1 to 6.4): first address and quantity."""

    def parse(pdu: bytes) -> Targets:
        if len(pdu) != _PDU_OF_TWO_WORDS:
            _expect_length(pdu, _PDU_OF_TWO_WORDS)
        first, count = _two_words(pdu)
        if not 1 <= count <= limit:
            _expect_count(pdu, count, limit)
        if first + count > _ADDRESSES:
            raise _past_the_last(table, first, count)
        return (Target(_READ, table, first, count),)

    return parse


def _write_coil(pdu: bytes) -> Targets:
    """Function 5 (6.5): 0x0000 is off, 0xFF00 is on, nothing else is legal."""
    _expect_length(pdu, 5)
    first, value = _two_words(pdu)
    if value not in _COIL_VALUES:
        raise Malformed(f"0x{value:04X} is no coil value (6.5)")
    return (_span(OperationClass.WRITE, "coils", first, 1, (_COIL_VALUES[value],)),)


def _write_register(pdu: bytes) -> Targets:
    """Function 6 (6.6)."""
    if len(pdu) != _PDU_OF_TWO_WORDS:
        _expect_length(pdu, _PDU_OF_TWO_WORDS)
    first, value = _two_words(pdu)
    return (Target(_WRITE, "holding_registers", first, 1, "", (value,)),)


def _write_coils(pdu: bytes) -> Targets:
    """Function 15 (6.11): the first coil is the lowest bit of the first byte."""
    first, count, byte_count = _head(_write_head, pdu)
    _expect_count(pdu, count, 0x7B0)
    _expect_bytes(pdu, _write_head.size, byte_count, (count + 7) // 8)
    bits = int.from_bytes(pdu[_write_head.size :], "little")
    return (_span(OperationClass.WRITE, "coils", first, count, tuple(bits >> i & 1 for i in range(count))),)


def _write_registers(pdu: bytes) -> Targets:
    """Function 16 (6.12)."""
    first, count, byte_count = _head(_write_head, pdu)
    _expect_count(pdu, count, 123)
    _expect_bytes(pdu, _write_head.size, byte_count, 2 * count)
    values = unpack(f">{count}H", pdu[_write_head.size :])
    return (_span(OperationClass.WRITE, "holding_registers", first, count, values),)


def _mask_register(pdu: bytes) -> Targets:
    """Function 22 (6.16): what is left in the register depends on what was in it, so no value is known."""
    _expect_length(pdu, 7)
    first, _, _ = _three_words(pdu)
    return (_span(OperationClass.WRITE, "holding_registers", first, 1),)


def _read_write_registers(pdu: bytes) -> Targets:
    """Function 23 (6.17): the write happens before the read."""
    read_first, read_count, first, count, byte_count = _head(_exchange_head, pdu)
    _expect_count(pdu, read_count, 125)
    _expect_count(pdu, count, 121)
    _expect_bytes(pdu, _exchange_head.size, byte_count, 2 * count)
    values = unpack(f">{count}H", pdu[_exchange_head.size :])
    return (
        _span(OperationClass.READ, "holding_registers", read_first, read_count),
        _span(OperationClass.WRITE, "holding_registers", first, count, values),
    )


def _read_fifo(pdu: bytes) -> Targets:
    """Function 24 (6.18): the address of the queue's pointer."""
    _expect_length(pdu, 3)
    return (_span(OperationClass.READ, "fifo", pdu[1] << 8 | pdu[2], 1),)


def _files(pdu: bytes, operation_class: OperationClass, limits: tuple[int, int]) -> Targets:
    """Functions 20 and 21 (6.14, 6.15): groups of file, record and length, when writing each with its data."""
    low, high = limits
    byte_count = pdu[1] if len(pdu) > 1 else -1
    if byte_count != len(pdu) - 2 or not low <= byte_count <= high:
        raise Malformed(f"function {pdu[0]} announces {byte_count} bytes in a PDU of {len(pdu)}")
    is_write = operation_class is OperationClass.FILE_WRITE
    targets: list[Target] = []
    at, reply_bytes = 2, 2
    while at < len(pdu):
        if at + _group.size > len(pdu):
            raise Malformed(f"function {pdu[0]} ends within a group")
        kind, file, record, count = _group.unpack_from(pdu, at)
        at += _group.size
        values = None
        if is_write:
            if at + 2 * count > len(pdu):
                raise Malformed(f"function {pdu[0]} ends within the data of a group")
            values = unpack(f">{count}H", pdu[at : at + 2 * count])
            at += 2 * count
        reply_bytes += 2 + 2 * count
        targets.append(_record_span(operation_class, (kind, file, record, count), values))
    if not is_write and reply_bytes > _MAX_PDU:
        raise Malformed(f"the reply to function {pdu[0]} would not fit into {_MAX_PDU} bytes (6.14)")
    return tuple(targets)


def _record_span(
    operation_class: OperationClass, group: tuple[int, int, int, int], values: tuple[int, ...] | None
) -> Target:
    kind, file, record, count = group
    if kind != _REFERENCE_TYPE or not file or not count or record + count > RECORDS_PER_FILE:
        raise Malformed(f"no group of records: type {kind}, file {file}, record {record}, length {count} (6.14)")
    first = file * RECORDS_PER_FILE + record
    return Target(operation_class=operation_class, table="files", first=first, count=count, values=values)


def _read_files(pdu: bytes) -> Targets:
    return _files(pdu, OperationClass.FILE_READ, (0x07, 0xF5))


def _write_files(pdu: bytes) -> Targets:
    return _files(pdu, OperationClass.FILE_WRITE, (0x09, 0xFB))


def _diagnostics(pdu: bytes) -> Targets:
    """Function 8 (6.8): a sub-function and its data; only sub-function 0 takes data of any length."""
    if len(pdu) < 3:  # noqa: PLR2004 - function code and sub-function
        raise Malformed("function 8 without a sub-function (6.8)")
    sub = pdu[1] << 8 | pdu[2]
    if sub == _ANY_DATA or (DIAGNOSTICS, sub) not in MEANINGS:
        return ()
    _expect_length(pdu, 5)
    data = pdu[3] << 8 | pdu[4]
    legal = data in _COIL_VALUES if sub == _RESTART else not data & 0xFF if sub == _DELIMITER else not data
    if not legal:
        raise Malformed(f"data 0x{data:04X} does not belong to sub-function {sub} (6.8)")
    return ()


def _interface(pdu: bytes) -> Targets:
    """Function 43 (6.19 to 6.21): Read Device Identification has an id code 1 to 4 and an object number."""
    if len(pdu) < 2:  # noqa: PLR2004 - function code and MEI type
        raise Malformed("function 43 without a MEI type (6.19)")
    if pdu[1] == 14:  # noqa: PLR2004 - MEI type 14 (6.21)
        _expect_length(pdu, 4)
        if not 1 <= pdu[2] <= 4:  # noqa: PLR2004 - (6.21)
            raise Malformed(f"{pdu[2]} is no id code of device identification (6.21)")
    return ()


def _umas(pdu: bytes) -> Targets:
    """Function 90: pairing key and UMAS function.  What it addresses is not public, so no target is named."""
    if len(pdu) < _UMAS_MIN_BYTES:
        raise Malformed("function 90 without a UMAS function")
    return ()


def _bare(pdu: bytes) -> Targets:
    """Functions 7, 11, 12 and 17 (6.7, 6.9, 6.10, 6.13): nothing but the function code."""
    _expect_length(pdu, 1)
    return ()


def _head(layout: Struct, pdu: bytes) -> tuple[int, ...]:
    if len(pdu) < layout.size:
        raise Malformed(f"function {pdu[0]} has {len(pdu)} bytes, less than {layout.size}")
    return layout.unpack_from(pdu)


_PARSERS: Final[dict[int, Callable[[bytes], Targets]]] = {
    1: _read("coils", 2000),
    2: _read("discrete_inputs", 2000),
    3: _read("holding_registers", 125),
    4: _read("input_registers", 125),
    5: _write_coil,
    6: _write_register,
    7: _bare,
    DIAGNOSTICS: _diagnostics,
    11: _bare,
    12: _bare,
    15: _write_coils,
    16: _write_registers,
    17: _bare,
    20: _read_files,
    21: _write_files,
    22: _mask_register,
    23: _read_write_registers,
    24: _read_fifo,
    INTERFACE: _interface,
    UMAS: _umas,
}

#: What an operation is made of, for the function codes that no sub-code refines: parser, classes, code and name.
_PLAIN: Final = {
    code: (parse, MEANINGS[code, None][1], str(code), MEANINGS[code, None][0])
    for code, parse in _PARSERS.items()
    if code not in REFINED
}
#: The same for each function of UMAS, all that there can be.
_UMAS: Final = tuple(_meaning(UMAS, sub) for sub in range(256))
