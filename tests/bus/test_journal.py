"""From rows to records: nothing is lost, nothing is told twice, nothing is believed unchecked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from journals import GRANT, READ, READ_BYTES, SOURCE, T0, WRITE, Both, operation

from penstock.bus import FlowJournal, Outcome
from penstock.model import OperationClass, Record, RecordKind

SECOND = 1_000_000


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def opened(both: Both) -> FlowJournal:
    return both.journal.open_flow(GRANT, SOURCE, T0)


def exchange(flow: FlowJournal, tag: int, ordinal: int, at_us: int, latency_us: int = 250) -> None:
    assert flow.judged(tag, ordinal, at_us)
    flow.answered(ordinal, Outcome.ANSWERED, latency_us)


def defined(flow: FlowJournal, index: int = 0) -> int:
    tag = flow.define(index, READ, "SCADA polls the filters", READ_BYTES)
    assert tag is not None
    return tag


def closing(flow: FlowJournal) -> Record:
    return Record(kind=RecordKind.FLOW_CLOSED, at_us=T0 + 9, grant=12, detail={"flow": flow.number})


def test_a_flow_and_its_operations_become_records_of_the_documented_shape(both: Both) -> None:
    """Field by field."""
    flow = opened(both)
    exchange(flow, defined(flow), 0, T0 + 10)
    records = both.read(T0 + 10) + both.read(T0 + 10 + SECOND)
    assert [record.kind for record in records] == [RecordKind.FLOW_OPENED, RecordKind.OPERATIONS]
    assert records[1] == Record(
        kind=RecordKind.OPERATIONS,
        at_us=T0 + 10,
        grant=12,
        subject="scada-1",
        asset="plc-filter-1",
        protocol="modbus",
        operation="modbus.read",
        detail={
            "flow": flow.number,
            "source": SOURCE,
            "from_us": T0 + 10,
            "operations": [
                {
                    "operation": "modbus.read",
                    "code": "3",
                    "name": "Read Holding Registers",
                    "unit": 1,
                    "targets": [{"table": "holding_registers", "first": 0, "count": 2, "values": None}],
                    "conduit": "SCADA polls the filters",
                    "data": READ_BYTES.hex(),
                }
            ],
            "rows": [[0, 0, 250, 0]],
        },
    )
    assert records[0].detail["source"] == SOURCE


def test_reads_wait_for_a_second_and_a_write_does_not(both: Both) -> None:
    """What changes an asset is in the evidence with the next read of the journal, with the reads before it."""
    flow = opened(both)
    exchange(flow, defined(flow), 0, T0)
    assert both.read_rows(T0) == []
    assert both.read_rows(T0 + SECOND - 1) == []
    assert both.read_rows(T0 + SECOND) == [[0, 3, 250, 0]]
    write = flow.define(1, WRITE, "c", b"w")
    assert write is not None
    exchange(flow, write, 1, T0 + SECOND)
    assert both.read_rows(T0 + SECOND + 1) == [[SECOND, 16, 250, 0]]


def test_outcomes_are_answered_exception_and_unanswered(both: Both) -> None:
    """In the order of the requests, whatever the order of the answers."""
    flow = opened(both)
    tag = defined(flow)
    for ordinal in range(3):
        assert flow.judged(tag, ordinal, T0 + ordinal)
    flow.answered(2, Outcome.ANSWERED, 30)
    flow.answered(1, Outcome.EXCEPTION, 20)
    flow.answered(0, Outcome.UNANSWERED, 0)
    both.read(T0)
    assert both.read_rows(T0 + SECOND) == [[0, 3, -1, 2], [1, 3, 20, 1], [2, 3, 30, 0]]


def test_a_thousand_rows_make_a_record_and_no_line_is_longer_than_48_kilobytes(both: Both) -> None:
    """Many rows of one operation, and many operations with long contents."""
    flow = opened(both)
    tag = defined(flow)
    for ordinal in range(2500):
        exchange(flow, tag, ordinal, T0 + ordinal)
    counts = [len(record.detail["rows"]) for record in both.read(T0) if record.kind is RecordKind.OPERATIONS]
    assert counts == [1000, 1000, 500]
    for index in range(1, 100):
        wide = flow.define(index, operation(OperationClass.WRITE, index, *[65535] * 120), "c" * 100, b"\xff" * 260)
        assert wide is not None
        exchange(flow, wide, 2500 + index, T0 + index)
    records = [record for record in both.read(T0 + SECOND) if record.kind is RecordKind.OPERATIONS]
    assert len(records) > 1
    assert sum(len(record.detail["rows"]) for record in records) == 99
    assert all(len(msgspec.json.encode(record)) < 48_000 for record in records)


def test_the_end_of_a_flow_comes_after_its_last_operations(both: Both) -> None:
    """What was not answered by then is recorded as unanswered."""
    flow = opened(both)
    assert flow.judged(defined(flow), 0, T0)
    flow.closed(closing(flow))
    records = both.read(T0)
    assert [record.kind for record in records] == ["flow.opened", "operations", "flow.closed"]
    assert records[1].detail["rows"] == [[0, 0, -1, 2]]


def test_a_new_reader_gets_what_the_old_one_had_not_stored(both: Both) -> None:
    """Read, but not confirmed by another call: told again.  Confirmed: not told again."""
    flow = opened(both)
    exchange(flow, defined(flow), 0, T0)
    both.read(T0)
    first = both.read(T0 + SECOND)
    both.restart_reader()
    assert both.read(T0) == []
    both.journal.tick()
    again = both.read(T0 + SECOND)
    assert [record.kind for record in again] == ["operations"]
    assert again == first
    both.reader.commit()
    both.restart_reader()
    both.journal.tick()
    assert both.read(T0 + 3 * SECOND) == []
    assert both.read(T0 + 5 * SECOND) == []


def test_a_new_reader_learns_flows_and_operations_that_were_announced_long_ago(both: Both) -> None:
    """Rows from before and after the restart, and a request that was under way, each told once."""
    flow = opened(both)
    tag = defined(flow)
    both.read(T0)
    assert flow.judged(tag, 0, T0)
    flow.under_way = lambda: [(tag, 0, T0)]
    both.read(T0 + 1)
    both.reader.commit()
    exchange(flow, tag, 1, T0 + 2)
    both.restart_reader()
    exchange(flow, tag, 2, T0 + 3)
    assert both.read(T0 + SECOND) == []
    both.journal.tick()
    flow.answered(0, Outcome.ANSWERED, 77)
    both.read(T0 + SECOND)
    assert both.read_rows(T0 + 3 * SECOND) == [[0, 3, 77, 0], [2, 3, 250, 0], [3, 3, 250, 0]]


def test_records_that_were_stored_early_are_not_told_again_after_a_restart(both: Both) -> None:
    """One flow's write is stored at once, while another flow's read still waits and holds the ring's tail."""
    slow, quick = opened(both), opened(both)
    exchange(slow, defined(slow), 0, T0)
    write = quick.define(0, WRITE, "c", b"w")
    assert write is not None
    exchange(quick, write, 0, T0 + 1)
    assert both.read_rows(T0 + 2) == [[1, 16, 250, 0]]
    both.reader.commit()
    both.restart_reader()
    both.journal.tick()
    both.read(T0 + 3)
    assert both.read_rows(T0 + 3 + SECOND) == [[0, 3, 250, 0]]


