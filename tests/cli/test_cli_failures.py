from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gate import Answers, admin_socket

from penstock.cli import drill as drill_verb

INTERVAL = {
    "mode": "open",
    "cause": "worker_killed",
    "why": "worker-1 ended with status -9",
    "began_at": "2026-11-23T07:00:00+00:00",
    "inspected_again_at": "2026-11-23T07:00:02+00:00",
    "ended_at": None,
    "ended_by": None,
    "flows": 3,
    "packets": 90,
    "bytes": 5400,
    "live_flows": 1,
    "unrecorded": 0,
    "is_certain": True,
}
ROW = {
    "conduit": "SCADA polls the filters",
    "mode": "open",
    "is_inspected_at_all": True,
    "reason": "losing sight of the filters is a hazard",
    "approved_by": "safety.officer@riverside",
    "drill_window": "saturday",
    "drill_every_s": 90 * 86_400,
    "is_drill_overdue": True,
    "last_drill": None,
    "interval": INTERVAL,
}
CLOSED = ROW | {"conduit": "Historian", "mode": "closed", "reason": None, "approved_by": None, "interval": None}


def a_drill(phase: str = "ended", result: str | None = "passed", **fields: Any) -> dict[str, Any]:
    exercised = {
        "subject": "scada-1",
        "asset": "plc",
        "flows": 2,
        "failover_us": 40_000,
        "return_us": None,
        "leaked": 0,
    }
    return {
        "number": 4,
        "mode": "open",
        "phase": phase,
        "result": result,
        "length_s": 10,
        "by": "uid 0",
        "began_at": "2026-11-23T07:00:00+00:00",
        "failover_us": 40_000,
        "return_us": 70_000,
        "refused": 0,
        "also": [],
        "exercised": [exercised | {"return_us": None, "leaked": 0}],
    } | fields


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setenv("PENSTOCK_RUN", str(tmp_path))
    monkeypatch.setattr(drill_verb, "_LOOK_EVERY_S", 0)
    answers = Answers()
    with admin_socket(answers, tmp_path / "admin.sock"):
        yield answers


def test_the_register_says_first_what_goes_on_uninspected_and_how_to_bring_it_back(
    admin: Answers, cli: Any, capsys: Any
) -> None:
    admin.routes["GET", "/admin/failures"] = (200, {"conduits": [ROW, CLOSED]})
    assert cli("failures") == 0
    printed = capsys.readouterr()
    first, second = printed.out.splitlines()[1:]
    for text in ("open", "a hazard", "safety.officer", "every 90 d, saturday", "OVERDUE, never drilled"):
        assert text in first
    assert "OPEN since" in first
    assert "worker killed, 1 flow uninspected" in first
    assert second.split("  ")[0] == "Historian"
    assert second.endswith("inspected")
    assert "none given" in second
    assert "hint: penstock failures restore 'SCADA polls the filters' brings its flows back" in printed.err


