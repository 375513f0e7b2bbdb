"""The benchmark of all protocols: its gate lets its talks pass, and its rows say what was measured of which one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from penstock.policy import accept, parse

BENCH = Path(__file__).parents[2] / "bench"


def bench_file(name: str) -> ModuleType:
    """One file of the benchmark; they import each other by their names."""
    if str(BENCH) not in sys.path:
        sys.path.append(str(BENCH))
    return importlib.import_module(name)


protocols = bench_file("protocols")
report = bench_file("report")


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = bench_file("inspect_protocols")
    monkeypatch.setattr(found, "RUNS", 1)
    monkeypatch.setattr(found, "PAIRS", 200)
    return found


NAMES = ("modbus", "s7comm", "enip", "dnp3", "iec104", "opcua")


def test_every_protocol_has_a_talk_and_a_device() -> None:
    assert set(protocols.TALKS) == set(NAMES)
    assert set(protocols.EVERY) == set(protocols.PORTS) == {*NAMES, "bacnet"}


def test_the_gate_that_is_measured_accepts_its_site() -> None:
    accept(parse({"site.yaml": protocols.site_of(NAMES)}), 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_talk_passes_the_inspection_and_is_refused_where_only_writing_is_allowed(
    inspected: ModuleType, name: str, tmp_path: Path
) -> None:
    """`measured` asserts that nothing of the pairs is refused, and all that is to be; a turn is far from a beat."""
    found = inspected.measured(tmp_path, name)
    assert 0 < found.pair < found.first
    assert found.turn < 100_000


def runs_of(connections: int) -> list[object]:
    load = report.Load(mode="closed", connections=connections, seconds=1.0)
    figures = {"direct": 10.0, "haproxy": 20.0, "inspected": 25.0}
    return [
        report.Run(
            variant=variant,
            load=load,
            figures={"p50_us": us, "p99_us": 2 * us, "p999_us": 3 * us, "max_us": 4 * us, "per_s": 1e6 / us},
            cpu_us=None,
        )
        for variant, us in figures.items()
    ]


def test_the_rows_of_a_protocol_say_its_ratios_and_which_targets_are_missed() -> None:
    rows = protocols.rows_of_protocol("dnp3", [*runs_of(50), *runs_of(1)])
    assert {row["protocol"] for row in rows} == {"dnp3"}
    verdicts = {(row["figure"], row["connections"]): row["is_met"] for row in rows if row["bench"] == "target"}
    assert verdicts == {("per_s_to_haproxy", 50): True, ("p99_to_haproxy", 50): True, ("p50_to_haproxy", 1): False}
    best = {row["variant"]: row["per_s_best_to_haproxy"] for row in rows if row["bench"] == "path"}
    assert best == {"direct": 2.0, "haproxy": 1.0, "inspected": 0.8}
    printed = protocols.text(rows)
    assert "best round, req/s: direct 100,000, haproxy 50,000, inspected 40,000; inspected/HAProxy 0.80" in printed
    assert "dnp3, connections: 50" in printed
    assert "MISSED  dnp3     inspected, 1 connection: p50 at most 1.2 x HAProxy: 1.25" in printed


def test_the_best_round_is_told_beside_the_median() -> None:
    runs = [*runs_of(50), *runs_of(50), *runs_of(50)]
    slow = next(run for run in runs if run.variant == "inspected")
    fast = report.Run(variant="inspected", load=slow.load, figures={**slow.figures, "per_s": 60_000.0}, cpu_us=None)
    rows = protocols.rows_of_protocol("modbus", [*runs, fast])
    (row,) = (row for row in rows if row.get("variant") == "inspected" and row["bench"] == "path")
    assert (row["per_s"], row["per_s_best"], row["per_s_best_to_haproxy"]) == (40_000.0, 60_000.0, 1.2)
