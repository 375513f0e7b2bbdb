"""Control's end of a worker's journal: rows and announcements in, records out.

The rows of a flow are folded into one record of kind `operations` about once a second, or earlier when there is
something in them that changes an asset.  It must never lose what it has read: the ring is freed only when the caller
has stored what an earlier call returned, and it must never believe a worker: whatever does not check out becomes a
record of a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from penstock.bus.folding import MAX_DEFINITIONS, Flow, Meaning, Result, Row, about
from penstock.bus.journal import UNTOLD, Announced, Kind, Outcome, StoredRecord, Telling
from penstock.bus.lines import Manner, OperationLine, decode_result
from penstock.bus.ring import CONSUMED, KIND_MASK, Entry, RingReader, Word, inode
from penstock.model import Json, Malformed, Reason, Record, RecordKind

#: So many rows in all flows are folded together, so that the ring's tail moves on in one step and not row by row.
MAX_PENDING_ROWS: Final = 8192
#: A worker reports after 5 s that nobody answered.  If it has not, it is gone.
_UNANSWERED_US: Final = 7_000_000
_NEVER_US: Final = 1 << 64
#: How long rows wait for an announcement that is to come again.
_UNKNOWN_US: Final = 5_000_000
#: So many meanings are kept for rows without a flow, and so many flows a worker can have.
_MOST_DEFINITIONS: Final = 4 * MAX_DEFINITIONS
_MAX_FLOWS: Final = 65_536
#: Members of enumerations are slow to look up and to compare, and rows come by the ten thousand.
_JUDGED: Final = int(Kind.JUDGED)
_ANSWERED: Final = int(Kind.ANSWERED)
_UNANSWERED: Final = int(Outcome.UNANSWERED)
_MANNERS: Final = frozenset(map(int, Manner))
_UNTOLD_BYTES: Final = 40
_SENT: Final = int(Outcome.SENT)
#: What a worker counts that has no place in the ring: where the reader notes what it has seen, and its name in a gap.
_LOSSES: Final = {
    Word.LOST: (Word.LOST_SEEN, "lost_entries"),
    Word.PASSED: (Word.PASSED_SEEN, "passed_unrecorded"),
    Word.UNTOLD: (Word.UNTOLD_SEEN, "untold_results"),
}
_decode_flow = msgspec.json.Decoder(tuple[Announced, StoredRecord]).decode
_decode_record = msgspec.json.Decoder(StoredRecord).decode
_decode_operation = msgspec.json.Decoder(OperationLine).decode


class JournalReader:
    """Reads the journal at `path`, which may not exist yet.

    ``read`` returns records.  Calling it again, or `commit`, says that those are stored: only then is their place in
    the ring freed.  If they could not be stored, keep them, say ``set_healthy(False)`` and call neither.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ring: RingReader | None = None
        self._flows: dict[int, Flow] = {}
        self._emitted: list[tuple[int, int]] = []
        self._seen = dict.fromkeys(_LOSSES, 0)
        self._gaps: dict[str, int] = {}
        self._now_us = 0
        #: Since when the wall clock has not been set back.
        self._steady_since_us = 0
        self._lost_flows: list[Record] = []

    def read(self, now_us: int, *, is_last: bool = False) -> list[Record]:
        """Records since the last call, `now_us` being microseconds since the epoch.  Confirms the last call's.

        Where it `is_last`, rows that are explained do not wait for others to be told with them, and what was only
        counted is told before it is forgotten.
        """
        self.commit()
        if not self._open(now_us):
            return []
        ring = self._ring
        assert ring is not None
        records: list[Record] = []
        self._follow_clock(now_us)
        try:
            for entry in ring.entries(self._take_row):
                records += self._take(entry, now_us)
        except (Malformed, msgspec.MsgspecError):
            self._gap("damaged_slots", ring.skip_damage() or 1)
        records += self._take_lost_flows()
        is_due = is_last or self._is_due(now_us)
        for local, flow in list(self._flows.items()):
            records += self._fold_if_due(local, flow, now_us, is_due=is_due)
            if is_last and (counted := flow.counted()):
                records.append(counted)
        self._look_for_losses(ring)
        return records + self._gap_records(now_us)

    def commit(self) -> None:
        """What `read` returned is stored: free its place."""
        ring = self._ring
        if ring is None:
            return
        kept = (flow.position for flow in self._flows.values() if flow.done)
        # a row that was under way for long has lost its slot: nothing in front of the tail is anybody's any more
        tail = max(ring.word(Word.TAIL), min(kept, default=ring.position))
        if tail < ring.position:
            for position, tag in self._emitted:
                if position >= tail:
                    ring.consume(position, tag)
        self._emitted.clear()
        ring.release(tail)
        for word, (seen, _) in _LOSSES.items():
            ring.set_word(seen, self._seen[word])

    def set_healthy(self, is_healthy: bool) -> None:  # noqa: FBT001 - the state itself is the argument
        """Tell the worker whether evidence can be kept; while it cannot, only safety-critical flows go on."""
        if self._ring is not None:
            self._ring.set_word(Word.UNHEALTHY, not is_healthy)

    def close(self) -> None:
        """Close the file, without confirming anything."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _open(self, now_us: int) -> bool:
        """Open the file, or the new one that a worker put in its place."""
        found = inode(self._path)
        if self._ring is not None and found not in (None, self._ring.inode):
            self._gap("replaced_rings", 1)
            for flow in self._flows.values():
                self._gap("unknown_rows", len(flow.done) + len(flow.under_way))
            self._flows.clear()
            self.close()
        if self._ring is None and found is not None:
            try:
                self._ring = RingReader(self._path)
                self._seen = {word: self._ring.word(seen) for word, (seen, _) in _LOSSES.items()}
            except (Malformed, OSError):
                return False
        return self._ring is not None and now_us > 0

    def _follow_clock(self, now_us: int) -> None:
        """Where the wall clock was set back, rows begin to wait anew: no age is negative."""
        if now_us < self._now_us or not self._now_us:
            self._steady_since_us = now_us
            for flow in self._flows.values():
                flow.oldest_us = min(flow.oldest_us, now_us)
        self._now_us = now_us

    def _take(self, entry: Entry, now_us: int) -> Iterator[Record]:
        """One entry that is no row; the records that follow from it at once."""
        yield from self._take_lost_flows()
        if entry.kind == Kind.OPERATION:
            yield from self._take_operation(entry, now_us)
        elif entry.kind == Kind.FLOW:
            yield from self._take_flow(entry, now_us)
        elif entry.kind == Kind.RECORD:
            if not entry.was_consumed:
                yield self._emit(entry, _decode_record(entry.payload))
        elif entry.kind == Kind.CLOSED:
            yield from self._take_closed(entry, now_us)
        elif entry.kind == Kind.RESULT:
            self._take_result(entry, now_us)
        else:
            raise Malformed(f"no entry has the kind {entry.kind}")

    def _take_row(self, position: int, tag: int, ordinal: int, second: int) -> None:
        """An answer to a row that is not under way belongs to a row that an earlier reader recorded."""
        kind = tag & KIND_MASK
        if kind == _ANSWERED:
            flow = self._flows.get(tag >> 32)
            asked = flow.under_way.pop(ordinal, None) if flow is not None else None
            if flow is not None and asked is not None:
                outcome = tag >> 8 & 0xFF_FFFF
                if outcome & UNTOLD:
                    flow.results[ordinal] = Result({"untold": True}, _UNTOLD_BYTES, position, tag)
                    outcome &= ~UNTOLD
                outcome = min(outcome, _SENT)
                flow.finish(ordinal, asked, -1 if outcome >= _UNANSWERED else second, outcome, self._now_us)
        elif kind == _JUDGED:
            if not tag & CONSUMED:
                self._flow(tag, self._now_us).under_way.setdefault(ordinal, (second, position, tag))
        elif kind == Kind.STARTED:
            self._lost_flows += self._close_lost_flows(second, self._now_us)
        else:
            raise Malformed(f"no row has the kind {kind}")

    def _take_result(self, entry: Entry, now_us: int) -> None:
        """What became of a request, in front of the row that ends it.

        Where an earlier reader knew that row and its slot is gone, the result stands for it: a write is never lost.
        """
        if entry.was_consumed:
            return
        line = decode_result(entry.payload)
        flow, ordinal = self._flow(entry.tag, now_us), entry.second
        if ordinal in flow.given_up:
            return
        if ordinal not in flow.under_way:
            flow.under_way[ordinal] = line.at_us, entry.position, entry.tag
        fields: dict[str, Json] = msgspec.to_builtins(line)
        del fields["at_us"]
        flow.results[ordinal] = Result(fields, len(entry.payload), entry.position, entry.tag)

    def _take_operation(self, entry: Entry, now_us: int) -> Iterator[Record]:
        """A meaning is forgotten only when the rows that need it are in a record."""
        line = _decode_operation(entry.payload)
        flow = self._flow(entry.tag, now_us)
        fields: dict[str, Json] = msgspec.to_builtins(line)
        meaning = flow.meanings[entry.tag >> 8 & 0xFF_FFFF] = Meaning.of(fields, _manner(entry.second))
        flow.has_sums |= not meaning.has_rows
        if len(flow.meanings) > flow.most_meanings:
            if flow.done and (flow.is_known or len(flow.meanings) > _MOST_DEFINITIONS):
                yield from self._fold(flow)
            flow.forget_meanings()

    def _take_flow(self, entry: Entry, now_us: int) -> Iterator[Record]:
        announced, opened = _decode_flow(entry.payload)
        flow = self._flow(entry.tag, now_us)
        if entry.second == Telling.AGAIN and flow.announced is None:
            flow.since_us = now_us
        flow.announced = announced
        if entry.second == Telling.CLOSED:
            yield from self._end(entry.tag >> 32, now_us)
        elif entry.second == Telling.NEW and not entry.was_consumed:
            yield self._emit(entry, opened)

    def _take_closed(self, entry: Entry, now_us: int) -> Iterator[Record]:
        """The end of a flow; it waits with the flow's rows where these are to be explained by an announcement."""
        record = _decode_record(entry.payload)
        flow = self._flows.get(entry.tag >> 32)
        if flow is not None:
            flow.finish_all(now_us)
            flow.end = entry, record
            if flow.is_known or not flow.done:
                yield from self._end(entry.tag >> 32, now_us)
        elif not entry.was_consumed:
            yield self._emit(entry, record)

    def _end(self, local: int, now_us: int) -> Iterator[Record]:
        """Forget a flow: its last rows, and the record of its end."""
        flow = self._flows.pop(local)
        flow.finish_all(now_us)
        yield from self._fold(flow)
        if flow.end is not None and not flow.end[0].was_consumed:
            entry, record = flow.end
            record.detail |= flow.end_detail()
            yield self._emit(entry, record)

    def _close_lost_flows(self, at_us: int, now_us: int) -> Iterator[Record]:
        """A worker started: what the one before had open is lost."""
        for local, flow in list(self._flows.items()):
            yield from self._end(local, now_us)
            if flow.announced is not None and flow.end is None:
                detail: dict[str, Json] = {
                    "flow": flow.announced.flow,
                    "source": flow.announced.source,
                    "ending": "worker_lost",
                    **flow.end_detail(),
                }
                yield about(flow.announced, RecordKind.FLOW_CLOSED, at_us, detail, reason=Reason.INSPECTION_UNAVAILABLE)

    def _take_lost_flows(self) -> list[Record]:
        lost, self._lost_flows = self._lost_flows, []
        return lost

    def _flow(self, tag: int, now_us: int) -> Flow:
        local = tag >> 32
        flow = self._flows.get(local)
        if flow is None:
            if len(self._flows) >= _MAX_FLOWS:
                raise Malformed(f"a worker cannot have more than {_MAX_FLOWS} flows")
            flow = self._flows[local] = Flow(now_us)
        return flow

    def _is_due(self, now_us: int) -> bool:
        """Whether it is time to fold every flow: one at a time would leave holes of read rows before the tail."""
        waiting = [flow for flow in self._flows.values() if flow.done]
        rows = sum(len(flow.done) for flow in waiting)
        return rows >= MAX_PENDING_ROWS or any(flow.is_due(now_us) for flow in waiting)

    def _fold_if_due(self, local: int, flow: Flow, now_us: int, *, is_due: bool) -> Iterator[Record]:
        if flow.under_way:
            is_steady = now_us - self._steady_since_us >= _UNANSWERED_US
            until_us = now_us + _UNANSWERED_US if is_steady else _NEVER_US
            flow.finish_unanswered(now_us, now_us - _UNANSWERED_US, until_us)
        is_overdue = now_us - flow.oldest_us >= _UNKNOWN_US
        if flow.end is not None:
            if is_overdue or flow.is_known or not flow.done:
                yield from self._end(local, now_us)
        elif flow.done:
            if is_overdue or ((is_due or flow.is_prompt) and flow.is_known):
                yield from self._fold(flow)
        elif flow.announced is None and not flow.under_way:
            self._flows.pop(local)

    def _fold(self, flow: Flow) -> Iterator[Record]:
        """Records of all finished rows of a flow; rows that nothing is known about become a gap."""
        rows, flow.done, flow.is_prompt = sorted(flow.done), [], False
        self._emitted += (row[-2:] for row in rows)
        known = [row for row in rows if row[2] in flow.meanings] if flow.announced is not None else []
        if len(known) < len(rows):
            self._gap("unknown_rows", len(rows) - len(known))
        if known:
            yield from flow.records(known)
        if flow.results:
            self._forget_results(flow, rows)

    def _forget_results(self, flow: Flow, rows: list[Row]) -> None:
        """The results of these rows are in a record."""
        for ordinal, *_ in rows:
            result = flow.results.pop(ordinal, None)
            if result is not None:
                self._emitted.append((result.position, result.tag))

    def _emit(self, entry: Entry, record: StoredRecord) -> Record:
        self._emitted.append((entry.position, entry.tag))
        return record.value

    def _look_for_losses(self, ring: RingReader) -> None:
        for word, (_, name) in _LOSSES.items():
            count = ring.word(word)
            if count > self._seen[word]:
                self._gap(name, count - self._seen[word])
                self._seen[word] = count

    def _gap(self, name: str, count: int) -> None:
        self._gaps[name] = self._gaps.get(name, 0) + count

    def _gap_records(self, now_us: int) -> list[Record]:
        gaps, self._gaps = {name: count for name, count in self._gaps.items() if count}, {}
        if not gaps:
            return []
        detail: dict[str, Json] = {"journal": self._path.name, **gaps}
        return [Record(kind=RecordKind.LOG_GAP, at_us=now_us, reason=Reason.EVIDENCE_UNAVAILABLE, detail=detail)]


def _manner(word: int) -> Manner:
    """How rows are told; what a worker says that is none of the manners is told promptly, one by one."""
    return Manner(word) if word in _MANNERS else Manner.PROMPT
