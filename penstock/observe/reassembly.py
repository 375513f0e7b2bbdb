"""Pure: one direction of a TCP connection, put in order again out of copies that may be missing or come twice.

RFC 9293 section 3.4 (sequence numbers).  Bounded, and never blocking: what does not come is a gap after so many
bytes or segments behind it, is counted, and reading goes on behind it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: What may wait for a missing segment.
WINDOW_BYTES: Final = 64 << 10
WINDOW_SEGMENTS: Final = 64
_MODULO: Final = 1 << 32
_HALF: Final = 1 << 31


#: The number of the packet that brought bytes, and when, in nanoseconds.
Came = tuple[int, int]


class Piece(NamedTuple):
    """Bytes that come next, behind `missing` bytes that nobody saw; `came` is of those that had to wait."""

    missing: int
    data: bytes
    came: Came | None = None


class Stream:
    """One direction.  Begins with the first segment that it is given."""

    __slots__ = ("_next", "_waiting", "waiting_bytes")

    def __init__(self) -> None:
        self._next: int | None = None
        self._waiting: dict[int, tuple[bytes, Came | None]] = {}
        self.waiting_bytes = 0
        """What came and cannot be read yet."""

    def begin(self, sequence: int) -> None:
        """A SYN: data begins behind this number."""
        self._next = (sequence + 1) % _MODULO
        self._waiting.clear()
        self.waiting_bytes = 0

    def take(self, sequence: int, data: bytes, came: Came | None = None) -> list[Piece]:
        """What can be read now."""
        if not data:
            return []
        if self._next is None:
            self._next = sequence
        ahead = self._ahead(sequence)
        if ahead <= 0:
            fresh = data[-ahead:]
            if not fresh:
                return []
            self._next = (self._next + len(fresh)) % _MODULO
            return [Piece(0, fresh), *self._ready()] if self._waiting else [Piece(0, fresh)]
        known, _ = self._waiting.get(sequence, (b"", None))
        if len(data) > len(known):
            self._waiting[sequence] = data, came
            self.waiting_bytes += len(data) - len(known)
        if self.waiting_bytes > WINDOW_BYTES or len(self._waiting) > WINDOW_SEGMENTS:
            return self.skip()
        return []

    def skip(self) -> list[Piece]:
        """Give up waiting: a gap, and what stands behind it."""
        if not self._waiting or self._next is None:
            return []
        nearest = min(self._waiting, key=self._ahead)
        missing = self._ahead(nearest)
        self._next = nearest
        first, *others = self._ready()
        return [first._replace(missing=missing), *others]

    def give_up_before(self, sequence: int) -> list[Piece]:
        """Give up what is missing in front of `sequence`: the other end has acknowledged it, so it will not come."""
        found: list[Piece] = []
        while self._waiting and self._ahead(min(self._waiting, key=self._ahead)) <= self._ahead(sequence):
            found += self.skip()
        return found

    @property
    def has_begun(self) -> bool:
        """Whether it is known where the stream's bytes begin."""
        return self._next is not None

    @property
    def is_waiting(self) -> bool:
        """Whether something came that cannot be read yet."""
        return bool(self._waiting)

    def _ahead(self, sequence: int) -> int:
        assert self._next is not None
        return (sequence - self._next + _HALF) % _MODULO - _HALF

    def _ready(self) -> list[Piece]:
        """What the latest bytes made readable."""
        found: list[Piece] = []
        while self._waiting:
            nearest = min(self._waiting, key=self._ahead)
            ahead = self._ahead(nearest)
            if ahead > 0:
                break
            data, came = self._waiting.pop(nearest)
            self.waiting_bytes -= len(data)
            fresh = data[-ahead:] if ahead else data
            if fresh:
                assert self._next is not None
                self._next = (self._next + len(fresh)) % _MODULO
                found.append(Piece(0, fresh, came))
        return found
