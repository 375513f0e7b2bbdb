"""DNP3 messages for tests, put together independently of the decoder: a bit by bit CRC, frames, fragments."""

from __future__ import annotations

from penstock.model import Operation, Target
from penstock.wire import Dnp3Decoder, Frame, Side

MASTER, OUTSTATION = 1, 10
#: Control: latch on, once, 100 ms on and off.
LATCH_ON = "03 01 64000000 64000000 00"
CROB = f"0C01 28 0100 0500 {LATCH_ON}"
CLASS_POLL = "C3 01 3C02 06 3C03 06 3C04 06 3C01 06"


def crc(data: bytes) -> bytes:
    """IEEE 1815, 9.2.4.3, as it is written there: bit by bit, with the generator x^16 + x^13 + ... + 1."""
    state = 0
    for octet in data:
        for bit in range(8):
            feedback = (state ^ octet >> bit) & 1
            state = state >> 1 ^ (0xA6BC if feedback else 0)
    return (state ^ 0xFFFF).to_bytes(2, "little")


def link(control: int, to: int, source: int, data: bytes = b"") -> bytes:
    """One link frame."""
    head = b"\x05\x64" + bytes((5 + len(data), control)) + to.to_bytes(2, "little") + source.to_bytes(2, "little")
    blocks = [data[at : at + 16] for at in range(0, len(data), 16)]
    return head + crc(head) + b"".join(block + crc(block) for block in blocks)


def fragment(text: str | bytes) -> bytes:
    """A fragment, written in hexadecimal."""
    return text if isinstance(text, bytes) else bytes.fromhex(text)


def request(app: str | bytes, *, to: int = OUTSTATION, source: int = MASTER, transport: int = 0xC0) -> bytes:
    """A request in one link frame."""
    return link(0xC4, to, source, bytes((transport,)) + fragment(app))


def response(app: str | bytes, *, to: int = MASTER, source: int = OUTSTATION, transport: int = 0xC0) -> bytes:
    """A response in one link frame."""
    return link(0x44, to, source, bytes((transport,)) + fragment(app))


def in_segments(app: str | bytes, size: int, *, number: int = 0, is_request: bool = True) -> list[bytes]:
    """The link frames of a fragment in segments of `size` octets."""
    whole = fragment(app)
    starts = range(0, len(whole), size)
    frames = []
    for i, at in enumerate(starts):
        head = (0x40 if i == 0 else 0) | (0x80 if i == len(starts) - 1 else 0) | (number + i) & 0x3F
        make = request if is_request else response
        frames.append(make(whole[at : at + size], transport=head))
    return frames


def fed(side: Side, *data: bytes) -> list[Frame]:
    """What a new decoder makes of it."""
    decoder = Dnp3Decoder()
    return [frame for each in data for frame in decoder.feed(side, each)]


def meaning(app: str | bytes) -> Operation:
    """The operation of a request."""
    (frame,) = fed(Side.CLIENT, request(app))
    return frame.operation


def targets(app: str | bytes) -> list[Target]:
    """Its targets."""
    return list(meaning(app).targets)


def opened(data: bytes) -> tuple[int, int, int, bytes]:
    """Control, destination, source and user data of one link frame whose CRCs are all right."""
    assert data[:2] == b"\x05\x64"
    assert crc(data[:8]) == data[8:10]
    count, user, at = data[2] - 5, b"", 10
    while len(user) < count:
        size = min(16, count - len(user))
        block = data[at : at + size]
        assert crc(block) == data[at + size : at + size + 2]
        user += block
        at += size + 2
    assert at == len(data), "one frame, and nothing behind it"
    return data[3], int.from_bytes(data[4:6], "little"), int.from_bytes(data[6:8], "little"), user
