"""S7comm framing: who asks and who answers, whatever the network and the transport do with the bytes; refusals."""

from __future__ import annotations

import itertools
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s7comm_messages import (
    CONFIRM,
    CONNECT,
    EMPTY,
    ack,
    any_item,
    data,
    in_parts,
    job,
    job_pdu,
    octets,
    one,
    read_var,
    tpkt,
    userdata,
    write_var,
)

from penstock.model import Malformed, Reason
from penstock.wire import DECODERS, NO_ANSWER, Frame, Role, S7Decoder, Side, WrongProtocol
from penstock.wire.s7comm import MAX_MESSAGE_BYTES, S7COMM

READ = read_var(any_item(2, 4, 10, 0x84, 32))
WRITE = write_var([any_item(2, 2, 10, 0x84, 32)], [(4, 16, b"\x12\x34")])
ANSWER = ack("0401", "ff040020 01020304")
SETUP = job("f000 0001 0001 01e0")
DOWNLOAD_BLOCK = job(b"\x1b\0\0\0\0\0\0\0\x09_0A00001P")


def test_read_and_write_and_their_answers_belong_together() -> None:
    decoder = S7Decoder()
    request, reply = one(READ, decoder=decoder), one(ANSWER, Side.ASSET, decoder)
    assert (request.role, reply.role, request.exchange) == (Role.REQUEST, Role.REPLY, reply.exchange)
    assert not reply.is_refusal


def test_requests_that_differ_in_their_reference_only_mean_the_same() -> None:
    other = READ[:11] + b"\x12\x34" + READ[13:]
    assert one(READ).what == one(other).what
    assert one(READ).exchange != one(other).exchange


def test_a_message_in_parts_of_the_transport_is_the_same_message() -> None:
    pdu = job_pdu(b"\x04\1" + any_item(2, 4, 10, 0x84, 32))
    for message in (in_parts(pdu, 1), in_parts(pdu, 5, 9, 17), EMPTY + data(pdu)):
        *links, frame = S7Decoder().feed(Side.CLIENT, message)
        assert all(link.role is Role.LINK for link in links)
        assert (frame.what, frame.exchange) == (one(READ).what, one(READ).exchange)


def test_connecting_setting_up_and_empty_parts_are_the_link() -> None:
    decoder = S7Decoder()
    talk = [
        (Side.CLIENT, CONNECT),
        (Side.ASSET, CONFIRM),
        (Side.CLIENT, SETUP),
        (Side.ASSET, ack("f000 0001 0001 00f0")),
        (Side.CLIENT, EMPTY),
    ]
    for side, message in talk:
        frame = one(message, side, decoder)
        assert (frame.role, frame.exchange) == (Role.LINK, NO_ANSWER)


def test_a_refused_setup_is_the_link_as_well_and_no_answer_to_anything() -> None:
    decoder = S7Decoder()
    one(SETUP, decoder=decoder)
    assert one(ack(kind=2, error=0x8104), Side.ASSET, decoder).role is Role.LINK
    one(READ, decoder=decoder)
    assert one(ANSWER, Side.ASSET, decoder).role is Role.REPLY


def test_a_setup_that_holds_anything_else_is_judged() -> None:
    frame = one(job("f000 0001 0001 01e0", "00"))
    assert frame.role is Role.REQUEST
    with pytest.raises(Malformed):
        _ = frame.operation


def test_the_called_place_in_the_rack_is_the_unit_of_what_follows() -> None:
    decoder = S7Decoder()
    one(CONNECT, decoder=decoder)
    assert one(READ, decoder=decoder).operation.unit == 2
    assert one(READ).operation.unit is None, "a stream without its beginning"


def test_a_controller_asks_for_the_blocks_of_a_download_and_the_client_answers() -> None:
    """Its number may be one that the client uses at the same time: the two do not mix."""
    decoder = S7Decoder()
    of_client = one(READ, decoder=decoder)
    asked = one(DOWNLOAD_BLOCK, Side.ASSET, decoder)
    answered = one(ack("1b01", "0004 00fb 01020304"), Side.CLIENT, decoder)
    assert (asked.role, answered.role) == (Role.REQUEST, Role.REPLY)
    assert asked.exchange == answered.exchange != of_client.exchange
    assert asked.what != one(DOWNLOAD_BLOCK, Side.CLIENT).what


def test_userdata_asks_answers_and_tells() -> None:
    decoder = S7Decoder()
    asked = one(userdata(0x44, 1, octets("00110000")), decoder=decoder)
    reply = one(userdata(0x84, 1, octets("00110000")), Side.ASSET, decoder)
    told = one(userdata(0x04, 3, octets("0000")), Side.ASSET, decoder)
    assert (asked.role, reply.role, told.role) == (Role.REQUEST, Role.REPLY, Role.NOTICE)
    assert asked.exchange == reply.exchange
    assert told.exchange == NO_ANSWER


