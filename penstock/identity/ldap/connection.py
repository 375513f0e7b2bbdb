"""I/O: one TLS connection to a directory.

Stands under `source`.  Whoever asks sets the deadline (`asyncio.timeout`); buffers and answers are bounded here.  It
must never say anything but StartTLS before TLS is up, never believe an authority that the plan does not name, nor take
a byte for protected that came before TLS did (the plaintext of a man in the middle).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from penstock.identity.ldap.servers import Server
from penstock.identity.ldap.session import Answer, Elsewhere, Entry, Outcome, Question, Session
from penstock.model import Malformed, Unavailable

#: A question whose answer is larger is not one that the gate asks.
MAX_ANSWER_BYTES = 8 << 20
#: A site has a few places that a search could be sent on to.
MAX_REFERENCES = 64
_HIGH_WATER = 256 << 10
#: So much is parsed at a time, before others have their turn.
_PIECE = 16 << 10
_SUCCESS, _SIZE_LIMIT, _NO_SUCH_OBJECT = 0, 4, 32
_TLS_END_S = 1.0


def context_of(authorities: str) -> ssl.SSLContext:
    """TLS to servers that these authorities (PEM) vouch for, and no others.  Raises `Unavailable`.

    TLS 1.2 at least: domain controllers before Windows Server 2022 have no 1.3.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise Unavailable(f"'authorities' has no certificate that can be read: {error}") from error
    return context


class _Wire(asyncio.Protocol):
    """Holds what has arrived, up to a bound; then the server must wait."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.stops = False
        """Read one piece and then no more, because what follows belongs to TLS."""
        self._held = bytearray()
        self._arrived = asyncio.Event()
        self._is_lost = self.is_paused = False

    @property
    def is_holding(self) -> bool:
        """Whether something has arrived that nobody has read."""
        return bool(self._held)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the ancestry

    def data_received(self, data: bytes) -> None:
        self._held += data
        if self.transport is not None and (self.stops or len(self._held) > _HIGH_WATER):
            self.transport.pause_reading()
            self.is_paused = True
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._is_lost = True
        self._arrived.set()

    async def read(self) -> bytes:
        """Some of what has arrived since, at least one byte.  Raises `Unavailable` when the server hung up."""
        while not self._held:
            if self._is_lost:
                raise Unavailable("the directory hung up")
            self._arrived.clear()
            if self.transport is not None and self.is_paused:
                self.transport.resume_reading()
                self.is_paused = False
            await self._arrived.wait()
        found = bytes(self._held[:_PIECE])
        del self._held[:_PIECE]
        if self._held:
            await asyncio.sleep(0)
        return found


class Connection:
    """One connection, one question at a time."""

    def __init__(self, wire: _Wire, time_limit_s: int) -> None:
        self._wire, self._time_limit_s = wire, time_limit_s
        self._session = Session()

    async def bind(self, name: str, password: str) -> Outcome:
        """Try to be `name` on this connection; after a refusal it is nobody's."""
        return await self._last(self._session.bind(name, password), [], 0)

    async def search(self, question: Question) -> tuple[Entry, ...]:
        """The entries; none below or of a DN that does not exist, where one entry is meant.

        More than the limit raises `Malformed`, what the directory does not want to answer `Unavailable`.
        """
        found: list[Entry] = []
        outcome = await self._last(self._session.search(question, self._time_limit_s), found, question.limit)
        if question.is_one and outcome.code == _NO_SUCH_OBJECT:
            return ()
        if outcome.code == _SIZE_LIMIT and len(found) < question.limit:
            raise Unavailable("the directory has a size limit of its own that is too low for the gate's questions")
        if outcome.code not in {_SUCCESS, _SIZE_LIMIT}:
            raise Unavailable(f"the directory does not answer what is below {question.dn!r}: {_shown(outcome)}")
        return tuple(found)

    def close(self) -> None:
        """Say good-bye and hang up; waits for nobody, because nothing that is said after an unbind counts."""
        transport = self._wire.transport
        if transport is not None and not transport.is_closing():
            transport.write(self._session.unbind())
        self.abort()

    def abort(self) -> None:
        """Hang up at once."""
        if self._wire.transport is not None:
            self._wire.transport.abort()

    async def upgrade(self, context: ssl.SSLContext, host: str) -> None:
        """StartTLS.  Raises `Unavailable` where the directory has none."""
        wire = self._wire
        wire.stops = True
        outcome = await self._last(self._session.start_tls(), [], 0)
        if outcome.code != _SUCCESS:
            raise Unavailable(f"the directory does not start TLS: {_shown(outcome)}")
        assert wire.transport is not None
        wire.stops = False
        wire.is_paused = False  # TLS reads on by itself
        loop = asyncio.get_running_loop()
        upgraded = await loop.start_tls(
            wire.transport, wire, context, server_hostname=host, ssl_shutdown_timeout=_TLS_END_S
        )
        assert upgraded is not None
        wire.transport = upgraded

    async def _last(self, question: bytes, found: list[Entry], limit: int) -> Outcome:
        transport = self._wire.transport
        assert transport is not None
        transport.write(question)
        arrived = references = 0
        while True:
            data = await self._wire.read()
            arrived += len(data)
            if arrived > MAX_ANSWER_BYTES:
                raise Malformed("an answer without an end")
            answers = self._session.take(data)
            references += sum(isinstance(answer, Elsewhere) for answer in answers)
            if references > MAX_REFERENCES:
                raise Malformed(f"more than {MAX_REFERENCES} references to other servers")
            outcome = _sorted(answers, found, limit)
            if outcome is not None:
                if not self._session.is_empty or self._wire.is_holding:
                    raise Malformed("more than was asked for")
                return outcome


def _sorted(answers: list[Answer], found: list[Entry], limit: int) -> Outcome | None:
    for at, answer in enumerate(answers):
        if isinstance(answer, Outcome):
            if at + 1 < len(answers):
                raise Malformed("more than was asked for")
            return answer
        if isinstance(answer, Entry):
            found.append(answer)
        if len(found) > limit:
            raise Malformed(f"more than the {limit} entries that were asked for")
    return None


async def connect(server: Server, context: ssl.SSLContext, time_limit_s: int) -> Connection:
    """A connection on which TLS is up and the server's name is proved.  Raises `Unavailable` and `Malformed`."""
    loop = asyncio.get_running_loop()
    with failures(server):
        if server.is_tls:
            _, wire = await loop.create_connection(
                _Wire,
                server.host,
                server.port,
                ssl=context,
                server_hostname=server.host,
                ssl_shutdown_timeout=_TLS_END_S,
            )
            return Connection(wire, time_limit_s)
        _, wire = await loop.create_connection(_Wire, server.host, server.port)
        connection = Connection(wire, time_limit_s)
        try:
            await connection.upgrade(context, server.host)
        except BaseException:
            connection.abort()
            raise
        return connection


@contextmanager
def failures(server: Server) -> Iterator[None]:
    """What can go wrong on the way, in words that help an administrator."""
    where = f"{server.host}:{server.port}"
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(f"{where} does not prove its name: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise Unavailable(f"{where} does not speak TLS as it should: {error.reason or 'handshake failed'}") from error
    except OSError as error:
        raise Unavailable(f"{where} cannot be reached: {error.strerror or type(error).__name__}") from error


def _shown(outcome: Outcome) -> str:
    words = "".join(sign for sign in outcome.text if sign.isprintable())[:120]
    return f"result {outcome.code}{': ' if words else ''}{words}"
