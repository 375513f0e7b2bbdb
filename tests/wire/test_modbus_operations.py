"""What requests mean, what breaks the standard, and agreement with the taxonomy and with pymodbus."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu import bit_message as bits
from pymodbus.pdu import file_message as files
from pymodbus.pdu import register_message as registers
from taxonomy import many, taxonomy

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire import ModbusDecoder, Side
from penstock.wire.modbus.codes import CODES

IS = OperationClass
word = st.integers(0, 0xFFFF)


def framed(pdu: bytes, unit: int = 1, number: int = 7) -> bytes:
    return number.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes((unit,)) + pdu


def meaning(pdu: str | bytes) -> Operation:
    data = framed(bytes.fromhex(pdu) if isinstance(pdu, str) else pdu)
    (frame,) = ModbusDecoder().feed(Side.CLIENT, data)
    assert frame.data == data
    return frame.operation


def target(kind: OperationClass, table: str, first: int, count: int, *values: int) -> Target:
    return Target(operation_class=kind, table=table, first=first, count=count, values=values or None)


@pytest.mark.parametrize(
    ("pdu", "title", "code", "targets"),
    [
        ("01 0013 07D0", "read", "1", [target(IS.READ, "coils", 19, 2000)]),
        ("02 00C4 0016", "read", "2", [target(IS.READ, "discrete_inputs", 196, 22)]),
        ("03 006B 0003", "read", "3", [target(IS.READ, "holding_registers", 107, 3)]),
        ("04 0008 0001", "read", "4", [target(IS.READ, "input_registers", 8, 1)]),
        ("05 00AC FF00", "write", "5", [target(IS.WRITE, "coils", 172, 1, 1)]),
        ("05 00AC 0000", "write", "5", [target(IS.WRITE, "coils", 172, 1, 0)]),
        ("06 0001 FFFF", "write", "6", [target(IS.WRITE, "holding_registers", 1, 1, 0xFFFF)]),
        ("0F 0013 000A 02 CD01", "write", "15", [target(IS.WRITE, "coils", 19, 10, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0)]),
        ("10 0001 0002 04 000A 0102", "write", "16", [target(IS.WRITE, "holding_registers", 1, 2, 10, 258)]),
        ("16 0004 00F2 0025", "write", "22", [target(IS.WRITE, "holding_registers", 4, 1)]),
        (
            "17 0003 0006 000E 0003 06 00FF 00FE 00FD",
            "read+write",
            "23",
            [target(IS.READ, "holding_registers", 3, 6), target(IS.WRITE, "holding_registers", 14, 3, 255, 254, 253)],
        ),
        ("18 04DE", "read", "24", [target(IS.READ, "fifo", 1246, 1)]),
        (
            "14 0E 06 0004 0001 0002 06 0003 0009 0002",
            "file_read",
            "20",
            [target(IS.FILE_READ, "files", 40001, 2), target(IS.FILE_READ, "files", 30009, 2)],
        ),
        (
            "15 0D 06 0004 0007 0003 06AF 04BE 100D",
            "file_write",
            "21",
            [target(IS.FILE_WRITE, "files", 40007, 3, 0x06AF, 0x04BE, 0x100D)],
        ),
        ("07", "diagnostics", "7", []),
        ("08 0000 A537", "diagnostics", "8/0", []),
        ("08 0001 FF00", "execute", "8/1", []),
        ("08 0003 0A00", "config", "8/3", []),
        ("08 0004 0000", "execute", "8/4", []),
        ("08 0009 0000", "unknown", "8/9", []),
        ("0B", "diagnostics", "11", []),
        ("11", "discovery", "17", []),
        ("2B 0E 01 00", "discovery", "43/14", []),
        ("2B 0D 0000", "vendor", "43/13", []),
        ("2B 0F", "unknown", "43/15", []),
        ("5A 00 41", "execute", "90/0x41", []),
        ("5A 01 30 00", "program_to_device", "90/0x30", []),
        ("5A 00 FF", "unknown", "90/0xFF", []),
        ("09 00", "vendor", "9", []),
        ("41 01", "vendor", "65", []),
        ("6E", "vendor", "110", []),
        ("63", "unknown", "99", []),
    ],
)
def test_a_request_means_what_the_standard_says(pdu: str, title: str, code: str, targets: list[Target]) -> None:
    """Examples of the Application Protocol specification, and each kind of code beyond it."""
    operation = meaning(pdu)
    assert (operation.title, operation.code, list(operation.targets)) == (f"modbus.{title}", code, targets)
    assert operation.unit == 1
    assert operation.name


@pytest.mark.parametrize(
    "pdu",
    [
        "00", "80", "81 01", "FF",  # no function codes of requests
        "01 0000", "01 0000 0001 00", "01 0000 0000", "01 0000 07D1", "03 0000 007E", "03 FFFF 0002", "02 FF00 0200",
        "05 0000 0001", "05 0000 FF01", "05 0000", "06 0000 00", "06 0000 000000",
        "0F 0000 0000 00", "0F 0000 0009 01 FF", "0F 0000 0008 02 FFFF", "0F 0000 0008 01", "0F FFFF 0002 01 03",
        "10 0000 0001 02", "10 0000 0001 03 000000", "10 0000 0000 00", "10 FFFF 0002 04 00000000", "10 0000 0001",
        "16 0000 0000", "16 0000 0000 0000 00", "17 0000 0001 0000 0001 03 000000", "17 0000 007E 0000 0001 02 0000",
        "17 0000 0001 0000 007A F4" + "00" * 244, "17 FFFF 0002 0000 0001 02 0000", "18 00", "18 000000",
        "14 00", "15 00", "14", "14 06 06 0001 0001 00", "14 07 05 0001 0001 0001", "14 07 06 0000 0001 0001",
        "14 07 06 0001 2710 0001", "14 07 06 0001 0001 0000", "14 07 06 0001 0001 007D", "14 08 06 0001 0001 0001",
        "15 09 06 0001 0001 0002 0000", "15 0B 06 0001 0001 0001 0000",
        "08", "08 00", "08 0001 0001", "08 0004 FF00", "08 000A", "08 0003 0A01", "07 00", "0B 00", "0C 00", "11 00",
        "2B", "2B 0E 01", "2B 0E 05 00", "2B 0E 00 00", "2B 0E 01 00 00", "5A", "5A 00",
    ],
)  # fmt: skip
def test_a_well_framed_request_that_breaks_the_standard_is_malformed(pdu: str) -> None:
    """Lengths, quantities, byte counts, values and ranges: what contradicts itself is not judged."""
    with pytest.raises(Malformed):
        meaning(pdu)


def test_the_table_of_codes_is_the_taxonomy() -> None:
    """Code for code and class for class as in the project's taxonomy, neither more nor less."""
    entries: list[dict[str, Any]] = taxonomy("modbus")["operations"]
    expected = set()
    for entry in entries:
        codes = many(entry["fc"]) if "fc" in entry else [c for a, b in entry["fc_range"] for c in range(a, b + 1)]
        for part in entry.get("sub", [entry]):
            subs = many(part["code"]) if part is not entry else [None]
            expected |= {(code, sub, part["name"], tuple(many(part["class"]))) for code in codes for sub in subs}
    ours = {
        (code, sub, name, tuple(str(c) for c in classes))
        for codes, subs, name, classes in CODES
        for code in codes
        for sub in subs or (None,)
    }
    assert ours == expected


