"""Mitsubishi SLMP and MC protocol (3E and 4E frames, binary and ASCII), and MELSOFT, which engineering speaks.

Pure.  SLMP: Mitsubishi SH(NA)-080956 (frames 4, commands 5, device codes 5.2) and SH(NA)-080008.  MELSOFT has no public
specification: its frames are told as captures show them, and what a command does is the vendor's own.  Numbers are
little endian in binary frames, and hexadecimal digits with the highest first in ASCII ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from penstock.model import Malformed, Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import (
    UNTOLD,
    DatagramDissector,
    MessageDissector,
    Pdu,
    RecognisedProtocol,
    asking,
)

_READ, _WRITE = (Is.READ,), (Is.WRITE,)
#: (commands, name, classes): the taxonomy.
CODES: Final[tuple[tuple[tuple[int, ...], str, tuple[Is, ...]], ...]] = (
    (
        (0x0401, 0x0403, 0x0406, 0x041A, 0x041C, 0x0601, 0x0613, 0x0801, 0x0802),
        "device, label, buffer and unit reads; monitor",
        _READ,
    ),
    ((0x1401, 0x1402, 0x1406, 0x141A, 0x141B, 0x1601, 0x1613), "device, label, buffer and unit writes", _WRITE),
    ((0x0101,), "read type name", (Is.DISCOVERY,)),
    ((0x0619,), "self test", (Is.DIAGNOSTICS,)),
    ((0x1001, 0x1002, 0x1003, 0x1006), "remote run, stop, pause, reset", (Is.EXECUTE,)),
    ((0x1005,), "remote latch clear", _WRITE),
    ((0x1617,), "clear error", (Is.CONFIG,)),
    ((0x1630, 0x1631), "remote password unlock, lock", (Is.AUTH,)),
    (
        (0x0201, 0x0202, 0x0203, 0x0204, 0x0205, 0x0206, 0x1810, 0x1811, 0x1827, 0x1828, 0x182A),
        "file and directory reads, open, close, disk state",
        (Is.FILE_READ,),
    ),
    (
        (*(0x0808, 0x1202, 0x1203, 0x1204, 0x1205, 0x1206, 0x1207, 0x1820, 0x1822, 0x1824, 0x1825, 0x1826), 0x1829),
        "file create, write, change, delete, copy, lock, defragment; programs are files",
        (Is.FILE_WRITE,),
    ),
    ((0x2101,), "on demand", _READ),
)
MEANINGS: Final = {code: (name, classes) for codes, name, classes in CODES for code in codes}
_MELSOFT: Final = ("MELSOFT engineering", (Is.VENDOR,))
_MELSOFT_CONNECT: Final = ("MELSOFT connect", (Is.SESSION,))
#: 5.2: device codes of the two-byte form; the one-byte form is the same number.
DEVICES: Final = {
    0x91: "SM",
    0xA9: "SD",
    0x9C: "X",
    0x9D: "Y",
    0x90: "M",
    0x92: "L",
    0x93: "F",
    0x94: "V",
    0xA0: "B",
    0xA8: "D",
    0xB4: "W",
    0xC1: "TS",
    0xC0: "TC",
    0xC2: "TN",
    0xC7: "STS",
    0xC6: "STC",
    0xC8: "STN",
    0xC4: "CS",
    0xC3: "CC",
    0xC5: "CN",
    0xA1: "SB",
    0xB5: "SW",
    0xA2: "DX",
    0xA3: "DY",
    0xCC: "Z",
    0x62: "LZ",
    0xAF: "R",
    0xB0: "ZR",
    0x2C: "RD",
    0x98: "S",
    0x51: "LTS",
    0x50: "LTC",
    0x52: "LTN",
    0x59: "LSTS",
    0x58: "LSTC",
    0x5A: "LSTN",
}
#: 4.1: the subheaders of 3E and 4E frames, and where the length stands behind each.
_REQUESTS: Final = {b"\x50\x00": 7, b"\x54\x00": 11}
_RESPONSES: Final = {b"\xd0\x00": 7, b"\xd4\x00": 11}
_ASCII_REQUESTS: Final = {b"5000": 14, b"5400": 22}
_ASCII_RESPONSES: Final = {b"D000": 14, b"D400": 22}
#: 4.2: the request destination module I/O number: the CPU itself, its systems, or a module of the rack.
_OWN_IO: Final = frozenset({0x03FF, *range(0x03D0, 0x03D4), *range(0x03E0, 0x03E4)})
_MAX_IO: Final = 0x01FF
_LEAST_REQUEST, _LEAST_RESPONSE = 6, 2
MAX_MESSAGE_BYTES: Final = 22 + 4 + 2 * 0xFFFF
#: MELSOFT as captures show it: subheaders of connecting and of commands, and the bytes behind them.
_MELSOFT_MARKS: Final = {0x57: Side.CLIENT, 0xD7: Side.ASSET, 0x5A: Side.CLIENT, 0xDA: Side.ASSET}
_COMMAND_MARKS: Final = frozenset({0x57, 0xD7})
_MELSOFT_LENGTH_AT, _MELSOFT_HEAD_BYTES, _MELSOFT_COMMAND_AT = 19, 21, 45
_BULK_READ, _BULK_WRITE = 0x0401, 0x1401
_LONG_DEVICES: Final = 0x0002


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: a frame of this side whose fields agree with each other."""
    if data[0] in _MELSOFT_MARKS:
        return _fits_melsoft(data, side)
    is_client = side is Side.CLIENT
    if data[:1] == (b"5" if is_client else b"D"):
        return _fits_ascii(data, _ASCII_REQUESTS if is_client else _ASCII_RESPONSES)
    return _fits_binary(data, _REQUESTS if is_client else _RESPONSES, is_client=is_client)


