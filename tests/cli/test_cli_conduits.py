"""What an administrator sees of conduits and metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gate import Answers, admin_socket

from penstock.cli.conduits import duration

POLLS, READS = "SCADA polls the filters", "The historian reads"


def figures(count: int, *us: int | None) -> dict[str, Any]:
    p50, p99, p999, worst = us or (None,) * 4
    return {"count": count, "p50_us": p50, "p99_us": p99, "p999_us": p999, "worst_us": worst}


def row(name: str, path: str, **changes: Any) -> dict[str, Any]:
    none = {"total": figures(0), "own": figures(0), "over": None}
    windows = dict.fromkeys(("minute", "ten_minutes", "start"), none)
    return {
        "conduit": name, "mode": "closed", "path": path, "flows": {"inspected": 0, "kernel": 0}, "budget_us": None,
        "steps_aside": False, "over_since": None, "aside_since": None, "why": None,
        "measured": {"inspected": windows, "kernel": windows},
    } | changes  # fmt: skip


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setenv("PENSTOCK_RUN", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    answers = Answers()
    with admin_socket(answers, tmp_path / "admin.sock"):
        yield answers


@pytest.fixture
def rows(admin: Answers) -> list[dict[str, Any]]:
    ten = {"total": figures(1200, 410, 1900, 5119, 9215), "own": figures(1200, 31, 88, 2047, 9215), "over": 3}
    minute = {"total": figures(60, 400, 900, 900, 900), "own": figures(60, 30, 80, 80, 80), "over": 0}
    none = {"total": figures(0), "own": figures(0), "over": 0}
    given = [
        row(
            POLLS, "inspected", mode="open", flows={"inspected": 2, "kernel": 1}, budget_us=5000, steps_aside=True,
            measured={
                "inspected": {"minute": minute, "ten_minutes": ten, "start": ten},
                "kernel": dict.fromkeys(("minute", "ten_minutes", "start"), none),
            },
        ),
        row(READS, "kernel", flows={"inspected": 0, "kernel": 4}),
    ]  # fmt: skip
    lag = {"ten_seconds": figures(400, 52, 1183, 9000, 9215), "start": figures(0)}
    admin.routes["GET", "/admin/conduits"] = (200, {"conduits": given, "lag": lag})
    return given


@pytest.mark.usefixtures("rows")
def test_each_conduit_has_a_row_with_the_figures_of_its_path_in_units_that_people_read(cli: Any, capsys: Any) -> None:
    assert cli("conduits") == 0
    printed = capsys.readouterr()
    heading, polls, reads = printed.out.splitlines()
    said = "before the worker reads what is ready it takes 52 µs (p50), 1.18 ms (p99), 9.21 ms (worst); last 10 s\n"
    assert printed.err == said
    assert heading.split("  ")[0] == "CONDUIT"
    cells = [cell.strip() for cell in polls.split("  ") if cell.strip()]
    assert cells == [
        POLLS, "open", "inspected", "3", "1200",
        "31 µs", "88 µs", "2.05 ms", "410 µs", "1.9 ms", "5.12 ms", "5 ms", "3",
    ]  # fmt: skip
    assert [cell.strip() for cell in reads.split("  ") if cell.strip()] == [READS, "closed", "kernel", "4", "0"]


@pytest.mark.usefixtures("rows")
def test_another_window_shows_other_figures(cli: Any, capsys: Any) -> None:
    assert cli("conduits", "--window", "1m") == 0
    assert "30 µs" in capsys.readouterr().out


def test_a_conduit_that_stands_aside_says_why_and_how_it_comes_back(
    rows: list[dict[str, Any]], cli: Any, capsys: Any
) -> None:
    rows[0] |= {"path": "aside", "aside_since": "2026-11-23T07:00:00+00:00", "why": "32 of 1032 took longer"}
    assert cli("conduits") == 0
    printed = capsys.readouterr()
    assert "aside" in printed.out.splitlines()[1]
    assert f"“{POLLS}” stands aside, uninspected: 32 of 1032 took longer" in printed.err
    assert "hint: penstock conduits return CONDUIT" in printed.err


def test_programs_get_everything(rows: list[dict[str, Any]], cli: Any, capsys: Any) -> None:
    assert cli("conduits", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["conduits"] == rows
    assert answer["lag"]["ten_seconds"]["p50_us"] == 52


def test_returning_names_the_conduit_and_says_what_becomes_of_its_flows(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["POST", "/admin/conduits/return"] = (204, None)
    assert cli("conduits", "return", POLLS) == 0
    assert admin.asked[-1].body == {"conduit": POLLS}
    assert capsys.readouterr().err == (
        f"“{POLLS}” is inspected again; flows that went on uninspected are reset and dial anew\n"
    )


def test_a_conduit_that_does_not_stand_aside_is_an_error_with_a_hint(admin: Answers, cli: Any, capsys: Any) -> None:
    problem = {"where": "conduit", "why": f"“{POLLS}” does not stand aside", "hint": "penstock conduits shows which"}
    admin.routes["POST", "/admin/conduits/return"] = (422, {"error": "invalid", "problems": [problem]})
    assert cli("conduits", "return", POLLS) == 2
    assert capsys.readouterr().err == f"conduit: “{POLLS}” does not stand aside\nhint: penstock conduits shows which\n"


def test_metrics_are_printed_as_the_gate_wrote_them(admin: Answers, cli: Any, capsys: Any) -> None:
    page = '# TYPE penstock_x gauge\npenstock_x{conduit="a\\"b\\n"} 1\n'
    admin.routes["GET", "/admin/metrics"] = (200, page)
    assert cli("metrics") == 0
    assert json.loads(capsys.readouterr().out) == page  # the fake gate answers in JSON


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (None, ""),
        (0, "0 µs"),
        (999, "999 µs"),
        (1000, "1 ms"),
        (5119, "5.12 ms"),
        (999_499, "999 ms"),
        (999_500, "1 s"),
        (60_000_000, "60 s"),
    ],
)
def test_durations_are_read_in_the_unit_that_fits(us: int | None, text: str) -> None:
    assert duration(us) == text
