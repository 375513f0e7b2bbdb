"""The connection of OPC UA: hello, channel, chunks, and a refusal that a client reads as an error and lives with."""

from __future__ import annotations

import itertools
import struct

import pytest
from asyncua import ua
from hypothesis import given, settings
from hypothesis import strategies as st
from opcua_talk import (
    ACKNOWLEDGE,
    CHANNEL,
    TOKEN,
    Talk,
    chunk,
    encoded,
    framed,
    hello,
    open_request,
    open_response,
    opening,
    read_back,
    reading,
    text,
    writing,
)

from penstock.model import Malformed, OperationClass, Reason
from penstock.wire import DECODERS, NO_ANSWER, Frame, OpcUaDecoder, Role, Side, WrongProtocol
from penstock.wire.opcua import OPCUA, transport

WRITE = writing(("ns=2;s=Line1.Speed", 5))


def sequences(data: bytes) -> list[int]:
    """The sequence number of every chunk of MSG and CLO in these bytes."""
    found, at = [], 0
    while at < len(data):
        size, number = struct.unpack_from("<4xI8xI", data, at)
        found.append(number)
        at += size
    return found


def test_opc_ua_is_listed_among_the_protocols_that_can_be_inspected() -> None:
    """Its decoder owes nothing by itself, and changes nothing before it has kept something back."""
    decoder = DECODERS["opcua"]()
    assert isinstance(decoder, OpcUaDecoder)
    assert not decoder.rewrites
    assert not decoder.due(Side.CLIENT)
    assert not decoder.due(Side.ASSET)


def test_the_greeting_and_the_channel_pass_as_they_are_and_ask_the_asset_for_nothing() -> None:
    decoder = OpcUaDecoder()
    said = [
        (Side.CLIENT, hello()),
        (Side.ASSET, ACKNOWLEDGE),
        (Side.CLIENT, opening(open_request(), 1, "None", 0)),
        (Side.ASSET, opening(open_response(), 1, "None", CHANNEL)),
        (Side.CLIENT, chunk(encoded(ua.CloseSecureChannelRequest()), 2, 2, kind=b"CLOF")),
    ]
    for side, data in said:
        (frame,) = decoder.feed(side, data)
        assert (frame.role, frame.exchange, decoder.forward(frame)) == (Role.LINK, NO_ANSWER, data)
        assert frame.operation.classes == (OperationClass.SESSION,)


def test_a_server_that_calls_its_client_greets_first() -> None:
    decoder = OpcUaDecoder()
    (frame,) = decoder.feed(Side.ASSET, framed(b"RHEF", text("urn:plc") + text("opc.tcp://plc-1:4840")))
    assert frame.role is Role.LINK
    assert decoder.feed(Side.CLIENT, hello())
    assert decoder.feed(Side.ASSET, ACKNOWLEDGE)


def test_an_error_of_the_asset_passes_whenever_it_comes() -> None:
    error = framed(b"ERRF", struct.pack("<I", 0x80800000) + text("too large"))
    talk = Talk()
    (frame,) = talk.feed(Side.ASSET, error)
    assert frame.role is Role.LINK
    assert talk.decoder.forward(frame) == error


def test_a_request_and_its_response_have_the_same_exchange() -> None:
    talk = Talk()
    request = talk.ask(reading("ns=2;i=5"))
    reply = talk.tell(ua.ReadResponse())
    assert (request.role, reply.role) == (Role.REQUEST, Role.REPLY)
    assert request.exchange == reply.exchange == talk.request
    assert talk.decoder.forward(request) is request.data


def test_a_message_in_chunks_is_one_frame_with_all_its_bytes() -> None:
    talk = Talk()
    parts = talk.parts(encoded(WRITE), 17, Side.CLIENT, 5)
    assert len(parts) > 4
    assert not any(talk.feed(Side.CLIENT, part) for part in parts[:-1])
    assert talk.decoder.pending(Side.CLIENT) == sum(map(len, parts[:-1]))
    (frame,) = talk.feed(Side.CLIENT, parts[-1])
    assert frame.data == b"".join(parts)
    assert frame.what == Talk().ask(WRITE).what
    assert not talk.decoder.pending(Side.CLIENT)


def test_both_sides_are_held_apart() -> None:
    talk = Talk()
    asked = talk.asking(reading("ns=2;i=5"))
    told = talk.sealed(encoded(ua.PublishResponse()), Side.ASSET, 5)
    assert not talk.feed(Side.CLIENT, asked[:40])
    assert not talk.feed(Side.ASSET, told[:30])
    assert [frame.data for frame in talk.feed(Side.CLIENT, asked[40:])] == [asked]
    assert [frame.data for frame in talk.feed(Side.ASSET, told[30:])] == [told]


