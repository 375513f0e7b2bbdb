"""How much of a worker's time the asymmetric keys of OPC UA may take.

Pure.  One use of the gate's RSA key (2048 bits) takes a quarter to half a millisecond of the worker's only thread, in
which every other flow waits and no heart beats.  Opening a channel and a session takes eight or so, one behind the
other, and the thread takes them up between the bytes of other flows.  All flows together may have so many in a second;
who comes later is told that the gate is busy.
"""

from __future__ import annotations

from typing import Final

#: A twentieth of each second at most, and a tenth of one at once: the dead-man switch waits for a second.
PER_SECOND: Final = 100
AT_ONCE: Final = 200
_US_PER_S: Final = 1_000_000


class Effort:
    """What is left of it."""

    __slots__ = ("_at_us", "_left")

    def __init__(self) -> None:
        self._left, self._at_us = float(AT_ONCE), 0

    def spend(self, count: int, now_us: int) -> bool:
        """Whether there is room for `count` uses now; then they are counted."""
        passed_us = max(0, now_us - self._at_us)
        self._left = min(float(AT_ONCE), self._left + passed_us * PER_SECOND / _US_PER_S)
        self._at_us = now_us
        if self._left < count:
            return False
        self._left -= count
        return True
