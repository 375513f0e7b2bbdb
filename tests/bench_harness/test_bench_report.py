from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "bench" / "report.py"


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_report", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run_of(report: ModuleType, variant: str, p50_us: float, mode: str = "paced", cpu_us: float | None = 10.0) -> Any:
    figures = {"p50_us": p50_us, "p99_us": p50_us * 2, "p999_us": p50_us * 3, "max_us": p50_us * 4, "per_s": 1000.0}
    load = report.Load(mode=mode, connections=1, seconds=1.0)
    return report.Run(variant=variant, load=load, figures=figures, cpu_us=cpu_us)


def test_a_row_holds_the_median_of_its_rounds_and_the_worst_reply_of_all(report: ModuleType) -> None:
    (row,) = report.rows_of([run_of(report, "direct", p50) for p50 in (30.0, 10.0, 20.0)])
    assert (row["rounds"], row["p50_us"], row["p99_us"], row["p999_us"], row["max_us"]) == (3, 20.0, 40.0, 60.0, 120.0)


def test_ratios_compare_paths_under_the_same_load_only(report: ModuleType) -> None:
    runs = [
        run_of(report, "direct", 20.0),
        run_of(report, "direct", 10.0, mode="closed"),
        run_of(report, "inspected", 40.0),
    ]
    row = report.rows_of(runs)[2]
    assert (row["p50_to_direct"], row["p50_to_haproxy"]) == (2.0, None)


def test_tls_paths_are_compared_with_haproxy_over_tls(report: ModuleType) -> None:
    runs = [run_of(report, name, p50) for name, p50 in (("haproxy", 10.0), ("haproxy-tls", 50.0), ("stunnel", 100.0))]
    ratios = {row["variant"]: row["p50_to_haproxy"] for row in report.rows_of(runs)}
    assert ratios == {"haproxy": 1.0, "haproxy-tls": 1.0, "stunnel": 2.0}


def test_a_path_without_a_process_has_no_processor_time(report: ModuleType) -> None:
    (row,) = report.rows_of([run_of(report, "direct", 20.0, cpu_us=None)])
    assert row["cpu_us_per_request"] is None


@pytest.mark.parametrize(("measured", "is_met"), [(1.5, True), (1.501, False)])
def test_a_target_is_met_up_to_its_limit(report: ModuleType, measured: float, is_met: bool) -> None:  # noqa: FBT001  a parametrized value
    target = report.Target(name="t", variant="kernel", mode="paced", connections=1, figure="p50_to_direct", limit=1.5)
    row = {"variant": "kernel", "mode": "paced", "connections": 1, "p50_to_direct": measured}
    (verdict,) = report.judged([row], [target])
    assert (verdict["measured"], verdict["is_met"]) == (measured, is_met)


@pytest.mark.parametrize(("measured", "is_met"), [(0.7, True), (0.699, False)])
def test_a_target_of_throughput_is_met_down_to_its_limit(report: ModuleType, measured: float, is_met: bool) -> None:  # noqa: FBT001  a parametrized value
    target = report.Target(
        name="t",
        variant="kernel",
        mode="closed",
        connections=50,
        figure="per_s_to_haproxy",
        limit=0.7,
        is_at_least=True,
    )
    row = {"variant": "kernel", "mode": "closed", "connections": 50, "per_s_to_haproxy": measured}
    assert report.judged([row], [target])[0]["is_met"] is is_met


def test_a_target_whose_figure_was_not_measured_is_not_judged(report: ModuleType) -> None:
    assert report.judged(report.rows_of([run_of(report, "direct", 20.0)])) == []


def test_every_target_asks_for_a_figure_that_rows_carry(report: ModuleType) -> None:
    rows = report.rows_of(
        [
            run_of(report, name, 20.0, mode=mode)
            for mode in ("paced", "closed")
            for name in ("direct", "haproxy", "haproxy-tls", "kernel", "inspected", "inspected-tls")
        ]
    )
    figures = {figure for row in rows for figure, value in row.items() if value is not None} | {"pss_mb"}
    assert {target.figure for target in report.TARGETS} <= figures


def test_the_table_names_every_path_and_every_missed_target(report: ModuleType) -> None:
    rows = report.rows_of([run_of(report, name, p50) for name, p50 in (("direct", 10.0), ("kernel", 40.0))])
    text = report.text(rows + report.judged(rows))
    assert "kernel" in text
    assert "MISSED  kernel path, paced: p50 at most 1.5 x direct: 4" in text


def test_what_the_gate_measured_itself_stands_beside_what_was_measured_from_outside(report: ModuleType) -> None:
    figures = {"p50_us": 31, "p99_us": 80, "p999_us": 400, "count": 12_000, "worst_us": 900}
    rows = [
        {"bench": "own", "variant": "inspected", "own": figures, "total": figures | {"p50_us": 95}},
        {"bench": "own", "variant": "event loop", "lag": figures},
    ]
    assert report.text(rows).splitlines() == [
        "what the gate measured itself, all loads together",
        (
            "  inspected: gate's share p50 31 us, p99 80 us, p99.9 400 us (12,000); "
            "whole p50 95 us, p99 80 us, p99.9 400 us (12,000)"
        ),
        "  event loop: lag p50 31 us, p99 80 us, p99.9 400 us (12,000)",
    ]
