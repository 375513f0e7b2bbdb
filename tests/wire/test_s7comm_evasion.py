"""However a forbidden S7comm operation is hidden, it is seen, or the flow ends: nothing of it passes as a read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s7comm_messages import (
    CONNECT,
    EMPTY,
    ack,
    any_item,
    data,
    in_parts,
    job,
    job_pdu,
    octets,
    read_var,
    tis,
    userdata,
    write_var,
)

from penstock.model import Malformed, OperationClass
from penstock.wire import Role, S7Decoder, Side

DB, Q = 0x84, 0x82
READ = read_var(any_item(2, 4, 10, DB, 0))
HARMLESS = {OperationClass.READ, OperationClass.DISCOVERY, OperationClass.DIAGNOSTICS, OperationClass.SESSION}
MODIFY = pack(">HBBHH", 1, 0x22, 1, 0, 6) + b"\0\x09\0\x02\x12\x34"
#: One of everything that changes a controller.
FORBIDDEN = {
    "write var": write_var([any_item(2, 1, 10, DB, 0)], [(4, 8, b"a")]),
    "write among several": write_var(
        [any_item(2, 1, 10, DB, 0), any_item(1, 1, 0, Q, 0)], [(4, 8, b"a"), (3, 1, b"\1")]
    ),
    "modify variable": userdata(0x41, 8, tis(MODIFY)),
    "force": userdata(0x41, 9, tis(MODIFY)),
    "force selection": userdata(0x41, 7, tis("0001")),
    "enable a job": userdata(0x41, 14, tis("0802")),
    "replace a job": userdata(0x41, 18, tis(b"\x08\x02" + tis(MODIFY)[4:])),
    "memory reset": userdata(0x41, 12, tis("0000")),
    "exit hold": userdata(0x41, 11, tis("0000")),
    "set clock": userdata(0x47, 2, octets("0019 16 02 08 23 08 10 12 32")),
    "other set clock": userdata(0x47, 4, octets("0019 16 02 08 23 08 10 12 32")),
    "lock alarms": userdata(0x44, 7, octets("00")),
    "block send": userdata(0x46, 1, octets("1206 1300 00000007 0002 abcd")),
    "program to the NC": userdata(0x7F, 1, octets(b"/a")),
    "password": userdata(0x45, 1, octets(b"12345678")),
    "routing": userdata(0x60, 1, octets("00")),
    "download": job(b"\x1a\0\1\0\0\0\0\0\x09_0A00001P"),
    "activate": job(b"\x28\0\0\0\0\0\0\xfd\0\x0a\1\x000A00001P\x05_INSE"),
    "start": job(b"\x28\0\0\0\0\0\0\xfd\0\0\x09P_PROGRAM"),
    "stop": job(b"\x29\0\0\0\0\0\x09P_PROGRAM"),
    "unknown function": job("99"),
    "CPU services": job("00 01 12 04 11 44 01 00"),
    "record": write_var([any_item(2, 1, 0, 1, 0)], [(4, 8, b"a")]),
    "unknown item": read_var(bytes.fromhex("12 0613 00 00000001")),
    "routed connect": bytes.fromhex("0300 0019 14e0 0000 0007 00 c1020100 c20801020000c0a80001"),
}
every = pytest.mark.parametrize("message", FORBIDDEN.values(), ids=FORBIDDEN)


def judged(pieces: Iterable[bytes], side: Side = Side.CLIENT) -> list[set[OperationClass] | str]:
    """What the gate would judge, one entry for each request and notice: its classes, or why it has none."""
    decoder = S7Decoder()
    found: list[set[OperationClass] | str] = []
    for piece in [*pieces, b""]:
        try:
            frames = decoder.feed(side, piece)
        except Malformed:
            return [*found, "the flow ends"]
        for frame in frames:
            if frame.role is Role.REPLY:
                found.append("a reply to nothing")
            elif frame.role is not Role.LINK:
                try:
                    found.append(set(frame.operation.classes))
                except Malformed:
                    found.append("malformed")
    return found


def assert_seen(found: list[set[OperationClass] | str]) -> None:
    """Something in it is no harmless request, so that it is refused or ends the flow."""
    assert any(isinstance(each, str) or not each <= HARMLESS for each in found)


@every
def test_it_is_seen_as_it_is(message: bytes) -> None:
    (found,) = judged([message])
    assert isinstance(found, set)
    assert not found <= HARMLESS


@every
def test_it_is_seen_however_tcp_cuts_it(message: bytes) -> None:
    whole = judged([message])
    for at in range(1, len(message)):
        assert judged([message[:at], message[at:]]) == whole
    assert judged(message[at : at + 1] for at in range(len(message))) == whole


@every
def test_it_is_seen_behind_and_between_reads_in_one_segment(message: bytes) -> None:
    assert_seen(judged([READ + message + READ]))
    assert_seen(judged([EMPTY + READ + READ + message]))


@every
def test_it_is_seen_in_parts_of_the_transport(message: bytes) -> None:
    """Also where the first part looks like a read up to there, and with empty parts between."""
    payload = message[7:]
    if message[5] == 0xE0:
        return
    for at in range(len(payload) - 1):
        assert judged([in_parts(payload, at + 1)]) == judged([message])
    spread = b"".join(data(payload[at : at + 1], is_last=at == len(payload) - 1) + EMPTY for at in range(len(payload)))
    assert judged([spread[: -len(EMPTY)]]) == judged([message])


@every
def test_a_part_that_begins_as_a_message_ends_the_flow(message: bytes) -> None:
    """An asset that does not put parts together would do what stands in one: a whole message in another's data."""
    if message[5] == 0xE0:
        return
    inner = message[7:]
    outer = job_pdu(b"\x05\1" + any_item(2, len(inner), 10, DB, 0), b"\0\4" + pack(">H", 8 * len(inner)) + inner)
    at = len(outer) - len(inner)
    assert judged([data(outer)]) == [{OperationClass.WRITE}]
    assert judged([in_parts(outer, at)]) == ["the flow ends"]
    assert judged([in_parts(outer, 3, at)]) == ["the flow ends"]


