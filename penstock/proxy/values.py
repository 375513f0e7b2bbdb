"""What goes on record about an operation beside its row: what was there before, the result, and the answer's values.

Pure.  Stands between `inspect`, which says what passes, and the journal.  A row is written before a message is
forwarded; what is told here comes after its answer, and is the first thing to be left out when there is no room.
Reads are only remembered, and decoded when a write wants to know what was there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from penstock.bus import QUIET, FlowJournal, OldLine, Outcome, ResultLine
from penstock.bus.lines import MAX_VALUE_CHARACTERS, MAX_VALUES, short_status, target_lines, values_within, with_reply
from penstock.model import Decision, Operation, RecordMode, ShownBefore, Target, Value
from penstock.proxy.meter import Transaction
from penstock.proxy.shown import Event, Place, Shown, Write, elements, is_read, shown_values
from penstock.wire import NO_ANSWER, Answer, Decoder, Frame, Role, Side

#: Parts of an answer whose statuses are told, and bytes of them that are kept until the last one is there.
MAX_PARTS: Final = 16
MAX_PARTS_BYTES: Final = 64 << 10
#: For one write so many objects are looked at, and so many bytes of answers decoded: the heartbeat must not wait.
MAX_COMPARED: Final = 8192
MAX_DECODED_BYTES: Final = 16 << 10
#: Reads that were answered in parts and whose parts are counted.
_MAX_COUNTED: Final = 64


class Told(msgspec.Struct):
    """An operation that is told by itself and waits for its answer."""

    frame: Frame
    operation: Operation
    record: RecordMode
    events: list[Event]
    write: Write | None
    is_sweeping: bool
    parts: list[Frame]
    parts_bytes: int = 0
    place: Place | None = None


class Values:
    """What is told of the operations of one flow."""

    def __init__(self, decoder: Decoder, flow: FlowJournal, shown: Shown) -> None:
        self._decoder, self._flow, self._shown = decoder, flow, shown
        #: What is left for the write that is told now.
        self._patience, self._undecoded = MAX_COMPARED, MAX_DECODED_BYTES
        self._told: dict[int, Told] = {}
        self._parts: dict[int, int] = {}
        #: Where nothing is kept.
        self.nowhere = Place(None, Frame(b"", Side.CLIENT, b"", NO_ANSWER, False), (), None, wants=False)

    def is_told(self, operation: Operation, record: RecordMode) -> bool:
        """Whether this operation is told by itself with its result: it is no read, or the mode wants all there is."""
        return record is RecordMode.PAYLOAD or not QUIET.issuperset(operation.classes)

    def place(self, frame: Frame, operation: Operation, record: RecordMode) -> Place:
        """Where the answers to this request are kept without asking; nowhere, where each is to be told."""
        if self.is_told(operation, record) or not is_read(operation):
            return self.nowhere
        return self._shown.place(frame, operation)

    def begin(self, one: Transaction, frame: Frame, operation: Operation, decision: Decision) -> None:
        """A request or a notice goes on to the other side, and its row is written."""
        if frame.role is Role.NOTICE:
            if is_read(operation):
                place = self._shown.notice_place(frame, operation)
                self._shown.keep(place, frame, one.at_us)
            return
        if self.is_told(operation, decision.record):
            begun = self._shown.begin(operation, frame.data, one.at_us)
            events, write = begun or ([], None)
            told = Told(frame, operation, decision.record, events, write, begun is None, [])
            told.place = self._shown.place(frame, operation) if is_read(operation) else None
            self._told[one.ordinal] = told

    def doubt(self, one: Transaction) -> None:
        """Its answer may be another request's: neither that, nor what it writes, shows what stands there."""
        one.place = self.nowhere
        told = self._told.get(one.ordinal)
        if told is not None:
            told.place = None
            if told.write is not None:
                told.write.is_unclear = True

    def before(self, frame: Frame, operation: Operation, now_us: int) -> tuple[ShownBefore, ...]:
        """What stands in the objects that a held request would write, as far as traffic has shown it until now."""
        events = self._shown.bearing_on(operation, now_us)
        told = Told(frame, operation, RecordMode.WRITES, events, None, False, [])
        return tuple(
            ShownBefore(target=each.target, first=each.first, values=tuple(each.values), age_us=each.old_seen_us)
            for each in self._old(told, now_us)
        )

    def part(self, one: Transaction | None, frame: Frame) -> None:
        """A part of an answer came, and more follow."""
        if one is None:
            return
        told = self._told.get(one.ordinal)
        if told is None:
            self._keep_part(one, frame)
        elif len(told.parts) < MAX_PARTS and told.parts_bytes + len(frame.data) <= MAX_PARTS_BYTES:
            told.parts.append(frame)
            told.parts_bytes += len(frame.data)

    def answered(self, one: Transaction, frame: Frame, now_us: int) -> None:
        """The answer, or its last part, came: write its row, with what is to be told."""
        latency_us, outcome = max(0, now_us - one.at_us), Outcome(frame.is_refusal)
        told = self._told.pop(one.ordinal, None)
        place = one.place if told is None else told.place
        if place is not None and place.wants:
            self._shown.keep(place, frame, one.at_us)
        if told is None:
            self._flow.answered(one.ordinal, outcome, latency_us)
            return
        answers = [self._decoder.answer(told.frame, each) for each in (*told.parts, frame)]
        status = ", ".join(dict.fromkeys(each.status for each in answers if each.status))
        self._end(told, now_us, is_good=not (frame.is_refusal or status))
        line = ResultLine(at_us=one.at_us, status=short_status(status), old=self._old(told, one.at_us))
        if told.record is RecordMode.PAYLOAD:
            line.answer = target_lines(target for each in answers for target in each.targets)
            with_reply(line, b"".join(each.recorded for each in (*told.parts, frame)))
        self._write(one, outcome, latency_us, line)

    def unanswered(self, one: Transaction, now_us: int, outcome: Outcome = Outcome.UNANSWERED) -> None:
        """Nobody will answer this any more; where it was `SENT`, nobody would have."""
        told = self._told.pop(one.ordinal, None)
        if told is None:
            self._flow.answered(one.ordinal, outcome, 0)
            return
        self._end(told, now_us, is_good=False)
        self._write(one, outcome, 0, ResultLine(at_us=one.at_us, old=self._old(told, one.at_us)))

    def _write(self, one: Transaction, outcome: Outcome, latency_us: int, line: ResultLine) -> None:
        if one.tag:
            self._flow.told(one.tag, one.ordinal, outcome, latency_us, line)
        else:  # its row could not be written, so nothing could say what this belongs to
            self._flow.answered(one.ordinal, outcome, latency_us)

    def _end(self, told: Told, now_us: int, *, is_good: bool) -> None:
        if told.write is not None:
            self._shown.done(told.write, now_us, is_good=is_good)
        if told.is_sweeping:
            self._shown.swept(now_us)

    def _keep_part(self, one: Transaction, frame: Frame) -> None:
        """A part of the answer to a read shows objects of its own, so it has its own place."""
        if not one.place.wants:
            return
        number = self._parts.pop(one.ordinal, 0) + 1
        self._parts[one.ordinal] = number
        if len(self._parts) > _MAX_COUNTED:
            del self._parts[next(iter(self._parts))]
        self._shown.keep(self._shown.part_of(one.place, number), frame, one.at_us)

    def _old(self, told: Told, at_us: int) -> list[OldLine]:
        """What stood in the objects that the request writes, as far as traffic has shown it."""
        if not told.events:
            return []
        changed = self._shown.objects.changed_by(told.operation) or ()
        places = {id(target): place for place, target in enumerate(told.operation.targets)}
        lines: list[OldLine] = []
        room = MAX_VALUES, MAX_VALUE_CHARACTERS
        self._patience, self._undecoded = MAX_COMPARED, MAX_DECODED_BYTES
        for target, _ in changed:
            for first, values, seen_us in self._known(told, target):
                kept, room = values_within(values, room)
                age_us = max(0, at_us - seen_us)
                lines.append(OldLine(places[id(target)], first, kept, age_us, len(values) - len(kept)))
        return lines

    def _known(self, told: Told, target: Target) -> Iterator[tuple[int, tuple[Value, ...], int]]:
        """Runs of elements of a target with their old values, and when they were seen."""
        known = _Known(self._shown, told.operation.unit, target)
        for event in told.events:
            if known.is_settled or self._patience <= 0:
                break
            if event.write is not None:
                self._patience -= len(event.write.targets)
                known.written(event.write)
            elif event.place is not None and event.place.unit == told.operation.unit and event.reply is not None:
                answer = self._answer(event.place, event.reply)
                if answer is None:
                    break
                self._patience -= 1 + len(answer.targets)
                known.shown(answer.targets, event.at_us)
        return known.runs()

    def _answer(self, place: Place, reply: Frame) -> Answer | None:
        """What an answer shows, decoded once; ``None`` where one write would have too much decoded."""
        if place.decoded is not None and place.decoded_of is reply:
            return place.decoded
        self._undecoded -= len(reply.data)
        if self._undecoded < 0:
            return None
        request = reply if reply.role is Role.NOTICE else place.request
        found = self._decoder.answer(request, reply)
        if not found.targets and reply.role is Role.NOTICE:
            found = Answer("", place.targets)
        if place.reply is reply:
            place.decoded, place.decoded_of = found, reply
        return found