def test_for_programs_the_register_is_what_the_gate_said(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["GET", "/admin/failures"] = (200, {"conduits": [ROW], "is_current": True})
    assert cli("failures", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"conduits": [ROW], "is_current": True}


def test_the_intervals_and_drills_of_one_conduit_are_shown(admin: Answers, cli: Any, capsys: Any) -> None:
    over = INTERVAL | {"ended_at": "2026-11-22T07:00:09+00:00", "ended_by": "the last of its flows ended"}
    answer = {"intervals": [INTERVAL, over | {"unrecorded": 7, "is_certain": False}], "drills": [a_drill()]}
    admin.routes["GET", "/admin/failures/SCADA%20polls%20the%20filters"] = (200, answer)
    assert cli("failures", "SCADA polls the filters") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "OPEN, 1 flow" in lines[1]
    assert "5400" in lines[1]
    assert lines[2].startswith("before ")
    assert "7 unrecorded" in lines[2]
    assert lines[2].endswith("the last of its flows ended")
    assert lines[-1].split()[0] == "4"
    assert "40 ms" in lines[-1]


def test_restoring_says_what_was_reset(admin: Answers, cli: Any, capsys: Any) -> None:
    reset = [{"machine": "scada-1", "asset": "plc", "grant": 3, "flows": 2}]
    admin.routes["POST", "/admin/failures/a%2Fb/restore"] = (200, {"stood_aside": False, "reset": reset})
    assert cli("failures", "restore", "a/b") == 0
    assert "reset 2 flows of scada-1 to plc, to be dialled anew" in capsys.readouterr().err


def test_a_name_without_quotes_is_an_error_that_says_so(admin: Answers, cli: Any, capsys: Any) -> None:
    assert cli("failures", "SCADA", "polls") == 2
    assert "hint: put the conduit's name in quotes" in capsys.readouterr().err
    assert admin.asked == []


def test_a_drill_shows_what_happens_while_it_runs_and_its_result(admin: Answers, cli: Any, capsys: Any) -> None:
    begun = a_drill("exercising", None, also=["Diagnosis"])
    begun["exercised"] = [begun["exercised"][0] | {"failover_us": None}]
    admin.routes["POST", "/admin/drills"] = (201, begun)
    admin.routes["GET", "/admin/drills/4"] = (200, a_drill())
    assert cli("drill", "SCADA polls the filters", "--for", "5s") == 0
    assert admin.asked[0].body == {"conduit": "SCADA polls the filters", "length_s": 5}
    printed = capsys.readouterr()
    assert printed.out == "result    passed\nfailover  40 ms\nreturn    70 ms\n"
    for text in ("scada-1 to plc: 2 flows cut", "also affected", "scada-1 to plc: on the kernel path after 40 ms"):
        assert text in printed.err


@pytest.mark.parametrize("result", ["failed", "aborted"])
def test_a_drill_that_did_not_pass_says_why_and_ends_with_1(admin: Answers, cli: Any, capsys: Any, result: str) -> None:
    admin.routes["POST", "/admin/drills"] = (201, a_drill("exercising", None, mode="closed"))
    admin.routes["GET", "/admin/drills/4"] = (200, a_drill(result=result, why="it leaked", mode="closed", refused=8))
    assert cli("drill", "x", "--json") == 1
    assert json.loads(capsys.readouterr().out)["result"] == result
    assert cli("drill", "x") == 1
    assert capsys.readouterr().out.splitlines()[:4] == [
        f"result    {result}",
        "why       it leaked",
        "passed    nothing",
        "refused   8 attempts at the gate",
    ]


def test_ctrl_c_ends_the_drill_at_the_gate_and_waits_for_its_end(
    admin: Answers, cli: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.routes["POST", "/admin/drills"] = (201, a_drill("exercising", None))
    admin.routes["DELETE", "/admin/drills/running"] = (200, {"is_stopping": True})
    admin.routes["GET", "/admin/drills/4"] = (200, a_drill(result="aborted", why="stopped by uid 0"))
    presses = [KeyboardInterrupt()]

    def sleep(_seconds: float) -> None:
        if presses:
            raise presses.pop()

    monkeypatch.setattr(drill_verb.time, "sleep", sleep)
    assert cli("drill", "x") == 130
    assert admin.paths() == ["POST /admin/drills", "DELETE /admin/drills/running", "GET /admin/drills/4"]
    assert "stopped by uid 0" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("--for", "ten"), ("--for", "-1"), ("--window-override",)])
def test_a_drill_has_a_length_in_seconds_and_no_way_around_its_window(
    admin: Answers, cli: Any, words: tuple[str, ...]
) -> None:
    assert cli("drill", "x", *words) == 2
    assert admin.asked == []


@pytest.mark.parametrize(("is_current", "count"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("path", ["/admin/failures", "/admin/failures/Historian"])
def test_what_could_not_be_asked_of_the_kernel_is_not_shown_as_if_it_were_so_now(
    admin: Answers, cli: Any, capsys: Any, path: str, *, is_current: bool, count: int
) -> None:
    rows = {"conduits": [CLOSED], "intervals": [], "drills": []}
    admin.routes["GET", path] = (200, rows | {"is_current": is_current})
    assert cli("failures", *path.split("/")[3:]) == 0
    assert capsys.readouterr().err.count("NOT CURRENT") == count
