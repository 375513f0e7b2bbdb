"""DNP3 link, transport and pairing: bounded, indifferent to how the network cuts, frames or `Malformed` and no else."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from dnp3_messages import CLASS_POLL, CROB, MASTER, OUTSTATION, crc, fed, in_segments, link, request, response
from hypothesis import given
from hypothesis import strategies as st

from penstock.model import Malformed
from penstock.wire import NO_ANSWER, Dnp3Decoder, Frame, Role, Side, WrongProtocol
from penstock.wire.dnp3 import DNP3, MAX_HELD_BYTES, Dnp3Datagrams
from penstock.wire.dnp3 import crc as checks
from penstock.wire.dnp3.link import segments

POLL = request(CLASS_POLL)
OTHER = request("C4 01 1E02 00 00 09")
REPLY = response("C3 81 0000")
LINK_STATUS = link(0xC9, OUTSTATION, MASTER)
LONG = "C3 81 0000 1E02 01 0000 BB01" + "01 0A00" * 444


def test_a_frame_of_the_standard_has_the_crc_that_the_standard_gives() -> None:
    """Request link status, master 1024 to outstation 1, as captures of real masters hold it."""
    assert (
        link(0xC0, 1, 1024)[-2:] == bytes.fromhex("E921") == checks.crc(link(0xC0, 1, 1024)[:8]).to_bytes(2, "little")
    )


@given(st.binary(max_size=300))
def test_two_octets_at_a_time_make_the_same_crc_as_one_bit_at_a_time(data: bytes) -> None:
    assert checks.crc(data).to_bytes(2, "little") == crc(data)


@given(st.binary(min_size=1, max_size=250), st.integers(0, 15))
def test_user_data_comes_out_of_its_blocks_as_it_went_in(data: bytes, start: int) -> None:
    frame = link(0xC4, 1, 2, data)
    assert checks.user_data(b"x" * start + frame, start + 10, len(data)) == data
    assert checks.in_blocks(data) == frame[10:]


@given(st.binary(min_size=1, max_size=250), st.data())
def test_every_wrong_bit_is_found(data: bytes, draw: st.DataObject) -> None:
    frame = bytearray(link(0xC4, 1, 2, data))
    bit = draw.draw(st.integers(0, (len(frame) - 10) * 8 - 1))
    frame[10 + bit // 8] ^= 1 << bit % 8
    assert checks.user_data(bytes(frame), 10, len(data)) is None


def test_half_a_frame_waits_for_its_other_half() -> None:
    decoder = Dnp3Decoder()
    first = decoder.feed(Side.CLIENT, POLL + OTHER[:13])
    assert [frame.data for frame in first] == [POLL]
    assert decoder.pending(Side.CLIENT) == 13
    assert [frame.data for frame in decoder.feed(Side.CLIENT, OTHER[13:])] == [OTHER]
    assert decoder.pending(Side.CLIENT) == 0


def test_one_whole_frame_is_handed_on_as_the_object_that_came() -> None:
    """The inspection's short way looks for that."""
    decoder = Dnp3Decoder()
    for side, data in [(Side.CLIENT, POLL), (Side.ASSET, REPLY)] * 2:
        assert decoder.feed(side, data)[0].data is data


def test_a_response_belongs_to_the_request_with_its_number_and_stations() -> None:
    (asked,) = fed(Side.CLIENT, POLL)
    (said,) = fed(Side.ASSET, REPLY)
    assert asked.exchange == said.exchange != NO_ANSWER
    assert (asked.role, said.role, said.is_last, said.is_refusal) == (Role.REQUEST, Role.REPLY, True, False)
    others = [response("C4 81 0000"), response("C3 81 0000", source=11), response("C3 81 0000", to=2)]
    assert asked.exchange not in {frame.exchange for frame in fed(Side.ASSET, *others)}


def test_several_outstations_behind_one_connection_are_told_apart() -> None:
    frames = fed(Side.CLIENT, *(request(CLASS_POLL, to=to) for to in (10, 11, 65519)))
    assert [frame.operation.unit for frame in frames] == [10, 11, 65519]
    assert len({frame.what for frame in frames}) == len({frame.exchange for frame in frames}) == 3


def test_requests_that_differ_in_their_numbers_only_mean_the_same() -> None:
    """Application and transport sequence."""
    one, two = fed(Side.CLIENT, POLL, request("C9 01" + CLASS_POLL[5:], transport=0xD7))
    assert one.what == two.what
    assert one.exchange != two.exchange


