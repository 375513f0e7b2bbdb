"""Held operations on the command line: what waits, and what a second person says about it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_gate import Asked, FakeGate

from penstock.cli import held

ROW: dict[str, Any] = {
    "hold": "1042.1",
    "state": "waiting",
    "subject": "ada",
    "source": "10.20.0.50:40000",
    "asset": "plc-dosing",
    "service": "modbus",
    "conduit": "Operators set the dosing rate",
    "protocol": "modbus",
    "operation": "modbus.write",
    "code": "16",
    "name": "Write Multiple Registers",
    "unit": 1,
    "what": "write holding_registers 10 = 250",
    "held_at": "2026-11-23T18:05:00+00:00",
    "until": "2026-11-23T18:06:15+00:00",
    "left_s": 75,
    "behind": 2,
    "decided_by": None,
    "is_approved": None,
    "why": None,
    "ended_at": None,
    "outcome": None,
    "reason": None,
    "may_decide": True,
}
WHOLE = ROW | {
    "objects": [
        {"class": "write", "object": "holding_registers 10", "value": "250", "was": "240", "was_age_s": 12},
    ],
    "more_objects": 0,
    "conduit_allows": ["write holding_registers 10-12"],
    "data": "00010000000901100000000102" + "00fa" * 4,
}


def listed(*waiting: dict[str, Any], ended: tuple[dict[str, Any], ...] = ()) -> tuple[int, Any]:
    return 200, {"waiting": [*waiting], "ended": [*ended], "waits_for_you": len(waiting)}


def ended_as(state: str, **more: Any) -> dict[str, Any]:
    return WHOLE | {"state": state, "decided_by": "bob@local", "why": "agreed", "left_s": 0} | more


def test_the_list_shows_what_waits_and_what_to_do_next(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    signed_in.answers.routes["GET", "/api/held"] = listed(ROW)
    assert cli("held") == 0
    printed = capsys.readouterr()
    heading, line = printed.out.splitlines()
    assert heading.split() == ["HOLD", "LEFT", "WHO", "FROM", "ASSET", "WHAT", "STATE", "BEHIND"]
    assert "1042.1  1 min 15 s  ada  10.20.0.50:40000  plc-dosing  write holding_registers 10 = 250  waits  2" in line
    assert printed.err == "hint: penstock held show 1042.1; then approve or refuse it, with --why\n"
    assert signed_in.answers.asked[-1].bearer


def test_whoever_may_not_decide_is_not_told_to(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    signed_in.answers.routes["GET", "/api/held"] = listed(ROW | {"may_decide": False})
    assert cli("held", "ls") == 0
    assert capsys.readouterr().err == ""
    signed_in.answers.routes["GET", "/api/held"] = listed()
    assert cli("held") == 0
    assert capsys.readouterr().err == "no operation waits\n"
    assert cli("held", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"waiting": [], "ended": [], "waits_for_you": 0}


def test_one_is_shown_with_its_objects_and_its_exact_bytes(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    signed_in.answers.routes["GET", "/api/held/1042.1"] = (200, WHOLE)
    assert cli("held", "show", "1042.1") == 0
    out = capsys.readouterr().out
    for text in (
        "who         ada from 10.20.0.50:40000",
        "asset       plc-dosing, modbus, unit 1",
        "allows      write holding_registers 10-12",
        "operation   modbus.write: Write Multiple Registers (16)",
        "behind it   2 more requests wait",
        "write  holding_registers 10  250        240, 12 s before",
        "0000  00 01 00 00 00 09 01 10 00 00 00 01 02 00 fa 00",
        "0010  fa 00 fa 00 fa",
    ):
        assert text in out
    assert "outcome" not in out


def test_text_of_the_gate_does_not_drive_the_terminal(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    signed_in.answers.routes["GET", "/api/held/1042.1"] = (200, WHOLE | {"subject": "a\x1b[2Jb", "data": "\x1b"})
    assert cli("held", "show", "1042.1") == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(("verb", "state"), [("approve", "forwarded"), ("refuse", "refused")])
def test_a_decision_is_sent_with_its_reason_and_what_became_of_it_is_said(
    signed_in: FakeGate, cli: Any, capsys: Any, verb: str, state: str
) -> None:
    signed_in.answers.routes["POST", f"/api/held/1042.1/{verb}"] = (200, ended_as(state))
    assert cli("held", verb, "1042.1", "--why", "agreed") == 0
    assert signed_in.answers.asked[-1].body == {"why": "agreed"}
    assert capsys.readouterr().err == f"1042.1 {state}: write holding_registers 10 = 250 on plc-dosing\n"


def test_an_approval_that_came_too_late_is_no_success(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    late = ended_as("timed_out", outcome="Too late: nobody decided in time.", reason="hold_timed_out")
    signed_in.answers.routes["POST", "/api/held/1042.1/approve"] = (200, late)
    assert cli("held", "approve", "1042.1", "--why", "agreed") == 1
    assert capsys.readouterr().err == "1042.1: Too late: nobody decided in time. (hold_timed_out)\n"
    signed_in.answers.routes["POST", "/api/held/1042.1/approve"] = (200, ended_as("approved"))
    assert cli("held", "approve", "1042.1", "--why", "agreed") == 4
    assert "not known yet" in capsys.readouterr().err


def test_without_a_reason_nothing_is_sent(signed_in: FakeGate, cli: Any) -> None:
    assert cli("held", "approve", "1042.1") == 2
    assert signed_in.answers.asked == []


def test_an_old_proof_says_how_to_get_a_fresh_one(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_user_authentication", max_age="900"'}
    signed_in.answers.routes["POST", "/api/held/1042.1/approve"] = (
        401,
        {"error": "prove it", "problems": []},
        challenge,
    )
    assert cli("held", "approve", "1042.1", "--why", "agreed") == 3
    err = capsys.readouterr().err
    assert "too old to approve with" in err
    assert "hint: penstock login --again" in err


def test_what_is_not_there_and_what_is_decided_already_are_told(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    assert cli("held", "show", "9.9") == 2
    problems = [
        {"where": "1042.1", "why": "bob@local has refused it already", "hint": "penstock held shows what waits"}
    ]
    signed_in.answers.routes["POST", "/api/held/1042.1/approve"] = (422, {"error": "no", "problems": problems})
    capsys.readouterr()
    assert cli("held", "approve", "1042.1", "--why", "agreed") == 2
    assert capsys.readouterr().err.splitlines()[0] == "1042.1: bob@local has refused it already"


def test_a_name_of_a_hold_cannot_lead_to_another_path(signed_in: FakeGate, cli: Any) -> None:
    assert cli("held", "approve", "../grants/1", "--why", "agreed") == 2
    assert signed_in.answers.asked[-1].path == "/api/held/..%2Fgrants%2F1/approve"


def test_watching_tells_each_change_once_and_goes_on_while_the_gate_is_away(
    signed_in: FakeGate, cli: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ended_as("forwarded", hold="1000.1")
    answers = iter(
        [
            listed(ended=(old,)),
            listed(ROW, ended=(old,)),
            listed(ROW | {"left_s": 74}, ended=(old,)),
            (503, {"error": "not now", "problems": []}),
            (503, {"error": "not now", "problems": []}),
            listed(ended=(ended_as("refused"), old)),
        ]
    )
    left = [5]

    def one_more(_: Asked) -> tuple[int, Any]:
        return next(answers)

    def wait(_: float) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(held.time, "sleep", wait)
    signed_in.answers.routes["GET", "/api/held"] = one_more
    assert cli("held", "watch") == 130
    printed = capsys.readouterr()
    first, second = printed.out.splitlines()
    assert (
        first.partition("  ")[2]
        == "1042.1  waits, 1 min 15 s left  ada on plc-dosing: write holding_registers 10 = 250"
    )
    assert "1042.1  refused by bob@local: agreed" in second
    assert [line.rpartition(": ")[2] for line in printed.err.splitlines()] == [
        "each hold is told here; Ctrl-C ends",
        "not now; still asking",
        "the gate answers again",
    ]