def test_a_new_worker_closes_the_flows_of_the_one_before(both: Both) -> None:
    """Its unread rows are told first; what was under way is unanswered; the end names the reason."""
    flow = opened(both)
    tag = defined(flow)
    both.read(T0)
    exchange(flow, tag, 0, T0)
    assert flow.judged(tag, 1, T0 + 1)
    both.restart_writer()
    records = both.read(T0 + 2)
    assert [record.kind for record in records] == ["operations", "flow.closed"]
    assert records[0].detail["rows"] == [[0, 0, 250, 0], [1, 0, -1, 2]]
    assert (records[1].reason, records[1].detail["flow"]) == ("inspection_unavailable", flow.number)
    assert opened(both).number > flow.number


def test_a_request_whose_worker_died_counts_as_unanswered(both: Both) -> None:
    """Without a new worker to say so."""
    flow = opened(both)
    assert flow.judged(defined(flow), 0, T0)
    both.read(T0)
    assert both.read_rows(T0 + 6 * SECOND) == []
    both.read(T0 + 8 * SECOND)
    assert both.read_rows(T0 + 9 * SECOND) == [[0, 3, -1, 2]]


def test_losses_are_recorded_as_gaps_with_their_count(both: Both) -> None:
    """What found no place, and what a safety-critical flow sent without a row."""
    flow = opened(both)
    flow.passed()
    flow.passed()
    while both.journal.record(closing(flow)):
        pass
    gaps = [record for record in both.read(T0) if record.kind is RecordKind.LOG_GAP]
    assert [gap.detail for gap in gaps] == [{"journal": "worker-1.ring", "lost_entries": 1, "passed_unrecorded": 2}]
    assert not [record for record in both.read(T0) if record.kind is RecordKind.LOG_GAP]
    both.restart_reader()
    assert not [record for record in both.read(T0) if record.kind is RecordKind.LOG_GAP]


def test_rows_that_nobody_explains_become_a_gap(both: Both) -> None:
    """The worker died, and control restarted after it had freed the announcement."""
    flow = opened(both)
    tag = defined(flow)
    both.read(T0)
    both.reader.commit()
    exchange(flow, tag, 0, T0)
    both.restart_reader()
    assert both.read(T0) == []
    gaps = both.read(T0 + 6 * SECOND)
    assert [(gap.kind, gap.detail["unknown_rows"]) for gap in gaps] == [("log.gap", 1)]


def test_a_damaged_journal_is_a_gap_and_reading_goes_on(both: Both) -> None:
    """Whatever a compromised worker writes."""
    flow = opened(both)
    both.read(T0)
    both.journal.ring.put(0x11 | flow.local << 32, b"no operation")
    assert [record.kind for record in both.read(T0)] == ["log.gap"]
    assert both.journal.record(closing(flow))
    assert [record.kind for record in both.read(T0)] == ["flow.closed"]


def test_control_can_say_that_evidence_is_unhealthy(both: Both) -> None:
    """Then no row is taken."""
    flow = opened(both)
    tag = defined(flow)
    both.reader.set_healthy(False)
    assert not both.journal.is_healthy
    assert not flow.judged(tag, 0, T0)
    both.reader.set_healthy(True)
    assert flow.judged(tag, 0, T0)


def test_a_journal_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    """Control may start before the worker."""
    both = Both(tmp_path)
    both.path.unlink()
    both.restart_reader()
    assert both.read(T0) == []


def test_two_flows_never_share_a_number(both: Both) -> None:
    """Not even over a restart of the worker."""
    numbers = [opened(both).number for _ in range(3)]
    both.restart_writer()
    numbers += [both.journal.open_flow(replace(GRANT, number=13), SOURCE, T0).number for _ in range(3)]
    assert len(set(numbers)) == 6
