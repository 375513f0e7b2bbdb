"""A forbidden write hidden in every way that OPC UA has: it is seen as what it is, or the flow ends."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary, struct_to_binary
from opcua_talk import (
    ACKNOWLEDGE,
    CHANNEL,
    Talk,
    calling,
    chunk,
    encoded,
    framed,
    hello,
    open_request,
    open_response,
    opening,
    reading,
    writing,
)

from penstock.model import Malformed, OperationClass, Reason
from penstock.wire import OpcUaDecoder, Role, Side
from penstock.wire.opcua.headers import read_request
from penstock.wire.opcua.names import NO_NAMES
from penstock.wire.opcua.operations import operation

WRITE = writing(("ns=2;s=Interlock", 0))
CLIENT, ASSET = Side.CLIENT, Side.ASSET


def is_seen(operation: Any) -> bool:
    return operation.classes == (OperationClass.WRITE,) and operation.targets[0].name == "ns=2;s=Interlock"


@pytest.mark.parametrize("size", [1, 3, 7, 24, 50])
def test_cut_into_segments(size: int) -> None:
    talk = Talk()
    data = talk.asking(WRITE)
    frames = [f for at in range(0, len(data), size) for f in talk.feed(CLIENT, data[at : at + size])]
    assert [is_seen(frame.operation) for frame in frames] == [True]


def test_behind_a_harmless_request_in_one_segment() -> None:
    talk = Talk()
    frames = talk.feed(CLIENT, talk.asking(reading("ns=2;i=5")) + talk.asking(WRITE) + talk.asking(reading("i=7")))
    assert [str(frame.operation.classes[0]) for frame in frames] == ["read", "write", "read"]
    assert is_seen(frames[1].operation)


@pytest.mark.parametrize("size", [1, 5, 26, 40])
def test_in_chunks(size: int) -> None:
    talk = Talk()
    (frame,) = talk.feed(CLIENT, b"".join(talk.parts(encoded(WRITE), size, CLIENT, 5)))
    assert is_seen(frame.operation)


def test_as_the_last_of_many_nodes() -> None:
    many = writing(*((f"ns=2;i={at}", 1) for at in range(300)), ("ns=2;s=Interlock", 0))
    assert Talk().operation(many).targets[-1].name == "ns=2;s=Interlock"


def test_as_a_call_among_calls() -> None:
    request = calling("ns=2;i=1", "i=11585")
    request.Parameters.MethodsToCall += calling("ns=2;i=1", "ns=2;i=99").Parameters.MethodsToCall
    assert Talk().operation(request).classes == (OperationClass.FILE_READ, OperationClass.EXECUTE)


@pytest.mark.parametrize("kind", [b"\x02\x00\x00\xa1\x02\x00\x00", b"\x01\x00\xa1\x02"])
def test_under_a_longer_form_of_its_type(kind: bytes) -> None:
    """A server reads every form of a node id."""
    talk = Talk()
    (frame,) = talk.feed(CLIENT, talk.sealed(kind + encoded(WRITE)[4:], CLIENT, 5))
    assert is_seen(frame.operation)


def test_with_another_session_s_token_or_an_audit_entry_or_an_addition_in_the_header() -> None:
    """None of them takes the message out of sight."""
    talk = Talk()
    talk.ask(reading("ns=2;i=5"))
    plain = encoded(WRITE)
    header = ua.RequestHeader(ua.NodeId(b"other-session", 3), AuditEntryId="audit", RequestHandle=5)
    header.AdditionalHeader = ua.Argument("extra")
    body = plain[:4] + struct_to_binary(header) + plain[plain.index(b"\x01\x00\x00\x00\x03\x02\x00") :]
    (frame,) = talk.feed(CLIENT, talk.sealed(body, CLIENT, 5))
    assert is_seen(frame.operation)
    assert b"other-session" not in frame.recorded


def headed(token: bytes, body: bytes, audit: bytes = b"\xff\xff\xff\xff") -> bytes:
    """A request of the type of Read or Write with this token, and the rest of a plain header."""
    return body[:4] + token + bytes(8) + b"\x07\0\0\0" + bytes(4) + audit + bytes(4) + bytes(3) + body[4:]


READ_BODY = b"\x01\0\x77\x02" + bytes(12) + b"\x01\0\0\0" + b"\0\x05\x0d\0\0\0\xff\xff\xff\xff\0\0\xff\xff\xff\xff"


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("known", [b"\0\0", b"\x01\x02\x07\0", b"\x03\0\0\x04\0\0\0abcd"])
def test_within_a_token_that_looks_like_the_end_of_the_header(known: bytes, is_first: bool) -> None:  # noqa: FBT001
    """Whole or byte by byte, first in its channel or not: a header ends where its token says."""
    for start in range(40):
        hidden = bytes(start) + b"\xff" * 8 + bytes(12) + READ_BODY[4:] + bytes(40)
        for token in (
            b"\x03\0\0" + struct.pack("<i", len(hidden)) + hidden,
            b"\x05\0\0" + struct.pack("<i", 60) + hidden[:60],
        ):
            body = headed(token, READ_BODY)
            meanings = []
            for step in (10_000, 1):
                talk = Talk()
                if not is_first:
                    talk.feed(CLIENT, talk.sealed(headed(known, READ_BODY), CLIENT, 4))
                data = talk.sealed(body, CLIENT, 5)
                try:
                    frames = [f for at in range(0, len(data), step) for f in talk.feed(CLIENT, data[at : at + step])]
                except Malformed:
                    meanings.append(b"")
                    continue
                meanings += [frame.what[6:] for frame in frames]
            assert meanings in ([READ_BODY[4:]] * 2, [b""] * 2), start


@pytest.mark.parametrize("message", [reading("ns=2;i=5"), WRITE, calling("ns=2;i=1", "ns=2;i=2"), ua.BrowseRequest()])
def test_bytes_behind_the_last_field_are_never_passed_over(message: Any) -> None:
    talk = Talk()
    (frame,) = talk.feed(CLIENT, talk.sealed(encoded(message) + encoded(WRITE), CLIENT, 5))
    with pytest.raises(Malformed):
        _ = frame.operation


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_request_that_ends_too_early_is_malformed(cut: int) -> None:
    talk = Talk()
    (frame,) = talk.feed(CLIENT, talk.sealed(encoded(WRITE)[:-cut], CLIENT, 5))
    with pytest.raises(Malformed):
        _ = frame.operation


@pytest.mark.parametrize("count", [-2, 0, 2, 1000, 2**31 - 1])
def test_a_lie_about_the_number_of_nodes_is_malformed(count: int) -> None:
    talk, body = Talk(), encoded(WRITE)
    at = body.index(b"\x01\x00\x00\x00\x03\x02\x00")
    (frame,) = talk.feed(CLIENT, talk.sealed(body[:at] + struct.pack("<i", count) + body[at + 4 :], CLIENT, 5))
    with pytest.raises(Malformed):
        _ = frame.operation


@pytest.mark.parametrize("size", [0, 8, 16, 23])
def test_a_size_that_no_message_can_have_ends_the_flow(size: int) -> None:
    talk = Talk()
    data = talk.asking(WRITE)
    with pytest.raises(Malformed):
        talk.feed(CLIENT, data[:4] + struct.pack("<I", size) + data[8:])


def test_a_size_smaller_than_the_message_leaves_bytes_that_are_no_message() -> None:
    talk = Talk()
    data = talk.asking(reading("ns=2;i=5"))
    lying = data[:4] + struct.pack("<I", len(data) - 9) + data[8:]
    frames = talk.feed(CLIENT, lying)
    with pytest.raises(Malformed):
        _ = frames[0].operation
    with pytest.raises(Malformed):
        talk.feed(CLIENT, b"")


@pytest.mark.parametrize("step", [0, 2, -1, 1000, 2**31])
def test_a_sequence_number_that_does_not_follow_ends_the_flow(step: int) -> None:
    """Repeated, left out, or run backwards: what one end takes for the next message the other may drop."""
    talk = Talk()
    talk.ask(reading("ns=2;i=5"))
    talk.sequence[CLIENT] += step - 1
    with pytest.raises(Malformed):
        talk.ask(WRITE)
    with pytest.raises(Malformed):
        talk.feed(CLIENT, b"")


def test_the_same_request_id_twice_ends_the_flow() -> None:
    """Else the answer to one could be taken for the answer to the other."""
    talk = Talk()
    talk.ask(reading("ns=2;i=5"))
    talk.request -= 1
    with pytest.raises(Malformed):
        talk.ask(WRITE)


def test_an_id_is_free_again_when_it_was_answered_or_refused() -> None:
    talk = Talk()
    talk.ask(reading("ns=2;i=5"))
    talk.tell(ua.ReadResponse())
    talk.request -= 1
    refused = talk.ask(WRITE)
    talk.decoder.refuse(refused, Reason.OPERATION_NOT_ALLOWED)
    talk.request -= 1
    assert talk.ask(reading("ns=2;i=6")).operation


def test_chunks_of_two_messages_that_are_mixed_end_the_flow() -> None:
    talk = Talk()
    parts = talk.parts(encoded(WRITE), 30, CLIENT, 5)
    other = chunk(parts[1][24:], 3, 6, kind=parts[1][:4])
    with pytest.raises(Malformed):
        talk.feed(CLIENT, parts[0] + other)


@pytest.mark.parametrize("kind", [b"CLOF", b"HELF", b"ERRF"])
def test_another_message_within_a_message_ends_the_flow(kind: bytes) -> None:
    talk = Talk()
    parts = talk.parts(encoded(WRITE), 30, CLIENT, 5)
    with pytest.raises(Malformed):
        talk.feed(CLIENT, parts[0] + framed(kind, bytes(20)))


def test_a_broken_off_write_in_a_clear_channel_never_reaches_the_asset() -> None:
    """A server that did not know what breaking off means would run it."""
    talk = Talk()
    body = encoded(WRITE)
    parts = chunk(body, 2, 5, kind=b"MSGC") + chunk(struct.pack("<Ii", 0x80800000, -1), 3, 5, kind=b"MSGA")
    (frame,) = talk.feed(CLIENT, parts)
    assert frame.role is Role.LINK
    assert talk.decoder.forward(frame) == b""


@pytest.mark.parametrize(
    "said",
    [
        lambda: chunk(encoded(WRITE), 1, 5),
        lambda: hello() + chunk(encoded(WRITE), 1, 5),
        lambda: hello() + opening(open_request(), 1, "None", 0) + chunk(encoded(WRITE), 2, 5),
        lambda: opening(open_request(), 1, "None", 0),
        lambda: hello() + hello(),
        lambda: ACKNOWLEDGE,
        lambda: hello() + ACKNOWLEDGE,
        lambda: hello() + b"X",
        lambda: framed(b"HELF", bytes(20) + struct.pack("<i", 4097) + b"x" * 4097),
        lambda: hello() + framed(b"HELC", bytes(24)),
        lambda: framed(b"OPNC", bytes(24)),
        lambda: hello() + framed(b"OPNF", bytes(24)),
        lambda: hello() + opening(ua.ReadRequest(), 1, "None", 0),
    ],
)
def test_a_connection_that_does_not_begin_as_the_standard_says_ends_at_once(said: Any) -> None:
    """Also one that is met in the middle: nobody knows what its channel is."""
    decoder = OpcUaDecoder()
    with contextlib.suppress(Malformed):  # frames in front of the break come out first
        assert all(frame.role is Role.LINK for frame in decoder.feed(CLIENT, said()))
    with pytest.raises(Malformed):
        decoder.feed(CLIENT, b"")


@pytest.mark.parametrize("said", [hello(), opening(open_response(), 1, "None", CHANNEL), chunk(encoded(WRITE), 1, 5)])
def test_an_asset_that_answers_what_nobody_said_ends_the_flow(said: bytes) -> None:
    with pytest.raises(Malformed):
        OpcUaDecoder().feed(ASSET, said)


def test_a_message_of_another_channel_ends_the_flow() -> None:
    talk = Talk()
    with pytest.raises(Malformed):
        talk.feed(CLIENT, chunk(encoded(WRITE), 2, 5, channel=9))


def test_a_second_channel_with_another_policy_ends_the_flow() -> None:
    """Else what is forbidden in the clear would go on where nobody sees it."""
    talk = Talk()
    with pytest.raises(Malformed):
        talk.feed(CLIENT, opening(open_request(), 2, "Basic256Sha256", 0))


def test_a_channel_without_security_that_says_it_had_some_ends_the_flow() -> None:
    request = open_request()
    request.Parameters.SecurityMode = ua.MessageSecurityMode.SignAndEncrypt
    decoder = OpcUaDecoder()
    decoder.feed(CLIENT, hello())
    with pytest.raises(Malformed):
        decoder.feed(CLIENT, opening(request, 1, "None", 0))


def test_nothing_comes_behind_the_end_of_a_channel() -> None:
    talk = Talk()
    body = encoded(ua.CloseSecureChannelRequest())
    (frame,) = talk.feed(CLIENT, chunk(body, talk.number(CLIENT), 5, kind=b"CLOF"))
    assert frame.role is Role.LINK
    for said in (talk.asking(WRITE), opening(open_request(), 4, "None", 0)):
        with pytest.raises(Malformed):
            talk.feed(CLIENT, said)


def test_a_write_that_calls_itself_the_end_of_the_channel_ends_the_flow() -> None:
    talk = Talk()
    with pytest.raises(Malformed):
        talk.feed(CLIENT, chunk(encoded(WRITE), talk.number(CLIENT), 5, kind=b"CLOF"))
    talk = Talk()
    behind = encoded(ua.CloseSecureChannelRequest()) + encoded(WRITE)
    with pytest.raises(Malformed):
        talk.feed(CLIENT, chunk(behind, talk.number(CLIENT), 5, kind=b"CLOF"))


def test_an_encrypted_message_in_a_signed_channel_ends_the_flow() -> None:
    """What was clear stays clear: a channel's mode holds for its life."""
    talk = Talk("Basic256Sha256")
    assert is_seen(talk.operation(WRITE))
    with pytest.raises(Malformed):
        talk.feed(CLIENT, talk.sealed(bytes(range(200, 250)), CLIENT, 5))


