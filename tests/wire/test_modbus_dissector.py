"""The Modbus dissector shows captures as tshark does, and goes on behind whatever is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captured import compare, expected, names
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire import Shown, Side
from penstock.wire.modbus import MODBUS, ModbusDatagramDecoder, ModbusDissector

POLL = bytes.fromhex("0001 0000 0006 01 03 0000 0002")
VECTORS = json.loads((Path(__file__).parent / "modbus_vectors.json").read_text())["vectors"]


@pytest.mark.parametrize("name", names("modbus-"))
def test_every_capture_is_shown_as_tshark_shows_it_however_it_is_cut(name: str) -> None:
    wanted = sum(pdu["p"] == "mbtcp" for line in expected(name).values() for pdu in line["pdus"])
    assert compare(name, ModbusDissector, "modbus", {"mbtcp"}) == wanted > 0


@pytest.mark.parametrize("vector", VECTORS, ids=[each["pdu"] for each in VECTORS])
def test_functions_that_no_capture_holds_are_shown_as_tshark_shows_them(vector: dict[str, object]) -> None:
    """The vectors are PDUs written for this test, each with what tshark 4.0.17 made of it by way of the oracle."""
    pdu = bytes.fromhex(str(vector["pdu"]))
    message = bytes((0, 7, 0, 0, 0, len(pdu) + 1, 1)) + pdu
    (shown,) = ModbusDissector().feed(Side(vector["side"]), message)
    head = {"p": "mbtcp", "tid": 7, "pid": 0, "len": len(pdu) + 1, "unit": 1}
    assert shown.pdu == {**head, **vector["shown"]}  # type: ignore[dict-item]
    assert shown.is_malformed is vector["is_malformed"]


def pdus(shown: list[Shown]) -> list[int]:
    return [each.pdu["tid"] for each in shown]


def test_a_start_in_the_middle_of_a_message_costs_that_message_only() -> None:
    dissector = ModbusDissector()
    assert [*dissector.feed(Side.ASSET, b"\x12\x34\x56\x78" + POLL)] == []
    assert pdus([*dissector.feed(Side.ASSET, POLL)]) == [1]


def test_what_is_held_is_given_up_where_bytes_were_lost() -> None:
    dissector = ModbusDissector()
    assert not dissector.feed(Side.CLIENT, POLL[:9])
    dissector.lost(Side.CLIENT)
    assert pdus([*dissector.feed(Side.CLIENT, POLL)]) == [1]


def test_a_broken_side_does_not_take_the_other_ones_parts_along() -> None:
    dissector = ModbusDissector()
    assert not dissector.feed(Side.CLIENT, POLL[:9])
    assert not dissector.feed(Side.ASSET, b"GET / HTTP/1.1\r\n")
    assert pdus([*dissector.feed(Side.CLIENT, POLL[9:])]) == [1]


def test_a_datagram_is_one_message_and_nothing_is_kept_of_another() -> None:
    dissector = ModbusDissector(ModbusDatagramDecoder)
    for datagram in (POLL[:9], POLL + POLL, POLL + b"\0", b""):
        assert not dissector.feed(Side.CLIENT, datagram)
    assert pdus([*dissector.feed(Side.CLIENT, POLL)]) == [1]


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=300)), max_size=8))
def test_nothing_is_raised_for_any_bytes(pieces: list[tuple[Side, bytes]]) -> None:
    for make in MODBUS.dissectors.values():
        dissector = make()
        for side, data in pieces:
            for shown in dissector.feed(side, data):
                assert shown.pdu["p"] == "mbtcp"


@given(st.sampled_from(Side), st.binary(min_size=1, max_size=253))
def test_nothing_is_raised_for_any_pdu(side: Side, pdu: bytes) -> None:
    message = bytes((0, 1, 0, 0, 0, len(pdu) + 1, 1)) + pdu
    (shown,) = ModbusDissector().feed(side, message)
    assert shown.pdu["fc"] == pdu[0] & 0x7F
