"""Intervals without inspection: what failed open, what failed closed, and for how long.

Pure.  The kernel does the failing, with no process alive (see the dead-man switch); this only writes down what that
meant, conduit by conduit, because an open interval that nobody recorded is worse than a closed one.
"""

from __future__ import annotations

from penstock.control.ports import Clock
from penstock.model import Conduit, Json, Record, RecordKind, Site


class Inspection:
    """Whether inspection is alive, as control has heard of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lost_at_us: int | None = None
        self._lost_steady_us = 0
        self._why = ""
        self._was_alive = False

    def lost(self, site: Site | None, why: str, at_us: int) -> list[Record]:
        """No worker inspects any more; empty when that was known already, or none ever did."""
        if not self._was_alive or self._lost_at_us is not None:
            return []
        self._lost_at_us, self._lost_steady_us, self._why = at_us, self._clock().steady_us, why
        conduits = () if site is None else tuple(conduit for conduit in site.conduits if conduit.permissions)
        is_open = tuple(conduit for conduit in conduits if conduit.is_safety_critical)
        is_closed = tuple(conduit for conduit in conduits if not conduit.is_safety_critical)
        return [
            *_failed(RecordKind.FAILED_OPEN, is_open, why, at_us),
            *_failed(RecordKind.FAILED_CLOSED, is_closed, why, at_us),
        ]

    def restored(self) -> list[Record]:
        """A worker inspects again; empty when none was missed.  The length is that of the clock that nobody can set."""
        self._was_alive = True
        if self._lost_at_us is None:
            return []
        moment = self._clock()
        length_us = moment.steady_us - self._lost_steady_us
        detail: dict[str, Json] = {"lost_at_us": self._lost_at_us, "length_us": length_us, "why": self._why}
        self._lost_at_us = None
        return [Record(kind=RecordKind.INSPECTION_RESTORED, at_us=moment.wall_us, detail=detail)]

    def resumed(self, why: str, lost_at_us: int) -> None:
        """After a restart of control: an interval without inspection was running since then, by the wall clock."""
        moment = self._clock()
        self._was_alive, self._lost_at_us, self._why = True, lost_at_us, why
        self._lost_steady_us = moment.steady_us - max(0, moment.wall_us - lost_at_us)

    @property
    def is_alive(self) -> bool:
        """Whether a worker inspects, as far as control has heard."""
        return self._was_alive and self._lost_at_us is None

    @property
    def is_lost(self) -> bool:
        """Whether an interval without inspection is running."""
        return self._lost_at_us is not None


def _failed(kind: RecordKind, conduits: tuple[Conduit, ...], why: str, at_us: int) -> list[Record]:
    if not conduits:
        return []
    names: list[Json] = [conduit.name for conduit in conduits]
    return [Record(kind=kind, at_us=at_us, reason="inspection_unavailable", detail={"conduits": names, "why": why})]
