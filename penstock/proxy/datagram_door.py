"""I/O: where datagrams of inspected UDP services come in: the transparent listener behind the kernel's TPROXY rules.

The first datagram of a flow comes here, with the address that it was sent to and the mark that says under which grant.
From then on the flow has a socket of its own, bound to that overlay address and connected to the client: the kernel
gives it the later datagrams, so one loud client fills its own buffer and nobody else's, and what is answered comes
from where the client asked.  It must never open a flow without a live grant that leads there, nor more of them for one
client than there is room for.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import Final

from penstock.model import GRANT_MASK, GatePlace, Grant, Json, Reason
from penstock.proxy.datagram_flow import MAX_IN_A_TURN, DatagramFlow, unread
from penstock.proxy.inspect_datagrams import MAX_INSPECTED_BYTES
from penstock.proxy.office import (
    ANCILLARY_BYTES,
    IP_TRANSPARENT,
    SO_RCVMARK,
    Ancillary,
    Ends,
    Office,
    port_behind,
)
from penstock.proxy.relay import End, Ending
from penstock.proxy.server import address_of

#: Flows of one client's address to one service: tools take a new port for each question, and none says when it is done.
MAX_FLOWS_OF_SOURCE: Final = 32
#: The longest silent flow of a client makes room for a new one once it has been silent for so long.
SILENT_US: Final = 5_000_000
IP_RECVORIGDSTADDR: Final = 20
_ADDRESS: Final = struct.Struct("!2xH4s8x")
#: One byte more than is inspected: what is longer is cut off there, and refused as too long.
_READ_BYTES: Final = MAX_INSPECTED_BYTES + 1


def open_transparent_datagrams(place: GatePlace) -> socket.socket:
    """The socket that receives what the kernel steers to the worker.  Needs CAP_NET_ADMIN.  Raises `OSError`."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        # no SO_REUSEADDR: over UDP it would let any other process of this machine have the same port
        listening.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        listening.bind(("127.0.0.1", place.proxy_port))
        prepare(listening)
    except OSError:
        listening.close()
        raise
    return listening