@every
def test_it_does_not_come_to_rest_in_the_middle_of_another_message(message: bytes) -> None:
    """A part that never ends in front of it takes it along, and the whole is no read."""
    half = data(job_pdu(b"\x04\1" + any_item(2, 4, 10, DB, 0)), is_last=False)
    assert_seen(judged([half + message]))


@every
def test_it_is_seen_in_a_stream_without_its_beginning_and_behind_a_connect(message: bytes) -> None:
    assert_seen(judged([READ, message]))
    assert_seen(judged([CONNECT, message]))


@every
def test_lies_about_lengths_hide_nothing(message: bytes) -> None:
    """Each length one more and one less, and as much as there can be: of the packet, the unit, parameters and data."""
    honest = judged([message])
    for at in (2, 3, 4, 13, 14, 15, 16):
        for value in {(message[at] + 1) & 0xFF, (message[at] - 1) & 0xFF, 0, 0xFF} - {message[at]}:
            lie = message[:at] + bytes((value,)) + message[at + 1 :]
            found = judged([lie, READ, READ])
            assert found[:1] == honest or not any(isinstance(each, set) and each <= HARMLESS for each in found[:1])


#: Bytes of the packet, the unit and the PDU's head that say how much there is and who carries it.
FRAMING = [*range(8), *range(9, 17)]


@every
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_no_change_of_the_framing_makes_a_read_of_it(message: bytes, data: st.DataObject) -> None:
    changed = bytearray(message)
    for at in data.draw(st.lists(st.sampled_from(FRAMING), min_size=1, max_size=3)):
        changed[at] = data.draw(st.integers(0, 255))
    found = judged([bytes(changed), READ])
    assert not found[:1] or isinstance(found[0], str) or not found[0] <= HARMLESS


#: Messages of both sides after which others mean more: jobs and uploads that stand.
BEFORE = [
    (Side.CLIENT, userdata(0x41, 8, tis(MODIFY), ref=4)),
    (Side.ASSET, userdata(0x81, 8, ref=4, number=2)),
    (Side.CLIENT, job(b"\x1d\0\0\0\0\0\0\0\x09_0A00001P", ref=5)),
    (Side.ASSET, ack("1d 00 0100 00000001 07 30303030313030", ref=5)),
    (Side.CLIENT, userdata(0x44, 1, octets("001c0000"), ref=6)),
    (Side.ASSET, userdata(0x84, 1, octets("001c0000"), ref=6, number=9)),
]
LATER = [
    *FORBIDDEN.values(),
    READ,
    job("1e 00 0000 00000001"),
    userdata(0x44, 1, number=9),
    userdata(0x42, 1, octets(b"\0\1\1\5" + any_item(2, 4, 5, DB, 0))),
    userdata(0x43, 3, octets(b"0A00001P")),
    userdata(0x01, 8, octets("0004"), number=2),
    read_var(bytes.fromhex("12 0c b0 02 10 000a 0004 02 000b 0000"), any_item(2, 1, 0, Q, 0)),
    read_var(bytes.fromhex("12 12 b2 ff 8a0e 000a 12345678 2000000a 4000000b")),
]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_change_inside_of_a_request_is_an_operation_or_malformed(data: st.DataObject) -> None:
    """Nothing else is raised, and every class of a target is one of the operation's."""
    decoder = S7Decoder()
    for side, message in BEFORE:
        decoder.feed(side, message)
    changed = bytearray(data.draw(st.sampled_from(LATER)))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(17, len(changed) - 1))] = data.draw(st.integers(0, 255))
    side = data.draw(st.sampled_from(Side))
    try:
        frames = decoder.feed(side, bytes(changed))
        operations = [frame.operation for frame in frames if frame.role in {Role.REQUEST, Role.NOTICE}]
    except Malformed:
        return
    for operation in operations:
        assert {target.operation_class for target in operation.targets} <= set(operation.classes)
        assert all(target.count >= 1 for target in operation.targets)


