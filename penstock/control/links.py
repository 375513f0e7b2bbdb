"""I/O: control's links to the enforcer and to the workers.

They fill the contracts `Enforcer` and `Workers`.  It must never report a command as done that the other end did not
confirm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from penstock.bus.channel import Link, Receive, connect
from penstock.model import (
    ArmWorker,
    Command,
    EndWorker,
    Failed,
    Hello,
    ProbeOverlay,
    Publication,
    Reply,
    Unavailable,
    WorkerTripped,
)

#: How long to wait before the enforcer is looked for again.
RETRY_S = 0.5


class EnforcerLink:
    """The link to the enforcer, made again for ever."""

    def __init__(self, path: Path, receive: Receive, joined: Callable[[], Awaitable[None]]) -> None:
        self._path, self._receive, self._joined = path, receive, joined
        self._link: Link | None = None
        self._is_synchronised = False

    @property
    def is_synchronised(self) -> bool:
        """Whether the kernel holds what control wants."""
        return self._is_synchronised

    @property
    def is_open(self) -> bool:
        """Whether there is an enforcer at the other end."""
        return self._link is not None and self._link.is_open

    async def command(self, command: Command) -> Reply:
        """Carry it out; the answer.  Raises `Unavailable` when the enforcer is silent or says that it failed."""
        answer = await self._answer(command)
        if isinstance(answer, Failed):
            raise Unavailable(f"the enforcer could not: {answer.why}")
        return answer

    async def _answer(self, command: Command) -> Reply:
        if isinstance(command, ProbeOverlay):  # on a link of its own: it takes long, and a cut must never wait for it
            return await self._ask_aside(command)
        if self._link is None:
            raise Unavailable("the enforcer is not there")
        return await self._link.ask(command)

    async def _ask_aside(self, command: Command) -> Reply:
        link = await connect(self._path, self._receive)
        running = asyncio.create_task(link.run())
        try:
            return await link.ask(command)
        finally:
            link.close()
            await running

    async def run(self) -> None:
        """Keep the link up until cancelled; each new one begins with `joined`."""
        while True:
            with suppress(Unavailable):
                await self._once(await connect(self._path, self._receive))
            self._link, self._is_synchronised = None, False
            await asyncio.sleep(RETRY_S)

    async def _once(self, link: Link) -> None:
        self._link = link
        async with asyncio.TaskGroup() as group:
            running = group.create_task(link.run())
            try:
                await self._joined()
                self._is_synchronised = True
            except Unavailable:
                link.close()
            await running


class WorkerLinks:
    """The links to the workers that have said who they are; `armed` ones count as alive."""

    def __init__(self) -> None:
        self._linked: dict[Link, Hello] = {}
        self._armed: set[Link] = set()

    @property
    def is_alive(self) -> bool:
        """Whether a worker has its revision and its dead-man switch is armed."""
        return bool(self._armed)

    @property
    def armed(self) -> tuple[ArmWorker, ...]:
        """What an enforcer that has just (re)joined must hear of the workers that are alive."""
        alive = (self._linked[link] for link in self._armed)
        return tuple(ArmWorker(mark=each.mark, pid=each.pid, was_armed=True) for each in alive)

    @property
    def count(self) -> int:
        """How many workers are linked."""
        return len(self._linked)

    def add(self, link: Link, hello: Hello) -> None:
        """A worker said who it is."""
        self._linked[link] = hello

    def arm(self, link: Link) -> None:
        """This worker is ready: it has the revision, and the kernel counts its heartbeat."""
        if link in self._linked and link.is_open:
            self._armed.add(link)

    def end(self, tripped: WorkerTripped) -> None:
        """This worker's switch has tripped: tell it to end, and count it as gone from now on."""
        for link, hello in list(self._linked.items()):
            if (hello.mark, hello.pid) == (tripped.mark, tripped.pid):
                link.send(EndWorker(why="the dead-man switch tripped, so what this worker holds may be stale"))
                self.remove(link)
                link.close()

    def remove(self, link: Link) -> bool:
        """A link closed; ``True`` when no worker is left that was alive."""
        was_alive = self.is_alive
        self._linked.pop(link, None)
        self._armed.discard(link)
        return was_alive and not self.is_alive

    async def publish(self, publication: Publication) -> None:
        """Tell every worker at once.  A worker that does not take it is unlinked, and must come back for everything."""
        links = tuple(self._linked)
        answers = await asyncio.gather(*(tell(link, publication) for link in links), return_exceptions=True)
        problems = []
        for link, answer in zip(links, answers, strict=True):
            if isinstance(answer, Unavailable):
                problems.append(str(answer))
                link.close()
            elif isinstance(answer, BaseException):
                raise answer
        if problems:
            raise Unavailable(f"a worker did not take it: {'; '.join(problems)}")


async def tell(link: Link, publication: Publication) -> None:
    """Tell one worker.  Raises `Unavailable`."""
    answer = await link.ask(publication)
    if isinstance(answer, Failed):
        raise Unavailable(f"the worker could not: {answer.why}")
