"""The files that hold the lines of a log: segments of checked frames, readable by eye and by grep.

Pure.  A segment begins with a line that carries the tree so far, so that it can be verified when older ones are gone::

    #segment 1 <first seq> <hashes of the tree before it, base64 or -> <crc32 of the line before it>
    #frame <count> <first seq> <body length in bytes> <crc32 of this line before it and of the body>
    {"seq":0,"time":"2026-01-31T23:59:59.000000Z","kind":"log.started",…}

One frame is what one write made durable.  A frame that is cut short at the end of the last segment is what a crash
leaves; any other deviation is damage.  This module must never repair anything: it says what is there.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from penstock.evidence.pinpoint import Altered, altered_byte
from penstock.evidence.tree import Frontier
from penstock.model import Malformed

#: The longest body of one frame: what a reader must hold in memory.
MAX_BODY_BYTES = 4 << 20
#: `#frame`, three numbers of at most 19 digits, a checksum: a line that is longer is no header.
_MAX_HEADER_BYTES = 96
#: A tree of 2^63 leaves has 63 hashes of 32 bytes, in base64.
_MAX_SEGMENT_HEADER_BYTES = 2800
#: Eight digits and the newline, between what the checksum of a frame is over.
_CHECKSUM_BYTES = 9
_READ_BYTES = 256 << 10
_NUMBER = rb"(0|[1-9][0-9]{0,18})"
_FRAME = re.compile(rb"(#frame " + _NUMBER + rb" " + _NUMBER + rb" " + _NUMBER + rb" )([0-9a-f]{8})")
_FRAME_BEGUN = re.compile(rb"#frame [0-9]*( [0-9]*( [0-9]*( [0-9a-f]*)?)?)?")
_SEGMENT = re.compile(rb"(#segment 1 " + _NUMBER + rb" ([A-Za-z0-9+/]+={0,2}|-) )([0-9a-f]{8})")
_NAME = re.compile(r"records-([0-9]{18})\.log")


class Readable(Protocol):
    """A file that is read from its beginning."""

    def read(self, length_bytes: int, /) -> bytes:
        """Up to that many bytes; nothing at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Some lines (without newline) that became durable together, and where they stand in their segment."""

    offset: int
    end: int
    first_seq: int
    lines: Sequence[bytes]
    #: Where the first line begins.
    body_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Bytes from `offset` up to and without `end` that are no good frame, and why.

    `seq` is the first record that may be meant, `is_torn` tells the mark of a crash: a frame cut short by the end
    of the file, or nothing but zeros from here on.
    """

    offset: int
    end: int
    why: str
    seq: int | None = None
    is_torn: bool = False
    #: The one byte that explains the damage, where one does.
    altered: Altered | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first line of a segment: the tree of all entries before it."""

    tree: Frontier
    end: int


Piece: TypeAlias = Start | Frame | Damage


def segment_name(first_seq: int) -> str:
    """The name of the file whose first record is `first_seq`."""
    return f"records-{first_seq:018d}.log"


def first_seq_of(name: str) -> int | None:
    """The first record of the segment of that name; None for any other file."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def encode_start(tree: Frontier) -> bytes:
    """The first line of a segment that goes on after `tree`."""
    head = b"#segment 1 %d %b " % (tree.size, b64encode(tree.to_bytes()) or b"-")
    return b"%b%08x\n" % (head, zlib.crc32(head))


def encode_frame(first_seq: int, lines: Sequence[bytes]) -> bytes:
    """One frame of numbered lines (without newline), at least one.  Raises `ValueError` when it would be too long."""
    body = b"\n".join((*lines, b""))
    if not lines or len(body) > MAX_BODY_BYTES:
        raise ValueError(f"a frame holds at least one line and at most {MAX_BODY_BYTES} bytes")
    head = b"#frame %d %d %d " % (len(lines), first_seq, len(body))
    return b"%b%08x\n%b" % (head, zlib.crc32(body, zlib.crc32(head)), body)


def read_segment(file: Readable) -> Iterator[Piece]:
    """What is in a segment, in order: its start, its frames, and whatever is damaged.  Never raises for its content.

    After damage it goes on at the next line that begins a good frame.  Memory is bounded by one frame.
    """
    window = _Window(file)
    yield _read_start(window)
    while not window.is_at_end():
        piece = _read_frame(window)
        if isinstance(piece, Damage):
            piece = _widen(window, piece)
        yield piece


class _Window:
    """The part of a file that is being looked at: `data` from byte `offset` on."""

    def __init__(self, file: Readable) -> None:
        self._file, self.data, self.offset, self._at = file, b"", 0, 0

    @property
    def position(self) -> int:
        return self.offset + self._at

    def peek(self, length: int) -> bytes:
        """Up to `length` bytes from here; fewer only at the end of the file."""
        while len(self.data) - self._at < length:
            more = self._file.read(max(_READ_BYTES, length))
            if not more:
                break
            self.data, self.offset, self._at = self.data[self._at :] + more, self.position, 0
        return self.data[self._at : self._at + length]

    def skip(self, length: int) -> None:
        self._at += length

    def is_at_end(self) -> bool:
        return not self.peek(1)


