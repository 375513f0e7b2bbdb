"""What `connect` holds open: a service of an asset, its local sockets, and the grant of the moment.

Pure but for the sockets that it keeps.  A door outlives its grants, never its service: once it is over it stays so.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from penstock.cli.answers import OpenedGrant
from penstock.model import Unavailable

UDP = "udp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One local socket; `port` is the asset's own where the service is a range, else ``None``."""

    socket: socket.socket
    port: int | None = None

    @property
    def address(self) -> str:
        """``127.0.0.1:25753``."""
        host, port = self.socket.getsockname()[:2]
        return f"{host}:{port}"


class Door:
    """One service that is held open."""

    def __init__(self, grant: OpenedGrant, openings: tuple[Opening, ...]) -> None:
        self.grant, self.openings = grant, openings
        self.over = ""
        """Why it is over; empty while it is not."""
        self._sound, self._ended = asyncio.Event(), asyncio.Event()
        self._sound.set()

    @property
    def name(self) -> str:
        """As people call it."""
        return f"{self.grant.asset} {self.grant.service}"

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against its grant."""
        return self._sound.is_set() and not self.over

    async def sound(self) -> None:
        """Wait until its grant is believed to live.  Raises `Unavailable` once the door is over."""
        await self._sound.wait()
        if self.over:
            raise Unavailable(self.over)

    async def ended(self) -> None:
        """Wait until the door is over."""
        await self._ended.wait()

    def doubt(self) -> None:
        """The tunnel does not know the grant: flows wait until the gate has been asked."""
        self._sound.clear()

    def confirm(self, grant: OpenedGrant | None = None) -> None:
        """The grant lives, or there is a fresh one."""
        self.grant = grant or self.grant
        self._sound.set()

    def end(self, why: str) -> None:
        """No more flows; who waits is told, and whoever serves the sockets closes them."""
        self.over = why
        self._sound.set()
        self._ended.set()
