"""One datagram at a time: layers, roles, pairs of request and reply, what is remembered, what may go on record."""

from __future__ import annotations

import itertools

import pytest
from bacnet_datagrams import (
    COLDSTART,
    EVERYONE,
    READ,
    STATION_3_6C,
    WRITE,
    answer_segment,
    bvll,
    confirmed,
    fed,
    npdu,
    octets,
    segment,
    unconfirmed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.model import Malformed, Reason
from penstock.model import OperationClass as Is
from penstock.wire import NO_ANSWER, PROTOCOLS, Role, Side, WrongProtocol
from penstock.wire.bacnet import BACNET, MAX_HELD_BYTES, BacnetDecoder, BacnetFrame
from penstock.wire.bacnet.segments import MAX_KEPT_BYTES

CLIENT, ASSET = Side.CLIENT, Side.ASSET


def reply(apdu: str, **more: bytes) -> bytes:
    return npdu(apdu, control=0, **more)  # type: ignore[arg-type]


def test_bacnet_is_listed_among_the_protocols_that_can_be_inspected() -> None:
    assert BACNET in PROTOCOLS
    assert BACNET.datagrams is BacnetDecoder
    assert BACNET.streams is None


@pytest.mark.parametrize(
    ("apdu", "side", "role", "is_refusal"),
    [
        (confirmed(12, READ), CLIENT, Role.REQUEST, False),
        (confirmed(1, ""), ASSET, Role.REQUEST, False),
        (unconfirmed(8), CLIENT, Role.REQUEST, False),
        (unconfirmed(0), ASSET, Role.NOTICE, False),
        (octets("20 07 0f"), ASSET, Role.REPLY, False),
        (octets("20 07 01"), CLIENT, Role.REPLY, False),
        (octets("30 07 0c 00"), ASSET, Role.REPLY, False),
        (octets("40 07 00 04"), CLIENT, Role.LINK, False),
        (octets("41 07 00 04"), ASSET, Role.LINK, False),
        (octets("50 07 0c 9102 9120"), ASSET, Role.REPLY, True),
        (octets("60 07 09"), ASSET, Role.REPLY, True),
        (octets("71 07 04"), ASSET, Role.REPLY, True),
        (octets("70 07 00"), ASSET, Role.LINK, False),
        (octets("70 07 00"), CLIENT, Role.LINK, False),
        (octets("71 07 04"), CLIENT, Role.REPLY, True),
        (octets("80 07"), CLIENT, Role.REQUEST, False),
        (octets("80 07"), ASSET, Role.NOTICE, False),
    ],
)
def test_the_type_of_an_apdu_and_its_sender_decide_the_role(
    apdu: bytes,
    side: Side,
    role: Role,
    is_refusal: bool,  # noqa: FBT001 - a table
) -> None:
    frame = fed(npdu(apdu, control=0), side)
    assert (frame.role, frame.is_refusal) == (role, is_refusal)


@pytest.mark.parametrize("answer", ["20 07 0f", "30 07 0f 00", "50 07 0f 9102 9128", "60 07 00", "71 07 00"])
def test_every_kind_of_reply_has_the_exchange_of_its_request(answer: str) -> None:
    for way in ({}, {"to": STATION_3_6C}, {"by": STATION_3_6C}, {"to": STATION_3_6C, "by": bytes.fromhex("00050109")}):
        back = {{"to": "by", "by": "to"}[end]: address for end, address in way.items()}
        decoder = BacnetDecoder()
        request = fed(npdu(confirmed(15, WRITE), **way), decoder=decoder)
        assert fed(reply(answer, **back), ASSET, decoder).exchange == request.exchange


def test_what_is_not_the_reply_has_another_exchange() -> None:
    """Another invoke id, another service, another device."""
    decoder = BacnetDecoder()
    request = fed(npdu(confirmed(15, WRITE)), decoder=decoder)
    others = [reply("20 08 0f"), reply("20 07 10"), reply("20 07 0f", by=STATION_3_6C), reply("60 08 00")]
    assert request.exchange not in {fed(other, ASSET, decoder).exchange for other in others}


def test_requests_that_differ_in_the_invoke_id_only_mean_the_same() -> None:
    first, second = (fed(npdu(confirmed(15, WRITE, invoke=number))) for number in (1, 2))
    assert first.what == second.what
    assert first.exchange != second.exchange


def test_whatever_decides_is_part_of_what_a_request_means() -> None:
    """Priority, value, device, way, and who asks."""
    asked = [
        fed(npdu(confirmed(15, WRITE))),
        fed(npdu(confirmed(15, WRITE[:-1] + "9"))),
        fed(npdu(confirmed(15, WRITE), to=STATION_3_6C)),
        fed(npdu(confirmed(15, WRITE), by=STATION_3_6C)),
        fed(npdu(confirmed(15, WRITE), function=0x0B)),
        fed(npdu(confirmed(15, WRITE)), ASSET),
    ]
    assert len({frame.what for frame in asked}) == len(asked)


def test_a_function_of_the_link_is_paired_with_its_result() -> None:
    decoder = BacnetDecoder()
    register = fed(bvll("003c", 5), decoder=decoder)
    delete = fed(bvll("0a000001bac0", 8), decoder=decoder)
    table = fed(bvll("", 2), decoder=decoder)
    assert fed(bvll("0000", 0), ASSET, decoder).exchange == register.exchange
    nak = fed(bvll("0050", 0), ASSET, decoder)
    assert (nak.exchange, nak.is_refusal) == (delete.exchange, True)
    assert fed(bvll("", 3), ASSET, decoder).exchange == table.exchange
    assert fed(bvll("0000", 0), ASSET, decoder).exchange not in {register.exchange, delete.exchange, table.exchange}
    assert fed(bvll("0060", 0), ASSET, decoder).role is Role.LINK
    again = fed(bvll("003c", 5), decoder=decoder), fed(bvll("003d", 5), decoder=decoder)
    assert [fed(bvll("0000", 0), ASSET, decoder).exchange for _ in range(2)] != [frame.exchange for frame in again]


@pytest.mark.parametrize(
    "datagram",
    ["82 0a 0006 0100", "16 0301 00ff", "81 0a 0008 0204 10 08", "47 45 54 20", "05 00 0b 03"],
)
def test_another_protocol_is_known_by_its_first_bytes(datagram: str) -> None:
    with pytest.raises(WrongProtocol):
        BacnetDecoder().feed(CLIENT, octets(datagram))


@pytest.mark.parametrize(
    "datagram",
    [
        octets("81 0a 0007 0104 10 08"), octets("81 0a 0009 0104 10 08"), bvll("01"), bvll("0100"),
        bvll("0140 1008"), bvll("0110 1008"), bvll("0120 0000 00 ff 1008"), bvll("0120 ffff 01 05 ff 1008"),
        bvll("0108 0003 00 1008"), bvll("0108 ffff 01 05 1008"), bvll("0120 0003 05 01"), bvll("0120 0003 01 05 ff"),
        bvll("0120 0003 13" + 19 * "00" + "ff 1008"), bvll("0180"), bvll("0180 85 00"), bvll("003c00", 5),
        bvll("00", 5), bvll("00", 2), bvll("0a000001bac0", 1), bvll("00", 0), bvll("0a000001ba", 4), bvll("0a00", 8),
        npdu("02"), npdu("020507"), npdu("10"), npdu("2007"), npdu("20070f00"), npdu("3007"), npdu("50070f"),
        npdu("6007"), npdu("60070000"), npdu("7107"), npdu("710700 00"), npdu("400700"), npdu("4007000400"),
        npdu("0a0507 00 04"), npdu("380700 04"),
    ],
)  # fmt: skip
def test_a_datagram_that_is_not_whole_or_not_right_is_malformed_and_the_next_one_is_read(datagram: bytes) -> None:
    decoder = BacnetDecoder()
    for side in Side:
        with pytest.raises(Malformed):
            decoder.feed(side, datagram)
    assert fed(npdu(confirmed(12, READ)), decoder=decoder).operation.classes == (Is.READ,)


def test_nothing_comes_of_an_empty_datagram() -> None:
    assert not BacnetDecoder().feed(CLIENT, b"")


def test_what_was_judged_is_what_goes_on() -> None:
    decoder = BacnetDecoder()
    datagram = npdu(confirmed(15, WRITE), to=STATION_3_6C)
    assert decoder.forward(fed(datagram, decoder=decoder)) is datagram
    assert decoder.due(CLIENT) == decoder.due(ASSET) == b""
    assert decoder.rewrites is False


PASSWORD = b"hunter2"
TEXT = bytes((len(PASSWORD) + 1, 0)) + PASSWORD


@pytest.mark.parametrize(
    ("service", "parts"),
    [(17, b"\x19\x01\x2d" + TEXT), (20, b"\x09\x00\x1d" + TEXT), (24, b"\x2d" + TEXT + b"\x3d" + TEXT),
     (20, b"\x09\x00\x1d" + TEXT + b"\x0e"), (17, b"\x2d" + TEXT)],
)  # fmt: skip
def test_a_password_is_in_no_record(service: int, parts: bytes) -> None:
    """Not where the message is whole, and not where it breaks the standard; everything else of it is."""
    for way in ({}, {"to": STATION_3_6C}):
        frame = fed(npdu(confirmed(service, parts), **way))
        assert len(frame.recorded) == len(frame.data)
        assert frame.recorded.startswith(frame.data[: -len(parts)])
        assert (PASSWORD in frame.recorded, PASSWORD in frame.data) == (
            service == 24 and b"\x2d" in frame.recorded,
            True,
        )
        try:
            assert PASSWORD.decode() not in repr(frame.operation)
        except Malformed as error:
            assert PASSWORD.decode() not in str(error)  # noqa: PT017 - whichever it is


def test_a_password_in_segments_is_in_no_record() -> None:
    decoder = BacnetDecoder()
    parts = b"\x09\x00\x1d" + TEXT
    for cut in range(1, len(parts)):
        first = fed(npdu(segment(20, parts[:cut], 0, more=True, invoke=cut)), decoder=decoder)
        last = fed(npdu(segment(20, parts[cut:], 1, more=False, invoke=cut)), decoder=decoder)
        assert last.operation.code == "confirmed/20/0"
        shown = first.recorded[-cut:] + last.recorded[-(len(parts) - cut) :]
        assert shown == b"*" * len(parts)


def test_what_has_no_password_is_recorded_as_it_is() -> None:
    for datagram in (npdu(confirmed(15, WRITE)), npdu(unconfirmed(8)), bvll("003c", 5), npdu("20070f")):
        assert fed(datagram).recorded is datagram


def begun(decoder: BacnetDecoder, state: int, answer: str = "20 07 14", **way: bytes) -> None:
    frame = fed(npdu(confirmed(20, bytes((0x09, state))), **way), decoder=decoder)
    decoder.forward(frame)
    fed(reply(answer, **{"by": way["to"]} if way else {}), ASSET, decoder)


READ_FILE, WRITE_FILE = "c4 02800001 0e 31 00 22 0200 0f", "c4 02800001 0e 31 00 62 0102 0f"


def class_of_file(decoder: BacnetDecoder, service: int = 6, **way: bytes) -> Is:
    (found,) = fed(
        npdu(confirmed(service, READ_FILE if service == 6 else WRITE_FILE), **way), decoder=decoder
    ).operation.classes
    return found


def test_files_are_the_program_while_the_device_is_backed_up_or_restored() -> None:
    decoder = BacnetDecoder()
    assert (class_of_file(decoder), class_of_file(decoder, 7)) == (Is.FILE_READ, Is.FILE_WRITE)
    begun(decoder, 2)
    assert (class_of_file(decoder), class_of_file(decoder, 7)) == (Is.PROGRAM_FROM_DEVICE, Is.FILE_WRITE)
    assert class_of_file(decoder, to=STATION_3_6C) is Is.FILE_READ
    begun(decoder, 3)
    assert class_of_file(decoder) is Is.FILE_READ
    begun(decoder, 4, to=STATION_3_6C)
    assert class_of_file(decoder, 7, to=STATION_3_6C) is Is.PROGRAM_TO_DEVICE
    assert class_of_file(decoder, 7) is Is.FILE_WRITE
    begun(decoder, 6, to=STATION_3_6C)
    assert class_of_file(decoder, 7, to=STATION_3_6C) is Is.FILE_WRITE


def test_what_a_file_request_means_is_part_of_what_is_judged() -> None:
    decoder = BacnetDecoder()
    before = fed(npdu(confirmed(6, READ_FILE)), decoder=decoder)
    begun(decoder, 2)
    assert fed(npdu(confirmed(6, READ_FILE)), decoder=decoder).what != before.what


@pytest.mark.parametrize("answer", ["50 07 14 9105 911a", "60 07 00", "71 07 00"])
def test_a_backup_that_the_device_declines_does_not_begin(answer: str) -> None:
    decoder = BacnetDecoder()
    begun(decoder, 2, answer)
    assert class_of_file(decoder) is Is.FILE_READ


def test_a_refused_state_does_not_count_for_the_one_that_is_under_way() -> None:
    """Both with the same invoke id: the device only ever heard of the first."""
    decoder = BacnetDecoder()
    fed(npdu(confirmed(20, "09 02")), decoder=decoder)
    end = fed(npdu(confirmed(20, "09 03")), decoder=decoder)
    assert decoder.refuse(end, Reason.OPERATION_NOT_ALLOWED)
    fed(reply("20 07 14"), ASSET, decoder)
    assert class_of_file(decoder) is Is.PROGRAM_FROM_DEVICE


pieces = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(bvll),
    st.binary(max_size=60).map(lambda data: bvll(b"\x01\x04" + data)),
    st.tuples(st.integers(0, 0x10), st.binary(max_size=30)).map(lambda each: bvll(each[1], each[0])),
    st.tuples(st.integers(0, 255), st.binary(max_size=30)).map(lambda each: bvll(bytes((1, each[0])) + each[1])),
    st.tuples(st.integers(0, 40), st.binary(max_size=30)).map(lambda each: npdu(confirmed(*each))),
    st.tuples(st.integers(0, 3), st.binary(max_size=600), st.booleans()).map(
        lambda each: npdu(segment(16, each[1], each[0], more=each[2]))
    ),
    st.tuples(st.integers(0, 3), st.binary(max_size=600), st.booleans()).map(
        lambda each: npdu(answer_segment(14, each[1], each[0], more=each[2]))
    ),
    st.sampled_from([npdu("20070f"), npdu("710700"), npdu("700700"), npdu("40070004"), npdu(confirmed(20, COLDSTART))]),
    st.sampled_from([npdu(confirmed(12, READ), to=EVERYONE), bvll("0000", 0), bvll("003c", 5)]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Side), pieces, st.sampled_from([None, *Reason])), max_size=25))
