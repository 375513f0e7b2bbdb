"""Framing: bounded, indifferent to how the network cuts, and never anything but frames or `Malformed`."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.model import Malformed, Reason
from penstock.wire import DECODERS, Frame, ModbusDecoder, Side, WrongProtocol
from penstock.wire.modbus import MODBUS

READ = bytes.fromhex("0001 0000 0006 01 03 0000 0002")
WRITE = bytes.fromhex("0002 0000 0006 01 06 0001 0055")
REPLY = bytes.fromhex("0001 0000 0007 01 03 04 0000 0001")
EXCEPTION = bytes.fromhex("0001 0000 0003 01 83 02")


def test_half_a_frame_waits_for_its_other_half() -> None:
    """What is complete comes out, what is not is kept."""
    decoder = ModbusDecoder()
    first = decoder.feed(Side.CLIENT, READ + WRITE[:5])
    assert [frame.data for frame in first] == [READ]
    assert decoder.pending(Side.CLIENT) == 5
    assert [frame.data for frame in decoder.feed(Side.CLIENT, WRITE[5:])] == [WRITE]
    assert decoder.pending(Side.CLIENT) == 0


def test_the_two_directions_do_not_mix() -> None:
    """Half a request and half a reply may wait at the same time."""
    decoder = ModbusDecoder()
    assert not decoder.feed(Side.CLIENT, READ[:6])
    assert not decoder.feed(Side.ASSET, REPLY[:6])
    (request,) = decoder.feed(Side.CLIENT, READ[6:])
    (reply,) = decoder.feed(Side.ASSET, REPLY[6:])
    assert (request.data, reply.data, request.exchange) == (READ, REPLY, reply.exchange)


def test_an_exception_reply_belongs_to_its_request_and_is_a_refusal() -> None:
    """The exception bit is not part of the exchange."""
    decoder = ModbusDecoder()
    (request,) = decoder.feed(Side.CLIENT, READ)
    (reply,) = decoder.feed(Side.ASSET, EXCEPTION)
    assert (request.exchange, request.is_refusal) == (reply.exchange, False)
    assert reply.is_refusal


def test_requests_that_differ_in_the_transaction_number_only_mean_the_same() -> None:
    """So the verdict on one holds for the other."""
    decoder = ModbusDecoder()
    (first,) = decoder.feed(Side.CLIENT, READ)
    (second,) = decoder.feed(Side.CLIENT, b"\x12\x34" + READ[2:])
    assert first.what == second.what
    assert first.exchange != second.exchange


@pytest.mark.parametrize("length", [0, 1, 255, 256, 0xFFFF])
def test_an_illegal_length_is_malformed_before_the_frame_is_there(length: int) -> None:
    """Only 2 to 254 bytes can follow the length."""
    with pytest.raises(Malformed):
        ModbusDecoder().feed(Side.CLIENT, b"\0\1\0\0" + length.to_bytes(2, "big") + b"\1\3")


def test_function_90_may_be_one_byte_longer_as_real_equipment_sends_it() -> None:
    """Observed in captures; a longer one, or another function of that length, is refused."""
    long = b"\0\1\0\0\0\xff\0\x5a\0\x0a" + bytes(251)
    for pieces in ([long], [long[:6], long[6:]], [long[:7], long[7:]]):
        decoder = ModbusDecoder()
        assert [f.data for piece in pieces for f in decoder.feed(Side.CLIENT, piece)] == [long]


@pytest.mark.parametrize("start", [b"\x16\x03\x01", b"GET ", b"SSH-", b"\x05\x00\x0b", b"\x03\x00\x00\x16"])
def test_another_protocol_is_known_by_its_first_bytes(start: bytes) -> None:
    """TLS, HTTP, SSH, DCE/RPC and TPKT."""
    with pytest.raises(WrongProtocol):
        ModbusDecoder().feed(Side.CLIENT, start)


def test_frames_in_front_of_a_break_come_out_before_the_break_is_reported() -> None:
    """So that the outcome does not depend on where the network cut."""
    decoder = ModbusDecoder()
    assert [frame.data for frame in decoder.feed(Side.CLIENT, READ + b"junk!" * 9999)] == [READ]
    assert 0 < decoder.pending(Side.CLIENT) <= 260
    with pytest.raises(Malformed):
        decoder.feed(Side.CLIENT, b"")
    with pytest.raises(Malformed):
        decoder.feed(Side.CLIENT, READ)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.OPERATION_NOT_ALLOWED, 1),
        (Reason.UNKNOWN_OPERATION, 1),
        (Reason.NO_CONDUIT, 1),
        (Reason.OBJECT_OUT_OF_RANGE, 2),
        (Reason.VALUE_OUT_OF_RANGE, 3),
        (Reason.MALFORMED, 3),
        (Reason.INSPECTION_UNAVAILABLE, 4),
        (Reason.RATE_EXCEEDED, 6),
        (Reason.TOO_MANY_IN_FLIGHT, 6),
        (Reason.EVIDENCE_UNAVAILABLE, 6),
        (Reason.HOLD_TIMED_OUT, 6),
        (Reason.HOLD_REFUSED, 1),
    ],
)
def test_a_refusal_is_an_exception_reply_to_that_request(reason: Reason, code: int) -> None:
    """Same transaction and unit, the function with the exception bit, and the code of section 7."""
    decoder = ModbusDecoder()
    (request,) = decoder.feed(Side.CLIENT, WRITE)
    refusal = decoder.refuse(request, reason)
    assert refusal == WRITE[:4] + b"\0\3\1\x86" + bytes((code,))
    (reply,) = decoder.feed(Side.ASSET, refusal)
    assert (reply.exchange, reply.is_refusal) == (request.exchange, True)


def fed(data: bytes, cuts: list[int]) -> tuple[list[bytes], bool]:
    """Frames, and whether the stream broke, when `data` is cut at these places."""
    decoder, frames = ModbusDecoder(), list[Frame]()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    try:
        for start, end in itertools.pairwise(places):
            frames += decoder.feed(Side.CLIENT, data[start:end])
            assert decoder.pending(Side.CLIENT) <= 260
        decoder.feed(Side.CLIENT, b"")
    except Malformed:
        return [frame.data for frame in frames], True
    return [frame.data for frame in frames], False


pieces = st.lists(st.one_of(st.sampled_from([READ, WRITE, b"\0\0\0\0", b"\0\1\0\0\0\2\1\7"]), st.binary(max_size=40)))


@settings(max_examples=150, deadline=None)
@given(pieces.map(b"".join), st.lists(st.integers(0, 400), max_size=12))
def test_any_bytes_give_the_same_frames_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    """And never anything but frames, in order, made of exactly those bytes, or `Malformed`."""
    whole = fed(data, [])
    assert fed(data, cuts) == whole
    assert data.startswith(b"".join(whole[0]))


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=253))
def test_any_pdu_means_an_operation_or_is_malformed(pdu: bytes) -> None:
    """Nothing else is ever raised, and no target leaves its address space."""
    decoder = ModbusDecoder()
    (frame,) = decoder.feed(Side.CLIENT, b"\0\1\0\0" + (len(pdu) + 1).to_bytes(2, "big") + b"\1" + pdu)
    try:
        operation = frame.operation
    except Malformed:
        return
    assert operation.classes
    for target in operation.targets:
        assert target.count >= 1
        assert target.values is None or len(target.values) == target.count
        assert target.table == "files" or target.last <= 0xFFFF


def test_modbus_is_listed_among_the_protocols_that_can_be_inspected() -> None:
    """The list is what the gate knows."""
    assert isinstance(DECODERS["modbus"](), ModbusDecoder)


def test_the_gate_owes_nothing_to_either_side_by_itself() -> None:
    """A refusal is its own answer: Modbus counts no messages."""
    decoder = ModbusDecoder()
    (request,) = decoder.feed(Side.CLIENT, WRITE)
    assert decoder.refuse(request, Reason.OPERATION_NOT_ALLOWED)
    assert not decoder.due(Side.CLIENT)
    assert not decoder.due(Side.ASSET)


@pytest.mark.parametrize(
    ("said", "side", "answer"),
    [
        ("0001", Side.CLIENT, None),
        ("0001 00", Side.CLIENT, None),
        ("0001 01", Side.CLIENT, False),
        ("0001 0000 01", Side.CLIENT, False),
        ("0001 0000 0006 01", Side.CLIENT, None),
        ("0001 0000 0006 01 03", Side.CLIENT, True),
        ("0001 0000 0006 01 03 0000 0002", Side.ASSET, True),
        ("0001 0000 0001 01 03", Side.CLIENT, False),
        ("0001 0000 00ff 01 03", Side.CLIENT, False),
        ("0001 0000 00ff 01 5a", Side.CLIENT, True),
        ("0001 0000 0003 01 83 02", Side.CLIENT, False),
        ("0001 0000 0003 01 83 02", Side.ASSET, True),
        ("0001 0000 0003 01 00 02", Side.CLIENT, False),
        ("0001 0000 0002 01 07 0002 0000", Side.CLIENT, True),
        ("0001 0000 0002 01 07 0002 0100", Side.CLIENT, False),
        ("0300 0016 11e0 0000", Side.CLIENT, False),
        ("1603 0100 c801 0000", Side.CLIENT, False),
    ],
)
def test_the_first_bytes_tell_whether_they_are_modbus(said: str, side: Side, answer: object) -> None:
    assert MODBUS.fits(bytes.fromhex(said), side) is answer
