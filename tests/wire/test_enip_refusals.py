"""Refusals in the form that the real client looks for, and what answers say."""

from __future__ import annotations

from struct import pack, unpack_from

import pytest
from enip_messages import (
    REQUESTER,
    ROUTER,
    TO_ORIGINATOR,
    TO_TARGET,
    asked,
    closing,
    connect,
    encapsulated,
    multiple,
    one,
    opened,
    opening,
    pccc,
    pccc_reply,
    read_tag,
    reply,
    request,
    rr_data,
    sent,
    symbol,
    together,
    unit_data,
    write_dint,
)

from penstock.model import OperationClass, Reason, Target
from penstock.wire import Side
from penstock.wire.enip import EnipDecoder, EnipFrame

IS = OperationClass
NOT_ALLOWED = Reason.OPERATION_NOT_ALLOWED
IDENTITY = b"\x20\x01\x24\x01"


def refused(message: bytes, reason: Reason = NOT_ALLOWED) -> bytes:
    """The CIP message in the refusal of an unconnected request, which is an answer to exactly that request."""
    decoder = EnipDecoder()
    frame = one(decoder, Side.CLIENT, rr_data(message, context=77))
    answer = one(decoder, Side.ASSET, decoder.refuse(frame, reason))
    assert (answer.exchange, answer.is_refusal) == (frame.exchange, True)
    return answer.what[2:]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.OPERATION_NOT_ALLOWED, 0x0F),
        (Reason.NO_CONDUIT, 0x0F),
        (Reason.OBJECT_OUT_OF_RANGE, 0x0F),
        (Reason.UNKNOWN_OPERATION, 0x08),
        (Reason.VALUE_OUT_OF_RANGE, 0x09),
        (Reason.MALFORMED, 0x20),
        (Reason.RATE_EXCEEDED, 0x02),
        (Reason.TOO_MANY_IN_FLIGHT, 0x02),
        (Reason.EVIDENCE_UNAVAILABLE, 0x02),
        (Reason.HOLD_TIMED_OUT, 0x02),
        (Reason.HOLD_REFUSED, 0x0F),
        (Reason.INSPECTION_UNAVAILABLE, 0x02),
    ],
)
def test_a_refusal_is_a_general_status(reason: Reason, status: int) -> None:
    assert refused(write_dint("Speed", 1), reason) == reply(0x4D, status=status)


def test_each_request_of_a_packet_gets_its_own_answer() -> None:
    """Clients look at each, and at the status of the packet, which says that there are errors inside."""
    message = refused(multiple(read_tag("A"), write_dint("B", 1), pccc(0x0F, 0x80, b"\6")))
    denied = reply(0x4B, REQUESTER + b"\x4f\xf0\7\0\x0b")
    assert message == reply(0x0A, together(reply(0x4C, status=15), reply(0x4D, status=15), denied), 0x1E)


def test_what_would_have_been_sent_on_is_refused_as_its_target_would() -> None:
    assert refused(sent(read_tag("A"))) == reply(0x4C, status=15)
    packet = refused(sent(multiple(read_tag("A"))))
    assert packet == reply(0x0A, together(reply(0x4C, status=15)), 0x1E)


def test_a_pccc_client_finds_the_status_where_it_looks() -> None:
    """CIP succeeds; PCCC has status 0xF0 and, behind the transaction number, "access denied"."""
    message = refused(pccc(0x0F, 0xAA, b"\2\7\x89\0\0\1\0", number=0x1234))
    assert message == reply(0x4B, REQUESTER + b"\x4f\xf0\x34\x12\x0b")


def test_a_refused_opening_says_which_one_it_was() -> None:
    triad = pack("<HHIBB", 5, 9, 0x1971, 0, 0)
    assert refused(opening(ROUTER, serial=5)) == reply(0x54, triad, 15)
    large = opening(ROUTER, serial=5, is_large=True, to_target=0x4200_0FA0, to_originator=0x4200_0FA0)
    assert refused(large) == reply(0x5B, triad, 15)
    assert refused(closing(ROUTER, serial=5)) == reply(0x4E, triad, 15)


def test_a_refusal_on_a_connection_goes_to_the_number_of_the_originator() -> None:
    """With the sequence count of the request; pylogix and pycomm3 read the status at byte 48."""
    decoder = EnipDecoder()
    connect(decoder)
    frame = one(decoder, Side.CLIENT, unit_data(write_dint("Speed", 1), count=9))
    refusal = decoder.refuse(frame, NOT_ALLOWED)
    assert refusal == unit_data(reply(0x4D, status=15), count=9, number=TO_ORIGINATOR)
    assert refusal[48] == 15
    answer = one(decoder, Side.ASSET, refusal)
    assert (answer.exchange, answer.is_refusal) == (frame.exchange, True)


