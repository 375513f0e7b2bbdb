"""The way to the gate's tunnel: whether there is one, said once when it goes and once when it is back.

Stands between the flows, which notice first, and the tunnel.  While the way is gone one attempt at a time is made, with
growing pauses that differ from client to client: a gate that comes back must not be met by all of them at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from penstock.cli import output
from penstock.model import Unavailable

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
_GROWTH = 1.7
#: A pause is at least this part of its length, and at most as much more than it.
_LEAST, _MOST = 0.5, 1.5


class Way:
    """The way to one gate.  `probe` tries it and raises `Unavailable`; `is_back` is told when it works again."""

    def __init__(self, probe: Callable[[], Awaitable[None]], is_back: Callable[[], None] = lambda: None) -> None:
        self._probe, self._is_back = probe, is_back
        self._open = asyncio.Event()
        self._open.set()
        self._lost = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether nothing speaks against it."""
        return self._open.is_set()

    async def opened(self) -> None:
        """Wait until there is one."""
        await self._open.wait()

    def lost(self, why: str) -> None:
        """Somebody found it gone."""
        if self._open.is_set():
            self._open.clear()
            self._lost.set()
            output.say(f"the way to the gate is gone: {why}; local ports stay open, trying again")

    async def keep(self) -> None:
        """Look for it whenever it is gone, until cancelled."""
        while True:
            await self._lost.wait()
            began, pause_s = time.monotonic(), FIRST_PAUSE_S
            while not self._open.is_set():
                await asyncio.sleep(pause_s * random.uniform(_LEAST, _MOST))  # noqa: S311 - no secret
                pause_s = min(_GROWTH * pause_s, LONGEST_PAUSE_S)
                try:
                    await self._probe()
                except Unavailable:
                    continue
                self._open.set()
            self._lost.clear()
            output.say(f"the way to the gate is back after {time.monotonic() - began:.0f} s")
            self._is_back()
