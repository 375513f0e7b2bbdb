"""Backup and restore of a device (ANSI/ASHRAE 135-2020, 19.1): files that move then are its program.

Pure.  A procedure begins when the device agrees to it and ends when it agrees to the end.  One that somebody else began
in another flow is not seen here.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed
from penstock.wire.bacnet import codes
from penstock.wire.bacnet.frames import BacnetFrame, Kind
from penstock.wire.bacnet.tags import CONTEXT, read_tag

#: Services that begin or end a procedure, or mean something else in one.
PROCEDURE_SERVICES: Final = frozenset({codes.REINITIALIZE_DEVICE, codes.ATOMIC_READ_FILE, codes.ATOMIC_WRITE_FILE})
#: Requests that wait for an answer; a client has one at a time.
MAX_WAITING: Final = 256
_BEGIN: Final = frozenset({codes.START_BACKUP, codes.START_RESTORE})


class Procedures:
    """What is under way in the devices of one flow."""

    __slots__ = ("_of_peer", "_waiting")

    def __init__(self) -> None:
        #: By peer (the exchange without invoke id and service): the state that began it.
        self._of_peer: dict[int, int] = {}
        #: Exchange and state of what was asked, oldest first.
        self._waiting: list[tuple[int, int]] = []

    def of(self, frame: BacnetFrame) -> int:
        """What is under way in the device that is asked: the state that began it, or 0."""
        return self._of_peer.get(frame.exchange >> 16, 0)

    def asked(self, frame: BacnetFrame) -> None:
        """A client asks a device for another state."""
        if len(self._waiting) >= MAX_WAITING:
            del self._waiting[0]
        self._waiting.append((frame.exchange, _state(frame)))

    def refused(self, frame: BacnetFrame) -> None:
        """That request did not go on."""
        if frame.kind is Kind.CONFIRMED and frame.what[frame.at] == codes.REINITIALIZE_DEVICE:
            wanted = (frame.exchange, _state(frame))
            if wanted in self._waiting:
                self._waiting.reverse()  # the last one of several that are equal
                self._waiting.remove(wanted)
                self._waiting.reverse()

    def answered(self, exchange: int, *, was_done: bool) -> None:
        """The device answered the oldest request of that exchange."""
        waiting = next((each for each in self._waiting if each[0] == exchange), None)
        if waiting is None:
            return
        self._waiting.remove(waiting)
        peer, state = exchange >> 16, waiting[1]
        if was_done and state in _BEGIN:
            if len(self._of_peer) >= MAX_WAITING:
                del self._of_peer[next(iter(self._of_peer))]
            self._of_peer[peer] = state
        elif was_done:
            self._of_peer.pop(peer, None)


def _state(frame: BacnetFrame) -> int:
    """16.4.1.1.1: the first parameter; -1 where it is not there."""
    try:
        kind, number, start, end = read_tag(frame.what, frame.at + 1, len(frame.what))
    except Malformed:
        return -1
    return int.from_bytes(frame.what[start:end], "big") if (kind, number) == (CONTEXT, 0) else -1
