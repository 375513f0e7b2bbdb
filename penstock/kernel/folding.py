"""Pure: flows of one grant that come in bulk, told together.

Stands between `flows` and what control is told.  A grant whose client opens a connection for every request makes more
records than its operations are worth: beyond `MAX_APART` events in one second its flows become one number a second.  It
must never lose a count: what is opened, closed and carried is in exactly one event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from penstock.kernel.flows import added
from penstock.model import KernelFlowClosed, KernelFlowOpened, KernelFlowsFolded, Traffic

#: Events of one grant that are told one by one in a second.
MAX_APART: Final = 50
#: Grants that are counted apart; the events of more are all told one by one.
MAX_GRANTS: Final = 65_536
_SECOND_US: Final = 1_000_000
_NOTHING: Final = Traffic()
_Flow: TypeAlias = KernelFlowOpened | KernelFlowClosed


@dataclass(slots=True)
class _Fold:
    since_us: int
    apart: int = 0
    opened: int = 0
    closed: int = 0
    traffic: Traffic = _NOTHING


class Folds:
    """The events of the running second, by grant."""

    def __init__(self) -> None:
        self._folds: dict[int, _Fold] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is counted, so that `due` need not be asked."""
        return not self._folds

    def add(self, event: _Flow, now_us: int) -> _Flow | None:
        """The event where it is to be told by itself, as what failed open always is; ``None``: it is counted here."""
        if event.has_failed_open:
            return event
        fold = self._folds.get(event.grant)
        if fold is None:
            if len(self._folds) >= MAX_GRANTS:
                return event
            fold = self._folds[event.grant] = _Fold(now_us)
        if fold.apart < MAX_APART:
            fold.apart += 1
            return event
        if isinstance(event, KernelFlowClosed):
            fold.closed += 1
            fold.traffic = added(fold.traffic, event)
        else:
            fold.opened += 1
        return None

    def due(self, now_us: int) -> list[KernelFlowsFolded]:
        """What the seconds that are over have counted; to be asked once a second until it `is_empty`."""
        over = [(number, fold) for number, fold in self._folds.items() if not 0 <= now_us - fold.since_us < _SECOND_US]
        for number, _ in over:
            del self._folds[number]
        return [
            KernelFlowsFolded(
                grant=number,
                opened=fold.opened,
                closed=fold.closed,
                traffic=fold.traffic,
                since_us=fold.since_us,
                at_us=now_us,
            )
            for number, fold in over
            if fold.opened or fold.closed
        ]
