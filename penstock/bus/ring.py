"""I/O: a ring of 32-byte slots in a mapped file: one process writes, one reads, neither waits for the other.

The file survives the death of either process at any instant.  The writer moves `head` only after a slot is complete,
and stamps every slot with its own number; the reader moves `tail` only after what it read is safe elsewhere.  Full
means that `put` says no.  The reader trusts nothing in the file: it uses ordinary reads (a file that was cut short
cannot kill it) and checks stamps, lengths and checksums.  `penstock.bus.journal` says what the slots mean.

Layout: one 4 KiB page of 64-bit words (see `Word`), then the slots.  A slot is four little-endian 64-bit words: tag,
two words of content, stamp.  A long entry is one slot (tag, length << 32 | CRC-32, one word, stamp) and then
the bytes, which may wrap around.  The lowest byte of a tag is the kind; `CONSUMED` marks a slot that the reader is
done with although the tail has not passed it yet.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from penstock.model import Malformed

MAGIC: Final = int.from_bytes(b"PENSTK01", "little")
HEAD_BYTES: Final = 4096
SLOT_BYTES: Final = 32
#: 8 MiB: three seconds of 40,000 requests a second, when nobody reads.
DEFAULT_SLOTS: Final = (8 << 20) // SLOT_BYTES
#: A long entry may fill this part of the ring at most; nothing that the gate writes comes near it.
MAX_ENTRY_BYTES: Final = 256 << 10
CONSUMED: Final = 0x80
_pack = Struct("<QQQQ").pack_into
_SLOT: Final = Struct("<QQQQ")
_WORD: Final = Struct("<Q")
_READ_SLOTS: Final = 1 << 16
#: Kinds from here on are followed by bytes.
LONG_KINDS: Final = 0x10
KIND_MASK: Final = 0x7F


class Word(IntEnum):
    """The words of the first page, by index.  Writer and reader write in cache lines of their own."""

    MAGIC = 0
    SLOTS = 1
    BASE = 2
    """Made up when the file is: what is counted from it is unique over the life of the gate."""
    HEAD = 8
    NEXT_FLOW = 9
    LOST = 10
    """Entries that found no place."""
    PASSED = 11
    """Requests of safety-critical flows that were forwarded although no row could be written."""
    UNTOLD = 12
    """Answers of which only the row was written, without values and result, because the ring was nearly full."""
    TAIL = 16
    READER = 17
    """Counts the readers: a new one knows nothing yet."""
    UNHEALTHY = 18
    LOST_SEEN = 19
    PASSED_SEEN = 20
    UNTOLD_SEEN = 21


class Entry(NamedTuple):
    """What was read: its slot number, its kind, whether an earlier reader was done with it, and its content."""

    position: int
    kind: int
    was_consumed: bool
    tag: int
    first: int
    second: int
    payload: bytes


class RingWriter:
    """The writing end.  Opening an existing file goes on behind what is unread in it."""

    def __init__(self, path: Path, slots: int = DEFAULT_SLOTS) -> None:
        if slots & (slots - 1) or slots * SLOT_BYTES < 2 * MAX_ENTRY_BYTES:
            raise ValueError("the number of slots is a power of two, and large enough for two of the longest entries")
        if not _is_ring(path, slots):
            _create(path, slots)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), HEAD_BYTES + slots * SLOT_BYTES)
        self._words = memoryview(self._map).cast("Q")
        self._mask = slots - 1
        self._head = self._words[Word.HEAD]
        self._tail = self._words[Word.TAIL]
        #: Rows that start something leave room for the rows and records that end it.
        self._row_slots = slots - slots // 8
        self._slots = slots

    def put_row(self, tag: int, first: int, second: int) -> bool:
        """Write one row.  False when the ring is nearly full, or when the reader said that evidence is unhealthy."""
        head = self._head
        if (head - self._tail >= self._row_slots and not self._has_room(self._row_slots)) or self._words[18]:
            return False
        _pack(self._map, HEAD_BYTES + (head & self._mask) * SLOT_BYTES, tag, first, second, head + 1)
        self._head = head + 1
        self._words[8] = head + 1
        return True

    def put_last_row(self, tag: int, first: int, second: int) -> bool:
        """Write one row that ends what an earlier one began: it may use the room that `put_row` leaves."""
        head = self._head
        if head - self._tail >= self._slots and not self._has_room(self._slots):
            self.add(Word.LOST, 1)
            return False
        _pack(self._map, HEAD_BYTES + (head & self._mask) * SLOT_BYTES, tag, first, second, head + 1)
        self._head = head + 1
        self._words[8] = head + 1
        return True

    def put(self, tag: int, payload: bytes, second: int = 0) -> bool:
        """Write a long entry.  False, and one more in `Word.LOST`, when there is no room."""
        slots = 1 + (len(payload) + SLOT_BYTES - 1) // SLOT_BYTES
        if len(payload) > MAX_ENTRY_BYTES or not self._has_room(self._slots - slots + 1):
            self.add(Word.LOST, 1)
            return False
        start = (self._head + 1 & self._mask) * SLOT_BYTES
        fits = min(len(payload), self._slots * SLOT_BYTES - start)
        self._map[HEAD_BYTES + start : HEAD_BYTES + start + fits] = payload[:fits]
        self._map[HEAD_BYTES : HEAD_BYTES + len(payload) - fits] = payload[fits:]
        at = HEAD_BYTES + (self._head & self._mask) * SLOT_BYTES
        _pack(self._map, at, tag, len(payload) << 32 | crc32(payload), second, self._head + 1)
        self._head += slots
        self._words[Word.HEAD] = self._head
        return True

    @property
    def free_share(self) -> float:
        """How much of the ring is free, 0 to 1."""
        return 1.0 - (self._head - self._words[Word.TAIL]) / self._slots

    def word(self, word: Word) -> int:
        """One word of the first page."""
        return int(self._words[word])

    def add(self, word: Word, count: int) -> int:
        """Count on in a word of the writer's own; the value before."""
        before = int(self._words[word])
        self._words[word] = before + count
        return before

    def close(self) -> None:
        """Unmap the file; what is in it stays."""
        self._words.release()
        self._map.close()

    def _has_room(self, limit: int) -> bool:
        """Look at the reader's progress anew.  A tail that cannot be is ignored."""
        tail = int(self._words[Word.TAIL])
        if self._tail <= tail <= self._head:
            self._tail = tail
        return self._head - self._tail < limit


