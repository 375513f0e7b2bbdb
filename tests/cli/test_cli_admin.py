from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gate import Answers, admin_socket


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """The admin socket of a gate whose folder for local sockets is in the environment."""
    monkeypatch.setenv("PENSTOCK_RUN", str(tmp_path))
    answers = Answers()
    with admin_socket(answers, tmp_path / "admin.sock"):
        yield answers


def test_adding_a_subject_prints_the_code_and_nothing_else_on_stdout(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["POST", "/admin/subjects"] = (201, {"code": "ABCD-EFGH", "expires_at": "2026-11-24T08:00:00Z"})
    assert cli("subject", "add", "maria", "--group", "operators", "--group", "shift-leads") == 0
    printed = capsys.readouterr()
    assert printed.out == "ABCD-EFGH\n"
    assert "hint: penstock enrol ABCD-EFGH" in printed.err
    assert admin.asked[-1].body == {"name": "maria", "groups": ["operators", "shift-leads"]}


def test_every_objection_of_the_gate_is_shown(admin: Answers, cli: Any, capsys: Any) -> None:
    problems = [{"where": "name", "why": "exists already", "hint": "take another"}, {"where": "groups", "why": "none"}]
    admin.routes["POST", "/admin/subjects"] = (422, {"error": "invalid", "problems": problems})
    assert cli("subject", "add", "maria") == 2
    assert capsys.readouterr().err == "name: exists already\nhint: take another\ngroups: none\n"


def test_subjects_are_listed_as_a_table(admin: Answers, cli: Any, capsys: Any) -> None:
    rows = [
        {"name": "maria", "kind": "person", "groups": ["operators"], "roles": ["auditor"], "state": "enrolled"},
        {"name": "vic", "kind": "vendor", "groups": [], "roles": [], "state": "ended", "until": None},
    ]
    admin.routes["GET", "/admin/subjects"] = (200, {"subjects": rows})
    assert cli("subject", "ls") == 0
    assert capsys.readouterr().out.splitlines() == [
        "NAME   KIND    GROUPS     ROLES    STATE     UNTIL",
        "maria  person  operators  auditor  enrolled",
        "vic    vendor                      ended",
    ]


@pytest.mark.parametrize("verb", ["suspend", "resume"])
def test_a_subject_is_suspended_and_resumed_by_name(admin: Answers, cli: Any, verb: str) -> None:
    admin.routes["POST", f"/admin/subjects/a%2Fb/{verb}"] = (204, None)
    assert cli("subject", verb, "a/b") == 0
    assert admin.paths() == [f"POST /admin/subjects/a%2Fb/{verb}"]


def test_grants_are_listed_with_their_number_and_end(admin: Answers, cli: Any, capsys: Any) -> None:
    row = {"number": 7, "subject": "maria", "asset": "plc-dosing", "service": "modbus", "binding": "certificate"}
    admin.routes["GET", "/admin/grants"] = (200, {"grants": [row | {"expires_at": None}]})
    assert cli("grant", "ls") == 0
    assert capsys.readouterr().out.splitlines()[1] == "7       maria    plc-dosing  modbus   certificate"


def test_grants_are_listed_with_what_their_flows_have_carried(admin: Answers, cli: Any, capsys: Any) -> None:
    row = {"number": 7, "subject": "maria", "asset": "hist", "service": "sql", "binding": "address"}
    traffic = {"flows": 3, "packets": 12345, "bytes": 6789012}
    admin.routes["GET", "/admin/grants"] = (200, {"grants": [row | {"expires_at": None, "traffic": traffic}]})
    assert cli("grant", "ls") == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].endswith("3      6,789,012 bytes, 12,345 packets")
    assert printed.err == ""


def test_figures_that_are_not_of_now_are_said_to_be_older(admin: Answers, cli: Any, capsys: Any) -> None:
    row = {"number": 7, "subject": "maria", "asset": "hist", "service": "sql", "traffic": {"flows": 3, "packets": 0}}
    admin.routes["GET", "/admin/grants"] = (200, {"grants": [row], "traffic_is_current": False})
    assert cli("grant", "ls") == 0
    assert "the enforcer did not count in time" in capsys.readouterr().err


def test_a_grant_is_revoked_by_its_number(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["DELETE", "/admin/grants/7"] = (204, None)
    assert cli("grant", "revoke", "7") == 0
    assert capsys.readouterr() == ("", "grant 7 is revoked\n")


@pytest.mark.parametrize(
    ("words", "method", "path", "status"),
    [
        (("grant", "revoke", "7"), "DELETE", "/admin/grants/7", 202),
        (("subject", "suspend", "maria"), "POST", "/admin/subjects/maria/suspend", 200),
    ],
)
def test_what_the_kernel_has_not_confirmed_is_no_success(
    admin: Answers, cli: Any, capsys: Any, words: tuple[str, ...], method: str, path: str, status: int
) -> None:
    admin.routes[method, path] = (status, {"not_yet": ["the kernel has not confirmed the cut of 1 grants"]})
    assert cli(*words) == 4
    assert "NOT YET: the kernel has not confirmed the cut of 1 grants\n" in capsys.readouterr().err


def test_a_grant_that_does_not_exist_is_invalid(admin: Answers, cli: Any) -> None:
    admin.routes["DELETE", "/admin/grants/8"] = (404, {"error": "no such grant", "problems": []})
    assert cli("grant", "revoke", "8") == 2


def test_status_is_a_line_a_thing(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["GET", "/admin/status"] = (
        200,
        {"is_ready": True, "revision": 3, "processes": ["control", "worker"]},
    )
    assert cli("status") == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "is ready   yes",
        "revision   3",
        "processes  control, worker",
    ]


def test_status_as_json_is_what_the_gate_said(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["GET", "/admin/status"] = (200, {"is_ready": False})
    assert cli("status", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"is_ready": False}


def test_a_folder_of_documents_is_applied_at_once(admin: Answers, cli: Any, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    for name, text in (("a.yaml", "site: a"), ("b.yaml", "zones: {}"), ("notes.txt", "no")):
        (folder / name).write_text(text)
    admin.routes["POST", "/admin/revisions"] = (201, {"revision": 4})
    assert cli("revision", "apply", str(folder)) == 0
    assert admin.asked[-1].body == {"documents": {"a.yaml": "site: a", "b.yaml": "zones: {}"}}
    assert capsys.readouterr().err == "revision 4 is applied\n"


def test_a_folder_without_documents_is_refused_before_the_gate_is_asked(
    admin: Answers, cli: Any, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert cli("revision", "apply", str(tmp_path / "empty")) == 2
    assert admin.asked == []


def test_revisions_are_listed(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["GET", "/admin/revisions"] = (200, {"revisions": []})
    assert cli("revision", "ls") == 0
    assert capsys.readouterr() == ("", "no revision has been applied\n")


def test_a_gate_that_does_not_run_is_unavailable(cli: Any, tmp_path: Path, capsys: Any) -> None:
    assert cli("status", "--socket", str(tmp_path / "none.sock")) == 4
    assert "no gate listens at" in capsys.readouterr().err
