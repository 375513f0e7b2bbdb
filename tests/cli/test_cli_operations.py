"""Operations on record in people's words: a line says what was written over what, how it went and how long it took."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.operations import operation_cells, operation_document, sum_cells, sum_document
from penstock.evidence import (
    Entry,
    Old,
    Outcome,
    PerformedOperation,
    Search,
    SummedOperations,
    expand,
    expand_matching_sums,
)
from penstock.model import Record, RecordKind

WRITTEN: dict[str, Any] = {
    "seq": 41,
    "at_us": 1_790_000_000_000_000,
    "grant": 17,
    "subject": "alice",
    "asset": "plc-dosing",
    "protocol": "modbus",
    "flow": 9,
    "source": "10.0.0.5:4000",
    "operation": "modbus.write",
    "code": "6",
    "name": "Write Single Register",
    "unit": 1,
    "targets": [{"table": "holding_registers", "first": 10, "count": 1, "values": [300]}],
    "conduit": "sets",
    "data": b"\x01",
    "latency_us": 4200,
    "outcome": Outcome.ANSWERED,
}


def old(first: int, *values: Any, target: int = 0) -> Old:
    return Old(target=target, first=first, values=list(values), old_seen_us=5)


def cells(**more: Any) -> tuple[str, ...]:
    return operation_cells(PerformedOperation(**WRITTEN | more))[5:]


def registers(*values: int) -> list[dict[str, Any]]:
    return [{"table": "holding_registers", "first": 10, "count": len(values), "values": list(values)}]


def test_a_line_reads_as_an_auditor_says_it() -> None:
    assert operation_cells(PerformedOperation(**WRITTEN, old=[old(10, 250)])) == (
        "41",
        "2026-09-21T14:13:20.000000Z",
        "17",
        "alice",
        "plc-dosing",
        "modbus.write",
        "holding_registers 10: 250 → 300",
        "ok",
        "4.2 ms",
    )


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "holding_registers 10 = 300"),
        ({"targets": registers(1, 2, 3), "old": [old(11, 7)]}, "holding_registers 10-12: ?, 7, ? → 1, 2, 3"),
        ({"targets": registers(1, 2, 3), "old": [old(10, 7, 8)]}, "holding_registers 10-12: 7, 8, ? → 1, 2, 3"),
        ({"targets": [registers(1)[0] | {"values": None}], "old": [old(10, 7)]}, "holding_registers 10: 7 → ?"),
        (
            {
                "protocol": "s7comm",
                "targets": [{"table": "DB10", "first": 32, "count": 16, "values": [300]}],
                "old": [old(32, 250)],
            },
            "DB10.DBW4: 250 → 300",
        ),
        (
            {
                "protocol": "enip",
                "targets": [{"table": "tags", "first": 0, "count": 1, "values": [2.5], "name": "Line1.Speed"}],
                "old": [old(0, 1.5)],
            },
            "tags Line1.Speed: 1.5 → 2.5",
        ),
    ],
)
def test_what_is_not_known_is_a_question_mark_and_never_made_up(more: dict[str, Any], text: str) -> None:
    assert cells(**more)[1] == text


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({"status": "2 illegal data address", "outcome": Outcome.ANSWERED_WITH_EXCEPTION}, "2 illegal data address"),
        ({"outcome": Outcome.ANSWERED_WITH_EXCEPTION}, "exception"),
        ({"outcome": Outcome.NO_ANSWER, "latency_us": None}, "no answer"),
        ({"outcome": Outcome.SENT, "latency_us": None}, "sent"),
    ],
)
def test_the_result_is_the_answers_own_word(more: dict[str, Any], outcome: str) -> None:
    assert cells(**more)[2:] == (outcome, "-" if "latency_us" in more else "4.2 ms")


def test_programs_get_everything_and_nothing_that_is_not_there() -> None:
    document = operation_document(PerformedOperation(**WRITTEN, old=[old(10, 250)], approved_by="bob"))
    assert document["old"] == [{"target": 0, "first": 10, "values": [250], "old_seen_us": 5}]
    assert document["approved_by"] == "bob"
    assert not {"status", "answer", "reply", "untold"} & document.keys()


DETAIL: dict[str, Any] = {
    "flow": 9,
    "source": "10.0.0.5:4000",
    "from_us": 1_790_000_000_000_000,
    "operations": [
        {
            "operation": "modbus.read",
            "code": "3",
            "name": "Read Holding Registers",
            "unit": 1,
            "targets": [{"table": "holding_registers", "first": 0, "count": 2, "values": None}],
            "conduit": "polls",
            "data": "00",
        }
    ],
    "rows": [],
    "sums": [
        {
            "operation": 0,
            "count": 50,
            "first_us": 0,
            "last_us": 900_000,
            "answered_us": 900_000,
            "latency_us": [310, 420, 2100],
            "exceptions": 1,
        }
    ],
}


def sums(wanted: Search) -> list[SummedOperations]:
    record = Record(kind=RecordKind.OPERATIONS, at_us=DETAIL["from_us"], subject="scada-1", detail=DETAIL)
    return list(expand_matching_sums(Entry(seq=5, record=record), wanted))


def test_a_sum_of_reads_says_how_many_and_how_fast() -> None:
    (one,) = sums(Search())
    assert sum_cells(one)[5:] == (
        "modbus.read",
        "holding_registers 0-1",
        "50 times, 1 exceptions",
        "0.3/0.4/2.1 ms",
    )
    assert (sum_document(one)["count"], one.last_us - one.at_us) == (50, 900_000)


def test_sums_are_found_by_name_and_time_and_are_no_single_operations() -> None:
    assert sums(Search(operation="modbus.write")) == []
    assert sums(Search(until_us=DETAIL["from_us"])) == []
    assert len(sums(Search(since_us=DETAIL["from_us"] + 500_000))) == 1
    record = Record(kind=RecordKind.OPERATIONS, at_us=DETAIL["from_us"], detail=DETAIL)
    assert list(expand(Entry(seq=5, record=record))) == []
