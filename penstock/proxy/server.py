"""I/O: connections.  A client's one comes in transparently or through a tunnel, another one goes out to the asset.

What passes between them is decided in `penstock.proxy.relay` and `inspect`; this file moves bytes, holds back
whoever is faster than the other, and keeps the times.  It must never write to the asset what a relay did not return.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from penstock.bus import FlowJournal
from penstock.model import GRANT_MASK, UPSTREAM_BIT, Grant, Malformed, Reason, Record, RecordKind
from penstock.proxy.hall import Hall
from penstock.proxy.relay import ALL_BYTES, Effect, End, Ending, Relay
from penstock.proxy.tunnel import ACCEPTED, ALPN, find_grant, grant_number, refusal, split_preface

Dial = Callable[[Grant], Awaitable[socket.socket]]

CONNECT_TIMEOUT_S: Final = 3.0
PREFACE_S: Final = 5.0
#: What a client may send before the asset is connected; then it is not read from until it is.
MAX_EARLY_BYTES: Final = 64 << 10
#: How long an end that does not read may keep the gate from closing; then what is left for it is thrown away.
CLOSE_TIMEOUT_S: Final = 5.0
SO_MARK: Final = 36
IP_TRANSPARENT: Final = 19
#: SO_LINGER on, 0 s: closing sends RST, so that the client learns at once that there is nothing here.
_RESET: Final = struct.pack("ii", 1, 0)
#: The right to the flow is gone: nothing of it is sent on, and an asset's place is free at once.
_CUT: Final = frozenset({Reason.GRANT_REVOKED, Reason.GRANT_EXPIRED, Reason.NOT_SIGNED_IN, Reason.ISOLATED})
_US_PER_S: Final = 1_000_000


class Clock:
    """Microseconds since the epoch that never run backwards between two settings; `set` follows the system's clock."""

    def __init__(self) -> None:
        self._offset_ns = 0
        self.set()

    def set(self) -> int:
        """Follow the system's clock; by how many microseconds it was stepped since the last time."""
        before, self._offset_ns = self._offset_ns, time.time_ns() - time.monotonic_ns()
        return (self._offset_ns - before) // 1000

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return (time.monotonic_ns() + self._offset_ns) // 1000


async def dial_asset(grant: Grant) -> socket.socket:
    """A connection to the asset that carries the grant's number as its mark: without a live grant the kernel drops it.

    Needs CAP_NET_ADMIN.  Raises `OSError`.
    """
    dialled = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        dialled.setblocking(False)
        dialled.setsockopt(socket.SOL_SOCKET, SO_MARK, grant.mark | UPSTREAM_BIT)
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(dialled, (grant.underlay, grant.port))
    except BaseException:
        dialled.close()
        raise
    return dialled


