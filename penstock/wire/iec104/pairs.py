"""Which message of an asset answers what, where the message alone does not tell.

Pure.  IEC 60870-5-101:2003, 7.4: a read is answered with the object, not with a mirror; a command's termination comes
after it was answered; to a broadcast each station answers with its own address.  What is remembered is bounded, the
oldest is forgotten first.
"""

from __future__ import annotations

from typing import Final

from penstock.wire.decoder import NO_ANSWER, Role
from penstock.wire.iec104 import codes
from penstock.wire.iec104.frames import Iec104Frame, exchange_of

MAX_REMEMBERED: Final = 256
_CAUSE_AT: Final = 8
_COMMON_AT: Final = 10
_TYPE_BITS: Final = 0xFF
_EVERY_STATION: Final = codes.BROADCAST << 8


class Pairs:
    """What the client asked, and what the asset confirmed and has not ended."""

    __slots__ = ("_asked", "_begun", "_to_all")

    def __init__(self) -> None:
        self._asked: dict[int, None] = {}
        self._begun: dict[int, None] = {}
        #: By type of a broadcast: the causes with which a station has answered it.
        self._to_all: dict[int, set[int]] = {}

    def asked(self, kind: int, exchange: int) -> None:
        """A request of type `kind` went on to the asset."""
        if exchange == NO_ANSWER:
            return
        if exchange & _EVERY_STATION == _EVERY_STATION and kind in codes.BROADCAST_TYPES:
            self._to_all[kind] = set()
        elif kind == codes.READ or kind in codes.BROADCAST_TYPES:
            _remember(self._asked, exchange)

    def place(self, frame: Iec104Frame) -> None:
        """Give a message of the asset its role and exchange."""
        data = frame.data
        cause = data[_CAUSE_AT] if len(data) > _CAUSE_AT else 0
        bare = cause & codes.CAUSE_BITS
        if frame.role is Role.NOTICE:
            if bare == codes.REQUESTED and self._asked:
                self._place_read(frame)
        elif frame.role is Role.REPLY:
            kind = frame.exchange & _TYPE_BITS
            if kind in codes.COMMANDS:
                self._place_command(frame, bare)
            elif frame.exchange in self._asked:
                if frame.is_last:
                    del self._asked[frame.exchange]
            elif kind in self._to_all:
                self._place_one_of_all(frame, kind, bare)

    def _place_read(self, frame: Iec104Frame) -> None:
        if frame.data[6] not in codes.MONITOR or len(frame.data) < _COMMON_AT + 5:
            return
        exchange = exchange_of(codes.READ, frame.data, _COMMON_AT)
        if exchange in self._asked:
            del self._asked[exchange]
            frame.role, frame.exchange = Role.REPLY, exchange

    def _place_command(self, frame: Iec104Frame, bare: int) -> None:
        """A termination is the end of what was confirmed before; some stations leave the confirmation out."""
        if bare == codes.ACTIVATION_CON and not frame.is_refusal:
            _remember(self._begun, frame.exchange)
        elif bare == codes.TERMINATION and frame.exchange in self._begun:
            del self._begun[frame.exchange]
            frame.role, frame.exchange = Role.LINK, NO_ANSWER

    def _place_one_of_all(self, frame: Iec104Frame, kind: int, bare: int) -> None:
        """The first station to answer answers for all."""
        answered = self._to_all[kind]
        if bare in answered:
            frame.role, frame.exchange = Role.LINK, NO_ANSWER
            return
        answered.add(bare)
        frame.exchange = kind | _EVERY_STATION


def _remember(found: dict[int, None], exchange: int) -> None:
    found.pop(exchange, None)
    if len(found) >= MAX_REMEMBERED:
        del found[next(iter(found))]
    found[exchange] = None
