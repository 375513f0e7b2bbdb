"""A flow of a protocol that is recognised and not enforced: held to what its service declares, and written down.

Pure: bytes and time come in, an `Effect` goes out; rows go through the journal it is given.  The first bytes of both
sides must be the protocol; then a `Course` says what goes on, and what it asks for.  Nothing here speaks such a
protocol, so there is no refusal in its words: what may not pass ends the flow, with the reason on record.
It must never forward what a client asks for without a row in the journal, except for safety-critical grants, whose
declared failure mode is to go on: then it is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from penstock.bus import FlowJournal, Journal, Outcome
from penstock.model import Decision, Grant, Malformed, Operation, OperationClass, Reason
from penstock.proxy.inspect_datagrams import MAX_INSPECTED_BYTES
from penstock.proxy.refusals import OperationRefusals
from penstock.proxy.relay import NOTHING_TOLD, Effect, End, Ending, HoldsNothing, expiry_us
from penstock.wire import KNOWN, Frame, Side, Spoken, WrongProtocol, of_carrier

#: Some hundred requests of HTTP in the worst case; the heartbeat must not wait for 256 KiB of them.
PORTION_BYTES: Final = 8192
#: What is held and does not become whole in this time never will.
HALF_MESSAGE_US: Final = 5_000_000
#: Meanings that are remembered for a flow.
MAX_MEANINGS: Final = 1024
#: Of a message: heads are shorter, and contents are not for the evidence.
MAX_RECORDED_BYTES: Final = 512
#: What changes nothing: two of the same meaning are the same.
READING: Final = frozenset(
    {OperationClass.READ, OperationClass.SESSION, OperationClass.DIAGNOSTICS, OperationClass.DISCOVERY}
)
#: An index has 24 bits in the journal.  A meaning that old is long forgotten at both ends.
_INDEX_MASK: Final = 0xFF_FFFF
_CANDIDATES: Final = of_carrier(KNOWN, "tcp")


class _Recognised(HoldsNothing):
    """What flows and datagrams of a recognised protocol have in common: judged, written down, ended with the grant."""

    told: Mapping[str, str] = NOTHING_TOLD

    def __init__(
        self,
        grant: Grant,
        spoken: Spoken,
        judge: Callable[[Operation, int], Decision],
        journal: Journal,
        flow: FlowJournal,
    ) -> None:
        self.frames = 0
        self.portion_bytes = PORTION_BYTES
        self._grant, self._judge, self._flow = grant, judge, flow
        self._is_quiet = not spoken.classes
        self._refusals = OperationRefusals(grant, journal, flow)
        self._live_until_us = expiry_us(grant)
        self._tags: dict[tuple[Operation, bytes], int] = {}
        self._indexes = 0

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return self._refusals.count

    def from_client(self, data: bytes, now_us: int) -> Effect:
        """Bytes for the asset, as far as they are the protocol and may pass."""
        passed, ending = self._take(Side.CLIENT, data, now_us)
        return Effect(passed, b"", ending)

    def from_asset(self, data: bytes, now_us: int) -> Effect:
        """Bytes for the client, as far as they are the protocol and may pass."""
        passed, ending = self._take(Side.ASSET, data, now_us)
        return Effect(b"", passed, ending)

    def tick(self, now_us: int) -> Ending | None:
        """The grant may have expired; refusals that were only counted."""
        self._refusals.tick(now_us)
        return None if now_us < self._live_until_us else Ending(End.GATE, Reason.GRANT_EXPIRED)

    def renew(self, grant: Grant) -> None:
        """Forget every verdict; the grant's expiry may have moved."""
        self._grant = grant
        self._live_until_us = expiry_us(grant)
        self._tags.clear()

    def settle(self, now_us: int, reason: Reason | None = None) -> None:  # noqa: ARG002 - nothing waits for a reason
        """Nothing is open but the counts of what was refused."""
        self._refusals.tick(now_us, is_last=True)

    def _take(self, side: Side, data: bytes, now_us: int) -> tuple[bytes, Ending | None]:
        raise NotImplementedError

    def _refuse_any(self, asked: tuple[Frame, ...], now_us: int) -> Ending | None:
        """Judge what is asked for and write its rows; the end of the flow where something may not pass."""
        for frame in asked:
            reason = self._consider(frame, now_us)
            if reason is not None:
                return Ending(End.GATE, reason, "this protocol has no refusal that the gate speaks, so the flow ends")
        return None

    def _consider(self, frame: Frame, now_us: int) -> Reason | None:
        operation = msgspec.structs.replace(frame.operation, protocol=self._grant.protocol)
        key = operation, self._own_bytes(frame, operation)
        tag = self._tags.get(key)
        if tag is None:
            decision = self._judge(operation, now_us)
            if not decision.is_allowed:
                return self._refusals.add(_kept(frame, operation), decision.reason, now_us, operation, decision)
            if decision.hold_s is not None:  # a document that says so is refused; nobody could be asked
                return self._refusals.add(_kept(frame, operation), Reason.HOLD_REFUSED, now_us, operation, decision)
            tag = self._define(key, frame, decision)
        if tag is not None and self._flow.judged(tag, self.frames, now_us):
            self._flow.answered(self.frames, Outcome.SENT, 0)
        elif self._grant.is_safety_critical:
            self._flow.passed()
        else:
            return self._refusals.add(_kept(frame, operation), Reason.EVIDENCE_UNAVAILABLE, now_us, operation)
        self.frames += 1
        return None

    def _own_bytes(self, frame: Frame, operation: Operation) -> bytes:
        """What tells it from another of the same meaning: its bytes where it changes something, for they hold values.

        Of protocols that are permitted as a whole nothing is told but how often.
        """
        is_told = not self._is_quiet and not READING.issuperset(operation.classes)
        return _kept(frame, operation).data if is_told else b""

    def _define(self, key: tuple[Operation, bytes], frame: Frame, decision: Decision) -> int | None:
        if len(self._tags) >= MAX_MEANINGS:
            self._tags.clear()
        operation, record = key[0], decision.record
        kept = _kept(frame, operation).data
        tag = self._flow.define(
            self._indexes, operation, decision.conduit, kept, is_quiet=self._is_quiet, record=record
        )
        if tag is not None:
            self._indexes = self._indexes + 1 & _INDEX_MASK
            self._tags[key] = tag
        return tag


