"""The client's end of the tunnel: local TCP connections in, one TLS 1.3 connection with a client certificate out each.

Stands between a native tool on this computer and the gate's tunnel port.  A flow starts with one line each way,
``{"grant": N}`` (with ``"port": P`` for one port of a range) and ``{"ok": true}`` or ``{"refused": REASON}`` (see
`gate_line`); then bytes pass unchanged both ways, or framed datagrams (see `datagrams`).
It must never look into those bytes, and never send any before the gate proved who it is and took the grant.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from penstock.cli import gate_line
from penstock.cli.gate_line import GateLine
from penstock.model import Unavailable

ALPN = "penstock/1"
#: The gate's one line before the bytes; a reason is a word.
MAX_ANSWER_BYTES = 1024
#: TLS handshake and the gate's own connection to the asset.
OPEN_TIMEOUT_S = 10.0
#: What may wait here in one direction before its sender is made to wait.
HIGH_WATER_BYTES = 256 * 1024
#: A tool that is done sending still gets its answer.  asyncio cannot close one direction of a TLS connection, so the
#: tunnel stays until the asset closes it or is silent for so long; no longer, for controllers have few connections.
LINGER_S = 0.5
#: A tunnel whose other end is out of reach is given up: after bytes that nobody acknowledged, or after silence.
UNTAKEN_MS = 10_000
SILENT_S, ASK_EVERY_S, ASK_TIMES = 5, 2, 3
#: How long an end that was told to close may take to take the last bytes.
CLOSE_TIMEOUT_S = 2.0


class FlowRefused(Exception):
    """The gate did not take this flow; the text is its reason, `words` say more where there is more to say."""

    def __init__(self, said: GateLine) -> None:
        super().__init__(said.reason)
        self.words = gate_line.in_words(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelPlace:
    """Where the gate takes flows, and how this end proves who it is."""

    host: str
    port: int
    context: ssl.SSLContext
    halves: set[Half] = field(default_factory=set, compare=False)
    """The tunnels that are open now."""


class Facing(Protocol):
    """The other side of a half."""

    def send(self, data: bytes) -> None:
        """Take these bytes."""

    def set_reading(self, *, is_on: bool) -> None:
        """Send nothing for a while, or go on."""

    def hang_up(self) -> None:
        """There is nothing more."""

    def cut_off(self) -> None:
        """There is nothing more, and what there was may have been a part only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowBytes:
    """What a flow carried."""

    to_asset: int
    to_tool: int