def mark_of(accepted: socket.socket) -> int:
    """The mark that the kernel put on an accepted connection (net.ipv4.tcp_fwmark_accept)."""
    return accepted.getsockopt(socket.SOL_SOCKET, SO_MARK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What a connection needs of its worker; tests, which may not set marks, bring their own `dial` and `mark`."""

    hall: Hall
    clock: Clock
    group: asyncio.TaskGroup
    dial: Dial = dial_asset
    mark: Callable[[socket.socket], int] = mark_of


class _AssetSide(asyncio.Protocol):
    """The connection to the asset."""

    def __init__(self, client: ClientSide) -> None:
        self._client = client
        self._passed = client.pass_from_asset

    def data_received(self, data: bytes) -> None:
        self._passed(data)

    def eof_received(self) -> bool:
        return self._client.asset_finished()

    def connection_lost(self, error: Exception | None) -> None:
        self._client.end(Ending(End.ASSET, why="" if error is None else str(error)))

    def pause_writing(self) -> None:
        self._client.balance(is_asset_full=True)

    def resume_writing(self) -> None:
        self._client.balance(is_asset_full=False)


class ClientSide(asyncio.Protocol):
    """The connection from the client, and with it the flow."""

    way = "direct"

    def __init__(self, office: Office) -> None:
        self._hall, self._now, self._dial, self._group = office.hall, office.clock.now_us, office.dial, office.group
        self._mark = office.mark
        self._client: asyncio.Transport | None = None
        self._asset: asyncio.Transport | None = None
        self._early = b""
        self._portion = ALL_BYTES
        self._relay_client: Callable[[bytes, int], Effect] | None = None
        self._journal: FlowJournal | None = None
        self._is_over = self._is_client_full = self._is_asset_full = self._is_client_done = False
        self._from_client = self._from_asset = 0
        self._seen_bytes = -1
        self._active_us = self._opened_us = self._now()
        self.source = ""
        self.grant: Grant
        self.relay: Relay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find the grant in the mark that the kernel put on the connection, and dial its asset."""
        self._client = cast("asyncio.Transport", transport)
        accepted = transport.get_extra_info("socket")
        self.source = _address(transport.get_extra_info("peername"))
        overlay = _address(transport.get_extra_info("sockname"))
        grant = self._hall.grants.get(self._mark(accepted) & GRANT_MASK)
        if grant is None or f"{grant.overlay}:{grant.port}" != overlay:
            self._hall.refuse(Reason.GRANT_UNKNOWN, self.source, self._now(), destination=overlay)
            self._reset()
        else:
            self._admit(grant)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        relay = self._relay_client
        if relay is None or self._is_over:
            self._hold(data)
            return
        if len(data) > self._portion:
            self._early = data
            self._take_early()
            return
        self._from_client += len(data)
        effect = relay(data, self._now())
        if effect.to_asset:
            self._asset.write(effect.to_asset)  # type: ignore[union-attr]  # set together with _relay_client
        if effect.to_client:
            self._client.write(effect.to_client)  # type: ignore[union-attr]  # set since connection_made
        if effect.ending is not None:
            self.end(effect.ending)

    def pass_from_asset(self, data: bytes) -> None:
        """Bytes of the asset."""
        if self._is_over:
            return
        self._from_asset += len(data)
        effect = self.relay.from_asset(data, self._now())
        if effect.to_client:
            self._client.write(effect.to_client)  # type: ignore[union-attr]  # set since connection_made
        if effect.ending is not None:
            self.end(effect.ending)

    def eof_received(self) -> bool:
        """The client sends no more; answers that the asset still owes are delivered first."""
        self._is_client_done = True
        if self._journal is None or self._is_over:
            return False
        if self._relay_client is not None:
            self._finish_asset()
        elif not self._early:
            return False
        return not self._client.get_extra_info("ssl_object")  # type: ignore[union-attr]  # set since connection_made

    def asset_finished(self) -> bool:
        """The asset sends no more: neither does the gate, and nobody could be asked anything."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self.end(Ending(End.CLIENT, why="" if error is None else str(error)))

    def pause_writing(self) -> None:
        """The client does not take what it is sent: read from neither end (refusals go to the client as well)."""
        self._is_client_full = True
        self.balance(is_asset_full=self._is_asset_full)

    def resume_writing(self) -> None:
        """The client takes more."""
        self._is_client_full = False
        self.balance(is_asset_full=self._is_asset_full)

    def balance(self, *, is_asset_full: bool) -> None:
        """Read from an end only while the other one takes what comes of it."""
        self._is_asset_full = is_asset_full
        _read_if(self._client, self._relay_client is not None and not (self._is_client_full or is_asset_full))
        _read_if(self._asset, not self._is_client_full)

    def tick(self, now_us: int) -> None:
        """Time-outs of the relay, idleness, and a client that is done when its last answer is there."""
        ending = self.relay.tick(now_us)
        total = self._from_client + self._from_asset
        if total != self._seen_bytes:
            self._seen_bytes, self._active_us = total, now_us
        if ending is None and now_us - self._active_us >= self.grant.idle_s * _US_PER_S:
            ending = Ending(End.IDLE)
        if ending is None and self._is_client_done and not self.relay.is_waiting:
            ending = Ending(End.CLIENT)
        if ending is not None:
            self.end(ending)

    def end(self, ending: Ending) -> None:
        """End the flow, once: write its record, close both ends; what is already written to them is still sent."""
        if self._is_over:
            return
        self._is_over = True
        now_us = self._now()
        if self._journal is not None:
            self.relay.settle(now_us)
            self._journal.closed(self._record(ending, self._journal.number, now_us))
        self._hall.flows.discard(self)
        for transport in (self._client, self._asset):
            if transport is not None and not transport.is_closing():
                if ending.reason in _CUT:
                    _reset(transport)
                    continue
                transport.close()
                if transport.get_write_buffer_size():
                    asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, transport.abort)

    def drop(self, ending: Ending) -> None:
        """End the flow with a reset of both ends: what waits in the kernel to be sent is thrown away."""
        for transport in (self._client, self._asset):
            if transport is not None:
                _reset(transport)
        self.end(ending)

    def _admit(self, grant: Grant, rest: bytes = b"") -> None:
        if not self._hall.has_room(grant):
            self._hall.refuse(Reason.INSPECTION_UNAVAILABLE, self.source, self._now(), grant)
            self._reset()
            return
        self.grant, self._early = grant, rest
        self.relay, self._journal = self._hall.relay(grant, self.source, self._now(), self.way)
        self._hall.flows.add(self)
        self._group.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                dialled = await self._dial(self.grant)
                loop = asyncio.get_running_loop()
                transport, _ = await loop.create_connection(lambda: _AssetSide(self), sock=dialled)
        except (OSError, TimeoutError) as error:
            self.end(Ending(End.UNREACHABLE, why=str(error) or "no answer within 3 s"))
            return
        if self._is_over:
            transport.abort()
            return
        self._asset, self._portion = transport, self.relay.portion_bytes
        self._take_early()

    def _take_early(self) -> None:
        """Take what is held, a portion in each turn of the event loop; the client is not read from until it is done."""
        if self._is_over:
            return
        self._relay_client = self.relay.from_client
        portion, self._early = self._early[: self._portion], self._early[self._portion :]
        if portion:
            self.data_received(portion)
        if self._early and not self._is_over:
            self._relay_client = None
            _read_if(self._client, False)
            asyncio.get_running_loop().call_soon(self._take_early)
            return
        if self._is_client_done and not self._is_over:
            self._finish_asset()
        if not self._is_over:
            self.balance(is_asset_full=self._is_asset_full)

    def _finish_asset(self) -> None:
        """The client is done: so is the flow, unless the asset still owes answers."""
        asset = self._asset
        if not self.relay.is_waiting:
            self.end(Ending(End.CLIENT))
        elif asset is not None and asset.can_write_eof() and not asset.is_closing():
            asset.write_eof()

    def _hold(self, data: bytes) -> None:
        """Keep what comes before the asset is there.  (uvloop may deliver once more after `pause_reading`.)"""
        if self._is_over:
            return
        self._early += data
        if len(self._early) >= MAX_EARLY_BYTES:
            _read_if(self._client, False)
        if len(self._early) > 8 * MAX_EARLY_BYTES:
            self.end(Ending(End.GATE, Reason.MALFORMED, "too much before the asset answered"))

    def _reset(self) -> None:
        self._is_over = True
        client = self._client
        assert client is not None
        _reset(client)

    def _record(self, ending: Ending, flow: int, now_us: int) -> Record:
        grant = self.grant
        return Record(
            kind=RecordKind.FLOW_CLOSED,
            at_us=now_us,
            grant=grant.number,
            subject=grant.subject.name,
            asset=grant.asset,
            protocol=grant.protocol,
            reason=ending.reason,
            detail={
                "flow": flow,
                "source": self.source,
                "ending": ending.by.value,
                "why": ending.why,
                "duration_us": max(0, now_us - self._opened_us),
                "bytes_from_client": self._from_client,
                "bytes_from_asset": self._from_asset,
                "operations": self.relay.frames,
                "refused": self.relay.refused,
            },
        )


class TunnelSide(ClientSide):
    """A client that came through TLS with a certificate: its first line names the grant."""

    way = "tunnel"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is over; wait for the first line."""
        self._client = cast("asyncio.Transport", transport)
        self.source = _address(transport.get_extra_info("peername"))
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(PREFACE_S, self._refuse, Reason.NOT_SIGNED_IN)
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
            self._refuse(Reason.WRONG_PROTOCOL)

    def _hold(self, data: bytes) -> None:
        if self._journal is not None or self._is_over:
            super()._hold(data)
            return
        self._early += data
        try:
            split = split_preface(self._early)
            if split is None:
                return
            number = grant_number(split[0])
        except Malformed:
            self._refuse(Reason.MALFORMED)
            return
        client = self._client
        assert client is not None
        certificate = client.get_extra_info("ssl_object").getpeercert(binary_form=True)
        found = find_grant(number, certificate, self._hall.grants, self._hall.withdrawn, self._now())
        if isinstance(found, Reason):
            self._refuse(found)
            return
        self._deadline.cancel()
        client.write(ACCEPTED)
        self._admit(found, split[1])

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self._deadline.cancel()
        super().connection_lost(error)

    def _refuse(self, reason: Reason) -> None:
        client = self._client
        if self._is_over or client is None:
            return
        self._is_over = True
        self._deadline.cancel()
        self._hall.refuse(reason, self.source, self._now(), way=self.way)
        client.write(refusal(reason))
        client.close()


def _address(name: tuple[str, int] | None) -> str:
    return f"{name[0]}:{name[1]}" if name else "unknown:0"


def _reset(transport: asyncio.Transport) -> None:
    with suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _read_if(transport: asyncio.Transport | None, is_wanted: bool) -> None:  # noqa: FBT001 - a wish, not a mode
    if transport is None or transport.is_closing() or transport.is_reading() is is_wanted:
        return
    if is_wanted:
        transport.resume_reading()
    else:
        transport.pause_reading()
