"""A tool's end of a flow, from the moment it is accepted: what it sends is kept until there is a tunnel.

Stands between a local port and `tunnel`.  A command must never reach the asset after the tool that gave it has gone: it
has reported a failure by then, and somebody may have acted on that.
"""

from __future__ import annotations

import asyncio
import socket

from penstock.cli.tunnel import HIGH_WATER_BYTES, Facing, Half

#: A tool that is done sending may wait for its answer, or may be gone: nobody can tell.  So long it is believed.
LATE_S = 2.0


class ToolSide(Half):
    """The tool's connection.  `face` gives it a tunnel."""

    def __init__(self) -> None:
        super().__init__()
        self._left = asyncio.Event()

    async def given_up(self) -> None:
        """Wait until nobody can be waiting for an answer any more."""
        leaving = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait((self.closed, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not self.closed.done():
                await asyncio.wait((self.closed,), timeout=LATE_S)
        finally:
            leaving.cancel()

    def face(self, other: Facing) -> None:
        """The tunnel is open."""
        super().face(other)
        self._early.clear()
        if self._is_done_sending:
            self._linger_on()

    def _look_for_line(self) -> None:
        """A tool's first line is nobody's but the asset's; more than a tunnel takes at once has to wait."""
        if len(self._early) >= HIGH_WATER_BYTES:
            self.set_reading(is_on=False)

    def _linger_on(self) -> None:
        if self._other is None:
            self._left.set()
        else:
            super()._linger_on()


async def taken(accepted: socket.socket) -> ToolSide:
    """The side of an accepted connection, which is taken over."""
    _, side = await asyncio.get_running_loop().connect_accepted_socket(ToolSide, accepted)
    return side
