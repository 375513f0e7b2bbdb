"""I/O: the process `names`: listens for questions, and takes the directory that control publishes.

It holds CAP_NET_BIND_SERVICE at most.  When control is gone it goes on answering what was published last; a name is no
permission, so the kernel and the worker refuse all the same.  It must never answer before it has a directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from pathlib import Path

from penstock.bus import Capability, Link, Message, connect, keep_only
from penstock.model import (
    Done,
    Failed,
    GateSettings,
    Hello,
    Invalid,
    Listener,
    Malformed,
    Problem,
    PublishNames,
    Unavailable,
)
from penstock.names.answer import MAX_QUERY_BYTES, Reply, Transport, Verdict, answer, truncated
from penstock.names.directory import Directory
from penstock.names.limits import RefusedAskers, Speed, SpeedLimit

MAX_CONNECTIONS, MAX_CONNECTIONS_OF_A_SOURCE = 64, 4
#: RFC 7766 section 6.2.3: an idle connection is closed after some seconds.
IDLE_S = 10.0
TELL_EVERY_S = 5.0
RECONNECT_S = 0.2
_LAST_RESERVED_PORT = 1023
_LENGTH_BYTES = 2


async def run(settings: GateSettings) -> None:
    """Answer until cancelled.  Raises `Invalid` where it cannot listen, `Unavailable` without the right to."""
    is_reserved = any(each.port <= _LAST_RESERVED_PORT for each in settings.responders)
    keep_only(*((Capability.NET_BIND_SERVICE,) if is_reserved and settings.has_kernel else ()))
    responder = Responder()
    try:
        async with asyncio.TaskGroup() as group:
            for listener in settings.responders:
                await responder.listen(listener)
            group.create_task(responder.follow_control(Path(settings.run_dir) / "control.sock"))
            group.create_task(responder.tell_refused())
    finally:
        responder.close()


class Responder:
    """Everything that the process knows.  Lives in one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._directory: Directory | None = None
        self._speed, self._refused = SpeedLimit(), RefusedAskers()
        self._connected: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._transports: list[asyncio.BaseTransport] = []
        self._link: Link | None = None

    async def listen(self, listener: Listener) -> None:
        """UDP and TCP at this address.  Raises `Invalid`."""
        try:
            bound = _datagrams(listener)
            transport, _ = await self._loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=bound)
            self._transports.append(transport)
            self._servers.append(await asyncio.start_server(self._converse, listener.host, listener.port))
        except OSError as error:
            hint = "another resolver may listen there: name another address or port, or leave --names out"
            where = f"--names {listener.host}:{listener.port}"
            raise Invalid(Problem(where=where, why=error.strerror or str(error), hint=hint)) from error

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers:
            server.close()
        for transport in self._transports:
            transport.close()

    def reply(self, wire: bytes, source: str, transport: Transport) -> Reply | None:
        """The reply to one message; ``None`` before there is a directory."""
        if self._directory is None:
            return None
        found = answer(wire, source, self._directory, transport)
        if found.verdict is Verdict.REFUSED:
            self._refused.add(source)
        return found

    def reply_to_datagram(self, wire: bytes, source: str) -> bytes:
        """What goes back over UDP, where the source may be forged; empty for nothing."""
        match self._speed.ask(source, self._loop.time()):
            case Speed.DROP:
                return b""
            case Speed.TRUNCATE:
                is_asker = self._directory is not None and self._directory.known_to(source) is not None
                return truncated(wire) if is_asker else b""
            case Speed.ANSWER:
                found = self.reply(wire, source, Transport.UDP)
                return found.wire if found is not None else b""

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection: a message at a time, and the next one is read when its answer is taken."""
        peer = writer.get_extra_info("peername")
        source = str(peer[0]) if peer else ""
        is_full = self._connected.total() >= MAX_CONNECTIONS
        if is_full or self._connected[source] >= MAX_CONNECTIONS_OF_A_SOURCE:
            writer.transport.abort()
            return
        self._connected[source] += 1
        try:
            while await self._exchange(reader, writer, source):
                pass
        except (OSError, EOFError, TimeoutError):
            pass
        except asyncio.CancelledError:  # the process ends, and the connection with it: no error
            pass
        finally:
            self._connected[source] -= 1
            if not self._connected[source]:
                del self._connected[source]
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str) -> bool:
        async with asyncio.timeout(IDLE_S):
            length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
            if length > MAX_QUERY_BYTES:
                return False
            found = self.reply(await reader.readexactly(length), source, Transport.TCP)
            if found is None or not found.wire:
                return False
            writer.write(len(found.wire).to_bytes(_LENGTH_BYTES, "big") + found.wire)
            await writer.drain()
        return found.verdict is Verdict.ANSWERED

    async def follow_control(self, path: Path) -> None:
        """Take what control publishes, for ever."""
        while True:
            with contextlib.suppress(Unavailable, Malformed, OSError):
                link = await connect(path, self._receive)
                link.send(Hello(role="names", pid=os.getpid()))
                self._link = link
                await link.run()
            self._link = None
            await asyncio.sleep(RECONNECT_S)

    async def _receive(self, _: Link, message: Message) -> Done | Failed | None:
        if not isinstance(message, PublishNames):
            return Failed(why=f"the responder does not take {type(message).__name__}")
        try:
            self._directory = Directory.of(message)
        except Malformed as error:  # the directory in force stays in force
            return Failed(why=str(error))
        return Done()

    async def tell_refused(self) -> None:
        """Tell control who was refused, now and then; while it is away the counts grow on."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            if self._link is not None and self._link.is_open:
                for told in self._refused.drained(time.time_ns() // 1000):
                    self._link.send(told)


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP socket."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a datagram endpoint's is one

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        wire = self._responder.reply_to_datagram(data, str(addr[0]))
        if wire and self._transport is not None:
            self._transport.sendto(wire, addr)


def _datagrams(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.bind((listener.host, listener.port))
    except OSError:
        bound.close()
        raise
    return bound
