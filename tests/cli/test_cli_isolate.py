from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gate import Answers, admin_socket

SINCE = "2026-11-23T08:00:00+00:00"
FLOW = {"grant": 3, "subject": "scada-1", "asset": "plc-filter-1", "service": "modbus"}
ROW = {
    "kind": "zone", "name": "filtration", "since": SINCE, "by": "uid 0", "reason": "ransomware",
    "even_safety_critical": False, "goes_on": [FLOW],
}  # fmt: skip
DONE = {**ROW, "grants_closed": 12, "not_yet": []}


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setenv("PENSTOCK_RUN", str(tmp_path))
    answers = Answers()
    with admin_socket(answers, tmp_path / "admin.sock"):
        yield answers


def test_isolating_says_what_ended_and_what_still_passes(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["POST", "/admin/isolations"] = (201, DONE)
    assert cli("isolate", "zone", "filtration", "--reason", "ransomware") == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("zone filtration is isolated since 2026-11-23")
    assert said[0].endswith("grants ended now: 12")
    assert said[1:] == [
        "still passes, safety-critical: scada-1 to plc-filter-1 modbus",
        "hint: --even-safety-critical cuts these as well",
    ]
    assert admin.asked[-1].body == {
        "kind": "zone",
        "name": "filtration",
        "reason": "ransomware",
        "even_safety_critical": False,
    }


def test_what_is_not_cut_yet_is_said_loudly_and_the_status_is_not_success(
    admin: Answers, cli: Any, capsys: Any
) -> None:
    admin.routes["POST", "/admin/isolations"] = (201, {**DONE, "not_yet": ["the kernel has not confirmed", "nor kept"]})
    assert cli("isolate", "asset", "plc-dosing", "--reason", "ransomware", "--even-safety-critical") == 4
    said = capsys.readouterr().err
    assert "NOT YET: the kernel has not confirmed\nNOT YET: nor kept\n" in said
    assert admin.asked[-1].body["even_safety_critical"] is True


def test_who_is_second_reads_who_was_first(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["POST", "/admin/isolations"] = (200, DONE)
    assert cli("isolate", "zone", "filtration", "--reason", "me too") == 0
    assert "it was isolated already by uid 0: ransomware" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("isolate", "zone", "filtration"), ("isolate", "zone", "--reason", "x")])
def test_a_reason_and_a_name_are_needed(admin: Answers, cli: Any, words: tuple[str, ...]) -> None:
    assert cli(*words) == 2
    assert admin.asked == []


def test_a_lockdown_without_a_terminal_needs_yes(admin: Answers, cli: Any, capsys: Any) -> None:
    assert cli("isolate", "site", "--reason", "x") == 2
    assert "--yes" in capsys.readouterr().err
    assert admin.asked == []
    admin.routes["POST", "/admin/isolations"] = (201, {**DONE, "kind": "site", "name": "riverside-water"})
    assert cli("isolate", "site", "--reason", "x", "--yes") == 0
    assert (admin.asked[-1].body["kind"], admin.asked[-1].body["name"]) == ("site", "")


@pytest.mark.parametrize(("answer", "status", "count"), [("no", 1, 0), ("yes", 0, 1)])
def test_a_lockdown_asks_whoever_sits_at_the_terminal(
    admin: Answers, cli: Any, monkeypatch: pytest.MonkeyPatch, answer: str, status: int, count: int
) -> None:
    monkeypatch.setattr("penstock.cli.output.is_interactive", lambda: True)
    admin.routes["POST", "/admin/isolations"] = (201, DONE)
    assert cli("isolate", "site", "riverside-water", "--reason", "x", typed=f"{answer}\n") == status
    assert len(admin.asked) == count


def test_releasing_says_how_many_machine_paths_are_open_again(admin: Answers, cli: Any, capsys: Any) -> None:
    done = {"kind": "zone", "name": "filtration", "reopened": 3, "not_yet": []}
    admin.routes["DELETE", "/admin/isolations/zone/filtration"] = (200, done)
    assert cli("release", "zone", "filtration") == 0
    assert capsys.readouterr().err == "zone filtration is released, machine paths open again: 3\n"
    admin.routes["DELETE", "/admin/isolations/site"] = (200, {**done, "not_yet": ["not open again yet"]})
    assert cli("release", "site") == 4


def test_what_is_isolated_is_a_table(admin: Answers, cli: Any, capsys: Any) -> None:
    asset = {**ROW, "kind": "asset", "name": "plc-dosing", "goes_on": []}
    open_still = ["the kernel has not confirmed the cut of 2 grants"]
    admin.routes["GET", "/admin/isolations"] = (200, {"isolated": [ROW, asset], "not_yet": open_still})
    assert cli("isolated") == 4
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split("  ")[0] == "WHAT"
    assert lines[1].endswith("scada-1 to plc-filter-1 modbus")
    assert lines[2].endswith("nothing")
    assert printed.err == "NOT YET: the kernel has not confirmed the cut of 2 grants\n"
    assert cli("isolated", "--json") == 4
    assert open_still[0] in capsys.readouterr().out


def test_where_nothing_is_isolated_that_is_said(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["GET", "/admin/isolations"] = (200, {"isolated": [], "not_yet": []})
    assert cli("isolated") == 0
    assert capsys.readouterr() == ("", "nothing is isolated\n")
