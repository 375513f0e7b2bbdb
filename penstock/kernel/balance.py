"""Pure: the kernel's own count of refused packets against what was told of them.

Stands between `counters` and `attempts`.  The kernel copies refused packets at a bounded rate but counts every one;
the difference is told as attempts that were not told apart.  A copy lies in the kernel for up to 0.2 s, so what was
seen of them is compared `SETTLE_US` after the counter was read: then the difference is never too large, and what it
leaves out comes with the next reading.
"""

from __future__ import annotations

from typing import Final

#: How long after a reading everything that it counted has been seen, if it is ever seen.
SETTLE_US: Final = 500_000
#: Readings while something is refused, and the longest pause between two while nothing is.
FIRST_PERIOD_US: Final = 10_000_000
LONGEST_PERIOD_US: Final = 300_000_000


class Balance:
    """What the counter said and how much of it is accounted for."""

    def __init__(self, counter: int | None) -> None:
        """`counter` is its value now, ``None`` where there is no table yet: what was before is nobody's here."""
        self._counted = self._accounted = counter or 0
        self.period_us = FIRST_PERIOD_US
        """When to read the counter again."""

    def seen(self, count: int = 1) -> None:
        """So many refused packets came as copies."""
        self._accounted += count
        self.period_us = FIRST_PERIOD_US

    def read(self, counter: int | None) -> None:
        """The counter stands at this value; one that is lower than before belongs to a new table."""
        value = counter or 0
        if value < self._counted:
            self._accounted = 0
        self._counted = value

    def untold(self) -> int:
        """How many of those that were counted at the last reading nobody has seen; they are accounted for then."""
        missing = max(0, self._counted - self._accounted)
        self._accounted += missing
        self.period_us = FIRST_PERIOD_US if missing else min(2 * self.period_us, LONGEST_PERIOD_US)
        return missing