def test_a_clear_message_in_an_encrypted_channel_is_not_believed() -> None:
    """Only its two ends know what such bytes mean."""
    talk = Talk("Basic256Sha256")
    talk.feed(CLIENT, talk.sealed(bytes(range(150, 250)), CLIENT, 5))
    (frame,) = talk.feed(CLIENT, talk.asking(reading("ns=2;i=5")))
    assert frame.operation.classes == (OperationClass.ENCRYPTED,)


def test_a_response_sent_by_a_client_is_an_unknown_service() -> None:
    talk = Talk()
    (frame,) = talk.feed(CLIENT, talk.sealed(encoded(ua.WriteResponse()), CLIENT, 5))
    assert frame.role is Role.REQUEST
    assert frame.operation.classes == (OperationClass.UNKNOWN,)


def valued(variant: bytes) -> bytes:
    """The forbidden write with these bytes as its Variant: behind the name stand attribute, range and mask."""
    body = encoded(WRITE)
    return body[: body.index(b"Interlock") + len("Interlock") + 8] + b"\x01" + variant


def nested(levels: int) -> bytes:
    """A Variant that holds an array of one Variant that holds an array of one Variant …"""
    return b"\x98\x01\x00\x00\x00" * levels + b"\x06\x05\x00\x00\x00"


