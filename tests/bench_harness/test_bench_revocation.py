"""What the revocation benchmark counts, on figures that are known."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from penstock.policy import accept, machine_paths, parse

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def revocation() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCH))
    before = set(sys.modules)
    yield importlib.import_module("revocation")
    sys.path.remove(str(BENCH))
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(BENCH) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(100, 0.99, 99.0), (100, 0.5, 50.0), (20, 0.99, 20.0), (1, 0.99, 1.0)]
)
def test_a_quantile_is_a_figure_that_was_measured(
    revocation: ModuleType, count: int, share: float, expected: float
) -> None:
    assert revocation.quantile([float(each) for each in range(count, 0, -1)], share) == expected


def test_a_single_answer_after_the_acknowledgement_misses_the_target(revocation: ModuleType) -> None:
    good = revocation.Sample(ack_ms=1.0, cut_ms=0.5, closed_ms=2.0, answered_after_ack=0, answered=9)
    bad = revocation.Sample(ack_ms=1.0, cut_ms=0.5, closed_ms=2.0, answered_after_ack=1, answered=9)
    rows = [revocation._row("kernel", "busy", 1, 10_000, [*[good] * 99, bad])]
    met = {row["name"]: row["is_met"] for row in revocation.judged(rows, revocation.TARGETS)}
    assert sorted(met.values()) == [False, True]
    assert rows[0]["answered_after_ack"] == 1


def test_the_times_of_the_slow_ones_are_not_left_out(revocation: ModuleType) -> None:
    samples = [revocation.Sample(ack_ms=1.0, cut_ms=0.5, closed_ms=2.0, answered_after_ack=0, answered=9)] * 50
    slow = revocation.Sample(ack_ms=700.0, cut_ms=0.5, closed_ms=900.0, answered_after_ack=0, answered=9)
    row = revocation._row("inspected", "idle", 1, 10_000, [*samples, slow])
    assert (row["ack_p50_ms"], row["ack_p99_ms"], row["closed_p99_ms"], row["closed_max_ms"]) == (1, 700, 900, 900)
    assert "inspected, idle" in revocation.text([row])
    assert revocation.text([]) == ""


def test_the_site_of_the_benchmark_fills_the_gate_with_as_many_grants_as_it_says(revocation: ModuleType) -> None:
    policy = accept(parse({"site.yaml": revocation.site(12)}), 1)
    assert len(machine_paths(policy)) == 144
    assert {path.is_inspected for path in machine_paths(policy)} == {False}
