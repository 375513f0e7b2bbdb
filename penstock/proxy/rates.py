"""Counts of operations that a conduit allows only so often.

Pure.  One `Rates` serves all flows of a worker, so that opening another flow does not open another allowance.  It must
never count an operation that was refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from penstock.model import Charge

_US_PER_S = 1_000_000


class Rates:
    """At most `count` operations in any `period_s` seconds, for each key."""

    def __init__(self) -> None:
        self._taken: dict[str, deque[int]] = {}

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much: what was counted stays as long ago as it was."""
        self._taken = {key: deque(at_us + step_us for at_us in taken) for key, taken in self._taken.items()}

    def spent(self, key: str, period_s: int, now_us: int) -> int:
        """How many operations were counted under `key` in the last `period_s` seconds."""
        since_us = now_us - period_s * _US_PER_S
        return sum(1 for at_us in self._taken.get(key, ()) if at_us > since_us)

    def admit(self, charges: Sequence[Charge], now_us: int) -> Charge | None:
        """Count one operation against all its charges, or none and return the charge that is used up."""
        for charge in charges:
            taken = self._taken.setdefault(charge.key, deque())
            while taken and taken[0] <= now_us - charge.period_s * _US_PER_S:
                taken.popleft()
            if len(taken) >= charge.count:
                return charge
        for charge in charges:
            self._taken[charge.key].append(now_us)
        return None
