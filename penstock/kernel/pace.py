"""Pure: how soon the kernel's table is put right, so that nobody can make the gate do nothing else.

Stands behind `oversight`.  The first correction comes at once; the ones that follow it closely come more and more
slowly.  It must never give up.
"""

from __future__ import annotations

#: The second correction in a row waits this long, and each further one twice as long, up to the longest.
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0
#: After this long without a correction the next one comes at once again.
QUIET_S = 30.0


class Pace:
    """When the next correction may come."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._delay_s = 0.0

    @property
    def delay_s(self) -> float:
        """How far apart corrections are kept now; 0 while nobody provokes them."""
        return self._delay_s

    def wait_s(self, now_s: float) -> float:
        """How long to wait from `now_s` on; 0: do it now."""
        if self._last_s is None or now_s - self._last_s >= QUIET_S:
            return 0.0
        return max(0.0, self._last_s + self._delay_s - now_s)

    def corrected(self, now_s: float) -> None:
        """A correction was made."""
        is_in_a_row = self._last_s is not None and now_s - self._last_s < QUIET_S
        self._delay_s = min(max(FIRST_DELAY_S, 2 * self._delay_s), LONGEST_DELAY_S) if is_in_a_row else FIRST_DELAY_S
        self._last_s = now_s