def test_a_confirmation_of_the_application_is_part_of_the_link() -> None:
    for side, data in [
        (Side.CLIENT, request("C3 00")),
        (Side.CLIENT, request("D3 00")),
        (Side.ASSET, response("C3 00")),
    ]:
        (frame,) = fed(side, data)
        assert (frame.role, frame.exchange, frame.operation.classes) == (Role.LINK, NO_ANSWER, ("session",))


def test_a_confirmation_with_something_behind_it_is_no_confirmation() -> None:
    for app in ("C3 00 3C02 06", "43 00", "83 00"):
        (frame,) = fed(Side.CLIENT, request(app))
        assert frame.role is Role.REQUEST
        with pytest.raises(Malformed):
            _ = frame.operation


def test_an_unsolicited_response_is_a_notice_that_is_judged_by_what_it_reports() -> None:
    (frame,) = fed(Side.ASSET, response("F2 82 0000 0201 28 0100 0700 81 2002 28 0100 0300 01 FFFF"))
    assert (frame.role, frame.exchange) == (Role.NOTICE, NO_ANSWER)
    operation = frame.operation
    assert (operation.classes, operation.code, operation.unit) == (("session", "read"), "130", OUTSTATION)
    assert [(t.table, t.first, t.values) for t in operation.targets] == [
        ("binary_inputs", 7, ("on",)),
        ("analog_inputs", 3, (-1,)),
    ]
    (again,) = fed(Side.ASSET, response("F3 82 0000 0201 28 0100 0700 81 2002 28 0100 0300 01 FFFF"))
    assert again.what == frame.what


def test_an_unsolicited_response_without_objects_is_part_of_the_session() -> None:
    (frame,) = fed(Side.ASSET, response("F0 82 8000"))
    assert frame.operation.classes == ("session",)


def test_a_response_in_several_fragments_is_one_answer() -> None:
    decoder = Dnp3Decoder()
    (asked,) = decoder.feed(Side.CLIENT, POLL)
    parts = ["A3 81 0000 0102 00 0000 81", "24 81 0000 0102 00 0101 81", "24 81 0000 0102 00 0101 81", "65 81 0000"]
    said = [frame for part in parts for frame in decoder.feed(Side.ASSET, response(part))]
    assert [frame.exchange for frame in said] == [asked.exchange] * 4
    assert [frame.is_last for frame in said] == [False, False, False, True]


@pytest.mark.parametrize("part", ["24 81 0000", "65 81 0000", "61 81 0000"])
def test_a_later_fragment_without_the_ones_in_front_ends_the_flow(part: str) -> None:
    with pytest.raises(Malformed):
        fed(Side.ASSET, response(part))
    with pytest.raises(Malformed):
        fed(Side.ASSET, response("A1 81 0000"), response("44 81 0000"))


def test_over_udp_a_later_fragment_whose_first_one_was_lost_is_dropped() -> None:
    decoder = Dnp3Datagrams()
    assert [*decoder.feed(Side.ASSET, response("24 81 0000"))] == []
    assert len(decoder.feed(Side.ASSET, REPLY)) == 1


@pytest.mark.parametrize(
    ("side", "control"),
    [(Side.CLIENT, each) for each in (0xC0, 0xC9, 0xD2, 0xF2, 0x80, 0x81, 0x8B, 0x8E, 0x8F, 0x9B)]
    + [(Side.ASSET, each) for each in (0x00, 0x01, 0x0B, 0x0F, 0x49, 0x40, 0x1B)],
)
def test_link_functions_pass_as_part_of_the_link(side: Side, control: int) -> None:
    ends = (OUTSTATION, MASTER) if side is Side.CLIENT else (MASTER, OUTSTATION)
    (frame,) = fed(side, link(control, *ends))
    assert (frame.role, frame.exchange, frame.operation.classes) == (Role.LINK, NO_ANSWER, ("session",))


@pytest.mark.parametrize(("control", "role"), [(0xC1, Role.REQUEST), (0xC5, Role.REQUEST), (0x82, Role.REQUEST)])
def test_a_link_function_that_the_taxonomy_does_not_list_is_unknown(control: int, role: Role) -> None:
    (frame,) = fed(Side.CLIENT, link(control, OUTSTATION, MASTER))
    assert (frame.role, frame.operation.classes) == (role, ("unknown",))
    (said,) = fed(Side.ASSET, link(control & 0x7F, MASTER, OUTSTATION))
    assert (said.role, said.operation.classes) == (Role.NOTICE, ("unknown",))


