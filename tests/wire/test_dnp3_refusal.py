"""Refusals in DNP3's own words, and what a refusal must not put out of step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dnp3_messages import CLASS_POLL, CROB, LATCH_ON, MASTER, OUTSTATION, link, opened, request, response

from penstock.model import Reason
from penstock.wire import Dnp3Decoder, Frame, Role, Side
from penstock.wire.dnp3 import Dnp3Dissector


def refused(app: str, reason: Reason = Reason.OPERATION_NOT_ALLOWED, **more: int) -> bytes:
    """What the master hears."""
    decoder = Dnp3Decoder()
    (frame,) = decoder.feed(Side.CLIENT, request(app, **more))
    return decoder.refuse(frame, reason)


def said(data: bytes) -> bytes:
    """The fragment in one link frame from the outstation to the master, in one segment."""
    control, to, source, user = opened(data)
    assert (control, to, source) == (0x44, MASTER, OUTSTATION)
    assert user[0] & 0xC0 == 0xC0
    return user[1:]


@pytest.mark.parametrize(
    ("reason", "indications"),
    [
        (Reason.OPERATION_NOT_ALLOWED, 0x01),
        (Reason.UNKNOWN_OPERATION, 0x01),
        (Reason.NO_CONDUIT, 0x01),
        (Reason.OBJECT_OUT_OF_RANGE, 0x02),
        (Reason.VALUE_OUT_OF_RANGE, 0x04),
        (Reason.MALFORMED, 0x04),
        (Reason.RATE_EXCEEDED, 0x14),
        (Reason.TOO_MANY_IN_FLIGHT, 0x14),
        (Reason.EVIDENCE_UNAVAILABLE, 0x14),
        (Reason.HOLD_TIMED_OUT, 0x14),
        (Reason.HOLD_REFUSED, 0x01),
        (Reason.INSPECTION_UNAVAILABLE, 0x14),
    ],
)
def test_a_refused_request_gets_a_response_with_an_error_in_its_indications(reason: Reason, indications: int) -> None:
    for app in (CLASS_POLL, "C3 0D", "C3 02 3201 07 01 000102030405", "C3 55"):
        assert said(refused(app, reason)) == bytes((0xC3, 0x81, 0x00, indications))


def test_every_reason_has_an_error_that_masters_look_for() -> None:
    """No function, object unknown or parameter error: other bits are no error to many masters."""
    for reason in Reason:
        assert said(refused(CLASS_POLL, reason))[3] & 0x07


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.OPERATION_NOT_ALLOWED, 9),
        (Reason.OBJECT_OUT_OF_RANGE, 4),
        (Reason.VALUE_OUT_OF_RANGE, 12),
        (Reason.RATE_EXCEEDED, 11),
        (Reason.HOLD_TIMED_OUT, 11),
        (Reason.HOLD_REFUSED, 9),
        (Reason.MALFORMED, 3),
    ],
)
def test_a_refused_control_comes_back_with_a_status_in_each_object(reason: Reason, status: int) -> None:
    objects = "0C01 28 0200 0500 {0} 0900 {0} 2903 17 01 07 0000803F"
    crob, s = LATCH_ON[:-2], f"{status:02X}"
    for code in ("03", "05"):
        got = said(refused(f"C7 {code} {objects.format(LATCH_ON)} 00", reason))
        assert got == bytes.fromhex(f"C7 81 0000 {objects.format(crob + s)} {s}")


def test_an_operate_without_its_select_is_told_so() -> None:
    got = said(refused(f"C7 04 {CROB}", Reason.MALFORMED))
    assert got == bytes.fromhex(f"C7 81 0000 {CROB[:-2]} 02")


def test_a_control_that_cannot_be_repeated_gets_indications() -> None:
    for app in ("C3 05 0C01 28 0200 0500 00", "C3 05 0C07 17 01 05 00", "C3 05 3C01 06", "C3 05"):
        assert said(refused(app, Reason.MALFORMED)) == bytes.fromhex("C381 0004")


def test_a_long_answer_comes_in_segments_that_go_on() -> None:
    blocks = " ".join(f"{index:02X}00 {LATCH_ON}" for index in range(40))
    app = bytes.fromhex(f"C5 05 0C01 28 2800 {blocks}")
    decoder = Dnp3Decoder()
    parts = [
        link(0xC4, OUTSTATION, MASTER, b"\x40" + app[:249]),
        link(0xC4, OUTSTATION, MASTER, b"\x01" + app[249:498]),
    ]
    parts.append(link(0xC4, OUTSTATION, MASTER, b"\x82" + app[498:]))
    (frame,) = [each for part in parts for each in decoder.feed(Side.CLIENT, part)]
    answer = decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED)
    (*_, last) = Dnp3Dissector().feed(Side.ASSET, answer)
    assert last.pdu["index"] == list(range(40))
    assert last.frame is not None
    assert last.frame.is_refusal


@pytest.mark.parametrize("code", ["06", "08", "0A", "0C", "21"])
def test_what_nobody_answers_is_dropped_without_a_word(code: str) -> None:
    app = f"C3 {code} {CROB}" if code == "06" else f"C3 {code} 1400 06"
    assert refused(app) == b""


def test_a_request_to_everybody_is_dropped_without_a_word() -> None:
    for everybody in (0xFFFD, 0xFFFE, 0xFFFF):
        assert refused(f"C3 05 {CROB}", to=everybody) == b""


def test_a_notice_is_dropped_without_a_word() -> None:
    decoder = Dnp3Decoder()
    (frame,) = decoder.feed(Side.ASSET, response("F2 82 0000 0201 28 0100 0700 81"))
    assert decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED) == b""


def test_a_link_function_that_is_kept_back_is_not_supported() -> None:
    decoder = Dnp3Decoder()
    (frame,) = decoder.feed(Side.CLIENT, link(0xC1, OUTSTATION, MASTER))
    assert opened(decoder.refuse(frame, Reason.UNKNOWN_OPERATION)) == (0x0F, MASTER, OUTSTATION, b"")


def test_refusals_have_transport_numbers_that_go_up() -> None:
    decoder = Dnp3Decoder()
    heads = []
    for _ in range(66):
        (frame,) = decoder.feed(Side.CLIENT, request(CLASS_POLL))
        heads.append(opened(decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED))[3][0])
    assert heads == [0xC0 | number & 0x3F for number in range(66)]


def confirmed(app: str, count: int) -> bytes:
    """A frame that the link confirms, with its frame count bit."""
    return link(0xD3 | count << 5, OUTSTATION, MASTER, b"\xc0" + bytes.fromhex(app))


def test_a_confirmed_frame_that_is_kept_back_is_confirmed_before_it_is_answered() -> None:
    decoder = Dnp3Decoder()
    (frame,) = decoder.feed(Side.CLIENT, confirmed("C3 0D", 1))
    answer = decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED)
    assert opened(answer[:10]) == (0x00, MASTER, OUTSTATION, b"")
    assert said(answer[10:]) == bytes.fromhex("C381 0001")


def test_the_outstation_counts_on_over_a_confirmed_frame_that_it_never_saw() -> None:
    """Else it would take the next one for a repetition, and confirm it without doing anything."""
    decoder = Dnp3Decoder()

    def passed(data: bytes) -> tuple[Frame, bytes]:
        (frame,) = decoder.feed(Side.CLIENT, data)
        return frame, decoder.forward(frame)

    assert passed(confirmed("C3 01 3C01 06", 1))[1] == confirmed("C3 01 3C01 06", 1)
    (kept_back,) = decoder.feed(Side.CLIENT, confirmed("C4 0D", 0))
    decoder.refuse(kept_back, Reason.OPERATION_NOT_ALLOWED)
    frame, forwarded = passed(confirmed("C5 01 3C01 06", 1))
    assert forwarded == confirmed("C5 01 3C01 06", 0)
    assert frame.data == confirmed("C5 01 3C01 06", 1)
    assert passed(link(0xD2, OUTSTATION, MASTER))[1] == link(0xF2, OUTSTATION, MASTER)
    assert passed(request(CLASS_POLL))[1] == request(CLASS_POLL)
    assert passed(link(0xC0, OUTSTATION, MASTER))[1] == link(0xC0, OUTSTATION, MASTER)
    assert passed(confirmed("C6 01 3C01 06", 1))[1] == confirmed("C6 01 3C01 06", 1)


def test_each_part_that_the_link_confirms_is_confirmed_and_counted() -> None:
    decoder = Dnp3Decoder()
    app = bytes.fromhex("C5 0D")
    parts = [link(0xF3, OUTSTATION, MASTER, b"\x40" + app[:1]), link(0xD3, OUTSTATION, MASTER, b"\x81" + app[1:])]
    (frame,) = [each for part in parts for each in decoder.feed(Side.CLIENT, part)]
    answer = decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED)
    assert [opened(answer[at : at + 10])[0] for at in (0, 10)] == [0x00, 0x00]
    assert said(answer[20:]) == bytes.fromhex("C581 0001")
    (after,) = decoder.feed(Side.CLIENT, confirmed("C6 01 3C01 06", 1))
    assert decoder.forward(after) == confirmed("C6 01 3C01 06", 1)
    (once,) = decoder.feed(Side.CLIENT, confirmed("C7 0D", 0))
    decoder.refuse(once, Reason.OPERATION_NOT_ALLOWED)
    both = [each for part in parts for each in decoder.feed(Side.CLIENT, part)]
    turned = [link(0xD3, OUTSTATION, MASTER, b"\x40" + app[:1]), link(0xF3, OUTSTATION, MASTER, b"\x81" + app[1:])]
    assert [decoder.forward(each) for each in both] == [b"".join(turned)]


def test_a_frame_that_may_be_changed_never_takes_the_short_way() -> None:
    """It looks for the very object that came."""
    decoder = Dnp3Decoder()
    assert not decoder.rewrites
    for _ in range(2):
        data = confirmed(CLASS_POLL, 1)
        (frame,) = decoder.feed(Side.CLIENT, data)
        assert frame.data == data
        assert frame.data is not data


def test_a_refusal_has_the_right_crcs_also_to_tshark() -> None:
    """What tshark 4.0.17 made of the gate's own answers, by way of the oracle of the captures."""
    for each in json.loads((Path(__file__).parent / "dnp3_refusals.json").read_text())["refusals"]:
        data = refused(each["request"], Reason(each["reason"]))
        assert data.hex() == each["bytes"]
        (shown,) = Dnp3Dissector().feed(Side.ASSET, data)
        assert shown.pdu == each["shown"]
        assert shown.frame is not None
        assert (shown.frame.role, shown.frame.is_refusal) == (Role.REPLY, True)
