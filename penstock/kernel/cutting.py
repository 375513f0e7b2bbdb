"""I/O: ending many grants at once, in transactions that are short enough for everything else to go on between them.

Stands between the enforcer and `elements`, `held` and `ending`.  First every number leaves ``live``: that is the cut.
Then it is answered, flows are closed, and what else the grants had in the table is cleared away.  It must never clear
an element that a later grant has taken over meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from penstock.kernel.elements import ADMITTING, Elements
from penstock.kernel.ending import Ending
from penstock.kernel.held import HeldKeys

#: Grants that one transaction cuts, and elements that one clears away: 2 to 5 ms.
CUT_AT_ONCE: Final = 1000
CLEARED_AT_ONCE: Final = 250


class Cutting:
    """Ends grants.  Lives in one event loop."""

    def __init__(self, elements: Elements, held: HeldKeys, ending: Ending) -> None:
        self._elements, self._held, self._ending = elements, held, ending
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Leave the rest as it is: nothing passes by it, and it expires."""
        for task in self._tasks:
            task.cancel()

    async def cut(self, numbers: Sequence[int]) -> None:
        """From the return on no packet of these grants passes."""
        for start in range(0, len(numbers), CUT_AT_ONCE):
            self._elements.cut(numbers[start : start + CUT_AT_ONCE])
            await asyncio.sleep(0)
        self._ending.withdrawn(numbers)
        left: list[tuple[str, bytes]] = []
        for number in numbers:
            keys = self._held.release(number)
            left += [(name, key) for name, found in (keys or {}).items() for key in found]
        task = asyncio.get_running_loop().create_task(self._clear(left))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _clear(self, left: list[tuple[str, bytes]]) -> None:
        for start in range(0, len(left), CLEARED_AT_ONCE):
            some = left[start : start + CLEARED_AT_ONCE]
            self._elements.clear(each for each in some if each[0] not in ADMITTING or not self._held.is_held(*each))
            await asyncio.sleep(0)
