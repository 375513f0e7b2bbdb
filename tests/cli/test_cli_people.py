"""People, roles and break-glass on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gate import Answers, FakeGate, admin_socket


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """The admin socket of a gate."""
    monkeypatch.setenv("PENSTOCK_RUN", str(tmp_path))
    answers = Answers()
    with admin_socket(answers, tmp_path / "admin.sock"):
        yield answers


def test_a_vendor_is_added_with_a_sponsor_and_a_last_day(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["POST", "/admin/subjects"] = (201, {"code": "ABCD-EFGH", "expires_at": None})
    words = ("--vendor", "--sponsor", "ada", "--until", "2026-12-31", "--group", "vendor-acme")
    assert cli("subject", "add", "vic", *words) == 0
    assert capsys.readouterr().out == "ABCD-EFGH\n"
    assert admin.asked[-1].body == {
        "name": "vic",
        "groups": ["vendor-acme"],
        "kind": "vendor",
        "sponsor": "ada",
        "until": "2026-12-31",
    }


def test_an_end_without_a_vendor_is_a_mistake_and_nothing_is_asked(admin: Answers, cli: Any, capsys: Any) -> None:
    assert cli("subject", "add", "vic", "--until", "2026-12-31") == 2
    assert "hint: add --vendor" in capsys.readouterr().err
    assert admin.asked == []


def test_groups_are_changed_and_what_ended_with_them_is_told(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["POST", "/admin/subjects/ada/groups"] = (200, {"groups": ["safety"], "grants_closed": 2})
    assert cli("subject", "change", "ada", "--add-group", "safety", "--remove-group", "operators") == 0
    assert admin.asked[-1].body == {"add": ["safety"], "remove": ["operators"]}
    assert capsys.readouterr().err == "ada is in safety; grants ended: 2\n"


def test_a_role_is_given_by_its_name_only(admin: Answers, cli: Any, capsys: Any) -> None:
    admin.routes["POST", "/admin/roles/ada%40corp/approver"] = (204, None)
    assert cli("role", "give", "ada@corp", "approver") == 0
    assert cli("role", "give", "ada", "king") == 2
    assert "approver" in capsys.readouterr().err
    assert len(admin.asked) == 1


def test_a_request_says_its_number_and_who_must_act_next(admin: Answers, cli: Any, capsys: Any) -> None:
    answer = {"number": 7, "subject": "bg-1", "state": "asked", "asked_by": "uid 0"}
    admin.routes["POST", "/admin/break-glass"] = (201, answer)
    assert cli("break-glass", "ask", "bg-1", "--reason", "the provider is down") == 0
    printed = capsys.readouterr()
    assert printed.out == "7\n"
    assert "by another person than uid 0" in printed.err
    assert cli("break-glass", "ask", "bg-1") == 2


def test_a_refusal_to_approve_is_shown_with_its_reason(admin: Answers, cli: Any, capsys: Any) -> None:
    problems = [{"where": "break-glass", "why": "whoever asks does not approve", "hint": "penstock break-glass ls"}]
    admin.routes["POST", "/admin/break-glass/7/approve"] = (422, {"error": "invalid", "problems": problems})
    assert cli("break-glass", "approve", "7") == 2
    assert capsys.readouterr().err == "break-glass: whoever asks does not approve\nhint: penstock break-glass ls\n"


def test_where_there_is_no_socket_the_roles_of_the_sign_in_count(
    signed_in: FakeGate, cli: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setenv("PENSTOCK_RUN", str(tmp_path / "nowhere"))
    signed_in.answers.routes["GET", "/api/admin/roles"] = (200, {"roles": [{"subject": "maria", "roles": ["auditor"]}]})
    assert cli("role", "ls") == 0
    assert capsys.readouterr().out == "SUBJECT  ROLES\nmaria    auditor\n"
    asked = signed_in.answers.asked[-1]
    assert (asked.path, bool(asked.bearer)) == ("/api/admin/roles", True)


def test_a_socket_that_is_named_is_the_only_way(signed_in: FakeGate, cli: Any, tmp_path: Path, capsys: Any) -> None:
    assert cli("role", "ls", "--socket", str(tmp_path / "no.sock")) == 4
    assert "no gate listens" in capsys.readouterr().err
    assert signed_in.answers.asked == []


def test_a_socket_in_a_folder_that_is_closed_to_this_user_is_none(
    signed_in: FakeGate, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", closed)
    signed_in.answers.routes["GET", "/api/admin/roles"] = (200, {"roles": []})
    assert cli("role", "ls") == 0
