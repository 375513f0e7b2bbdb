"""I/O: a flow of datagrams whose client comes through the tunnel: a stream that carries them one by one, framed.

The flow itself is `penstock.proxy.datagram_flow`'s; here is the client's end of it.  It must never take more datagrams
in one turn of the event loop than other flows can wait for, nor keep any for a client that is slow.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import suppress
from typing import Final

from penstock.model import Grant, Json, Malformed, Reason
from penstock.proxy.datagram_flow import MAX_IN_A_TURN, DatagramFlow
from penstock.proxy.datagrams import framed, split_datagrams
from penstock.proxy.hall import TUNNEL
from penstock.proxy.office import Office
from penstock.proxy.relay import End, Ending
from penstock.proxy.server import CLOSE_TIMEOUT_S, CUT, reset
from penstock.proxy.tunnel import ACCEPTED, refusal

#: What may wait for a client that is slow; what comes then is dropped until half of it is gone.
MAX_WAITING_BYTES: Final = 128 << 10
#: And in the kernel, beyond what the path itself takes: a datagram that waits there is late as well.
_UNSENT_BYTES: Final = 64 << 10
_TCP_NOTSENT_LOWAT: Final = 25


class DatagramSide(DatagramFlow, asyncio.Protocol):
    """The client's stream of a UDP service, and with it the flow."""

    way = TUNNEL

    def __init__(self, office: Office, client: asyncio.Transport, grant: Grant, source: str) -> None:
        super().__init__(office, grant, source)
        self._client = client
        self._rest = b""
        self._next: deque[bytes] = deque()
        self._is_client_full = self._is_pumping = False

    def begin(self, port: int, rest: bytes) -> None:
        """Take the stream over from whoever read its first line; `rest` is what came after that line."""
        self._client.set_protocol(self)
        if not self._hall.has_room(self.grant):
            self._turn_away(Reason.INSPECTION_UNAVAILABLE, {"why": "this worker has no room for another flow"})
            return
        self._client.set_write_buffer_limits(high=MAX_WAITING_BYTES, low=MAX_WAITING_BYTES // 2)
        with suppress(OSError):  # a limit that the system does not know is one that it does not have
            accepted = self._client.get_extra_info("socket")
            accepted.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        self._client.write(ACCEPTED)
        self._open(port)
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

    def drop(self, ending: Ending) -> None:
        """End the flow with a reset: what waits for the client is thrown away."""
        if not self._client.is_closing():
            reset(self._client)
        self.end(ending)

    # --- within

    def _pump(self) -> None:
        """Send on what has come, a few in each turn; the client is not read from while more is left."""
        if not self._next:
            self._split()
        if self._next and (ending := self.relay.tick(self._now())) is not None:
            self.end(ending)
        self._pass_some()
        if not self._next:
            self._split()
        if self._is_over:
            return
        is_more = bool(self._next)
        if is_more is not self._is_pumping and not self._client.is_closing():
            self._is_pumping = is_more
            if is_more:
                self._client.pause_reading()
            else:
                self._client.resume_reading()
        if is_more:
            self._loop.call_soon(self._pump)

    def _split(self) -> None:
        """Find the next whole datagrams; the flow ends where there is no frame."""
        if self._is_over:
            return
        try:
            found, self._rest = split_datagrams(self._rest, MAX_IN_A_TURN)
        except Malformed as error:
            self.end(Ending(End.GATE, Reason.MALFORMED, str(error)))
        else:
            self._next.extend(found)

    def _pass_some(self) -> None:
        """As many datagrams as may pass in one turn: where they are inspected, bytes count as well."""
        size = 0
        for _ in range(min(MAX_IN_A_TURN, len(self._next))):
            if self._is_over or size >= self.relay.portion_bytes:
                return
            datagram = self._next.popleft()
            size += len(datagram)
            self._pass_on(datagram)

    def _say(self, datagram: bytes) -> bool:
        if self._is_client_full or self._client.is_closing():
            return False
        self._client.write(framed(datagram))
        return True

    def _leave_client(self, ending: Ending) -> None:
        if self._client.is_closing():
            return
        if ending.reason in CUT:
            reset(self._client)
            return
        self._client.close()
        if self._client.get_write_buffer_size():
            self._loop.call_later(CLOSE_TIMEOUT_S, self._client.abort)

    def _turn_away(self, reason: Reason, detail: dict[str, Json]) -> None:
        self._is_over = True
        self._hall.refuse(reason, self.source, self._now(), self.grant, way=self.way, **detail)
        self._client.write(refusal(reason))
        self._client.close()
