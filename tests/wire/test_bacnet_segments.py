"""Messages in segments: judged whole, put together as the device puts them together, within a bound."""

from __future__ import annotations

import itertools
import random

import pytest
from bacnet_datagrams import STATION_3_6C, WRITE, answer_segment, confirmed, fed, is_malformed, npdu, octets, segment
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.model import OperationClass as Is
from penstock.model import Reason
from penstock.wire import Role, Side
from penstock.wire.bacnet import BacnetDecoder, BacnetFrame
from penstock.wire.bacnet.frames import Kind
from penstock.wire.bacnet.segments import MAX_KEPT_BYTES, MAX_MESSAGES, MAX_SEGMENTS

CLIENT, ASSET = Side.CLIENT, Side.ASSET
#: Two writes: a value, and the name of the device.
WRITES = octets("0c 00800001 1e 09 55 2e 44 41ac0000 2f 39 08 1f 0c 02000001 1e 09 4d 2e 73 00 6162 2f 1f")


def cut(parts: bytes, size: int) -> list[tuple[int, bytes, bool]]:
    pieces = [parts[at : at + size] for at in range(0, len(parts), size)]
    return [(number, piece, number < len(pieces) - 1) for number, piece in enumerate(pieces)]


def said(decoder: BacnetDecoder, pieces: list[tuple[int, bytes, bool]], service: int = 16) -> list[BacnetFrame]:
    return [fed(npdu(segment(service, part, number, more=more)), decoder=decoder) for number, part, more in pieces]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, 50])
def test_a_request_in_segments_is_judged_whole(size: int) -> None:
    """All segments but the one that makes it whole pass; that one carries everything, and goes on as it came."""
    decoder = BacnetDecoder()
    *parts, last = said(decoder, cut(WRITES, size))
    assert [frame.role for frame in parts] == [Role.LINK] * len(parts)
    assert (last.role, last.operation.classes) == (Role.REQUEST, (Is.WRITE, Is.CONFIG))
    assert last.operation == fed(npdu(confirmed(16, WRITES))).operation
    assert decoder.pending(CLIENT) == 0
    reply = fed(npdu("20 07 10", control=0), ASSET, decoder)
    assert (reply.exchange, decoder.held(CLIENT)) == (last.exchange, 0)


def test_equal_requests_in_equal_segments_mean_the_same() -> None:
    first, second = (said(BacnetDecoder(), cut(WRITES, 20))[-1] for _ in range(2))
    assert first.what == second.what


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.randoms(use_true_random=False), st.lists(st.integers(0, 40), max_size=5))
def test_the_order_and_repetition_of_segments_do_not_matter(size: int, chance: random.Random, again: list[int]) -> None:
    """Whichever comes last is kept back; what comes twice passes as it did before."""
    pieces = cut(WRITES, size)
    chance.shuffle(pieces)
    for at in again:
        pieces.insert(at % len(pieces), pieces[0])
    decoder = BacnetDecoder()
    frames = said(decoder, pieces)
    whole = [frame for frame in frames if frame.role is Role.REQUEST]
    assert whole
    assert all(frame.operation == fed(npdu(confirmed(16, WRITES))).operation for frame in whole)
    missing = {number for number, _, _ in pieces}
    for frame, (number, _, _) in zip(frames, pieces, strict=True):
        missing.discard(number)
        assert (frame.role is Role.LINK) is bool(missing)


def test_a_segment_that_comes_again_after_the_whole_is_judged_again() -> None:
    """Nothing of it may pass on the strength of an earlier verdict: who knows which one was lost."""
    decoder = BacnetDecoder()
    pieces = cut(WRITES, 20)
    *_, last = said(decoder, pieces)
    again = said(decoder, [pieces[-1]])[0]
    assert (again.role, again.what) == (Role.REQUEST, last.what)


def test_a_refused_request_stays_refused_whatever_is_sent_again() -> None:
    """The device still waits for the last segment: it must not come, in whatever form."""
    decoder = BacnetDecoder()
    pieces = cut(WRITES, 20)
    *_, last = said(decoder, pieces)
    assert decoder.refuse(last, Reason.OPERATION_NOT_ALLOWED)[6:9] == b"\x50\x07\x10"
    number = pieces[-1][0]
    for piece in (pieces[-1], (number, b"\x1f", False), (number, b"", True), pieces[0]):
        (frame,) = said(decoder, [piece])
        assert (frame.kind, is_malformed(frame)) == (Kind.BROKEN, True)
        assert decoder.refuse(frame, Reason.MALFORMED)[6:] == b"\x71\x07\x02"
    assert decoder.pending(CLIENT) == 0
    fed(npdu("71 07 00", control=0), ASSET, decoder)
    assert said(decoder, pieces[:1])[0].role is Role.LINK