def test_a_refusal_is_a_fault_with_the_handle_of_the_request() -> None:
    """Asyncua reads what it needs out of it: whose answer it is, and why."""
    talk = Talk()
    request = talk.ask(WRITE)
    refusal = talk.decoder.refuse(request, Reason.OPERATION_NOT_ALLOWED)
    assert talk.decoder.rewrites
    kind, size, channel, token, sequence, number = struct.unpack_from("<4sIIIII", refusal)
    assert (kind, size, channel, token) == (b"MSGF", len(refusal), CHANNEL, TOKEN)
    assert (sequence, number) == (2, request.exchange)
    fault = read_back(refusal, ua.ServiceFault)
    assert fault.ResponseHeader.RequestHandle == talk.request + 1000
    assert fault.ResponseHeader.ServiceResult.value == ua.StatusCodes.BadUserAccessDenied
    assert fault.TypeId.Identifier == 397


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.OBJECT_OUT_OF_RANGE, "BadUserAccessDenied"),
        (Reason.NO_CONDUIT, "BadUserAccessDenied"),
        (Reason.VALUE_OUT_OF_RANGE, "BadOutOfRange"),
        (Reason.UNKNOWN_OPERATION, "BadServiceUnsupported"),
        (Reason.MALFORMED, "BadDecodingError"),
        (Reason.RATE_EXCEEDED, "BadTooManyOperations"),
        (Reason.EVIDENCE_UNAVAILABLE, "BadResourceUnavailable"),
        (Reason.HOLD_TIMED_OUT, "BadTimeout"),
        (Reason.HOLD_REFUSED, "BadUserAccessDenied"),
    ],
)
def test_a_refusal_says_why_as_far_as_the_standard_has_a_word_for_it(reason: Reason, status: str) -> None:
    talk = Talk()
    fault = read_back(talk.decoder.refuse(talk.ask(WRITE), reason), ua.ServiceFault)
    assert fault.ResponseHeader.ServiceResult.value == getattr(ua.StatusCodes, status)


def test_after_a_refusal_both_sides_still_count_without_a_gap() -> None:
    """The gate took a number of the client's away and added one to the asset's: later ones are made right."""
    talk, to_asset, to_client = Talk(), b"", b""
    for at in range(6):
        request = talk.ask(WRITE)
        if at % 2:
            to_client += talk.decoder.refuse(request, Reason.OPERATION_NOT_ALLOWED)
            continue
        sent = talk.decoder.forward(request)
        assert sent[:16] + sent[20:] == request.data[:16] + request.data[20:], "nothing but the number is changed"
        to_asset += sent
        to_client += talk.decoder.forward(talk.tell(ua.WriteResponse()))
    assert sequences(to_asset) == [2, 3, 4]
    assert sequences(to_client) == [2, 3, 4, 5, 6, 7]


def test_after_a_refusal_the_renewal_of_the_channel_counts_as_well() -> None:
    talk = Talk()
    refusal = talk.decoder.refuse(talk.ask(WRITE), Reason.OPERATION_NOT_ALLOWED)
    asked = opening(open_request(renew=True), talk.number(Side.CLIENT), "None", CHANNEL)
    told = opening(open_response(), talk.number(Side.ASSET), "None", CHANNEL)
    at = asked.index(b"#None") + len("#None") + 8
    (request,), (reply,) = talk.feed(Side.CLIENT, asked), talk.feed(Side.ASSET, told)
    sent, answered = talk.decoder.forward(request), talk.decoder.forward(reply)
    assert struct.unpack_from("<I", sent, at)[0] == 2
    assert struct.unpack_from("<I", answered, at)[0] == sequences(refusal)[0] + 1
    assert sent[:at] + sent[at + 4 :] == asked[:at] + asked[at + 4 :]


def test_a_refusal_between_the_chunks_of_a_response_comes_in_front_of_them() -> None:
    """The response is not out yet: it goes out whole, behind the refusal."""
    talk = Talk()
    asked, refused = talk.ask(reading("ns=2;i=5")), talk.ask(WRITE)
    parts = talk.parts(encoded(ua.ReadResponse()), 10, Side.ASSET, asked.exchange)
    assert not talk.feed(Side.ASSET, parts[0])
    refusal = talk.decoder.refuse(refused, Reason.OPERATION_NOT_ALLOWED)
    (reply,) = talk.feed(Side.ASSET, b"".join(parts[1:]))
    assert sequences(refusal + talk.decoder.forward(reply)) == list(range(2, 3 + len(parts)))