class Half(asyncio.Protocol):
    """One transport of a flow; what it receives goes out on the other half, no faster than that one takes it.

    A half that is made without the other one waits for the gate's line first (see `line`), then for `face`.
    """

    def __init__(self, other: Facing | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.received_bytes = 0
        self.is_broken = False
        """The connection was lost, not closed: what was under way may have got through in part."""
        self.closed: asyncio.Future[None] = loop.create_future()
        self._line: asyncio.Future[bytes] = loop.create_future()
        self._early = bytearray()
        self._other = other
        self._is_full = False
        self._transport: asyncio.Transport | None = None
        self._is_done_sending = False
        self._linger: asyncio.TimerHandle | None = None

    @property
    def transport(self) -> asyncio.Transport:
        """The transport; there is one from `connection_made` on."""
        assert self._transport is not None
        return self._transport

    async def line(self) -> bytes:
        """The next line that arrives, without its end.  Raises `Unavailable` where none does."""
        line = await asyncio.shield(self._line)
        self._line = asyncio.get_running_loop().create_future()
        if self.closed.done():
            self._no_line()
        else:
            self._look_for_line()
        return line

    def face(self, other: Facing) -> None:
        """From now on the other half gets what this one receives, what came early first."""
        self._other = other
        other.set_reading(is_on=not self._is_full)
        if self._early:
            self._forward(bytes(self._early))
        if self.closed.done():
            other.hang_up()

    # --- called by the other half

    def send(self, data: bytes) -> None:
        """Send; a tool that is done sending gets as long again for the next part of its answer."""
        if not self.transport.is_closing():
            self.transport.write(data)
        if self._is_done_sending:
            self._linger_on()

    def set_reading(self, *, is_on: bool) -> None:
        """Make this half's sender wait, or let it go on."""
        if not self.transport.is_closing():
            if is_on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def hang_up(self) -> None:
        """Send what is waiting, then close."""
        if not self.transport.is_closing():
            self.transport.close()

    def cut_off(self) -> None:
        """Close with a reset, so that a part of an answer does not pass for the whole."""
        if not self.transport.is_closing():
            with contextlib.suppress(OSError):
                found = self.transport.get_extra_info("socket")
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def cut(self) -> None:
        """It is known to be out of reach."""
        self.is_broken = True
        self.transport.abort()

    async def end(self) -> None:
        """Close, and wait for it; an end that does not take its last bytes is cut."""
        self.hang_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.shield(self.closed)
        self.transport.abort()

    # --- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep small segments small: a control loop waits for each of them."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        if (found := transport.get_extra_info("socket")) is not None:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if transport.get_extra_info("ssl_object") is not None:
                give_up_in_time(found)

    def data_received(self, data: bytes) -> None:
        """Forward; before the flow is whole, look for the gate's line."""
        if self._other is not None:
            self._forward(data)
            return
        self._early += data
        self._look_for_line()

    def _look_for_line(self) -> None:
        if self._line.done():
            return
        line, end, rest = bytes(self._early).partition(b"\n")
        if end:
            self._early = bytearray(rest)
            self._line.set_result(line)
        elif len(self._early) > MAX_ANSWER_BYTES:
            self._line.set_exception(Unavailable("the gate's tunnel answers with something else than a line"))

    def eof_received(self) -> bool:
        """The tool is done sending: let the answer come.  The gate's end of a TLS connection closes both directions."""
        if self.transport.get_extra_info("ssl_object") is not None:
            return False
        self._is_done_sending = True
        self._linger_on()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Whatever was received still goes out on the other half, then it closes too."""
        if self.transport.get_extra_info("ssl_object") is not None:
            self.is_broken = self.is_broken or error is not None
        if not self._line.done():
            self._no_line()
        if self._linger is not None:
            self._linger.cancel()
        self.closed.set_result(None)
        if self._other is not None:
            if self.is_broken:
                self._other.cut_off()
            else:
                self._other.hang_up()

    def pause_writing(self) -> None:
        """This side is slow: read no more from the other."""
        self._is_full = True
        if self._other is not None:
            self._other.set_reading(is_on=False)

    def resume_writing(self) -> None:
        """This side has caught up."""
        self._is_full = False
        if self._other is not None:
            self._other.set_reading(is_on=True)

    # --- within

    def _no_line(self) -> None:
        self._line.set_exception(Unavailable("the gate closed the connection before it answered"))
        self._line.exception()  # the tool's half has no line, and nobody waits for it

    def _forward(self, data: bytes) -> None:
        assert self._other is not None
        self.received_bytes += len(data)
        self._other.send(data)

    def _linger_on(self) -> None:
        assert self._other is not None
        if self._linger is not None:
            self._linger.cancel()
        self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._other.hang_up)


@contextlib.asynccontextmanager
async def opened(
    place: TunnelPlace,
    grant: int,
    say: Callable[[str], None],
    port: int | None = None,
    within_s: float = OPEN_TIMEOUT_S,
) -> AsyncIterator[Half]:
    """A flow that the gate took, ready to be joined; `say` hears why it takes time where the asset is full.

    `port` is one of a range.  Raises `FlowRefused` or `Unavailable`.
    """
    loop = asyncio.get_running_loop()
    half: Half | None = None
    asked = {"grant": grant} if port is None else {"grant": grant, "port": port}
    try:
        async with asyncio.timeout(min(OPEN_TIMEOUT_S, within_s)) as deadline:
            half = await _connected(place)
            half.transport.write(json.dumps(asked).encode() + b"\n")
            said = gate_line.read(await half.line())
            if said.waiting is not None:
                deadline.reschedule(loop.time() + said.may_take_s + OPEN_TIMEOUT_S)
                say(f"{gate_line.in_words(said)}; waiting up to {said.may_take_s} s for one")
                said = gate_line.read(await half.line())
            if not said.ok:
                raise FlowRefused(said)
        place.halves.add(half)
        yield half
    except TimeoutError as error:
        raise Unavailable(f"the gate's tunnel at {place.host}:{place.port} does not answer") from error
    except OSError as error:
        raise Unavailable(f"the gate's tunnel at {place.host}:{place.port}: {error}") from error
    finally:
        if half is not None:
            place.halves.discard(half)
            await half.end()


async def _connected(place: TunnelPlace) -> Half:
    loop = asyncio.get_running_loop()
    transport, half = await loop.create_connection(
        Half, place.host, place.port, ssl=place.context, server_hostname=place.host
    )
    try:
        _require_alpn(transport)
    except BaseException:
        transport.abort()
        raise
    return half


async def probe(place: TunnelPlace, within_s: float = OPEN_TIMEOUT_S) -> None:
    """Whether the gate takes tunnels now; nothing is asked of it.  Raises `Unavailable`."""
    try:
        async with asyncio.timeout(within_s):
            half = await _connected(place)
        half.transport.abort()
    except TimeoutError as error:
        raise Unavailable(f"the gate's tunnel at {place.host}:{place.port} does not answer") from error
    except OSError as error:
        raise Unavailable(f"the gate's tunnel at {place.host}:{place.port}: {error}") from error


async def join(tunnel: Half, tool: Half) -> tuple[FlowBytes, bool]:
    """Carry a tool's connection through an open tunnel until either end closes it; whether the tunnel broke off."""
    tool.face(tunnel)
    tunnel.face(tool)
    try:
        await asyncio.wait((tool.closed, tunnel.closed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await tool.end()
    return FlowBytes(to_asset=tool.received_bytes, to_tool=tunnel.received_bytes), tunnel.is_broken


def give_up_in_time(found: socket.socket) -> None:
    """Let the system notice that the other end is out of reach; each system knows some of these."""
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in patience(sys.platform, vars(socket)):
        with contextlib.suppress(OSError):
            found.setsockopt(socket.IPPROTO_TCP, option, value)


def patience(system: str, known: Mapping[str, Any]) -> list[tuple[int, int]]:
    """TCP's options for that: those that Python has a name for, and two of other systems that it has none for.  Pure.

    macOS: ``TCP_KEEPALIVE`` is the idle time; ``TCP_RXT_CONNDROPTIME`` (netinet/tcp.h).  Windows: ``TCP_MAXRT``
    (ws2ipdef.h).  Both in seconds.
    """
    wanted = (
        ("TCP_USER_TIMEOUT", UNTAKEN_MS),
        ("TCP_KEEPIDLE", SILENT_S),
        ("TCP_KEEPALIVE", SILENT_S),
        ("TCP_KEEPINTVL", ASK_EVERY_S),
        ("TCP_KEEPCNT", ASK_TIMES),
    )
    unnamed = {"darwin": 0x80, "win32": 5}
    options = [(known[name], value) for name, value in wanted if name in known]
    return [*options, *([(unnamed[system], UNTAKEN_MS // 1000)] if system in unnamed else [])]


def client_context(base: ssl.SSLContext, certificate_path: str, key_path: str) -> ssl.SSLContext:
    """`base` with the certificate of this sign-in and the tunnel's protocol name.  Raises `Unavailable`."""
    try:
        base.load_cert_chain(certificate_path, key_path)
    except (OSError, ssl.SSLError) as error:
        broken = Unavailable(f"the certificate of this sign-in cannot be used: {error}")
        broken.add_note("penstock login")
        raise broken from error
    base.set_alpn_protocols([ALPN])
    return base


def _require_alpn(transport: asyncio.Transport) -> None:
    tls = transport.get_extra_info("ssl_object")
    if tls is None or tls.selected_alpn_protocol() != ALPN:
        raise Unavailable(f"what answers at the tunnel port does not speak {ALPN}")
