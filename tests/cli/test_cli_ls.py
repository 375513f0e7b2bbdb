from __future__ import annotations

import json
from typing import Any

import pytest
from fake_gate import FakeGate

from penstock.cli.answers import Reachable
from penstock.cli.ls import lines_of


@pytest.mark.usefixtures("signed_in")
def test_the_table_says_what_may_be_done_and_where(cli: Any, capsys: Any) -> None:
    assert cli("ls") == 0
    heading, allowed, *_ = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "ASSET"
    assert allowed.startswith("plc-dosing    modbus   127.0.0.1:2")
    assert allowed.endswith("yes    read; write holding_registers 10-12, values 0-550")


@pytest.mark.usefixtures("signed_in")
def test_a_denial_lists_every_missing_piece_and_what_helps(cli: Any, capsys: Any) -> None:
    assert cli("ls") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()[2:]]
    assert lines == [
        "plc-filter-1  modbus                    no     group: wanted vendors, found operators",
        "hint: the shift lead adds you",
        "factors: wanted phishing-resistant, found two",
        "hint: use a passkey",
    ]


@pytest.mark.usefixtures("signed_in")
def test_the_local_port_is_the_same_each_time(cli: Any, capsys: Any) -> None:
    ports = []
    for _ in range(2):
        assert cli("ls", "--json") == 0
        ports.append([row["local_address"] for row in json.loads(capsys.readouterr().out)])
    assert ports[0] == ports[1]
    assert ports[0][1] is None


@pytest.mark.usefixtures("signed_in")
def test_json_holds_everything_that_the_gate_said(cli: Any, capsys: Any) -> None:
    assert cli("ls", "--json") == 0
    row = json.loads(capsys.readouterr().out)[1]
    assert row["misses"][1] == {
        "criterion": "factors",
        "wanted": "phishing-resistant",
        "found": "two",
        "remedy": "use a passkey",
    }


def test_the_token_is_shown_to_the_gate(signed_in: FakeGate, cli: Any) -> None:
    assert cli("ls") == 0
    assert signed_in.answers.asked[-1].bearer == "Bearer a-secret-token"


def test_a_sign_in_that_the_gate_ended_leads_to_login(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    signed_in.answers.routes["GET", "/api/reach"] = (401, {"error": "not signed in"})
    assert cli("ls") == 3
    assert capsys.readouterr().err == "penstock: not signed in\nhint: penstock login\n"


def test_a_sign_in_that_has_expired_is_not_even_tried(signed_in: FakeGate, cli: Any, home: Any, capsys: Any) -> None:
    path = home / "sign-in.json"
    path.write_text(path.read_text().replace("2099", "2020"))
    assert cli("ls") == 3
    assert capsys.readouterr().err == "penstock: the sign-in has expired\nhint: penstock login\n"
    assert signed_in.answers.asked == []


def test_a_gate_that_shows_nothing_says_so(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    signed_in.answers.routes["GET", "/api/reach"] = (200, {"reach": []})
    assert cli("ls") == 0
    assert capsys.readouterr() == ("", "this gate protects no asset that it would show you\n")


def test_a_denial_without_a_conduit_says_so() -> None:
    row = Reachable(asset="a", service="s", protocol="modbus", zone="z", port=502, is_allowed=False)
    assert lines_of(row, None) == [("a", "s", "", "no", "no conduit leads there for you")]
