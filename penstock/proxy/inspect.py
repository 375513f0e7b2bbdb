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

from collections.abc import Callable, Iterable, Iterator
from typing import Final, assert_never

from penstock.bus import FlowJournal, Journal, Outcome
from penstock.model import Decision, Grant, Malformed, Operation, Reason
from penstock.proxy.asked import MAX_UNDER_WAY, Asked
from penstock.proxy.meter import Meter, Meters, Transaction
from penstock.proxy.rates import Rates
from penstock.proxy.refusals import OperationRefusals
from penstock.proxy.relay import Effect, End, Ending, expiry_us
from penstock.wire import NO_ANSWER, Decoder, Frame, Role, Side, WrongProtocol

#: Verdicts that are remembered for a flow.
MAX_VERDICTS: Final = 1024
#: Some 40 requests; refusing one costs up to 50 microseconds, and the heartbeat must not wait for 256 KiB of them.
PORTION_BYTES: Final = 512
#: An index has 24 bits in the journal.  A meaning that old is long forgotten at both ends.
_INDEX_MASK: Final = 0xFF_FFFF
#: Messages have 260 bytes: half of one is a second half on its way, or an attack on the gate's patience.
HALF_MESSAGE_US: Final = 5_000_000
_CLIENT: Final = Side.CLIENT
_ASSET: Final = Side.ASSET
_REPLY: Final = Role.REPLY