def test_a_controller_tells_that_it_changes_its_mode_and_nobody_else_does() -> None:
    stopped = data(bytes.fromhex("32 07 0000 0000 0008 0000 01001010 00000000"))
    told = one(stopped, Side.ASSET)
    assert (told.role, told.operation.title) == (Role.NOTICE, "s7comm.diagnostics")
    with pytest.raises(Malformed):
        S7Decoder().feed(Side.CLIENT, stopped)


@pytest.mark.parametrize(
    ("answer", "is_refusal"),
    [
        (ack("0401", "ff040008 01"), False),
        (ack("0401", "0a000000"), True),
        (ack("0402", "0a000000 ff040008 01"), False),
        (ack("0402", "0a000000 05000000"), True),
        (ack("0501", "ff"), False),
        (ack("0502", "0aff"), False),
        (ack("0502", "0a03"), True),
        (ack("04", error=0x8104), True),
        (ack(kind=2, error=0xD20C), True),
        (ack("29"), False),
        (userdata(0x81, 8, error=0), False),
        (userdata(0x81, 8, error=0xD0A1), True),
    ],
)
def test_a_reply_says_no_in_its_head_or_for_every_item(answer: bytes, *, is_refusal: bool) -> None:
    assert one(answer, Side.ASSET).is_refusal is is_refusal


REASONS = {
    Reason.OPERATION_NOT_ALLOWED: 0xD241,
    Reason.UNKNOWN_OPERATION: 0xD241,
    Reason.NO_CONDUIT: 0xD241,
    Reason.OBJECT_OUT_OF_RANGE: 0x8703,
    Reason.VALUE_OUT_OF_RANGE: 0xD044,
    Reason.MALFORMED: 0x8500,
    Reason.INSPECTION_UNAVAILABLE: 0x8402,
    Reason.RATE_EXCEEDED: 0x8302,
    Reason.TOO_MANY_IN_FLIGHT: 0x8302,
    Reason.EVIDENCE_UNAVAILABLE: 0x8302,
    Reason.HOLD_TIMED_OUT: 0x8302,
    Reason.HOLD_REFUSED: 0xD241,
}


@pytest.mark.parametrize(("reason", "code"), REASONS.items())
def test_a_job_is_refused_by_error_class_and_code(reason: Reason, code: int) -> None:
    decoder = S7Decoder()
    request = one(WRITE, decoder=decoder)
    refusal = decoder.refuse(request, reason)
    assert refusal == ack("0501", error=code)
    reply = one(refusal, Side.ASSET, decoder)
    assert (reply.role, reply.exchange, reply.is_refusal) == (Role.REPLY, request.exchange, True)


@pytest.mark.parametrize(("reason", "code"), REASONS.items())
def test_userdata_is_refused_by_the_error_of_its_parameters(reason: Reason, code: int) -> None:
    decoder = S7Decoder()
    request = one(userdata(0x41, 8, ref=9), decoder=decoder)
    refusal = decoder.refuse(request, reason)
    assert refusal == userdata(0x81, 8, ref=9, error=code)
    reply = one(refusal, Side.ASSET, decoder)
    assert (reply.role, reply.exchange, reply.is_refusal) == (Role.REPLY, request.exchange, True)


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (job("29 0000000000 09" + b"P_PROGRAM".hex()), ack("29", error=0xD241)),
        (job("99 00"), ack("99", error=0xD241)),
        (job(b"\x1d\0\0\0\0\0\0\0\x09_0A00001P"), ack(kind=2, error=0xD241)),
        (job(""), ack(kind=2, error=0xD241)),
        (job("04"), ack("04", error=0xD241)),
    ],
)
def test_what_a_refusal_holds_is_what_its_readers_look_for(request_: bytes, refusal: bytes) -> None:
    decoder = S7Decoder()
    assert decoder.refuse(one(request_, decoder=decoder), Reason.OPERATION_NOT_ALLOWED) == refusal


def test_the_controller_is_refused_as_well_and_a_push_gets_no_answer() -> None:
    decoder = S7Decoder()
    asked = one(DOWNLOAD_BLOCK, Side.ASSET, decoder)
    refusal = decoder.refuse(asked, Reason.OPERATION_NOT_ALLOWED)
    reply = one(refusal, Side.CLIENT, decoder)
    assert (refusal, reply.exchange, reply.is_refusal) == (ack(kind=2, error=0xD241), asked.exchange, True)
    told = one(userdata(0x04, 3, octets("0000")), Side.ASSET, decoder)
    assert decoder.refuse(told, Reason.OPERATION_NOT_ALLOWED) == b""


