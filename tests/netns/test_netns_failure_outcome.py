"""How the lines of a poller become a cell of the table of failures."""

from __future__ import annotations

from typing import Any

import pytest
from failure_outcome import Outcome, Row, Seen, Stream, as_json, as_markdown, from_json, seen

FAULT_AT, REPAIRED_AT = 100.0, 104.0


def polls(*failed: tuple[float, float]) -> list[dict[str, Any]]:
    """A poll each 0.1 s from 98 s to 108 s; those that begin within one of the times `failed` are not answered."""
    starts = [98 + n / 10 for n in range(100)]
    return [
        {"at": at, "ok": not any(first <= at < last for first, last in failed), "latency_us": 1000} for at in starts
    ]


def test_without_a_failed_poll_a_stream_was_not_touched() -> None:
    found = seen(polls(), FAULT_AT, REPAIRED_AT)
    assert found.outcome is Outcome.UNTOUCHED
    assert found.outage_s == pytest.approx(0.1)


def test_a_stream_that_is_answered_again_before_the_repair_resumed() -> None:
    found = seen(polls((100.05, 101.05)), FAULT_AT, REPAIRED_AT)
    assert found.outcome is Outcome.RESUMED
    assert found.outage_s == pytest.approx(1.1)


def test_a_stream_that_is_answered_again_only_after_the_repair_had_stopped() -> None:
    found = seen(polls((100.05, 105.05)), FAULT_AT, REPAIRED_AT)
    assert found.outcome is Outcome.STOPPED
    assert found.back_s == pytest.approx(1.101)


def test_a_second_silence_at_the_end_of_the_fault_counts_as_well() -> None:
    found = seen(polls((100.05, 100.35), (102.05, 105.0)), FAULT_AT, REPAIRED_AT)
    assert found.outcome is Outcome.RESUMED
    assert found.outage_s == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("failed", [(0.0, 101.0), (103.0, 999.0)])
def test_a_stream_that_was_never_answered_before_or_after_is_no_result(failed: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="answers"):
        seen(polls(failed), FAULT_AT, REPAIRED_AT)


def test_the_table_as_data_comes_back_as_it_was() -> None:
    cell = Seen(outcome=Outcome.RESUMED, outage_s=0.5, back_s=0.0)
    rows = [Row(fault="x", streams=dict.fromkeys(Stream, cell), during=("failed_open",), after=())]
    assert from_json(as_json(rows)) == rows
    assert "within 1.5 s (0.50 s seen)" in as_markdown(rows)
