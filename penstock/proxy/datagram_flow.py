"""I/O: what every flow of datagrams has, however its client comes: the asset's socket, the relay, counts, and its end.

Stands where `penstock.proxy.server` stands for connections; `datagram_side` adds a client behind the tunnel,
`datagram_door` one whom the kernel steers here.  Datagrams are late or not at all: what cannot be sent on at once is
dropped and counted.  It must never send one on after the grant ended, nor one that the relay did not return.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import Final

from penstock.bus import FlowJournal
from penstock.model import Grant, HoldDecided, Record
from penstock.proxy.closing import closed_record
from penstock.proxy.office import Office
from penstock.proxy.relay import Effect, End, Ending, Relay

#: Of each direction in one turn of the event loop.
MAX_IN_A_TURN: Final = 32
LARGEST: Final = 1 << 16
#: SO_MEMINFO (Linux 4.12): nine counters of a socket, the last one what it dropped because nobody read it in time.
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("=9I")
_US_PER_S: Final = 1_000_000
_NS_PER_US: Final = 1000


class DatagramFlow:
    """One flow between a client and an asset's UDP port."""

    way: str

    def __init__(self, office: Office, grant: Grant, source: str) -> None:
        self._hall, self._now, self._dial = office.hall, office.clock.now_us, office.dial_datagrams
        self._clock = office.clock
        self._loop = asyncio.get_running_loop()
        self.grant, self.source = grant, source
        self._asset: socket.socket | None = None
        self._own_port: tuple[str, int] | None = None
        self._journal: FlowJournal | None = None
        self._is_over = False
        self._from_client = self._from_asset = self._client_bytes = self._asset_bytes = 0
        self._dropped_to_asset = self._dropped_to_client = self._unreachable = 0
        self._seen = -1
        self.active_us = self._opened_us = self._now()
        self.relay: Relay

    # --- called by the hall

    def tick(self, now_us: int) -> None:
        """Idleness, and the grant's end."""
        ending = self.relay.tick(now_us)
        if ending is None and (effect := self.relay.lapse(now_us)) is not None:
            self._send_on(effect, self._clock.steady_ns())
            if self._is_over:
                return
        total = self._from_client + self._from_asset
        if total != self._seen or self.relay.is_holding:
            self._seen, self.active_us = total, now_us
        if ending is None and now_us - self.active_us >= self.grant.idle_s * _US_PER_S:
            ending = Ending(End.IDLE)
        if ending is not None:
            self.end(ending)

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much: it is silent for as long as it was."""
        self.active_us += step_us
        self._opened_us += step_us
        self.relay.stepped(step_us)

    def decide(self, decided: HoldDecided) -> bool:
        """Send on, or refuse, what is held; false where it is another flow's, or is held no longer."""
        if self._is_over or self._journal is None or self._journal.number != decided.flow:
            return False
        effect = self.relay.decide(decided, self._now())
        if effect is not None:
            self._send_on(effect, self._clock.steady_ns())
        return effect is not None

    def end(self, ending: Ending) -> None:
        """End the flow, once: write its record, close both ends."""
        if self._is_over:
            return
        self._is_over = True
        self._hall.flows.discard(self)
        if self._asset is not None:
            self._loop.remove_reader(self._asset)
            self._dropped_to_client += unread(self._asset)
            self._asset.close()
        if self._own_port is not None:
            self._hall.own_ports.discard(self._own_port)
        self._leave_client(ending)
        now_us = self._now()
        if self._journal is not None:
            self.relay.settle(now_us, ending.reason_of_rest)
            self._journal.closed(self._record(ending, self._journal.number, now_us))

    def drop(self, ending: Ending) -> None:
        """End it now, and let nothing of it be sent on."""
        self.end(ending)

    # --- what the kinds differ in

    def _say(self, datagram: bytes) -> bool:
        """Send a datagram to the client; whether it is on its way."""
        raise NotImplementedError

    def _leave_client(self, ending: Ending) -> None:
        """Close the client's end."""
        raise NotImplementedError

    # --- within

    def _open(self, port: int) -> None:
        """Announce the flow, and be connected to the asset's `port`, or over."""
        self.relay, self._journal = self._hall.relay(
            self.grant, self.source, self._now(), self.way, transport="udp", port=port
        )
        self._hall.flows.add(self)
        try:
            self._asset = self._dial(self.grant, port, self._is_from_own_port(port))
        except OSError as error:
            self.end(Ending(End.UNREACHABLE, why=str(error)))
            return
        self._loop.add_reader(self._asset, self._take_from_asset)

    def _is_from_own_port(self, port: int) -> bool:
        """Whether the asset may be asked from this very port.

        Some protocols answer to a fixed port, not to where they were asked from (EtherNet/IP's implicit data).  Of the
        flows to one asset's port only one can have it.
        """
        place = self.grant.underlay, port
        if not self.grant.is_inspected or place in self._hall.own_ports:
            return False
        self._own_port = place
        self._hall.own_ports.add(place)
        return True

    def _pass_on(self, datagram: bytes) -> None:
        """A datagram of the client: what the relay makes of it goes to either end."""
        if not self.grant.is_inspected:
            if self._send(datagram):
                self._from_client += 1
                self._client_bytes += len(datagram)
            return
        self._from_client += 1
        self._client_bytes += len(datagram)
        received_ns = self._clock.steady_ns()
        self._send_on(
            self.relay.from_client(datagram, (received_ns + self._clock.offset_ns) // _NS_PER_US), received_ns
        )

    def _send_on(self, effect: Effect, received_ns: int) -> None:
        """What follows from the client's words."""
        self._carry_out(effect)
        own_ns = self._clock.steady_ns() - received_ns
        for each in effect.transactions:
            each.received_ns, each.own_ns = received_ns, own_ns

    def _take_from_asset(self) -> None:
        """What the asset has sent, a few datagrams in each turn."""
        assert self._asset is not None
        ending = self.relay.tick(self._now())
        if ending is not None:
            self.end(ending)
            return
        for _ in range(MAX_IN_A_TURN):
            if self._is_over:
                return
            try:
                datagram = self._asset.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ECONNABORTED:  # the kernel was told to close it (`penstock.kernel.destroy`)
                    self.end(Ending(End.ASSET, why=str(error)))
                self._unreachable += 1
                return
            self._bring(datagram)

    def _bring(self, datagram: bytes) -> None:
        """A datagram of the asset."""
        if not self.grant.is_inspected:
            if self._say(datagram):
                self._from_asset += 1
                self._asset_bytes += len(datagram)
            else:
                self._dropped_to_client += 1
            return
        self._from_asset += 1
        self._asset_bytes += len(datagram)
        received_ns = self._clock.steady_ns()
        effect = self.relay.from_asset(datagram, (received_ns + self._clock.offset_ns) // _NS_PER_US)
        self._carry_out(effect)
        sent_ns = self._clock.steady_ns()
        for each in effect.transactions:
            each.meter.add(sent_ns - each.received_ns, each.own_ns + sent_ns - received_ns)

    def _carry_out(self, effect: Effect) -> None:
        if effect.to_asset:
            self._send(effect.to_asset)
        if effect.to_client and not self._say(effect.to_client):
            self._dropped_to_client += 1
        if effect.ending is not None:
            self.end(effect.ending)

    def _send(self, datagram: bytes) -> bool:
        """Send to the asset; whether it is on its way."""
        assert self._asset is not None
        try:
            self._asset.send(datagram)
        except ConnectionRefusedError:  # of one before: ICMP said that nobody listens there
            self._unreachable += 1
            self._dropped_to_asset += 1
        except OSError:  # the socket is full, or the kernel's rules do not let it pass
            self._dropped_to_asset += 1
        else:
            return True
        return False

    def _record(self, ending: Ending, flow: int, now_us: int) -> Record:
        return closed_record(
            self.grant,
            self.relay,
            ending,
            flow=flow,
            source=self.source,
            opened_us=self._opened_us,
            now_us=now_us,
            bytes_from_client=self._client_bytes,
            bytes_from_asset=self._asset_bytes,
            datagrams_from_client=self._from_client,
            datagrams_from_asset=self._from_asset,
            dropped_to_asset=self._dropped_to_asset,
            dropped_to_client=self._dropped_to_client,
            unreachable=self._unreachable,
        )


def unread(end: socket.socket) -> int:
    """How many datagrams the kernel dropped at this socket because they came faster than they were read."""
    try:
        return int(_MEMINFO.unpack(end.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[-1])
    except (OSError, struct.error):
        return 0
