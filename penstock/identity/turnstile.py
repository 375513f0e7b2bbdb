"""Who may try to sign in now: limits that stop guessing and that nobody can use to keep everybody out.

Stands before every check of something secret that somebody typed, of whatever source.  Logic on a narrow store; the
turns at the slow hash are `turns`, the waits are `lockout`.

An account that signed in from a source address during the last 30 days is known there.  From there only failures from
there count against it: however much a stranger guesses elsewhere, its owner is never refused at their own station.
From everywhere else three counters hold: the account at that address, the address, and the account at all such
addresses.  It must never answer for a name that does not exist otherwise than for one that does.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from penstock.identity import lockout
from penstock.identity.lockout import Attempts, Limit, counted_as
from penstock.identity.turns import RETRY_S, Busy, Turns

US_PER_S = 1_000_000
KNOWN_FOR_US = 30 * 86_400 * US_PER_S
MAX_STATIONS_OF_AN_ACCOUNT = 16
#: A stranger's address may try so many times at once, and then one time in two seconds: before any work is done.
BURST, PER_S = 30, 0.5
#: Checks that cost next to nothing: signatures, and codes of so many random bits that a plain hash is enough.
QUICK_AT_ONCE = 8
_MAX_SOURCES = 4096
_MAX_REMEMBERED = 8192
_MAX_SUMMED = 10
#: X.520 ub-common-name: the subject's name is the common name of its certificates.
MAX_NAME_LENGTH = 64


class CounterStore(Protocol):
    """What the limits ask of the state store.  Every method is one transaction."""

    async def change_attempts(
        self, key: str, change: Callable[[Attempts], Attempts | None]
    ) -> tuple[Attempts, Attempts | None]:
        """Read, change and write a counter in one transaction; ``None`` removes it.  Answers before and after."""
        ...

    async def stations(self) -> Iterable[tuple[str, str, int]]:
        """Every account, an address that it signed in from, and when that was last (wall clock, microseconds)."""
        ...

    async def put_station(self, name: str, address: str, at_us: int, forgotten: tuple[str, ...]) -> None:
        """Remember that an account signed in from there, and no more from `forgotten`."""
        ...

    async def drop_stations(self, name: str) -> None:
        """Remember of an account nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Whether an attempt is looked at: not for `wait_s` seconds.

    `locked` names the counters whose wait began with it.
    """

    wait_s: int = 0
    locked: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Unseen:
    """Attempts that were not looked at, summed: a thousand a second must not fill the evidence."""

    attempts: int = 0
    first_at_us: int = 0
    last_at_us: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    is_more: bool = False
    """Whether there were more sources or names than are listed."""

    def add(self, name: str, source: str, now_us: int) -> None:
        """One more."""
        self.first_at_us = self.first_at_us or now_us
        self.attempts, self.last_at_us = self.attempts + 1, now_us
        for table, key in ((self.sources, source), (self.names, name)):
            if key in table or len(table) < _MAX_SUMMED:
                table[key] = table.get(key, 0) + 1
            else:
                self.is_more = True


class Turnstile:
    """Lets attempts in, counts them, and forgives those that were right."""

    def __init__(self, store: CounterStore, turns: Turns) -> None:
        self._store, self._turns, self._quick = store, turns, Turns(QUICK_AT_ONCE)
        self.is_answered_for: Callable[[str], bool] = lambda _: False
        """Whether others let this very account in now, so that strangers' failures must not keep its owner out."""
        self._stations: dict[str, OrderedDict[str, int]] = {}
        self._is_loaded = False
        self._tries: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._remembered: OrderedDict[str, Attempts] = OrderedDict()
        self._unseen = Unseen()

    @asynccontextmanager
    async def enter(self, name: str, source: str, now_us: int, *, is_quick: bool = False) -> AsyncIterator[Entry]:
        """One attempt: inside, with no wait, it may be looked at, and counts as a failure until `passed`.

        `source` is an address.  `is_quick`: nothing slow is computed, so it stands in no line with passwords, and a
        flood of these keeps nobody out who comes with a passkey or an envelope.  Raises `Unavailable`.
        """
        name = counted_name(name)
        is_known = await self.knows(name, source, now_us)
        limits = self._limits(name, source, is_known=is_known)
        wait = self._flooding_s(source, now_us, is_known=is_known) or self._remembered_s(limits, now_us)
        if wait:
            yield self._not_seen(name, source, wait, now_us)
            return
        async with AsyncExitStack() as stack:
            try:
                turns = self._quick if is_quick else self._turns
                await stack.enter_async_context(turns.of(counted_as(source), is_known=is_known))
            except Busy:
                entry = Entry(wait_s=RETRY_S)
            else:
                entry = await self._count(limits, now_us)
            yield self._not_seen(name, source, entry.wait_s, now_us) if entry.wait_s else entry

    async def passed(self, name: str, source: str, now_us: int) -> None:
        """The proof was right: nothing counts against this account any more, and it is known here."""
        name = counted_name(name)
        for key in (lockout.account_key(name), lockout.pair_key(name, source)):
            await self._change(key, lambda _: None)
        await self.forgive(source)
        await self.remember(name, source, now_us)

    async def forgive(self, source: str) -> None:
        """Take back what the last attempt counted against an address."""
        await self._change(lockout.source_key(source), lockout.forgiven)

    async def untried(self, name: str, source: str, now_us: int) -> None:
        """Nobody could look at the attempt that was let in: take back what it counted."""
        name = counted_name(name)
        is_known = await self.knows(name, source, now_us)
        for key, _ in self._limits(name, source, is_known=is_known):
            await self._change(key, lockout.forgiven)

    async def release(self, name: str) -> None:
        """An administrator answers for this account: strangers' failures are forgotten."""
        await self._change(lockout.account_key(counted_name(name)), lambda _: None)

    async def knows(self, name: str, source: str, now_us: int) -> bool:
        """Whether this account signed in from there lately."""
        mine = (await self._all()).get(name)
        seen_us = None if mine is None else mine.get(counted_as(source))
        return seen_us is not None and now_us - seen_us < KNOWN_FOR_US

    async def remember(self, name: str, source: str, now_us: int) -> None:
        """This account is at home there."""
        address, mine = counted_as(source), (await self._all()).setdefault(name, OrderedDict())
        mine[address] = now_us
        mine.move_to_end(address)
        gone = tuple(list(mine)[: max(0, len(mine) - MAX_STATIONS_OF_AN_ACCOUNT)])
        for each in gone:
            del mine[each]
        await self._store.put_station(name, address, now_us, gone)

    async def forget(self, name: str) -> None:
        """This account is at home nowhere: its factors are new, or it has ended."""
        (await self._all()).pop(name, None)
        await self._store.drop_stations(name)

    def take_unseen(self) -> Unseen | None:
        """What was not looked at since the last call, once."""
        unseen, self._unseen = self._unseen, Unseen()
        return unseen if unseen.attempts else None

    async def _all(self) -> dict[str, OrderedDict[str, int]]:
        if not self._is_loaded:
            for name, address, at_us in sorted(await self._store.stations(), key=lambda each: each[2]):
                self._stations.setdefault(name, OrderedDict()).setdefault(address, at_us)
            self._is_loaded = True
        return self._stations

    def _limits(self, name: str, source: str, *, is_known: bool) -> tuple[tuple[str, Limit], ...]:
        found = _limits(name, source, is_known=is_known)
        if not self.is_answered_for(name):
            return found
        return tuple(each for each in found if each[0] != lockout.account_key(name))

    async def _count(self, limits: tuple[tuple[str, Limit], ...], now_us: int) -> Entry:
        locked = []
        for key, limit in limits:
            before, after = await self._change(key, _counting(now_us, limit))
            if wait := lockout.wait_s(before, now_us, limit):
                return Entry(wait_s=wait)
            if after is not None and lockout.wait_s(after, now_us, limit):
                locked.append(key.partition(":")[0])
        return Entry(locked=tuple(locked))

    async def _change(
        self, key: str, change: Callable[[Attempts], Attempts | None]
    ) -> tuple[Attempts, Attempts | None]:
        before, after = await self._store.change_attempts(key, change)
        self._remembered.pop(key, None)
        if after is not None and after.until_us:
            self._remembered[key] = after
            if len(self._remembered) > _MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return before, after

    def _remembered_s(self, limits: tuple[tuple[str, Limit], ...], now_us: int) -> int:
        """A wait that is known to run needs no look into the store."""
        for key, limit in limits:
            attempts = self._remembered.get(key)
            if (
                attempts is not None
                and attempts.last_at_us <= now_us
                and (wait := lockout.wait_s(attempts, now_us, limit))
            ):
                return wait
        return 0

    def _flooding_s(self, source: str, now_us: int, *, is_known: bool) -> int:
        """A bucket for each stranger's address; the table is bounded, the turns bound what slips out of it."""
        if is_known:
            return 0
        address = counted_as(source)
        left, at_us = self._tries.pop(address, (float(BURST), now_us))
        left = min(float(BURST), left + max(0, now_us - at_us) / US_PER_S * PER_S)
        is_free = left >= 1
        self._tries[address] = (left - 1 if is_free else left, now_us)
        if len(self._tries) > _MAX_SOURCES:
            self._tries.popitem(last=False)
        return 0 if is_free else RETRY_S

    def _not_seen(self, name: str, source: str, wait_s: int, now_us: int) -> Entry:
        self._unseen.add(name, source, now_us)
        return Entry(wait_s=wait_s)


def counted_name(name: str) -> str:
    """A name that no subject can have is counted under its hash, so that the store never keeps long garbage."""
    return name if len(name) <= MAX_NAME_LENGTH else hashlib.sha256(name.encode()).hexdigest()


def _limits(name: str, source: str, *, is_known: bool) -> tuple[tuple[str, Limit], ...]:
    here = (lockout.pair_key(name, source), lockout.PAIR_LIMIT)
    if is_known:
        return (here,)
    address, account = lockout.source_key(source), lockout.account_key(name)
    if not name:  # an enrolment code: nobody's account
        return ((address, lockout.SOURCE_LIMIT),)
    return ((address, lockout.SOURCE_LIMIT), here, (account, lockout.ACCOUNT_LIMIT))


def _counting(now_us: int, limit: Limit) -> Callable[[Attempts], Attempts]:
    return lambda attempts: lockout.counted(attempts, now_us, limit)
