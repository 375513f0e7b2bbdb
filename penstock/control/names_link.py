"""I/O: keeps the responder's directory equal to what is in force.

Stands between the snapshot and the process `names`.  A responder that does not take a directory is unlinked, and gets
everything when it comes back.
"""

from __future__ import annotations

import asyncio
from typing import Final

from penstock.bus.channel import Link
from penstock.control.naming import directory
from penstock.control.state import Snapshot, State
from penstock.model import Failed, GatePlace, PublishNames, Unavailable

#: How long a name may be missing after its grant was opened, or be there after it ended.
LOOK_S: Final = 0.2


class NamesLinks:
    """The links to the responders, and what each of them was told last."""

    def __init__(self, state: State, place: GatePlace) -> None:
        self._state, self._place = state, place
        self._told: dict[Link, PublishNames | None] = {}
        self._seen: Snapshot | None = None
        self._present: PublishNames | None = None

    def add(self, link: Link) -> None:
        """A responder said who it is."""
        self._told[link] = None

    def remove(self, link: Link) -> None:
        """A link closed."""
        self._told.pop(link, None)

    async def follow(self) -> None:
        """Tell every responder what has changed, until cancelled."""
        while True:
            if self._told:
                await self._tell()
            await asyncio.sleep(LOOK_S)

    async def _tell(self) -> None:
        now = self._state.now
        if now is not self._seen:
            self._seen, self._present = now, directory(now, self._place)
        present = self._present
        if present is None:
            return
        for link, told in list(self._told.items()):
            if told == present:
                continue
            try:
                is_taken = not isinstance(await link.ask(present), Failed)
            except Unavailable:
                is_taken = False
            if is_taken and link in self._told:
                self._told[link] = present
            elif not is_taken:
                link.close()
