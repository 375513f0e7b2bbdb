"""What waits for a second person: in a flow one request, and behind it, in order, all that its client sent since.

Pure: rows go through the journal it is given, words to control through `HoldBook.tell`.  `penstock.proxy.inspect`
decides what is held and what becomes of it; this file keeps it.  It must never let anything of the client pass before
what it sent earlier, but for what keeps the connection itself, nor keep more than its bounds, nor forget a request
without saying so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import msgspec

from penstock.bus import FlowJournal, Journal
from penstock.model import (
    Decision,
    Grant,
    HoldEnded,
    HoldEnding,
    Malformed,
    Operation,
    OperationHeld,
    Record,
    RecordKind,
    ShownBefore,
)
from penstock.proxy.refusals import operation_detail
from penstock.wire import NO_ANSWER, CountsFrames, Decoder, Frame, KeepsWaiting, Role

#: What may wait behind a held request: few clients ask on before they are answered.
MAX_BEHIND: Final = 64
MAX_BEHIND_BYTES: Final = 64 << 10
#: What waited goes on one by one, each when the one before it is answered, or after this: nobody floods a controller
#: with what its client asked in an hour.
PACE_US: Final = 1_000_000
_US_PER_S: Final = 1_000_000
_ASKING: Final = frozenset({Role.REQUEST, Role.NOTICE})


class Held(msgspec.Struct, gc=False):
    """One held request.  `told` is what control knows of it; times are microseconds since the epoch."""

    frame: Frame
    operation: Operation
    told: OperationHeld

    @property
    def number(self) -> int:
        """Its number among the held requests of the flow."""
        return self.told.hold


class Approval(msgspec.Struct, frozen=True):
    """Why a request that was held passes: who approved it; nobody (empty) where the policy holds it no longer."""

    hold: int
    by: str


class HoldBook:
    """All that is held in one worker, and the way to tell control of it."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, int], OperationHeld] = {}
        self.tell: Callable[[OperationHeld | HoldEnded], None] = lambda _: None

    @property
    def pending(self) -> tuple[OperationHeld, ...]:
        """What waits now, for control that has come back."""
        return tuple(self._told.values())

    def held(self, told: OperationHeld) -> None:
        """Something waits, or what is known of it has changed."""
        self._told[told.flow, told.hold] = told
        self.tell(told)

    def ended(self, ended: HoldEnded) -> None:
        """It waits no longer."""
        self._told.pop((ended.flow, ended.hold), None)
        self.tell(ended)


