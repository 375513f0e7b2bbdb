"""Counts of durations in buckets that widen with the duration: what a process measures, merges and sends.

Pure.  Log-linear buckets as in HdrHistogram (Tene, hdrhistogram.org): 32 for each doubling, so that a bucket is at
most 1/32 (3.2 %) as wide as the values in it are large; below 64 microseconds every value has its own.  One
microsecond to 60 seconds; what is longer is counted as 60 seconds.  Adding is one look-up and one addition.

Between processes counts travel as a mapping from bucket to count, without the empty ones.  It must never round a
duration down: quantiles and worst values are the upper edge of their bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

#: A bucket is half as wide as this is of its octave: 32 buckets for each doubling.
_SHIFT: Final = 5
_LINEAR: Final = 2 << _SHIFT
LONGEST_US: Final = 60_000_000


def bucket_of(value_us: int) -> int:
    """The bucket that this duration is counted in."""
    if value_us < _LINEAR:
        return max(0, value_us)
    value_us = min(value_us, LONGEST_US)
    octave = value_us.bit_length() - _SHIFT - 1
    return (octave << _SHIFT) + (value_us >> octave)


def low_us(bucket: int) -> int:
    """The shortest duration that is counted in this bucket."""
    octave = max(0, (bucket >> _SHIFT) - 1)
    return bucket - (octave << _SHIFT) << octave


def high_us(bucket: int) -> int:
    """The longest duration, in whole microseconds, that is counted in this bucket."""
    return min(low_us(bucket + 1) - 1, LONGEST_US)


BUCKETS: Final = bucket_of(LONGEST_US) + 1
#: Nearly every duration is below this: its bucket is looked up.
SHORT_US: Final = 4096
SHORT: Final = tuple(bucket_of(value) for value in range(SHORT_US))


class Histogram:
    """Counts, filled by one writer and taken away now and then."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS

    def add(self, value_us: int) -> None:
        """Count one duration.  A clock that ran backwards counts as nothing at all."""
        self.counts[SHORT[value_us] if 0 <= value_us < SHORT_US else bucket_of(value_us)] += 1

    def take(self) -> dict[int, int]:
        """What was counted since the last time."""
        taken = {bucket: count for bucket, count in enumerate(self.counts) if count}
        for bucket in taken:
            self.counts[bucket] = 0
        return taken


def merged(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """All counts together."""
    found: dict[int, int] = {}
    for part in parts:
        for bucket, count in part.items():
            found[bucket] = found.get(bucket, 0) + count
    return found


def total_of(counts: Mapping[int, int]) -> int:
    """How many durations were counted."""
    return sum(counts.values())


def quantile_us(counts: Mapping[int, int], share: float) -> int | None:
    """The duration that this share of all is not longer than; ``None`` where nothing was counted.

    Nearest rank (NIST handbook 1.3.5.6 calls it the empirical quantile), at the upper edge of its bucket.
    """
    total = total_of(counts)
    rank = max(1, -int(-share * total // 1))  # the ceiling
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0 < total:
            return high_us(bucket)
    return None


def worst_us(counts: Mapping[int, int]) -> int | None:
    """The longest duration; ``None`` where nothing was counted."""
    return high_us(max(counts)) if total_of(counts) else None


def count_over(counts: Mapping[int, int], limit_us: int) -> int:
    """How many durations were longer than the limit.  Those in the limit's own bucket are given the benefit of it."""
    bound = bucket_of(limit_us)
    return sum(count for bucket, count in counts.items() if bucket > bound)
