"""The forbidden operation, hidden in every way that DNP3 leaves: refused, or the end of the flow, never forwarded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dnp3_messages import CLASS_POLL, CROB, LATCH_ON, MASTER, OUTSTATION, in_segments, link, request, response
from hypothesis import given
from hypothesis import strategies as st

from penstock.model import Malformed, OperationClass, Reason
from penstock.wire import Dnp3Decoder, Role, Side
from penstock.wire.dnp3 import Dnp3Datagrams

POLL = request(CLASS_POLL)
TRIP = f"C5 05 0C01 28 0100 0500 {LATCH_ON}"
RESTART = "C5 0D"


def passed(*pieces: bytes, make: Callable[[], Dnp3Decoder] = Dnp3Decoder) -> tuple[bytes, bool]:
    """What a gate that allows reads and nothing else forwards, and whether the flow goes on."""
    decoder = make()
    forwarded = b""
    for piece in pieces:
        try:
            frames = decoder.feed(Side.CLIENT, piece)
        except Malformed:
            return forwarded, False
        for frame in frames:
            if frame.role is Role.LINK:
                forwarded += decoder.forward(frame)
                continue
            try:
                is_allowed = frame.operation.classes == (OperationClass.READ,)
            except Malformed:
                is_allowed = False
            if is_allowed:
                forwarded += decoder.forward(frame)
            else:
                decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED)
    return forwarded, True


@given(
    st.lists(st.integers(1, 40), max_size=8), st.sampled_from([TRIP, RESTART, "C5 12", "C5 02 3201 07 01" + "00" * 6])
)
def test_cutting_the_stream_hides_nothing(cuts: list[int], app: str) -> None:
    data = POLL + request(app) + POLL
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    assert passed(*pieces, data[at:]) == (POLL + POLL, True)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11])
def test_transport_segments_hide_nothing(size: int) -> None:
    assert passed(POLL, *in_segments(TRIP, size), POLL) == (POLL + POLL, True)
    assert passed(b"".join([POLL, *in_segments(TRIP, size), POLL])) == (POLL + POLL, True)
    assert passed(POLL, *in_segments(TRIP, size), POLL, make=Dnp3Datagrams) == (POLL + POLL, True)


def test_what_waits_for_its_last_segment_was_not_forwarded() -> None:
    """An outstation must never hold a part that was not judged."""
    parts = in_segments(CLASS_POLL, 4)
    assert passed(*parts[:-1]) == (b"", True)
    assert passed(*parts) == (b"".join(parts), True)


@pytest.mark.parametrize("make", [Dnp3Decoder, Dnp3Datagrams])
def test_a_read_that_is_begun_cannot_be_finished_as_something_else(make: Callable[[], Dnp3Decoder]) -> None:
    """First, first again, then the end of another fragment: stations would disagree on what was said."""
    read, trip = in_segments(CLASS_POLL, 8), in_segments(TRIP, 8)
    for mixed in ([read[0], trip[0], read[1]], [trip[0], *read], [read[0], *trip], [read[0], read[0], *trip[1:]]):
        forwarded, _ = passed(*mixed, make=make)
        assert forwarded in {b"", b"".join(read)}
        for part in trip:
            assert part not in forwarded


@pytest.mark.parametrize(
    "app",
    [
        f"C5 01 3C02 06 {CROB}",  # a read with a control behind it
        f"C5 01 3C02 06 7803 07 01 000000000000 {CROB}",
        "C5 02 5001 00 07 07 00 3201 07 01 000000000000",  # the clock behind the restart bit
        f"C5 05 {CROB} {CROB}",
        "C5 16 3C02 06 0100 06",
        "C5 01 3C02 06 6301 17 01 01 05",
        "C5 01 3C02 06 3C02 0A",
        "C5 01 3C02 06 1E02 03 00 05",
        "C5 01 4605 5B 01 0800 0000000000000000",
        f"C5 01 3C02 06 5A01 5B 01 1200 {CROB}",
        f"C5 01 3C02 06 7100 5B 01 1200 {CROB}",
    ],
)
def test_every_object_header_must_pass(app: str) -> None:
    assert passed(request(app), POLL) == (POLL, True)


@pytest.mark.parametrize(
    "app",
    [
        "C5 05 0C01 28 0000", "C5 01 3C02 07 00", "C5 01 1E02 17 FF 00", "C5 01 1E02 39 FFFFFF7F 00000000",
        "C5 01 1E02 01 FFFF 0000", "C5 01 3C02", "C5 01 3C", "C5 01", "C5 01 3C02 06 00",
    ],
)  # fmt: skip
def test_lengths_that_lie_are_refused(app: str) -> None:
    assert passed(request(app), POLL) == (POLL, True)


def test_a_count_of_eight_bits_where_sixteen_are_announced_is_refused() -> None:
    """A library that people use sends that (nfm-dnp3 1.0.1): some stations would find other points than others."""
    crob = bytes.fromhex("056419C40A000100DA8FC0C1050C0128010300030100000000009A9000000000FFFF")
    analog = bytes.fromhex("056413C40A000100B133C1C20529012801030005000000006FB5")
    for data in (crob, analog):
        (frame,) = Dnp3Decoder().feed(Side.CLIENT, data)
        with pytest.raises(Malformed):
            _ = frame.operation


@pytest.mark.parametrize("control", [0x05, 0x45, 0x85, 0xD5, 0xF5])
def test_requests_in_fragments_or_as_reports_are_refused(control: int) -> None:
    for app in (CLASS_POLL, TRIP):
        data = request(bytes((control,)) + bytes.fromhex(app)[1:])
        assert passed(data, POLL) == (POLL, True)


@pytest.mark.parametrize("code", [129, 130, 131, 128, 34, 255])
def test_codes_that_no_master_sends_are_refused(code: int) -> None:
    assert passed(request(bytes((0xC5, code, 0, 0))), POLL) == (POLL, True)


def test_a_confirmation_carries_nothing() -> None:
    assert passed(request(f"C5 00 {CROB}"), request("C5 00")) == (request("C5 00"), True)


def test_an_operate_without_a_select_is_refused_even_where_writes_are_allowed() -> None:
    decoder = Dnp3Decoder()
    (frame,) = decoder.feed(Side.CLIENT, request(f"C5 04 {CROB}"))
    with pytest.raises(Malformed):
        _ = frame.operation


def test_everybody_is_asked_as_everybody() -> None:
    """A broadcast has a unit of its own, so a conduit for one outstation does not mean it."""
    for everybody in (0xFFFD, 0xFFFE, 0xFFFF):
        (frame,) = Dnp3Decoder().feed(Side.CLIENT, request(TRIP, to=everybody))
        assert frame.operation.unit == everybody
        assert frame.exchange == -1


def test_a_second_frame_behind_the_first_is_judged_for_itself() -> None:
    assert passed(POLL + request(TRIP) + link(0xC9, OUTSTATION, MASTER)) == (
        POLL + link(0xC9, OUTSTATION, MASTER),
        True,
    )


@pytest.mark.parametrize(
    "garbage",
    [b"\0", b"\x05", b"\x05\x64\x05", POLL[:-1], POLL[1:], b"\x05" + POLL, POLL[:8] + POLL],
)
def test_bytes_between_frames_end_the_flow_where_a_station_would_look_for_the_next_one(garbage: bytes) -> None:
    """A station skips them and finds the control; the gate does not follow it there."""
    forwarded, goes_on = passed(POLL, garbage + request(TRIP), POLL, POLL, POLL)
    assert (forwarded, goes_on) == (POLL, False)


def test_a_start_in_mid_stream_ends_the_flow() -> None:
    for cut in range(1, len(POLL)):
        assert passed(POLL[cut:], POLL) == (b"", False)


def test_a_frame_with_a_wrong_crc_ends_the_flow_also_when_it_comes_after_a_right_one() -> None:
    """Headers that were found right are remembered, blocks are not."""
    broken = POLL[:-1] + bytes((POLL[-1] ^ 0x80,))
    assert passed(POLL, broken, POLL) == (POLL, False)


def test_answers_that_nobody_asked_for_have_an_exchange_that_nobody_waits_for() -> None:
    decoder = Dnp3Decoder()
    (asked,) = decoder.feed(Side.CLIENT, POLL)
    for said in (response("C4 81 0000"), response("C3 81 0000", to=2), response("C3 81 0000", source=11)):
        (reply,) = decoder.feed(Side.ASSET, said)
        assert (reply.role, reply.exchange == asked.exchange) == (Role.REPLY, False)


def test_an_outstation_that_asks_is_kept_back() -> None:
    """What a master may ask, and what nobody may: neither is an answer."""
    for app in (CLASS_POLL, TRIP, f"C3 00 {CROB}", "C3 99"):
        (frame,) = Dnp3Decoder().feed(Side.ASSET, response(app))
        assert (frame.role, frame.operation.classes) == (Role.NOTICE, (OperationClass.UNKNOWN,))


def test_the_same_number_again_is_judged_again() -> None:
    decoder = Dnp3Decoder()
    one, two, three = (decoder.feed(Side.CLIENT, each)[0] for each in (POLL, request(f"C3 05 {CROB}"), POLL))
    assert one.exchange == two.exchange == three.exchange
    assert one.what == three.what != two.what