def _fits_binary(data: bytes, marks: dict[bytes, int], *, is_client: bool) -> bool | None:
    if len(data) == 1:
        return None if any(each.startswith(data) for each in marks) else False
    at = marks.get(data[:2])
    if at is None or (at > 7 and any(data[4:6])):  # noqa: PLR2004 - two reserved bytes behind a serial number
        return False
    if len(data) < at + (8 if is_client else 4):
        return None
    io, length = int.from_bytes(data[at - 3 : at - 1], "little"), int.from_bytes(data[at : at + 2], "little")
    least = _LEAST_REQUEST if is_client else _LEAST_RESPONSE
    end = at + 2 + length
    if length < least or not _is_io(io) or (len(data) > end + 1 and data[end : end + 2] not in marks):
        return False
    return not is_client or int.from_bytes(data[at + 4 : at + 6], "little") in MEANINGS


def _is_io(number: int) -> bool:
    return number in _OWN_IO or number <= _MAX_IO


def _fits_ascii(data: bytes, marks: dict[bytes, int]) -> bool | None:
    head = data[:26]
    if head.strip(b"0123456789ABCDEFabcdef"):
        return False
    at = marks.get(data[:4])
    if at is None:
        return None if len(data) < 4 and any(each.startswith(data) for each in marks) else False  # noqa: PLR2004
    if len(data) < at + 8:
        return None
    io = int(data[at - 6 : at - 2], 16)
    return int(data[at : at + 4], 16) >= 4 and _is_io(io)  # noqa: PLR2004


def _fits_melsoft(data: bytes, side: Side) -> bool | None:
    if _MELSOFT_MARKS[data[0]] is not side:
        return False
    expected = (data[0], 1) if data[0] in _COMMAND_MARKS else (data[0], 0)
    if (len(data) > 1 and data[1] != expected[1]) or any(data[2 : 3 if expected[1] == 0 else 5]):
        return False
    if data[0] not in _COMMAND_MARKS:
        return None if len(data) < 4 else data[3] in {0x01, 0xFF} and _is_melsoft_connect(data)  # noqa: PLR2004
    if len(data) < _MELSOFT_HEAD_BYTES:
        return None
    return len(data) >= _MELSOFT_HEAD_BYTES and int.from_bytes(data[19:21], "little") >= 24 and data[5:7] == b"\x11\x11"  # noqa: PLR2004


def _is_melsoft_connect(data: bytes) -> bool | None:
    """Captures show 4 bytes from the client, whose flow shows more then, and at least 14 from the controller."""
    if data[0] == 0x5A:  # noqa: PLR2004 - connect
        return len(data) == 4 or data[4:5] in {b"\x57", b"\x5a"}  # noqa: PLR2004
    return True if len(data) >= 14 else None  # noqa: PLR2004


def length_of(stream: bytes, start: int) -> int:
    """How long the frame at `start` is (4.1), `UNTOLD` while too few bytes tell.  Raises `Malformed`.

    For both codes; MELSOFT over TCP as over UDP.
    """
    head = stream[start : start + 26]
    if head[0] in _COMMAND_MARKS:
        known = len(head) >= _MELSOFT_HEAD_BYTES
        return _MELSOFT_HEAD_BYTES + int.from_bytes(head[19:21], "little") if known else UNTOLD
    for marks, size in ((_REQUESTS | _RESPONSES, 2), (_ASCII_REQUESTS | _ASCII_RESPONSES, 4)):
        at = marks.get(head[:size])
        if at is not None:
            if len(head) < at + size:
                return UNTOLD
            return at + size + _length(head[at : at + size])
        if len(head) < size and any(each.startswith(head) for each in marks):
            return UNTOLD
    raise Malformed("no frame of SLMP (4.1)")