def test_a_message_of_a_connection_that_nobody_opened_is_refused_with_its_own_number() -> None:
    decoder = EnipDecoder()
    frame = one(decoder, Side.CLIENT, unit_data(read_tag("A"), count=3))
    assert decoder.refuse(frame, Reason.UNKNOWN_OPERATION) == unit_data(
        reply(0x4C, status=8), count=3, number=TO_TARGET
    )


@pytest.mark.parametrize(("command", "body"), [(0x63, b""), (0x04, b""), (0x65, b"\1\0\0\0"), (0x72, b"")])
def test_commands_without_cip_are_refused_by_the_encapsulation(command: int, body: bytes) -> None:
    decoder = EnipDecoder()
    frame = one(decoder, Side.CLIENT, encapsulated(command, body, context=77))
    refusal = decoder.refuse(frame, NOT_ALLOWED)
    assert refusal == encapsulated(command, b"", context=77, status=1)
    answer = one(decoder, Side.ASSET, refusal)
    assert (answer.exchange, answer.is_refusal) == (frame.exchange, True)
    assert decoder.answer(frame, answer).status == "1 invalid or unsupported command"


@pytest.mark.parametrize("command", [0x00, 0x66])
def test_what_nobody_answers_is_dropped(command: int) -> None:
    decoder = EnipDecoder()
    assert decoder.refuse(one(decoder, Side.CLIENT, encapsulated(command)), NOT_ALLOWED) == b""


def test_a_broken_packet_is_refused_as_poorly_formed() -> None:
    decoder = EnipDecoder()
    broken = encapsulated(0x6F, bytes(6) + b"\2\0\0\0\0\0\xb2\0\xff\0" + read_tag("A"), context=4)
    frame = one(decoder, Side.CLIENT, broken)
    assert decoder.refuse(frame, Reason.MALFORMED) == encapsulated(0x6F, context=4, status=3)


@pytest.mark.parametrize(
    "message",
    [b"\x4d", b"\x4d\xff\x91", b"\x0a\x02" + ROUTER + b"\2\0\6\0", b"\x52\x02\x20\x06\x24\x01\0", request(0x54, b"")],
)
def test_what_cannot_be_read_is_refused_by_its_service_alone(message: bytes) -> None:
    assert refused(message, Reason.MALFORMED) == reply(message[0], status=0x20)


def answered(message: bytes, answer: bytes) -> tuple[str, tuple[Target, ...], bool]:
    """Status, targets, and whether it is a refusal."""
    decoder = EnipDecoder()
    asking = one(decoder, Side.CLIENT, rr_data(message))
    replying = one(decoder, Side.ASSET, rr_data(answer))
    assert asking.exchange == replying.exchange
    found = decoder.answer(asking, replying)
    return found.status, found.targets, replying.is_refusal


def tag(name: str, first: int, *values: float | str) -> Target:
    return Target(IS.READ, "tags", first, len(values), name, values)


