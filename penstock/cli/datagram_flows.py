"""UDP services on a local port: each peer of the local socket has a tunnel of its own, as if it had a flow of its own.

Stands between a tool's datagrams and `flows`.  What cannot be sent on at once is dropped, as a network would.  It must
never answer a peer with what is for another, nor keep more tunnels than a few.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

from penstock.cli import datagrams, local, output
from penstock.cli.door import Door, Opening
from penstock.cli.flows import Flows
from penstock.cli.tunnel import FlowRefused, Half
from penstock.model import Malformed, Unavailable

#: Tunnels of one local port at a time: a tool that takes a new port for each question has as many.
MAX_PEERS = 32
#: A peer that neither asked nor was answered for so long; the gate has its own, longer limit.
IDLE_S = 60.0
#: Datagrams of a peer that wait until its tunnel is open: the last ones, and none that is older than this by then.
#: Whoever sent it has long asked again, or given up.
MAX_WAITING = 64
LATE_S = 2.0
#: A peer whose tunnel was refused, or closed at once, gets no other one before this: a tool may send many a second.
AGAIN_S = 1.0
#: What may wait for the gate; what comes then is dropped.
MAX_UNSENT_BYTES = 128 * 1024
#: A port may go from one program to the next: its owner is looked at again so often.
OWNER_S = 1.0
_LOOK_S = 1.0

Address = tuple[str, int]


class Peer:
    """One program that sends to the local port.  For its tunnel it is the other side (`penstock.cli.tunnel.Facing`)."""

    def __init__(self, address: Address, answer: Callable[[bytes, Address], None]) -> None:
        self.address, self._answer = address, answer
        self.task: asyncio.Task[None] | None = None
        self.used_s = time.monotonic()
        self.sent = self.received = self.dropped = 0
        self.looked_s = float("-inf")
        self._half: Half | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._rest = b""

    def ask(self, datagram: bytes) -> None:
        """A datagram for the asset."""
        self.used_s = time.monotonic()
        half = self._half
        if half is None:
            self._waiting.append((self.used_s, datagram))
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
        elif (
            half.transport.is_closing()
            or half.transport.get_write_buffer_size() > MAX_UNSENT_BYTES
            or len(datagram) > datagrams.MAX_DATAGRAM_BYTES
        ):
            self.dropped += 1
        else:
            self.sent += 1
            half.transport.write(datagrams.framed(datagram))

    def attach(self, half: Half) -> None:
        """The tunnel is open: what waited goes first, unless it is late."""
        self._half = half
        waiting, self._waiting = self._waiting, deque()
        late_s = time.monotonic() - LATE_S
        for came_s, datagram in waiting:
            if came_s >= late_s:
                self.ask(datagram)
            else:
                self.dropped += 1
        half.face(self)

    async def until_idle(self, half: Half) -> None:
        """Until the tunnel closes, or nobody has used it for long."""
        while not half.closed.done() and time.monotonic() - self.used_s < IDLE_S:
            await asyncio.wait((half.closed,), timeout=_LOOK_S)

    # --- called by the tunnel's half

    def send(self, data: bytes) -> None:
        """Bytes of the gate."""
        try:
            found, self._rest = datagrams.split(self._rest + data)
        except Malformed:
            assert self._half is not None
            self._half.cut()
            return
        for datagram in found:
            self.received += 1
            self.used_s = time.monotonic()
            self._answer(datagram, self.address)

    def set_reading(self, *, is_on: bool) -> None:
        """What the gate does not take is dropped, not held back."""

    def hang_up(self) -> None:
        """Whoever waits for the half sees that it is closed."""

    def cut_off(self) -> None:
        """The same: a datagram is whole or was dropped."""


class DatagramPort(asyncio.DatagramProtocol):
    """One local UDP socket."""

    def __init__(
        self,
        flows: Flows,
        door: Door,
        opening: Opening,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._flows, self._door, self._opening, self._spawn = flows, door, opening, spawn
        self._peers: dict[Address, Peer] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._is_refusing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is read."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str | Any, int]) -> None:
        """A datagram of some program of this computer."""
        at = (str(address[0]), address[1])
        peer = self._peers.get(at)
        looked_s = float("-inf") if peer is None else peer.looked_s
        now_s = time.monotonic()
        if now_s - looked_s >= OWNER_S:
            if not local.is_ours(local.owner_of_datagrams(at)):
                self._refuse(at)
                return
            looked_s = now_s
        if peer is None:
            peer = self._begin(at)
        peer.looked_s = looked_s
        peer.ask(data)

    def error_received(self, error: Exception) -> None:
        """A program that is gone does not hear its answer."""

    def close(self) -> None:
        """No more datagrams."""
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, address: Address) -> None:
        if not self._is_refusing:  # once: a line for each datagram would let others fill the screen
            output.say(f"datagrams from port {address[1]} are dropped: it belongs to no program of this user")
        self._is_refusing = True

    def _begin(self, address: Address) -> Peer:
        if len(self._peers) >= MAX_PEERS:
            oldest = min(self._peers.values(), key=lambda each: each.used_s)
            assert oldest.task is not None
            oldest.task.cancel()
            del self._peers[oldest.address]
        peer = self._peers[address] = Peer(address, self._answer)
        peer.task = self._spawn(self._carry(peer))
        return peer

    def _forget(self, peer: Peer) -> None:
        if self._peers.get(peer.address) is peer:
            del self._peers[peer.address]

    def _answer(self, datagram: bytes, address: Address) -> None:
        # past the transport, which would keep what cannot be sent now, and leaves out empty datagrams
        with contextlib.suppress(OSError):
            self._opening.socket.sendto(datagram, address)

    async def _carry(self, peer: Peer) -> None:
        began_s = time.monotonic()
        try:
            await self._carried(peer)
            if self._peers.get(peer.address) is peer:  # not this end closed it
                await asyncio.sleep(max(0.0, began_s + AGAIN_S - time.monotonic()))
        finally:
            self._forget(peer)

    async def _carried(self, peer: Peer) -> None:
        number = self._flows.next_number()
        output.say(f"flow {number} from {peer.address[0]}:{peer.address[1]} (UDP) to {self._door.name}")
        try:
            async with self._flows.admitted(
                self._door, self._opening.port, lambda words: output.say(f"flow {number}: {words}")
            ) as half:
                peer.attach(half)
                await peer.until_idle(half)
                if not half.closed.done():
                    self._forget(peer)  # what comes while the tunnel is being closed opens another
        except FlowRefused as refused:
            output.say(f"flow {number} refused by the gate: {refused.words or refused}")
        except Unavailable as error:
            output.say(f"flow {number} failed: {error}")
        finally:
            dropped = f", {peer.dropped:,} dropped" if peer.dropped else ""
            output.say(f"flow {number} closed: {peer.sent:,} datagrams to the asset, {peer.received:,} back{dropped}")
