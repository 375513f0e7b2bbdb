"""The transport function of DNP3: segments become fragments.

Pure.  IEEE 1815-2012, clause 8.2: the first segment has FIR, the last one FIN, and numbers go up by one, modulo 64.  Of
each pair of addresses one fragment at a time may be under way.  It must never put together what a station would not.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed
from penstock.wire.dnp3.link import FINAL, FIRST, SEQUENCE, Header

#: The largest fragment that the standard lets a station count on (4.2.1; smaller ones are configured, not larger ones).
MAX_FRAGMENT: Final = 2048
#: Link frames of fragments under way, all together: five of the largest, full segments assumed (2,411 octets each).
MAX_HELD_SEGMENTS: Final = 12 * 1024


class Series:
    """The segments of one fragment so far."""

    __slots__ = ("frames", "held", "next_number", "parts", "size")

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.parts: list[bytes] = []
        self.held = self.size = self.next_number = 0


class Reassembly:
    """The fragments under way in one direction.

    Over TCP nothing is lost, so a segment out of its order is `Malformed`.  Over UDP it is given up with the segments
    in front of it, as a station does.
    """

    __slots__ = ("_is_stream", "_series", "held")

    def __init__(self, *, is_stream: bool) -> None:
        self._is_stream = is_stream
        self._series: dict[tuple[int, int], Series] = {}
        #: Bytes of link frames that wait.
        self.held = 0

    def add(self, header: Header, user: bytes, data: bytes) -> tuple[bytes, bytes] | None:
        """The fragment that the segment `user` completes, and all its link frames; ``None`` while more must come.

        The fragment has one transport header in front of it, as if it had come in one segment.
        """
        pair = header.destination, header.source
        number = user[0] & SEQUENCE
        series = self._series.get(pair)
        if user[0] & FIRST:
            if series is not None:
                self._give_up(pair, "a first segment within a fragment (8.2.2)")
            series = Series()
        elif series is None:
            self._give_up(pair, "a segment without a first one (8.2.2)")
            return None
        elif number != series.next_number:
            self._give_up(pair, f"segment {number} where {series.next_number} is next (8.2.2)")
            return None
        series.next_number = number + 1 & SEQUENCE
        series.frames.append(data)
        series.parts.append(user[1:] if series.parts else user)
        series.size += len(user) - 1
        if series.size > MAX_FRAGMENT:
            self._forget(pair)
            raise Malformed(f"a fragment of more than {MAX_FRAGMENT} octets (4.2.1)")
        if user[0] & FINAL:
            self.held -= series.held
            self._series.pop(pair, None)
            return b"".join(series.parts), b"".join(series.frames)
        while not self._is_stream and self._series and self.held + len(data) > MAX_HELD_SEGMENTS:
            self._forget(next(iter(self._series)))  # the rest of it may be lost
        if self.held + len(data) > MAX_HELD_SEGMENTS:
            raise Malformed(f"more than {MAX_HELD_SEGMENTS} bytes of unfinished fragments")
        self._series[pair] = series
        series.held += len(data)
        self.held += len(data)
        return None

    def _give_up(self, pair: tuple[int, int], why: str) -> None:
        if self._is_stream:
            raise Malformed(why)
        self._forget(pair)

    def _forget(self, pair: tuple[int, int]) -> None:
        series = self._series.pop(pair, None)
        if series is not None:
            self.held -= series.held
