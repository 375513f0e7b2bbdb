"""What a reader has read stays explained until it is told: by many meanings, a clock set back, a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from journals import GRANT, READ, SOURCE, T0, WRITE, Both

from penstock.bus import FlowJournal, Outcome
from penstock.model import Operation, Record, RecordKind

SECOND = 1_000_000
#: More than the meanings that either end keeps for a flow.
MANY = 3000


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def opened(both: Both) -> FlowJournal:
    return both.journal.open_flow(GRANT, SOURCE, T0)


def defined(flow: FlowJournal, index: int, operation: Operation = READ) -> int:
    tag = flow.define(index, operation, "c", b"%d" % index)
    assert tag is not None
    return tag


def exchange(flow: FlowJournal, tag: int, ordinal: int, at_us: int = T0) -> None:
    assert flow.judged(tag, ordinal, at_us)
    flow.answered(ordinal, Outcome.ANSWERED, 250)


def closing(flow: FlowJournal) -> Record:
    return Record(kind=RecordKind.FLOW_CLOSED, at_us=T0 + 9, grant=12, detail={"flow": flow.number})


def titles(records: list[Record]) -> list[str]:
    """The operation of every row, or the kind of a record without rows."""
    found = []
    for record in records:
        lines = record.detail.get("operations", [])
        found += [lines[row[1]]["operation"] for row in record.detail.get("rows", [])] or [record.kind.value]
    return found


def test_a_row_is_told_before_its_meaning_is_forgotten(both: Both) -> None:
    """One write, then more distinct reads than meanings are kept, all before control looks."""
    flow = opened(both)
    exchange(flow, defined(flow, 0, WRITE), 0)
    for index in range(1, MANY):
        exchange(flow, defined(flow, index), index)
    told = titles(both.read(T0) + both.read(T0 + SECOND))
    assert told == ["flow.opened", "modbus.write"] + ["modbus.read"] * (MANY - 1)


def test_the_meaning_of_a_request_under_way_is_not_forgotten(both: Both) -> None:
    """It is answered after more distinct requests than meanings are kept."""
    flow = opened(both)
    assert flow.judged(defined(flow, 0, WRITE), 0, T0)
    for index in range(1, MANY):
        exchange(flow, defined(flow, index), index)
    both.read(T0)
    flow.answered(0, Outcome.ANSWERED, 250)
    assert titles(both.read(T0 + 1)).count("modbus.write") == 1


def test_rows_are_told_within_a_second_after_the_clock_was_set_back(both: Both) -> None:
    """By an hour, between the reading of a row and its telling."""
    flow = opened(both)
    exchange(flow, defined(flow, 0), 0)
    assert titles(both.read(T0)) == ["flow.opened"]
    earlier = T0 - 3600 * SECOND
    assert both.read(earlier) == []
    assert titles(both.read(earlier + SECOND)) == ["modbus.read"]


def test_a_request_from_before_the_clock_was_set_back_may_still_be_answered(both: Both) -> None:
    """For as long as any other; then it counts as unanswered."""
    flow = opened(both)
    tag, earlier = defined(flow, 0), T0 - 3600 * SECOND
    assert flow.judged(tag, 0, T0)
    assert flow.judged(tag, 1, T0)
    both.read(T0)
    assert both.read(earlier) == []
    flow.answered(0, Outcome.ANSWERED, 250)
    both.read(earlier + SECOND)
    assert both.read_rows(earlier + 2 * SECOND) == [[0, 3, 250, 0]]
    both.read(earlier + 7 * SECOND)
    assert both.read_rows(earlier + 8 * SECOND) == [[0, 3, -1, 2]]


def test_a_request_from_before_the_clock_was_set_back_is_told_with_the_end_of_its_flow(both: Both) -> None:
    """However far in the future its time seems to be."""
    flow = opened(both)
    assert flow.judged(defined(flow, 0), 0, T0)
    both.read(T0)
    flow.closed(closing(flow))
    assert titles(both.read(T0 - 3600 * SECOND)) == ["modbus.read", "flow.closed"]


def test_a_flow_that_closes_while_nobody_reads_is_explained_to_the_next_reader(both: Both) -> None:
    """Its announcements were freed long ago: its rows wait for new ones, and its end waits for its rows."""
    flow = opened(both)
    tag = defined(flow, 0, WRITE)
    both.read(T0)
    both.reader.commit()
    exchange(flow, tag, 0)
    flow.closed(closing(flow))
    both.restart_reader()
    assert both.read(T0) == []
    both.journal.tick()
    assert titles(both.read(T0 + 1)) == ["modbus.write", "flow.closed"]
    both.reader.commit()
    both.restart_reader()
    both.journal.tick()
    assert both.read(T0 + 10 * SECOND) == []


def test_a_flow_that_nobody_explains_ends_with_a_gap(both: Both) -> None:
    """After five seconds, its rows counted and its end told."""
    flow = opened(both)
    tag = defined(flow, 0)
    both.read(T0)
    both.reader.commit()
    exchange(flow, tag, 0)
    flow.closed(closing(flow))
    both.restart_reader()
    assert both.read(T0) == []
    assert both.read(T0 + 5 * SECOND - 1) == []
    records = both.read(T0 + 5 * SECOND)
    assert titles(records) == ["flow.closed", "log.gap"]
    assert records[1].detail["unknown_rows"] == 1


def test_closed_flows_are_not_announced_again_once_their_end_is_stored(both: Both) -> None:
    """A new reader hears only of what it may still have to explain."""
    flow = opened(both)
    exchange(flow, defined(flow, 0), 0)
    flow.closed(closing(flow))
    both.read(T0)
    both.reader.commit()
    both.restart_reader()
    before = both.journal.ring.free_share
    both.journal.tick()
    assert both.journal.ring.free_share == before


def test_a_flow_that_closes_while_it_is_announced_again_is_closed_once(both: Both) -> None:
    """The announcements pause in a full ring; nothing of the flow is left for a lost worker to close."""
    flow, other = opened(both), opened(both)
    defined(flow, 0)
    both.read(T0)
    both.reader.commit()
    while both.journal.ring.free_share > 0.5:
        both.journal.record(closing(other))
    both.restart_reader()
    told = both.read(T0)
    both.journal.tick()
    flow.closed(closing(flow))
    told += both.read(T0 + 1)
    both.journal.tick()
    told += both.read(T0 + 2)
    both.restart_writer()
    told += both.read(T0 + 3)
    assert [record.detail.get("ending") for record in told if record.detail.get("flow") == flow.number] == [None]
