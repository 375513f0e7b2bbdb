"""However a forbidden Modbus operation is hidden, it is seen, or the flow ends: nothing of it passes as a read."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.model import Malformed, OperationClass
from penstock.wire import Decoder, Role, Side, WrongProtocol
from penstock.wire.modbus import MODBUS, ModbusDatagramDecoder, ModbusDecoder
from penstock.wire.modbus.decoder import MAX_HELD_BYTES

H = bytes.fromhex
READ_PDU = H("03 0000 0002")
HARMLESS = {OperationClass.READ, OperationClass.DISCOVERY, OperationClass.DIAGNOSTICS, OperationClass.SESSION}
#: One of everything that changes an asset, as PDUs.
FORBIDDEN = {
    "write one coil": "05 0001 ff00",
    "write one register": "06 000a 0037",
    "write coils": "0f 0000 0008 01 ff",
    "write registers": "10 000a 0002 04 0001 0002",
    "mask write": "16 0004 00f2 0025",
    "write hidden in a read": "17 0000 0001 000a 0001 02 0037",
    "write file record": "15 09 06 0001 0000 0001 0037",
    "restart": "08 0001 0000",
    "listen only": "08 0004 0000",
    "change delimiter": "08 0003 0a00",
    "clear counters": "08 000a 0000",
    "CANopen": "2b 0d 00 00",
    "UMAS reservation": "5a 00 10 00",
    "UMAS stop": "5a 00 41 00",
    "UMAS program": "5a 00 30 00",
    "UMAS that nobody knows": "5a 00 ee 00",
    "user-defined": "41 00",
    "reserved": "7f 00",
    "old programming": "0a 00",
}


def message(pdu: bytes, number: int = 1, unit: int = 1) -> bytes:
    return number.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes((unit,)) + pdu


READ = message(READ_PDU)


def judged(pieces: Iterator[bytes] | list[bytes], decoder: Decoder | None = None) -> list[set[OperationClass] | str]:
    """What the gate would judge, one entry for each request: its classes, or why it has none."""
    reader = decoder or ModbusDecoder()
    found: list[set[OperationClass] | str] = []
    for piece in pieces:
        try:
            frames = reader.feed(Side.CLIENT, piece)
        except Malformed:
            return [*found, "the flow ends"]
        for frame in frames:
            assert frame.role is Role.REQUEST
            try:
                found.append(set(frame.operation.classes))
            except Malformed:
                found.append("refused as malformed")
    return found


def is_seen(found: list[set[OperationClass] | str]) -> bool:
    """Whether anything that a conduit for reads does not allow is among it."""
    return any(isinstance(each, str) or not each <= HARMLESS for each in found)


every = pytest.mark.parametrize("pdu", [H(pdu) for pdu in FORBIDDEN.values()], ids=list(FORBIDDEN))


@every
def test_in_the_plain(pdu: bytes) -> None:
    assert is_seen(judged([message(pdu)]))


@every
def test_cut_by_the_network_at_every_byte(pdu: bytes) -> None:
    data = message(pdu)
    for at in range(1, len(data)):
        assert is_seen(judged([data[:at], data[at:]]))
    assert is_seen(judged(data[at : at + 1] for at in range(len(data))))


@every
def test_among_many_reads_in_one_segment(pdu: bytes) -> None:
    for place in (0, 7, 20):
        messages = [READ] * 20
        messages.insert(place, message(pdu))
        found = judged([b"".join(messages)])
        assert len(found) == 21
        assert found.index(next(each for each in found if each != {OperationClass.READ})) == place


@every
def test_behind_half_a_read_that_is_finished_later(pdu: bytes) -> None:
    assert is_seen(judged([READ[:5], READ[5:] + message(pdu)[:3], message(pdu)[3:]]))


@every
def test_with_the_number_of_a_request_that_is_under_way(pdu: bytes) -> None:
    first, second = message(READ_PDU, 9), message(pdu, 9)
    assert is_seen(judged([first, second]))
    a, b = (*ModbusDecoder().feed(Side.CLIENT, first + second),)
    assert a.what != b.what


@every
@pytest.mark.parametrize("unit", [0, 247, 248, 255])
def test_to_any_unit_also_to_all(pdu: bytes, unit: int) -> None:
    assert is_seen(judged([message(pdu, unit=unit)]))


@every
def test_in_the_length_of_another_message(pdu: bytes) -> None:
    """A read that says that it is longer takes the forbidden one along: then it is no read."""
    inner = message(pdu)
    longer = bytearray(message(READ_PDU + inner))
    assert is_seen(judged([bytes(longer)]))
    for lie in range(2, 254):
        longer[4:6] = lie.to_bytes(2, "big")
        assert is_seen(judged([bytes(longer), READ * 30])), lie


@every
def test_with_a_length_that_leaves_its_own_end_behind(pdu: bytes) -> None:
    shorter = bytearray(message(pdu))
    for length in range(len(pdu)):
        shorter[4:6] = length.to_bytes(2, "big")
        assert is_seen(judged([bytes(shorter), READ, READ]))


@every
def test_under_another_protocol_number(pdu: bytes) -> None:
    data = bytearray(message(pdu))
    data[3] = 1
    with pytest.raises(WrongProtocol):
        ModbusDecoder().feed(Side.CLIENT, bytes(data))


@every
def test_as_a_reply_of_the_client(pdu: bytes) -> None:
    """An exception code from the client is no request of any class."""
    assert judged([message(bytes((pdu[0] | 0x80,)) + pdu[1:])]) == ["refused as malformed"]


@every
def test_in_a_stream_that_begins_in_the_middle(pdu: bytes) -> None:
    for at in range(1, len(READ)):
        assert is_seen(judged([READ[at:] + message(pdu), READ, READ])), at


@every
def test_with_bytes_too_many_or_too_few(pdu: bytes) -> None:
    for other in (pdu + b"\0", pdu + READ_PDU, pdu[:-1]):
        assert is_seen(judged([message(other)]))


@every
def test_as_the_second_message_of_a_datagram(pdu: bytes) -> None:
    for datagram in (READ + message(pdu), message(pdu) + READ, READ[:6] + message(pdu)):
        assert judged([datagram], ModbusDatagramDecoder()) == ["the flow ends"]
    assert is_seen(judged([message(pdu)], ModbusDatagramDecoder()))
    with pytest.raises(Malformed):
        ModbusDatagramDecoder().feed(Side.CLIENT, message(pdu)[:-1])


def test_over_udp_nothing_of_one_datagram_is_joined_to_the_next() -> None:
    decoder, data = ModbusDatagramDecoder(), message(H("06 000a 0037"))
    for piece in (data[:6], data[6:]):
        with pytest.raises(Malformed):
            decoder.feed(Side.CLIENT, piece)
        assert decoder.pending(Side.CLIENT) == 0


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=600)), max_size=6))
def test_never_more_is_held_than_the_bound_whatever_comes(pieces: list[tuple[Side, bytes]]) -> None:
    decoder = ModbusDecoder()
    for side, data in pieces:
        try:
            decoder.feed(side, data)
        except Malformed:
            return
        assert all(decoder.pending(each) <= MAX_HELD_BYTES == MODBUS.max_held_bytes for each in Side)


def calls(data: bytes, size: int) -> int:
    """How many calls of functions it takes to decode `data` in pieces of `size` bytes."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    decoder = ModbusDecoder()
    sys.setprofile(note)
    try:
        for at in range(0, len(data), size):
            decoder.feed(Side.CLIENT, data[at : at + size])
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
def test_twice_the_bytes_take_twice_the_steps(size: int) -> None:
    for data in (READ * 400, message(bytes((16,)) + bytes(252)) * 40):
        assert calls(data * 2, size) <= 2 * calls(data, size) + 10
