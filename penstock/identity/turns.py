"""I/O: waiting, nothing else.  Turns at what costs much: a slow hash of a password takes a core and 64 MiB.

Stands in front of every check of a password.  Few run at a time, few wait, whoever comes beyond that is sent away at
once, and those who wait are served source by source, so that one who asks a thousand times a second is one among many.
Stations that an account is known from go before, and always find a place that strangers cannot take.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.model import Unavailable

AT_ONCE = 2
#: Strangers have all places but this many.
KEPT_FOR_KNOWN = 1
MAX_WAITING = 16
#: Of one source; a whole shift may be known at one address.
MAX_WAITING_OF_A_STRANGER, MAX_WAITING_AT_HOME = 2, 8
RETRY_S = 2


class Busy(Unavailable):
    """Too many wait already: this one was not even looked at."""


class Turns:
    """A bounded queue, fair by source, in two classes.  One event loop."""

    def __init__(self, at_once: int = AT_ONCE, kept_for_known: int = KEPT_FOR_KNOWN) -> None:
        self._at_once, self._for_strangers = at_once, max(1, at_once - kept_for_known)
        self._running = self._strangers = 0
        self._known, self._unknown = _Line(MAX_WAITING_AT_HOME), _Line(MAX_WAITING_OF_A_STRANGER)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._known.length + self._unknown.length

    @asynccontextmanager
    async def of(self, source: str, *, is_known: bool) -> AsyncIterator[None]:
        """A turn for this source.  Raises `Busy`."""
        line = self._known if is_known else self._unknown
        if self._is_free(is_known=is_known) and not line.length:
            self._begin(is_known=is_known)
        else:
            await self._wait(line, source, is_known=is_known)
        try:
            yield
        finally:
            self._end(is_known=is_known)

    async def _wait(self, line: _Line, source: str, *, is_known: bool) -> None:
        turn = line.join(source)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had its turn at this very moment
                self._end(is_known=is_known)
            else:
                line.leave(source, turn)
            raise

    def _is_free(self, *, is_known: bool) -> bool:
        return self._running < self._at_once and (is_known or self._strangers < self._for_strangers)

    def _begin(self, *, is_known: bool) -> None:
        self._running += 1
        self._strangers += not is_known

    def _end(self, *, is_known: bool) -> None:
        self._running -= 1
        self._strangers -= not is_known
        for line, known in ((self._known, True), (self._unknown, False)):
            while line.length and self._is_free(is_known=known):
                self._begin(is_known=known)
                line.next().set_result(None)


class _Line:
    """Those who wait, in the order of their sources: each source's first, then each one's second."""

    def __init__(self, most_of_a_source: int) -> None:
        self._most = most_of_a_source
        self._of: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self.length = 0

    def join(self, source: str) -> asyncio.Future[None]:
        """Stand at the end.  Raises `Busy`."""
        mine = self._of.get(source, deque())
        if self.length >= MAX_WAITING or len(mine) >= self._most:
            raise Busy("too many are signing in at this moment")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine.append(turn)
        self._of[source] = mine
        self.length += 1
        return turn

    def leave(self, source: str, turn: asyncio.Future[None]) -> None:
        """Give up waiting."""
        mine = self._of.get(source)
        if mine is not None and turn in mine:
            mine.remove(turn)
            self.length -= 1
            if not mine:
                del self._of[source]

    def next(self) -> asyncio.Future[None]:
        """Whose turn it is; its source goes to the end."""
        source, mine = self._of.popitem(last=False)
        turn = mine.popleft()
        self.length -= 1
        if mine:
            self._of[source] = mine
        return turn
