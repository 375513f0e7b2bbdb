"""Holding a grant: accept local connections, carry each through the tunnel, and notice when the grant ends.

Stands between `connect`, which got the grant, and `tunnel`, which carries one flow.  It must never outlive the grant.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from penstock.cli import local, output, station
from penstock.cli.answers import OpenedGrant, moment
from penstock.cli.tunnel import FlowBytes, FlowRefused, TunnelPlace, relay
from penstock.model import Reason, Unauthenticated, Unavailable

#: How often the gate is asked whether the grant still lives; a refused flow tells sooner.
WATCH_S = 3.0
#: How long a native tool that `connect` started has to end by itself when the grant is over.
TOOL_END_S = 3.0
_OVER = {
    Reason.GRANT_UNKNOWN: "the grant is not known to the gate any more",
    Reason.GRANT_EXPIRED: "the grant has expired",
    Reason.GRANT_REVOKED: "the grant was revoked",
    Reason.NOT_SIGNED_IN: "the sign-in has ended",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is held: the grant, its local socket, the way to the gate, and a question to it about the grant."""

    grant: OpenedGrant
    listening: socket.socket
    place: TunnelPlace
    is_alive: Callable[[], bool]
    """Asks the gate; blocks; raises `Unauthenticated` or `Unavailable`."""
    command: tuple[str, ...] = ()
    ready: Callable[[], None] = lambda: None
    """Called once connections are accepted and signals are heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How it ended: an exit status, what to say, and what helps."""

    status: int = 0
    text: str = ""
    hint: str = ""


class Holding:
    """One run of `connect`, from the open port to its end."""

    def __init__(self, held: Held, watch_s: float = WATCH_S) -> None:
        self._held, self._watch_s = held, watch_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = 0
        self._is_gate_silent = False

    async def run(self) -> Ending:
        """Carry flows until the grant ends, the tool ends, or a signal asks for it."""
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Ending] = loop.create_future()
        station.on_signals(loop, lambda: self._end(Ending()))
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._spawn(self._accept())
            self._spawn(self._watch())
            self._spawn(self._expire())
            if self._held.command:
                self._spawn(self._run_tool())
            self._held.ready()
            ending = await self._over
            for task in tuple(self._tasks):
                task.cancel()
        return ending

    def _end(self, ending: Ending) -> None:
        if not self._over.done():
            self._over.set_result(ending)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        self._held.listening.setblocking(False)
        while True:
            accepted, peer = await loop.sock_accept(self._held.listening)
            accepted.setblocking(False)
            self._flows += 1
            self._spawn(self._flow(self._flows, accepted, peer[1]))

    async def _flow(self, number: int, accepted: socket.socket, peer_port: int) -> None:
        owner, own = local.owner_of(peer_port, self._held.listening.getsockname()[1]), station.own_uid()
        if own is not None and owner not in (None, own):
            accepted.close()
            output.say(f"flow {number} refused: it comes from another user of this computer (uid {owner})")
            return
        output.say(f"flow {number} from {local.HOST}:{peer_port}")
        try:
            carried = await relay(
                accepted, self._held.place, self._held.grant.grant, lambda words: output.say(f"flow {number}: {words}")
            )
        except FlowRefused as refused:
            self._refused(number, str(refused), refused.words)
        except Unavailable as error:
            output.say(f"flow {number} failed: {error}")
        else:
            output.say(f"flow {number} closed: {_in_words(carried)}")

    def _refused(self, number: int, reason: str, words: str) -> None:
        output.say(f"flow {number} refused by the gate: {words or reason}")
        if words:
            output.hint("try again in a while, or close a connection of yours to this asset")
        for over, text in _OVER.items():
            if reason == over:
                self._end(_grant_over(text))

    async def _watch(self) -> None:
        """Ask the gate every few seconds; a gate that is silent ends nothing, its flows go on."""
        while True:
            await asyncio.sleep(self._watch_s)
            try:
                is_alive = await asyncio.to_thread(self._held.is_alive)
            except Unauthenticated:
                self._end(_grant_over(_OVER[Reason.NOT_SIGNED_IN]))
                return
            except Unavailable:
                self._note_silence(is_silent=True)
                continue
            self._note_silence(is_silent=False)
            if not is_alive:
                self._end(_grant_over(_OVER[Reason.GRANT_REVOKED]))
                return

    def _note_silence(self, *, is_silent: bool) -> None:
        if is_silent != self._is_gate_silent:
            state = "does not answer; open flows go on" if is_silent else "answers again"
            output.say(f"the gate's portal {state}")
        self._is_gate_silent = is_silent

    async def _expire(self) -> None:
        if self._held.grant.expires_at is None:
            return
        await asyncio.sleep((moment(self._held.grant.expires_at) - datetime.now(UTC)).total_seconds())
        self._end(_grant_over(_OVER[Reason.GRANT_EXPIRED]))

    async def _run_tool(self) -> None:
        try:
            tool = await asyncio.create_subprocess_exec(*self._held.command)
        except OSError as error:
            self._end(Ending(status=2, text=f"{self._held.command[0]} cannot be started: {error.strerror}"))
            return
        try:
            self._end(Ending(status=_shell_status(await tool.wait())))
        finally:
            if tool.returncode is None:
                await _end_tool(tool)


async def _end_tool(tool: asyncio.subprocess.Process) -> None:
    """Ask the tool to end, and see to it."""
    tool.terminate()
    try:
        async with asyncio.timeout(TOOL_END_S):
            await tool.wait()
    except TimeoutError:
        tool.kill()
        await tool.wait()


def _grant_over(text: str) -> Ending:
    return Ending(status=1, text=text, hint="penstock ls shows what you may reach now")


def _shell_status(returncode: int) -> int:
    """The exit status as a shell reports it: 128 and the number of the signal that ended the tool."""
    return returncode if returncode >= 0 else 128 - returncode


def _in_words(carried: FlowBytes) -> str:
    return f"{carried.to_asset:,} bytes to the asset, {carried.to_tool:,} back"