class Inspection:
    """One inspected flow under `grant`."""

    def __init__(
        self,
        grant: Grant,
        decoder: Decoder,
        judge: Callable[[Operation, int], Decision],
        journal: Journal,
        flow: FlowJournal,
        rates: Rates,
        meters: Meters,
    ) -> None:
        self.frames = 0
        self.portion_bytes = PORTION_BYTES
        self._grant, self._decoder, self._judge, self._flow = grant, decoder, judge, flow
        self._rates, self._meters = rates, meters
        self._feed, self._row = decoder.feed, flow.judged
        self._refusals = OperationRefusals(grant, journal, flow)
        self._live_until_us = expiry_us(grant)
        #: Tags of rows, by what is asked: `_free` where nothing but that decides, `_tags` for every announced one.
        self._free: dict[bytes, tuple[int, Meter]] = {}
        self._tags: dict[tuple[Side, bytes, str | None], int] = {}
        self._indexes = 0
        self._asked = {_CLIENT: Asked(), _ASSET: Asked()}
        self._of_client, self._doubled = self._asked[_CLIENT].under_way, self._asked[_CLIENT].doubled
        self._half_since_us = {_CLIENT: 0, _ASSET: 0}
        self._has_refused = False
        flow.under_way = self._rows_under_way

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return self._refusals.count

    @property
    def is_waiting(self) -> bool:
        """Whether the asset still owes answers."""
        return bool(self._of_client)

    def from_client(self, data: bytes, now_us: int) -> Effect:
        """Judge what the client sent.  One whole request that was judged before takes the short way."""
        try:
            frames = self._feed(_CLIENT, data)
        except Malformed as error:
            return Effect(ending=_broken(error))
        if len(frames) == 1:
            frame = frames[0]
            known = self._free.get(frame.what)
            under_way, rewrites = self._of_client, self._decoder.rewrites
            if (
                known is not None
                and frame.data is data
                and now_us < self._live_until_us
                and len(under_way) < MAX_UNDER_WAY
                and frame.exchange not in under_way
                and not self._doubled
                and not (rewrites and self._has_refused)
                and self._row(known[0], self.frames, now_us)
            ):
                asked = Transaction(known[0], self.frames, now_us, known[1])
                under_way[frame.exchange] = asked
                self.frames += 1
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
                    latency_us = now_us - asked.at_us
                    self._flow.answered(asked.ordinal, frame.is_refusal, latency_us if latency_us > 0 else 0)  # noqa: FURB136
                    return Effect(b"", self._decoder.forward(frame) if rewrites else data, None, (asked,))
        return self._take(_ASSET, frames, now_us)

    def tick(self, now_us: int) -> Ending | None:
        """Expiry, half messages, requests without an answer, refusals that were only counted."""
        self._refusals.tick(now_us)
        for asked in self._asked.values():
            for one in asked.give_up(now_us):
                self._flow.answered(one.ordinal, Outcome.UNANSWERED, 0)
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
        self._tags.clear()

    def settle(self, now_us: int) -> None:
        """Nothing that is under way will be answered."""
        for _, ordinal, _ in self._rows_under_way():
            self._flow.answered(ordinal, Outcome.UNANSWERED, 0)
        for asked in self._asked.values():
            asked.clear()
        self._refusals.tick(now_us, is_last=True)

    def _take(self, side: Side, frames: Iterable[Frame], now_us: int) -> Effect:
        """Judge or match the frames of one side, in order."""
        if now_us >= self._live_until_us:
            return Effect(ending=Ending(End.GATE, Reason.GRANT_EXPIRED))
        ahead, back, touched, count = list[bytes](), list[bytes](), list[Transaction](), 0
        ending = None
        for frame in frames:
            count += 1
            match frame.role:
                case Role.REPLY:
                    if not self._match(frame, touched, now_us):
                        ending = Ending(End.GATE, Reason.MALFORMED, f"the {side.value} answered what it was not asked")
                        break
                case Role.REQUEST | Role.NOTICE:
                    outcome = self._consider(frame, now_us)
                    if not isinstance(outcome, Transaction):
                        self._has_refused = True
                        back.append(self._decoder.refuse(frame, outcome))
                        continue
                    touched.append(outcome)
                case Role.LINK:
                    pass
                case _:
                    assert_never(frame.role)
            ahead.append(self._decoder.forward(frame))
        if self._has_refused:
            ahead.append(self._decoder.due(_ASSET if side is _CLIENT else _CLIENT))
            back.append(self._decoder.due(side))
        ending = ending or self._hold(side, count, now_us)
        to_asset, to_client = (ahead, back) if side is _CLIENT else (back, ahead)
        return Effect(b"".join(to_asset), b"".join(to_client), ending, tuple(touched))

    def _match(self, frame: Frame, ended: list[Transaction], now_us: int) -> bool:
        """Note what this answers; false if nobody asked."""
        asked = self._asked[_ASSET if frame.side is _CLIENT else _CLIENT]
        if not frame.is_last:
            return asked.heard(frame.exchange, now_us) or asked.is_late(frame.exchange)
        one = asked.answered(frame.exchange)
        if one is None:
            return asked.is_late(frame.exchange)
        self._flow.answered(one.ordinal, frame.is_refusal, max(0, now_us - one.at_us))
        if frame.side is _ASSET:
            ended.append(one)
        return True

    def _consider(self, frame: Frame, now_us: int) -> Transaction | Reason:
        """Judge one request and write its row; the reason why it is not forwarded where it is not."""
        try:
            operation = frame.operation
        except Malformed as error:
            return self._refusals.add(frame, Reason.MALFORMED, now_us, why=str(error))
        asked, is_answered = self._asked[frame.side], frame.exchange != NO_ANSWER
        if is_answered and asked.is_full:
            return self._refusals.add(frame, Reason.TOO_MANY_IN_FLIGHT, now_us, operation)
        decision = self._judge(operation, now_us)
        if not decision.is_allowed:
            return self._refusals.add(frame, decision.reason, now_us, operation, decision)
        if decision.charges and (charge := self._rates.admit(decision.charges, now_us)):
            why = f"at most {charge.count} in {charge.period_s} s"
            return self._refusals.add(frame, Reason.RATE_EXCEEDED, now_us, operation, decision, why)
        tag = self._tag(frame, operation, decision)
        if tag is None or not self._row(tag, self.frames, now_us):
            if not self._grant.is_safety_critical:
                return self._refusals.add(frame, Reason.EVIDENCE_UNAVAILABLE, now_us, operation, decision)
            self._flow.passed()
            tag = 0
        one = Transaction(tag, self.frames, now_us, self._meters.of(decision.conduit))
        if is_answered:
            asked.expect(frame.exchange, one)
        elif tag:
            self._flow.answered(one.ordinal, Outcome.SENT, 0)
        self.frames += 1
        return one

    def _tag(self, frame: Frame, operation: Operation, decision: Decision) -> int | None:
        """The tag of this operation's rows; it is announced when it is asked for the first time."""
        key = (frame.side, frame.what, decision.conduit)
        tag = self._tags.get(key)
        if tag is None:
            if len(self._tags) >= MAX_VERDICTS:
                self._tags.clear()
                self._free.clear()
            tag = self._flow.define(self._indexes, operation, decision.conduit, frame.recorded)
            if tag is None:
                return None
            self._indexes = self._indexes + 1 & _INDEX_MASK
            self._tags[key] = tag
        if not decision.charges and frame.side is _CLIENT and frame.exchange != NO_ANSWER:
            self._free[frame.what] = tag, self._meters.of(decision.conduit)
        return tag

    def _hold(self, side: Side, count: int, now_us: int) -> Ending | None:
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
