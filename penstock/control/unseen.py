"""Sign-in attempts that were not even looked at, recorded in sums: a thousand a second must not fill the evidence.

Stands between the turnstiles of `penstock.identity` and the evidence.
"""

from __future__ import annotations

from penstock.control.ports import US_PER_S, Clock, Recorder
from penstock.identity import Turnstile, Unseen
from penstock.model import Json, Reason, Record, RecordKind

#: One record in so long a time, whatever comes.
EVERY_US = 10 * US_PER_S
_SHOWN = 64


class UnseenAttempts:
    """Writes the sums of some turnstiles."""

    def __init__(self, turnstiles: tuple[Turnstile, ...], recorder: Recorder, clock: Clock) -> None:
        self._turnstiles, self._recorder, self._clock = turnstiles, recorder, clock
        self._next_us = 0
        self.total = 0

    def sweep(self) -> None:
        """Each second: record what has come together, when it is time."""
        moment = self._clock()
        if moment.steady_us < self._next_us:
            return
        found = [unseen for each in self._turnstiles if (unseen := each.take_unseen()) is not None]
        if found:
            self._next_us = moment.steady_us + EVERY_US
            self.total += sum(each.attempts for each in found)
            self._recorder.put([_summed(unseen, moment.wall_us) for unseen in found])


def _summed(unseen: Unseen, at_us: int) -> Record:
    sources: dict[str, Json] = dict(unseen.sources.items())
    names: dict[str, Json] = {name[:_SHOWN]: count for name, count in unseen.names.items()}
    detail: dict[str, Json] = {
        "attempts": unseen.attempts,
        "sources": sources,
        "names": names,
        "is_more": unseen.is_more,
        "first_at_us": unseen.first_at_us,
        "last_at_us": unseen.last_at_us,
    }
    return Record(kind=RecordKind.SIGN_IN_REFUSED, at_us=at_us, reason=Reason.LOCKED_OUT.value, detail=detail)