@pytest.mark.parametrize(
    ("side", "data"),
    [
        (Side.CLIENT, POLL[:8] + b"\0\0" + POLL[10:]),  # the header's CRC
        (Side.CLIENT, POLL[:-1] + bytes((POLL[-1] ^ 1,))),  # the data's CRC
        (Side.CLIENT, REPLY),  # an answer from the wrong side
        (Side.ASSET, POLL),
        (Side.CLIENT, link(0x44, OUTSTATION, MASTER, b"\xc0\xc3\x01\x3c\x01\x06")),  # no direction bit
        (Side.CLIENT, link(0xC4, OUTSTATION, MASTER)),  # user data without any
        (Side.CLIENT, link(0xC4, OUTSTATION, MASTER, b"\xc0")),  # a segment of nothing
        (Side.CLIENT, request("C3")),  # a fragment without a function
        (Side.CLIENT, link(0xC9, OUTSTATION, MASTER, b"\xc0\xc3\x01")),  # data behind a link function
        (Side.CLIENT, link(0x80, OUTSTATION, MASTER, b"\xc0\xc3\x01")),
        (Side.CLIENT, link(0xD9, OUTSTATION, MASTER)),  # a frame count where none belongs
        (Side.CLIENT, link(0xD4, OUTSTATION, MASTER, b"\xc0\xc3\x0d")),
        (Side.CLIENT, link(0xC2, OUTSTATION, MASTER)),  # and none where one belongs
        (Side.CLIENT, link(0xC3, OUTSTATION, MASTER, b"\xc0\xc3\x0d")),
        (Side.CLIENT, request(CLASS_POLL, source=0xFFFF)),  # addresses that nobody has
        (Side.CLIENT, request(CLASS_POLL, source=0xFFF0)),
        (Side.CLIENT, request(CLASS_POLL, to=0xFFF1)),
        (Side.ASSET, response("C3 81 0000", to=0xFFFF)),
        (Side.CLIENT, link(0xF3, 0xFFFF, MASTER, b"\xc0\xc3\x0d")),  # what cannot be asked of everybody
        (Side.CLIENT, link(0xC9, 0xFFFD, MASTER)),
        (Side.ASSET, response("C3 81")),  # responses that are none
        (Side.ASSET, response("D3 81 0000")),
        (Side.ASSET, response("C3 82 0000")),
        (Side.ASSET, response("D3 82 00")),
        (Side.CLIENT, b"\x05\x64\x04\xc0\x01\0\0\4" + crc(b"\x05\x64\x04\xc0\x01\0\0\4")),  # a length below 5
    ],
)  # fmt: skip
def test_what_the_link_layer_forbids_ends_the_flow(side: Side, data: bytes) -> None:
    decoder = Dnp3Decoder()
    for again in (data, b"", POLL if side is Side.CLIENT else REPLY):
        with pytest.raises(Malformed):
            decoder.feed(side, again)
    assert 0 < decoder.pending(side) <= MAX_HELD_BYTES


@pytest.mark.parametrize("start", [b"\x16\x03\x01", b"GET ", b"\x68\x04", b"\x05\x65", b"\x03\x00\x00\x16", b"\0"])
def test_another_protocol_is_known_by_its_first_bytes(start: bytes) -> None:
    for pieces in ([start], [start[at : at + 1] for at in range(len(start))]):
        with pytest.raises(WrongProtocol):
            fed(Side.CLIENT, *pieces)


def test_frames_in_front_of_a_break_come_out_before_the_break_is_reported() -> None:
    decoder = Dnp3Decoder()
    assert [frame.data for frame in decoder.feed(Side.CLIENT, POLL + b"junk!" * 9999)] == [POLL]
    assert 0 < decoder.pending(Side.CLIENT) <= MAX_HELD_BYTES
    for data in (b"", POLL):
        with pytest.raises(WrongProtocol):
            decoder.feed(Side.CLIENT, data)


@pytest.mark.parametrize("size", [1, 2, 7, 16, 100, 249])
@pytest.mark.parametrize("number", [0, 62, 63])
def test_segments_become_the_fragment_and_keep_their_bytes(size: int, number: int) -> None:
    """Also where their numbers go from 63 to 0."""
    frames = in_segments(LONG, size, number=number, is_request=False)
    if size < 3:
        frames = in_segments(LONG[:700], size, number=number, is_request=False)
    (frame,) = fed(Side.ASSET, *frames)
    assert frame.data == b"".join(frames)
    assert frame.what[2:] == bytes.fromhex(LONG)[: len(frame.what) - 2]
    (at_once,) = fed(Side.ASSET, b"".join(frames))
    assert at_once.data == frame.data