def test_values_within_values_are_followed_so_far_and_no_farther() -> None:
    for levels, is_followed in ((1, True), (90, True), (101, False), (20_000, False)):
        talk = Talk()
        (frame,) = talk.feed(CLIENT, talk.sealed(valued(nested(levels)), CLIENT, 5))
        if is_followed:
            assert frame.operation.targets[0].values == (5,)
        else:
            with pytest.raises(Malformed):
                _ = frame.operation


@pytest.mark.parametrize(
    "value",
    [
        b"\x20\x00",  # a number that is no built-in type
        b"\x18\x06\x00\x00\x00\x00",  # a Variant that holds one and is no array
        b"\x46\x00\x00\x00\x00",  # dimensions of no array
        b"\xc6\x02\x00\x00\x00" + bytes(8) + struct.pack("<iii", 2, 2, 2),  # of four elements, there are two
        b"\xc6\x02\x00\x00\x00" + bytes(8) + struct.pack("<iii", 2, -1, -2),
        b"\xc6\x02\x00\x00\x00" + bytes(8) + struct.pack("<i", 0),
        b"\x86\xfe\xff\xff\xff",  # an array of -2
        b"\x86\xff\xff\xff\x7f",
        b"\x0c\x02\x00\x00\x00\xff\xfe",  # no UTF-8
        b"\x15\x04",  # a mask that no LocalizedText has
        b"\x11\x06\x00",  # an encoding that no NodeId has
        b"\x16\x00\x00\x03",  # an encoding that no ExtensionObject has
        b"\x17\x40",  # a mask that no DataValue has
        b"\x19\x80",  # a mask that no DiagnosticInfo has
        b"\x19" + b"\x40" * 5000,  # without an end
        b"\x80",  # an array of nothing
    ],
)
def test_a_value_that_the_standard_has_not_is_malformed(value: bytes) -> None:
    talk = Talk()
    (frame,) = talk.feed(CLIENT, talk.sealed(valued(value), CLIENT, 5))
    with pytest.raises(Malformed):
        _ = frame.operation


