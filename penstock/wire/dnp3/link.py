"""The link layer of DNP3: headers of frames, and frames that the gate itself sends.

Pure.  IEEE 1815-2012, clause 9.2: 0x05 0x64, length, control, destination, source, CRC, then user data in blocks of 16
octets, each with its CRC.  The length counts from the control octet on, without CRCs: 5 to 255.  It must never let
through a header that two stations could read differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import Final

import msgspec

from penstock.model import Malformed
from penstock.wire.decoder import NO_ANSWER, Side, WrongProtocol
from penstock.wire.dnp3.codes import (
    BROADCAST,
    CONFIRMED_DATA,
    FIRST_RESERVED,
    LINK_DATA,
    LINK_SESSION,
    SELF_ADDRESS,
    TEST_LINK,
    UNCONFIRMED_DATA,
)
from penstock.wire.dnp3.crc import BLOCK_BYTES, CHECK_BYTES, crc, in_blocks, is_right

START: Final = b"\x05\x64"
HEADER_BYTES: Final = 10
#: What the length counts beside user data: control, destination, source.
_COUNTED: Final = 5
LENGTH_AT: Final = 2
MAX_USER_DATA: Final = 250
MAX_FRAME_BYTES: Final = HEADER_BYTES + MAX_USER_DATA + CHECK_BYTES * -(-MAX_USER_DATA // BLOCK_BYTES)
#: Octets of a fragment in one segment: the first octet of user data is the transport header.
SEGMENT_BYTES: Final = MAX_USER_DATA - 1
FROM_MASTER: Final = 0x80
PRIMARY: Final = 0x40
FRAME_COUNT: Final = 0x20
IS_COUNTED: Final = 0x10
FUNCTION: Final = 0x0F
#: Transport header (8.2.2): last and first segment, and a number of six bits.
FINAL: Final = 0x80
FIRST: Final = 0x40
WHOLE: Final = FINAL | FIRST
SEQUENCE: Final = 0x3F
_CONTROL_AT: Final = 3
_header = Struct("<2xBBHH").unpack_from
_make = Struct("<2sBBHH").pack
#: Frames of which the station counts the sending bit (9.2.4.1.3.2).
_COUNTED_FUNCTIONS: Final = frozenset({TEST_LINK, CONFIRMED_DATA})


class Header(msgspec.Struct, frozen=True, gc=False):
    """A header of a link frame that was found right.

    `end` is the length of its frame in octets, `count` that of the user data.  `pair` is the exchange of its messages
    without their sequence number, `NO_ANSWER` where everybody is asked.  `prefix` starts the `what` of a request: the
    outstation, no state, first and last fragment.  `is_plain`: unconfirmed user data, as nearly every frame.
    `address` is the outstation's, two octets.
    """

    end: int
    count: int
    control: int
    destination: int
    source: int
    pair: int
    prefix: bytes
    is_plain: bool
    address: bytes

    @property
    def function(self) -> int:
        """The link function."""
        return self.control & FUNCTION

    @property
    def has_data(self) -> bool:
        """Whether it carries the application layer."""
        return bool(self.control & PRIMARY) and self.control & FUNCTION in LINK_DATA


def expect_start(stream: bytes, at: int) -> None:
    """Raises as soon as the octets at `at` cannot start a frame."""
    start = stream[at : at + 2]
    if start != START[: len(start)]:
        raise WrongProtocol("no frame starts with 0x0564 here, so this is not DNP3 (IEEE 1815 9.2.4.1)")
    if len(stream) > at + LENGTH_AT and stream[at + LENGTH_AT] < _COUNTED:
        raise Malformed(f"a length of {stream[at + LENGTH_AT]} is less than 5 (9.2.4.1.2)")


def read_header(raw: bytes) -> Header:
    """The header in ten octets whose start and length were looked at.  Raises `Malformed` if its CRC is wrong."""
    if not is_right(raw):
        raise Malformed("the CRC of a link header is wrong (9.2.4.3)")
    length, control, destination, source = _header(raw)
    count = length - _COUNTED
    end = HEADER_BYTES + count + CHECK_BYTES * -(-count // BLOCK_BYTES)
    master = control & FROM_MASTER
    outstation, asker = (destination, source) if master else (source, destination)
    pair = NO_ANSWER if outstation in BROADCAST else (outstation << 16 | asker) << 4
    prefix = outstation.to_bytes(2, "little") + b"\0\xc0"
    is_plain = control & (PRIMARY | FUNCTION) == PRIMARY | UNCONFIRMED_DATA
    return Header(end, count, control, destination, source, pair, prefix, is_plain, prefix[:2])


@lru_cache(maxsize=1024)
def known_header(raw: bytes, side: Side) -> Header:
    """The header in ten octets from this side.  Raises `Malformed` where a station there must not send it."""
    header = read_header(raw)
    control = header.control
    if bool(control & FROM_MASTER) is not (side is Side.CLIENT):
        raise Malformed("the direction bit is not that of this side (9.2.4.1.3.1)")
    function = control & FUNCTION
    if header.has_data:
        if header.count < 2:  # noqa: PLR2004 - a transport header and one octet of a fragment (8.2.2)
            raise Malformed("user data without an octet of a fragment (8.2.2)")
    elif header.count:
        raise Malformed(f"link function {function} with user data (9.2.4.1.3.3)")
    _check_addresses(header, side)
    if side is Side.CLIENT and control & PRIMARY and function in LINK_SESSION | LINK_DATA:
        is_counted = bool(control & IS_COUNTED)
        if is_counted is not (function in _COUNTED_FUNCTIONS):
            raise Malformed(f"link function {function} with the wrong frame count valid bit (9.2.4.1.3.2)")
    return header


def _check_addresses(header: Header, side: Side) -> None:
    if header.source >= FIRST_RESERVED:
        raise Malformed(f"{header.source} is no station's own address (8.2.1.3)")
    if header.destination < FIRST_RESERVED:
        return
    if side is Side.ASSET or header.destination < SELF_ADDRESS:
        raise Malformed(f"nobody is asked at address {header.destination} (8.2.1.3)")
    if header.destination in BROADCAST and header.control & (PRIMARY | FUNCTION) != PRIMARY | UNCONFIRMED_DATA:
        raise Malformed("only unconfirmed user data goes to everybody (9.2.4.1.3.3)")


def link_frame(control: int, destination: int, source: int, data: bytes = b"") -> bytes:
    """A link frame with its CRCs."""
    head = _make(START, _COUNTED + len(data), control, destination, source)
    return head + crc(head).to_bytes(CHECK_BYTES, "little") + in_blocks(data)


def segments(control: int, destination: int, source: int, fragment: bytes, number: int) -> Iterator[bytes]:
    """The link frames of a fragment; the first has the transport sequence `number`."""
    last = (len(fragment) - 1) // SEGMENT_BYTES
    for i in range(last + 1):
        head = (FIRST if i == 0 else 0) | (FINAL if i == last else 0) | (number + i & SEQUENCE)
        part = fragment[i * SEGMENT_BYTES : (i + 1) * SEGMENT_BYTES]
        yield link_frame(control, destination, source, bytes((head,)) + part)


def link_frames(data: bytes) -> Iterator[bytes]:
    """The link frames that carried one fragment, one by one."""
    at = 0
    while at < len(data):
        count = data[at + LENGTH_AT] - _COUNTED
        end = at + HEADER_BYTES + count + CHECK_BYTES * -(-count // BLOCK_BYTES)
        yield data[at:end]
        at = end


def with_count_turned(data: bytes) -> bytes:
    """The same frame with the other frame count bit."""
    head = data[:_CONTROL_AT] + bytes((data[_CONTROL_AT] ^ FRAME_COUNT,)) + data[_CONTROL_AT + 1 : HEADER_BYTES - 2]
    return head + crc(head).to_bytes(CHECK_BYTES, "little") + data[HEADER_BYTES:]


def starred(data: bytes, first: int, end: int) -> bytes:
    """Link frames of one fragment with its octets from `first` to `end` overwritten, CRCs of those blocks too."""
    marked = bytearray(data)
    start = at = 0
    while start < len(data):
        count = data[start + LENGTH_AT] - _COUNTED
        for i in range(1, count):
            if first <= at < end:
                block = i // BLOCK_BYTES
                place = start + HEADER_BYTES + i + CHECK_BYTES * block
                marked[place] = ord("*")
                check = start + HEADER_BYTES + min((block + 1) * BLOCK_BYTES, count) + CHECK_BYTES * block
                marked[check : check + CHECK_BYTES] = b"**"
            at += 1
        start += HEADER_BYTES + count + CHECK_BYTES * -(-count // BLOCK_BYTES)
    return bytes(marked)
