"""The metrics page, read by Prometheus's own parser, and the promise in docs/reference/metrics.md."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from control_world import DOCUMENTS, World, play
from hypothesis import given
from hypothesis import strategies as st
from measuring import BUDGETED, OPERATORS, POLLS, latency, second, worker
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from penstock.bus.histogram import Histogram, bucket_of
from penstock.control import metrics_page
from penstock.control.exposition import Page
from penstock.model import ProcessStarted, Reason, Record, RecordKind

REFERENCE = Path(__file__).parents[2] / "docs/reference/metrics.md"


def parsed(page: str) -> dict[str, Metric]:
    """The families as Prometheus's parser reads them; it names counters without their ``_total``."""
    found = {family.name: family for family in text_string_to_metric_families(page)}
    assert "unknown" not in {family.type for family in found.values()}
    return found


def values(family: Metric, name: str | None = None) -> dict[tuple[str, ...], float]:
    """Value by the values of its labels."""
    return {tuple(s.labels.values()): s.value for s in family.samples if name in {None, s.name}}


@pytest.fixture
def page(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, Metric]:
    """The page of a gate on which something has happened."""
    monkeypatch.setitem(DOCUMENTS, "site.yaml", BUDGETED)
    pages: list[str] = []

    async def scenario(world: World) -> None:
        world.gate.events.records_of(ProcessStarted(name="worker-1", pid=7, at_us=1))
        busy = worker(world, lag={bucket_of(30): 40})
        object.__setattr__(busy, "queues", {"plc-filter-1": 3})
        await second(world, latency(fast=98, slow=2), latency(OPERATORS, fast=4), busy, is_worker_heard=False)
        refused = Record(kind=RecordKind.FLOW_REFUSED, at_us=1, reason=Reason.GRANT_UNKNOWN.value, detail={"count": 17})
        world.recorder.put([refused, refused])
        pages.append(metrics_page(world.gate))

    play(world, scenario)
    return parsed(pages[0])


def test_the_page_says_what_was_measured_to_somebody_else_s_parser(page: dict[str, Metric]) -> None:
    assert page["penstock_own_seconds"].type == "histogram"
    counts = values(page["penstock_own_seconds"], "penstock_own_seconds_count")
    assert counts == {(POLLS,): 100, (OPERATORS,): 4}
    buckets = values(page["penstock_own_seconds"], "penstock_own_seconds_bucket")
    assert (buckets[POLLS, "6.4e-05"], buckets[POLLS, "0.000128"], buckets[POLLS, "+Inf"]) == (0, 98, 100)
    sums = values(page["penstock_own_seconds"], "penstock_own_seconds_sum")
    assert sums[POLLS,] == pytest.approx(98 * 100e-6 + 2 * 9e-3, rel=1 / 32)
    assert values(page["penstock_over_budget_transactions"]) == {(POLLS, "inspected"): 2}
    assert values(page["penstock_latency_budget_seconds"]) == {(POLLS,): 0.005}
    assert values(page["penstock_over_budget"]) == {(POLLS,): 1}
    assert values(page["penstock_conduit_flows"])[POLLS, "inspected"] == 2
    assert values(page["penstock_waiting_flows"]) == {("plc-filter-1",): 3}
    assert values(page["penstock_records"])["flow.refused", "grant_unknown"] == 34
    assert values(page["penstock_grants"])[("machine",)] == 2
    assert values(page["penstock_process_running"]) == {("worker-1",): 1}
    assert values(page["penstock_inspection_alive"]) == {(): 1}


def test_every_metric_stands_in_the_reference_with_its_type_and_labels_and_nothing_else_does(
    page: dict[str, Metric],
) -> None:
    rows = re.findall(r"^\| `(penstock_\w+)` \| (\w+) \|([^|]*)\|", REFERENCE.read_text(), re.MULTILINE)
    promised = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    there = {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            tuple(label for label in (family.samples[0].labels if family.samples else ()) if label != "le"),
        )
        for family in page.values()
    }
    assert there == promised


@given(st.text(min_size=1), st.integers(0, 1 << 40))
def test_whatever_a_conduit_is_called_the_parser_reads_the_same(name: str, count: int) -> None:
    page = Page()
    page.gauge("penstock_x", "Some thing", [({"conduit": name}, count), ({"conduit": "next"}, 1)])
    lines = text_string_to_metric_families(page.text)
    (family,) = lines
    expected = {(name,): float(count)} | {("next",): 1.0}
    assert values(family) == expected | ({(name,): 1.0} if name == "next" else {})


@given(st.lists(st.integers(0, 70_000_000), max_size=100))
def test_a_histogram_counts_below_each_bound_exactly_what_is_below_it(durations_us: list[int]) -> None:
    histogram, page = Histogram(), Page()
    for duration_us in durations_us:
        histogram.add(duration_us)
    page.histogram("penstock_x_seconds", "Some time", [({}, histogram.take())])
    (family,) = text_string_to_metric_families(page.text)
    buckets = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}
    assert buckets.pop("+Inf") == len(durations_us)
    for bound, count in buckets.items():
        assert count == sum(duration < round(float(bound) * 1e6) for duration in durations_us)
    total = next(s.value for s in family.samples if s.name.endswith("_sum"))
    exact = sum(min(duration, 60_000_000) for duration in durations_us) / 1e6
    assert abs(total - exact) <= exact / 64 + 1e-9


def test_a_gate_without_the_kernel_does_not_say_that_the_kernel_holds_anything(world: World) -> None:
    async def scenario(world: World) -> None:
        world.gate.settings = replace(world.gate.settings, has_kernel=False)
        assert values(parsed(metrics_page(world.gate))["penstock_kernel_synchronised"]) == {(): 0.0}

    play(world, scenario)
