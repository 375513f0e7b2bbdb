"""What the traffic of one asset's service has shown of its objects: the last answers to reads, and the last writes.

Pure.  Shared by all flows of a worker to the same service, for a register is the asset's, whoever read it.  Answers
are kept as they came and decoded when a write wants to know what was there before; keeping one costs a read two
assignments.  Bounded in number and bytes.  It must never guess: what was written by somebody and not shown since, what
two wrote at once, and what a restart may have changed is not known.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from penstock.model import Grant, Operation, OperationClass, Target, Value
from penstock.wire import NAMED, PLAIN, Answer, Frame, Left, Objects

#: Reads whose last answers are kept, and bytes of them; a longer answer than this is not kept.
MAX_PLACES: Final = 512
MAX_BYTES: Final = 128 << 10
MAX_ANSWER_BYTES: Final = 16 << 10
#: Objects that all reads together may name, and bytes of a request that is kept with its answers: a write looks at
#: each of them, and the heartbeat must not wait for that.
MAX_OBJECTS: Final = 4096
MAX_REQUEST_BYTES: Final = 2048
#: Services of which something is remembered at a time.
MAX_SERVICES: Final = 256
#: Writes that are remembered; of a longer one only that it was.
MAX_WRITES: Final = 256
MAX_WRITTEN_BYTES: Final = 2048
#: What was not read for so long gives way to others, and how long it takes until that is looked at again.
STALE_US: Final = 60_000_000
_FULL_US: Final = 1_000_000
#: Room is given in steps.
_STEP_BYTES: Final = 64
_EVER: Final = 1 << 62
_MOST_COMPARED: Final = 64


class Place:
    """Where the last answer to one read is kept: it was asked for at `asked_us`.

    An answer of at most `room` bytes is put here without asking anybody.  `wants`: it is a read at all.  Not a struct:
    to assign to one of those takes ten times as long.
    """

    __slots__ = (
        "asked_us",
        "decoded",
        "decoded_of",
        "is_wide",
        "key",
        "near",
        "reply",
        "request",
        "room",
        "targets",
        "unit",
        "wants",
    )

    def __init__(
        self,
        key: Hashable,
        request: Frame,
        targets: tuple[Target, ...],
        unit: int | None,
        *,
        wants: bool = True,
    ) -> None:
        self.key, self.request, self.targets, self.unit, self.wants = key, request, targets, unit, wants
        #: The neighbourhoods of its objects; whether its answers show others.
        self.near: frozenset[tuple[str, str]] = frozenset()
        self.is_wide = False
        self.room, self.asked_us = -1, 0
        self.reply: Frame | None = None
        self.decoded: Answer | None = None
        self.decoded_of: Frame | None = None

    def clear(self) -> None:
        """Give back what it has."""
        self.reply, self.room, self.decoded, self.decoded_of = None, -1, None, None


class Write(msgspec.Struct):
    """A write that was forwarded, and what it left: nothing known while `done_us` is not set, or when it `is_unclear`.

    `targets` have their values where these are known to stand there afterwards.
    """

    unit: int | None
    targets: tuple[Target, ...]
    near: frozenset[tuple[str, str]]
    judged_us: int
    done_us: int = _EVER
    is_unclear: bool = False


class Event(msgspec.Struct):
    """Something that showed, or changed, objects of a write: the answer in `place`, or another write."""

    at_us: int
    write: Write | None = None
    place: Place | None = None
    reply: Frame | None = None


class Shown:
    """What is known of the objects of one service of one asset."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.used_bytes = self.used_objects = 0
        self._places: dict[Hashable, Place] = {}
        self._writes: dict[Hashable, Write] = {}
        self._full_until_us = 0
        #: What was seen until then counts no more; and how many operations are under way that may change anything.
        self._floor_us = 0
        self._sweeping = 0

    def place(self, request: Frame, operation: Operation) -> Place:
        """Where answers to this read are kept: one place, whichever flow asks.

        What a request does not say itself (S7: the slot, which the connection names) tells modules of one asset apart.
        """
        key = operation.unit, request.what
        found = self._places.get(key)
        if found is None:
            is_short = len(request.data) <= MAX_REQUEST_BYTES
            found = self._new(key, request, operation, wants=is_short)
            if is_short and self._has_room(0, found, is_new=True):
                self._register(found)
        return found

    def notice_place(self, notice: Frame, operation: Operation) -> Place:
        """Where what an asset tells of the same objects is kept."""
        key = operation.unit, *((each.table, each.name, each.first, each.count) for each in operation.targets)
        found = self._places.get(key) or self._new(key, notice, operation)
        found.request, found.targets = notice, operation.targets
        return found

    def part_of(self, place: Place, number: int) -> Place:
        """Where this part of the answers to a read is kept."""
        key = place.key, number
        found = self._places.get(key)
        if found is None:
            found = Place(key, place.request, place.targets, place.unit)
            found.near, found.is_wide = place.near, place.is_wide
        return found

    def _new(self, key: Hashable, request: Frame, operation: Operation, *, wants: bool = True) -> Place:
        found = Place(key, request, operation.targets if wants else (), operation.unit, wants=wants)
        found.near = frozenset(map(self.objects.neighbourhood, found.targets))
        found.is_wide = any(map(self.objects.is_wide, found.targets))
        return found

    def _register(self, place: Place) -> None:
        if place.key not in self._places:
            self._places[place.key] = place
            self.used_objects += len(place.targets)

    def keep(self, place: Place, reply: Frame, asked_us: int) -> None:
        """Keep an answer that does not fit into its place, or to a read that is new."""
        known = self._places.get(place.key)
        place = place if known is None else known
        size = len(reply.data)
        if size > place.room and not self._grow(place, size, asked_us, is_new=known is None):
            place.reply = None  # a shorter one before it is not the last any more
            return
        place.reply, place.asked_us = reply, asked_us

    def begin(self, operation: Operation, data: bytes, at_us: int) -> tuple[list[Event], Write | None] | None:
        """A write goes to the asset: what bears on the objects that it changes, newest first, and itself.

        ``None``: it may change everything, so nothing is known until `swept` says that it is over.  No write where it
        changes nothing.
        """
        changed = self.objects.changed_by(operation)
        if changed is None:
            self._sweeping += 1
            return None
        events = self._events([target for target, _ in changed], at_us)
        kept = tuple(
            target if left is Left.VALUES and len(data) <= MAX_WRITTEN_BYTES else _without_values(target)
            for target, left in changed
            if left is not Left.NOTHING_NEW
        )
        if not kept:
            return events, None
        write = Write(operation.unit, kept, frozenset(map(self.objects.neighbourhood, kept)), at_us)
        for each in self._writes.values():
            if each.done_us == _EVER and self._may_meet(each, kept, write.near):
                each.is_unclear = write.is_unclear = True
        self._remember(write)
        return events, write

    def bearing_on(self, operation: Operation, at_us: int) -> list[Event]:
        """What bears on the objects that a write would change, newest first; nothing is noted of the write.

        What another one leaves that is under way now is not known yet.
        """
        events = self._events([target for target, _ in self.objects.changed_by(operation) or ()], at_us)
        for event in events:
            if event.write is not None and event.write.done_us == _EVER:
                event.write = msgspec.structs.replace(event.write, is_unclear=True)
        return events

    def done(self, write: Write, at_us: int, *, is_good: bool) -> None:
        """A write was answered, or will never be."""
        write.done_us = at_us
        if not is_good:
            write.is_unclear = True

    def swept(self, at_us: int) -> None:
        """An operation that may have changed anything is over: nothing that was seen until now counts."""
        self._sweeping -= 1
        self._floor_us = max(self._floor_us, at_us)

    def forget(self) -> None:
        """The clock was set: what was seen before and after cannot be told apart."""
        for place in self._places.values():
            place.clear()
        self._places.clear()
        self.used_objects = 0
        self._writes = {key: write for key, write in self._writes.items() if write.done_us == _EVER}
        self.used_bytes = self._full_until_us = self._floor_us = 0

    def _may_meet(self, write: Write, targets: tuple[Target, ...], near: frozenset[tuple[str, str]]) -> bool:
        """Whether a write may touch any of these; where both are many, their neighbourhoods alone decide."""
        if near.isdisjoint(write.near) and not _may_meet_unnamed(write.near, near):
            return False
        return len(write.targets) * len(targets) > _MOST_COMPARED or any(
            self.objects.may_meet(one, other) for one in write.targets for other in targets
        )

    def _events(self, targets: list[Target], at_us: int) -> list[Event]:
        """Reads and writes of these objects before `at_us`, newest first; a write before reads of the same instant."""
        if self._sweeping or not targets:
            return []
        near = frozenset(map(self.objects.neighbourhood, targets))
        found = [
            Event(place.asked_us, None, place, place.reply)
            for place in self._places.values()
            if place.reply is not None
            and self._floor_us < place.asked_us <= at_us
            and (place.is_wide or not near.isdisjoint(place.near) or _may_meet_unnamed(place.near, near))
            and self._bears_on(place, targets)
        ]
        found += [
            Event(write.done_us, write)
            for write in self._writes.values()
            if write.done_us > self._floor_us and self._may_meet(write, tuple(targets), near)
        ]
        found.sort(key=_newest_first)
        return found

    def _bears_on(self, place: Place, targets: list[Target]) -> bool:
        """Of many objects on both sides it is not looked at which: that takes as long as to decode the answer."""
        if place.is_wide or len(place.targets) * len(targets) > _MOST_COMPARED:
            return True
        return any(self.objects.may_meet(asked, target) for asked in place.targets for target in targets)

    def _remember(self, write: Write) -> None:
        """The oldest gives way; then nothing that was seen before it was over counts, for it may have changed it."""
        key = write.unit, *((each.table, each.name, each.first, each.count) for each in write.targets)
        self._writes.pop(key, None)
        if len(self._writes) >= MAX_WRITES:
            oldest = self._writes.pop(next(iter(self._writes)))
            ended_us = write.judged_us if oldest.done_us == _EVER else oldest.done_us
            self._floor_us = max(self._floor_us, ended_us)
        self._writes[key] = write

    def _grow(self, place: Place, size: int, now_us: int, *, is_new: bool) -> bool:
        """Give a place room for an answer of this size; others that are not read any more give way."""
        if size > MAX_ANSWER_BYTES or now_us < self._full_until_us:
            return False
        more = -(-size // _STEP_BYTES) * _STEP_BYTES - max(0, place.room)
        if not self._has_room(more, place, is_new=is_new):
            self._drop_stale(now_us)
            is_new = place.key not in self._places
            if not self._has_room(more, place, is_new=is_new):
                self._full_until_us = now_us + _FULL_US
                return False
        place.room = max(0, place.room) + more
        self.used_bytes += more
        self._register(place)
        return True

    def _has_room(self, more: int, place: Place, *, is_new: bool) -> bool:
        objects = len(place.targets) if is_new else 0
        return (
            self.used_bytes + more <= MAX_BYTES
            and len(self._places) + is_new <= MAX_PLACES
            and self.used_objects + objects <= MAX_OBJECTS
        )

    def _drop_stale(self, now_us: int) -> None:
        for key, place in list(self._places.items()):
            if now_us - place.asked_us >= STALE_US:
                del self._places[key]
                self.used_bytes -= max(0, place.room)
                self.used_objects -= len(place.targets)
                place.clear()


class Showings:
    """What is known of the objects of each service: of those that have flows, and of the last ones that had.

    One port over TCP and over UDP leads to the same objects, though these are two services.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, int], Shown] = {}
        #: All that any flow has: two of them to one service must see what the other one writes.
        self._used: WeakValueDictionary[tuple[str, str, int], Shown] = WeakValueDictionary()

    def of(self, grant: Grant) -> Shown:
        """What was shown of the service that this grant leads to."""
        key = grant.asset, grant.protocol, grant.port
        found = self._last.pop(key, None) or self._used.get(key) or Shown(objects_of(grant.protocol))
        if len(self._last) >= MAX_SERVICES:
            del self._last[next(iter(self._last))]
        self._last[key] = self._used[key] = found
        return found

    def stepped(self) -> None:
        """The clock was set."""
        for each in list(self._used.values()):
            each.forget()


def objects_of(protocol: str) -> Objects:
    """How the objects of a protocol are told apart."""
    known = NAMED.get(protocol)
    return PLAIN if known is None else known.objects


def is_read(operation: Operation) -> bool:
    """Whether an answer shows values of objects, and asking for them changed nothing."""
    return operation.classes == (OperationClass.READ,) and bool(operation.targets)


def _may_meet_unnamed(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> bool:
    """Whether one of the two names a table and no object in it, which the other does."""
    bare_one, bare_other = ({base for base, root in each if not root} for each in (one, other))
    return any(base in bare_one for base, _ in other) or any(base in bare_other for base, _ in one)


def _newest_first(event: Event) -> tuple[int, bool]:
    return -event.at_us, event.write is None


def _without_values(target: Target) -> Target:
    return msgspec.structs.replace(target, values=None, memory=None)


def elements(target: Target) -> tuple[int, int]:
    """How many elements a target has, and how many numbers each takes."""
    count = len(target.values) if target.values else target.count
    return (count, target.count // count) if count and not target.count % count else (1, max(1, target.count))


def shown_values(objects: Objects, shown: Target, wanted: Target) -> Iterator[tuple[int, Value]]:
    """The elements of `wanted` that `shown` has values of: their places, and the values."""
    count, width = elements(wanted)
    if shown.values is None:
        return
    if shown.count == len(shown.values) * width and (wanted.first - shown.first) % width == 0:
        start = (wanted.first - shown.first) // width
        for place in range(max(0, -start), min(count, len(shown.values) - start)):
            yield place, shown.values[start + place]
        return
    if shown.memory is None or 8 * len(shown.memory) != shown.count:
        return
    for place in range(count):
        value = _from_memory(objects, shown, wanted, (wanted.first - shown.first + place * width, width))
        if value is not None:
            yield place, value


def _from_memory(objects: Objects, shown: Target, wanted: Target, bits: tuple[int, int]) -> Value | None:
    """One element out of memory that was read; bits are counted from the lowest one of each byte on."""
    at, width = bits
    assert shown.memory is not None
    if at < 0 or at + width > shown.count:
        return None
    if width == 1:
        return shown.memory[at // 8] >> at % 8 & 1
    if at % 8 or width % 8 or objects.reread is None:
        return None
    values = objects.reread(shown.memory[at // 8 : (at + width) // 8], wanted)
    return values[0] if values is not None and len(values) == 1 else None
