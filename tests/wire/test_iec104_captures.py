"""IEC 104 as captures show it: equal to tshark's decode, from the middle of a stream, and on behind broken bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captured import compare, expected, names
from hypothesis import given
from hypothesis import strategies as st

from penstock.model import OperationClass
from penstock.wire import Role, Side
from penstock.wire.iec104 import Iec104Dissector

KIND = "iec60870_104"
VECTORS = json.loads((Path(__file__).parent / "iec104_vectors.json").read_text())["vectors"]
TESTFR, ACKNOWLEDGEMENT = bytes.fromhex("680443000000"), bytes.fromhex("680401001000")


@pytest.mark.parametrize("name", names("iec104-"))
def test_every_capture_is_shown_as_tshark_shows_it_however_it_is_cut(name: str) -> None:
    wanted = sum(pdu["p"] == KIND for line in expected(name).values() for pdu in line["pdus"])
    assert compare(name, Iec104Dissector, "iec104", {KIND}) == wanted > 0


def test_types_and_causes_that_no_capture_holds_are_shown_as_tshark_shows_them() -> None:
    """The vectors are frames written for this test, each with what tshark 4.0.17 made of it by way of the oracle."""
    assert len(VECTORS) > 150
    for vector in VECTORS:
        data = bytes.fromhex(vector["frame"])
        (shown,) = Iec104Dissector().feed(Side(vector["side"]), data)
        head = {"p": KIND, "len": data[1], "type": 0, "type_name": "I", "tx": 1, "rx": 2}
        assert shown.pdu == {**head, **vector["shown"]}, vector["frame"]
        assert (shown.is_malformed, list(shown.errors)) == (vector["is_malformed"], vector["errors"]), vector["frame"]
        assert shown.column == "IEC 60870-5 ASDU"


def test_the_values_that_an_asset_tells_are_shown_and_a_termination_ends_what_was_asked() -> None:
    told = bytes.fromhex("6816 0000 0000 0b0203000300 050000 feff00 070000 0100 00")
    (shown,) = Iec104Dissector().feed(Side.ASSET, told)
    assert shown.frame is not None
    assert [(each.first, each.values) for each in shown.frame.operation.targets] == [(5, (-2,)), (7, (1,))]
    (left_out,) = Iec104Dissector().feed(Side.ASSET, bytes.fromhex("6813 0000 0000 110103000300 050000 010000000000"))
    assert left_out.frame is not None
    assert left_out.frame.operation.targets[0].operation_class is OperationClass.UNKNOWN
    dissector = Iec104Dissector()
    confirmed = dissector.feed(Side.ASSET, bytes.fromhex("680e 0000 0000 2d010700030001000001"))
    ended = dissector.feed(Side.ASSET, bytes.fromhex("680e 0200 0000 2d010a00030001000001"))
    assert [each.frame.role for each in (*confirmed, *ended) if each.frame] == [Role.REPLY, Role.LINK]


def test_a_start_in_the_middle_of_a_message_costs_that_message_only() -> None:
    dissector = Iec104Dissector()
    assert [each.pdu["type_name"] for each in dissector.feed(Side.ASSET, b"\x01\x00\x05" + TESTFR)] == ["U"]
    assert [each.pdu["type_name"] for each in dissector.feed(Side.ASSET, b"\xff\x68\x01" + ACKNOWLEDGEMENT)] == ["S"]


def test_what_is_held_is_given_up_where_bytes_were_lost_and_the_other_side_goes_on() -> None:
    dissector = Iec104Dissector()
    assert not dissector.feed(Side.CLIENT, TESTFR[:4])
    assert not dissector.feed(Side.ASSET, TESTFR[:4])
    dissector.lost(Side.CLIENT)
    assert [each.pdu["utype"] for each in dissector.feed(Side.CLIENT, TESTFR)] == [16]
    assert [each.pdu["utype"] for each in dissector.feed(Side.ASSET, TESTFR[4:])] == [16]


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=300)), max_size=8))
def test_nothing_is_raised_for_any_bytes(pieces: list[tuple[Side, bytes]]) -> None:
    dissector = Iec104Dissector()
    for side, data in pieces:
        for shown in dissector.feed(side, data):
            assert shown.pdu["p"] == KIND
            assert shown.frame is not None


@given(st.sampled_from(Side), st.binary(min_size=1, max_size=249))
def test_nothing_is_raised_for_any_asdu(side: Side, asdu: bytes) -> None:
    shown = Iec104Dissector().feed(side, bytes((0x68, len(asdu) + 4, 2, 0, 4, 0)) + asdu)
    assert [each.pdu["tx"] for each in shown] == [1] or not asdu[0]