def test_a_connection_that_may_lead_further_is_judged_and_refused_by_a_disconnect() -> None:
    """S7 routing puts the way to another network behind the selector: that is no place in the rack."""
    routed = tpkt(bytes.fromhex("14 e0 0000 0007 00 c1020100 c20801020000c0a80001".replace(" ", "")))
    decoder = S7Decoder()
    frame = one(routed, decoder=decoder)
    assert (frame.role, frame.operation.title) == (Role.REQUEST, "s7comm.unknown")
    refused = one(decoder.refuse(frame, Reason.UNKNOWN_OPERATION), Side.ASSET, decoder)
    assert (refused.role, refused.exchange, refused.is_refusal) == (Role.REPLY, frame.exchange, True)
    allowed = S7Decoder()
    one(routed, decoder=allowed)
    confirmed = one(CONFIRM, Side.ASSET, allowed)
    assert (confirmed.role, confirmed.exchange, confirmed.is_refusal) == (Role.REPLY, frame.exchange, False)


def test_a_second_connection_within_a_connection_ends_the_flow() -> None:
    """It would change the unit behind requests that were judged already."""
    decoder = S7Decoder()
    one(CONNECT, decoder=decoder)
    with pytest.raises(Malformed):
        decoder.feed(Side.CLIENT, CONNECT)


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (Side.ASSET, CONNECT),
        (Side.CLIENT, CONFIRM),
        (Side.CLIENT, data(b"\x32\x09\0\0\0\1\0\0\0\0")),
        (Side.CLIENT, data(b"\x32\1\0\0\0\1")),
        (Side.CLIENT, data(b"\x32\1\0\1\0\1\0\1\0\0\x29")),
        (Side.CLIENT, data(b"\x32\1\0\0\0\1\0\2\0\0\x29")),
        (Side.CLIENT, data(b"\x32\1\0\0\0\1\0\1\0\0\x29\0")),
        (Side.CLIENT, data(b"\x32\1\0\0\0\1\0\1\xff\xff\x29")),
        (Side.CLIENT, data(job_pdu(b"\x29") + job_pdu(b"\x29"))),
        (Side.CLIENT, data(b"\x32\7\0\0\0\1\0\x08\0\0\0\1\x11\4\x11\x44\1\0")),
        (Side.CLIENT, data(b"\x32\7\0\0\0\1\0\x08\0\0\0\1\x12\5\x11\x44\1\0")),
        (Side.CLIENT, data(b"\x32\7\0\0\0\1\0\x04\0\0\0\1\x12\0")),
        (Side.CLIENT, userdata(0xC4, 1)),
    ],
    ids=[
        "asset connects",
        "client confirms",
        "kind of PDU",
        "head cut off",
        "redundancy",
        "more parameters than there are",
        "bytes behind the PDU",
        "more data than there are",
        "two PDUs in one message",
        "head of userdata",
        "length of userdata",
        "userdata cut off",
        "kind of userdata",
    ],
)
def test_what_contradicts_the_framing_ends_the_flow(side: Side, message: bytes) -> None:
    for stream in (message, EMPTY + message):
        decoder = S7Decoder()
        frames = decoder.feed(side, stream[: len(stream) - len(message)])
        assert all(frame.role is Role.LINK for frame in frames)
        with pytest.raises(Malformed):
            decoder.feed(side, message)
        with pytest.raises(Malformed):
            decoder.feed(side, b"")
        assert 0 < decoder.pending(side) <= S7COMM.max_held_bytes


def test_frames_in_front_of_a_break_come_out_before_the_break_is_reported() -> None:
    """So that the outcome does not depend on where the network cut."""
    for rest in (b"junk", data(b"\x72\1"), data(b"\x32\1")):
        decoder = S7Decoder()
        assert [frame.data for frame in decoder.feed(Side.CLIENT, READ + WRITE + rest)] == [READ, WRITE]
        assert decoder.pending(Side.CLIENT) > 0
        with pytest.raises(Malformed):
            decoder.feed(Side.CLIENT, READ)


@pytest.mark.parametrize("payload", [b"\x72\1\0\x10", b"\x0d\x20", b"\x01\0\1\0", b"\x7f\x65"])
def test_other_protocols_on_the_same_transport_are_another_protocol(payload: bytes) -> None:
    """S7comm-plus, MMS (a session connect, and data), RDP."""
    decoder = S7Decoder()
    one(CONNECT, decoder=decoder)
    with pytest.raises(WrongProtocol):
        decoder.feed(Side.CLIENT, data(payload))


