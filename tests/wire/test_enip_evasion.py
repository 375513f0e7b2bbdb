"""A forbidden write, hidden in every way that the protocol offers: a policy that allows reading never lets it pass."""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack

import pytest
from enip_messages import (
    MANAGER,
    ROUTER,
    TO_TARGET,
    closing,
    connect,
    encapsulated,
    implicit,
    multiple,
    one,
    opened,
    opening,
    pccc,
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

from penstock.model import Malformed, OperationClass, Reason
from penstock.wire import Role, Side
from penstock.wire.enip import EnipDatagrams, EnipDecoder

#: What an operator may do who looks.
ALLOWED = {OperationClass.READ, OperationClass.DISCOVERY, OperationClass.SESSION, OperationClass.DIAGNOSTICS}
WRITE = write_dint("Speed", 7)
READ = read_tag("Speed")
STOP = request(0x07, b"\x20\x8e\x24\x01")


def passes(pieces: Iterable[bytes], decoder: EnipDecoder | EnipDatagrams | None = None) -> bytes:
    """What reaches the asset when everything that is not allowed is refused, and a broken flow ends."""
    decoder = EnipDecoder() if decoder is None else decoder
    passed = b""
    for piece in pieces:
        try:
            frames = decoder.feed(Side.CLIENT, piece)
        except Malformed:
            return passed
        for frame in frames:
            try:
                is_allowed = frame.role is Role.LINK or set(frame.operation.classes) <= ALLOWED
            except Malformed:
                is_allowed = False
            if is_allowed:
                passed += decoder.forward(frame)
            else:
                decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED)
    return passed


def test_reading_passes() -> None:
    """Or else nothing below would mean anything."""
    data = [rr_data(READ), rr_data(sent(READ)), rr_data(multiple(READ, READ)), rr_data(opening(ROUTER))]
    assert passes(data) == b"".join(data)
    decoder = EnipDecoder()
    connect(decoder)
    assert passes([unit_data(READ)], decoder) == unit_data(READ)


STANDING = opening(bytes.fromhex("2004240a2c642c65"), trigger=1, to_target=0x4806, to_originator=0x2820)

