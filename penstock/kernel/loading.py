"""I/O: loads the table, and knows from then on what it must look like.

Stands between the enforcer and `apply`.  What was loaded is read back at once, in the kernel's own bytes, and counts
as the table only where no transaction but our own lies between.  It must never take a stranger's rule for ours.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from penstock.kernel import apply, verify
from penstock.kernel.chains import CHAINS, COUNTERS, DYNAMIC_SETS, STATIC_SETS
from penstock.kernel.element_text import key_text
from penstock.kernel.elements import Elements
from penstock.kernel.readback import Readback, TableShape
from penstock.kernel.render import render
from penstock.kernel.told import Element
from penstock.kernel.verify import Difference
from penstock.kernel.whole import whole
from penstock.model import Ruleset, Unavailable

#: How often the table is loaded anew when somebody else changes something in the same moment.
_ATTEMPTS = 5
#: Own transactions whose announcement may still be on its way.
_MAX_OWN = 64
#: Sets that only this process writes to, so that what they must hold is known.
COMPARED = tuple(name for name, text in DYNAMIC_SETS.items() if "dynamic" not in text)
#: Those that come back with the table.  What packets write besides (limits, who is logged) begins anew.
RESTORED = (*COMPARED, "alive")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Baseline:
    """The table as it was right after our own transaction."""

    shape: TableShape
    static: dict[str, frozenset[bytes]]
    rules: dict[str, list[str]]


class Loading:
    """The table: loaded, loaded again, and compared with what was loaded."""

    def __init__(self, elements: Elements, armed: Callable[[], frozenset[int]]) -> None:
        """`armed` answers the marks of the workers that may be alive."""
        self._elements, self._armed = elements, armed
        self._readback = Readback()
        self._unhurried = Readback()  # while this one waits in the middle of an answer, the other is asked
        self._baseline: _Baseline | None = None
        self._own: deque[int] = deque(maxlen=_MAX_OWN)
        self._disturbed = 0
        self.ruleset: Ruleset | None = None

    @property
    def own_ports(self) -> tuple[int, ...]:
        """The netlink sockets whose transactions are ours."""
        return (self._elements.port,)

    def close(self) -> None:
        """Give the sockets back; the table stays."""
        self._readback.close()
        self._unhurried.close()

    def is_own(self, generation: int) -> bool:
        """Whether the transaction of this number was one of `load` and `restore`."""
        return generation in self._own

    def load(self, ruleset: Ruleset) -> None:
        """Make the table equal to the ruleset without touching its elements; flows notice nothing.

        A table that an earlier version made, or that holds what is not ours, is replaced as a whole, its elements
        included.  Raises `Invalid` and `Unavailable`; then the table is as it was.
        """
        self._take(ruleset, render(ruleset))

    def restore(self) -> bool:
        """Put the whole table back, with every element and the time that each has left; ``False`` if none was loaded.

        Raises `Unavailable`.
        """
        if self.ruleset is None:
            return False
        self._take(self.ruleset, self._whole(self.ruleset))
        return True

    def differences(self) -> list[Difference]:
        """What differs in the table, but for the elements that come and go.  Raises `OSError`, `Unavailable`."""
        if self._baseline is None:
            return [Difference(what="the enforcer has not been told a ruleset yet", is_ours=False)]
        shape = self._readback.shape()
        found = verify.of_table(self._baseline.shape, shape)
        if shape is None:
            return found
        for name in STATIC_SETS.keys() & shape.sets.keys():
            found += verify.of_static(name, self._baseline.static[name], self._readback.raw_elements(name))
        if found:
            found += verify.of_rules(self._baseline.rules, verify.rules_in(apply.listing()))
        return found

    def disturbances(self) -> list[Difference]:
        """What was undone while the table was being loaded, and so was loaded once more; told once."""
        count, self._disturbed = self._disturbed, 0
        what = f"the tables were changed while a ruleset was loaded, which was loaded again: {count} times"
        return [Difference(what=what)] if count else []

    def foreign(self) -> list[Difference]:
        """What else the kernel does with packets."""
        return verify.of_foreign(self._readback.foreign_chains())

    def element_differences(self) -> list[Difference]:
        """What differs in the elements that come and go, and in who counts as alive; each set in one go.

        The kernel gives a long set in parts, and counts its way to the next one: an element that expires, or a table
        of them that grows, between two parts hides another or shows it twice.  So what differs is looked at again.
        """
        found: list[Difference] = []
        for name in COMPARED:
            differing = self._differing(name, self._held(name))
            if differing:
                again = self._differing(name, self._held(name))
                differing = [each for each in again if each in differing]
            found += differing
        return found + self._falsely_alive()

    def _held(self, name: str) -> list[Element]:
        return [element for batch in self._readback.elements(name) for element in batch]

    async def may_differ(self) -> bool:
        """Whether `element_differences` might find something.  Leaves the event loop to others every few hundred."""
        for name in COMPARED:
            held: list[Element] = []
            for batch in self._unhurried.elements(name):
                held += batch
                await asyncio.sleep(0)
            if self._differing(name, held):
                return True
        return bool(self._falsely_alive())

    def size(self) -> int:
        """How many things are compared."""
        if self._baseline is None:
            return 0
        static = sum(len(each) for each in self._baseline.static.values())
        now_s = time.monotonic()
        return self._baseline.shape.size + static + sum(len(self._elements.told.of(n, now_s)) for n in COMPARED)

    def _take(self, ruleset: Ruleset, script: str) -> None:
        """Load the script, and know what it made; somebody else's transaction in between means: once more."""
        for _ in range(_ATTEMPTS):
            before = self._readback.generation()
            self._load_or_replace(ruleset, script)
            after = self._readback.generation()
            if after == before + 1:
                self._own.append(after)
            baseline = self._read()
            if after != before + 1 or baseline is None or self._readback.generation() != after:
                self._disturbed += 1
            elif not _is_ours_alone(baseline.shape):
                script = self._whole(ruleset)
            else:
                self._baseline, self.ruleset = baseline, ruleset
                return
        raise Unavailable("somebody else changes the kernel's tables all the time: nft monitor shows who")

    def _read(self) -> _Baseline | None:
        """The table as it is now; ``None`` where it is gone, or goes in the meantime."""
        try:
            shape = self._readback.shape()
            if shape is None:
                return None
            static = {name: self._readback.raw_elements(name) for name in STATIC_SETS}
            return _Baseline(shape=shape, static=static, rules=verify.rules_in(apply.listing()))
        except (OSError, Unavailable):
            return None

    def _load_or_replace(self, ruleset: Ruleset, script: str) -> None:
        try:
            apply.load_script(script)
        except Unavailable:
            # what is there may be declared in a way that cannot be changed in place
            replacing = self._whole(ruleset)
            if replacing == script or self._readback.shape() is None:
                raise
            apply.load_script(replacing)

    def _whole(self, ruleset: Ruleset) -> str:
        now_s = time.monotonic()
        return whole(ruleset, {name: self._elements.told.of(name, now_s) for name in RESTORED}, now_s)

    def _differing(self, name: str, held: list[Element]) -> list[Difference]:
        now_s = time.monotonic()
        kinds = verify.of_dynamic(self._elements.told.of(name, now_s), held, now_s)
        found: list[Difference] = []
        for verb, keys in zip(("is missing", "is not ours", "has another value or time"), kinds, strict=True):
            texts = [key_text(DYNAMIC_SETS[name], key) or key.hex() for key in keys]
            found += verify.in_words(name, verb, texts)
        return found

    def _falsely_alive(self) -> list[Difference]:
        """Nobody but the enforcer arms a dead-man switch, and no tripped one comes back by itself."""
        held = {number for batch in self._readback.elements("alive") for number in map(_mark, batch)}
        marks = [f"{mark:#010x}" for mark in sorted(held - self._armed())]
        return verify.in_words("alive", "counts as alive, but its switch was not armed", marks)


def _mark(element: Element) -> int:
    return int.from_bytes(element.key, sys.byteorder)


def _is_ours_alone(shape: TableShape) -> bool:
    """Whether the table holds what this version puts into it and nothing else."""
    named = {name for name in shape.sets if not name.startswith("__")}  # the others are those of single rules
    return (
        not shape.flags
        and not shape.flowtables
        and shape.chains.keys() == CHAINS.keys()
        and named == STATIC_SETS.keys() | DYNAMIC_SETS.keys()
        and shape.objects == {*COUNTERS}
    )
