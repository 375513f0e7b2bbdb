"""Framing: bounded, indifferent to how the network cuts, and never anything but frames or `Malformed`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest
from enip_messages import (
    ROUTER,
    TO_ORIGINATOR,
    TO_TARGET,
    connect,
    encapsulated,
    multiple,
    opening,
    pccc,
    read_tag,
    reply,
    request,
    rr_data,
    sent,
    symbol,
    unit_data,
    write_dint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.model import Malformed, OperationClass, Reason
from penstock.wire import DECODERS, NAMED, Frame, Role, Side, WrongProtocol
from penstock.wire.enip import ENIP, EnipDatagrams, EnipDecoder
from penstock.wire.enip.decoder import MAX_HELD_BYTES
from penstock.wire.enip.packets import end_of_frame

READ = rr_data(read_tag("Speed"), context=1)
WRITE = rr_data(write_dint("Speed", 7), context=2)
REPLY = rr_data(reply(0x4C, b"\xc4\0\5\0\0\0"), context=1)


def test_the_protocol_is_known_by_its_name() -> None:
    assert isinstance(DECODERS["enip"](), EnipDecoder)
    assert NAMED["enip"] is ENIP
    assert ENIP.datagrams is EnipDatagrams


def test_half_a_frame_waits_for_its_other_half() -> None:
    decoder = EnipDecoder()
    assert [frame.data for frame in decoder.feed(Side.CLIENT, READ + WRITE[:30])] == [READ]
    assert decoder.pending(Side.CLIENT) == 30
    assert [frame.data for frame in decoder.feed(Side.CLIENT, WRITE[30:])] == [WRITE]
    assert decoder.pending(Side.CLIENT) == 0


def test_the_two_directions_do_not_mix() -> None:
    decoder = EnipDecoder()
    assert not decoder.feed(Side.CLIENT, READ[:26])
    assert not decoder.feed(Side.ASSET, REPLY[:26])
    (request_frame,) = decoder.feed(Side.CLIENT, READ[26:])
    (reply_frame,) = decoder.feed(Side.ASSET, REPLY[26:])
    assert (request_frame.data, reply_frame.data) == (READ, REPLY)
    assert request_frame.exchange == reply_frame.exchange


def test_requests_that_differ_in_session_context_and_time_out_only_mean_the_same() -> None:
    (first,) = EnipDecoder().feed(Side.CLIENT, READ)
    other = READ[:4] + b"\x99" + READ[5:12] + b"\x77" + READ[13:28] + b"\x0a" + READ[29:]
    (second,) = EnipDecoder().feed(Side.CLIENT, other)
    assert first.what == second.what
    assert first.exchange != second.exchange


def test_what_a_message_means_is_all_in_its_what() -> None:
    """On a connection to slot 3 the same bytes are for another controller than without one."""
    decoder = EnipDecoder()
    connect(decoder, b"\x01\x03" + ROUTER)
    (connected,) = decoder.feed(Side.CLIENT, unit_data(read_tag("Speed")))
    (plain,) = decoder.feed(Side.CLIENT, READ)
    assert connected.what != plain.what
    assert (connected.operation.unit, plain.operation.unit) == (3, None)


def test_a_nop_of_the_asset_belongs_to_the_link() -> None:
    (frame,) = EnipDecoder().feed(Side.ASSET, encapsulated(0, b"hello"))
    assert frame.role is Role.LINK


@pytest.mark.parametrize(
    "start",
    [b"\x16\x03\x01", b"GET ", b"SSH-", b"\x00\x01\x00\x00\x00\x06", b"\x05\x64", b"\x68\x04", READ[:20] + b"\1"],
)
def test_another_protocol_is_known_by_its_first_bytes(start: bytes) -> None:
    """TLS, HTTP, SSH, Modbus, DNP3, IEC 104, and options that EtherNet/IP does not have."""
    data = start + bytes(40)
    with pytest.raises(WrongProtocol):
        EnipDecoder().feed(Side.CLIENT, data)
    decoder = EnipDecoder()
    with pytest.raises(WrongProtocol):
        _ = [decoder.feed(Side.CLIENT, data[at : at + 1]) for at in range(24)]


def test_an_illegal_length_is_malformed_before_the_frame_is_there() -> None:
    """At most 65,511 bytes follow the header."""
    with pytest.raises(Malformed):
        EnipDecoder().feed(Side.CLIENT, b"\x6f\0\xe8\xff")
    assert not EnipDecoder().feed(Side.CLIENT, b"\x6f\0\xe7\xff")


def test_frames_in_front_of_a_break_come_out_before_the_break_is_reported() -> None:
    """And the flow is lost from there on, whatever follows."""
    decoder = EnipDecoder()
    assert [frame.data for frame in decoder.feed(Side.CLIENT, READ + b"junk!" * 99_999)] == [READ]
    assert 0 < decoder.pending(Side.CLIENT) <= MAX_HELD_BYTES
    for data in (b"", READ):
        with pytest.raises(Malformed):
            decoder.feed(Side.CLIENT, data)


@pytest.mark.parametrize(
    "broken",
    [
        rr_data(read_tag("Speed")),  # a request where an answer should be
        rr_data(b"\xcc\0\0\xff"),  # an extended status that is not there
        rr_data(b"\xcc\0"),
        encapsulated(0x6F, bytes(6) + b"\1\0\0\0\0\0"),
        encapsulated(0x70, bytes(6) + b"\2\0\xa1\0\4\0"),
    ],
)
def test_an_answer_that_is_none_ends_the_flow(broken: bytes) -> None:
    decoder = EnipDecoder()
    with pytest.raises(Malformed):
        decoder.feed(Side.ASSET, broken)
    with pytest.raises(Malformed):
        decoder.feed(Side.ASSET, REPLY)
    assert decoder.pending(Side.ASSET)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(6),
        b"\1" + READ[25:],  # another interface than CIP
        READ[24:30] + b"\3" + READ[31:],  # an item too few
        READ[24:38] + b"\xff" + READ[39:],  # an item that ends behind the packet
        READ[24:] + b"\0",
        READ[24:30] + b"\2\0\xa1\0\4\0\0\0\0\0\xb2\0\2\0\x01\0",  # an address that is none
        READ[24:30] + b"\3" + READ[31:] + b"\x86\0\0\0",  # an item that does not belong there
        READ[24:30] + b"\3" + READ[31:] + b"\x00\x80\x02\0\0\0",  # half a socket address
        READ[24:30] + b"\2\0\0\0\0\0\xb2\0\0\0",  # no message at all
    ],
)
def test_a_packet_of_other_items_than_there_should_be_is_refused(body: bytes) -> None:
    (frame,) = EnipDecoder().feed(Side.CLIENT, encapsulated(0x6F, body))
    with pytest.raises(Malformed):
        _ = frame.operation


def test_socket_addresses_may_stand_behind_an_opening() -> None:
    """They say where implicit data go; what is asked for stays the same."""
    address = b"\x00\x80\x10\0" + b"\0\2\x08\xae" + bytes(12)
    (plain,) = EnipDecoder().feed(Side.CLIENT, rr_data(opening(ROUTER)))
    (frame,) = EnipDecoder().feed(Side.CLIENT, rr_data(opening(ROUTER), items=[address]))
    assert frame.operation == plain.operation


@pytest.mark.parametrize("command", [0x04, 0x63, 0x64, 0x66, 0x65])
def test_commands_have_the_data_that_belong_to_them(command: int) -> None:
    (frame,) = EnipDecoder().feed(Side.CLIENT, encapsulated(command, b"\2\0\0\0"))
    with pytest.raises(Malformed):
        _ = frame.operation


def test_a_request_with_a_status_is_refused() -> None:
    for data in (encapsulated(0x63, status=1), READ[:8] + b"\1" + READ[9:]):
        (frame,) = EnipDecoder().feed(Side.CLIENT, data)
        with pytest.raises(Malformed):
            _ = frame.operation


def test_an_unknown_command_is_an_unknown_operation() -> None:
    (frame,) = EnipDecoder().feed(Side.CLIENT, encapsulated(0x72))
    assert (frame.operation.classes, frame.operation.code) == ((OperationClass.UNKNOWN,), "0x0072")


@pytest.mark.parametrize(
    ("data", "side", "wanted"),
    [
        (READ, Side.CLIENT, True),
        (READ, Side.ASSET, False),
        (REPLY, Side.ASSET, True),
        (REPLY, Side.CLIENT, False),
        (unit_data(read_tag("A")), Side.CLIENT, True),
        (unit_data(reply(0x4C)), Side.CLIENT, False),
        (encapsulated(0x63), Side.CLIENT, True),
        (encapsulated(0x63), Side.ASSET, False),
        (encapsulated(0x65, b"\1\0\0\0"), Side.CLIENT, True),
        (READ[:10], Side.CLIENT, None),
        (b"\2", Side.CLIENT, None),
        (b"\x02\x00\x02\x80", Side.CLIENT, True),
        (b"\x03\x00\x00\x16", Side.CLIENT, False),
        (b"\x6f\x01", Side.CLIENT, False),
        (READ[:20] + b"\1" + READ[21:], Side.CLIENT, False),
    ],
)
def test_what_begins_the_protocol_and_who_began_it(data: bytes, side: Side, wanted: bool | None) -> None:  # noqa: FBT001
    assert ENIP.fits(data, side) is wanted


MESSAGES = st.sampled_from(
    [
        READ,
        WRITE,
        encapsulated(0x63),
        encapsulated(0, bytes(300)),
        unit_data(read_tag("Speed")),
        rr_data(multiple(read_tag("A"), write_dint("B", 1))),
        rr_data(sent(pccc(0x0F, 0xA2, b"\4\7\x89\0\0"))),
        rr_data(opening(ROUTER)),
        rr_data(request(0x4C, symbol("A") + b"\x2a\0\1\0\0\0", b"\1\0")),
    ]
)


@settings(max_examples=40)
@given(st.lists(MESSAGES, max_size=5), st.data())
def test_the_frames_do_not_depend_on_how_the_network_cuts(messages: list[bytes], data: st.DataObject) -> None:
    """Split anywhere, coalesced, and with the other direction in between."""
    stream, decoder, found, at = b"".join(messages), EnipDecoder(), list[Frame](), 0
    while at < len(stream):
        end = data.draw(st.integers(at + 1, len(stream)))
        found += decoder.feed(Side.CLIENT, stream[at:end])
        answers = decoder.feed(Side.ASSET, REPLY[:30])
        assert not answers
        assert [frame.data for frame in decoder.feed(Side.ASSET, REPLY[30:])] == [REPLY]
        at = end
    assert [frame.data for frame in found] == messages
    assert not decoder.pending(Side.CLIENT)


def judged(decoder: EnipDecoder, frames: Sequence[Frame]) -> None:
    """Whatever a frame holds, it has a meaning or is malformed, can be refused, and can be answered."""
    for frame in frames:
        if frame.role is Role.REQUEST:
            with suppress(Malformed):
                assert frame.operation.classes
            decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED)
            decoder.forward(frame)
        else:
            for asking in EnipDecoder().feed(Side.CLIENT, READ):
                decoder.answer(asking, frame)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=120)), max_size=6))
def test_nothing_but_malformed_is_raised_for_any_bytes(pieces: list[tuple[Side, bytes]]) -> None:
    decoder = EnipDecoder()
    for side, data in pieces:
        try:
            judged(decoder, decoder.feed(side, data))
        except Malformed:
            assert decoder.pending(side) <= MAX_HELD_BYTES


@settings(max_examples=80)
@given(st.binary(min_size=1, max_size=200), st.binary(max_size=200))
def test_nothing_but_malformed_is_raised_for_any_message(message: bytes, answer: bytes) -> None:
    """In every place where a CIP message may stand, also behind each service that has a form of its own."""
    decoder = EnipDecoder()
    connect(decoder)
    heads = [b"", *(bytes((s,)) + p for s in (0x0A, 0x52, 0x4B, 0x4D, 0x53, 0x54, 0x5B, 0x03) for p in PATHS)]
    for head in heads:
        for data in (rr_data(head + message), unit_data(head + message), rr_data(sent(head + message))):
            frames = decoder.feed(Side.CLIENT, data)
            judged(decoder, frames)
            for reply_data in (rr_data(bytes((data[40] | 0x80, 0, 0, 0)) + answer),):
                for replying in decoder.feed(Side.ASSET, reply_data):
                    decoder.answer(frames[0], replying)


PATHS = (b"\2" + ROUTER, b"\2\x20\6\x24\1", b"\2\x20\x67\x24\1", b"\2\x91\2ab", b"\2\x20\x44\x24\1")


def test_a_message_is_put_together_once_however_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 kB byte by byte: the stream is looked at when it has enough bytes to tell something, not for each of them."""
    looks: list[int] = []

    def counted(stream: bytes, start: int) -> int:
        looks.append(len(stream))
        return end_of_frame(stream, start)

    monkeypatch.setattr("penstock.wire.enip.decoder.end_of_frame", counted)
    data = encapsulated(0, bytes(60_000))
    decoder = EnipDecoder()
    for at in range(len(data) - 1):
        assert not decoder.feed(Side.CLIENT, data[at : at + 1])
    assert [frame.data for frame in decoder.feed(Side.CLIENT, data[-1:])] == [data]
    assert looks == [1, 2, 4, 24, len(data), len(data)]


def test_a_reply_on_a_connection_that_nobody_opened_answers_nothing_that_was_asked() -> None:
    decoder = EnipDecoder()
    (asking,) = decoder.feed(Side.CLIENT, unit_data(read_tag("A"), count=1))
    (answer,) = decoder.feed(Side.ASSET, unit_data(reply(0x4C), count=1, number=TO_ORIGINATOR))
    assert asking.exchange != answer.exchange
    assert asking.exchange == TO_TARGET << 16 | 1
