"""Flows of the local tools: each TCP connection, and each peer of a UDP socket, in a tunnel of its own.

Stands between the doors and `tunnel`.  A flow that begins while there is no way, or while it is not known whether the
grant lives, waits a little; one that is under way when it breaks is closed, and nothing of it is ever sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from penstock.cli import local, output
from penstock.cli.door import Door, Opening
from penstock.cli.tool_side import ToolSide, taken
from penstock.cli.tunnel import FlowBytes, FlowRefused, Half, TunnelPlace, join, opened
from penstock.cli.way import Way
from penstock.model import Reason, Unavailable

#: How long a new connection of a tool waits for a way to the gate.
HOLD_S = 10.0
#: Between two attempts where the gate knows the grant and its worker does not yet.
AGAIN_S = 0.2
#: What the tunnel says where the gate has to be asked what that means.
DOUBTFUL = frozenset({Reason.GRANT_UNKNOWN, Reason.GRANT_EXPIRED, Reason.GRANT_REVOKED, Reason.NOT_SIGNED_IN})

Say = Callable[[str], None]


class Flows:
    """Carries flows of all doors; `ask_now` has the gate asked about the grants."""

    def __init__(self, place: TunnelPlace, way: Way, ask_now: Callable[[], None], hold_s: float = HOLD_S) -> None:
        self._place, self._way, self._ask_now, self._hold_s = place, way, ask_now, hold_s
        self._count = 0

    def next_number(self) -> int:
        """The number of one more flow, for people."""
        self._count += 1
        return self._count

    @contextlib.asynccontextmanager
    async def admitted(self, door: Door, port: int | None, say: Say) -> AsyncIterator[Half]:
        """A tunnel that the gate took for this door.  Raises `FlowRefused` or `Unavailable`."""
        async with contextlib.AsyncExitStack() as stack:
            yield await self._enter(stack, door, port, say)

    async def carry(self, door: Door, opening: Opening, accepted: socket.socket, peer: local.Address) -> None:
        """One connection of a tool, to its end."""
        number = self.next_number()
        own = opening.socket.getsockname()
        owner = local.owner_of(peer, own)
        if not local.is_ours(owner):
            accepted.close()
            whom = "no program of this computer" if owner == local.NOBODY else "another user of this computer"
            output.say(f"flow {number} refused: it comes from {whom}")
            return
        output.say(f"flow {number} from {peer[0]}:{peer[1]} to {door.name}")
        side = await taken(accepted)
        try:
            async with contextlib.AsyncExitStack() as stack:
                opening_it = self._enter(stack, door, opening.port, lambda words: output.say(f"flow {number}: {words}"))
                half = await _unless_given_up(opening_it, side)
                carried, is_broken = await join(half, side)
        except _GivenUp:
            output.say(f"flow {number} closed: the tool hung up before there was a way; nothing was sent")
        except FlowRefused as refused:
            output.say(f"flow {number} refused by the gate: {refused.words or refused}")
            if refused.words:
                output.hint("try again in a while, or close a connection of yours to this asset")
        except Unavailable as error:
            output.say(f"flow {number} failed: {error}")
        else:
            output.say(f"flow {number} {'broken off' if is_broken else 'closed'}: {in_words(carried)}")
        finally:
            await side.end()

    async def _enter(self, stack: contextlib.AsyncExitStack, door: Door, port: int | None, say: Say) -> Half:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._hold_s
        while True:
            await self._ready(door, until)
            try:
                tunnel = opened(self._place, door.grant.grant, say, port, max(AGAIN_S, until - loop.time()))
                return await stack.enter_async_context(tunnel)
            except FlowRefused as refused:
                if str(refused) not in DOUBTFUL or loop.time() >= until:
                    raise
                door.doubt()
                self._ask_now()
                await asyncio.sleep(AGAIN_S)
            except Unavailable as error:
                self._way.lost(str(error))

    async def _ready(self, door: Door, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._way.opened()
                await door.sound()
        except TimeoutError as error:
            what = "the gate cannot be asked about its grant" if self._way.is_open else "there is no way to the gate"
            raise Unavailable(f"{what}; waited {self._hold_s:.0f} s") from error


class _GivenUp(Exception):
    """The tool did not wait for its tunnel."""


async def _unless_given_up(opening: Coroutine[Any, Any, Half], side: ToolSide) -> Half:
    """The open tunnel.  Raises `_GivenUp` where the tool is gone first, so that nothing of it is sent."""
    entering, leaving = asyncio.ensure_future(opening), asyncio.ensure_future(side.given_up())
    try:
        await asyncio.wait((entering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            raise _GivenUp
        return entering.result()
    finally:
        for task in (entering, leaving):
            task.cancel()
        await asyncio.gather(entering, leaving, return_exceptions=True)


def in_words(carried: FlowBytes) -> str:
    """What a flow carried, for people."""
    return f"{carried.to_asset:,} bytes to the asset, {carried.to_tool:,} back"