HIDDEN = {
    "plain": WRITE,
    "in a packet of reads": multiple(READ, READ, WRITE),
    "first in a packet of reads": multiple(WRITE, READ),
    "sent on": sent(WRITE),
    "sent on in a packet": sent(multiple(READ, WRITE)),
    "in a packet in a packet": multiple(READ, multiple(READ, WRITE)),
    "sent on twice": sent(sent(WRITE)),
    "in more containers than are opened": sent(multiple(sent(multiple(sent(WRITE))))),
    "a packet whose offsets go back": request(
        0x0A, ROUTER, pack("<HHH", 2, 6, 6) + READ + WRITE
    ),
    "a packet whose second offset points into the first request": request(
        0x0A, ROUTER, pack("<HHH", 2, 6, 8) + READ + WRITE
    ),
    "a packet with a request behind those that it counts": request(0x0A, ROUTER, together(READ) + WRITE),
    "a packet with a request in front of the first offset": request(0x0A, ROUTER, pack("<HH", 1, 20) + WRITE + READ),
    "a packet to another class": request(0x0A, b"\x20\x01\x24\x01", together(READ, WRITE)),
    "behind the size of what is sent on": request(
        0x52, MANAGER, b"\x0a\x0e" + pack("<H", len(READ)) + READ + WRITE + b"\1\0\1\0"
    ),
    "sent on with a size that lies": request(
        0x52, MANAGER, b"\x0a\x0e" + pack("<H", 2) + WRITE + b"\1\0\1\0"
    ),
    "in fragments": request(0x53, symbol("Speed"), b"\xc4\0\2\0\4\0\0\0\0\0\0\0"),
    "masked": request(0x4E, symbol("Speed"), b"\4\0\1\0\0\0\xff\xff\xff\xff"),
    "by the number of the symbol": request(0x4D, b"\x20\x6b\x25\0\x23\1", b"\xc4\0\1\0\7\0\0\0"),
    "as an attribute": request(0x10, b"\x20\4\x24\x64\x30\3", b"\1"),
    "as an attribute of a wide class": request(0x10, b"\x21\0\4\0\x25\0\x64\0\x31\0\3\0", b"\1"),
    "as a list of attributes": request(0x04, b"\x20\4\x24\x64", b"\1\0\3\0\1"),
    "as a member": request(0x19, b"\x20\4\x24\x64\x30\3\x28\1", b"\1"),
    "as PCCC": pccc(0x0F, 0xAA, b"\2\7\x89\0\0\1\0"),
    "as PCCC in a packet": multiple(READ, pccc(0x0F, 0xAA, b"\2\7\x89\0\0\1\0")),
    "as PCCC without a function": pccc(0x00, None, b"\0\0\1\0"),
    "as PCCC of several commands": pccc(0x0F, 0x88, b"\1\7\xaa\2\7\x89\0\0\1\0"),
    "as PCCC of an unknown function": pccc(0x0F, 0x5E, b"\1"),
    "as PCCC with a longer requester": request(
        0x4B, b"\x20\x67\x24\x01", b"\x08" + bytes(7) + b"\x0f\0\7\0\xaa\2\7\x89\0\0\1\0"
    ),
    "as Modbus": request(0x51, b"\x20\x44\x24\1", b"\6\0\1\0\x55"),
    "as registers of Modbus": request(0x50, b"\x20\x44\x24\1", b"\0\0\1\0\7\0"),
    "as an unknown service": request(0x35, symbol("Speed"), b"\7"),
    "as a service of an unknown class": request(0x4D, b"\x21\0\0\3\x24\1", b"\7"),
    "as a read on another class": request(0x4C, b"\x20\x6d\x24\1", b"\1\0"),
    "on a path with a route": request(0x4C, b"\1\0" + symbol("Speed"), b"\1\0"),
    "on a path that ends in the unknown": request(0x4C, symbol("Speed") + b"\xe1\0", b"\1\0"),
    "a stop": STOP,
    "a stop in a packet": multiple(READ, STOP),
    "as a standing write": STANDING,
    "as a standing write in a packet": multiple(READ, STANDING),
    "as the settings of an opening": opening(
        bytes.fromhex("2004240a2c652c65") + b"\x80\x01\1\2", trigger=1, to_target=0x4802, to_originator=0x2820
    ),
    "to another device": sent(READ, b"\x01\x00\x12\x0810.0.0.5"),
    "as an opening to another device": opening(b"\x12\x0810.0.0.5" + ROUTER),
    "as an answer": b"\xcd" + WRITE[1:],
}  # fmt: skip


@pytest.mark.parametrize("message", HIDDEN.values(), ids=HIDDEN.keys())
@pytest.mark.parametrize("where", ["alone", "byte by byte", "behind a read", "in front of a read", "connected"])
def test_a_write_does_not_pass_however_it_is_hidden(message: bytes, where: str) -> None:
    decoder = EnipDecoder()
    data = rr_data(message, context=2)
    allowed = rr_data(READ)
    match where:
        case "alone":
            assert passes([data]) == b""
        case "byte by byte":
            assert passes((data[at : at + 1] for at in range(len(data))), decoder) == b""
        case "behind a read":
            assert passes([allowed + data]) == allowed
        case "in front of a read":
            assert passes([data + allowed]) == allowed
        case _:
            connect(decoder)
            assert passes([unit_data(message)], decoder) == b""


@pytest.mark.parametrize("cut", range(1, len(rr_data(WRITE))))
def test_a_write_does_not_pass_in_two_pieces(cut: int) -> None:
    data = rr_data(WRITE)
    assert passes([rr_data(READ) + data[:cut], data[cut:] + rr_data(READ)]) == rr_data(READ) * 2


