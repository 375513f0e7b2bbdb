"""Holding doors open: accept what local tools open, carry it through the tunnel, and outlast a gate that is away.

Stands between `connect`, which got the grants, and those who carry (`flows`), ask (`renewing`) and look for the way
(`way`).  It must never outlive the sign-in, nor the last grant that somebody took away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from penstock.cli import local, station
from penstock.cli.datagram_flows import DatagramPort
from penstock.cli.door import UDP, Door, Opening
from penstock.cli.flows import HOLD_S, Flows
from penstock.cli.renewing import WATCH_S, Portal, Watch
from penstock.cli.tunnel import TunnelPlace, probe
from penstock.cli.way import Way
from penstock.model import Unavailable

#: How long a native tool that `connect` started has to end by itself when the grants are over.
TOOL_END_S = 3.0
#: How long the tunnel may take to answer when it is only asked whether it is there.
PROBE_S = 5.0
#: How often it is looked whether this computer still has the addresses that its tunnels come from.
_LOOK_S = 1.0
#: After running out of file descriptors, or the like.
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is held: the doors, the way to the gate, and whom to ask about the grants."""

    doors: tuple[Door, ...]
    place: TunnelPlace
    portal: Portal
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
    """One run of `connect`, from the open ports to its end."""

    def __init__(self, held: Held, watch_s: float = WATCH_S, hold_s: float = HOLD_S) -> None:
        self._held, self._watch_s = held, watch_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._of_doors: dict[Door, set[asyncio.Task[None]]] = {door: set() for door in held.doors}
        self._watch = Watch(held.portal, held.doors, self._over_with, self._silent)
        self._way = Way(lambda: probe(held.place, PROBE_S), self._watch.ask_now)
        self._flows = Flows(held.place, self._way, self._watch.ask_now, hold_s)

    async def run(self) -> Ending:
        """Carry flows until the grants end, the tool ends, or a signal asks for it."""
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Ending] = loop.create_future()
        self._probing: asyncio.Task[None] | None = None
        station.on_signals(loop, lambda: self._end(Ending()))
        async with asyncio.TaskGroup() as group:
            self._group = group
            for door in self._held.doors:
                for opening in door.openings:
                    self._spawn(self._serve(door, opening))
            for work in (self._watch.run(self._watch_s), self._way.keep(), self._look()):
                self._spawn(work)
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

    def _over_with(self, why: str) -> None:
        self._end(Ending(status=1, text=why, hint="penstock ls shows what you may reach now"))

    def _silent(self) -> None:
        """The portal does not answer: is it the portal only?"""
        if self._way.is_open and (self._probing is None or self._probing.done()):
            self._probing = self._spawn(self._check_way())

    async def _check_way(self) -> None:
        try:
            await probe(self._held.place, PROBE_S)
        except Unavailable as error:
            self._way.lost(str(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _spawn_for(self, door: Door, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task, same = self._spawn(work), self._of_doors[door]
        same.add(task)
        task.add_done_callback(same.discard)
        return task

    async def _serve(self, door: Door, opening: Opening) -> None:
        serve = self._serve_datagrams if door.grant.transport == UDP else self._accept
        self._spawn_for(door, serve(door, opening))
        await door.ended()
        for task in tuple(self._of_doors[door]):
            task.cancel()

    async def _accept(self, door: Door, opening: Opening) -> None:
        loop = asyncio.get_running_loop()
        with opening.socket:
            while True:
                try:
                    accepted, peer = await loop.sock_accept(opening.socket)
                except OSError:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                accepted.setblocking(False)
                flow = self._spawn_for(door, self._flows.carry(door, opening, accepted, peer))
                # also where the door ends before the flow has begun, or while it is taken over
                flow.add_done_callback(lambda _, accepted=accepted: accepted.close())  # type: ignore[misc]

    async def _serve_datagrams(self, door: Door, opening: Opening) -> None:
        loop = asyncio.get_running_loop()
        port = DatagramPort(self._flows, door, opening, lambda work: self._spawn_for(door, work))
        await loop.create_datagram_endpoint(lambda: port, sock=opening.socket)
        try:
            await loop.create_future()
        finally:
            port.close()

    async def _look(self) -> None:
        """A tunnel from an address that this computer has not any more is over: nothing would ever arrive there."""
        while True:
            await asyncio.sleep(_LOOK_S)
            halves = {half: half.transport.get_extra_info("sockname") for half in self._held.place.halves}
            gone = {name[0] for name in halves.values() if name and not local.is_local(name[0])}
            for half, name in halves.items():
                if name and name[0] in gone:
                    half.cut()
            if gone:
                self._held.portal.reconnect()
                self._way.lost(f"this computer has not the address {', '.join(sorted(gone))} any more")

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


def _shell_status(returncode: int) -> int:
    """The exit status as a shell reports it: 128 and the number of the signal that ended the tool."""
    return returncode if returncode >= 0 else 128 - returncode
