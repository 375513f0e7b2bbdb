"""TPKT and the transport above it: put together, bounded, indifferent to how the network cuts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s7comm_messages import CONFIRM, CONNECT, EMPTY, data, in_parts, tpkt

from penstock.model import Malformed
from penstock.wire import WrongProtocol
from penstock.wire.tpkt import (
    CALLED_TSAP,
    CALLING_TSAP,
    Tpdu,
    TransportReader,
    TransportUnit,
    carried,
    disconnect,
    packet,
    parameters,
)

BOUND = 200


def units(stream: bytes) -> list[TransportUnit]:
    return TransportReader(BOUND).feed(stream)


def test_a_message_in_parts_comes_out_as_one_with_all_its_bytes() -> None:
    message = in_parts(b"one message of several parts", 3, 10, 11)
    (unit,) = units(message)
    assert (unit.kind, unit.payload, unit.data) == (Tpdu.DATA, b"one message of several parts", message)


def test_an_empty_part_in_front_of_a_message_goes_on_by_itself_and_within_one_belongs_to_it() -> None:
    """STEP 7 sends one after every answer; it must not wait for the next request."""
    assert [unit.payload for unit in units(EMPTY + data(b"x"))] == [b"", b"x"]
    message = data(b"a", is_last=False) + EMPTY + data(b"b")
    assert [(unit.payload, unit.data) for unit in units(message)] == [(b"ab", message)]


def test_connection_requests_and_confirms_tell_their_selectors() -> None:
    request, confirm = units(CONNECT + CONFIRM)
    assert (request.kind, confirm.kind) == (Tpdu.CONNECT_REQUEST, Tpdu.CONNECT_CONFIRM)
    assert parameters(request.payload)[CALLING_TSAP] == b"\1\0"
    assert parameters(confirm.payload)[CALLED_TSAP] == b"\1\2"


@pytest.mark.parametrize(
    "packet",
    [
        "0301 0007 02f0 80",
        "0300 0006 02f0",
        "0300 0007 01f0 80",
        "0300 0008 03f0 8000",
        "0300 0007 02f0 81",
        "0300 0007 02f1 80",
        "0300 000b 0610 0000 0000 00",
        "0300 000b 0660 0000 0000 00",
        "0300 000b 06e0 0000 0001 20",
        "0300 000c 06e0 0000 0001 00 00",
        "0300 000a 05e0 0000 0001",
        "0300 0100",
    ],
    ids=[
        "reserved byte",
        "too short to be a packet",
        "length indicator of data",
        "data head of another class",
        "number",
        "credit in the code",
        "expedited data",
        "acknowledgement of another class",
        "class 2",
        "bytes behind a unit",
        "connect without a class",
        "longer than the bound",
    ],
)
def test_what_is_not_class_0_is_malformed(packet: str) -> None:
    with pytest.raises(Malformed):
        units(bytes.fromhex(packet))


@pytest.mark.parametrize("start", [b"\x16\x03\x01", b"GET ", b"SSH-", b"\0\1\0\0", b"\x72"])
def test_another_protocol_is_known_by_its_first_byte(start: bytes) -> None:
    with pytest.raises(WrongProtocol):
        units(start)
    with pytest.raises(WrongProtocol):
        units(start[:1])


def test_a_connection_request_within_a_message_in_parts_is_malformed() -> None:
    with pytest.raises(Malformed):
        units(data(b"half", is_last=False) + CONNECT)


@pytest.mark.parametrize("part", [EMPTY, data(b"x" * 20, is_last=False)], ids=["empty parts", "parts"])
def test_a_message_that_never_ends_is_malformed_at_the_bound(part: bytes) -> None:
    reader = TransportReader(BOUND)
    reader.feed(data(b"begun", is_last=False))
    with pytest.raises(Malformed):
        reader.feed(part * BOUND)
    assert 0 < reader.held_bytes <= BOUND
    with pytest.raises(Malformed):
        reader.feed(b"")


def test_parameters_that_do_not_add_up_are_malformed() -> None:
    for code, fixed in ((0xE0, 7), (0xD0, 7), (0xC0, 6), (0x80, 7), (0x70, 5)):
        for wrong in ("c1", "c105", "c1020100c102", "c1020100c1020100"):
            rest = bytes(fixed - 2) + bytes.fromhex(wrong)
            with pytest.raises(Malformed):
                parameters(bytes((1 + len(rest), code)) + rest)
        with pytest.raises(Malformed):
            parameters(bytes((fixed - 2, code)) + bytes(fixed - 3))


def test_a_refused_connection_names_the_one_that_asked() -> None:
    (unit,) = units(disconnect(CONNECT[4:]))
    assert (unit.kind, unit.payload[2:4]) == (Tpdu.DISCONNECT_REQUEST, CONNECT[8:10])


def test_a_disconnect_may_have_something_behind_it() -> None:
    """python-snap7 sends a byte more than it states."""
    (unit,) = units(bytes.fromhex("0300 000c 0680 0001 0001 00 00"))
    assert unit.kind is Tpdu.DISCONNECT_REQUEST
    with pytest.raises(Malformed):
        units(bytes.fromhex("0300 000d 0680 0001 0001 00 0000"))


def test_a_disconnect_may_be_confirmed_and_nothing_stands_behind_that() -> None:
    """python-snap7's server confirms one, which class 0 does not ask of it."""
    (unit,) = units(bytes.fromhex("0300 000a 05c0 0001 0001"))
    assert unit.kind is Tpdu.DISCONNECT_CONFIRM
    assert parameters(unit.payload) == {}
    with pytest.raises(Malformed):
        units(bytes.fromhex("0300 000b 05c0 0001 0001 00"))


