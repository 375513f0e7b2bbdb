"""``penstock policy``: what it prints and the status that it ends with."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest
from policy_cases import INVENTORY
from test_policy_kernel_keys import PLANT

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
        "CONDUIT  APPROVED BY   REASON  DRILL",
        "Polling  safety@plant",
        "",
        "Not inspected: the kernel enforces addresses and ports",
        "CONDUIT  PORTS    RECORDED",
        "Dosing   tcp/443  flows",
    ]


def test_check_for_machines_is_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", path, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert {item["where"] for item in summary.pop("needs_kernel")} == {"asset 'scada-1'", "conduit 'Polling'"}
    assert summary == {
        "site": "plant",
        "zones": 2,
        "assets": 4,
        "conduits": 2,
        "tests_passed": 1,
        "fails_open": [{"conduit": "Polling", "approved_by": "safety@plant", "reason": None, "drill": None}],
        "not_inspected": [{"conduit": "Dosing", "ports": ["tcp/443"], "records_payload": False}],
        "latency_budgets": [],
        "held": [],
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


def test_check_shows_what_is_drilled_measured_moved_and_when_windows_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site.yaml").write_text(PLANT, encoding="utf-8")
    assert run("check", str(tmp_path)) == 0
    out = capsys.readouterr().out
    for line in (
        r"Polling +safety@plant +losing sight of the filters is a hazard +every 90d in saturday",
        r"Telemetry +udp/47808, tcp/80-90, icmp +payload",
        r"Polling +5ms +step aside",
        r"Telemetry +800us +carry on",
        r"plc-2 +files +10\.20\.10\.12 tcp/5000-5002 +100\.64\.1\.1 tcp/6000-6002",
        r"saturday +mon, sat 22:00 to 06:30 \(Europe/Berlin\) +(open now|20\d\d-\d\d-\d\d 22:00 CES?T)",
    ):
        assert re.search(f"^{line}$", out, re.MULTILINE), line
    assert "drive-1" not in out


def test_check_for_a_gate_without_kernel_refuses_what_it_could_not_enforce(path: str) -> None:
    with pytest.raises(Invalid) as caught:
        run("check", "--no-kernel", path)
    assert [item.where for item in caught.value.problems] == ["asset 'scada-1'", *["conduit 'Polling'"] * 2]


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (("--over", "icmp", "discovery"), 0, "icmp is not inspected: the kernel enforces addresses and ports"),
        (("--over", "icmp", "write"), 1, "denied (operation_not_allowed)"),
        (("--over", "udp/47808", "session"), 0, "and its packets are copied"),
        (("--over", "tcp/85", "session"), 0, "tcp/80-90 is not inspected"),
        (("--over", "icmp", "--bound-to", "certificate", "discovery"), 1, "denied (not_carried)"),
    ],
)
def test_explain_answers_about_echo_ranges_and_bindings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], status: int, expected: str
) -> None:
    (tmp_path / "site.yaml").write_text(PLANT, encoding="utf-8")
    assert run("explain", str(tmp_path), "--as", "asset=scada-1", "--asset", "drive-1", *words) == status
    assert expected in capsys.readouterr().out


def test_explain_says_where_a_moved_service_is_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.yaml").write_text(PLANT, encoding="utf-8")
    asked = ("--as", "asset=scada-1", "--asset", "plc-2", "--over", "modbus", "read")
    assert run("explain", str(tmp_path), *asked) == 0
    assert "it is reached at 100.64.1.1 tcp/10502, the asset offers it at tcp/502" in capsys.readouterr().out
