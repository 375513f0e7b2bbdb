"""EtherNet/IP messages for tests, put together byte by byte, apart from the code that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

from penstock.model import Operation
from penstock.wire import Side
from penstock.wire.enip import EnipDecoder, EnipFrame

SESSION = 0x11
ROUTER = b"\x20\x02\x24\x01"
MANAGER = b"\x20\x06\x24\x01"
#: The number that the asset gives to an opened connection, and the one of the originator.
TO_TARGET, TO_ORIGINATOR = 0x7001, 0x0008_0001
REQUESTER = bytes.fromhex("07 0910 09101971")


def encapsulated(command: int, body: bytes = b"", *, context: int = 1, status: int = 0) -> bytes:
    return pack("<HHIIQI", command, len(body), SESSION, status, context, 0) + body


def rr_data(message: bytes, *, context: int = 1, items: Sequence[bytes] = ()) -> bytes:
    """Send RR Data with an unconnected message, and more items behind it."""
    head = bytes(6) + pack("<HHHHH", 2 + len(items), 0, 0, 0xB2, len(message))
    return encapsulated(0x6F, head + message + b"".join(items), context=context)


def unit_data(message: bytes, count: int = 1, number: int = TO_TARGET) -> bytes:
    """Send Unit Data on a connection."""
    head = bytes(6) + pack("<HHHIHHH", 2, 0xA1, 4, number, 0xB1, len(message) + 2, count)
    return encapsulated(0x70, head + message, context=0)


def implicit(number: int, data: bytes, count: int = 1) -> bytes:
    """Implicit data in a datagram."""
    return pack("<HHHIIHH", 2, 0x8002, 8, number, count, 0xB1, len(data)) + data


def symbol(name: str) -> bytes:
    raw = name.encode()
    return bytes((0x91, len(raw))) + raw + bytes(len(raw) % 2)


def request(service: int, path: bytes, data: bytes = b"") -> bytes:
    return bytes((service, len(path) // 2)) + path + data


def reply(service: int, data: bytes = b"", status: int = 0, extended: Sequence[int] = ()) -> bytes:
    head = bytes((service | 0x80, 0, status, len(extended)))
    return head + pack(f"<{len(extended)}H", *extended) + data


def read_tag(name: str, count: int = 1) -> bytes:
    return request(0x4C, symbol(name), pack("<H", count))


def write_dint(name: str, value: int) -> bytes:
    return request(0x4D, symbol(name), pack("<HHi", 0xC4, 1, value))


def together(*messages: bytes) -> bytes:
    """What a Multiple Service Packet carries: count, offsets, messages."""
    at, offsets = 2 + 2 * len(messages), list[int]()
    for message in messages:
        offsets.append(at)
        at += len(message)
    return pack(f"<{1 + len(messages)}H", len(messages), *offsets) + b"".join(messages)


def multiple(*messages: bytes) -> bytes:
    return request(0x0A, ROUTER, together(*messages))


def sent(message: bytes, route: bytes = b"\x01\x00") -> bytes:
    """Unconnected Send along a route (slot 0 of the backplane)."""
    data = b"\x0a\x0e" + pack("<H", len(message)) + message + bytes(len(message) % 2)
    return request(0x52, MANAGER, data + bytes((len(route) // 2, 0)) + route)


def pccc(command: int, function: int | None, data: bytes = b"", number: int = 7) -> bytes:
    head = REQUESTER + bytes((command, 0)) + pack("<H", number)
    return request(0x4B, b"\x20\x67\x24\x01", head + (b"" if function is None else bytes((function,))) + data)


def pccc_reply(command: int, data: bytes = b"", status: int = 0, number: int = 7) -> bytes:
    return reply(0x4B, REQUESTER + bytes((command | 0x40, status)) + pack("<H", number) + data)


def opening(
    path: bytes,
    *,
    trigger: int = 0xA3,
    to_target: int = 0x4302,
    to_originator: int = 0x4302,
    serial: int = 1,
    is_large: bool = False,
    originator: int = TO_ORIGINATOR,
) -> bytes:
    """A (Large) Forward Open; the parameters of both directions are those of the wire."""
    layout = "<BBIIHHIB3xIIIIBB" if is_large else "<BBIIHHIB3xIHIHBB"
    fields = (10, 14, 0, originator, serial, 9, 0x1971, 3, 2_000_000, to_target, 2_000_000, to_originator, trigger)
    return request(0x5B if is_large else 0x54, MANAGER, pack(layout, *fields, len(path) // 2) + path)


def opened(
    *, number: int = TO_TARGET, originator: int = TO_ORIGINATOR, serial: int = 1, is_large: bool = False
) -> bytes:
    data = pack("<IIHHIIIBB", number, originator, serial, 9, 0x1971, 2_000_000, 2_000_000, 0, 0)
    return reply(0x5B if is_large else 0x54, data)


def closing(path: bytes, serial: int = 1) -> bytes:
    return request(0x4E, MANAGER, pack("<BBHHIBB", 10, 14, serial, 9, 0x1971, len(path) // 2, 0) + path)


def closed(serial: int = 1) -> bytes:
    return reply(0x4E, pack("<HHIBB", serial, 9, 0x1971, 0, 0))


def one(decoder: EnipDecoder, side: Side, data: bytes) -> EnipFrame:
    """The only frame in `data`."""
    (frame,) = decoder.feed(side, data)
    assert isinstance(frame, EnipFrame)
    assert frame.data == data
    return frame


def asked(message: bytes) -> Operation:
    """What an unconnected request means."""
    return one(EnipDecoder(), Side.CLIENT, rr_data(message)).operation


def connect(decoder: EnipDecoder, path: bytes = b"\x01\x00" + ROUTER, *, context: int = 99) -> None:
    """Open an explicit connection through the decoder, as a client and an asset do."""
    decoder.forward(one(decoder, Side.CLIENT, rr_data(opening(path), context=context)))
    decoder.forward(one(decoder, Side.ASSET, rr_data(opened(), context=context)))