@pytest.mark.parametrize(
    "other",
    [
        segment(16, b"other", 0, more=True),
        segment(16, WRITES[:20], 0, more=False),
        segment(15, WRITES[20:40], 1, more=True),
        segment(16, WRITES[20:40], 1, more=True, window=0),
        segment(16, WRITES[20:40], 1, more=True, window=128),
        bytes((0x0C, 5)) + segment(16, WRITES[20:40], 1, more=True)[2:],
        bytes((0x0E, 4)) + segment(16, WRITES[20:40], 1, more=True)[2:],
    ],
    ids=["content", "more", "service", "no window", "window", "flags", "sizes"],
)
def test_a_segment_that_contradicts_its_message_is_refused(other: bytes) -> None:
    """The device might have taken either."""
    decoder = BacnetDecoder()
    pieces = cut(WRITES, 20)
    said(decoder, pieces[:1])
    frame = fed(npdu(other), decoder=decoder)
    assert (frame.role, is_malformed(frame)) == (Role.REQUEST, True)
    assert decoder.refuse(frame, Reason.MALFORMED)[6:] == b"\x71\x07\x02"


def test_no_segment_may_lie_behind_the_last_one() -> None:
    for numbers in ([(1, False), (2, True)], [(2, True), (1, False)], [(1, False), (2, False)]):
        decoder = BacnetDecoder()
        frames = said(decoder, [(number, b"ab", more) for number, more in numbers])
        assert [is_malformed(frame) for frame in frames if frame.role is Role.REQUEST] == [True]


OTHER_WRITES = WRITES.replace(b"\x41\xac", b"\x42\xac")


def test_segments_of_two_messages_are_judged_as_the_device_would_mix_them() -> None:
    """Another request in between may be lost on the way to the device, which then still has the first segments."""
    decoder = BacnetDecoder()
    said(decoder, cut(WRITES, 15)[:2])
    fed(npdu(confirmed(15, WRITE)), decoder=decoder)
    first, second, third = said(decoder, cut(OTHER_WRITES, 15))
    assert (is_malformed(first), second.role) == (True, Role.LINK)
    assert third.operation == fed(npdu(confirmed(16, WRITES))).operation


def test_after_an_abort_nothing_is_added_to_what_the_device_may_still_have() -> None:
    """The abort may be lost on the way to the device."""
    decoder = BacnetDecoder()
    said(decoder, cut(WRITES, 15)[:2])
    fed(npdu("70 07 00", control=0), decoder=decoder)
    assert decoder.pending(CLIENT) == 0
    assert all(is_malformed(frame) for frame in said(decoder, cut(WRITES, 15) + cut(OTHER_WRITES, 15)))


def test_the_device_ends_a_message_with_any_answer() -> None:
    for answer in ("20 07 10", "50 07 10 0e 9102 9128 0f", "60 07 00", "71 07 00"):
        decoder = BacnetDecoder()
        said(decoder, cut(WRITES, 15)[:2])
        assert decoder.pending(CLIENT) == 30
        fed(npdu(answer, control=0), ASSET, decoder)
        assert decoder.held(CLIENT) == 0
        assert said(decoder, cut(OTHER_WRITES, 15))[-1].operation.classes == (
            Is.WRITE,
            Is.CONFIG,
        )


def test_devices_do_not_share_a_message() -> None:
    """Segments to a device behind the asset are another message than those to the asset."""
    decoder = BacnetDecoder()
    said(decoder, cut(WRITES, 15)[:2])
    frame = fed(npdu(segment(16, cut(WRITES, 15)[2][1], 2, more=False), to=STATION_3_6C), decoder=decoder)
    assert frame.role is Role.LINK


def test_a_message_that_grows_beyond_the_bound_is_refused_with_a_reason() -> None:
    decoder = BacnetDecoder()
    for number in itertools.count():
        frame = fed(npdu(segment(16, bytes(1400), number, more=True)), decoder=decoder)
        assert decoder.held(CLIENT) <= MAX_KEPT_BYTES
        if frame.role is not Role.LINK:
            break
    assert 80 < number < MAX_KEPT_BYTES / 1400
    assert is_malformed(frame)
    assert decoder.refuse(frame, Reason.MALFORMED)[6:] == b"\x71\x07\x01"
    assert decoder.pending(CLIENT) == 0


