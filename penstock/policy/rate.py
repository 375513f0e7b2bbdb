"""The ledger of rates: how often something was done lately.

Pure: time comes in, in seconds of a clock that does not step back.  Its memory is bounded: the policy limits how many
keys there are, and no key remembers more than the largest rate that a document can ask for.
"""

from __future__ import annotations

from collections import deque

from penstock.policy.numbers import MAX_RATE_COUNT, MAX_RATE_PERIOD_S

#: How many charges may pass before keys without a recent charge are forgotten.
_SWEEP_EVERY = 4096


class Ledger:
    """Charges by key over the last day at most."""

    def __init__(self) -> None:
        self._charged_at: dict[str, deque[float]] = {}
        self._since_sweep = 0

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._charged_at)

    def charge(self, key: str, now_s: float) -> None:
        """Count one operation under `key`."""
        times = self._charged_at.get(key)
        if times is None:
            # The newest entries decide whether a rate is used up, so the oldest are the ones to drop.
            times = self._charged_at[key] = deque(maxlen=MAX_RATE_COUNT)
        times.append(now_s)
        self._since_sweep += 1
        if self._since_sweep >= _SWEEP_EVERY:
            self._sweep(now_s)

    def count(self, key: str, period_s: int, now_s: float) -> int:
        """How many operations were counted under `key` in the last `period_s` seconds."""
        counted = 0
        for at_s in reversed(self._charged_at.get(key, ())):
            if at_s <= now_s - period_s:
                break
            counted += 1
        return counted

    def _sweep(self, now_s: float) -> None:
        self._since_sweep = 0
        for key, times in list(self._charged_at.items()):
            if times[-1] <= now_s - MAX_RATE_PERIOD_S:
                del self._charged_at[key]
