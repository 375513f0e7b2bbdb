"""``penstock policy``: what it prints and the status that it ends with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from policy_cases import INVENTORY

from penstock.cli import policy
from penstock.model import Invalid

CONDUITS = """\
conduits:
  Polling:
    from: {role: scada}
    to: {role: plc}
    allow: {modbus: [read]}
    on_failure: open
    approved_by: safety@plant
  Dosing:
    from: {group: operators}
    to: {asset: plc-1}
    allow: {modbus: [read, {write: {holding_registers: 10-12, values: 0-550, at_most: 6/min}}], tcp/443: any}
    require: {factors: two, tls: true}
    session: {length: 2h}
tests:
  - {may: read, on: plc-1, over: modbus, as: {asset: scada-1}}
"""
OPERATOR = ("--as", "group=operators", "--factors", "two", "--asset", "plc-1", "--over", "modbus")


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "site.yaml"
    file.write_text(INVENTORY + CONDUITS, encoding="utf-8")
    return str(file)


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    policy.register(parser.add_subparsers())
    arguments = parser.parse_args(["policy", *words])
    status = arguments.run(arguments)
    assert isinstance(status, int)
    return status


def test_check_sums_up_and_prints_the_failure_mode_register(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "plant: OK, 2 zones, 4 assets, 2 conduits, 1 test passed",
        "",
        "Failure-mode register: these conduits fail open, all others fail closed",
        "CONDUIT  APPROVED BY",
        "Polling  safety@plant",
    ]


def test_check_for_machines_is_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "site": "plant",
        "zones": 2,
        "assets": 4,
        "conduits": 2,
        "tests_passed": 1,
        "fails_open": [{"conduit": "Polling", "approved_by": "safety@plant"}],
    }


def test_check_raises_every_problem_and_failed_test(path: str) -> None:
    Path(path).write_text(INVENTORY + CONDUITS.replace("{may: read", "{may_not: read"), encoding="utf-8")
    with pytest.raises(Invalid, match=r"site\.yaml:30:5: test failed"):
        run("check", path)


def test_explain_names_the_conduit_that_allows_and_what_is_counted(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", path, *OPERATOR, "write", "--register", "11", "--value", "300") == 0
    assert capsys.readouterr().out.splitlines() == [
        "allowed by conduit “Dosing”",
        "it counts against a rate: at most 6 in 60 s",
    ]
    assert run("explain", path, *OPERATOR, "session") == 0
    assert capsys.readouterr().out.splitlines()[1] == "a session of at most 7200 s, idle at most 900 s"


def test_explain_shows_each_failed_criterion_in_an_aligned_table(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", path, *OPERATOR, "--no-tls", "write", "--register", "11-12", "--value", "900") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "denied (value_out_of_range); closest is conduit “Dosing”"
    assert lines[1].split() == ["CRITERION", "WANTED", "FOUND", "WHAT", "HELPS"]
    assert [line.split()[0] for line in lines[2:]] == ["values", "tls"]
    assert len({line.index("0-550") for line in lines[2:3]} | {lines[1].index("WANTED")}) == 1


def test_explain_for_machines_is_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--as", "asset=scada-1", "--asset", "plc-1", "--over", "tcp/502", "write", "--coil", "3", "--json")
    assert run("explain", path, *words) == 1
    decision = json.loads(capsys.readouterr().out)
    assert (decision["is_allowed"], decision["reason"], decision["conduit"]) == (
        False,
        "operation_not_allowed",
        "Polling",
    )
    assert [miss["criterion"] for miss in decision["misses"]] == ["operation"]


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--as", "operators", *OPERATOR[2:], "read"), "--as"),
        (("--as", "group=a", "--as", "role=b", *OPERATOR[2:], "read"), "--as"),
        (("--as", "asset=nothing", "--asset", "plc-1", "--over", "modbus", "read"), "--as"),
        (("--as", "group=a", "--asset", "plc-9", "--over", "modbus", "read"), "--asset"),
        (("--as", "group=a", "--asset", "plc-1", "--over", "dnp3", "read"), "--over"),
        ((*OPERATOR, "write", "--value", "1"), "--value"),
        ((*OPERATOR, "write", "--register", "1", "--value", "99999"), "--value"),
        ((*OPERATOR, "write", "--register", "x"), "--register"),
    ],
)
def test_a_question_that_makes_no_sense_is_invalid(path: str, words: tuple[str, ...], where: str) -> None:
    with pytest.raises(Invalid) as caught:
        run("explain", path, *words)
    assert [item.where for item in caught.value.problems] == [where]
    assert caught.value.problems[0].why
