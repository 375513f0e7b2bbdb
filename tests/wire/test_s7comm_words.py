"""Addresses and blocks as a site document writes them, and memory read as what they say."""

from __future__ import annotations

from itertools import pairwise
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s7comm_messages import any_item, job, meaning, write_var

from penstock.model import Interval, Operation, OperationClass, Permission, Span, Target, Value
from penstock.policy.permits import Permit
from penstock.wire import UnreadableError
from penstock.wire.s7comm import S7COMM
from penstock.wire.s7comm.addresses import ELEMENTS, LAST_BIT, read_address, read_blocks, read_memory

DB, M = 0x84, 0x83
WRITE = OperationClass.WRITE


@pytest.mark.parametrize(
    ("text", "table", "first", "last", "element"),
    [
        ("DB10.DBX4.0", "DB10", 32, 32, "bit"),
        ("DB10.DBX4.0-DBX5.7", "DB10", 32, 47, "bit"),
        ("DB10.DBB4", "DB10", 32, 39, "byte"),
        ("DB10.DBB4-DBB7:CHAR", "DB10", 32, 63, "char"),
        ("DB10.DBW6", "DB10", 48, 63, "word"),
        ("DB10.DBW6-DBW10", "DB10", 48, 95, "word"),
        ("DB10.DBW6:INT", "DB10", 48, 63, "int"),
        ("DB10.DBD4", "DB10", 32, 63, "dword"),
        ("DB10.DBD4:REAL", "DB10", 32, 63, "real"),
        ("db10.dbd4 : real", "DB10", 32, 63, "real"),
        ("DB10", "DB10", 0, LAST_BIT, "byte"),
        ("DB10:INT", "DB10", 0, LAST_BIT, "int"),
        ("M0.0-M20.7", "M", 0, 167, "bit"),
        ("M3.5", "M", 29, 29, "bit"),
        ("MB4", "M", 32, 39, "byte"),
        ("MW4-MW8:INT", "M", 32, 79, "int"),
        ("MD4:DINT", "M", 32, 63, "dint"),
        ("I0.1", "I", 1, 1, "bit"),
        ("E0.1", "I", 1, 1, "bit"),
        ("IW4", "I", 32, 47, "word"),
        ("Q0.0-Q1.7", "Q", 0, 15, "bit"),
        ("A4.0", "Q", 32, 32, "bit"),
        ("QB0-QB3", "Q", 0, 31, "byte"),
        ("PW256", "P", 2048, 2063, "word"),
        ("T5", "T", 5, 5, ""),
        ("T5-T9", "T", 5, 9, ""),
        ("C7", "C", 7, 7, ""),
        ("Z1-Z3", "C", 1, 3, ""),
    ],
)
def test_an_address_is_a_span_of_bits_and_an_element(
    text: str, table: str, first: int, last: int, element: str
) -> None:
    (span,) = read_address(text)
    assert (span.table, span.first, span.last, span.element) == (table, first, last, element)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DB",
        "DB10.",
        "DB10.DBX4",
        "DB10.DBX4.8",
        "DB10.DBW4.0",
        "DB10.DBQ4",
        "DB10.X4.0",
        "DB10.MW4",
        "DB10.DB4",
        "DB10.DBW6-DBB8",
        "DB10.DBW10-DBW6",
        "DB10.DBW6-10",
        "DB10.DBW6-",
        "DB10.DBX4.0:REAL",
        "DB10.DBW6:REAL",
        "DB10.DBD6:FLOAT",
        "DB70000.DBW6",
        "DB10.DBW2097152",
        "M4",
        "MX4.0.0",
        "MW4.0",
        "X4.0",
        "M0.0-Q1.0",
        "M0.0-MW4",
        "T5.0",
        "T5-C7",
        "T9-T5",
        "T",
        "L0.0",
        "DBW6",
        "10",
        "DB10.DBW٣",
        "DB10.DBW6 DBW8",
    ],
)
def test_what_is_no_address_is_said_with_a_hint(text: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_address(text)
    assert len(caught.value.why.split()) > 2
    assert len(caught.value.hint.split()) > 2


@pytest.mark.parametrize(
    ("text", "table", "first", "last"),
    [
        ("DB10", "DB", 10, 10),
        ("OB1", "OB", 1, 1),
        ("FC1-FC9", "FC", 1, 9),
        ("FC1-9", "FC", 1, 9),
        ("fb 7", "FB", 7, 7),
        ("SDB0", "SDB", 0, 0),
        ("SFC", "SFC", 0, 65535),
    ],
)
def test_blocks_are_a_kind_and_numbers(text: str, table: str, first: int, last: int) -> None:
    (span,) = read_blocks(text)
    assert (span.table, span.first, span.last) == (table, first, last)


@pytest.mark.parametrize(
    "text", ["", "10", "XX1", "CMOD1", "DB1-OB3", "DB9-DB1", "DB-1", "-DB1", "DB1-", "DB1-DB", "DB1.DBX0.0"]
)
def test_what_is_no_block_is_said_with_a_hint(text: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_blocks(text)
    assert len(caught.value.hint.split()) > 2


def spelled(span: Span) -> str:
    return S7COMM.spell(span.table, span.first, span.last, span.element)


@pytest.mark.parametrize(
    "text",
    [
        "DB10.DBX4.0",
        "DB10.DBX4.0-DBX5.6",
        "DB10.DBB4",
        "DB10.DBB4-DBB7:CHAR",
        "DB10.DBW6-DBW10",
        "DB10.DBW6:INT",
        "DB10.DBD4:REAL",
        "DB10",
        "DB10:INT",
        "M3.5",
        "MB4-MB6",
        "MW4-MW8:INT",
        "QD0",
        "PW256",
        "T5-T9",
        "C7",
    ],
)
def test_an_address_is_shown_as_it_was_written(text: str) -> None:
    assert [spelled(span) for span in read_address(text)] == [text]


@pytest.mark.parametrize("text", ["DB10", "FC1-FC9", "SFC"])
def test_blocks_are_shown_as_they_were_written(text: str) -> None:
    assert [spelled(span) for span in read_blocks(text)] == [text]


def test_what_a_message_touches_is_shown_in_the_words_of_the_field() -> None:
    shown = {
        "DB10.DBX4.1": bit(33, 1),
        "DB10.DBW6": written(2, 6, b"ab"),
        "DB10.DBD4": written(8, 4, bytes(4)),
        "DB10.DBB4-DBB10": written(2, 4, bytes(7)),
    }
    for text, target in shown.items():
        assert S7COMM.spell(target.table, target.first, target.last, "") == text
    assert S7COMM.spell("symbol", 0, 0, "") == S7COMM.spell("szl", 17, 17, "") == ""


@given(
    st.sampled_from(["DB1", "DB65535", "M", "I", "Q", "P"]),
    st.integers(0, 500),
    st.integers(1, 64),
    st.sampled_from(["", *ELEMENTS]),
)
def test_what_is_shown_can_be_read_and_means_the_same(table: str, first: int, size: int, element: str) -> None:
    width = ELEMENTS[element][0] if element else 1
    start = first if width == 1 else 8 * first
    (span,) = read_address(S7COMM.spell(table, start, start + size * width - 1, element))
    assert (span.table, span.first, span.last) == (table, start, start + size * width - 1)
    if element and element != "bit":
        assert span.element == element


def permit(address: str | list[str], *values: tuple[float, float]) -> Permit:
    spans = [span for text in ([address] if isinstance(address, str) else address) for span in read_address(text)]
    intervals = tuple(Interval(low=low, high=high) for low, high in values)
    made = Permission(protocol="s7comm", operation_class=WRITE, spans=tuple(spans), values=intervals)
    return Permit.of(made, "key")


def written(size: int, byte: int, data: bytes, *, kind: int = 4) -> Target:
    """The target of a write of whole elements to DB10 from this byte on."""
    count = {2: len(data), 4: len(data) // 2, 8: len(data) // 4}[size]
    stated = len(data) if kind in {7, 9} else 8 * len(data)
    operation: Operation = meaning(write_var([any_item(size, count, 10, DB, 8 * byte)], [(kind, stated, data)]))
    return operation.targets[0]


def bit(at: int, value: int) -> Target:
    return meaning(write_var([any_item(1, 1, 10, DB, at)], [(3, 1, bytes((value,)))])).targets[0]


@pytest.mark.parametrize(
    ("target", "is_allowed"),
    [
        (written(4, 6, pack(">H", 550)), True),
        (written(4, 6, pack(">H", 551)), False),
        (written(2, 6, pack(">H", 550)), True),
        (written(2, 6, pack(">H", 551)), False),
        (written(4, 6, pack(">HHH", 1, 2, 3)), True),
        (written(4, 6, pack(">HHH", 1, 2, 900)), False),
        (written(2, 7, b"\x01"), False),
        (written(2, 7, b"\x01\0\x01"), False),
        (written(8, 6, pack(">f", 5.0), kind=7), False),
        (written(8, 8, b"\0\1\0\2", kind=7), True),
        (bit(48 + 7, 0), False),
        (bit(48 + 15, 1), False),
    ],
    ids=[
        "word in range",
        "word out of range",
        "the same as bytes",
        "out of range as bytes",
        "three words",
        "one of three out of range",
        "half a word",
        "a word and a half",
        "a number of another type",
        "two words in a number of another type",
        "a bit of a word cleared",
        "a bit of a word set",
    ],
)
def test_values_are_those_of_the_element_that_the_document_names(target: Target, *, is_allowed: bool) -> None:
    """Whatever type the message claims, and whichever way it writes: the memory is what the program reads."""
    allowed = permit("DB10.DBW6-DBW10", (0, 550))
    assert allowed.covers(target, None)
    assert allowed.admits(target) is is_allowed


def test_a_real_is_a_number_and_what_is_none_is_in_no_range() -> None:
    allowed = permit("DB10.DBD4:REAL", (0.5, 80.0))
    for value, is_allowed in ((0.5, True), (80.0, True), (80.5, False), (float("nan"), False), (float("inf"), False)):
        assert allowed.admits(written(8, 4, pack(">f", value), kind=7)) is is_allowed
        assert allowed.admits(written(2, 4, pack(">f", value))) is is_allowed


def test_signed_elements_and_bits() -> None:
    assert permit("DB10.DBW6:INT", (-5, 3)).admits(written(4, 6, b"\xff\xfb"))
    assert not permit("DB10.DBW6", (-5, 3)).admits(written(4, 6, b"\xff\xfb"))
    bits = permit("DB10.DBX4.0-DBX5.7", (1, 1))
    assert bits.admits(bit(33, 1))
    assert not bits.admits(bit(33, 0))
    assert bits.admits(written(2, 4, b"\xff"))
    assert not bits.admits(written(2, 4, b"\xfe"))


def test_every_element_of_several_spans_must_fit() -> None:
    both = permit(["DB10.DBW6", "DB10.DBW8"], (0, 10))
    assert both.covers(written(4, 6, b"\0\1\0\2"), None)
    assert both.admits(written(4, 6, b"\0\1\0\2"))
    assert not both.admits(written(4, 6, b"\0\1\0\x20"))


def test_a_symbol_lies_in_no_address_range() -> None:
    symbol = bytes.fromhex("12 12 b2 ff 8a0e 000a 12345678 2000000a 4000000b")
    target = meaning(write_var([symbol], [(4, 16, b"\0\1")])).targets[0]
    assert not permit("DB10", (0, 10)).covers(target, None)
    assert permit([], (0, 10)).covers(target, None)


def test_blocks_of_a_download_are_held_to_their_numbers() -> None:
    allowed = Permit.of(
        Permission(
            protocol="s7comm", operation_class=OperationClass.PROGRAM_TO_DEVICE, spans=tuple(read_blocks("FC1-FC9"))
        ),
        "key",
    )
    for name, is_covered in (("_0C00009P", True), ("_0C00010P", False), ("_0E00009P", False), ("_FILE", False)):
        message = job(b"\x1a\0\1\0\0\0\0\0" + bytes((len(name),)) + name.encode())
        assert allowed.covers(meaning(message).targets[0], None) is is_covered


def packed(element: str, value: Value) -> bytes:
    """A value as memory; what is no number stands as its bytes."""
    return bytes.fromhex(value[2:]) if isinstance(value, str) else pack(f">{ELEMENTS[element][1]}", value)


elements = st.sampled_from([each for each in ELEMENTS if each != "bit"])


@given(elements, st.integers(0, 100), st.integers(1, 8), st.data())
def test_memory_is_read_element_by_element_however_it_is_written(
    element: str, byte: int, count: int, data: st.DataObject
) -> None:
    """Cut at any elements the values are the same; cut anywhere else nobody knows them."""
    width = ELEMENTS[element][0] // 8
    memory = data.draw(st.binary(min_size=width * count, max_size=width * count))
    span = Span(table="DB1", first=8 * byte, last=8 * (byte + width * count) - 1, element=element)

    def target(start: int, end: int) -> Target:
        return Target(WRITE, "DB1", 8 * (byte + start), 8 * (end - start), "", None, memory[start:end])

    whole = read_memory(target(0, len(memory)), span)
    assert whole is not None
    assert len(whole) == count
    cuts = sorted({0, len(memory), *data.draw(st.lists(st.integers(0, len(memory)), max_size=3))})
    parts = [read_memory(target(start, end), span) for start, end in pairwise(cuts)]
    if all(cut % width == 0 for cut in cuts):
        joined = [value for part in parts for value in part or ()]
        assert b"".join(packed(element, value) for value in joined) == memory
    else:
        assert None in parts


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 200), st.integers(1, 100), st.binary(min_size=12))
def test_reading_memory_never_raises_and_reads_nothing_beside_the_span(
    byte: int, count: int, first: int, size: int, memory: bytes
) -> None:
    target = Target(WRITE, "DB1", 8 * byte, 8 * count, "", None, memory[:count])
    for element in ELEMENTS:
        span = Span(table="DB1", first=first, last=first + size - 1, element=element)
        found = read_memory(target, span)
        if target.last < span.first or span.last < target.first:
            assert found == ()
    assert read_memory(target, Span(table="DB2", element="byte")) == ()


def test_every_example_of_the_protocol_can_be_read() -> None:
    for limit in S7COMM.limits:
        key, _, text = limit.example.partition(": ")
        assert key == limit.key
        assert list(limit.read(text))