class Holds:
    """The held request of one flow, and the frames behind it."""

    __slots__ = (
        "_book",
        "_bytes",
        "_count",
        "_drained",
        "_flow",
        "_grant",
        "_journal",
        "_numbered",
        "_queue",
        "_waiting",
        "held",
    )

    def __init__(self, grant: Grant, decoder: Decoder, journal: Journal, flow: FlowJournal, book: HoldBook) -> None:
        self.held: Held | None = None
        self._grant, self._journal, self._flow, self._book = grant, journal, flow, book
        self._numbered = decoder if isinstance(decoder, CountsFrames) else None
        self._waiting = decoder if isinstance(decoder, KeepsWaiting) else None
        self._queue = deque[Frame]()
        self._drained: Frame | None = None
        self._bytes = self._count = 0

    def hold(
        self,
        frame: Frame,
        operation: Operation,
        decision: Decision,
        now_us: int,
        before: tuple[ShownBefore, ...] = (),
    ) -> bool:
        """Keep this request back; false, and it is not, where that cannot be written down.

        `before` is what the objects hold that it would write, for whoever decides.
        """
        if decision.hold_s is None or not self._journal.is_healthy:
            return False
        self._count += 1
        told = replace(self._told(frame, operation, decision, now_us), before=before)
        if not self._journal.record(self._record(frame, operation, decision, told)):
            return False
        self.held = Held(frame=frame, operation=operation, told=told)
        self._book.held(told)
        return True

    def lets_pass(self, frame: Frame) -> bool:
        """Whether a client's frame may go on at once: it keeps the connection, and has no place in a count."""
        return frame.role is Role.LINK and not self._is_counted(frame)

    def is_repeated(self, frame: Frame) -> bool:
        """Whether the same datagram waits already: its sender heard nothing, and said it again."""
        if self._grant.transport != "udp" or frame.exchange == NO_ANSWER:
            return False
        waiting = self._queue if self.held is None else (self.held.frame, *self._queue)
        return any(frame.data == each.data for each in waiting)

    def can_refuse(self, frame: Frame) -> bool:
        """Whether this one can be refused before what came before it was decided."""
        return frame.role in _ASKING and not self._is_counted(frame)

    def queue(self, frame: Frame) -> bool:
        """Let it wait behind what is held; false where there is no room."""
        if len(self._queue) >= MAX_BEHIND or self._bytes + len(frame.data) > MAX_BEHIND_BYTES:
            return False
        self._queue.append(frame)
        self._bytes += len(frame.data)
        return True

    def keep_waiting(self, frame: Frame) -> bytes:
        """What the sender of a frame is told that begins to wait."""
        if self._waiting is None or frame.role not in _ASKING or frame is self._drained:
            return b""
        return self._waiting.keep_waiting(frame)

    @property
    def is_waiting(self) -> bool:
        """Whether what the client sends now must wait: something is held, or has not gone on yet."""
        return self.held is not None or bool(self._queue)

    def is_drained(self, frame: Frame) -> bool:
        """Whether this frame has waited, and its turn has come."""
        return frame is self._drained

    def drain(self, may_go_on: Callable[[], bool]) -> Iterator[Frame]:
        """What waited behind, in order, as long as it `may_go_on` and nothing of it is held; over UDP one at a time."""
        while self.held is None and self._queue and may_go_on():
            self._drained = frame = self._queue.popleft()
            self._bytes -= len(frame.data)
            yield frame
            if self._grant.transport == "udp":
                break
        self._drained = None

    def forget_queue(self) -> Iterator[tuple[Frame, Operation | None]]:
        """The requests behind it, which will never be sent on; call it when nothing is held any more."""
        while self._queue:
            frame = self._queue.popleft()
            if frame.role in _ASKING:
                yield frame, operation_of(frame)
        self._bytes = 0

    def renewed(self, decision: Decision) -> None:
        """A new revision, or a renewed grant, holds it as well: perhaps under another conduit, or for another time."""
        if self.held is not None and decision.hold_s is not None:
            until_us = self.held.told.at_us + decision.hold_s * _US_PER_S
            self._tell_again(replace(self.held.told, conduit=decision.conduit or "", until_us=until_us))

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much: it waits as long as it would have."""
        if self.held is not None:
            told = self.held.told
            self._tell_again(replace(told, at_us=told.at_us + step_us, until_us=told.until_us + step_us))

    def count_behind(self) -> None:
        """Tell how many wait behind it, where that is not known."""
        if self.held is not None:
            self._tell_again(replace(self.held.told, behind=len(self._queue)))

    def end(self, ending: HoldEnding, now_us: int, reason: str = "") -> Held:
        """It waits no longer.  Only while something is held."""
        held, self.held = self.held, None
        assert held is not None
        ended = HoldEnded(flow=self._flow.number, hold=held.number, ending=ending, at_us=now_us, reason=reason)
        self._book.ended(ended)
        return held

    def _tell_again(self, told: OperationHeld) -> None:
        if self.held is not None and told != self.held.told:
            self.held.told = told
            self._book.held(told)

    def _is_counted(self, frame: Frame) -> bool:
        return self._numbered is not None and self._numbered.is_counted(frame)

    def _told(self, frame: Frame, operation: Operation, decision: Decision, now_us: int) -> OperationHeld:
        return OperationHeld(
            flow=self._flow.number,
            hold=self._count,
            grant=self._grant.number,
            conduit=decision.conduit or "",
            operation=operation.title,
            code=operation.code,
            name=operation.name,
            unit=operation.unit,
            targets=operation.targets,
            data=frame.recorded.hex(),
            source=self._flow.source,
            at_us=now_us,
            until_us=now_us + (decision.hold_s or 0) * _US_PER_S,
        )

    def _record(self, frame: Frame, operation: Operation, decision: Decision, told: OperationHeld) -> Record:
        detail = operation_detail(self._flow, frame, operation, decision)
        return Record(
            kind=RecordKind.OPERATION_HELD,
            at_us=told.at_us,
            grant=self._grant.number,
            subject=self._grant.subject.name,
            asset=self._grant.asset,
            protocol=self._grant.protocol,
            operation=operation.title,
            detail=detail | {"hold": told.hold, "until_us": told.until_us},
        )


def operation_of(frame: Frame) -> Operation | None:
    """What a request asks for, ``None`` where it breaks its protocol."""
    try:
        return frame.operation
    except Malformed:
        return None
