"""I/O: connections.  A client's one comes in, another one goes out to the asset; between them bytes, and the time.

What passes between them is decided in `penstock.proxy.relay` and `inspect`; this file moves bytes, holds back
whoever is faster than the other, and takes the times.  It must never write to the asset what a relay did not return.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from penstock.bus import FlowJournal
from penstock.model import GRANT_MASK, Grant, HoldDecided, Json, Limits, Reason, Record
from penstock.proxy.closing import closed_record
from penstock.proxy.office import Office, port_behind
from penstock.proxy.relay import ALL_BYTES, Effect, End, Ending, Relay

CONNECT_TIMEOUT_S: Final = 3.0
#: A connection that was closed may hold its asset's place a little longer; and how often a place is asked for again.
ENDING_S: Final = 0.5
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.5
#: What a client may send before the asset is connected; then it is not read from until it is.
MAX_EARLY_BYTES: Final = 64 << 10
#: How long an end that does not read may keep the gate from closing; then what is left for it is thrown away.
CLOSE_TIMEOUT_S: Final = 5.0
#: SO_LINGER on, 0 s: closing sends RST, so that the client learns at once that there is nothing here.
_RESET: Final = struct.pack("ii", 1, 0)
#: The right to the flow is gone: nothing of it is sent on, and an asset's place is free at once.
CUT: Final = frozenset({Reason.GRANT_REVOKED, Reason.GRANT_EXPIRED, Reason.NOT_SIGNED_IN, Reason.ISOLATED})
_US_PER_S: Final = 1_000_000
_NS_PER_US: Final = 1000
_NS_PER_S: Final = 1_000_000_000


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
        self._client.asset_lost("" if error is None else str(error))

    def pause_writing(self) -> None:
        self._client.balance(is_asset_full=True)

    def resume_writing(self) -> None:
        self._client.balance(is_asset_full=False)


class ClientSide(asyncio.Protocol):
    """The connection from the client, and with it the flow."""

    #: Slots, for more than 30 attributes would make each of them slow to reach (CPython 3.11, shared keys).
    __slots__ = (
        "_active_us",
        "_asset",
        "_client",
        "_clock",
        "_dial",
        "_early",
        "_early_ns",
        "_from_asset",
        "_from_client",
        "_group",
        "_hall",
        "_has_place",
        "_is_asset_full",
        "_is_client_done",
        "_is_client_full",
        "_is_named",
        "_is_over",
        "_journal",
        "_mark",
        "_now",
        "_opened_ns",
        "_opened_us",
        "_port",
        "_portion",
        "_relay_client",
        "_seen_bytes",
        "_steady_ns",
        "grant",
        "relay",
        "source",
    )
    way = "direct"

    def __init__(self, office: Office) -> None:
        self._hall, self._clock, self._now = office.hall, office.clock, office.clock.now_us
        self._dial, self._group, self._mark = office.dial, office.group, office.mark
        self._steady_ns = office.clock.steady_ns
        self._client: asyncio.Transport | None = None
        self._asset: asyncio.Transport | None = None
        self._early, self._early_ns = b"", 0
        self._portion = ALL_BYTES
        self._relay_client: Callable[[bytes, int], Effect] | None = None
        self._journal: FlowJournal | None = None
        self._is_over = self._is_client_full = self._is_asset_full = self._is_client_done = False
        #: It is known whose flow this is; it has one of its asset's places.
        self._is_named = self._has_place = False
        self._from_client = self._from_asset = 0
        self._seen_bytes = -1
        self._active_us = self._opened_us = self._now()
        self._opened_ns = self._steady_ns()
        self.source = ""
        self.grant: Grant
        self.relay: Relay
        self._port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find the grant in the mark that the kernel put on the connection, and dial its asset."""
        self._client = cast("asyncio.Transport", transport)
        write_at_once(self._client)
        accepted = transport.get_extra_info("socket")
        self.source = address_of(transport.get_extra_info("peername"))
        overlay, overlay_port = transport.get_extra_info("sockname")[:2]
        grant = self._hall.grants.get(self._mark(accepted) & GRANT_MASK)
        port = None if grant is None else port_behind(grant, overlay, overlay_port)
        if grant is None or port is None:
            self._hall.refuse(Reason.GRANT_UNKNOWN, self.source, self._now(), destination=f"{overlay}:{overlay_port}")
            self._is_over = True
            self._say_no(Reason.GRANT_UNKNOWN, {})
        else:
            self._admit(grant, port)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        relay = self._relay_client
        if relay is None or self._is_over:
            self._hold(data)
            return
        received_ns = self._steady_ns()
        if len(data) > self._portion:
            self._early, self._early_ns = data, received_ns
            self._take_early()
            return
        self._from_client += len(data)
        self._send(relay(data, (received_ns + self._clock.offset_ns) // _NS_PER_US), received_ns)

    def pass_from_asset(self, data: bytes) -> None:
        """Bytes of the asset."""
        if self._is_over:
            return
        self._from_asset += len(data)
        received_ns = self._steady_ns()
        effect = self.relay.from_asset(data, (received_ns + self._clock.offset_ns) // _NS_PER_US)
        if effect.to_asset:
            effect = self._tell_asset(effect, received_ns)
        if effect.to_client:
            self._client.write(effect.to_client)  # type: ignore[union-attr]  # set since connection_made
            sent_ns = self._steady_ns()
            for each in effect.transactions:
                each.meter.add(sent_ns - each.received_ns, each.own_ns + sent_ns - received_ns)
        if effect.ending is not None:
            self.end(effect.ending)

    def _tell_asset(self, effect: Effect, received_ns: int) -> Effect:
        """Send what the gate itself says to the asset, or what waited for its answer; the rest is for the client."""
        begun = tuple(each for each in effect.transactions if not each.received_ns)
        self._send(Effect(effect.to_asset, transactions=begun), received_ns)
        ended = tuple(each for each in effect.transactions if each not in begun)
        return Effect(b"", effect.to_client, effect.ending, ended)

    def _send(self, effect: Effect, received_ns: int) -> None:
        """Send on what the client's bytes have led to."""
        if effect.to_asset:
            self._asset.write(effect.to_asset)  # type: ignore[union-attr]  # set together with _relay_client
            own_ns = self._steady_ns() - received_ns
            for each in effect.transactions:
                each.received_ns = received_ns
                each.own_ns = own_ns
        if effect.to_client:
            self._client.write(effect.to_client)  # type: ignore[union-attr]  # set since connection_made
        if effect.ending is not None:
            self.end(effect.ending)

    def eof_received(self) -> bool:
        """The client sends no more; answers that the asset still owes are delivered first."""
        self._is_client_done = True
        if not self._is_named or self._is_over:
            return False
        if self._relay_client is not None:
            self._finish_asset()
        elif not self._early or not self._has_place:
            return False  # who closes while waiting has given up: nobody wants the command by then
        return not self._client.get_extra_info("ssl_object")  # type: ignore[union-attr]  # set since connection_made

    def asset_finished(self) -> bool:
        """The asset sends no more: neither does the gate, and nobody could be asked anything."""
        return False

    def asset_lost(self, why: str) -> None:
        """The connection to the asset is closed, so its place is free."""
        self.end(Ending(End.ASSET, why=why))
        self._leave()

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
        if ending is None and (effect := self.relay.lapse(now_us)) is not None:
            self._send(effect, self._steady_ns())
            if self._is_over:
                return
        total = self._from_client + self._from_asset
        if total != self._seen_bytes or self.relay.is_holding:
            self._seen_bytes, self._active_us = total, now_us
        if ending is None and now_us - self._active_us >= self.grant.idle_s * _US_PER_S:
            ending = Ending(End.IDLE)
        if ending is None and self._is_client_done and not self.relay.is_waiting:
            ending = Ending(End.CLIENT)
        if ending is not None:
            self.end(ending)

    def stepped(self, step_us: int) -> None:
        """See `Flow.stepped`."""
        self._active_us += step_us
        self._opened_us += step_us
        self.relay.stepped(step_us)

    def decide(self, decided: HoldDecided) -> bool:
        """Send on, or refuse, what is held; false where it is another flow's, or is held no longer."""
        if self._is_over or self._journal is None or self._journal.number != decided.flow:
            return False
        effect = self.relay.decide(decided, self._now())
        if effect is not None:
            self._send(effect, self._steady_ns())
        return effect is not None

    def end(self, ending: Ending) -> None:
        """End the flow, once: write its record, close both ends; what is already written to them is still sent."""
        if self._is_over:
            return
        self._is_over = True
        now_us = self._now()
        if self._journal is not None:
            self.relay.settle(now_us, ending.reason_of_rest)
            self._journal.closed(self._record(ending, self._journal.number, now_us))
        elif self._is_named:
            self._hall.slots.forget(self)
            detail: dict[str, Json] = {"why": ending.why or "the client gave up", "waited_us": now_us - self._opened_us}
            self._hall.refuse(Reason.ASSET_FULL, self.source, now_us, self.grant, way=self.way, **detail)
        self._hall.flows.discard(self)
        for transport in (self._client, self._asset):
            if transport is not None and not transport.is_closing():
                if ending.reason in CUT:
                    reset(transport)
                    continue
                transport.close()
                if transport.get_write_buffer_size():
                    asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, transport.abort)

    def drop(self, ending: Ending) -> None:
        """End the flow with a reset of both ends: what waits in the kernel to be sent is thrown away."""
        for transport in (self._client, self._asset):
            if transport is not None:
                reset(transport)
        self.end(ending)

    def take_place(self, waited_us: int) -> None:
        """The asset has a place for this flow: dial it."""
        detail: dict[str, Json] = {"waited_us": waited_us} if waited_us else {}
        self._has_place = True
        self.relay, self._journal = self._hall.relay(self.grant, self.source, self._now(), self.way, **detail)
        self._hall.flows.add(self)
        self._group.create_task(self._connect())

    def hold_on(self, _detail: dict[str, Json]) -> None:
        """The asset has no place yet.  A client that came directly has nobody to tell."""

    def turn_away(self, reason: Reason, detail: dict[str, Json]) -> None:
        """This flow is not opened: record it, and let the client know as far as it can be told."""
        if self._is_over:
            return
        self._is_over = True
        grant = self.grant if self._is_named else None
        self._hall.refuse(reason, self.source, self._now(), grant, way=self.way, **detail)
        self._say_no(reason, detail)

    def _admit(self, grant: Grant, port: int, rest: bytes = b"") -> None:
        self.grant, self._port, self._early, self._is_named = grant, port, rest, True
        if self._hall.has_room(grant):
            self._hall.slots.ask(self, self._now())
        else:
            self.turn_away(Reason.INSPECTION_UNAVAILABLE, {"why": "this worker has no room for another flow"})

    def _leave(self) -> None:
        if self._has_place:
            self._has_place = False
            self._hall.slots.leave(self.grant.asset, self._now())

    async def _connect(self) -> None:
        try:
            dialled = await self._dialled()
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: _AssetSide(self), sock=dialled)
        except (OSError, TimeoutError) as error:
            self.end(Ending(End.UNREACHABLE, why=f"{str(error) or 'no answer within 3 s'}{self._crowd()}"))
            self._leave()
            return
        if self._is_over:
            transport.abort()
            return
        write_at_once(transport)
        self._asset, self._portion, self._early_ns = transport, self.relay.portion_bytes, self._steady_ns()
        self._take_early()

    async def _dialled(self) -> socket.socket:
        """Dial.  Where the asset has limits, a flow that ends, or one on the kernel path, may be why it is refused.

        So it is tried again until the time to wait is over.  Raises `OSError` or `TimeoutError`.
        """
        limits = self._hall.slots.limits(self.grant.asset)
        patience_s = 0.0 if limits == Limits() else max(limits.queue_s, ENDING_S)
        until_ns, pause_s = self._opened_ns + int(patience_s * _NS_PER_S), FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    return await self._dial(self.grant, self._port)
            except ConnectionRefusedError:
                if self._steady_ns() >= until_ns:
                    raise
            await asyncio.sleep(pause_s)
            if self._is_over or self._is_client_done:
                raise ConnectionAbortedError("the client gave up")
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _crowd(self) -> str:
        """What may be the reason why an asset does not take a call: the kernel counts flows that no worker sees."""
        slots, asset = self._hall.slots, self.grant.asset
        limit = slots.limits(asset).connections
        if limit is None:
            return ""
        return f"; {asset} has {limit} connections at most, {slots.held(asset)} of them taken here, with this call"

    def _take_early(self) -> None:
        """Take what is held, a portion in each turn of the event loop; the client is not read from until it is done."""
        if self._is_over:
            return
        relay = self._relay_client = self.relay.from_client
        portion, self._early = self._early[: self._portion], self._early[self._portion :]
        if portion:
            self._from_client += len(portion)
            self._send(relay(portion, self._now()), self._early_ns)
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
        """The client is done: so is the flow, unless the asset still owes answers.  What is held dies with it."""
        asset = self._asset
        self.relay.withdraw(self._now())
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

    def _say_no(self, _reason: Reason, _detail: dict[str, Json]) -> None:
        """A client that came directly gets a reset: there is nothing here for it."""
        client = self._client
        assert client is not None
        reset(client)

    def _record(self, ending: Ending, flow: int, now_us: int) -> Record:
        return closed_record(
            self.grant,
            self.relay,
            ending,
            flow=flow,
            source=self.source,
            opened_us=self._opened_us,
            now_us=now_us,
            bytes_from_client=self._from_client,
            bytes_from_asset=self._from_asset,
        )


def address_of(name: tuple[str, int] | None) -> str:
    """The other end as a record names it."""
    if not name:
        return "unknown:0"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"


def reset(transport: asyncio.Transport) -> None:
    """Close with RST, and throw away what waits to be sent."""
    with suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def write_at_once(transport: asyncio.WriteTransport) -> None:
    """Hand each write to the kernel at once.

    uvloop would collect writes until every connection that is readable has had its turn; a request would wait for all
    of them, and nobody could tell how long it took.
    """
    transport.set_write_buffer_limits(high=0)


def _read_if(transport: asyncio.Transport | None, is_wanted: bool) -> None:  # noqa: FBT001 - a wish, not a mode
    if transport is None or transport.is_closing() or transport.is_reading() is is_wanted:
        return
    if is_wanted:
        transport.resume_reading()
    else:
        transport.pause_reading()
