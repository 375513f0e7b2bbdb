"""The text that metrics travel in: Prometheus text exposition format, version 0.0.4.

Pure.  Source: prometheus.io/docs/instrumenting/exposition_formats.  It must never print a name or a label that a parser
would read as something else: label values are escaped, names are the caller's and constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeAlias

from penstock.bus.histogram import bucket_of, high_us, low_us, total_of

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Labels: TypeAlias = Mapping[str, str]
_US_PER_S: Final = 1_000_000
#: Bounds of a histogram are powers of two: at these buckets end exactly.  16 microseconds to 33.6 seconds.
_BOUNDS_US: Final = tuple(1 << power for power in range(4, 26))
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Kind(StrEnum):
    """What a family is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Page:
    """One page of metrics, family by family."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        """The page."""
        return "".join(f"{line}\n" for line in self._lines)

    def counter(self, name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> None:
        """What only grows."""
        self._family(Kind.COUNTER, name, text, samples)

    def gauge(self, name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> None:
        """What goes up and down."""
        self._family(Kind.GAUGE, name, text, samples)

    def histogram(self, name: str, text: str, samples: Iterable[tuple[Labels, Mapping[int, int]]]) -> None:
        """Durations in seconds, out of buckets of `penstock.bus.histogram`.  Their sum is true to 1.6 %."""
        self._head(Kind.HISTOGRAM, name, text)
        for labels, counts in samples:
            for bound_us in _BOUNDS_US:
                below = sum(count for bucket, count in counts.items() if bucket < bucket_of(bound_us))
                self._sample(f"{name}_bucket", {**labels, "le": repr(bound_us / _US_PER_S)}, below)
            self._sample(f"{name}_bucket", {**labels, "le": "+Inf"}, total_of(counts))
            self._sample(f"{name}_sum", labels, sum(map(_seconds, counts.items())))
            self._sample(f"{name}_count", labels, total_of(counts))

    def _family(self, kind: Kind, name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> None:
        self._head(kind, name, text)
        for labels, value in samples:
            self._sample(name, labels, value)

    def _head(self, kind: Kind, name: str, text: str) -> None:
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind.value}"]

    def _sample(self, name: str, labels: Labels, value: float) -> None:
        inner = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels.items())
        self._lines.append(f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}")


def _seconds(counted: tuple[int, int]) -> float:
    """What the values of a bucket are in all, each taken for the middle of it."""
    bucket, count = counted
    return count * (low_us(bucket) + high_us(bucket)) / 2 / _US_PER_S
