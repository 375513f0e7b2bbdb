from __future__ import annotations

import subprocess
from typing import Any

import pytest
from fake_gate import REACH, FakeGate


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "ip route replace 100.64.10.12/32 via 10.20.0.2 proto 80"),
        (("--for", "linux"), "ip route replace 100.64.10.12/32 via 10.20.0.2 proto 80"),
        (("--for", "windows"), "route -p add 100.64.10.12 mask 255.255.255.255 10.20.0.2"),
        (("--for", "macos"), "route -n add -host 100.64.10.12 10.20.0.2"),
    ],
)
def test_each_system_gets_its_own_command_for_what_may_be_reached_and_nothing_else(
    cli: Any, capsys: Any, words: tuple[str, ...], line: str
) -> None:
    assert cli("routes", *words) == 0
    assert capsys.readouterr().out.splitlines() == [line]


@pytest.mark.parametrize("overlay", ["100.64.10.12; rm -rf /", "0.0.0.0/0", "$(id)", "fd00::1", "100.64.10.12\n"])
def test_nothing_but_an_address_is_ever_printed(signed_in: FakeGate, cli: Any, capsys: Any, overlay: str) -> None:
    rows = [REACH[0] | {"overlay": overlay}]
    signed_in.answers.routes["GET", "/api/reach"] = (200, {"reach": rows, "gateway": "10.20.0.2"})
    assert cli("routes") == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no IPv4 address" in captured.err


def test_a_gate_without_a_leg_says_what_to_use(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    signed_in.answers.routes["GET", "/api/reach"] = (200, {"reach": REACH})
    assert cli("routes") == 4
    assert "penstock connect" in capsys.readouterr().err


@pytest.mark.usefixtures("signed_in")
def test_who_may_not_change_routes_is_told_how(cli: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if "-batch" in arguments:
            return subprocess.CompletedProcess(arguments, 1, "", "RTNETLINK answers: Operation not permitted")
        return subprocess.CompletedProcess(arguments, 0, "[]", "")

    monkeypatch.setattr("penstock.cli.host_routes.subprocess.run", run)
    assert cli("routes", "--apply") == 4
    assert "penstock routes | sudo sh" in capsys.readouterr().err


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("option", ["--apply", "--remove"])
def test_on_another_system_routes_are_printed_and_not_set(
    cli: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert cli("routes", option) == 2
    assert "run as administrator what penstock routes prints" in capsys.readouterr().err


@pytest.mark.parametrize(("criterion", "leads"), [("binding", True), ("factors", False)])
def test_what_only_the_clients_tunnel_cannot_carry_has_a_route(
    signed_in: FakeGate, cli: Any, capsys: Any, *, criterion: str, leads: bool
) -> None:
    miss = {"criterion": criterion, "wanted": "x", "found": "y", "remedy": ""}
    row = REACH[0] | {"overlay": "100.64.10.99", "is_allowed": False, "misses": [miss]}
    signed_in.answers.routes["GET", "/api/reach"] = (200, {"reach": [row], "gateway": "10.20.0.2"})
    assert cli("routes", "--for", "linux") == 0
    assert ("100.64.10.99" in capsys.readouterr().out) is leads
