"""The portal of a gate in memory on a real port of this machine, for a real browser; the gate runs in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from control_world import World, make_template

from penstock.tls import served
from penstock.web.app import portal_app
from penstock.web.serve import Protocol, _Site

T = TypeVar("T")


class PortalServer:
    """Where it is, and how to do something in the gate's own loop."""

    def __init__(self, world: World, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.world, self.url, self._loop = world, url, loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """In the gate's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def call(self, work: Callable[[], T]) -> T:
        """The same for what waits for nothing."""

        async def called() -> T:
            return work()

        return self.run(called())


@contextmanager
def portal_of(folder: Path) -> Iterator[PortalServer]:
    """The portal of a fresh gate, whose state is in `folder`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))

    async def start() -> tuple[World, _Site]:
        (folder / "gate").mkdir()
        await make_template(folder / "template.db")
        world = World(folder / "gate", folder / "template.db")
        await world.start()
        site = _Site(portal_app(world.gate), Protocol)
        await site.listen(listening, served(world.gate.settings, ("http/1.1",), may_be_old=True).context)
        return world, site

    async def stop() -> None:
        site.close()
        await world.stop()
        await asyncio.sleep(0)

    world, site = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    server = PortalServer(world, f"https://127.0.0.1:{listening.getsockname()[1]}", loop)
    try:
        yield server
    finally:
        server.run(stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