def _length(field: bytes) -> int:
    if len(field) == 2:  # noqa: PLR2004 - binary
        return int.from_bytes(field, "little")
    if field.strip(b"0123456789ABCDEFabcdef"):
        raise Malformed("a length that is no number (4.2)")
    return int(field, 16)


#: Of a client, as captures show it.
_MELSOFT_CONNECT_BYTES: Final = 4


def _is_frame(message: bytes) -> bool:
    """Whether the bytes are one whole frame; a stream's always are."""
    try:
        if message[:1] == b"\x5a":  # behind four bytes of connect a command could stand, which would be judged as one
            return len(message) == _MELSOFT_CONNECT_BYTES
        return bool(message) and (message[0] == 0xDA or length_of(message, 0) == len(message))  # noqa: PLR2004 - its answer
    except Malformed:
        return False


def _shower(column: str) -> Callable[[bytes, Side], Sequence[Shown]]:
    def show(message: bytes, side: Side) -> Sequence[Shown]:
        """The reference decode does not know this protocol: it shows bytes."""
        if not _is_frame(message):
            return ()
        pdu: Pdu = {"p": "data", "len": len(message), "head": message[:24].hex()}
        asked = operation(message) if side is Side.CLIENT else None
        return [Shown(pdu, asking(message, side, asked) if asked else None, column)]

    return show


def is_request(message: bytes) -> bool:
    """Whether this frame is a client's."""
    return message[:1] == b"\x57" or message[:2] in _REQUESTS or message[:4] in _ASCII_REQUESTS


def operation(message: bytes) -> Operation | None:
    """What a request asks for; ``None`` where the bytes are no request."""
    if message[:1] in {b"\x57", b"\x5a"}:
        return _melsoft(message)
    at = _REQUESTS.get(message[:2])
    if at is not None and len(message) >= at + 8:
        return _command(message[at + 4 :])
    at = _ASCII_REQUESTS.get(message[:4])
    body = message[at + 8 :] if at is not None else b""
    if len(body) < 8 or body[:8].strip(b"0123456789ABCDEFabcdef"):  # noqa: PLR2004 - command and subcommand
        return None
    code = int(body[:4], 16)
    name, classes = MEANINGS.get(code, (f"unknown 0x{code:04X}", (Is.UNKNOWN,)))
    return Operation("melsec_slmp", classes, f"0x{code:04X}", name)


def _melsoft(message: bytes) -> Operation:
    code = message[_MELSOFT_COMMAND_AT : _MELSOFT_COMMAND_AT + 2]
    if message[0] not in _COMMAND_MARKS or len(code) < 2:  # noqa: PLR2004
        return Operation("melsec_slmp", _MELSOFT_CONNECT[1], "melsoft", _MELSOFT_CONNECT[0])
    return Operation("melsec_slmp", _MELSOFT[1], f"melsoft/0x{code.hex().upper()}", _MELSOFT[0])


def _command(body: bytes) -> Operation:
    code, sub = int.from_bytes(body[:2], "little"), int.from_bytes(body[2:4], "little")
    name, classes = MEANINGS.get(code, (f"unknown 0x{code:04X}", (Is.UNKNOWN,)))
    targets: tuple[Target, ...] = ()
    if code in {_BULK_READ, _BULK_WRITE}:
        number_bytes, code_bytes = (4, 2) if sub & _LONG_DEVICES else (3, 1)
        end = 4 + number_bytes + code_bytes
        device = int.from_bytes(body[4 + number_bytes : end], "little")
        if len(body) >= end + 2:
            first, count = (
                int.from_bytes(body[4 : 4 + number_bytes], "little"),
                int.from_bytes(body[end : end + 2], "little"),
            )
            targets = (Target(classes[0], DEVICES.get(device, f"device 0x{device:02X}"), first, count),)
    return Operation("melsec_slmp", classes, f"0x{code:04X}", name, None, targets)


SLMP: Final = RecognisedProtocol(
    name="melsec_slmp",
    title="Mitsubishi SLMP and MELSOFT",
    column="UDP",
    ports=(
        *("tcp/5000", "tcp/5001", "tcp/5002", "tcp/5006", "tcp/5007", "tcp/5562"),
        *("udp/5000", "udp/5001", "udp/5006", "udp/5560"),
    ),
    fits=fits,
    dissectors={
        "tcp": lambda: MessageDissector(length_of, MAX_MESSAGE_BYTES, _shower("TCP")),
        "udp": lambda: DatagramDissector(_shower("UDP")),
    },
)