def prepare(listening: socket.socket) -> None:
    """Let the kernel tell of each datagram where it was sent to, and its mark (Linux 5.19).  Raises `OSError`."""
    listening.setsockopt(socket.IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
    listening.setblocking(False)


async def serve_datagrams(office: Office, listening: socket.socket) -> None:
    """Take datagrams in until cancelled.  The flows are ended by `Hall`, and by nobody else."""
    loop, door = asyncio.get_running_loop(), DatagramDoor(office, listening)
    loop.add_reader(listening, door.take)
    try:
        await loop.create_future()
    finally:
        loop.remove_reader(listening)
        listening.close()


class DatagramDoor:
    """The flows whose datagrams the kernel steers here."""

    def __init__(self, office: Office, listening: socket.socket) -> None:
        self._office, self._listening = office, listening
        #: By the client's address and where it asks, then by the client's port.
        self._flows: dict[tuple[str, str, int], dict[int, DirectDatagrams]] = {}

    def take(self) -> None:
        """First datagrams of flows, and those that came before their flow had its socket."""
        for _ in range(MAX_IN_A_TURN):
            try:
                data, ancillary, _, client = self._listening.recvmsg(_READ_BYTES, ANCILLARY_BYTES)
            except OSError:  # nothing more to read; ICMP errors are nobody's
                return
            found = _destination(ancillary)
            if found is not None:
                self.bring(data, (client[0], client[1], *found), self._office.mark_in(ancillary))

    def bring(self, data: bytes, ends: Ends, mark: int) -> None:
        """One datagram between these ends: to its flow, or to a new one."""
        flow = self._flows.get(_asker(ends), {}).get(ends[1])
        if flow is not None and flow.grant.number != mark & GRANT_MASK:
            flow.end(Ending(End.CLIENT, why="it comes under another grant now"))
            flow = None
        if flow is None:
            flow = self._admit(ends, mark)
        if flow is not None:
            flow.pass_on(data)

    def forget(self, ends: Ends) -> None:
        """This flow is over."""
        mine = self._flows.get(_asker(ends), {})
        mine.pop(ends[1], None)
        if not mine:
            self._flows.pop(_asker(ends), None)

    def _admit(self, ends: Ends, mark: int) -> DirectDatagrams | None:
        """A new flow, if there is a grant for it and room."""
        hall, now_us = self._office.hall, self._office.clock.now_us()
        source = address_of(ends[:2])
        grant = hall.grants.get(mark & GRANT_MASK)
        port = None if grant is None else port_behind(grant, *ends[2:])
        if grant is None or port is None or grant.transport != "udp" or not grant.is_inspected:
            destination = f"{ends[2]}:{ends[3]}"
            hall.refuse(Reason.GRANT_UNKNOWN, source, now_us, destination=destination, transport="udp")
            return None
        if not self._has_room(ends, now_us) or not hall.has_room(grant):
            self._refuse(source, grant, "this worker has no room for another flow")
            return None
        try:
            client = self._office.answer_datagrams(ends, grant)
        except OSError as error:
            self._refuse(source, grant, f"no socket for it: {error}")
            return None
        flow = DirectDatagrams(self._office, self, grant, ends, client)
        self._flows.setdefault(_asker(ends), {})[ends[1]] = flow
        flow.begin(port)
        return None if flow.is_over else flow

    def _refuse(self, source: str, grant: Grant, why: str) -> None:
        detail: dict[str, Json] = {"way": DirectDatagrams.way, "transport": "udp", "why": why}
        hall, now_us = self._office.hall, self._office.clock.now_us()
        hall.refuse(Reason.INSPECTION_UNAVAILABLE, source, now_us, grant, **detail)

    def _has_room(self, ends: Ends, now_us: int) -> bool:
        """Whether this client may have one more flow to there; the longest silent one makes room."""
        mine = self._flows.get(_asker(ends), {})
        if len(mine) < MAX_FLOWS_OF_SOURCE:
            return True
        longest = min(mine.values(), key=lambda flow: flow.active_us)
        if now_us - longest.active_us < SILENT_US:
            return False
        longest.end(Ending(End.IDLE, why="the longest silent flow of its client made room"))
        return True


class DirectDatagrams(DatagramFlow):
    """A flow of datagrams whose client sends them to an overlay address."""

    way = "direct"

    def __init__(self, office: Office, door: DatagramDoor, grant: Grant, ends: Ends, client: socket.socket) -> None:
        super().__init__(office, grant, address_of(ends[:2]))
        self._door, self._ends, self._client = door, ends, client
        self._mark_in = office.mark_in

    @property
    def is_over(self) -> bool:
        """Whether the flow has ended."""
        return self._is_over

    def begin(self, port: int) -> None:
        """Be connected to the asset's `port` and hear the client, or be over."""
        self._open(port)
        if not self._is_over:
            self._loop.add_reader(self._client, self._take_from_client)

    def pass_on(self, data: bytes) -> None:
        """A datagram of the client."""
        if not self._is_over:
            self.active_us = self._now()
            self._pass_on(data)

    def _take_from_client(self) -> None:
        """What the client has sent, until there is enough for one turn."""
        size = 0
        for _ in range(MAX_IN_A_TURN):
            if self._is_over or size >= self.relay.portion_bytes:
                return
            try:
                data, ancillary, _, _ = self._client.recvmsg(_READ_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ECONNABORTED:  # the kernel was told to close it (`penstock.kernel.destroy`)
                    self.end(Ending(End.CLIENT, why=str(error)))
                return
            size += len(data)
            mark = self._mark_in(ancillary)
            if mark & GRANT_MASK == self.grant.number:
                self.pass_on(data)
            else:
                self._door.bring(data, self._ends, mark)

    def _say(self, datagram: bytes) -> bool:
        try:
            self._client.send(datagram)
        except OSError:  # its buffer is full, or the kernel's rules do not let it pass
            return False
        return True

    def _leave_client(self, ending: Ending) -> None:
        del ending
        self._loop.remove_reader(self._client)
        self._dropped_to_asset += unread(self._client)
        self._client.close()
        self._door.forget(self._ends)


def _asker(ends: Ends) -> tuple[str, str, int]:
    """The client's address, and the overlay address and port that it asks."""
    return ends[0], ends[2], ends[3]


def _destination(ancillary: Ancillary) -> tuple[str, int] | None:
    """Where a datagram was sent to."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_RECVORIGDSTADDR and len(data) == _ADDRESS.size:
            port, address = _ADDRESS.unpack(data)
            return socket.inet_ntoa(address), port
    return None