class _Known:
    """What is known of the elements of one target, newest first: what is settled once stays."""

    def __init__(self, shown: Shown, unit: int | None, target: Target) -> None:
        self._objects, self._unit, self._target = shown.objects, unit, target
        self._count, self._width = elements(target)
        self._found: dict[int, tuple[Value, int]] = {}
        self._blocked: set[int] = set()
        self._whole: tuple[tuple[Value, ...], int] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether older events can add nothing."""
        return self._whole is not None or len(self._found) + len(self._blocked) >= self._count

    def shown(self, targets: tuple[Target, ...], at_us: int) -> None:
        """An answer showed these."""
        for each in targets:
            if each.values is not None and self._objects.is_same(each, self._target):
                self._take(each, at_us)

    def written(self, write: Write) -> None:
        """A write changed these; where it is not clear to what, that is not known."""
        for each in write.targets:
            if not self._objects.may_meet(each, self._target):
                continue
            is_known = not write.is_unclear and write.unit == self._unit and self._objects.is_same(each, self._target)
            if is_known:
                self._take(each, write.done_us)
            self._block(each)

    def runs(self) -> Iterator[tuple[int, tuple[Value, ...], int]]:
        """First number, values, and when they were seen."""
        first = self._target.first
        if self._whole is not None:
            yield first, *self._whole
            return
        run: list[Value] = []
        start, seen_us = 0, 0
        for place in sorted(self._found):
            value, at_us = self._found[place]
            if run and (place != start + len(run) or at_us != seen_us):
                yield first + start * self._width, tuple(run), seen_us
                run = []
            if not run:
                start, seen_us = place, at_us
            run.append(value)
        if run:
            yield first + start * self._width, tuple(run), seen_us

    def _take(self, shown: Target, at_us: int) -> None:
        wanted, values = self._target, shown.values or ()
        is_exact = (shown.first, shown.count) == (wanted.first, wanted.count)
        if is_exact and wanted.count % (len(values) or 1) and not self._found and not self._blocked:
            self._whole = values, at_us  # a list, a text, a structure: one object with however many values
            return
        if is_exact and self._count == wanted.count == 1 and not (self._found or self._blocked):
            self._whole = values, at_us
            return
        for place, value in shown_values(self._objects, shown, wanted):
            if place not in self._blocked:
                self._found.setdefault(place, (value, at_us))

    def _block(self, changed: Target) -> None:
        """Elements that were changed and are not known by then stay unknown."""
        wanted = self._target
        if self._objects.has_parts and changed.name != wanted.name:
            places = range(self._count)
        else:
            low = max(0, (changed.first - wanted.first) // self._width)
            high = min(self._count - 1, (changed.last - wanted.first) // self._width)
            places = range(low, high + 1)
        self._blocked.update(place for place in places if place not in self._found)