def test_the_count_starts_again_before_it_runs_out() -> None:
    """OPC 10000-6, 6.7.2.4: below 1024, when fewer than 1024 are left."""
    talk = Talk(first=2**32 - 1028)
    talk.decoder.refuse(talk.ask(WRITE), Reason.OPERATION_NOT_ALLOWED)
    sent = b"".join(talk.decoder.forward(talk.ask(WRITE)) for _ in range(4))
    numbers = sequences(sent)
    assert all(b == a + 1 or (a > 2**32 - 1 - 1024 and b < 1024) for a, b in itertools.pairwise(numbers))
    again = Talk(first=2**32 - 900)
    again.sequence[Side.CLIENT] = 7
    assert again.ask(WRITE).operation


def test_a_client_that_breaks_a_message_off_sends_nothing_to_the_asset() -> None:
    """What was held is thrown away, and the asset sees no gap."""
    talk = Talk()
    parts = talk.parts(encoded(WRITE), 30, Side.CLIENT, 5)
    assert not talk.feed(Side.CLIENT, b"".join(parts[:2]))
    talk.sequence[Side.CLIENT] -= len(parts) - 2
    abort = chunk(struct.pack("<I", 0x80800000) + text("big"), talk.number(Side.CLIENT), 5, kind=b"MSGA")
    (frame,) = talk.feed(Side.CLIENT, abort)
    assert frame.role is Role.LINK
    assert talk.decoder.forward(frame) == b""
    assert talk.decoder.rewrites
    request = talk.ask(reading("ns=2;i=5"))
    assert sequences(talk.decoder.forward(request)) == [2]


def test_an_asset_that_breaks_its_answer_off_has_said_no() -> None:
    talk = Talk()
    request = talk.ask(reading("ns=2;i=5"))
    first = chunk(encoded(ua.ReadResponse())[:9], talk.number(Side.ASSET), request.exchange, kind=b"MSGC")
    abort = chunk(struct.pack("<I", 0x80020000) + text(""), talk.number(Side.ASSET), request.exchange, kind=b"MSGA")
    (reply,) = talk.feed(Side.ASSET, first + abort)
    assert (reply.role, reply.exchange, reply.is_refusal) == (Role.REPLY, request.exchange, True)
    assert talk.decoder.forward(reply) == first + abort
    assert talk.decoder.answer(request, reply).status == "0x80020000 Bad_InternalError"


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Basic256"])
def test_a_signed_channel_is_read_with_its_signatures_taken_off(policy: str) -> None:
    talk = Talk(policy)
    request = talk.ask(WRITE)
    assert request.operation == Talk().operation(WRITE)
    assert request.data.endswith(talk.signature)
    reply = talk.tell(_denied())
    assert reply.is_refusal
    assert talk.decoder.answer(request, reply).status == "0x803B0000 Bad_NotWritable"
    talk.number(Side.CLIENT)
    talk.number(Side.ASSET)
    talk.open(renew=True)
    talk.sequence = {side: number - 1 for side, number in talk.sequence.items()}
    assert talk.ask(reading("ns=2;i=5")).operation.targets[0].name == "ns=2;i=5"


def _denied() -> ua.WriteResponse:
    told = ua.WriteResponse()
    told.Results = [ua.StatusCode(0x803B0000)]
    return told


def test_a_refusal_in_a_signed_channel_ends_the_connection_with_an_error() -> None:
    """Nobody but the two ends can sign, so the gate can neither answer nor close the gap in the count."""
    talk = Talk("Basic256Sha256")
    first, second = talk.ask(WRITE), talk.ask(reading("ns=2;i=5"))
    error = talk.decoder.refuse(first, Reason.OPERATION_NOT_ALLOWED)
    kind, size, status = struct.unpack_from("<4sII", error)
    assert (kind, size, status) == (b"ERRF", len(error), ua.StatusCodes.BadUserAccessDenied)
    assert talk.decoder.forward(second) == b""
    assert talk.decoder.refuse(second, Reason.OPERATION_NOT_ALLOWED) == b""
    with pytest.raises(Malformed):
        talk.feed(Side.CLIENT, talk.asking(reading("ns=2;i=5")))


@pytest.mark.parametrize("start", [b"\x16\x03\x01", b"GET ", b"SSH-", b"\x03\x00\x00\x16", b"\x00\x01\x00\x00"])
def test_another_protocol_is_known_by_its_first_bytes(start: bytes) -> None:
    """TLS, HTTP, SSH, TPKT and Modbus."""
    with pytest.raises(WrongProtocol):
        OpcUaDecoder().feed(Side.CLIENT, start)


def test_messages_in_front_of_a_break_come_out_before_the_break_is_reported() -> None:
    talk = Talk()
    data = talk.asking(reading("ns=2;i=5"))
    assert [frame.data for frame in talk.feed(Side.CLIENT, data + b"junk!" * 999)] == [data]
    assert 0 < talk.decoder.pending(Side.CLIENT) <= OPCUA.max_held_bytes
    for more in (b"", data):
        with pytest.raises(WrongProtocol):
            talk.feed(Side.CLIENT, more)


