"""The EtherNet/IP dissector shows captures as tshark does, and goes on behind whatever is broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from captured import compare, expected, flows_of, names
from enip_messages import encapsulated, one, read_tag, reply, rr_data, unit_data
from hypothesis import given
from hypothesis import strategies as st

from penstock.model import OperationClass
from penstock.wire import Role, Shown, Side
from penstock.wire.enip import ENIP, EnipDecoder, EnipDissector

KINDS = {"enip", "cip", "cip_io"}
VECTORS = json.loads((Path(__file__).parent / "enip_vectors.json").read_text())["vectors"]


class Either:
    """The dissector of a flow by what it begins with: captures hold TCP streams and datagrams of port 2222."""

    def __init__(self) -> None:
        self._chosen: EnipDissector | None = None

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        if self._chosen is None:
            self._chosen = EnipDissector(is_datagrams=data[:2] == b"\x02\x00")
        return self._chosen.feed(side, data)

    def lost(self, side: Side) -> None:
        if self._chosen is not None:
            self._chosen.lost(side)


@pytest.mark.parametrize("name", [*names("enip-"), *names("cip-")])
def test_every_capture_is_shown_as_tshark_shows_it_however_it_is_cut(name: str) -> None:
    wanted = sum(pdu["p"] in KINDS for line in expected(name).values() for pdu in line["pdus"])
    assert compare(name, Either, "enip", KINDS) == wanted > 0


def test_messages_that_no_capture_holds_are_shown_as_tshark_shows_them() -> None:
    """One conversation written for this test, each message with what tshark 4.0.17 made of it by way of the oracle."""
    dissector = EnipDissector()
    for vector in VECTORS:
        shown = dissector.feed(Side(vector["side"]), bytes.fromhex(vector["data"]))
        assert [each.pdu for each in shown] == vector["shown"], vector["data"]
        assert (next((each.column for each in shown if each.column), ENIP.column)) == vector["column"], vector["data"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("cip-stop-plc.pcap", {("enip.execute", "0x07")}),
        ("cip-set-attribute.pcapng", {("enip.write", "0x10")}),
        ("cip-multiple-service.pcapng", {("enip.discovery+read", "0x0A(0x03 ×11)")}),  # noqa: RUF001
    ],
)
def test_a_capture_that_begins_behind_the_opening_still_says_what_is_asked(name: str, wanted: set[object]) -> None:
    """Passively, a connection whose opening was not seen is taken for one to the message router."""
    (flow,) = flows_of(name, KINDS)
    dissector = EnipDissector()
    frames = [s.frame for packet in flow.packets for s in dissector.feed(packet.side, packet.data) if s.frame]
    assert {(frame.operation.title, frame.operation.code) for frame in frames} == wanted


def test_a_download_is_told_apart_by_its_operations() -> None:
    """Stop, lock, create, write fragments, start: what the capture of a download is made of."""
    (flow,) = flows_of("cip-program-download.pcap", KINDS)
    dissector = EnipDissector()
    shown = [s for packet in flow.packets for s in dissector.feed(packet.side, packet.data)]
    asked = [s.frame.operation for s in shown if s.frame is not None and s.frame.role is Role.REQUEST]
    classes = {each for operation in asked for each in operation.classes}
    assert {OperationClass.PROGRAM_TO_DEVICE, OperationClass.EXECUTE, OperationClass.AUTH} <= classes
    assert not {OperationClass.UNKNOWN, OperationClass.VENDOR} & classes
    messages = [s for s in shown if s.pdu["p"] == "enip"]
    assert [s.frame is not None for s in messages] == [True] * len(messages)
    assert len(asked) == len(messages) // 2 == 407


def test_what_is_held_is_given_up_where_bytes_were_lost() -> None:
    dissector = EnipDissector()
    message = rr_data(read_tag("Speed"))
    assert not dissector.feed(Side.CLIENT, message[:50])
    dissector.lost(Side.CLIENT)
    assert [each.pdu["p"] for each in dissector.feed(Side.CLIENT, message)] == ["enip", "cip"]


def test_a_broken_side_does_not_take_the_other_ones_parts_along() -> None:
    dissector = EnipDissector()
    message = rr_data(read_tag("Speed"))
    assert not dissector.feed(Side.CLIENT, message[:50])
    assert not dissector.feed(Side.ASSET, b"GET / HTTP/1.1\r\n")
    assert [each.pdu["p"] for each in dissector.feed(Side.CLIENT, message[50:])] == ["enip", "cip"]


def test_a_datagram_is_one_message_and_nothing_is_kept_of_another() -> None:
    dissector = EnipDissector(is_datagrams=True)
    message = encapsulated(0x63)
    for datagram in (message[:9], message + message, message + b"\0", b"", b"\x02\x00\x02\x80"):
        assert not dissector.feed(Side.CLIENT, datagram)
    assert [each.pdu["cmd"] for each in dissector.feed(Side.CLIENT, message)] == [0x63]


def test_enforcement_never_assumes_what_passive_reading_does() -> None:
    """The same message: passively a read, for the gate a message of a connection that nobody opened."""
    message = unit_data(read_tag("Speed"))
    passive = EnipDissector().feed(Side.CLIENT, message)[0].frame
    assert passive is not None
    assert passive.operation.classes == (OperationClass.READ,)
    assert one(EnipDecoder(), Side.CLIENT, message).operation.classes == (OperationClass.UNKNOWN,)


@given(st.booleans(), st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=300)), max_size=8))
def test_nothing_is_raised_for_any_bytes(is_datagrams: bool, pieces: list[tuple[Side, bytes]]) -> None:  # noqa: FBT001
    dissector = EnipDissector(is_datagrams=is_datagrams)
    for side, data in pieces:
        for shown in dissector.feed(side, data):
            assert shown.pdu["p"] in KINDS


@given(st.sampled_from(Side), st.binary(min_size=1, max_size=300))
def test_nothing_is_raised_for_any_message(side: Side, message: bytes) -> None:
    dissector = EnipDissector()
    dissector.feed(Side.CLIENT, rr_data(read_tag("Speed")))
    for data in (rr_data(message), rr_data(reply(0x0A, message)), unit_data(message)):
        assert dissector.feed(side, data)[0].pdu["p"] == "enip"
