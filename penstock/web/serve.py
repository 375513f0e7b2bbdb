"""I/O: the portal on its TLS listeners, and the administrator's API on a Unix socket.

uvicorn's protocol without uvicorn's server: signals, logs and life time belong to the process that hosts this.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from penstock.control import Gate
from penstock.identity import counted_as
from penstock.model import Listener
from penstock.tls import served
from penstock.web.admin import admin_app
from penstock.web.app import portal_app
from penstock.web.card_door import CardDoor, sent_chain
from penstock.web.card_site import STATE as CARD_STATE
from penstock.web.card_site import card_app

MAX_HEADER_BYTES = 16 << 10
MAX_CONNECTIONS = 200
#: Over that many the one that is missed least makes room; beyond this reserve nothing is answered.
_RESERVE = 32
#: Of one station; so no single one can take all.
MAX_CONNECTIONS_OF_A_SOURCE = 32
#: A connection that sends no whole request head, or takes no whole answer, for so long is closed.
SILENCE_S = 15.0
ANSWER_S = 120.0
KEEP_ALIVE_S = 15
BACKLOG = 128
#: How often the clock of the Date header moves, and the gate's certificate is looked at.
TICK_S = 1.0
_PEER = struct.Struct("3i")


class Protocol(H11Protocol):
    """One HTTP connection, with limits on how long it may say nothing and on how many one station has."""

    source = ""
    has_begun = has_asked = False
    answering_s = began_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to listen for silence."""
        super().connection_made(transport)
        self.began_s = self.loop.time()
        self.source = counted_as(self.client[0]) if self.client else ""
        same = sum(getattr(each, "source", "") == self.source for each in self.connections)
        if self.source and same > MAX_CONNECTIONS_OF_A_SOURCE:
            transport.abort()
            return
        if self.source and len(self.connections) > MAX_CONNECTIONS:
            self._make_room()
        self.loop.call_later(SILENCE_S, self._check_silence)

    def handle_events(self) -> None:
        """As the parent; notes that a whole request head came."""
        before = self.scope
        super().handle_events()
        if self.scope is not before:
            self.has_begun = self.has_asked = True
            self.answering_s = 0.0

    def _make_room(self) -> None:
        """Let go of one that is not being answered, of the station that has most, the oldest first.

        However many stations hold connections open, somebody who comes now is heard.
        """
        open_now = [each for each in self.connections if isinstance(each, Protocol) and not each.transport.is_closing()]
        idle = [each for each in open_now if each is not self and not each.is_answering]
        if idle:
            held = Counter(each.source for each in open_now)
            min(idle, key=lambda each: (-held[each.source], each.began_s)).transport.abort()

    @property
    def is_answering(self) -> bool:
        """Whether a request of it is being worked on."""
        return self.has_begun and not self.cycle.response_complete

    def _check_silence(self) -> None:
        self.answering_s += SILENCE_S
        is_silent = self.answering_s >= ANSWER_S if self.is_answering else not self.has_asked
        if self.transport.is_closing() or is_silent:
            self.transport.abort()
            return
        self.has_asked = False
        self.loop.call_later(SILENCE_S, self._check_silence)


class AdminProtocol(Protocol):
    """One connection on the admin socket; its client is the Unix user that opened it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel who it is (SO_PEERCRED, unix(7))."""
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        pid, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        self.client = (f"uid {uid}", pid)


class CardProtocol(Protocol):
    """One connection of the card's site: the certificates of its handshake are in the state of its requests."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put them there; nothing that the client says can."""
        self.app_state = {**self.app_state, CARD_STATE: sent_chain(transport.get_extra_info("ssl_object"))}
        super().connection_made(transport)


async def serve_web(gate: Gate) -> None:
    """Serve portal and admin socket until cancelled."""
    tls = served(gate.settings, ("http/1.1",), may_be_old=True)
    portal, admin = _Site(portal_app(gate), Protocol), _Site(admin_app(gate), AdminProtocol)
    path = Path(gate.settings.run_dir) / "admin.sock"
    async with AsyncExitStack() as stack:
        for listener in gate.settings.portal:
            await portal.listen(_listening(listener), tls.context)
        site = _Site(card_app(gate), CardProtocol)
        door = CardDoor(gate.cards, lambda: served(gate.settings, ("http/1.1",), may_be_old=True).context, site.make)
        stack.callback(site.close)
        stack.callback(door.close)
        for listener in gate.settings.cards:
            door.open(_listening(listener, listens=True))
        await admin.listen_unix(_admin_socket(path))
        stack.callback(portal.close)
        stack.callback(admin.close)
        while True:
            await asyncio.sleep(TICK_S)
            portal.tick()
            admin.tick()
            site.tick()
            if tls.refresh():
                door.renew()


class _Site:
    """One application and the connections to it."""

    def __init__(self, app: ASGIApp, protocol: type[H11Protocol]) -> None:
        self._config = Config(
            app,
            lifespan="off",
            loop="none",
            ws="none",
            http=protocol,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS + _RESERVE,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        self._config.load()
        self._protocol, self._state = protocol, ServerState()
        self._servers: list[Any] = []
        self.tick()

    def tick(self) -> None:
        """Set the Date header (RFC 9110 section 6.6.1)."""
        date = format_datetime(datetime.now(UTC), usegmt=True).encode()
        self._state.default_headers = [(b"date", date)]

    async def listen(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        """Accept TLS connections."""
        loop = asyncio.get_running_loop()
        self._servers.append(
            await loop.create_server(
                self.make, sock=listening, ssl=context, backlog=BACKLOG, ssl_handshake_timeout=SILENCE_S
            )
        )

    async def listen_unix(self, listening: socket.socket) -> None:
        """Accept connections on a Unix socket."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(self.make, sock=listening, backlog=BACKLOG))

    def close(self) -> None:
        """Stop accepting, and let go of the connections there are."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()

    def make(self) -> H11Protocol:
        """A protocol for a new connection."""
        return self._protocol(config=self._config, server_state=self._state, app_state={})


def _listening(listener: Listener, *, listens: bool = False) -> socket.socket:
    """A bound socket; one that `listens` is for an accept loop of our own."""
    listening = _bound(listener)
    if listens:
        listening.listen(BACKLOG)
        listening.setblocking(False)
    return listening


def _bound(listener: Listener) -> socket.socket:
    if listener.descriptor is not None:
        return socket.socket(fileno=listener.descriptor)
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:  # an IPv4 source must never come in IPv6 clothes: limits and records go by source
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listening.bind((listener.host, listener.port))
    return listening


def _admin_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
    finally:
        os.umask(mask)
    return listening
