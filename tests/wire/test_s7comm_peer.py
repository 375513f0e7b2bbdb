"""The messages of python-snap7, an independent client and server: read as it means them, refused as it understands.

Its protocol module makes and reads the bytes; nothing goes over a network here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s7comm_messages import named_classes
from snap7.datatypes import S7Area, S7WordLen
from snap7.error import S7ProtocolError
from snap7.s7protocol import S7Protocol

from penstock.model import Malformed, OperationClass, Reason, Target
from penstock.wire import Role, S7Decoder, Side
from penstock.wire.tpkt import packet

READ, WRITE = OperationClass.READ, OperationClass.WRITE
TABLES = {S7Area.DB: "DB10", S7Area.MK: "M", S7Area.PE: "I", S7Area.PA: "Q"}
#: snap7's lengths of words, with the bits of one and what `struct` calls it.
WORDS = {
    S7WordLen.BYTE: 8,
    S7WordLen.CHAR: 8,
    S7WordLen.WORD: 16,
    S7WordLen.INT: 16,
    S7WordLen.DWORD: 32,
    S7WordLen.DINT: 32,
    S7WordLen.REAL: 32,
}


def asked(pdu: bytes, decoder: S7Decoder | None = None) -> Any:
    (frame,) = (decoder or S7Decoder()).feed(Side.CLIENT, packet(pdu))
    assert frame.role is Role.REQUEST
    return frame.operation


areas = st.sampled_from(list(TABLES))
words = st.sampled_from(list(WORDS))


@given(areas, words, st.integers(0, 4000), st.integers(1, 50))
def test_a_read_of_snap7_means_what_it_was_asked_for(area: S7Area, word: S7WordLen, start: int, count: int) -> None:
    operation = asked(S7Protocol().build_read_request(area, 10, start, word, count))
    assert operation.targets == (Target(READ, TABLES[area], 8 * start, WORDS[word] * count),)


@given(areas, words, st.integers(0, 4000), st.integers(1, 20), st.data())
def test_a_write_of_snap7_means_what_it_was_asked_for(
    area: S7Area, word: S7WordLen, start: int, count: int, data: st.DataObject
) -> None:
    size = WORDS[word] // 8 * count
    memory = data.draw(st.binary(min_size=size, max_size=size))
    (target,) = asked(S7Protocol().build_write_request(area, 10, start, word, memory)).targets
    place = (target.operation_class, target.table, target.first, target.count)
    assert place == (WRITE, TABLES[area], 8 * start, 8 * size)
    assert target.memory == memory
    assert len(target.values) == count


@given(st.integers(0, 7), st.integers(0, 4000), st.booleans())
def test_a_bit_of_snap7_is_that_bit(bit: int, byte: int, value: bool) -> None:  # noqa: FBT001 - drawn
    pdu = S7Protocol().build_write_request(S7Area.DB, 10, 8 * byte + bit, S7WordLen.BIT, bytes((value,)))
    assert asked(pdu).targets == (Target(WRITE, "DB10", 8 * byte + bit, 1, "", (int(value),)),)


@pytest.mark.parametrize(
    ("area", "word", "table"), [(S7Area.TM, S7WordLen.TIMER, "T"), (S7Area.CT, S7WordLen.COUNTER, "C")]
)
def test_timers_and_counters_of_snap7_are_counted(area: S7Area, word: S7WordLen, table: str) -> None:
    assert asked(S7Protocol().build_read_request(area, 0, 5, word, 3)).targets == (Target(READ, table, 5, 3),)


def test_several_reads_of_snap7_are_several_objects() -> None:
    items = [(S7Area.DB, 10, 4, 8), (S7Area.MK, 0, 0, 3)]
    pdu = S7Protocol().build_multi_read_request([(int(area), block, start, size) for area, block, start, size in items])
    assert [(each.table, each.first, each.count) for each in asked(pdu).targets] == [("DB10", 32, 64), ("M", 0, 24)]


@pytest.mark.parametrize(
    ("build", "classes"),
    [
        (lambda p: p.build_plc_control_request("stop"), "execute"),
        (lambda p: p.build_plc_control_request("hot_start"), "execute"),
        (lambda p: p.build_plc_control_request("cold_start"), "execute"),
        (lambda p: p.build_compress_request(), "config"),
        (lambda p: p.build_copy_ram_to_rom_request(), "program_to_device"),
        (lambda p: p.build_start_upload_request(0x41, 1), "program_from_device"),
        (lambda p: p.build_upload_request(1), "program_from_device"),
        (lambda p: p.build_end_upload_request(1), "program_from_device"),
        (lambda p: p.build_list_blocks_request(), "diagnostics"),
        (lambda p: p.build_list_blocks_of_type_request(0x41), "diagnostics"),
        (lambda p: p.build_get_block_info_request(0x41, 1), "diagnostics"),
        (lambda p: p.build_read_szl_request(0x0011, 0), "discovery"),
        (lambda p: p.build_read_szl_request(0x0424, 0), "diagnostics"),
        (lambda p: p.build_get_clock_request(), "read"),
        (lambda p: p.build_set_clock_request(datetime(2026, 3, 4, 5, 6, 7)), "config"),  # noqa: DTZ001 - a wall clock
        (lambda p: p.build_set_session_password_request(p.encode_password("SECRET12")), "auth"),
        (lambda p: p.build_clear_session_password_request(), "unknown"),
    ],
)
def test_what_snap7_asks_for_is_of_its_class_and_a_refusal_is_an_error_that_it_shows(build: Any, classes: str) -> None:
    """It is raised as an error of the protocol, with the code, and not as a lost connection."""
    client = S7Protocol()
    pdu = build(client)
    for reason, code in ((Reason.OPERATION_NOT_ALLOWED, "d241"), (Reason.RATE_EXCEEDED, "8302")):
        decoder = S7Decoder()
        (frame,) = decoder.feed(Side.CLIENT, packet(pdu))
        assert named_classes(frame.operation) == classes
        refusal = decoder.refuse(frame, reason)
        with pytest.raises(S7ProtocolError) as caught:
            client.parse_response(refusal[7:])
        shown = f"{caught.value.error_code or 0:04x} {caught.value}"
        assert code in shown


def test_a_layout_of_snap7_s_own_is_not_guessed_at() -> None:
    """Its deletion of a block is laid out otherwise than controllers and tshark read it, so the gate refuses it."""
    client, decoder = S7Protocol(), S7Decoder()
    (frame,) = decoder.feed(Side.CLIENT, packet(client.build_delete_block_request(0x41, 1)))
    with pytest.raises(Malformed):
        _ = frame.operation
    with pytest.raises(S7ProtocolError):
        client.parse_response(decoder.refuse(frame, Reason.MALFORMED)[7:])


@pytest.mark.parametrize("pdu", ["read", "write"])
def test_a_refused_read_or_write_is_an_error_that_snap7_shows(pdu: str) -> None:
    client, decoder = S7Protocol(), S7Decoder()
    if pdu == "read":
        request = client.build_read_request(S7Area.DB, 10, 0, S7WordLen.BYTE, 4)
    else:
        request = client.build_write_request(S7Area.DB, 10, 0, S7WordLen.BYTE, b"abcd")
    (frame,) = decoder.feed(Side.CLIENT, packet(request))
    with pytest.raises(S7ProtocolError) as caught:
        client.parse_response(decoder.refuse(frame, Reason.OBJECT_OUT_OF_RANGE)[7:])
    assert caught.value.error_code == 0x8703


def test_a_download_of_snap7_names_its_block_and_the_client_finds_its_own_in_what_the_controller_asks() -> None:
    client, decoder = S7Protocol(), S7Decoder()
    (target,) = asked(client.build_download_request(0x41, 7, bytes(64)), decoder).targets
    assert (target.operation_class, target.table, target.first) == (OperationClass.PROGRAM_TO_DEVICE, "DB", 7)
    fragment = client.build_download_fragment_response(9, is_last=True, data=bytes(64))
    (reply,) = decoder.feed(Side.CLIENT, packet(fragment))
    assert reply.role is Role.REPLY
