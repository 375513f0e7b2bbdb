"""BACnet as captures show it: equal to tshark's decode, over IP and straight on Ethernet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bacnet_datagrams import is_malformed
from captured import compare, expected, flows_of, names
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire import Frame, Role, Side
from penstock.wire.bacnet import BACNET, BacnetDecoder, BacnetDissector, BacnetNetworkDissector
from penstock.wire.bacnet.codes import BROADCAST

VECTORS = json.loads((Path(__file__).parent / "bacnet_vectors.json").read_text())["vectors"]


def wanted(name: str, kind: str) -> int:
    return sum(pdu["p"] == kind for line in expected(name).values() for pdu in line["pdus"])


@pytest.mark.parametrize("name", names("bacnet-"))
def test_every_capture_over_ip_is_shown_as_tshark_shows_it(name: str) -> None:
    assert compare(name, BacnetDissector, "bacnet", {"bvlc"}) == wanted(name, "bvlc") > 0


def test_what_a_capture_holds_straight_on_ethernet_is_shown_as_tshark_shows_it() -> None:
    name, kinds = "bacnet-services.pcap", {"bacnet", "bacapp"}
    assert compare(name, BacnetNetworkDissector, "bacnet", kinds) == sum(wanted(name, kind) for kind in kinds) > 200


@pytest.mark.parametrize("vector", VECTORS, ids=[each["datagram"][:40] for each in VECTORS])
def test_what_no_capture_holds_is_shown_as_tshark_shows_it(vector: dict[str, object]) -> None:
    """The vectors are datagrams written for this test, each with what tshark 4.0.17 made of it by way of the oracle."""
    (shown,) = BacnetDissector().feed(Side.CLIENT, bytes.fromhex(str(vector["datagram"])))
    assert (shown.pdu, shown.is_malformed) == (vector["shown"], vector["is_malformed"])


def frames(name: str) -> list[list[Frame]]:
    """The frames of every conversation over IP."""
    found: list[list[Frame]] = []
    for flow in flows_of(name, {"bvlc"}):
        decoder = BacnetDecoder()
        found.append([frame for packet in flow.packets for frame in decoder.feed(packet.side, packet.data)])
    return found


def test_every_reply_of_the_captures_belongs_to_a_request_and_says_something() -> None:
    replies, decoder = 0, BacnetDecoder()
    for flow in frames("bacnet-services.pcap"):
        asked: dict[int, Frame] = {}
        for frame in flow:
            if frame.role is Role.REQUEST and frame.side is Side.CLIENT and frame.exchange >= 0:
                asked[frame.exchange] = frame
            elif frame.role is Role.REPLY and frame.is_last:
                replies += 1
                assert decoder.answer(asked.pop(frame.exchange), frame).status != "unreadable"
        assert not asked
    assert replies == 161


def test_the_values_of_an_answer_in_segments_are_read_whole() -> None:
    """Frames 279 to 282: the answer to a readPropertyMultiple of 32 properties in two segments."""
    (flow,) = [flow for flow in frames("bacnet-services.pcap") if any(not frame.is_last for frame in flow)]
    at = next(i for i, frame in enumerate(flow) if not frame.is_last)
    request, (first, last) = flow[at - 1], [f for f in flow[at : at + 4] if f.role is Role.REPLY]
    assert (first.exchange, first.is_last, last.exchange, last.is_last) == (
        request.exchange,
        False,
        first.exchange,
        True,
    )
    answer = BacnetDecoder().answer(request, last)
    assert len(answer.targets) == len(request.operation.targets) == 32
    assert answer.status == "22 of 32 failed, the first: 1/31 object, unknown-object"
    assert answer.targets[0].values == (55.0,)
    assert sum(target.values is None for target in answer.targets) == 22


def test_every_request_of_the_captures_is_read_but_those_that_break_the_standard() -> None:
    """The capture of all services was written by hand: some confirmed requests of it are broadcasts."""
    asked = [
        frame
        for name in ("bacnet-all-services.pcap", "bacnet-services.pcap")
        for flow in frames(name)
        for frame in flow
        if frame.role in {Role.REQUEST, Role.NOTICE}
    ]
    broken = [frame for frame in asked if is_malformed(frame)]
    assert (len(asked), len(broken)) == (429, 8)
    assert {frame.data[1] for frame in broken} == {BROADCAST}


def test_bacnet_is_known_by_its_first_bytes_from_either_side() -> None:
    whole = bytes.fromhex("810a000c 0104 02050c0c 0000")
    for side in Side:
        assert BACNET.fits(whole, side) is True
        assert BACNET.fits(whole + whole, side) is True
        assert BACNET.fits(whole[:3], side) is None
        for other in (b"\x82" + whole[1:], whole[:4] + b"\x02" + whole[5:], whole[:-1], b"\x16\x03\x01\x00\x05hello"):
            assert BACNET.fits(other, side) is False


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=120)), max_size=8))
def test_nothing_is_raised_for_any_bytes(pieces: list[tuple[Side, bytes]]) -> None:
    for make in BACNET.dissectors.values():
        dissector = make()
        for side, data in pieces:
            for head in (b"", b"\x81\x0a" + (len(data) + 4).to_bytes(2, "big"), b"\x01\x04"):
                for shown in dissector.feed(side, head + data):
                    assert shown.pdu["p"] in {"bvlc", "bacnet", "bacapp"}
            dissector.lost(side)
