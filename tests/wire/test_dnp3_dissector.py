"""The DNP3 dissector shows captures as tshark does, and goes on behind whatever is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captured import compare, expected, flows, names
from dnp3_messages import CLASS_POLL, CROB, in_segments, link, request, response
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire import NAMED, Shown, Side
from penstock.wire.dnp3 import DNP3, Dnp3DatagramDissector, Dnp3Dissector, fits

VECTORS = json.loads((Path(__file__).parent / "dnp3_vectors.json").read_text())["vectors"]
POLL = request(CLASS_POLL)


@pytest.mark.parametrize("name", names("dnp3-"))
def test_every_capture_is_shown_as_tshark_shows_it_however_it_is_cut(name: str) -> None:
    wanted = sum(pdu["p"] == "dnp3" for line in expected(name).values() for pdu in line["pdus"])
    make = Dnp3DatagramDissector if "udp" in name else Dnp3Dissector
    assert compare(name, make, "dnp3", {"dnp3"}) == wanted > 0


@pytest.mark.parametrize("name", names("dnp3-"))
def test_what_a_capture_calls_malformed_is_called_so(name: str) -> None:
    shown = [each for frame, each in _all(name)]
    wanted = [line for line in expected(name).values() if "malformed" in line]
    assert sum(each.is_malformed for each in shown) == len(wanted)
    assert [list(each.errors) for each in shown if each.is_malformed] == [line["errors"] for line in wanted]


@pytest.mark.parametrize("name", names("dnp3-"))
def test_every_message_of_the_captures_has_a_class_of_the_taxonomy(name: str) -> None:
    """Only what tshark calls malformed has no operation; nothing real is unknown."""
    for frame, shown in _all(name):
        if shown.frame is not None and not shown.is_malformed:
            found = shown.frame.operation
            assert "unknown" not in found.classes, f"frame {frame}: {found}"


def _all(name: str) -> list[tuple[int, Shown]]:
    found = []
    for flow in flows(name):
        dissector = DNP3.dissectors[flow.carrier]()
        found += [(packet.frame, each) for packet in flow.packets for each in dissector.feed(packet.side, packet.data)]
    return found


@pytest.mark.parametrize("vector", VECTORS, ids=[each["frame"][20:60] + str(i) for i, each in enumerate(VECTORS)])
def test_objects_that_no_capture_holds_are_shown_as_tshark_shows_them(vector: dict[str, object]) -> None:
    (shown,) = Dnp3DatagramDissector().feed(Side(vector["side"]), bytes.fromhex(str(vector["frame"])))
    head = {"p", "len", "ctl", "dir", "prm", "link_fc", "link_fc_name", "dst", "src", "tr_fin", "tr_fir", "tr_seq"}
    assert {key: value for key, value in shown.pdu.items() if key not in head} == vector["shown"]
    assert shown.is_malformed is vector["is_malformed"]


def _codes(shown: list[Shown]) -> list[int]:
    return [each.pdu["fc"] for each in shown]


def test_a_start_in_the_middle_of_a_frame_costs_that_frame_only() -> None:
    for cut in range(1, len(POLL)):
        assert _codes([*Dnp3Dissector().feed(Side.CLIENT, POLL[cut:] + POLL)]) == [1]


def test_a_frame_whose_crc_is_wrong_is_passed_over() -> None:
    for broken in range(2, len(POLL)):
        wrong = POLL[:broken] + bytes((POLL[broken] ^ 1,)) + POLL[broken + 1 :]
        assert _codes([*Dnp3Dissector().feed(Side.CLIENT, wrong + POLL)]) == [1]


def test_what_is_held_is_given_up_where_bytes_were_lost() -> None:
    dissector = Dnp3Dissector()
    first, second = in_segments(f"C3 05 {CROB}", 10)
    assert "fc" not in dissector.feed(Side.CLIENT, first)[0].pdu
    dissector.lost(Side.CLIENT)
    assert "fc" not in dissector.feed(Side.CLIENT, second)[0].pdu
    assert not dissector.feed(Side.CLIENT, POLL[:9])
    dissector.lost(Side.CLIENT)
    assert _codes([*dissector.feed(Side.CLIENT, POLL)]) == [1]


def test_an_operate_whose_select_was_not_seen_is_shown_all_the_same() -> None:
    (shown,) = Dnp3Dissector().feed(Side.CLIENT, request(f"C4 04 {CROB}"))
    assert shown.frame is not None
    assert shown.frame.operation.name == "Operate"


def test_of_a_datagram_nothing_is_kept_but_whole_segments() -> None:
    dissector = Dnp3DatagramDissector()
    assert not dissector.feed(Side.CLIENT, POLL[:9])
    assert not dissector.feed(Side.CLIENT, POLL[9:])
    first, second = in_segments(CLASS_POLL, 8)
    assert len(dissector.feed(Side.CLIENT, first)) == 1
    assert _codes([*dissector.feed(Side.CLIENT, second)]) == [1]


def test_dnp3_is_known_by_its_first_header_and_by_who_says_it() -> None:
    assert fits(POLL, Side.CLIENT) is True
    assert fits(POLL, Side.ASSET) is False
    assert fits(response("C3 81 0000"), Side.ASSET) is True
    assert fits(POLL[:9], Side.CLIENT) is None
    assert fits(b"\x05", Side.CLIENT) is None
    assert fits(POLL[:8] + b"\0\0", Side.CLIENT) is False
    assert fits(b"\x68\x04\x07\0\0\0", Side.CLIENT) is False
    assert NAMED["dnp3"] is DNP3


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=300)), max_size=8))
def test_nothing_is_raised_for_any_bytes(pieces: list[tuple[Side, bytes]]) -> None:
    for make in DNP3.dissectors.values():
        dissector = make()
        for side, data in pieces:
            for shown in dissector.feed(side, data):
                assert shown.pdu["p"] == "dnp3"


@given(st.sampled_from(Side), st.binary(min_size=1, max_size=245))
def test_nothing_is_raised_for_any_user_data(side: Side, user: bytes) -> None:
    data = link(0xC4 if side is Side.CLIENT else 0x44, 10, 1, user)
    shown = [*Dnp3Dissector().feed(side, data)]
    assert [each.pdu["len"] for each in shown] == [5 + len(user)]
