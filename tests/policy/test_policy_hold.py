"""Operations that wait for a second person: what a site document says of them, and what is decided."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from policy_cases import INVENTORY, asking, machine, operation, person, policy_of, read, target, write
from test_policy_cli import OPERATOR, run
from test_policy_problems import MACHINES, PEOPLE, assert_problem

from penstock.model import ECHO, Binding, Decision, Invalid, Operation, OperationClass
from penstock.policy import accept, decide, parse, reach_service

HELD = """\
X:
  from: {group: operators}
  to: {asset: plc-1}
  allow: {modbus: [read, write, execute]}
  hold: [write]
  hold_for: 2m
"""


def decided(conduits: str, asked: Operation | None) -> Decision:
    return decide(policy_of(conduits), asking(person("operators"), asked))


def test_an_operation_of_a_held_class_is_allowed_and_says_how_long_it_waits_for_a_second_person() -> None:
    decision = decided(HELD, write(1, 5))
    assert (decision.is_allowed, decision.conduit, decision.hold_s) == (True, "X", 120)


def test_what_is_not_of_a_held_class_does_not_wait_nor_does_the_opening_of_a_session() -> None:
    assert decided(HELD, read(1)).hold_s is None
    assert decided(HELD, operation(classes=(OperationClass.EXECUTE,))).hold_s is None
    assert decided(HELD, None).hold_s is None


def test_a_message_of_several_classes_waits_if_any_of_them_is_held() -> None:
    both = operation(target(OperationClass.READ, 1), target(OperationClass.WRITE, 7, 1, (5,)))
    assert decided(HELD, both).hold_s == 120


def test_without_hold_for_it_waits_a_minute() -> None:
    assert decided(HELD.replace("  hold_for: 2m\n", ""), write(1, 5)).hold_s == 60


def test_what_another_conduit_allows_at_once_does_not_wait() -> None:
    free = "A: {from: {group: operators}, to: {asset: plc-1}, allow: {modbus: [{write: {holding_registers: 1-9}}]}}\n"
    for conduits in (HELD + free, free + HELD):
        assert (decided(conduits, write(9, 5)).conduit, decided(conduits, write(9, 5)).hold_s) == ("A", None)
        assert (decided(conduits, write(10, 5)).conduit, decided(conduits, write(10, 5)).hold_s) == ("X", 120)


def test_where_the_rate_of_the_free_conduit_is_used_up_it_waits_in_the_other() -> None:
    rated = "A: {from: {group: operators}, to: {asset: plc-1}, allow: {modbus: [{write: {at_most: 1/min}}]}}\n"
    policy, asked = policy_of(rated + HELD), asking(person("operators"), write(1, 5))
    free = decide(policy, asked)
    assert (free.conduit, free.hold_s, len(free.charges)) == ("A", None, 1)
    used_up = decide(policy, asked, lambda _key, _period_s: 1)
    assert (used_up.conduit, used_up.hold_s, used_up.charges) == ("X", 120, ())


def test_a_held_operation_with_a_rate_is_charged_like_any_other() -> None:
    rated = HELD.replace("read, write, execute", "{write: {at_most: 6/min}}")
    decision = decided(rated, write(1, 5))
    assert (decision.hold_s, [(each.count, each.period_s) for each in decision.charges]) == (120, [(6, 60)])


def test_a_denied_operation_is_never_held() -> None:
    decision = decided(HELD, operation(classes=(OperationClass.FIRMWARE,)))
    assert (decision.is_allowed, decision.hold_s) == (False, None)


def test_machines_operations_are_held_as_well() -> None:
    conduits = HELD.replace("{group: operators}", "{role: scada}")
    assert decide(policy_of(conduits), asking(machine(), write(1, 5))).hold_s == 120


def test_a_conduit_that_holds_discovery_opens_no_echo_by_it() -> None:
    body = "X:\n  from: {group: operators}\n  to: {asset: plc-1}\n  allow: {modbus: [discovery]}\n"
    assert decide(policy_of(body), asking(person("operators"), None, protocol=ECHO)).is_allowed
    held = body + "  hold: [discovery]\n"
    assert not decide(policy_of(held), asking(person("operators"), None, protocol=ECHO)).is_allowed


def test_what_may_be_done_says_of_held_operations_that_they_wait() -> None:
    found = reach_service(policy_of(HELD), person("operators"), "plc-1", "modbus", Binding.ADDRESS, has_tls=False)
    assert found is not None
    assert found.summary == ("read", "write, once a second person approves it within 2m", "execute")


OPEN = "on_failure: open\napproved_by: safety@plant\n"
ALLOW = "allow: {modbus: [read, write]}\n"

#: The body of conduit X, why it is a problem, and the hint.
PROBLEMS = [
    (PEOPLE + ALLOW + "hold: »write", "'hold' must be a list", "[…]"),
    (PEOPLE + ALLOW + "hold: »[]", "'hold' names no operation class", "hold: [program_to_device]"),
    (PEOPLE + ALLOW + "hold: [»wrote]", "unknown operation class 'wrote'", "did you mean 'write'?"),
    (PEOPLE + ALLOW + "hold: [»session]", "unknown operation class 'session'", "one of: "),
    (PEOPLE + ALLOW + "hold: [write, »{}]", "must be text", ""),
    (PEOPLE + ALLOW + "hold: [write, »firmware]", "'hold' names 'firmware', and this conduit allows no", "to 'allow'"),
    (PEOPLE + "allow: {tcp/443: any}\nhold: [»write]", "'hold' names 'write', and this conduit allows no", "remove it"),
    (PEOPLE + ALLOW + "hold_for: »60s", "'hold_for' without 'hold'", "hold: [write]"),
    (PEOPLE + ALLOW + "hold: [write]\nhold_for: »4s", "'hold_for' must be from 5 s to 3600 s", ""),
    (PEOPLE + ALLOW + "hold: [write]\nhold_for: »2h", "'hold_for' must be from 5 s to 3600 s", ""),
    (PEOPLE + ALLOW + "hold: [write]\nhold_for: »soon", "'hold_for' is no duration", ""),
    (MACHINES + ALLOW + OPEN + "hold: »[write]", "nothing may stop a conduit that fails open", "conduit of its own"),
    (
        MACHINES + ALLOW + "hold: »[write]\n"
        "Y: {from: {zone: control}, to: {zone: cell}, allow: {modbus: [read]}, on_failure: open, approved_by: eve}",
        "conduit 'Y' (site.yaml:22:3) fails open from 'scada-1' to 'plc-1' over 'modbus'",
        "other machines",
    ),
]


@pytest.mark.parametrize(("body", "why", "hint"), PROBLEMS)
def test_a_problem_of_what_is_held_says_where_why_and_what_to_do(body: str, why: str, hint: str) -> None:
    lines = "".join(f"  {line}\n" if line.startswith("Y:") else f"    {line}\n" for line in body.splitlines())
    assert_problem(f"{INVENTORY}conduits:\n  X:\n{lines}", why, hint)


def test_people_may_be_held_where_machines_conduits_fail_open() -> None:
    conduits = (
        HELD + "Y: {from: {role: scada}, to: {role: plc}, allow: {modbus: [read]}, on_failure: open, approved_by: e}"
    )
    assert policy_of(conduits).by_name["X"].hold == (OperationClass.WRITE,)


def test_an_unreadable_allow_makes_no_second_problem_of_what_is_held() -> None:
    body = "    from: {group: a}\n    to: {asset: plc-1}\n    allow: {modbus: [wrote]}\n    hold: [write]\n"
    with pytest.raises(Invalid) as error:
        parse({"site.yaml": f"{INVENTORY}conduits:\n  X:\n{body}"})
    assert ["unknown operation class 'wrote'" in problem.why for problem in error.value.problems] == [True]


def document_of(claim: str) -> str:
    indented = "".join(f"  {line}\n" for line in HELD.splitlines())
    return f"{INVENTORY}conduits:\n{indented}tests:\n  - {claim}\n"


CLAIM = "on: plc-1, over: modbus, as: {group: operators}"


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        (f"{{may: write, {CLAIM}}}", ""),
        (f"{{may: write, {CLAIM}, held: true}}", ""),
        (f"{{may: read, {CLAIM}, held: false}}", ""),
        (f"{{may: write, {CLAIM}, held: false}}", "it says not held, but modbus.write on plc-1"),
        (f"{{may: read, {CLAIM}, held: true}}", "it says held, but modbus.read on plc-1"),
        (f"{{may: firmware, {CLAIM}, held: true}}", "it says may, but modbus.firmware on plc-1"),
        (f"{{may_not: write, {CLAIM}}}", "it says may_not, but modbus.write on plc-1"),
    ],
)
def test_a_test_of_the_document_can_say_that_something_is_held_or_is_not(claim: str, why: str) -> None:
    document = parse({"site.yaml": document_of(claim)})
    if not why:
        assert len(document.assertions) == 1
        accept(document, 1)
        return
    with pytest.raises(Invalid) as error:
        accept(document, 1)
    assert why in error.value.problems[0].why


def test_a_may_not_says_nothing_about_holding() -> None:
    assert_problem(document_of(f"{{may_not: read, {CLAIM}, held: »true}}"), "refused at once, and never held", "remove")


def test_check_and_explain_say_what_is_held(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(document_of(f"{{may: write, {CLAIM}, held: true}}"), encoding="utf-8")
    assert run("check", str(path)) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "Held: these operations wait until a second person approves them",
        "CONDUIT  OPERATIONS  FOR AT MOST",
        "X        write       2m",
    ]
    assert run("check", str(path), "--json") == 0
    held = json.loads(capsys.readouterr().out)["held"]
    assert held == [{"conduit": "X", "operations": ["write"], "hold_s": 120}]
    assert run("explain", str(path), *OPERATOR, "write") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["allowed by conduit “X”", "it is held until a second person approves it, for at most 2m"]
    assert run("explain", str(path), *OPERATOR, "write", "--json") == 0
    assert json.loads(capsys.readouterr().out)["hold_s"] == 120