@pytest.mark.parametrize(
    ("begin", "fits"),
    [
        (CONNECT, None),
        (CONNECT + SETUP, True),
        (READ, True),
        (READ[:8], None),
        (READ[:9], True),
        (EMPTY + READ, True),
        (b"\3", None),
        (data(b"\x32\x09\0\0"), False),
        (data(b"\x72\1"), False),
        (CONNECT + data(b"\x0d\x20"), False),
        (b"GET / HTTP/1.1", False),
        (bytes.fromhex("0001 0000 0006 01 03 0000 0002"), False),
    ],
)
def test_a_stream_is_recognised_by_its_first_user_data(begin: bytes, *, fits: bool | None) -> None:
    assert S7COMM.fits(begin, Side.CLIENT) is fits


def test_a_message_longer_than_the_bound_ends_the_flow() -> None:
    longest = MAX_MESSAGE_BYTES - 17 - 14
    big = job(b"\x00" + b"\0" * 13, bytes(longest))
    assert len(big) == MAX_MESSAGE_BYTES
    assert one(big).data == big
    with pytest.raises(Malformed):
        S7Decoder().feed(Side.CLIENT, job(b"\x00" + b"\0" * 13, bytes(longest + 1)))


def fed(side: Side, stream: bytes, cuts: list[int]) -> tuple[list[tuple[bytes, bytes, int, Role]], bool]:
    decoder, found = S7Decoder(), list[tuple[bytes, bytes, int, Role]]()
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    try:
        for start, end in itertools.pairwise(places):
            for frame in decoder.feed(side, stream[start:end]):
                found.append((frame.data, frame.what, frame.exchange, frame.role))
            assert decoder.pending(side) <= MAX_MESSAGE_BYTES
        decoder.feed(side, b"")
    except Malformed:
        return found, True
    return found, False


WHOLE = [CONNECT, CONFIRM, SETUP, READ, WRITE, ANSWER, EMPTY, DOWNLOAD_BLOCK, userdata(0x44, 1), userdata(4, 3)]
pieces = st.lists(
    st.one_of(st.sampled_from(WHOLE), st.binary(max_size=40), st.binary(max_size=40).map(data)), max_size=8
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(Side), pieces.map(b"".join), st.lists(st.integers(0, 400), max_size=12))
def test_any_bytes_give_the_same_frames_however_they_are_cut(side: Side, stream: bytes, cuts: list[int]) -> None:
    """And never anything but frames, in order, made of exactly those bytes, or `Malformed`."""
    whole = fed(side, stream, [])
    assert fed(side, stream, cuts) == whole
    assert stream.startswith(b"".join(frame[0] for frame in whole[0]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(Side),
            st.sampled_from([1, 2, 3, 7]),
            st.binary(min_size=0, max_size=14),
            st.binary(max_size=30),
        ),
        max_size=6,
    ),
    st.sampled_from(Reason),
)
def test_any_pdus_mean_operations_or_are_malformed(talk: list[tuple[Side, int, bytes, bytes]], reason: Reason) -> None:
    """Nothing else is ever raised, by no part of the decoder, and every refusal is a reply to its request."""
    decoder = S7Decoder()
    for side, kind, parameters, written in talk:
        error = b"\0\0" if kind in {2, 3} else b""
        head = b"\x32" + bytes((kind,)) + pack(">HHHH", 0, 7, len(parameters), len(written))
        with_head = b"\0\1\x12" + bytes((len(parameters) - 4 & 0xFF,)) + parameters[4:] if kind == 7 else parameters
        message = data(head + error + with_head[: len(parameters)] + written)
        try:
            frames = decoder.feed(side, message)
        except Malformed:
            return
        for frame in frames:
            assert decoder.forward(frame) == message
            assert len(frame.recorded) == len(message)
            decoder.answer(frame, frame)
            check(decoder, frame, reason)


def check(decoder: S7Decoder, frame: Frame, reason: Reason) -> None:
    if frame.role not in {Role.REQUEST, Role.NOTICE}:
        return
    try:
        operation = frame.operation
    except Malformed:
        pass
    else:
        assert operation.classes
        assert all(target.count >= 1 for target in operation.targets)
    refusal = decoder.refuse(frame, reason)
    if frame.role is Role.NOTICE:
        assert refusal == b""
        return
    other = Side.ASSET if frame.side is Side.CLIENT else Side.CLIENT
    (reply,) = S7Decoder().feed(other, refusal)
    assert (reply.exchange, reply.is_refusal, reply.role) == (frame.exchange, True, Role.REPLY)


def test_s7comm_is_listed_among_the_protocols_that_can_be_inspected() -> None:
    assert isinstance(DECODERS["s7comm"](), S7Decoder)