def first_and_count(limit: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.integers(1, limit).flatmap(lambda n: st.tuples(st.integers(0, 0x10000 - n), st.just(n)))


def first_and_values(limit: int, element: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[int, list[Any]]]:
    lists = st.lists(element, min_size=1, max_size=limit)
    return lists.flatmap(lambda v: st.tuples(st.integers(0, 0x10000 - len(v)), st.just(v)))


READERS = [
    (bits.ReadCoilsRequest, "coils", 2000),
    (bits.ReadDiscreteInputsRequest, "discrete_inputs", 2000),
    (registers.ReadHoldingRegistersRequest, "holding_registers", 125),
    (registers.ReadInputRegistersRequest, "input_registers", 125),
]
FRAMER = FramerSocket(DecodePDU(is_server=True))


def encoded(request: Any, unit: int, number: int) -> Operation:
    """What our decoder makes of the bytes that pymodbus sends for a request."""
    request.dev_id, request.transaction_id = unit, number
    (frame,) = ModbusDecoder().feed(Side.CLIENT, bytes(FRAMER.buildFrame(request)))
    assert frame.exchange == number << 16 | unit << 8 | request.function_code
    assert frame.operation.unit == unit
    return frame.operation


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(READERS), st.data(), st.integers(0, 255), word)
def test_reads_of_pymodbus_mean_what_it_was_asked_for(reader: Any, data: st.DataObject, unit: int, number: int) -> None:
    """The bytes that pymodbus encodes decode to the same range."""
    kind, table, limit = reader
    first, count = data.draw(first_and_count(limit))
    operation = encoded(kind(address=first, count=count), unit, number)
    assert operation.targets == (target(IS.READ, table, first, count),)


