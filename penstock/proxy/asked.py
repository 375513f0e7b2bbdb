"""What one side of an inspected flow asked the other, and is not answered yet.

Pure.  Some clients use a number again before it is answered: first come, first served.  An answer that comes after its
time is known as such and passes.  Where a number is used again, an answer may be to either request (the other one may
have been lost, or be late): `rivals` and `may_come_late` tell, and what such an answer shows must never be believed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from penstock.proxy.meter import Transaction

#: Requests that may wait for an answer at a time; few assets take more than a handful.
MAX_UNDER_WAY: Final = 64
#: Who waits longer for an answer has given up long ago (usual time-outs are 1 to 3 s).
ANSWER_US: Final = 5_000_000
#: For so long after that, each request is looked at for whether a late answer may be taken for its own.
LATE_US: Final = 30_000_000


class Asked:
    """The requests of one side."""

    __slots__ = ("_late", "doubled", "under_way")

    def __init__(self) -> None:
        self.under_way: dict[int, Transaction] = {}
        self.doubled: dict[int, deque[Transaction]] = {}
        self._late: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self.under_way) + sum(map(len, self.doubled.values()))

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return len(self) >= MAX_UNDER_WAY

    def expect(self, exchange: int, asked: Transaction) -> None:
        """Wait for the answer with this number."""
        if exchange in self.under_way:
            self.doubled.setdefault(exchange, deque()).append(asked)
        else:
            self.under_way[exchange] = asked

    def rivals(self, exchange: int) -> tuple[Transaction, ...]:
        """Those that wait for an answer with this number."""
        first = self.under_way.get(exchange)
        return () if first is None else (first, *self.doubled.get(exchange, ()))

    def may_come_late(self, exchange: int) -> bool:
        """Whether an answer with this number may still be to somebody who gave up."""
        return exchange in self._late

    def answered(self, exchange: int) -> Transaction | None:
        """The request that this answers, which waits no longer; ``None`` if nobody asked."""
        asked = self.under_way.pop(exchange, None)
        more = self.doubled.get(exchange)
        if more:
            self.under_way[exchange] = more.popleft()
            if not more:
                del self.doubled[exchange]
        return asked

    def heard(self, exchange: int, now_us: int) -> bool:
        """Whether an answer of which more parts follow belongs to a request; that one goes on waiting from now."""
        asked = self.under_way.get(exchange)
        if asked is not None:
            asked.heard_us = now_us
        return asked is not None

    def is_late(self, exchange: int) -> bool:
        """Whether somebody asked this and gave up; once for each."""
        return self._late.pop(exchange, self) is None

    def give_up(self, now_us: int) -> Iterator[Transaction]:
        """The requests that wait too long; an answer to one of these is late from now on."""
        for exchange, asked in list(self.under_way.items()):
            if now_us - max(asked.at_us, asked.heard_us) >= ANSWER_US:
                self.answered(exchange)
                self._late[exchange] = None
                if len(self._late) > MAX_UNDER_WAY:
                    del self._late[next(iter(self._late))]
                yield asked

    def __iter__(self) -> Iterator[Transaction]:
        yield from self.under_way.values()
        for more in self.doubled.values():
            yield from more

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much: they wait as long as they would have."""
        for asked in self:
            asked.at_us += step_us
            asked.heard_us += step_us

    def clear(self) -> None:
        """Nothing is waited for any more."""
        self.under_way.clear()
        self.doubled.clear()