class RingReader:
    """The reading end.  Raises `Malformed` where the file contradicts itself; `skip_damage` goes on behind that."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        slots = self.word(Word.SLOTS)
        if self.word(Word.MAGIC) != MAGIC or slots & (slots - 1) or not slots or slots > 1 << 24:
            self.close()
            raise Malformed(f"{path.name} is no ring")
        self._slots = slots
        self.inode = os.fstat(self._file).st_ino
        self.base = self.word(Word.BASE)
        self.position = self.word(Word.TAIL)
        self.set_word(Word.READER, self.word(Word.READER) + 1)

    def entries(self, take_row: Callable[[int, int, int, int], None]) -> Iterator[Entry]:
        """What was written since the last call, in order, up to two megabytes of it.

        Long entries are yielded; rows, which come by the ten thousand, are handed to `take_row` in their place, as
        position, tag, first and second.
        """
        head = self.word(Word.HEAD)
        if not self.position <= head <= self.position + self._slots:
            raise Malformed(f"the head {head} cannot be, at {self.position} of {self._slots}")
        content = self._content(self.position, min(head - self.position, _READ_SLOTS + MAX_ENTRY_BYTES // SLOT_BYTES))
        base, end, skip = self.position, self.position + min(len(content) // SLOT_BYTES, _READ_SLOTS), self.position
        position = base
        for tag, one, two, stamp in _SLOT.iter_unpack(content):
            if position < skip:  # a slot of the payload before
                position += 1
                continue
            if position >= end:
                break
            if stamp != position + 1:
                raise Malformed(f"slot {position} carries the stamp {stamp}")
            kind = tag & KIND_MASK
            if kind < LONG_KINDS:
                take_row(position, tag, one, two)
                position += 1
                continue
            payload = _payload(content, position - base, one)
            entry = Entry(position, kind, bool(tag & CONSUMED), tag, one, two, payload)
            position += 1
            skip = self.position = position + (len(payload) + SLOT_BYTES - 1) // SLOT_BYTES
            yield entry
        self.position = max(position, skip)

    def skip_damage(self) -> int:
        """Go on at the head, whatever stands before it; how many slots were skipped (at most the whole ring)."""
        head = self.word(Word.HEAD)
        skipped = min(abs(head - self.position), self._slots)
        self.position = head
        return skipped

    def consume(self, position: int, tag: int) -> None:
        """Mark one slot in front of the head as done with."""
        at = HEAD_BYTES + position % self._slots * SLOT_BYTES
        os.pwrite(self._file, bytes((tag & 0xFF | CONSUMED,)), at)

    def release(self, position: int) -> None:
        """Everything in front of `position` may be overwritten."""
        self.set_word(Word.TAIL, position)

    def word(self, word: Word) -> int:
        """One word of the first page.  Raises `Malformed` when the file is too short to have one."""
        content = os.pread(self._file, _WORD.size, word * _WORD.size)
        if len(content) < _WORD.size:
            raise Malformed("the ring was cut short")
        return int(_WORD.unpack(content)[0])

    def set_word(self, word: Word, value: int) -> None:
        """Write one of the reader's own words."""
        os.pwrite(self._file, _WORD.pack(value), word * _WORD.size)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _content(self, position: int, slots: int) -> bytes:
        start = position % self._slots
        ahead = min(slots, self._slots - start)
        content = os.pread(self._file, ahead * SLOT_BYTES, HEAD_BYTES + start * SLOT_BYTES)
        content += os.pread(self._file, (slots - ahead) * SLOT_BYTES, HEAD_BYTES)
        if len(content) != slots * SLOT_BYTES:
            raise Malformed("the ring was cut short")
        return content


