"""I/O: links between the processes of one gate, over Unix sockets that only the gate's own user can open.

Both ends of a `Link` may ask; answers come in the order of the questions.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from penstock.bus.codec import LENGTH_BYTES, MAX_MESSAGE_BYTES, Message, decode, encode
from penstock.model import Malformed, Reply, Unavailable

Receive: TypeAlias = Callable[["Link", Message], Awaitable[Reply | None]]

#: How long one process waits for another's answer before it counts as silent.
ANSWER_TIMEOUT_S = 5.0
_PEER_CREDENTIALS = struct.Struct("3i")


class Link:
    """One connection to another process of the gate."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, receive: Receive) -> None:
        self._reader, self._writer, self._receive = reader, writer, receive
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self.is_open = True

    @property
    def backlog_bytes(self) -> int:
        """What was sent but not taken by the other end yet: grows while that end hangs."""
        return self._writer.transport.get_write_buffer_size() if self.is_open else 0

    def send(self, message: Message) -> None:
        """Put a message on its way, without waiting for anything."""
        if self.is_open:
            self._writer.write(encode(message))

    async def ask(self, message: Message, timeout_s: float = ANSWER_TIMEOUT_S) -> Reply:
        """Send a command and wait for its answer.  Raises `Unavailable` when the other end is silent or gone."""
        if not self.is_open:
            raise Unavailable("the other process is gone")
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self.send(message)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), timeout_s)
        except TimeoutError:
            raise Unavailable("the other process did not answer in time") from None

    async def run(self) -> None:
        """Receive until the other end closes.  Every message that `receive` answers is answered in order."""
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES), "big")
                if length > MAX_MESSAGE_BYTES:
                    raise Malformed(f"a message of {length} bytes is longer than {MAX_MESSAGE_BYTES}")
                message = decode(await self._reader.readexactly(length))
                if isinstance(message, Reply):
                    if self._waiting:
                        answer = self._waiting.popleft()
                        if not answer.done():
                            answer.set_result(message)
                    continue
                reply = await self._receive(self, message)
                if reply is not None:
                    self.send(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close the link; whoever waits for an answer gets `Unavailable`."""
        self.is_open = False
        with suppress(OSError, RuntimeError):
            self._writer.close()
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(Unavailable("the other process is gone"))


async def listen(path: Path, receive: Receive, closed: Callable[[Link], None] | None = None) -> asyncio.Server:
    """Accept links at `path` from processes of this same user; a left-over socket file is replaced."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer, receive)
        peer: socket.socket = writer.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        if _PEER_CREDENTIALS.unpack(credentials)[1] != os.getuid():
            link.close()
            return
        try:
            await link.run()
        except asyncio.CancelledError:  # the process ends, and the link with it: no error
            pass
        finally:
            if closed is not None:
                closed(link)

    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(accept, path=str(path))
    finally:
        os.umask(mask)


async def connect(path: Path, receive: Receive) -> Link:
    """A link to the process that listens at `path`; the caller runs it.  Raises `Unavailable`."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError as error:
        raise Unavailable(f"no process listens at {path.name}: {error.strerror}") from error
    return Link(reader, writer, receive)
