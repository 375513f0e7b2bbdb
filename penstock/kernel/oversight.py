"""I/O: sees to it that the kernel goes on holding what it was told: regularly, on demand, and at every foreign change.

Stands beside the enforcer, over `loading` and `surroundings`.  A difference in what is ours is put right at once, by
one transaction that puts the whole table back; what is somebody else's is told and left alone.  It must never let the
one who provokes corrections keep the enforcer from its work: see `pace`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from penstock.kernel import surroundings
from penstock.kernel.apply import prepare
from penstock.kernel.loading import Loading
from penstock.kernel.pace import Pace
from penstock.kernel.verify import Difference
from penstock.kernel.watch import ChangeWatch
from penstock.model import GatePlace, KernelDrifted, KernelVerified, Unavailable, Verified

EVERY_S = 30.0
#: A foreign transaction often comes with others; the table is looked at when they are over, but soon.
SETTLED_AFTER_S = 0.01
#: Differences in one event, and the length of each.
MAX_TOLD = 50
MAX_LENGTH = 300
_MAX_NAMED = 5


class Oversight:
    """Lives in the enforcer's event loop, and looks from the beginning on."""

    def __init__(
        self, loading: Loading, place: GatePlace, tell: Callable[[KernelDrifted | KernelVerified], None]
    ) -> None:
        self._loading, self._place, self._tell = loading, place, tell
        self._loop = asyncio.get_running_loop()
        self._watch = ChangeWatch(loading.own_ports)
        self._pace, self._turn = Pace(), asyncio.Lock()
        self._by: dict[str, None] = {}
        self._foreign: frozenset[Difference] = frozenset()
        self._due: asyncio.TimerHandle | None = None
        self._due_at_s = float("inf")
        self._task: asyncio.Task[Verified] | None = None
        self._changes = 0
        self._loop.add_reader(self._watch.fileno(), self._changed)
        self._verify_in(EVERY_S)

    def close(self) -> None:
        """Look no more."""
        self._loop.remove_reader(self._watch.fileno())
        self._watch.close()
        if self._due is not None:
            self._due.cancel()
        if self._task is not None:
            self._task.cancel()

    def suspect(self) -> None:
        """Something looks wrong: verify as soon as the pace allows."""
        self._verify_in(max(SETTLED_AFTER_S, self._pace.wait_s(time.monotonic())))

    async def verify(self) -> Verified:
        """Read everything back, put right what is ours, tell what differs.  The answer is what was found before."""
        async with self._turn:
            found = self._of_table()
            if not found and await self._may_differ():
                found = self._of_elements()
            is_right = not any(each.is_ours for each in found) or self._put_right(self._loading.restore)
            around = self._around()
            if any(each.is_ours for each in around):
                is_right = self._put_right(self._prepare) and is_right
            found += around + self._loading.disturbances()
            self._told(found, is_corrected=is_right)
            checked = self._loading.size() + surroundings.count(self._place)
            self._tell(KernelVerified(differences=len(found), checked=checked, at_us=time.time_ns() // 1000))
            return Verified(differences=_words(found), checked=checked)

    def put_back(self) -> bool:
        """Put a table that is gone back at once; whether there was one to put back."""
        found = self._of_table()
        if not found or not self._put_right(self._loading.restore):
            return False
        self._told(found, is_corrected=True)
        return True

    def _changed(self) -> None:
        """Somebody committed something; our own nft among them, which `Loading` knows by its number."""
        try:
            foreign = [each for each in self._watch.received() if not self._loading.is_own(each.generation)]
        except OSError:  # some were lost: who it was is not known
            foreign = []
            self._by["unknown"] = None
            self.suspect()
        for each in foreign:
            if len(self._by) < _MAX_NAMED:
                self._by[each.by] = None
        if foreign:
            self._changes += len(foreign)
            self.suspect()

    def _verify_in(self, delay_s: float) -> None:
        at_s = self._loop.time() + delay_s
        if self._due is not None:
            if self._due_at_s <= at_s:
                return
            self._due.cancel()
        self._due_at_s = at_s
        self._due = self._loop.call_later(delay_s, self._is_due)

    def _is_due(self) -> None:
        self._due, self._due_at_s = None, float("inf")
        if self._loading.ruleset is not None and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self.verify())
        self._verify_in(EVERY_S)

    def _of_table(self) -> list[Difference]:
        return self._read(self._loading.differences)

    def _of_elements(self) -> list[Difference]:
        return self._read(self._loading.element_differences)

    async def _may_differ(self) -> bool:
        try:
            return self._loading.ruleset is not None and await self._loading.may_differ()
        except OSError:  # gone in the meantime
            return True

    def _around(self) -> list[Difference]:
        def look() -> list[Difference]:
            found = surroundings.parameters(self._place) + surroundings.routing(self._place)
            return found + self._loading.foreign() + surroundings.legacy()

        return self._read(look)

    @staticmethod
    def _read(look: Callable[[], list[Difference]]) -> list[Difference]:
        try:
            return look()
        except (OSError, Unavailable) as error:
            return [Difference(what=f"the kernel cannot be read back: {error}")]

    def _prepare(self) -> bool:
        prepare(self._place)
        return True

    def _put_right(self, do: Callable[[], bool]) -> bool:
        """Whether it is right now; not while the pace forbids it, and then it is tried again."""
        now_s = time.monotonic()
        if self._pace.wait_s(now_s) > 0:
            self.suspect()
            return False
        self._pace.corrected(now_s)
        with suppress(Unavailable, OSError):
            return do()
        self.suspect()
        return False

    def _told(self, differences: list[Difference], *, is_corrected: bool) -> None:
        """An event for what is ours and for foreign things that were not there before; nothing twice."""
        ours = [each for each in differences if each.is_ours]
        foreign = frozenset(each for each in differences if not each.is_ours)
        if ours or foreign - self._foreign:
            words = list(_words([*ours, *sorted(foreign - self._foreign, key=lambda each: each.what)]))
            if self._pace.delay_s > 0 and self._changes > 1:
                words.append(f"{self._changes} foreign changes; corrections are {self._pace.delay_s:g} s apart now")
            self._tell(
                KernelDrifted(
                    differences=tuple(words),
                    by=", ".join(self._by) or "unknown",
                    is_corrected=bool(ours) and is_corrected,
                    at_us=time.time_ns() // 1000,
                )
            )
        self._foreign = foreign
        self._by.clear()
        self._changes = 0


def _words(differences: list[Difference]) -> tuple[str, ...]:
    told = [each.what[:MAX_LENGTH] for each in differences[:MAX_TOLD]]
    if len(differences) > MAX_TOLD:
        told.append(f"{len(differences) - MAX_TOLD} further differences")
    return tuple(told)