def test_a_payload_is_packed_as_its_reader_reads_it() -> None:
    assert [unit.payload for unit in units(packet(b"payload"))] == [b"payload"]


def test_the_first_user_data_is_found_behind_connects_and_empty_parts() -> None:
    assert carried(CONNECT + EMPTY + data(b"\x32rest")[:9]) == b"\x32r"
    assert carried(CONNECT + EMPTY) is None
    assert carried(data(b"\x32")[:7]) is None
    for wrong in (b"\x04", tpkt(b"\x02\x33\x80"), b"\x03\0\0\x04\x02\xf0\x80"):
        with pytest.raises(Malformed):
            carried(wrong)


def fed(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bool]:
    reader, found = TransportReader(BOUND), list[bytes]()
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    try:
        for start, end in itertools.pairwise(places):
            found += [unit.data for unit in reader.feed(stream[start:end])]
            assert reader.held_bytes <= BOUND
            assert reader.is_busy or not reader.held_bytes
        reader.feed(b"")
    except Malformed:
        assert reader.held_bytes
        return found, True
    return found, False


pieces = st.lists(
    st.one_of(
        st.sampled_from([CONNECT, EMPTY, data(b"whole"), data(b"part", is_last=False), b"\3\0", b"\3\0\0\7"]),
        st.binary(max_size=30),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(pieces.map(b"".join), st.lists(st.integers(0, 250), max_size=12))
def test_any_bytes_give_the_same_units_however_they_are_cut(stream: bytes, cuts: list[int]) -> None:
    """And never anything but units, in order, made of exactly those bytes, or `Malformed`."""
    whole = fed(stream, [])
    assert fed(stream, cuts) == whole
    assert stream.startswith(b"".join(whole[0]))


def test_a_large_message_byte_by_byte_is_copied_no_more_than_a_few_times() -> None:
    """Counted, not timed: the reader joins what it holds only where that completes a packet or tells its length."""
    joins = 0

    class Counting(bytearray):
        def __bytes__(self) -> bytes:
            nonlocal joins
            joins += len(self)
            return bytes(bytearray(self))

    reader = TransportReader(70_000)
    reader._held = Counting()  # what is counted
    stream = data(b"x" * 60_000)
    found = [unit for at in range(len(stream)) for unit in reader.feed(stream[at : at + 1])]
    assert len(found) == 1
    assert len(stream) <= joins < 3 * len(stream)