def test_a_lone_reply_of_the_client_is_no_way_to_write() -> None:
    """It belongs to nothing that the controller asked, which ends the flow."""
    fake = ack(b"\x05\1" + any_item(2, 1, 10, DB, 0), "00040008 61")
    assert judged([fake]) == ["a reply to nothing"]
    assert judged([userdata(0x81, 8, tis(MODIFY))]) == ["a reply to nothing"]


def test_a_push_of_the_client_is_judged_and_is_no_harmless_one() -> None:
    for sub in (2, 8, 14):
        assert_seen(judged([userdata(0x01, sub, tis(MODIFY))]))


def test_a_client_that_plays_the_controller_is_judged_as_what_it_is() -> None:
    """The requests that only controllers make are unknown from a client, and the other way round."""
    assert judged([job(b"\x1b\0\0\0\0\0\0\0\x09_0A00001P")]) == [{OperationClass.UNKNOWN}]
    for message in (READ, *FORBIDDEN.values()):
        assert_seen(judged([message], Side.ASSET))


def test_a_number_that_is_used_twice_moves_no_block_to_another_upload() -> None:
    """Two uploads begin under one reference: what goes on is the block that was asked for last, or none."""
    decoder = S7Decoder()
    for name in (b"_0C00001A", b"_0A00009A"):
        decoder.feed(Side.CLIENT, job(b"\x1d\0\0\0\0\0\0\0\x09" + name))
    decoder.feed(Side.ASSET, ack("1d 00 0100 00000001 07 30303030313030"))
    decoder.feed(Side.ASSET, ack("1d 00 0100 00000002 07 30303030313030"))
    found = [
        [(target.table, target.first) for target in frame.operation.targets]
        for number in (b"\1", b"\2")
        for frame in decoder.feed(Side.CLIENT, job(b"\x1e\0\0\0\0\0\0" + number))
    ]
    assert found == [[("DB", 9)], []]


def test_jobs_beyond_what_is_remembered_are_writes_without_an_object() -> None:
    """A flood of jobs makes the gate forget the first; then nobody knows what it writes, so it fits into no limit."""
    decoder = S7Decoder()
    modify = userdata(0x41, 8, tis(MODIFY))
    for number in range(1, 60):
        decoder.feed(Side.CLIENT, modify)
        decoder.feed(Side.ASSET, userdata(0x81, 8, number=number))
    for number, objects in ((1, 0), (59, 1)):
        (frame,) = decoder.feed(Side.CLIENT, userdata(0x41, 14, tis(bytes((8, number)))))
        assert frame.operation.classes == (OperationClass.WRITE,)
        assert len(frame.operation.targets) == objects


def test_what_a_flow_remembers_is_bounded() -> None:
    decoder = S7Decoder()
    long = userdata(0x41, 8, octets(bytes(4000)))
    for ref, number in pairwise(range(1, 200)):
        decoder.feed(Side.CLIENT, long[:11] + pack(">H", ref) + long[13:])
        decoder.feed(Side.ASSET, userdata(0x81, 8, ref=ref, number=number))
        decoder.feed(Side.CLIENT, job(b"\x1d\0\0\0\0\0\0\0\x09_0A00001P", ref=ref))
        decoder.feed(Side.ASSET, ack(b"\x1d\0\1\0" + pack(">I", ref), ref=ref))
    kept = decoder._standing  # what is counted
    for each in (kept._asked, kept._uploads, kept._jobs):
        assert len(each) <= 32
        assert all(len(body) <= 1024 for body in each.values())