def inode(path: Path) -> int | None:
    """Which file is at `path` now, ``None`` where there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _payload(content: bytes, at: int, sizes: int) -> bytes:
    start, length = (at + 1) * SLOT_BYTES, sizes >> 32
    payload = content[start : start + length]
    if length > MAX_ENTRY_BYTES or len(payload) != length or crc32(payload) != sizes & 0xFFFF_FFFF:
        raise Malformed("a long entry does not match its length and checksum")
    return payload


def _is_ring(path: Path, slots: int) -> bool:
    """Whether a usable ring of this size is at `path`."""
    try:
        with path.open("rb") as file:
            page = file.read(HEAD_BYTES)
        if len(page) != HEAD_BYTES or path.stat().st_size != HEAD_BYTES + slots * SLOT_BYTES:
            return False
    except OSError:
        return False
    words = memoryview(page).cast("Q")
    tail, head = words[Word.TAIL], words[Word.HEAD]
    return words[Word.MAGIC] == MAGIC and words[Word.SLOTS] == slots and tail <= head <= tail + slots


def _create(path: Path, slots: int) -> None:
    """Make a fresh file and put it at `path` in one step: a reader keeps what it has open until it looks again."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, HEAD_BYTES + slots * SLOT_BYTES)
        for word, value in ((Word.MAGIC, MAGIC), (Word.SLOTS, slots), (Word.BASE, int(time.time()) << 20)):
            os.pwrite(descriptor, _WORD.pack(value), word * _WORD.size)
    finally:
        os.close(descriptor)
    draft.replace(path)
