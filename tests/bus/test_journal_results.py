"""Values and results beside the rows: told with their row, dropped first, and never at the cost of a write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import GRANT, READ, READ_BYTES, SOURCE, T0, WRITE, Both

from penstock.bus import FlowJournal, OldLine, Outcome, ResultLine
from penstock.bus.lines import (
    MAX_DATA_BYTES,
    MAX_LINE_BYTES,
    encode_operation,
    encode_result,
    operation_line,
    target_lines,
    values_within,
    with_reply,
)
from penstock.evidence import encode
from penstock.model import Operation, OperationClass, Record, RecordKind, RecordMode, Target

SECOND = 1_000_000
DENIED = "2 illegal data address"


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def opened(both: Both) -> FlowJournal:
    return both.journal.open_flow(GRANT, SOURCE, T0)


def defined(flow: FlowJournal, index: int = 0, record: RecordMode = RecordMode.OPERATIONS) -> int:
    operation = WRITE if index == 0 else READ
    tag = flow.define(index, operation, "SCADA polls the filters", READ_BYTES, record=record)
    assert tag is not None
    return tag


def result(at_us: int = T0, status: str = DENIED) -> ResultLine:
    return ResultLine(at_us=at_us, status=status, old=[OldLine(0, 10, [250], 7)])


def rows_of(records: list[Record]) -> list[tuple[list[Any], dict[str, Any]]]:
    """Every row with its result, and nothing where it has none."""
    found = []
    for record in records:
        detail: Any = record.detail
        results = {each["row"]: each for each in detail.get("results", [])}
        found += [(row[2:], results.get(place, {})) for place, row in enumerate(detail.get("rows", []))]
    return found


def test_a_result_stands_in_the_record_of_its_row(both: Both) -> None:
    flow = opened(both)
    tag = defined(flow)
    assert flow.judged(tag, 0, T0)
    flow.told(tag, 0, Outcome.EXCEPTION, 4200, result())
    assert flow.judged(tag, 1, T0 + 1)
    flow.told(tag, 1, Outcome.ANSWERED, 300, ResultLine(at_us=T0 + 1))
    told = {"row": 0, "status": DENIED, "old": [{"target": 0, "first": 10, "values": [250], "old_seen_us": 7}]}
    assert rows_of(both.read(T0 + 2)) == [([4200, 1], told), ([300, 0], {})]


def test_a_worker_that_dies_between_a_write_and_its_answer_leaves_it_unanswered(both: Both) -> None:
    flow = opened(both)
    assert flow.judged(defined(flow), 0, T0)
    both.restart_writer()
    assert rows_of(both.read(T0 + 2)) == [([-1, 2], {})]


def test_a_write_that_is_answered_while_nobody_reads_is_told_by_the_next_reader(both: Both) -> None:
    """Its row was read and its slot freed by the one before, which has died since."""
    flow = opened(both)
    tag = defined(flow)
    assert flow.judged(tag, 0, T0)
    both.read(T0 + 1)
    both.reader.commit()
    both.restart_reader()
    flow.told(tag, 0, Outcome.EXCEPTION, 4200, result())
    both.journal.tick()
    found = rows_of(both.read(T0 + 2) + both.read(T0 + 2 * SECOND))
    assert [row for row, _ in found] == [[4200, 1]]
    assert found[0][1]["status"] == DENIED


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_result_is_told_once_however_often_control_starts_anew(both: Both, *, is_committed: bool) -> None:
    flow = opened(both)
    tag, read = defined(flow), defined(flow, 1)
    assert flow.judged(read, 0, T0)
    assert flow.judged(tag, 1, T0)
    flow.told(tag, 1, Outcome.ANSWERED, 5, result())
    first = rows_of(both.read(T0 + 1))
    if is_committed:
        both.reader.commit()
    both.restart_reader()
    both.journal.tick()
    again = rows_of(both.read(T0 + 2) + both.read(T0 + 2 * SECOND))
    assert [row for row, _ in first] == [[5, 0]]
    assert [row for row, _ in again if row[0] == 5] == ([] if is_committed else [[5, 0]])


def test_a_result_that_comes_after_the_reader_gave_its_row_up_makes_no_second_one(both: Both) -> None:
    flow = opened(both)
    tag = defined(flow)
    assert flow.judged(tag, 0, T0)
    given_up = rows_of(both.read(T0 + 1) + both.read(T0 + 9 * SECOND))
    flow.told(tag, 0, Outcome.ANSWERED, 5, result())
    assert given_up == [([-1, 2], {})]
    assert rows_of(both.read(T0 + 10 * SECOND) + both.read(T0 + 20 * SECOND)) == []


def test_a_ring_that_is_nearly_full_drops_results_first_says_so_and_keeps_every_write(both: Both) -> None:
    flow = opened(both)
    tag = defined(flow)
    count = 0
    while both.journal.ring.free_share > 0.2:
        assert flow.judged(tag, count, T0 + count)
        flow.told(tag, count, Outcome.ANSWERED, 5, result(T0 + count, f"status {count} " + "x" * 300))
        count += 1
    records = both.read(T0 + SECOND) + both.read(T0 + 2 * SECOND) + both.read(T0 + 3 * SECOND)
    found = rows_of(records)
    assert [row for row, _ in found] == [[5, 0]] * count
    untold = [told for _, told in found if told.get("untold")]
    assert [told["status"].split()[1] for _, told in found if "status" in told] == [
        str(number) for number, (_, told) in enumerate(found) if not told.get("untold")
    ]
    assert 0 < len(untold) < count
    (gap,) = [record for record in records if record.kind is RecordKind.LOG_GAP]
    assert gap.detail["untold_results"] == len(untold)


def test_reads_that_are_only_counted_are_told_when_control_ends(both: Both) -> None:
    flow = opened(both)
    tag = defined(flow, 1, RecordMode.SESSION)
    for number in range(3):
        assert flow.judged(tag, number, T0 + number)
        flow.answered(number, Outcome.ANSWERED, 10 * (number + 1))
    both.read(T0 + 9)
    (record,) = both.reader.read(T0 + 2 * SECOND, is_last=True)
    assert record.detail["rows"] == []
    assert record.detail["reads"] == {
        "count": 3,
        "first_us": T0,
        "last_us": T0 + 2,
        "answered_us": T0 + 2,
        "latency_us": [10, 20, 30],
    }
    assert both.reader.read(T0 + 3 * SECOND, is_last=True) == []


def test_a_worker_that_is_lost_leaves_the_count_of_its_reads(both: Both) -> None:
    flow = opened(both)
    assert flow.judged(defined(flow, 1, RecordMode.SESSION), 0, T0)
    flow.answered(0, Outcome.ANSWERED, 10)
    both.read(T0 + 1)
    both.restart_writer()
    (record,) = both.read(T0 + 2)
    assert (record.kind, record.detail["reads"]["count"]) == (RecordKind.FLOW_CLOSED, 1)


TEXT = st.text(max_size=60_000)


@given(st.lists(st.tuples(TEXT, st.integers(0, 3000)), max_size=200), st.integers(0, 70_000))
def test_no_operation_is_too_long_to_be_on_record(targets: list[tuple[str, int]], size: int) -> None:
    made = tuple(Target(OperationClass.WRITE, "Value", 0, 1, text, (*range(count), text)) for text, count in targets)
    operation = Operation("opcua", (OperationClass.WRITE,), "673", "Write", None, made)
    line = operation_line(operation, "c", bytes(size))
    told = ResultLine(at_us=T0, answer=target_lines(made))
    with_reply(told, bytes(size))
    assert len(encode_operation(line)) <= MAX_LINE_BYTES
    assert len(encode_result(told)) <= MAX_LINE_BYTES
    assert line.cut + len(line.targets) == len(made)
    assert (line.bytes, len(line.data)) == ((size, 2 * MAX_DATA_BYTES) if size > MAX_DATA_BYTES else (0, 2 * size))


@pytest.mark.parametrize(
    ("value", "told"), [(float("nan"), "nan"), (float("-inf"), "-inf"), ("\ud800", "\\ud800"), (2**80, 2**80)]
)
def test_no_value_that_json_cannot_say_breaks_the_journal(both: Both, value: float | str, told: float | str) -> None:
    flow = opened(both)
    name = value if isinstance(value, str) else "AO"
    target = Target(OperationClass.WRITE, "analog_outputs", 5, 1, name, (value,))
    tag = flow.define(0, Operation("dnp3", (OperationClass.WRITE,), "5", "Direct Operate", 1, (target,)), "c", b"w")
    assert tag is not None
    assert flow.judged(tag, 0, T0)
    kept, _ = values_within((value,), (9, 99))
    flow.told(tag, 0, Outcome.ANSWERED, 5, ResultLine(at_us=T0, old=[OldLine(0, 5, kept, 7)]))
    (record,) = [record for record in both.read(T0 + SECOND) if record.kind is RecordKind.OPERATIONS]
    detail: Any = record.detail
    assert detail["operations"][0]["targets"][0]["values"] == [told]
    assert detail["results"][0]["old"][0]["values"] == [told]


def test_the_longest_operation_with_the_longest_result_fits_into_a_record(both: Both) -> None:
    flow = opened(both)
    target = Target(OperationClass.WRITE, "Value", 0, 1, "n" * 600, tuple("\x01" * 100 for _ in range(40)))
    operation = Operation("opcua", (OperationClass.WRITE,), "673", "Write", None, (target,) * 50)
    tag = flow.define(0, operation, "c", bytes(60_000), record=RecordMode.PAYLOAD)
    assert tag is not None
    assert flow.judged(tag, 0, T0)
    line = ResultLine(at_us=T0, answer=target_lines((target,) * 50))
    with_reply(line, bytes(60_000))
    flow.told(tag, 0, Outcome.ANSWERED, 5, line)
    (record,) = [record for record in both.read(T0 + SECOND) if record.kind is RecordKind.OPERATIONS]
    encode(record)
    assert record.detail["operations"][0]["bytes"] == 60_000  # type: ignore[index,call-overload]
