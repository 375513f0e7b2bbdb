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
