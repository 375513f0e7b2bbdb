"""Omron FINS over UDP and TCP: framing, operations, refusals by end code, what a site document may say, and captures.

Pure.  Omron W342 (Communications Commands: header 3-2, commands 5, memory areas 5-2-2, end codes 5-1-3) and W421
(FINS/TCP 7-4).  Either end may send commands.  A whole protocol in one file: `docs/guides/add-a-protocol.md`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from struct import Struct, unpack
from typing import Any, Final

import msgspec

from penstock.model import Malformed, Operation, Reason, Span, Target, Value
from penstock.model import OperationClass as Is
from penstock.wire.decoder import NO_ANSWER, Answer, Frame, Role, Side, WrongProtocol
from penstock.wire.protocol import Limit, Shown, UnreadableError, WireProtocol

#: Commands (5-1-1) with the standard's names and the taxonomy's classes.
CODES: Final = {
    0x0101: ("Memory Area Read", Is.READ), 0x0102: ("Memory Area Write", Is.WRITE),
    0x0103: ("Memory Area Fill", Is.WRITE), 0x0104: ("Multiple Memory Area Read", Is.READ),
    0x0105: ("Memory Area Transfer", Is.WRITE), 0x0201: ("Parameter Area Read", Is.PROGRAM_FROM_DEVICE),
    0x0202: ("Parameter Area Write", Is.PROGRAM_TO_DEVICE), 0x0203: ("Parameter Area Clear", Is.PROGRAM_TO_DEVICE),
    0x0220: ("Data Link Table Read", Is.PROGRAM_FROM_DEVICE), 0x0221: ("Data Link Table Write", Is.PROGRAM_TO_DEVICE),
    0x0304: ("Program Area Protect", Is.AUTH), 0x0305: ("Program Area Protect Clear", Is.AUTH),
    0x0306: ("Program Area Read", Is.PROGRAM_FROM_DEVICE), 0x0307: ("Program Area Write", Is.PROGRAM_TO_DEVICE),
    0x0308: ("Program Area Clear", Is.PROGRAM_TO_DEVICE), 0x0401: ("Run", Is.EXECUTE), 0x0402: ("Stop", Is.EXECUTE),
    0x0403: ("Reset", Is.EXECUTE), 0x0501: ("Controller Data Read", Is.DISCOVERY),
    0x0502: ("Connection Data Read", Is.DISCOVERY), 0x0601: ("Controller Status Read", Is.DIAGNOSTICS),
    0x0602: ("Network Status Read", Is.DIAGNOSTICS), 0x0603: ("Data Link Status Read", Is.DIAGNOSTICS),
    0x0620: ("Cycle Time Read", Is.DIAGNOSTICS), 0x0701: ("Clock Read", Is.READ), 0x0702: ("Clock Write", Is.CONFIG),
    0x0801: ("LOOP-BACK Test", Is.DIAGNOSTICS), 0x0802: ("Broadcast Test Results Read", Is.DIAGNOSTICS),
    0x0803: ("Broadcast Test Data Send", Is.DIAGNOSTICS),
    0x0920: ("Message Read | Message Clear | FAL/FALS Read", Is.DIAGNOSTICS),
    0x0C01: ("Access Right Acquire", Is.AUTH), 0x0C02: ("Access Right Forced Acquire", Is.AUTH),
    0x0C03: ("Access Right Release", Is.AUTH), 0x2101: ("Error Clear", Is.CONFIG),
    0x2102: ("Error Log Read", Is.DIAGNOSTICS), 0x2103: ("Error Log Clear", Is.CONFIG),
    0x2201: ("File Name Read", Is.FILE_READ), 0x2202: ("Single File Read", Is.FILE_READ),
    0x2203: ("Single File Write", Is.FILE_WRITE), 0x2204: ("Memory Card Format", Is.FILE_WRITE),
    0x2205: ("File Delete", Is.FILE_WRITE), 0x2206: ("Volume Label Create/Delete", Is.FILE_WRITE),
    0x2207: ("File Copy", Is.FILE_WRITE), 0x2208: ("File Name Change", Is.FILE_WRITE),
    0x2209: ("File Data Check", Is.FILE_READ), 0x220A: ("Memory Area File Transfer", Is.PROGRAM_TO_DEVICE),
    0x220B: ("Parameter Area File Transfer", Is.PROGRAM_TO_DEVICE),
    0x220C: ("Program Area File Transfer", Is.PROGRAM_TO_DEVICE), 0x220F: ("File Memory Index Read", Is.FILE_READ),
    0x2210: ("File Memory Read", Is.FILE_READ), 0x2211: ("File Memory Write", Is.FILE_WRITE),
    0x2301: ("Forced Set/Reset", Is.WRITE), 0x2302: ("Forced Set/Reset Cancel", Is.WRITE),
    0x230A: ("Multiple Forced Status Read", Is.READ), 0x2601: ("Name Set", Is.CONFIG),
    0x2602: ("Name Delete", Is.CONFIG), 0x2603: ("Name Read", Is.DISCOVERY),
}  # fmt: skip
_READ, _WRITE, _FILL, _READ_MANY, _TRANSFER, _FORCE, _FORCED = 0x0101, 0x0102, 0x0103, 0x0104, 0x0105, 0x2301, 0x230A
_MEMORY_FILE, _PARAMETER_FILE = 0x220A, 0x220B
#: Memory areas (5-2-2) by their code: the words' table, and whether the code means bits.  The old codes of CV
#: controllers lay several areas out behind each other, so their tables are nobody else's.
_WORDS: Final = {
    0xB0: "CIO", 0xB1: "W", 0xB2: "H", 0xB3: "A", 0x82: "D", 0x98: "E", 0xF0: "CIO", 0xF1: "W", 0xF2: "H", 0x9C: "EM",
    0x80: "CV", 0xC0: "CV", 0x81: "CV timer", 0x85: "CV forced", 0xBC: "DR", 0xDC: "IR",
    **{first + bank: f"E{start + bank:X}_" for first, start, n in ((0xA0, 0, 16), (0x60, 16, 9), (0x90, 0, 8))
       for bank in range(n)},
}  # fmt: skip
_BITS: Final = {
    0x30: "CIO", 0x31: "W", 0x32: "H", 0x33: "A", 0x02: "D", 0x0A: "E", 0x70: "CIO", 0x71: "W", 0x72: "H",
    0x00: "CV", 0x40: "CV",
    **{first + bank: f"E{start + bank:X}_" for first, start, n in ((0x20, 0, 16), (0xE0, 16, 9)) for bank in range(n)},
}  # fmt: skip
#: Areas of single flags: their address is a number, and their bit is 0.
_FLAGS: Final = {0x01: "CV timer flag", 0x41: "CV timer flag", 0x06: "TK", 0x46: "TK", 0x07: "clock pulse"}
_TIMER_WORDS, _TIMER_FLAGS = 0x89, frozenset({0x09, 0x49})
#: Timers are 0x0000 to 0x0FFF, counters 0x8000 to 0x8FFF.
_COUNTERS: Final = 0x8000
_WORD_BITS, _ADDRESSES, _BOTH = 16, 0x1_0000, frozenset({Is.READ, Is.WRITE})

#: Header (3-2): ICF, RSV, GCT, then network, node and unit of the destination and of the source, then SID.
_LEAST_BYTES, _LEAST_RESPONSE_BYTES = 12, 14
MAX_MESSAGE_BYTES: Final = 2012
_RESPONSE, _NO_RESPONSE, _ICF_RESERVED = 0x40, 0x01, 0x3E
_GATEWAY, _MAX_GATEWAYS, _GATEWAYS = 0x80, 7, 2
#: FINS/TCP (W421 7-4): "FINS", length behind itself, command, error code.
_MAGIC: Final = b"FINS"
_TCP_HEAD_BYTES: Final = 16
_FRAME_SEND: Final = 2
#: What stands behind the head of the commands that carry no FINS: node addresses.
_TCP_LINKS: Final = {0: 4, 1: 8, 3: 0, 6: 0}
_TCP_NAMES: Final = {
    0: "Node Address Data Send (Client to Server)", 1: "Node Address Data Send (Server to Client)",
    2: "Frame Send", 3: "Frame Send Error Notification", 6: "Connection Confirmation",
}  # fmt: skip
MAX_FRAME_BYTES: Final = _TCP_HEAD_BYTES + MAX_MESSAGE_BYTES
_tcp_head: Final = Struct(">4xIII").unpack_from
_address: Final = Struct(">BHB").unpack_from
_address_count: Final = Struct(">BHBH").unpack_from

#: End codes (5-1-3); the bits of relay errors and of fatal and other errors of the controller are no refusal.
_END_CODE: Final = 0x7F3F
END_CODES: Final = {
    0x0001: "service was interrupted", 0x0204: "destination node busy", 0x0301: "communications controller error",
    0x0401: "undefined command", 0x1001: "command too long", 0x1002: "command too short", 0x1101: "no area",
    0x1103: "address range error", 0x1104: "address range exceeded", 0x110C: "parameter error", 0x2002: "protected",
    0x2101: "read-only", 0x2201: "not possible during execution", 0x2202: "not possible while running",
    0x3001: "no access right", 0x4001: "service aborted",
}  # fmt: skip
REFUSALS: Final = {
    Reason.OBJECT_OUT_OF_RANGE: 0x1103, Reason.VALUE_OUT_OF_RANGE: 0x110C, Reason.MALFORMED: 0x110C,
    Reason.UNKNOWN_OPERATION: 0x0401, Reason.INSPECTION_UNAVAILABLE: 0x0301, Reason.RATE_EXCEEDED: 0x0204,
    Reason.TOO_MANY_IN_FLIGHT: 0x0204, Reason.EVIDENCE_UNAVAILABLE: 0x0204, Reason.HOLD_TIMED_OUT: 0x0204,
}  # fmt: skip
_NO_ACCESS_RIGHT: Final = 0x3001


class FinsFrame(Frame, gc=False):
    """One FINS message; `what` is all of it but the gateway count and SID, or a whole FINS/TCP link message."""

    @property
    def operation(self) -> Operation:
        """What the command asks for.  Raises `Malformed`."""
        return operation(self.what)


def operation(what: bytes) -> Operation:
    """What a command asks for.  Raises `Malformed`."""
    network, node, device = what[1], what[2], what[3]
    code = what[7] << 8 | what[8]
    name, meant = CODES.get(code, (f"unknown command {code:04X}", Is.UNKNOWN))
    far = f"{network}.{node}.{device} " if network or device else ""
    targets = _targets(code, what[9:], far)
    classes = (Is.WRITE, Is.READ) if code == _TRANSFER else (meant,)
    return Operation("fins", classes, f"{code:04X}", name, node, targets)


def _targets(code: int, body: bytes, far: str) -> tuple[Target, ...]:
    """The memory that a command names.  `far` is in front of tables that are not the addressed controller's own."""
    if code in {_READ, _WRITE, _FILL}:
        return (_span(code, body, far),)
    if code == _READ_MANY:
        _expect(body, len(body) // 4 * 4, least=4)
        return tuple(_target(Is.READ, body[at : at + 4], 1, far) for at in range(0, len(body), 4))
    if code == _TRANSFER:
        _expect(body, 10)
        count = body[8] << 8 | body[9]
        return (_target(Is.WRITE, body[4:8], count, far), _target(Is.READ, body[:4], count, far))
    if code == _FORCE:
        return _forced(body, far)
    if code == _FORCED:
        _expect(body, 6)
        return (_target(Is.READ, body, body[4] << 8 | body[5], far),)
    return ()


def _expect(body: bytes, size: int, least: int = 0) -> None:
    if len(body) != size or size < least:
        raise Malformed(f"{len(body)} bytes of parameters do not fit the command (W342 5-3)")


def _span(code: int, body: bytes, far: str) -> Target:
    """Read, write and fill (5-3-2 to 5-3-4): area, address, bit, count, and what is written."""
    if len(body) < 6:  # noqa: PLR2004 - area, address, bit, count
        raise Malformed("a command without an area, an address and a count (W342 5-3-2)")
    area, _, _, count = _address_count(body)
    data = body[6:]
    if code == _READ:
        _expect(data, 0)
        return _target(Is.READ, body, count, far)
    if code == _FILL:
        _expect(data, 2 if _is_words(area) else -1)  # bits cannot be filled
        return _target(Is.WRITE, body, count, far, (data[0] << 8 | data[1],))
    if _is_words(area):
        _expect(data, 2 * count)
        return _target(Is.WRITE, body, count, far, unpack(f">{count}H", data))
    _expect(data, count)
    if max(data, default=0) > 1:
        raise Malformed("a bit that is neither 0 nor 1 (W342 5-3-3)")
    return _target(Is.WRITE, body, count, far, tuple(data))


def _forced(body: bytes, far: str) -> tuple[Target, ...]:
    """Forced set and reset (5-3-31): 0 and 1 force a bit, everything else releases it."""
    if len(body) < 2:  # noqa: PLR2004 - the count
        raise Malformed("forcing nothing (W342 5-3-31)")
    _expect(body, 2 + 6 * (body[0] << 8 | body[1]), least=8)
    found = []
    for at in range(2, len(body), 6):
        how = body[at] << 8 | body[at + 1]
        found.append(_target(Is.WRITE, body[at + 2 : at + 6], 1, far, (how,) if how in {0, 1} else None))
    return tuple(found)


def _is_words(area: int) -> bool:
    return area in _WORDS or area == _TIMER_WORDS


def _target(meant: Is, at: bytes, count: int, far: str, values: tuple[Value, ...] | None = None) -> Target:
    """Memory by area code, address and bit (5-2-2).  A word is its number, a bit 16 times its word's and its own."""
    area, address, bit = _address(at)
    table, first = _place(area, address, bit)
    end = first + count
    limit = _ADDRESSES if area not in _BITS else _ADDRESSES * _WORD_BITS
    if not count or end > limit:
        raise Malformed(f"{count} of {table} from {first} on (W342 5-2-2)")
    return Target(meant, far + table, first, count, "", values)


def _place(area: int, address: int, bit: int) -> tuple[str, int]:
    """Table and number.  A code that no table has is a table of its own, which no site document can name."""
    if area in _BITS:
        if bit >= _WORD_BITS:
            raise Malformed(f"a word has no bit {bit} (W342 5-2-2)")
        return f"{_BITS[area]} bit", address * _WORD_BITS + bit
    if bit:
        raise Malformed(f"bit {bit} of an area of words (W342 5-2-2)")
    if area == _TIMER_WORDS or area in _TIMER_FLAGS:
        table = ("C" if address >= _COUNTERS else "T") + (" flag" if area in _TIMER_FLAGS else "")
        return table, address % _COUNTERS
    return _WORDS.get(area) or _FLAGS.get(area) or f"area 0x{area:02X}", address


class FinsDatagramDecoder:
    """FINS over UDP: a datagram is a message, and nothing is kept."""

    __slots__ = ()
    rewrites = False

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`."""
        return (_frame(side, data, data),)

    def pending(self, side: Side) -> int:  # noqa: ARG002 - the contract's
        """Nothing is held."""
        return 0

    def forward(self, frame: Frame) -> bytes:
        """The frame as it came."""
        return frame.data

    def due(self, side: Side) -> bytes:  # noqa: ARG002 - the contract's
        """Nothing: FINS does not count its messages."""
        return b""

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """A response with an end code (5-1-3) in the name of the asset, where the command wants one."""
        if frame.role is not Role.REQUEST or frame.exchange == NO_ANSWER:
            return b""
        is_tcp = frame.data.startswith(_MAGIC)
        message = frame.data[_TCP_HEAD_BYTES:] if is_tcp else frame.data
        head = bytes((_GATEWAY | _RESPONSE, 0, _GATEWAYS)) + message[6:9] + message[3:6]
        response = head + message[9:_LEAST_BYTES] + REFUSALS.get(reason, _NO_ACCESS_RIGHT).to_bytes(2, "big")
        length = (8 + len(response)).to_bytes(4, "big")
        return _MAGIC + length + _FRAME_SEND.to_bytes(4, "big") + bytes(4) + response if is_tcp else response

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """The end code, or the values that were read."""
        code = (reply.what[9] << 8 | reply.what[10]) & _END_CODE
        if code:
            return Answer(f"{code:04X} {END_CODES.get(code, 'end code of the controller')}")
        if request.what[7:9] != b"\x01\x01":
            return Answer()
        try:
            read = operation(request.what).targets[0]
        except Malformed:
            return Answer("unreadable")
        data, size = reply.what[11:], 2 if _is_words(request.what[9]) else 1
        if len(data) != size * read.count:
            return Answer("unreadable")
        values = unpack(f">{read.count}H", data) if size > 1 else tuple(data)
        return Answer("", (msgspec.structs.replace(read, values=values),))


class FinsDecoder(FinsDatagramDecoder):
    """FINS/TCP.  At most one incomplete message is held for each side."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = dict.fromkeys(Side, b"")

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`."""
        stream = self._held[side] + data
        frames: list[Frame] = []
        start = 0
        try:
            while (end := _end_of_frame(stream, start)) is not None:
                frames.append(_tcp_frame(side, stream[start:end]))
                start = end
        except Malformed:
            if not frames:
                raise
        self._held[side] = stream[start : start + MAX_FRAME_BYTES]
        return frames

    def pending(self, side: Side) -> int:
        """How many bytes of an incomplete (or broken) message are held for this side."""
        return len(self._held[side])


def _end_of_frame(stream: bytes, start: int) -> int | None:
    """Where the message at `start` ends, ``None`` while it is incomplete.  Raises `Malformed` as soon as it can."""
    held = len(stream) - start
    if not _MAGIC.startswith(stream[start : start + 4]):
        raise WrongProtocol("no FINS in front of the message (W421 7-4)")
    if held < _TCP_HEAD_BYTES:
        return None
    length, command, error = _tcp_head(stream, start)
    wanted = 8 + _TCP_LINKS[command] if command in _TCP_LINKS else length
    is_length = length == wanted and 8 <= length <= 8 + MAX_MESSAGE_BYTES  # noqa: PLR2004 - command and error code
    if command not in _TCP_NAMES or not is_length or (command == _FRAME_SEND and error):
        raise Malformed(f"command {command}, length {length}, error {error} do not fit together (W421 7-4)")
    return start + 8 + length if 8 + length <= held else None


def _tcp_frame(side: Side, data: bytes) -> Frame:
    if data[11] == _FRAME_SEND:
        return _frame(side, data, data[_TCP_HEAD_BYTES:])
    return FinsFrame(data, side, data, NO_ANSWER, False, Role.LINK)


def _frame(side: Side, data: bytes, message: bytes) -> Frame:
    """A message of FINS (3-2), whatever carried it.  Raises `Malformed`."""
    if not _LEAST_BYTES <= len(message) <= MAX_MESSAGE_BYTES:
        raise Malformed(f"a message of {len(message)} bytes (W342 3-2)")
    icf = message[0]
    if icf & _ICF_RESERVED or message[1] or message[2] > _MAX_GATEWAYS:
        raise WrongProtocol("ICF, RSV or GCT are none of FINS (W342 3-2)")
    is_response = bool(icf & _RESPONSE)
    asker, answerer = (message[3:6], message[6:9]) if is_response else (message[6:9], message[3:6])
    what = message[:1] + message[3:9] + message[10:]
    exchange = int.from_bytes(asker + answerer + message[9:_LEAST_BYTES], "big")
    if not is_response:
        return FinsFrame(data, side, what, NO_ANSWER if icf & _NO_RESPONSE else exchange, False, Role.REQUEST)
    if len(message) < _LEAST_RESPONSE_BYTES:
        raise Malformed("a response without an end code (W342 5-1-3)")
    return FinsFrame(data, side, what, exchange, bool((message[12] << 8 | message[13]) & _END_CODE), Role.REPLY)


def fits(data: bytes, side: Side) -> bool | None:  # noqa: ARG001 - either end may send commands
    """See `Known.fits`: FINS/TCP by its mark, FINS over UDP by header and a command that there is."""
    if _MAGIC.startswith(data[:4]):
        try:
            end = _end_of_frame(data[:_TCP_HEAD_BYTES], 0)
        except Malformed:
            return False
        return None if end is None and len(data) < _TCP_HEAD_BYTES else True
    icf, reserved, gateways = data[0], data[1:2], data[2:3]
    if icf & _ICF_RESERVED or not icf & _GATEWAY or any(reserved) or (gateways and gateways[0] > _MAX_GATEWAYS):
        return False
    if len(data) < _LEAST_BYTES:  # a datagram comes whole
        return False
    is_short = icf & _RESPONSE and len(data) < _LEAST_RESPONSE_BYTES
    return not is_short and (data[10] << 8 | data[11]) in CODES


def _area_names() -> dict[int, str]:
    """The areas as the reference decode names them: two generations of controllers, bits and words, with forcing."""
    old, new, forced = "CIO, TR, CPU Bus Link, and Auxiliary", "CS1 mode: ", " (with forced status)"
    bits, words, flags = "Bit status", "Word contents", "Timer/Counter : Completion Flag status"
    found = {0x00: f"{old} : {bits}", 0x80: f"{old} : {words}", 0x01: flags, 0x09: new + flags}
    found[0x03] = "Transition : Flag status"
    for at, area in enumerate(("CIO Area", "Work Area", "Holding Bit Area")):
        found |= {0x30 + at: f"{new}{area} : {bits}", 0xB0 + at: f"{new}{area} : {words}"}
    found |= {code + 0x40: text + forced for code, text in found.items()}
    for count, first, text in ((8, 0x90, "Expansion DM : Word contents"), (13, 0xA0, f"{new}Expansion DM : {words}"),
                               (13, 0x20, f"{new}Expansion DM : Bit contents")):  # fmt: skip
        found |= {first + bank: f"{text}, bank E{bank:X}" for bank in range(count)}
    register = "Register : Register contents / Current bank no. of expansion DM"
    return found | {
        0x33: f"{new}Auxiliary Area : {bits}", 0xB3: f"{new}Auxiliary Bit Area : {words}", 0x82: f"DM : {words}",
        0x81: "Timer/Counter : PV", 0x89: f"{new}Timer/Counter : PV", 0x02: f"{new}DM : Bit contents",
        0x04: "Step : Flag status", 0x44: "Step : Status", 0x84: "Step : Step timer PV",
        0x05: f"Forced status : {bits}", 0x85: f"Forced status : {words}", 0x1B: "Action : Flag status",
        0x98: f"Expansion DM : {words}, current bank", 0xDD: "Interrupt status : Scheduled interrupt interval",
        0x9C: register, 0xBC: new + register, 0x46: f"{new}Task flag : Status", 0x06: f"{new}Task flag : Bit contents",
        0xDC: f"{new}Index register : Register contents", 0x07: f"{new}Clock pulses / Condition flags : Bit contents",
    }  # fmt: skip


_AREA_NAMES: Final = _area_names()


class FinsDissector:
    """Reads one flow passively; what breaks is given up up to the next segment."""

    __slots__ = ("_decoders", "_make")

    def __init__(self, make: type[FinsDatagramDecoder] = FinsDecoder) -> None:
        self._make = make
        self._decoders = {side: make() for side in Side}

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        for _ in range(2):
            try:
                return [_shown(frame) for frame in self._decoders[side].feed(side, data)]
            except Malformed:  # what was held is not the beginning of this
                self.lost(side)
        return ()

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._decoders[side] = self._make()


def _shown(frame: Frame) -> Shown:
    """A message as the reference decode shows it."""
    pdu: dict[str, Any] = {"p": "omron"}
    message = frame.data
    if message.startswith(_MAGIC):
        command = message[11]
        pdu |= {"tcp_magic": int.from_bytes(_MAGIC, "big"), "tcp_cmd": command, "tcp_cmd_name": _TCP_NAMES[command]}
        message = message[_TCP_HEAD_BYTES:]
        if frame.role is Role.LINK:
            return Shown(pdu)
    code = message[10] << 8 | message[11]
    pdu |= {"is_response": message[0] >> 6 & 1, "da1": message[4], "sa1": message[7], "sid": message[9]}
    pdu |= {"cmd": code, "cmd_name": CODES.get(code, ("Unknown", None))[0]}
    body = message[_LEAST_BYTES:]
    if frame.role is Role.REQUEST:
        _asked(pdu, code, body)
    elif code in CODES:
        pdu["resp"] = body[0] << 8 | body[1]
        _answered(pdu, code, body[2:])
    return Shown(pdu, frame)


def _listed(pdu: dict[str, Any], **values: int) -> None:
    for key, value in values.items():
        pdu.setdefault(key, []).append(value)
        if key == "area":
            pdu.setdefault("area_name", []).append(_AREA_NAMES.get(value, "Unknown"))


def _asked(pdu: dict[str, Any], code: int, body: bytes) -> None:
    """What a command names, as far as it is there."""
    size = len(body)
    if code in {_READ, _WRITE, _FILL, _READ_MANY, _TRANSFER}:
        ends = {_READ_MANY: size, _TRANSFER: 8}.get(code, 4)
        for at in range(0, min(ends, size) - 3, 4):
            area, address, bit = _address(body, at)
            _listed(pdu, area=area, addr=address, bit=bit)
        if code != _READ_MANY and size >= ends + 2:
            _listed(pdu, n=body[ends] << 8 | body[ends + 1])
    elif code == _FORCE:
        for at in range(4, size, 6):
            _listed(pdu, area=body[at])
    elif code == _FORCED and size:
        _listed(pdu, area=body[0])
    elif code == _MEMORY_FILE and size >= 8:  # noqa: PLR2004 - how, area, address, bit, count
        _listed(pdu, area=body[2], n=body[6] << 8 | body[7])
    elif code == _PARAMETER_FILE and size >= 6:  # noqa: PLR2004 - how, area, address
        _listed(pdu, addr=body[4] << 8 | body[5])


def _answered(pdu: dict[str, Any], code: int, body: bytes) -> None:
    if code == _READ_MANY:
        at = 0
        while at < len(body):
            _listed(pdu, area=body[at])
            at += 3 if _is_words(body[at]) else 2
    elif code == _FORCED and body:
        _listed(pdu, area=body[0])
    elif code == _MEMORY_FILE and len(body) > 1:
        _listed(pdu, n=body[0] << 8 | body[1])


_AREA: Final = re.compile(r"(CIO|W|H|A|D|T|C|E(?:[0-9A-F]{1,2}_)?)? ?([0-9]{1,5})(?:\.([0-9]{1,2}))?", re.IGNORECASE)


def _areas(text: str) -> Sequence[Span]:
    """``D100-D199, W0.0``."""
    return tuple(span for part in text.split(",") for span in _range(part))


def _range(text: str) -> Sequence[Span]:
    """``D100-D199``, ``W0.0``, ``W0.0-W1.15``: a range of words means their bits as well, never the reverse."""
    low, dash, high = text.strip().partition("-")
    first, last = (_AREA.fullmatch(each.strip()) for each in (low, high if dash else low))
    hint = "write it as D100-D199, CIO 20, W0.0 or E0_100 (area, word, bit)"
    table = first[1].upper() if first is not None and first[1] else ""
    if not first or not last or (last[1] or table).upper() != table or (first[3] is None) != (last[3] is None):
        raise UnreadableError(f"{text!r} is no range of one memory area", hint)
    words, bits = (int(first[2]), int(last[2])), (int(first[3] or 0), int(last[3] or _WORD_BITS - 1))
    lowest, highest = words[0] * _WORD_BITS + bits[0], words[1] * _WORD_BITS + bits[1]
    is_flag = table in {"T", "C"}
    if not table or words[1] >= _ADDRESSES or max(bits) >= _WORD_BITS or highest < lowest or (is_flag and first[3]):
        raise UnreadableError(f"{text!r} is no range: words go up to 65535, bits to 15, the smaller first", hint)
    if is_flag:
        return tuple(Span(table=each, first=words[0], last=words[1]) for each in (table, f"{table} flag"))
    whole = (Span(table=table, first=words[0], last=words[1]),) if first[3] is None else ()
    return (*whole, Span(table=f"{table} bit", first=lowest, last=highest))


_ABOUT: Final = "memory by area and number: CIO, W, H, A, D, E, E0_ to E18_, T, C; a bit behind a point"
FINS: Final = WireProtocol(
    name="fins", title="Omron FINS", column="OMRON", ports=("udp/9600", "tcp/9600"), max_held_bytes=MAX_FRAME_BYTES,
    limits=(Limit(key="areas", about=_ABOUT, example="areas: [D100-D199, W0.0]", classes=_BOTH, read=_areas),),
    fits=fits, streams=FinsDecoder, datagrams=FinsDatagramDecoder,
    dissectors={"tcp": FinsDissector, "udp": lambda: FinsDissector(FinsDatagramDecoder)},
    words={"on": 1, "off": 0}, wraps_at=_ADDRESSES, refusal="response with an end code",
    unseen=("networks and units behind it", "programs and parameter areas", "area codes of CV controllers"),
)  # fmt: skip
