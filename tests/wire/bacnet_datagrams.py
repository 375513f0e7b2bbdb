"""BACnet/IP datagrams for tests, put together by hand."""

from __future__ import annotations

from penstock.model import Malformed, Operation
from penstock.wire import Frame, Side
from penstock.wire.bacnet import BacnetDecoder, BacnetFrame

#: A device on network 3 behind the asset, as destination or source of an NPDU.
STATION_3_6C = bytes.fromhex("0003 01 6c")
EVERYONE = bytes.fromhex("ffff 00")
ANALOG_VALUE_1 = "0c 00800001"
READ = f"{ANALOG_VALUE_1} 19 55"
WRITE = f"{ANALOG_VALUE_1} 19 55 3e 44 41ac0000 3f 49 08"
COLDSTART = "09 00"


def octets(text: str | bytes) -> bytes:
    return bytes.fromhex(text) if isinstance(text, str) else text


def bvll(content: str | bytes, function: int = 0x0A) -> bytes:
    content = octets(content)
    return bytes((0x81, function)) + (len(content) + 4).to_bytes(2, "big") + content


def npdu(content: str | bytes, *, to: bytes = b"", by: bytes = b"", function: int = 0x0A, control: int = 4) -> bytes:
    control |= (0x20 if to else 0) | (0x08 if by else 0)
    return bvll(bytes((1, control)) + to + by + (b"\xff" if to else b"") + octets(content), function)


def confirmed(service: int, parts: str | bytes = "", invoke: int = 7, flags: int = 2) -> bytes:
    return bytes((flags, 5, invoke, service)) + octets(parts)


def unconfirmed(service: int, parts: str | bytes = "") -> bytes:
    return bytes((0x10, service)) + octets(parts)


def segment(service: int, part: bytes, number: int, *, more: bool, invoke: int = 7, window: int = 4) -> bytes:
    return bytes((0x0A | (4 if more else 0), 5, invoke, number, window, service)) + part


def answer_segment(service: int, part: bytes, number: int, *, more: bool, invoke: int = 7) -> bytes:
    return bytes((0x38 | (4 if more else 0), invoke, number, 4, service)) + part


def fed(data: bytes, side: Side = Side.CLIENT, decoder: BacnetDecoder | None = None) -> BacnetFrame:
    (frame,) = (decoder or BacnetDecoder()).feed(side, data)
    assert isinstance(frame, BacnetFrame)
    assert frame.data is data
    return frame


def meaning(data: bytes, side: Side = Side.CLIENT) -> Operation:
    return fed(data, side).operation


def is_malformed(frame: Frame) -> bool:
    try:
        _ = frame.operation
    except Malformed:
        return True
    return False
