"""Pure: the dynamic elements as the kernel was told them, so that it can be compared with them and told again.

Stands behind `elements`, which notes every transaction that the kernel took.  It must never hold what the kernel
refused, and forgets by itself what has expired, as the kernel does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

#: Expired elements are dropped when a set has grown by this factor since they were dropped last.
_GROWTH = 2
_FEW = 1024


class Verb(Enum):
    """What a step does to its element."""

    ADD = auto()
    DELETE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a set (``data`` is empty) or map; `left_ms` is ``None`` where it does not expire."""

    key: bytes
    data: bytes = b""
    left_ms: int | None = None


class Step(NamedTuple):
    """One element of one set, written or removed."""

    verb: Verb
    name: str
    element: Element


class Kept(NamedTuple):
    """What an element maps to (empty in a set), and when it ends on the monotonic clock (``None``: never)."""

    data: bytes
    ends_s: float | None


class Told:
    """The elements of every dynamic set, by its name and their keys."""

    def __init__(self) -> None:
        self._sets: dict[str, dict[bytes, Kept]] = {}
        self._after_last_sweep: dict[str, int] = {}

    def note(self, steps: Iterable[Step], now_s: float) -> None:
        """The kernel took these steps, all of them, at `now_s` (monotonic)."""
        for verb, name, element in steps:
            elements = self._sets.setdefault(name, {})
            if verb is Verb.DELETE:
                elements.pop(element.key, None)
                continue
            left_ms = element.left_ms
            elements[element.key] = Kept(element.data, None if left_ms is None else now_s + left_ms / 1000)
            if len(elements) > max(_FEW, _GROWTH * self._after_last_sweep.get(name, 0)):
                self._sets[name] = self.of(name, now_s)
                self._after_last_sweep[name] = len(self._sets[name])

    def adopt(self, name: str, elements: Iterable[Element], now_s: float) -> None:
        """What an earlier process wrote into this set, as the kernel holds it now."""
        self._sets.pop(name, None)
        self.note((Step(Verb.ADD, name, element) for element in elements), now_s)

    def of(self, name: str, now_s: float) -> dict[bytes, Kept]:
        """The elements of a set that have not expired at `now_s`."""
        found = self._sets.get(name, {}).items()
        return {key: kept for key, kept in found if kept.ends_s is None or kept.ends_s > now_s}
