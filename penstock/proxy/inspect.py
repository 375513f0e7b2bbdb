"""An inspected flow: every request is judged and written down before it is forwarded.

Pure: bytes and time come in, an `Effect` goes out; rows go through the journal it is given.  What was judged is what
is forwarded, byte for byte.  A request that is refused gets the protocol's own answer, is recorded, and never reaches
the other side; the flow goes on.  An asset may ask, too, and tell what nobody asked for: that is judged likewise.
It must never forward a request without a row in the journal, except for safety-critical grants, whose declared failure
mode is to go on: then it is counted.

A request costs a few dictionary look-ups when the same bytes (but for the transaction number) were judged before in
this flow, and the verdict depends on nothing else.  A new revision, and a renewed grant, forget all verdicts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, assert_never

import msgspec

from penstock.bus import FlowJournal, Journal, Outcome
from penstock.model import Decision, Grant, HoldDecided, HoldEnding, Malformed, Operation, Reason, RecordMode
from penstock.proxy.asked import LATE_US, MAX_UNDER_WAY, Asked
from penstock.proxy.held import MAX_BEHIND, PACE_US, Approval, HoldBook, Holds, operation_of
from penstock.proxy.meter import Meter, Meters, Transaction
from penstock.proxy.rates import Rates
from penstock.proxy.refusals import OperationRefusals
from penstock.proxy.relay import NOTHING_TOLD, Effect, End, Ending, expiry_us
from penstock.proxy.shown import Place, Shown, objects_of
from penstock.proxy.values import Values
from penstock.wire import NAMED, NO_ANSWER, Decoder, Frame, Role, Side, WrongProtocol

#: Verdicts that are remembered for a flow.
MAX_VERDICTS: Final = 1024
#: An index has 24 bits in the journal.  A meaning that old is long forgotten at both ends.
_INDEX_MASK: Final = 0xFF_FFFF
#: Messages have 260 bytes: half of one is a second half on its way, or an attack on the gate's patience.
HALF_MESSAGE_US: Final = 5_000_000
_CLIENT: Final = Side.CLIENT
_ASSET: Final = Side.ASSET
_REPLY: Final = Role.REPLY
#: In place of the requests with an exchange that is used twice: no message takes the short way.
_DETOUR: Final = {NO_ANSWER: deque[Transaction]()}


class Turn(msgspec.Struct, gc=False):
    """What becomes of the frames of one turn: bytes for the other side, for their own, and requests touched by it."""

    ahead: list[bytes]
    back: list[bytes]
    touched: list[Transaction]


class Inspection:
    """One inspected flow under `grant`."""

    told = NOTHING_TOLD

    def __init__(
        self,
        grant: Grant,
        decoder: Decoder,
        judge: Callable[[Operation, int], Decision],
        journal: Journal,
        flow: FlowJournal,
        rates: Rates,
        meters: Meters,
        book: HoldBook | None = None,
        shown: Shown | None = None,
    ) -> None:
        self.frames = 0
        self.portion_bytes = NAMED[grant.protocol].portion_bytes
        self._grant, self._decoder, self._judge, self._flow = grant, decoder, judge, flow
        self._rates, self._meters = rates, meters
        self._feed, self._row = decoder.feed, flow.judged
        self._ended, self._answers = flow.ended, flow.answers
        self._refusals = OperationRefusals(grant, journal, flow)
        self._holds, self._is_renewed = Holds(grant, decoder, journal, flow, book or HoldBook()), False
        self._values = Values(decoder, flow, shown or Shown(objects_of(grant.protocol)))
        self._live_until_us = expiry_us(grant)
        #: Tags of rows, by what is asked: `_free` where nothing but that decides, `_tags` for every announced one.
        self._free: dict[bytes, tuple[int, Meter, Place]] = {}
        self._tags: dict[tuple[Side, bytes, str | None, RecordMode], int] = {}
        #: What was judged before, where nothing but `what` decides: also what takes no short way (notices of the asset,
        #: what is told one by one, several requests in one piece).
        self._known: dict[tuple[Side, bytes], tuple[Operation, Decision]] = {}
        self._indexes = 0
        self._asked = {_CLIENT: Asked(), _ASSET: Asked()}
        self._of_client, self._doubled = self._asked[_CLIENT].under_way, self._asked[_CLIENT].doubled
        self._half_since_us = {_CLIENT: 0, _ASSET: 0}
        #: The gate has kept back or said something itself: links that count are looked after from then on (`due`).
        self._has_refused = False
        self._late_until_us, self._may_be_late = 0, False
        #: What went on last of what waited: its exchange, and its request.
        self._awaited: tuple[int, Transaction | None] = NO_ANSWER, None
        flow.under_way = self._rows_under_way

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return self._refusals.count

    @property
    def is_waiting(self) -> bool:
        """Whether the asset still owes answers."""
        return bool(self._of_client)

    @property
    def is_holding(self) -> bool:
        """Whether a request of the client waits for a second person."""
        return self._holds.is_waiting

    def from_client(self, data: bytes, now_us: int) -> Effect:
        """Judge what the client sent.  One whole request that was judged before takes the short way."""
        try:
            frames = self._feed(_CLIENT, data)
        except Malformed as error:
            return Effect(ending=_broken(error))
        if len(frames) == 1:
            frame = frames[0]
            known = self._free.get(frame.what)
            under_way, ordinal, rewrites = self._of_client, self.frames, self._decoder.rewrites
            if (
                known is not None
                and frame.data is data
                and now_us < self._live_until_us
                and len(under_way) < MAX_UNDER_WAY
                and frame.exchange not in under_way
                and not self._doubled
                and not (rewrites and self._has_refused)
                and self._row(known[0], ordinal, now_us)
            ):
                tag, meter, place = known
                under_way[frame.exchange] = asked = Transaction(tag, ordinal, now_us, meter, place)
                self.frames = ordinal + 1
                return Effect(self._decoder.forward(frame) if rewrites else data, b"", None, (asked,))
        return self._take(_CLIENT, frames, now_us)

    def from_asset(self, data: bytes, now_us: int) -> Effect:
        """Match what the asset sent to what was asked of it.  One whole answer takes the short way."""
        try:
            frames = self._feed(_ASSET, data)
        except Malformed as error:
            return Effect(ending=_broken(error))
        rewrites = self._decoder.rewrites
        if len(frames) == 1 and not self._doubled and not (rewrites and self._has_refused):
            frame = frames[0]
            if frame.data is data and frame.role is _REPLY and frame.is_last and now_us < self._live_until_us:
                asked = self._of_client.pop(frame.exchange, None)
                if asked is not None:
                    place, at_us = asked.place, asked.at_us
                    if len(data) <= place.room:
                        place.reply, place.asked_us = frame, at_us
                        latency_us = now_us - at_us
                        self._ended(self._answers[frame.is_refusal], asked.ordinal, latency_us if latency_us > 0 else 0)  # noqa: FURB136
                    else:
                        self._values.answered(asked, frame, now_us)
                    return Effect(b"", self._decoder.forward(frame) if rewrites else data, None, (asked,))
        effect = self._take(_ASSET, frames, now_us)
        if self._holds.is_waiting and self._grant.transport == "tcp" and effect.ending is None:
            return self._go_on(effect, now_us)
        return effect

    def tick(self, now_us: int) -> Ending | None:
        """Expiry, half messages, requests without an answer, refusals that were only counted."""
        self._refusals.tick(now_us)
        for asked in self._asked.values():
            for one in asked.give_up(now_us):
                self._values.unanswered(one, now_us)
                self._late_until_us = now_us + LATE_US
        self._may_be_late = now_us < self._late_until_us
        self._choose_way()
        if now_us >= self._live_until_us:
            return Ending(End.GATE, Reason.GRANT_EXPIRED)
        if any(since and now_us - since >= HALF_MESSAGE_US for since in self._half_since_us.values()):
            return Ending(End.GATE, Reason.MALFORMED, "half a message, and then nothing")
        return None

    def renew(self, grant: Grant) -> None:
        """Forget every verdict; the grant's expiry may have moved."""
        self._grant = grant
        self._live_until_us = expiry_us(grant)
        self._free.clear()
        self._known.clear()
        self._tags.clear()
        self._is_renewed = True

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much: all that waits does so as long as it would have."""
        self._holds.stepped(step_us)
        self._late_until_us += step_us
        for side, since_us in self._half_since_us.items():
            self._half_since_us[side] = since_us and since_us + step_us
        for asked in self._asked.values():
            asked.stepped(step_us)

    def decide(self, decided: HoldDecided, now_us: int) -> Effect | None:
        """Send on what was held, if it may still pass, or refuse it; then what waited behind it.  See `Relay`."""
        held = self._holds.held
        if held is None or held.number != decided.hold or now_us >= min(held.told.until_us, self._live_until_us):
            return None
        if decided.is_approved:
            return self._release(Approval(held.number, decided.decided_by), now_us)
        why = f"{decided.decided_by} refused it"
        return self._give_up(HoldEnding.REFUSED, Reason.HOLD_REFUSED, now_us, why=why)

    def lapse(self, now_us: int) -> Effect | None:
        """Refuse what nobody decided in time; after a new revision judge again what is held."""
        held = self._holds.held
        if held is None:
            return self._go_on(Effect(), now_us) if self._holds.is_waiting and self._may_go_on(now_us) else None
        if now_us >= held.told.until_us:
            return self._give_up(HoldEnding.TIMED_OUT, Reason.HOLD_TIMED_OUT, now_us)
        if self._is_renewed:
            self._is_renewed = False
            decision = self._judge(held.operation, now_us)
            if not decision.is_allowed:
                return self._give_up(HoldEnding.NOT_ALLOWED, decision.reason, now_us, decision)
            if decision.hold_s is None:
                return self._release(Approval(held.number, ""), now_us)
            self._holds.renewed(decision)
        self._holds.count_behind()
        return None

    def withdraw(self, now_us: int, reason: Reason = Reason.SENDER_GONE) -> None:
        """What is held, and what waits behind it, is never sent on: who sent it hears no answer any more."""
        if self._holds.held is not None:
            held = self._holds.end(HoldEnding.WITHDRAWN, now_us, reason)
            self._refusals.hold = held.number
            self._refusals.add(held.frame, reason, now_us, held.operation)
            self._refusals.hold = None
        for frame, operation in self._holds.forget_queue():
            self._refusals.add(frame, reason, now_us, operation)
        self._choose_way()

    def settle(self, now_us: int, reason: Reason | None = None) -> None:
        """Nothing that is under way will be answered, and nothing that is held will be sent on."""
        self.withdraw(now_us, reason or Reason.SENDER_GONE)
        for asked in self._asked.values():
            for one in asked:
                self._values.unanswered(one, now_us)
            asked.clear()
        self._refusals.tick(now_us, is_last=True)

    def _take(self, side: Side, frames: Iterable[Frame], now_us: int) -> Effect:
        """Judge or match the frames of one side, in order."""
        if now_us >= self._live_until_us:
            return Effect(ending=Ending(End.GATE, Reason.GRANT_EXPIRED))
        turn, count, ending = Turn([], [], []), 0, None
        for frame in frames:
            count += 1
            ending = self._step(frame, turn, now_us)
            if ending is not None:
                break
        if self._has_refused:
            turn.ahead.append(self._decoder.due(_ASSET if side is _CLIENT else _CLIENT))
            turn.back.append(self._decoder.due(side))
        ending = ending or self._note_half(side, count, now_us)
        ahead, back = b"".join(turn.ahead), b"".join(turn.back)
        to_asset, to_client = (ahead, back) if side is _CLIENT else (back, ahead)
        return Effect(to_asset, to_client, ending, tuple(turn.touched))

    def _step(self, frame: Frame, turn: Turn, now_us: int) -> Ending | None:
        """One frame: it goes on, or back goes an answer, or the flow ends."""
        holds = self._holds
        if frame.side is _CLIENT and holds.is_waiting and not holds.is_drained(frame) and not holds.lets_pass(frame):
            return self._queue(frame, turn.back, now_us)
        match frame.role:
            case Role.REPLY:
                if not self._match(frame, turn.touched, now_us):
                    return Ending(End.GATE, Reason.MALFORMED, f"the {frame.side.value} answered what it was not asked")
            case Role.REQUEST | Role.NOTICE:
                outcome = self._consider(frame, now_us)
                if not isinstance(outcome, Transaction):
                    turn.back.append(self._kept_back(frame, outcome))
                    return None
                if frame.side is _CLIENT:
                    turn.touched.append(outcome)
                if holds.is_drained(frame):
                    self._awaited = frame.exchange, outcome
            case Role.LINK:
                pass
            case _:
                assert_never(frame.role)
        turn.ahead.append(self._decoder.forward(frame))
        return None

    def _kept_back(self, frame: Frame, reason: Reason | None) -> bytes:
        """What the sender of a request hears that is not forwarded, or not yet (no reason)."""
        self._has_refused = True
        return self._holds.keep_waiting(frame) if reason is None else self._decoder.refuse(frame, reason)

    def _match(self, frame: Frame, ended: list[Transaction], now_us: int) -> bool:
        """Note what this answers; false if nobody asked."""
        asked = self._asked[_ASSET if frame.side is _CLIENT else _CLIENT]
        if not frame.is_last:
            self._values.part(asked.under_way.get(frame.exchange), frame)
            return asked.heard(frame.exchange, now_us) or asked.is_late(frame.exchange)
        one = asked.answered(frame.exchange)
        if one is None:
            return asked.is_late(frame.exchange)
        self._values.answered(one, frame, now_us)
        if frame.side is _ASSET:
            ended.append(one)
        return True

    def _consider(self, frame: Frame, now_us: int, approval: Approval | None = None) -> Transaction | Reason | None:
        """Judge one request and write its row; the reason why it is not forwarded, or ``None``: it is held."""
        known = self._known.get((frame.side, frame.what)) if approval is None else None
        try:
            operation = frame.operation if known is None else known[0]
        except Malformed as error:
            return self._refusals.add(frame, Reason.MALFORMED, now_us, why=str(error))
        if frame.exchange != NO_ANSWER and self._asked[frame.side].is_full:
            return self._refusals.add(frame, Reason.TOO_MANY_IN_FLIGHT, now_us, operation)
        decision = self._judge(operation, now_us) if known is None else known[1]
        if not decision.is_allowed:
            return self._refusals.add(frame, decision.reason, now_us, operation, decision)
        if decision.hold_s is not None and approval is None and frame.side is _CLIENT:
            return self._hold_back(frame, operation, decision, now_us)
        return self._admit(frame, operation, decision, now_us, approval)

    def _admit(
        self, frame: Frame, operation: Operation, decision: Decision, now_us: int, approval: Approval | None
    ) -> Transaction | Reason:
        """Charge what is allowed and write its row; the reason why it is not forwarded where that fails."""
        if decision.charges and (charge := self._rates.admit(decision.charges, now_us)):
            why = f"at most {charge.count} in {charge.period_s} s"
            return self._refusals.add(frame, Reason.RATE_EXCEEDED, now_us, operation, decision, why)
        place = self._values.place(frame, operation, decision.record)
        tag = (
            self._tag(frame, operation, decision, place)
            if approval is None
            else self._define(frame, operation, decision, approval)
        )
        if tag is None or not self._row(tag, self.frames, now_us):
            if approval is not None or not self._grant.is_safety_critical:
                return self._refusals.add(frame, Reason.EVIDENCE_UNAVAILABLE, now_us, operation, decision)
            self._flow.passed()
            tag = 0
        one = Transaction(tag, self.frames, now_us, self._meters.of(decision.conduit), place)
        self._values.begin(one, frame, operation, decision)
        if frame.exchange != NO_ANSWER:
            self._expect(frame, one)
        elif tag:
            self._values.unanswered(one, now_us, Outcome.SENT)
        self.frames += 1
        return one

    def _expect(self, frame: Frame, one: Transaction) -> None:
        """Wait for the answer; where another request's may be taken for it, neither of them shows anything."""
        asked = self._asked[frame.side]
        rivals = asked.rivals(frame.exchange)
        if asked.may_come_late(frame.exchange) or any(each.tag != one.tag or not one.tag for each in rivals):
            for each in (*rivals, one):
                self._values.doubt(each)
        asked.expect(frame.exchange, one)

    def _tag(self, frame: Frame, operation: Operation, decision: Decision, place: Place) -> int | None:
        """The tag of this operation's rows; it is announced when it is asked for the first time."""
        key = (frame.side, frame.what, decision.conduit, decision.record)
        tag = self._tags.get(key)
        if tag is None:
            if len(self._tags) >= MAX_VERDICTS:
                self._tags.clear()
                self._free.clear()
                self._known.clear()
            tag = self._define(frame, operation, decision)
            if tag is None:
                return None
            self._tags[key] = tag
        if not decision.charges:
            self._known[frame.side, frame.what] = operation, decision
            is_asked = frame.side is _CLIENT and frame.exchange != NO_ANSWER
            if is_asked and not self._values.is_told(operation, decision.record):
                self._free[frame.what] = tag, self._meters.of(decision.conduit), place
        return tag

    def _define(
        self, frame: Frame, operation: Operation, decision: Decision, approval: Approval | None = None
    ) -> int | None:
        """A new tag.  What was held has one of its own, which says who approved it."""
        hold, by = (0, "") if approval is None else (approval.hold, approval.by)
        tag = self._flow.define(
            self._indexes, operation, decision.conduit, frame.recorded, hold, by, record=decision.record
        )
        if tag is not None:
            self._indexes = self._indexes + 1 & _INDEX_MASK
        return tag

    def _hold_back(self, frame: Frame, operation: Operation, decision: Decision, now_us: int) -> Reason | None:
        """Hold this request."""
        if not self._holds.hold(frame, operation, decision, now_us, self._values.before(frame, operation, now_us)):
            return self._refusals.add(frame, Reason.EVIDENCE_UNAVAILABLE, now_us, operation, decision)
        self._is_renewed = False
        self._choose_way()
        return None

    def _queue(self, frame: Frame, back: list[bytes], now_us: int) -> Ending | None:
        """Let a frame of the client wait behind what is held; without room for it, refuse it, or end the flow."""
        holds = self._holds
        if holds.is_repeated(frame):
            why = "it waits already: a repetition of the same datagram"
            self._refusals.add(frame, Reason.TOO_MANY_IN_FLIGHT, now_us, operation_of(frame), why=why)
        elif holds.queue(frame):
            back.append(self._kept_back(frame, None))
        elif holds.can_refuse(frame):
            why = f"more than {MAX_BEHIND} requests wait behind one that is held"
            reason = self._refusals.add(frame, Reason.TOO_MANY_IN_FLIGHT, now_us, operation_of(frame), why=why)
            back.append(self._kept_back(frame, reason))
        else:
            why = "too much waits behind a request that is held"
            return Ending(End.GATE, Reason.TOO_MANY_IN_FLIGHT, why)
        return None

    def _release(self, approval: Approval, now_us: int) -> Effect:
        """Judge once more what was held, and send on exactly its bytes; then what waited behind it."""
        held = self._holds.held
        assert held is not None
        self._refusals.hold = held.number
        outcome = self._consider(held.frame, now_us, approval)
        self._refusals.hold = None
        if isinstance(outcome, Transaction):
            self._holds.end(HoldEnding.FORWARDED, now_us)
            self._awaited = held.frame.exchange, outcome
            first = Effect(self._decoder.forward(held.frame), b"", None, (outcome,))
        else:
            assert outcome is not None, "what was approved is not held again"
            self._holds.end(HoldEnding.NOT_ALLOWED, now_us, outcome)
            first = Effect(b"", self._kept_back(held.frame, outcome))
        return self._go_on(first, now_us)

    def _give_up(
        self, ending: HoldEnding, reason: Reason, now_us: int, decision: Decision | None = None, why: str = ""
    ) -> Effect:
        """Refuse what was held; then what waited behind it."""
        held = self._holds.end(ending, now_us, reason)
        self._refusals.hold = held.number
        self._refusals.add(held.frame, reason, now_us, held.operation, decision, why)
        self._refusals.hold = None
        return self._go_on(Effect(b"", self._kept_back(held.frame, reason)), now_us)

    def _go_on(self, first: Effect, now_us: int) -> Effect:
        """`first`, and behind it what waited and may go on now; over UDP that is for the next time, a datagram each."""
        if self._grant.transport == "udp" and (first.to_asset or first.to_client):
            self._choose_way()
            return first
        rest = self._take(_CLIENT, self._holds.drain(lambda: self._may_go_on(now_us)), now_us)
        self._choose_way()
        return Effect(
            first.to_asset + rest.to_asset,
            first.to_client + rest.to_client,
            rest.ending,
            first.transactions + rest.transactions,
        )

    def _may_go_on(self, now_us: int) -> bool:
        """Whether what went on last is answered, or has had its time."""
        exchange, awaited = self._awaited
        if awaited is None or self._of_client.get(exchange) is not awaited:
            return True
        return not 0 <= now_us - awaited.at_us < PACE_US

    def _choose_way(self) -> None:
        """While something waits nothing takes the short way: a request would overtake, an answer lets others go on.

        Nor while an answer may come late, which might be taken for another request's.
        """
        is_detour = self._holds.is_waiting or self._may_be_late
        self._doubled = _DETOUR if is_detour else self._asked[_CLIENT].doubled

    def _note_half(self, side: Side, count: int, now_us: int) -> Ending | None:
        """Note since when half a message is held, and let the decoder say whether it can become a whole one."""
        if not self._decoder.pending(side):
            self._half_since_us[side] = 0
            return None
        if count or not self._half_since_us[side]:
            self._half_since_us[side] = now_us
        try:
            self._feed(side, b"")
        except Malformed as error:
            return _broken(error)
        return None

    def _rows_under_way(self) -> Iterator[tuple[int, int, int]]:
        for asked in self._asked.values():
            for one in asked:
                yield one.tag, one.ordinal, one.at_us


def _broken(error: Malformed) -> Ending:
    reason = Reason.WRONG_PROTOCOL if isinstance(error, WrongProtocol) else Reason.MALFORMED
    return Ending(End.GATE, reason, str(error))