def test_the_gates_own_segments_are_those_of_the_standard() -> None:
    app = bytes(range(256)) * 4
    assert list(segments(0x44, MASTER, OUTSTATION, app, 60)) == in_segments(app, 249, number=60, is_request=False)


def test_segments_for_several_stations_may_be_mixed() -> None:
    one = in_segments(CLASS_POLL, 5)
    parts = ((0x45, bytes.fromhex("C301")), (0x86, bytes.fromhex("3C0106")))
    two = [link(0xC4, 11, MASTER, bytes((head,)) + part) for head, part in parts]
    other = request(CLASS_POLL, to=12)
    frames = fed(Side.CLIENT, one[0], two[0], one[1], two[1], other, one[2])
    assert [frame.operation.unit for frame in frames] == [11, 12, 10]
    assert [frame.data for frame in frames] == [two[0] + two[1], other, b"".join(one)]


def _segment(head: int, app: bytes = b"\xc3\x01\x3c") -> bytes:
    return link(0xC4, OUTSTATION, MASTER, bytes((head,)) + app)


@pytest.mark.parametrize(
    "heads",
    [
        (0x81,),  # a last one, and no first
        (0x01,),
        (0x40, 0x82),  # a gap
        (0x40, 0x80),  # the same number again
        (0x41, 0x80),  # backwards
        (0x40, 0x41),  # a first one within
        (0x40, 0xC1),
        (0x40, 0x01, 0xC2),
    ],
)
def test_segments_out_of_order_end_the_flow_over_tcp_and_are_given_up_over_udp(heads: tuple[int, ...]) -> None:
    with pytest.raises(Malformed):
        fed(Side.CLIENT, *map(_segment, heads))
    decoder = Dnp3Datagrams()
    frames = [frame for head in heads for frame in decoder.feed(Side.CLIENT, _segment(head))]
    assert len(frames) == (heads[-1] & 0xC0 == 0xC0)
    assert all(frame.data == _segment(heads[-1]) for frame in frames)
    assert len(decoder.feed(Side.CLIENT, POLL)) == 1


def test_a_fragment_is_not_longer_than_the_standard_lets_a_station_count_on() -> None:
    longest = bytes.fromhex("C381 0000") + bytes(2044)
    assert len(fed(Side.ASSET, *in_segments(longest, 249, is_request=False))) == 1
    with pytest.raises(Malformed):
        fed(Side.ASSET, *in_segments(longest + b"\0", 249, is_request=False))


def _feed_until_malformed(frames: Iterator[bytes]) -> None:
    decoder = Dnp3Decoder()
    is_broken = False
    for data in frames:
        try:
            decoder.feed(Side.CLIENT, data)
        except Malformed:
            is_broken = True
        assert decoder.pending(Side.CLIENT) <= MAX_HELD_BYTES == DNP3.max_held_bytes
    assert is_broken


def test_what_is_held_of_unfinished_fragments_is_bounded() -> None:
    _feed_until_malformed(link(0xC4, to, MASTER, b"\x40" + bytes(249)) for to in range(1, 1000))


def test_tiny_segments_do_not_hold_more_than_the_bound() -> None:
    heads = [0x40, *(number & 0x3F for number in range(1, 3000))]
    _feed_until_malformed(_segment(head, b"\xc3") for head in heads)


def test_a_datagram_holds_whole_frames() -> None:
    decoder = Dnp3Datagrams()
    assert len(decoder.feed(Side.CLIENT, POLL + LINK_STATUS)) == 2
    for broken in (POLL + OTHER[:-1], POLL[:-1], POLL + OTHER[:-1] + b"\0"):
        with pytest.raises(Malformed):
            decoder.feed(Side.CLIENT, broken)
        assert decoder.pending(Side.CLIENT) == 0
        assert len(decoder.feed(Side.CLIENT, POLL)) == 1


def test_fragments_whose_rest_was_lost_keep_no_other_one_out_over_udp() -> None:
    decoder = Dnp3Datagrams()
    for to in range(1, 1000):
        assert decoder.feed(Side.CLIENT, link(0xC4, to, MASTER, b"\x40" + bytes(249))) == []
        assert decoder.pending(Side.CLIENT) <= MAX_HELD_BYTES
    assert len(decoder.feed(Side.CLIENT, POLL)) == 1