@pytest.mark.parametrize("lie", [1, 2, 20, 0x4000])
def test_a_length_that_lies_ends_the_flow_or_is_refused(lie: int) -> None:
    """Longer: the next message's bytes are its own, and do not fit.  Shorter: what is left is no message."""
    data = rr_data(WRITE)
    size = len(data) - 24
    for wrong in (size + lie, max(0, size - lie)):
        forged = data[:2] + pack("<H", wrong) + data[4:]
        assert WRITE not in passes([forged, rr_data(READ), rr_data(READ)])


def test_the_middle_of_a_message_is_no_beginning() -> None:
    """A flow that the gate inspects begins at its beginning; what does not ends."""
    for cut in range(1, 40):
        assert WRITE not in passes([rr_data(READ)[cut:] + rr_data(WRITE), rr_data(WRITE)])


def test_a_connection_of_another_flow_is_none_of_this_one() -> None:
    """Numbers of connections are easily guessed."""
    other = EnipDecoder()
    connect(other)
    assert passes([unit_data(READ)]) == b""
    assert passes([unit_data(READ)], other)


def test_a_connection_of_the_asset_is_not_taken_for_one_that_was_asked_for() -> None:
    """An answer without a request opens nothing."""
    decoder = EnipDecoder()
    one(decoder, Side.ASSET, rr_data(opened(), context=99))
    assert passes([unit_data(READ)], decoder) == b""


def test_a_refused_opening_cannot_lend_its_meaning_to_one_that_passed() -> None:
    """The first goes to an object that reads its bytes otherwise, the second is refused; the first is accepted."""
    decoder = EnipDecoder()
    elsewhere = opening(bytes.fromhex("20 67 24 01"))
    refused = opening(b"\x12\x0810.0.0.5" + ROUTER)
    sent_on = passes([rr_data(elsewhere, context=5), rr_data(refused, context=5)], decoder)
    assert sent_on == rr_data(elsewhere, context=5)
    one(decoder, Side.ASSET, rr_data(opened(), context=5))
    assert passes([unit_data(READ)], decoder) == b""


def test_a_closed_connection_that_opens_elsewhere_does_not_keep_its_meaning() -> None:
    decoder = EnipDecoder()
    connect(decoder)
    passes([rr_data(closing(b"\1\0" + ROUTER), context=6)], decoder)
    one(decoder, Side.ASSET, rr_data(reply(0x4E, pack("<HHIBB", 1, 9, 0x1971, 0, 0)), context=6))
    assert passes([unit_data(READ)], decoder) == b""


def test_one_sequence_count_does_not_carry_two_messages() -> None:
    decoder = EnipDecoder()
    connect(decoder)
    assert passes([unit_data(READ, count=4), unit_data(read_tag("Other"), count=4)], decoder) == unit_data(
        READ, count=4
    )


def test_a_write_in_implicit_data_needs_its_opening() -> None:
    assert passes([implicit(TO_TARGET, bytes(6))], EnipDatagrams()) == b""


def test_requests_do_not_pass_as_datagrams() -> None:
    for message in (READ, WRITE):
        assert passes([rr_data(message)], EnipDatagrams()) == b""
        assert passes([unit_data(message)], EnipDatagrams()) == b""


@pytest.mark.parametrize("command", [0x01, 0x05, 0x71, 0x72, 0xC7])
def test_commands_that_nobody_defined_do_not_pass(command: int) -> None:
    assert passes([encapsulated(command, rr_data(WRITE))]) == b""


def test_what_is_in_a_nop_is_not_a_message() -> None:
    """It passes as what it is: bytes that the asset throws away."""
    data = encapsulated(0, rr_data(WRITE))
    (frame,) = EnipDecoder().feed(Side.CLIENT, data)
    assert frame.data == data
    assert frame.operation.name == "NOP"