class RecognisedRelay(_Recognised):
    """One flow under `grant` of the protocol `spoken` over TCP: what is not that, or may not pass, ends it.

    `told` is what its ends said of themselves in clear text, for the record of its end.
    """

    def __init__(
        self,
        grant: Grant,
        spoken: Spoken,
        judge: Callable[[Operation, int], Decision],
        journal: Journal,
        flow: FlowJournal,
    ) -> None:
        super().__init__(grant, spoken, judge, journal, flow)
        assert spoken.course is not None, "the hall makes it only over TCP"
        self._beginning, self._course = spoken.beginning(_CANDIDATES), spoken.course()
        self._half_since_us = dict.fromkeys(Side, 0)
        self.told = self._course.told

    def tick(self, now_us: int) -> Ending | None:
        """Expiry, and what is held and does not become whole."""
        ending = super().tick(now_us)
        if ending is not None:
            return ending
        for side, since_us in self._half_since_us.items():
            if since_us and now_us - since_us >= HALF_MESSAGE_US:
                return self._incomplete(side)
        return None

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much: half a message is no older than it was."""
        for side, since_us in self._half_since_us.items():
            self._half_since_us[side] = since_us and since_us + step_us

    def _take(self, side: Side, data: bytes, now_us: int) -> tuple[bytes, Ending | None]:
        if now_us >= self._live_until_us:
            return b"", Ending(End.GATE, Reason.GRANT_EXPIRED)
        passed: list[bytes] = []
        ending: Ending | None = None
        try:
            for piece in self._course.feed(side, self._beginning.take(side, data)):
                ending = self._refuse_any(piece.asked, now_us)
                if ending is not None:
                    break
                passed.append(piece.data)
        except Malformed as error:
            ending = _broken(error)
        self._note_half(side, now_us, has_passed=bool(passed))
        return b"".join(passed), ending

    def _note_half(self, side: Side, now_us: int, *, has_passed: bool) -> None:
        if not (self._beginning.pending(side) or self._course.pending(side)):
            self._half_since_us[side] = 0
        elif has_passed or not self._half_since_us[side]:
            self._half_since_us[side] = now_us

    def _incomplete(self, side: Side) -> Ending:
        if self._beginning.pending(side):
            why = f"what the {side.value} sent first was not enough to tell that it is {self._grant.protocol}"
            return Ending(End.GATE, Reason.WRONG_PROTOCOL, why)
        return Ending(End.GATE, Reason.MALFORMED, "half a message, and then nothing")


class RecognisedDatagrams(_Recognised):
    """The same over UDP: each datagram is known for itself; what is not that, or may not pass, is kept back alone."""

    def __init__(
        self,
        grant: Grant,
        spoken: Spoken,
        judge: Callable[[Operation, int], Decision],
        journal: Journal,
        flow: FlowJournal,
    ) -> None:
        super().__init__(grant, spoken, judge, journal, flow)
        self._spoken, self._dissector = spoken, spoken.protocol.dissectors["udp"]()

    def _take(self, side: Side, data: bytes, now_us: int) -> tuple[bytes, Ending | None]:
        if now_us >= self._live_until_us:
            return b"", Ending(End.GATE, Reason.GRANT_EXPIRED)
        is_it = 0 < len(data) <= MAX_INSPECTED_BYTES and self._spoken.protocol.fits(data, side)
        shown = self._dissector.feed(side, data) if is_it else ()
        if not shown:
            why = f"a datagram of the {side.value} that is no {self._spoken.word}"
            self._refusals.add_broken(Reason.WRONG_PROTOCOL, why, len(data), now_us)
            return b"", None
        asked = tuple(each.frame for each in shown if each.frame is not None)
        if side is Side.CLIENT and self._spoken.classes and not asked:
            self._refusals.add_broken(Reason.MALFORMED, "a request that cannot be read", len(data), now_us)
            return b"", None
        return (b"", None) if self._refuse_any(asked, now_us) else (data, None)


def _kept(frame: Frame, operation: Operation) -> Frame:
    """The frame with the bytes that may go on record: nothing of what may be a password, and not more than a head."""
    recorded = frame.recorded[:MAX_RECORDED_BYTES]
    if OperationClass.AUTH in operation.classes:
        recorded = b"*" * len(recorded)
    return Frame(recorded, frame.side, operation.code.encode(), frame.exchange, False)


def _broken(error: Malformed) -> Ending:
    reason = Reason.WRONG_PROTOCOL if isinstance(error, WrongProtocol) else Reason.MALFORMED
    return Ending(End.GATE, reason, str(error))