def test_a_select_in_a_datagram_that_is_broken_behind_it_arms_nothing() -> None:
    select, operate = request(f"C4 03 {CROB}"), request(f"C5 04 {CROB}")
    whole, broken = Dnp3Datagrams(), Dnp3Datagrams()
    assert len(whole.feed(Side.CLIENT, select + LINK_STATUS)) == 2
    with pytest.raises(Malformed):
        broken.feed(Side.CLIENT, select + LINK_STATUS[:-1])
    (armed,), (unarmed,) = (each.feed(Side.CLIENT, operate) for each in (whole, broken))
    assert armed.what != unarmed.what


def test_frames_that_the_link_confirms_are_put_together_as_well() -> None:
    """Some masters ask for it, and do not wait for it."""
    app = bytes.fromhex(CLASS_POLL)
    for cut in (len(app), 5):
        heads = [0xC0] if cut == len(app) else [0x40, 0x01, 0x82]
        frames = [
            link(0xD3 | (i % 2) << 5, OUTSTATION, MASTER, bytes((head,)) + app[i * cut : (i + 1) * cut])
            for i, head in enumerate(heads)
        ]
        for _ in range(2):
            (frame,) = fed(Side.CLIENT, *frames)
            assert (frame.role, frame.data) == (Role.REQUEST, b"".join(frames))
            assert frame.what == fed(Side.CLIENT, POLL)[0].what


STREAM = [POLL, LINK_STATUS, *in_segments(f"C3 05 {CROB}", 9), request("C5 00"), OTHER]
ANSWERS = [REPLY, *in_segments(LONG, 249, is_request=False), link(0x0B, MASTER, OUTSTATION), response("F0 82 0000")]


def _seen(frames: list[Frame]) -> list[tuple[bytes, Role, bytes, int]]:
    return [(frame.data, frame.role, frame.what, frame.exchange) for frame in frames]


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_the_outcome_does_not_depend_on_how_the_network_cuts(seed: int, size: int) -> None:
    """Both directions mixed, in pieces of any length."""
    pick = random.Random(seed)
    wanted = {Side.CLIENT: _seen(fed(Side.CLIENT, *STREAM)), Side.ASSET: _seen(fed(Side.ASSET, *ANSWERS))}
    left = {Side.CLIENT: b"".join(STREAM), Side.ASSET: b"".join(ANSWERS)}
    found: dict[Side, list[Frame]] = {side: [] for side in Side}
    decoder = Dnp3Decoder()
    while any(left.values()):
        side = pick.choice([side for side in Side if left[side]])
        cut = pick.randint(1, size)
        found[side] += decoder.feed(side, left[side][:cut])
        left[side] = left[side][cut:]
        assert decoder.pending(side) <= MAX_HELD_BYTES
    assert {side: _seen(frames) for side, frames in found.items()} == wanted


@given(
    st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=400)), max_size=6),
    st.sampled_from([Dnp3Decoder, Dnp3Datagrams]),
)
def test_no_bytes_make_it_raise_anything_but_malformed(
    pieces: list[tuple[Side, bytes]], make: type[Dnp3Decoder]
) -> None:
    decoder = make()
    for side, data in pieces:
        try:
            frames = decoder.feed(side, data)
        except Malformed:
            frames = ()
        assert decoder.pending(side) <= MAX_HELD_BYTES
        assert sum(len(frame.data) for frame in frames) <= sum(len(each) for _, each in pieces)


@given(st.sampled_from(Side), st.binary(min_size=2, max_size=240), st.integers(0, 0xFFFF))
def test_no_fragment_makes_a_frame_raise_anything_but_malformed(side: Side, app: bytes, to: int) -> None:
    ends = (to, MASTER) if side is Side.CLIENT else (MASTER, to)
    try:
        frames = fed(side, link(0xC4 if side is Side.CLIENT else 0x44, *ends, b"\xc0" + app))
        for frame in frames:
            _ = frame.operation
    except Malformed:
        return
    assert len(frames) == 1
    assert frames[0].recorded


def test_time_is_linear_also_for_many_small_pieces() -> None:
    """Each octet is looked at a bounded number of times: what is kept between pieces never exceeds a frame."""
    decoder = Dnp3Decoder()
    frames, held = 0, 0
    for at in range(len(POLL) * 50):
        frames += len(decoder.feed(Side.CLIENT, POLL[at % len(POLL) :][:1]))
        held = max(held, decoder.pending(Side.CLIENT))
    assert (frames, held) == (50, len(POLL) - 1)
