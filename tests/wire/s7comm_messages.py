"""S7comm messages for tests, put together field by field, independently of the code under test."""

from __future__ import annotations

from itertools import pairwise
from struct import pack

from penstock.model import Operation
from penstock.wire import Frame, S7Decoder, Side

CONNECT = bytes.fromhex("0300 0016 11e0 0000 0007 00 c1020100 c2020102 c0010a")
CONFIRM = bytes.fromhex("0300 0016 11d0 0007 0003 00 c0010a c1020100 c2020102")
#: What STEP 7 sends behind every answer: a data unit that neither ends a message nor holds anything.
EMPTY = bytes.fromhex("0300 0007 02f0 00")
TIS_PARAMETERS = bytes.fromhex("0000 0001 0001 0006 0001 0001 0001 0001 0001 0200")


def tpkt(unit: bytes) -> bytes:
    return pack(">BBH", 3, 0, 4 + len(unit)) + unit


def data(payload: bytes, *, is_last: bool = True) -> bytes:
    return tpkt(b"\x02\xf0" + (b"\x80" if is_last else b"\0") + payload)


def in_parts(payload: bytes, *cuts: int) -> bytes:
    places = [0, *cuts, len(payload)]
    parts = [payload[start:end] for start, end in pairwise(places)]
    return b"".join(data(part, is_last=at == len(cuts)) for at, part in enumerate(parts))


def job_pdu(parameters: bytes, written: bytes = b"", ref: int = 7) -> bytes:
    return b"\x32\1\0\0" + pack(">HHH", ref, len(parameters), len(written)) + parameters + written


def job(parameters: str | bytes, written: str | bytes = b"", ref: int = 7) -> bytes:
    return data(job_pdu(raw(parameters), raw(written), ref))


def ack(
    parameters: str | bytes = b"", answered: str | bytes = b"", ref: int = 7, error: int = 0, kind: int = 3
) -> bytes:
    parameters, answered = raw(parameters), raw(answered)
    head = b"\x32" + bytes((kind,)) + b"\0\0" + pack(">HHHH", ref, len(parameters), len(answered), error)
    return data(head + parameters + answered)


def raw(text: str | bytes) -> bytes:
    return bytes.fromhex(text) if isinstance(text, str) else text


def octets(content: str | bytes) -> bytes:
    """Data with their head: success, octet string, length."""
    content = raw(content)
    return b"\xff\x09" + pack(">H", len(content)) + content


def tis(content: str | bytes) -> bytes:
    """The data of a test function of a programming device."""
    content = raw(content)
    return octets(pack(">HH", len(TIS_PARAMETERS), len(content)) + TIS_PARAMETERS + content)


def userdata(
    kind_and_group: int,
    sub: int,
    content: bytes = b"\x0a\0\0\0",
    *,
    ref: int = 7,
    number: int = 0,
    error: int | None = None,
) -> bytes:
    """Userdata in the short form, or in the long one with a number or an error code."""
    is_long = number or error is not None
    parameters = b"\0\1\x12" + (b"\x08\x12" if is_long else b"\x04\x11") + bytes((kind_and_group, sub, number))
    if is_long:
        parameters += b"\0\0" + pack(">H", error or 0)
    return data(b"\x32\7\0\0" + pack(">HHH", ref, len(parameters), len(content)) + parameters + content)


def any_item(size: int, count: int, block: int, area: int, address: int) -> bytes:
    return b"\x12\x0a\x10" + pack(">BHHI", size, count, block, area << 24 | address)


def read_var(*items: bytes) -> bytes:
    return job(b"\x04" + bytes((len(items),)) + b"".join(items))


def write_var(items: list[bytes], entries: list[tuple[int, int, bytes]]) -> bytes:
    """Entries are transport size, stated length and data; each but the last is filled up to an even length."""
    written = b""
    for at, (size, length, content) in enumerate(entries):
        fill = b"\0" if len(content) % 2 and at < len(entries) - 1 else b""
        written += b"\0" + pack(">BH", size, length) + content + fill
    return job(b"\x05" + bytes((len(items),)) + b"".join(items), written)


def one(message: bytes, side: Side = Side.CLIENT, decoder: S7Decoder | None = None) -> Frame:
    (frame,) = (decoder or S7Decoder()).feed(side, message)
    assert frame.data == message
    return frame


def meaning(message: bytes, side: Side = Side.CLIENT, decoder: S7Decoder | None = None) -> Operation:
    return one(message, side, decoder).operation


def named_classes(operation: Operation) -> str:
    return "+".join(operation.classes)