def test_there_are_fewer_segments_than_their_numbers_can_count() -> None:
    decoder = BacnetDecoder()
    frames = said(decoder, [(number, b"", True) for number in range(256)])
    assert [frame.role for frame in frames] == [Role.LINK] * MAX_SEGMENTS + [Role.REQUEST]
    assert is_malformed(frames[-1])


def test_many_unfinished_messages_do_not_fill_the_memory() -> None:
    decoder = BacnetDecoder()
    frames = [fed(npdu(segment(16, b"", 0, more=True, invoke=number)), decoder=decoder) for number in range(256)]
    assert [frame.role for frame in frames].count(Role.LINK) == MAX_MESSAGES
    assert decoder.held(CLIENT) <= MAX_KEPT_BYTES


def test_a_part_for_more_than_one_device_does_not_pass() -> None:
    """Segments and acknowledgements pass without a verdict, so they may reach one device only."""
    everyone = {"to": bytes.fromhex("ffff00")}
    for apdu in (segment(16, b"", 0, more=True), octets("40 07 00 04"), octets("70 07 00")):
        for datagram in (npdu(apdu, **everyone), npdu(apdu, function=0x09), npdu(apdu, function=0x0B)):
            decoder = BacnetDecoder()
            frame = fed(datagram, decoder=decoder)
            assert (frame.role, is_malformed(frame)) == (Role.REQUEST, True)
            assert decoder.refuse(frame, Reason.MALFORMED) == b""


def answered(decoder: BacnetDecoder, pieces: list[tuple[int, bytes, bool]]) -> list[BacnetFrame]:
    return [
        fed(npdu(answer_segment(14, part, number, more=more), control=0), ASSET, decoder)
        for number, part, more in pieces
    ]


ASKED = npdu(confirmed(14, "0c 00800001 1e 09 55 09 4d 1f"))
VALUES = octets("0c 00800001 1e 29 55 4e 44 41ac0000 4f 29 4d 4e 73 00 6162 4f 1f")


@pytest.mark.parametrize("size", [1, 4, 10, 60])
def test_an_answer_in_segments_is_read_whole(size: int) -> None:
    decoder = BacnetDecoder()
    request = fed(ASKED, decoder=decoder)
    pieces = cut(VALUES, size)
    frames = answered(decoder, pieces)
    assert {frame.exchange for frame in frames} == {request.exchange}
    assert [frame.is_last for frame in frames] == [False] * (len(frames) - 1) + [True]
    answer = decoder.answer(request, frames[-1])
    assert (answer.status, [target.values for target in answer.targets]) == ("", [(21.5,), ("ab",)])
    assert answered(decoder, [pieces[0], pieces[-1]])[0].role is Role.LINK
    fed(ASKED, decoder=decoder)
    assert decoder.held(ASSET) == 0


def test_the_last_of_an_answer_is_the_one_that_makes_it_whole() -> None:
    decoder = BacnetDecoder()
    request = fed(ASKED, decoder=decoder)
    first, second, third = cut(VALUES, 10)
    frames = answered(decoder, [first, third, third, second])
    assert [frame.is_last for frame in frames if frame.role is Role.REPLY] == [False, False, True]
    assert decoder.answer(request, frames[-1]).targets[1].values == ("ab",)


def test_an_answer_that_is_too_long_passes_and_cannot_be_read() -> None:
    decoder = BacnetDecoder()
    request = fed(ASKED, decoder=decoder)
    frames = answered(decoder, [(number, bytes(1400), number < 150) for number in range(151)])
    assert decoder.held(ASSET) <= MAX_KEPT_BYTES
    assert {frame.role for frame in frames} == {Role.REPLY}
    assert [frame.is_last for frame in frames] == [False] * 150 + [True]
    assert decoder.answer(request, frames[-1]).status == "unreadable"


def test_unfinished_answers_give_way_to_younger_ones() -> None:
    decoder = BacnetDecoder()
    for number in range(256):
        fed(npdu(answer_segment(14, bytes(1400), 0, more=True, invoke=number), control=0), ASSET, decoder)
        assert decoder.held(ASSET) <= MAX_KEPT_BYTES
    assert decoder.pending(ASSET) == 0
