"""How much of a worker's time the asymmetric keys of OPC UA may take.

Pure.  One use of the gate's RSA key (2048 bits) takes a quarter to half a millisecond of the worker's only thread, in
which every other flow waits and no heart beats.  Opening a channel and a session takes nine or so, one behind the
other, and the thread takes them up between the bytes of other flows.  All flows together may have so many in a second;
who comes later is told that the gate is busy.  One subject may have half of it, so nobody can keep all others out.
"""

from __future__ import annotations

from typing import Final

#: A twentieth of each second at most, and a tenth of one at once: the dead-man switch waits for a second.
PER_SECOND: Final = 100
AT_ONCE: Final = 200
#: One subject's part of it.
PART: Final = 2
#: Subjects whose part is remembered; whoever is forgotten has all of his part again.
MAX_SUBJECTS: Final = 4096
_US_PER_S: Final = 1_000_000


class Effort:
    """What is left of it."""

    __slots__ = ("_at_us", "_left", "_part", "_parts", "_whole")

    def __init__(self, whole: Effort | None = None) -> None:
        self._whole, self._part = whole, 1 if whole is None else PART
        self._left, self._at_us = AT_ONCE / self._part, 0
        self._parts: dict[str, Effort] = {}

    def of(self, subject: str) -> Effort:
        """The part of one subject, whatever flows he has."""
        found = self._parts.pop(subject, None) or Effort(self)
        if len(self._parts) >= MAX_SUBJECTS:
            del self._parts[next(iter(self._parts))]
        self._parts[subject] = found
        return found

    def spend(self, count: int, now_us: int) -> bool:
        """Whether there is room for `count` uses now; then they are counted."""
        passed_us = max(0, now_us - self._at_us)
        self._left = min(AT_ONCE / self._part, self._left + passed_us * PER_SECOND / self._part / _US_PER_S)
        self._at_us = now_us
        if self._left < count or not (self._whole is None or self._whole.spend(count, now_us)):
            return False
        self._left -= count
        return True