@pytest.mark.parametrize(
    ("message", "answer", "status", "targets"),
    [
        (read_tag("A"), reply(0x4C, b"\xc4\0\5\0\0\0"), "", [tag("a", 0, 5)]),
        (read_tag("A", 2), reply(0x4C, b"\xca\0\0\0\x80\x3f\0\0\0\x40"), "", [tag("a", 0, 1.0, 2.0)]),
        (read_tag("A", 3), reply(0x4C, b"\xc3\0\1\0\2\0", 6), "", [tag("a", 0, 1, 2)]),
        (read_tag("A"), reply(0x4C, b"\xa0\2\xce\x0f" + pack("<I82s2x", 2, b"ok")), "", [tag("a", 0, "ok")]),
        (request(0x52, symbol("A"), b"\4\0\4\0\0\0"), reply(0x52, b"\xc3\0\3\0\4\0"), "", [tag("a", 2, 3, 4)]),
        (sent(read_tag("A")), reply(0x4C, b"\xc4\0\5\0\0\0"), "", [tag("a", 0, 5)]),
        (sent(read_tag("A")), reply(0x52, b"", 1, (0x204,)), "1 connection failure 0x0204", []),
        (write_dint("A", 7), reply(0x4D), "", [*asked(write_dint("A", 7)).targets]),
        (write_dint("A", 7), reply(0x4D, b"", 0xFF, (0x2105,)), "255 general error 0x2105", []),
        (read_tag("A"), reply(0x4C, status=4, extended=(0,)), "4 path segment error 0x0000", []),
        (request(0x0E, IDENTITY + b"\x30\x07"), reply(0x0E, b"\2ab"), "",
         [Target(IS.DISCOVERY, "objects", 0, 1, "0x1/1/7", ("0x026162",))]),
        (request(0x03, b"\x20\x8e\x24\1", b"\1\0\3\0"), reply(0x03, b"\1\0\3\0\0\0\xaa"), "",
         [Target(IS.READ, "objects", 0, 1, "0x8e/1/3", ("0xaa",))]),
        (request(0x03, b"\x20\x8e\x24\1", b"\1\0\3\0"), reply(0x03, b"\1\0\3\0\x14\0"),
         "20 attribute not supported", []),
        (opening(ROUTER), reply(0x54, bytes(10), 1, (0x315,)), "1 connection failure 0x0315", []),
        (multiple(read_tag("A"), write_dint("B", 1)),
         reply(0x0A, together(reply(0x4C, b"\xc2\0\5"), reply(0x4D, status=15)), 0x1E), "15 privilege violation",
         [tag("a", 0, 5)]),
        (multiple(read_tag("A")), reply(0x0A, b"", 8), "8 service not supported", []),
        (pccc(0x0F, 0xA2, b"\4\7\x89\0\0"), pccc_reply(0x0F, b"\1\0\2\0"), "",
         [Target(IS.READ, "files", 0, 2, "n7", (1, 2))]),
        (pccc(0x0F, 0xA1, b"\4\x08\x8a\0"), pccc_reply(0x0F, b"\0\0\x80\x3f"), "",
         [Target(IS.READ, "files", 0, 1, "f8", (1.0,))]),
        (pccc(0x0F, 0xAA, b"\2\7\x89\0\0\1\0"), pccc_reply(0x0F, b"\x0b", 0xF0),
         "0xF0 0x0B error code in the extended status byte", []),
        (pccc(0x0F, 0xAA, b"\2\7\x89\0\0\1\0"), pccc_reply(0x0F, b"", 0x10), "0x10 illegal command or format", []),
    ],
)  # fmt: skip
def test_answers_say_the_status_and_the_values(
    message: bytes, answer: bytes, status: str, targets: list[Target]
) -> None:
    found = answered(message, answer)
    assert (found[0], [*found[1]]) == (status, targets)
    assert found[2] is (bool(status) and status != "20 attribute not supported")


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (read_tag("A"), reply(0x4D)),
        (read_tag("A"), reply(0x4C)),
        (read_tag("A", 2), reply(0x4C, b"\xda\0\5a")),
        (multiple(read_tag("A")), reply(0x0A, b"\2\0")),
        (multiple(read_tag("A")), reply(0x0A, together(reply(0x4C, b"\xc2\0\1"), reply(0x4C, b"\xc2\0\1")))),
        (pccc(0x0F, 0xA2, b"\4\7\x89\0\0"), pccc_reply(0x0F, b"\1\0")),
        (pccc(0x0F, 0xA2, b"\4\7\x89\0\0"), pccc_reply(0x0F, b"\1\0\2\0", number=8)),
        (pccc(0x0F, 0xA2, b"\4\7\x89\0\0"), reply(0x4B)),
        (b"\x4c", reply(0x4C)),
    ],
)
def test_an_answer_that_does_not_fit_its_request_is_unreadable(message: bytes, answer: bytes) -> None:
    assert answered(message, answer)[:2] == ("unreadable", ())


def test_the_status_of_a_refusal_is_in_the_record() -> None:
    decoder = EnipDecoder()
    frame = one(decoder, Side.CLIENT, rr_data(sent(multiple(read_tag("A"), write_dint("B", 1)))))
    answer = one(decoder, Side.ASSET, decoder.refuse(frame, NOT_ALLOWED))
    assert decoder.answer(frame, answer).status == "15 privilege violation"


def test_an_opening_is_answered_like_anything_else() -> None:
    decoder = EnipDecoder()
    asking = one(decoder, Side.CLIENT, rr_data(opening(ROUTER)))
    accepting = one(decoder, Side.ASSET, rr_data(opened()))
    assert isinstance(accepting, EnipFrame)
    assert (decoder.answer(asking, accepting).status, accepting.is_refusal) == ("", False)
    assert unpack_from("<I", accepting.what, 6)[0] == TO_TARGET