def _read_start(window: _Window) -> Start | Damage:
    head, newline, _ = window.peek(_MAX_SEGMENT_HEADER_BYTES).partition(b"\n")
    match = _SEGMENT.fullmatch(head)
    if not newline or match is None or zlib.crc32(match[1]) != int(match[4], 16):
        return _bad_start(window, head, "the first line of the segment is damaged")
    try:
        tree = Frontier.from_bytes(int(match[2]), b"" if match[3] == b"-" else b64decode(match[3], validate=True))
    except (Malformed, Base64Error) as error:
        return _bad_start(window, head, f"the first line of the segment makes no sense: {error}")
    window.skip(len(head) + 1)
    return Start(tree=tree, end=window.position)


def _bad_start(window: _Window, head: bytes, why: str) -> Damage:
    """Damage up to the first frame; a header that the file ends in is what a crash leaves."""
    is_torn = len(window.peek(_MAX_SEGMENT_HEADER_BYTES)) == len(head) and (b"#segment 1 ".startswith(head[:11]))
    is_torn = is_torn or not window.peek(MAX_BODY_BYTES).strip(b"\0")
    if b"\n" in window.peek(len(head) + 1):
        window.skip(len(head) + 1)
        return Damage(offset=0, end=window.position, why=why, is_torn=is_torn)
    return _widen(window, Damage(offset=0, end=0, why=why, is_torn=is_torn))


def _read_frame(window: _Window) -> Frame | Damage:
    """The frame that begins here; for damage, only where it begins."""
    offset = window.position
    head, newline, _ = window.peek(_MAX_HEADER_BYTES).partition(b"\n")
    match = _FRAME.fullmatch(head)
    if not newline or match is None:
        is_torn = not newline and len(head) < _MAX_HEADER_BYTES and _is_begun(head)
        why = "a frame is cut short" if is_torn else "no frame begins here"
        return Damage(offset=offset, end=offset, why=why, is_torn=is_torn or _is_zeros(window))
    count, first_seq, length = int(match[2]), int(match[3]), int(match[4])
    if not 0 < length <= MAX_BODY_BYTES:
        return Damage(offset=offset, end=offset, seq=first_seq, why=f"a frame of {length} bytes")
    body = window.peek(len(head) + 1 + length)[len(head) + 1 :]
    lines = body.split(b"\n")
    if len(body) < length:
        is_torn = len(lines) <= count
        why = "a frame is cut short" if is_torn else "a frame is shorter than its first line says"
        return Damage(offset=offset, end=offset, seq=first_seq, why=why, is_torn=is_torn)
    if zlib.crc32(body, zlib.crc32(match[1])) != int(match[5], 16):
        return _mismatch(offset, first_seq, match[1], body, int(match[5], 16))
    if lines.pop() or len(lines) != count:
        return Damage(offset=offset, end=offset, seq=first_seq, why=f"a frame does not hold {count} whole lines")
    window.skip(len(head) + 1 + length)
    return Frame(
        offset=offset, end=window.position, first_seq=first_seq, lines=lines, body_offset=offset + len(head) + 1
    )


def _mismatch(offset: int, first_seq: int, head: bytes, body: bytes, checksum: int) -> Damage:
    """A frame with a wrong checksum over `head`, the beginning of its first line, and its body."""
    found, seq = altered_byte(head + body, checksum), first_seq
    if found is not None:
        seq += body.count(b"\n", 0, max(0, found.offset - len(head)))
        between = _CHECKSUM_BYTES if found.offset >= len(head) else 0
        found = Altered(offset=offset + found.offset + between, was=found.was)
    return Damage(offset=offset, end=offset, seq=seq, why="a frame does not match its checksum", altered=found)


def _is_begun(head: bytes) -> bool:
    return b"#frame ".startswith(head) or _FRAME_BEGUN.fullmatch(head) is not None


def _is_zeros(window: _Window) -> bool:
    """Whether only zeros follow, as far as one frame could reach: what a file system leaves after a power cut."""
    return not window.peek(MAX_BODY_BYTES).strip(b"\0")


def _widen(window: _Window, damage: Damage) -> Damage:
    """The damage with its end: where the next good frame begins, or the end of the file."""
    while True:
        data = window.peek(_READ_BYTES)
        at = data.find(b"\n#frame ", 0)
        if at >= 0:
            window.skip(at + 1)
            if isinstance(_read_frame_ahead(window), Frame):
                return _ended(damage, window.position, is_torn=False)
            continue
        if len(data) < _READ_BYTES:
            window.skip(len(data))
            return _ended(damage, window.position, is_torn=damage.is_torn)
        window.skip(len(data) - len(b"\n#frame ") + 1)


def _read_frame_ahead(window: _Window) -> Frame | Damage:
    """What begins here, without moving on."""
    before = window.position
    piece = _read_frame(window)
    window.skip(before - window.position)
    return piece


def _ended(damage: Damage, end: int, *, is_torn: bool) -> Damage:
    return replace(damage, end=end, is_torn=is_torn)
