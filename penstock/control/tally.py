"""How many records of each kind went into the evidence since control started, and why things were refused.

Pure.  It must never count what was not taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from penstock.model import Record


class Tally:
    """Counts of records, by kind and reason."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, records: Iterable[Record]) -> None:
        """These were taken; a record may stand for several things of its kind."""
        for record in records:
            times = record.detail.get("count") if record.kind.value.endswith(".refused") else None
            self.counts[record.kind.value, record.reason or ""] += times if isinstance(times, int) and times > 0 else 1