def test_any_datagrams_give_frames_or_are_malformed_and_little_is_kept(
    said: list[tuple[Side, bytes, Reason | None]],
) -> None:
    """Nothing else is ever raised: not by what they mean, what refuses them, what goes on record, or what they say."""
    decoder, seen = BacnetDecoder(), list[BacnetFrame]()
    for side, data, reason in said:
        try:
            frames = decoder.feed(side, data)
        except Malformed:
            continue
        for frame in frames:
            assert isinstance(frame, BacnetFrame)
            assert frame.data is data
            assert len(frame.recorded) == len(data)
            if frame.role in {Role.REQUEST, Role.NOTICE}:
                try:
                    assert frame.operation.classes
                except Malformed:
                    reason = reason or Reason.MALFORMED  # noqa: PLW2901 - what the gate then does
            if reason is not None:
                refusal = decoder.refuse(frame, reason)
                assert not refusal or (refusal[0] == 0x81 and int.from_bytes(refusal[2:4], "big") == len(refusal))
            assert decoder.forward(frame) is data
            seen.append(frame)
        assert 0 <= decoder.pending(side) <= decoder.held(side) <= MAX_HELD_BYTES
    for request, answered in itertools.product(seen[:12], repeat=2):
        assert isinstance(decoder.answer(request, answered).status, str)


def test_the_services_of_many_devices_are_remembered_within_a_bound() -> None:
    decoder = BacnetDecoder()
    for number in range(1, 6000):
        fed(npdu(confirmed(15, WRITE), to=number.to_bytes(2, "big") + b"\x01\x05"), decoder=decoder)
    assert len(decoder._client.asked) <= 16 * 256
    last = fed(npdu(confirmed(15, WRITE), to=STATION_3_6C), decoder=decoder)
    assert fed(reply("60 07 00", by=STATION_3_6C), ASSET, decoder).exchange == last.exchange


def test_nothing_answers_an_unconfirmed_request() -> None:
    assert fed(npdu(unconfirmed(8))).exchange == NO_ANSWER
    assert MAX_HELD_BYTES == 2 * MAX_KEPT_BYTES