@settings(max_examples=60, deadline=None)
@given(first_and_values(123, word), first_and_values(1968, st.booleans()), word, word)
def test_writes_of_pymodbus_mean_what_it_was_asked_for(
    many_registers: tuple[int, list[int]], many_coils: tuple[int, list[bool]], first: int, value: int
) -> None:
    """The bytes that pymodbus encodes decode to the same addresses and values."""
    at, values = many_registers
    operation = encoded(registers.WriteMultipleRegistersRequest(address=at, registers=values), 1, 1)
    assert operation.targets == (target(IS.WRITE, "holding_registers", at, len(values), *values),)
    at, coils = many_coils
    operation = encoded(bits.WriteMultipleCoilsRequest(address=at, bits=coils), 1, 1)
    assert operation.targets == (target(IS.WRITE, "coils", at, len(coils), *map(int, coils)),)
    operation = encoded(registers.WriteSingleRegisterRequest(address=first, registers=[value]), 1, 1)
    assert operation.targets == (target(IS.WRITE, "holding_registers", first, 1, value),)
    operation = encoded(bits.WriteSingleCoilRequest(address=first, bits=[value > 9]), 1, 1)
    assert operation.targets == (target(IS.WRITE, "coils", first, 1, int(value > 9)),)
    operation = encoded(registers.MaskWriteRegisterRequest(address=first, and_mask=value, or_mask=1), 1, 1)
    assert operation.targets == (target(IS.WRITE, "holding_registers", first, 1),)


@settings(max_examples=40, deadline=None)
@given(first_and_count(125), first_and_values(121, word))
def test_exchanges_and_files_of_pymodbus_mean_what_it_was_asked_for(
    read: tuple[int, int], write: tuple[int, list[int]]
) -> None:
    """Two ranges in one message, and groups of file records."""
    request = registers.ReadWriteMultipleRegistersRequest(
        read_address=read[0], read_count=read[1], write_address=write[0], write_registers=write[1]
    )
    assert encoded(request, 1, 1).targets == (
        target(IS.READ, "holding_registers", *read),
        target(IS.WRITE, "holding_registers", write[0], len(write[1]), *write[1]),
    )
    values = write[1][:8]
    record = b"".join(value.to_bytes(2, "big") for value in values)
    group = files.FileRecord(file_number=4, record_number=7, record_data=record)
    assert encoded(files.WriteFileRecordRequest(records=[group]), 1, 1).targets == (
        target(IS.FILE_WRITE, "files", 40007, len(values), *values),
    )