HIDDEN = encoded(WRITE)[encoded(WRITE).index(b"\x03\x02\x00\x09\x00\x00\x00Interlock") :]


def object_of(kind: ua.NodeId, held: bytes, said: int) -> bytes:
    """A WriteValue of ns=0;i=5 with an object of `kind` whose length says `said` more bytes than it holds."""
    body = nodeid_to_binary(kind) + b"\x01" + struct.pack("<i", len(held) + said) + held
    return b"\0\x05\x0d\0\0\0\xff\xff\xff\xff\x01\x16" + body


ARGUMENT = struct_to_binary(ua.Argument("x"))
KNOWN, OTHER = ua.NodeId(298), ua.NodeId(298, 4)


def write_of(*items: bytes) -> bytes:
    return encoded(ua.WriteRequest())[:-4] + struct.pack("<i", len(items)) + b"".join(items)


@pytest.mark.parametrize(
    "items",
    [
        (object_of(KNOWN, ARGUMENT, len(HIDDEN)), HIDDEN),
        (object_of(KNOWN, ARGUMENT, len(HIDDEN)) + HIDDEN,),
        (object_of(OTHER, ARGUMENT, len(HIDDEN)) + HIDDEN, object_of(KNOWN, ARGUMENT, 0)),
        (object_of(ua.NodeId(0), b"\0" + HIDDEN, 0), object_of(KNOWN, ARGUMENT, 0)),
    ],
)
def test_behind_an_object_that_ends_sooner_than_its_length_says(items: tuple[bytes, ...]) -> None:
    """Some servers read an object whose type they know to its last field, and go on there."""
    talk = Talk()
    (frame,) = talk.feed(CLIENT, talk.sealed(write_of(*items), CLIENT, 5))
    with pytest.raises(Malformed):
        _ = frame.operation


