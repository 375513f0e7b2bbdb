"""I/O: a flow of datagrams: a tunnel's stream on one side, a connected UDP socket towards the asset on the other.

Stands where `penstock.proxy.server` stands for connections.  Datagrams are late or not at all: what cannot be sent on
at once is dropped and counted.  It must never send one on after the grant ended, and never more of them in one turn of
the event loop than other flows can wait for.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

from penstock.bus import FlowJournal
from penstock.model import Grant, HoldDecided, Json, Malformed, Reason, Record, RecordKind
from penstock.proxy.datagrams import framed, split_datagrams
from penstock.proxy.hall import TUNNEL
from penstock.proxy.office import Office
from penstock.proxy.relay import End, Ending, Relay
from penstock.proxy.server import CLOSE_TIMEOUT_S, CUT, reset
from penstock.proxy.tunnel import ACCEPTED, refusal

#: Of each direction in one turn of the event loop.
MAX_IN_A_TURN: Final = 32
#: What may wait for a client that is slow; what comes then is dropped until half of it is gone.
MAX_WAITING_BYTES: Final = 128 << 10
#: And in the kernel, beyond what the path itself takes: a datagram that waits there is late as well.
_UNSENT_BYTES: Final = 64 << 10
_TCP_NOTSENT_LOWAT: Final = 25
_LARGEST: Final = 1 << 16
#: SO_MEMINFO (Linux 4.12): nine counters of a socket, the last one what it dropped because nobody read it in time.
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("=9I")
_US_PER_S: Final = 1_000_000


class DatagramSide(asyncio.Protocol):
    """The client's stream of a UDP service, and with it the flow."""

    way = TUNNEL

    def __init__(self, office: Office, client: asyncio.Transport, grant: Grant, source: str) -> None:
        self._hall, self._now, self._dial = office.hall, office.clock.now_us, office.dial_datagrams
        self._loop = asyncio.get_running_loop()
        self._client, self.grant, self.source = client, grant, source
        self._asset: socket.socket | None = None
        self._journal: FlowJournal | None = None
        self._rest = b""
        self._is_over = self._is_client_full = self._is_pumping = False
        self._from_client = self._from_asset = self._client_bytes = self._asset_bytes = 0
        self._dropped_to_asset = self._dropped_to_client = self._unreachable = 0
        self._seen = -1
        self._active_us = self._opened_us = self._now()
        self.relay: Relay

    def begin(self, port: int, rest: bytes) -> None:
        """Take the stream over from whoever read its first line; `rest` is what came after that line."""
        self._client.set_protocol(self)
        if self.grant.is_inspected:
            self._turn_away(Reason.NOT_CARRIED, {"why": "nothing inspects datagrams"})
            return
        if not self._hall.has_room(self.grant):
            self._turn_away(Reason.INSPECTION_UNAVAILABLE, {"why": "this worker has no room for another flow"})
            return
        self._client.set_write_buffer_limits(high=MAX_WAITING_BYTES, low=MAX_WAITING_BYTES // 2)
        with suppress(OSError):  # a limit that the system does not know is one that it does not have
            accepted = self._client.get_extra_info("socket")
            accepted.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        self._client.write(ACCEPTED)
        self.relay, self._journal = self._hall.relay(
            self.grant, self.source, self._now(), self.way, transport="udp", port=port
        )
        self._hall.flows.add(self)
        try:
            self._asset = self._dial(self.grant, port)
        except OSError as error:
            self.end(Ending(End.UNREACHABLE, why=str(error)))
            return
        self._loop.add_reader(self._asset, self._take_from_asset)
        self.data_received(rest)

    # --- called by the event loop

    def data_received(self, data: bytes) -> None:
        """Bytes of the client; frames need not come whole, nor alone."""
        if self._is_over:
            return
        self._rest += data
        if not self._is_pumping:
            self._pump()

    def eof_received(self) -> bool:
        """The client sends no more, so nobody waits for answers."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self.end(Ending(End.CLIENT, why="" if error is None else str(error)))

    def pause_writing(self) -> None:
        """The client does not take what it is sent: what comes for it now is dropped."""
        self._is_client_full = True

    def resume_writing(self) -> None:
        """The client takes more."""
        self._is_client_full = False

    # --- called by the hall

    def tick(self, now_us: int) -> None:
        """Idleness, and the grant's end."""
        ending = self.relay.tick(now_us)
        total = self._from_client + self._from_asset
        if total != self._seen:
            self._seen, self._active_us = total, now_us
        if ending is None and now_us - self._active_us >= self.grant.idle_s * _US_PER_S:
            ending = Ending(End.IDLE)
        if ending is not None:
            self.end(ending)

    def decide(self, decided: HoldDecided) -> bool:  # noqa: ARG002 - the hall's contract
        """Nothing is held here: datagrams are not inspected."""
        return False

    def end(self, ending: Ending) -> None:
        """End the flow, once: write its record, close both ends."""
        if self._is_over:
            return
        self._is_over = True
        self._hall.flows.discard(self)
        if self._asset is not None:
            self._loop.remove_reader(self._asset)
            self._dropped_to_client += _unread(self._asset)
            self._asset.close()
        if self._journal is not None:
            self._journal.closed(self._record(ending, self._journal.number, self._now()))
        if self._client.is_closing():
            return
        if ending.reason in CUT:
            reset(self._client)
            return
        self._client.close()
        if self._client.get_write_buffer_size():
            self._loop.call_later(CLOSE_TIMEOUT_S, self._client.abort)

    def drop(self, ending: Ending) -> None:
        """End the flow with a reset: what waits for the client is thrown away."""
        if not self._client.is_closing():
            reset(self._client)
        self.end(ending)

    # --- within

    def _pump(self) -> None:
        """Send on what has come, a few in each turn; the client is not read from while more is left."""
        if self._is_over:
            return
        try:
            datagrams, self._rest = split_datagrams(self._rest, MAX_IN_A_TURN)
        except Malformed as error:
            self.end(Ending(End.GATE, Reason.MALFORMED, str(error)))
            return
        if datagrams and (ending := self.relay.tick(self._now())) is not None:
            self.end(ending)
            return
        for datagram in datagrams:
            self._send(datagram)
        is_more = len(datagrams) == MAX_IN_A_TURN
        if is_more is not self._is_pumping and not self._client.is_closing():
            self._is_pumping = is_more
            if is_more:
                self._client.pause_reading()
            else:
                self._client.resume_reading()
        if is_more:
            self._loop.call_soon(self._pump)

    def _send(self, datagram: bytes) -> None:
        assert self._asset is not None
        try:
            self._asset.send(datagram)
        except ConnectionRefusedError:  # of one before: ICMP said that nobody listens there
            self._unreachable += 1
            self._dropped_to_asset += 1
        except OSError:  # the socket is full, or the kernel's rules do not let it pass
            self._dropped_to_asset += 1
        else:
            self._from_client += 1
            self._client_bytes += len(datagram)

    def _take_from_asset(self) -> None:
        assert self._asset is not None
        ending = self.relay.tick(self._now())
        if ending is not None:
            self.end(ending)
            return
        for _ in range(MAX_IN_A_TURN):
            try:
                datagram = self._asset.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                self._unreachable += 1
                return
            if self._is_client_full or self._client.is_closing():
                self._dropped_to_client += 1
                continue
            self._from_asset += 1
            self._asset_bytes += len(datagram)
            self._client.write(framed(datagram))

    def _turn_away(self, reason: Reason, detail: dict[str, Json]) -> None:
        self._is_over = True
        self._hall.refuse(reason, self.source, self._now(), self.grant, way=self.way, **detail)
        self._client.write(refusal(reason))
        self._client.close()

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
                "bytes_from_client": self._client_bytes,
                "bytes_from_asset": self._asset_bytes,
                "datagrams_from_client": self._from_client,
                "datagrams_from_asset": self._from_asset,
                "dropped_to_asset": self._dropped_to_asset,
                "dropped_to_client": self._dropped_to_client,
                "unreachable": self._unreachable,
                "operations": 0,
                "refused": 0,
            },
        )


def _unread(asset: socket.socket) -> int:
    """How many datagrams of the asset the kernel dropped because they came faster than they were read."""
    try:
        return int(_MEMINFO.unpack(asset.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[-1])
    except (OSError, struct.error):
        return 0
