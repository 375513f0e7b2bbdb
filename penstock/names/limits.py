"""Pure: how often one source may ask, and who was refused.

UDP sources can be forged, so what is answered to them is bounded, and what is kept about them too.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

from penstock.model import NamesRefused

#: Questions a second that a source may ask for long, and at once.
PER_S, BURST = 20.0, 40.0
#: A source beyond these is forgotten first that has been silent for longest.
MAX_SOURCES = 4096
#: Refused askers that are told one by one in a period; the others are told together.
MAX_TOLD = 20
OTHERS = "others"


class Speed(Enum):
    """What to do with a question."""

    ANSWER = "answer"
    TRUNCATE = "truncate"
    DROP = "drop"


class SpeedLimit:
    """A bucket of tokens for each source.  Beyond it every second question is told to come back over TCP.

    (As BIND's and NSD's response rate limiting with a slip of 2: a real asker gets through, a victim is not flooded.)
    """

    def __init__(self, per_s: float = PER_S, burst: float = BURST) -> None:
        self._per_s, self._burst = per_s, burst
        self._left: OrderedDict[str, tuple[float, float, bool]] = OrderedDict()

    def ask(self, source: str, now_s: float) -> Speed:
        """One question from this source at this (monotonic) time."""
        tokens, since_s, is_slip = self._left.pop(source, (self._burst, now_s, False))
        tokens = min(self._burst, tokens + max(0.0, now_s - since_s) * self._per_s)
        speed = Speed.ANSWER
        if tokens >= 1.0:
            tokens -= 1.0
        else:
            is_slip = not is_slip
            speed = Speed.TRUNCATE if is_slip else Speed.DROP
        self._left[source] = tokens, now_s, is_slip
        if len(self._left) > MAX_SOURCES:
            self._left.popitem(last=False)
        return speed


class RefusedAskers:
    """How often each source was refused since the last time."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, source: str) -> None:
        """This source was refused."""
        if source not in self._counts and len(self._counts) >= MAX_TOLD:
            source = OTHERS
        self._counts[source] = self._counts.get(source, 0) + 1

    def drained(self, at_us: int) -> list[NamesRefused]:
        """An event for each, and begin anew."""
        counts, self._counts = self._counts, {}
        return [NamesRefused(source=source, count=count, at_us=at_us) for source, count in counts.items()]
