"""GE-SRTP: service requests to the controllers of GE, by their service code.

Pure.  There is no public specification: Denton et al., "Leveraging the SRTP protocol for over-the-network memory
acquisition of a GE Fanuc Series 90-30" (tables 1 to 4), and GE GFK-0529 (SNP, mailbox messages).  Numbers are little
endian.  A connection begins with 56 bytes of nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.model import Malformed, Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import UNTOLD, MessageDissector, Pdu, RecognisedProtocol, asking

#: (service codes, name, classes): the taxonomy.
CODES: Final[tuple[tuple[tuple[int, ...], str, tuple[Is, ...]], ...]] = (
    (
        (0x00, 0x03, 0x25, 0x38, 0x43),
        "short status, program names, time, fault table, controller id",
        (Is.DIAGNOSTICS,),
    ),
    ((0x04,), "read system memory", (Is.READ,)),
    ((0x05, 0x06), "read task, program memory", (Is.PROGRAM_FROM_DEVICE,)),
    ((0x07,), "write system memory", (Is.WRITE,)),
    ((0x08, 0x09), "write task, program block memory", (Is.PROGRAM_TO_DEVICE,)),
    ((0x20, 0x21, 0x22), "logon, change privilege, set CPU id", (Is.AUTH,)),
    ((0x23,), "set run or stop", (Is.EXECUTE,)),
    ((0x24,), "set time", (Is.CONFIG,)),
    ((0x39,), "clear fault table", (Is.CONFIG,)),
    ((0x3F,), "program store (from PLC)", (Is.PROGRAM_FROM_DEVICE,)),
    ((0x40,), "program load (to PLC)", (Is.PROGRAM_TO_DEVICE,)),
    ((0x44,), "toggle force", (Is.WRITE,)),
)
MEANINGS: Final = {code: (name, classes) for codes, name, classes in CODES for code in codes}
#: Table 3: which memory a segment selector means, in bits, bytes or words.
SEGMENTS: Final = {
    0x08: "R",
    0x0A: "AI",
    0x0C: "AQ",
    0x46: "I",
    0x48: "Q",
    0x4A: "T",
    0x4C: "M",
    0x4E: "SA",
    0x50: "SB",
    0x52: "SC",
    0x54: "S",
    0x56: "G",
    0x10: "I bytes",
    0x12: "Q bytes",
    0x14: "T bytes",
    0x16: "M bytes",
    0x18: "SA bytes",
    0x1A: "SB bytes",
    0x1C: "SC bytes",
    0x1E: "S bytes",
    0x38: "G bytes",
}
HEAD_BYTES: Final = 56
#: The length of text has 16 bits.
MAX_MESSAGE_BYTES: Final = HEAD_BYTES + 0xFFFF
_START, _STARTED, _REQUEST, _REPLY = 0, 1, 2, 3
_KIND_AT: Final = 31
#: GFK-0529: mailbox messages without and with text, and what answers them.
_WITH_TEXT: Final = 0x80
_KINDS: Final = {_REQUEST: frozenset({0xC0, _WITH_TEXT}), _REPLY: frozenset({0xD4, 0x94, 0xD1})}
#: Where a request without text has its service; one with text has a packet count in front of it.
_SERVICE_AT, _SERVICE_WITH_TEXT_AT = 42, 50
_ADDRESSED: Final = frozenset({0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x44})
#: Bytes that are 0 in every message that is known.
_ZEROS: Final = (1, 3, *range(6, 9), *range(18, 26))


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: a mailbox message of this side, or the empty one that begins a connection."""
    kind = data[0]
    if kind in {_START, _STARTED}:
        return _fits_start(data, side)
    if kind != (_REQUEST if side is Side.CLIENT else _REPLY) or any(data[at] for at in _ZEROS if at < len(data)):
        return False
    if len(data) <= _KIND_AT:
        return None
    return data[_KIND_AT] in _KINDS[kind]


def _fits_start(data: bytes, side: Side) -> bool | None:
    if data[0] != (_START if side is Side.CLIENT else _STARTED) or any(data[1:8]):
        return False
    is_client = side is Side.CLIENT
    if is_client and any(data[:HEAD_BYTES]):
        return False
    if len(data) < HEAD_BYTES:
        return None
    following = data[HEAD_BYTES : 2 * HEAD_BYTES]
    return not following or fits(following, side) is not False


def length_of(stream: bytes, start: int) -> int:
    """How long the message at `start` is, `UNTOLD` while too few bytes tell.  Raises `Malformed`."""
    kind = stream[start]
    if kind > _REPLY:
        raise Malformed(f"{kind} is no type of message (table 1)")
    if len(stream) - start < HEAD_BYTES:
        return UNTOLD
    if kind in {_START, _STARTED}:
        return HEAD_BYTES
    if stream[start + _KIND_AT] not in _KINDS[kind]:
        raise Malformed("no mailbox message (GFK-0529)")
    return HEAD_BYTES + (stream[start + 4] | stream[start + 5] << 8)


def _show(message: bytes, side: Side) -> Sequence[Shown]:
    """The reference decode does not know this protocol: it shows bytes."""
    pdu: Pdu = {"p": "data", "len": len(message), "head": message[:24].hex()}
    is_request = message[0] == _REQUEST and side is Side.CLIENT
    return [Shown(pdu, asking(message, side, operation(message)) if is_request else None, "TCP")]


def operation(message: bytes) -> Operation:
    """What a request asks for."""
    at = _SERVICE_WITH_TEXT_AT if message[_KIND_AT] == _WITH_TEXT else _SERVICE_AT
    code = message[at]
    name, classes = MEANINGS.get(code, (f"unknown 0x{code:02X}", (Is.UNKNOWN,)))
    targets: tuple[Target, ...] = ()
    if code in _ADDRESSED:
        segment = message[at + 1]
        first, count = message[at + 2] | message[at + 3] << 8, message[at + 4] | message[at + 5] << 8
        table = SEGMENTS.get(segment, f"segment 0x{segment:02X}")
        targets = tuple(Target(each, table, first, count) for each in classes)
    return Operation("ge_srtp", classes, f"0x{code:02X}", name, None, targets)


GE_SRTP: Final = RecognisedProtocol(
    name="ge_srtp",
    title="GE-SRTP",
    column="TCP",
    ports=("tcp/18245",),
    fits=fits,
    dissectors={"tcp": lambda: MessageDissector(length_of, MAX_MESSAGE_BYTES, _show)},
)