def test_a_message_larger_than_the_bound_ends_the_flow_before_it_is_held() -> None:
    talk = Talk()
    with pytest.raises(Malformed):
        talk.feed(Side.CLIENT, b"MSGF" + struct.pack("<I", OPCUA.max_held_bytes + 1))
    for side, bound in ((Side.CLIENT, transport.MAX_REQUEST_BYTES), (Side.ASSET, transport.MAX_MESSAGE_BYTES)):
        talk, part = Talk(), bytes(bound // 4)
        for _ in range(3):
            assert not talk.feed(side, chunk(part, talk.number(side), 5, kind=b"MSGC"))
            assert talk.decoder.pending(side) <= OPCUA.max_held_bytes
        with pytest.raises(Malformed):
            talk.feed(side, chunk(part, talk.number(side), 5, kind=b"MSGC"))


def test_many_tiny_chunks_end_the_flow() -> None:
    talk = Talk()
    tiny = b"".join(chunk(b"", talk.number(Side.CLIENT), 5, kind=b"MSGC") for _ in range(1500))
    with pytest.raises(Malformed):
        talk.feed(Side.CLIENT, tiny)


def test_what_is_held_is_looked_at_once_for_each_call_and_not_once_for_each_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the time grows with the bytes, however the network cut them: a head is eight bytes."""
    talk, looks = Talk(), list[int]()
    large = chunk(bytes(30_000), talk.number(Side.CLIENT), 5, kind=b"MSGC")
    size_of = transport.chunk_size
    monkeypatch.setattr(transport, "chunk_size", lambda head: (looks.append(len(head)), size_of(head))[1])
    for at in range(len(large)):
        assert not talk.feed(Side.CLIENT, large[at : at + 1])
    assert len(looks) <= len(large) + 1
    assert max(looks) == transport.HEAD_BYTES


def fed(data: bytes, cuts: list[int]) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Frames, and whether the stream broke, when `data` is cut at these places."""
    talk, frames = Talk(), list[Frame]()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    try:
        for start, end in itertools.pairwise(places):
            frames += talk.feed(Side.CLIENT, data[start:end])
            assert talk.decoder.pending(Side.CLIENT) <= OPCUA.max_held_bytes
        talk.feed(Side.CLIENT, b"")
    except Malformed:
        return [(frame.data, frame.what) for frame in frames], True
    return [(frame.data, frame.what) for frame in frames], False


SAMPLE = Talk()
PIECES = [
    SAMPLE.asking(reading("ns=2;i=5")),
    SAMPLE.asking(WRITE),
    *SAMPLE.parts(encoded(reading("ns=2;s=abc")), 30, Side.CLIENT, 500),
    SAMPLE.asking(ua.PublishRequest()),
    SAMPLE.asking(ua.RegisterNodesRequest()),
]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(PIECES)), st.binary(max_size=40), st.lists(st.integers(0, 900), max_size=12))
def test_any_bytes_give_the_same_frames_however_they_are_cut(count: int, tail: bytes, cuts: list[int]) -> None:
    """And never anything but frames, in order, made of exactly those bytes, or `Malformed`."""
    data = b"".join(PIECES[:count]) + tail
    whole = fed(data, [])
    assert fed(data, cuts) == whole
    assert data.startswith(b"".join(frame for frame, _ in whole[0]))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([631, 673, 712, 751, 527, 554, 560, 467, 700, 488]))
def test_any_body_means_an_operation_or_is_malformed(body: bytes, service: int) -> None:
    talk = Talk()
    head = encoded(ua.CloseSecureChannelRequest())
    message = head[:2] + struct.pack("<H", service) + head[4:] + body
    (frame,) = talk.feed(Side.CLIENT, talk.sealed(message, Side.CLIENT, 5))
    assert len(frame.recorded) == len(frame.data)
    try:
        operation = frame.operation
    except Malformed:
        return
    assert operation.classes
    assert all(target.count == 1 for target in operation.targets)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.sampled_from([634, 676, 715, 397, 530, 557, 563, 829]))
def test_any_answer_is_an_answer_or_malformed(body: bytes, service: int) -> None:
    talk = Talk()
    request = talk.ask(reading("ns=2;i=5"))
    head = encoded(ua.ServiceFault())
    message = head[:2] + struct.pack("<H", service) + head[4:]
    message = message[: len(message) - len(body) % 9] + body
    try:
        (frame,) = talk.feed(Side.ASSET, talk.sealed(message, Side.ASSET, request.exchange))
    except Malformed:
        return
    assert talk.decoder.answer(request, frame) is not None
    assert len(frame.recorded) == len(frame.data)