def test_an_object_of_any_type_is_written_alone_and_those_that_can_be_read_together() -> None:
    talk = Talk()
    for number, items in enumerate(
        ((object_of(OTHER, ARGUMENT, 0),), (object_of(KNOWN, ARGUMENT, 0), object_of(KNOWN, ARGUMENT, 0)))
    ):
        (frame,) = talk.feed(CLIENT, talk.sealed(write_of(*items), CLIENT, 50 + number))
        assert frame.operation.classes == (OperationClass.WRITE,)


def test_behind_an_addition_of_another_type_in_the_header() -> None:
    """Nobody knows where the header ends then."""
    plain = encoded(WRITE)
    for kind, held in ((ua.NodeId(9, 1), b"x" * 9), (ua.NodeId(298), ARGUMENT + b"x")):
        addition = nodeid_to_binary(kind) + b"\x01" + struct.pack("<i", len(held)) + held
        at = plain.index(b"\0\0\0\x01\0\0\0\x03\x02\0")
        talk = Talk()
        with pytest.raises(Malformed):
            talk.feed(CLIENT, talk.sealed(plain[:at] + addition + plain[at + 3 :], CLIENT, 5))


ITEMS = struct.pack("<i", 200_000)


@pytest.mark.parametrize(
    "data",
    [
        encoded(ua.RegisterNodesRequest())[:-4] + ITEMS + b"\0\x05" * 200_000,
        encoded(ua.DeleteSubscriptionsRequest())[:-4] + ITEMS + bytes(4) * 200_000,
        encoded(reading())[:-4] + ITEMS + (b"\0\x05" + bytes(14)) * 200_000,
        write_of(b"\0\x05\x0d\0\0\0\xff\xff\xff\xff\x01\x97" + ITEMS + bytes(200_000)),
        write_of(
            b"\0\x05\x0d\0\0\0\xff\xff\xff\xff\x01\x98" + b"\x90\x01\0\0" + (b"\x98\xc8\0\0\0" + bytes(200)) * 400
        ),
    ],
)
def test_a_request_for_more_than_servers_take_is_not_judged_piece_by_piece(data: bytes) -> None:
    """While a million pieces are read and judged every other flow waits, and no heart beats."""
    with pytest.raises(Malformed, match="more than"):
        operation(int.from_bytes(data[2:4], "little"), data, read_request(data, 0).body, NO_NAMES)


def test_a_long_array_of_numbers_or_of_states_is_a_value_like_others() -> None:
    for kind in (ua.VariantType.Boolean, ua.VariantType.Byte):
        value = ua.Variant([1] * 100_000, kind)
        assert Talk().operation(writing(("ns=2;i=5", value))).classes == (OperationClass.WRITE,)
