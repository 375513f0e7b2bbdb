"""Which services `connect` opens, and how it says what it did not open."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_gate import FAR, REACH, Asked, FakeGate, FakeTunnel

from penstock.cli import host_tun, opening
from penstock.cli.answers import MissingPiece, Reachable
from penstock.model import Invalid

CONNECT = (sys.executable, "-m", "penstock", "connect")
Row = dict[str, Any]


def row(service: str, port: int, *, is_allowed: bool = True, **fields: Any) -> Row:
    return REACH[0] | {"service": service, "protocol": service, "port": port, "is_allowed": is_allowed} | fields


def offering(gate: FakeGate, *rows: Row, refusing: tuple[str, ...] = ()) -> None:
    """The gate has these services, and opens those that it does not refuse after all."""
    numbers = {each["service"]: number for number, each in enumerate(rows, 7)}
    by_name = {each["service"]: each for each in rows}

    def grant(asked: Asked) -> tuple[int, Any]:
        name = asked.body["service"]
        if name in refusing:
            return 403, {"error": "not allowed", "reason": "isolated", "misses": []}
        kept = ("asset", "service", "protocol", "overlay", "port", "transport", "last_port", "overlay_port")
        told = {key: value for key, value in by_name[name].items() if key in kept}
        return 201, told | {"grant": numbers[name], "expires_at": FAR, "tunnel_port": gate.tunnel_port}

    gate.answers.routes["GET", "/api/reach"] = (200, {"reach": [*rows, REACH[1]], "gateway": ""})
    gate.answers.routes["POST", "/api/grants"] = grant
    live = {"sessions": [{"grant": number} for number in numbers.values()], "ended": []}
    gate.answers.routes["GET", "/api/sessions"] = (200, live)
    for number in numbers.values():
        gate.answers.routes["DELETE", f"/api/grants/{number}"] = (204, None)


def ran(*words: str, until: Callable[[list[str]], None], lines: int) -> tuple[int, str]:
    """Run connect, hand its first lines to `until`, interrupt it; its status and what it said."""
    program = subprocess.Popen(
        [*CONNECT, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with program:
        try:
            assert program.stdout is not None
            until([program.stdout.readline().strip() for _ in range(lines)])
        finally:
            program.send_signal(signal.SIGINT)
            _, said = program.communicate(timeout=20)
    return program.returncode, said


def talks(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as tool:
        tool.sendall(b"hello")
        return tool.recv(5) == b"HELLO"


def test_all_services_that_may_be_reached_are_opened_and_the_rest_is_said(
    signed_in: FakeGate, tunnel: FakeTunnel, tmp_path: Path
) -> None:
    away = row("ssh", 22, is_allowed=False, misses=[{"criterion": "group", "wanted": "vendors", "found": "operators"}])
    echo = row("icmp", 0, is_allowed=False, transport="icmp", misses=[{"criterion": "binding", "wanted": "x"}])
    offering(signed_in, row("modbus", 502), row("http", 80), row("dns", 53, transport="udp"), away, echo)
    ready = tmp_path / "ready"

    def until(lines: list[str]) -> None:
        assert len(set(lines)) == 3
        assert ready.read_text().splitlines() == lines
        assert talks(lines[0])
        assert talks(lines[1])
        host, _, port = lines[2].rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tool:
            tool.settimeout(10)
            tool.sendto(b"query", (host, int(port)))
            assert tool.recv(100) == b"QUERY"

    status, said = ran("plc-dosing", "--ready-file", str(ready), until=until, lines=3)
    assert status == 0, said
    assert "not opened: plc-dosing ssh: group: wanted vendors, found operators" in said
    assert "icmp" not in said, "every asset has it, and nobody asked"
    assert [line.split()[:2] for line in said.splitlines() if line.startswith("plc-dosing")] == [
        ["plc-dosing", "modbus"],
        ["plc-dosing", "http"],
        ["plc-dosing", "dns"],
    ]
    assert sorted(tunnel.prefaces) == [b'{"grant": %d}\n' % number for number in (7, 8, 9)]
    paths = signed_in.answers.paths()
    assert paths.count("POST /api/grants") == 3
    assert {f"DELETE /api/grants/{number}" for number in (7, 8, 9)} <= set(paths)
    assert not ready.exists()


def test_the_ports_of_all_services_are_the_same_the_next_time(signed_in: FakeGate) -> None:
    offering(signed_in, row("modbus", 502), row("http", 80), row("dns", 53, transport="udp"))
    seen: list[list[str]] = []
    for _ in range(2):
        ran("plc-dosing", until=seen.append, lines=3)
    assert seen[0] == seen[1]


def test_services_that_are_named_are_opened_and_no_others(signed_in: FakeGate) -> None:
    offering(signed_in, row("modbus", 502), row("http", 80), row("dns", 53, transport="udp"))
    ran("plc-dosing", "--service", "dns", "--service", "http", until=lambda _: None, lines=2)
    asked = [each.body["service"] for each in signed_in.answers.asked if each.path == "/api/grants"]
    assert asked == ["dns", "http"]


def test_what_is_refused_at_the_last_moment_does_not_keep_the_rest_from_opening_and_is_in_the_json(
    signed_in: FakeGate,
) -> None:
    offering(signed_in, row("modbus", 502), row("http", 80), refusing=("http",))
    with subprocess.Popen(
        [*CONNECT, "plc-dosing", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            text += program.stdout.readline()
        program.send_signal(signal.SIGTERM)
        _, said = program.communicate(timeout=20)
    told = json.loads(text)
    (opened,) = told["open"]
    assert (opened["service"], opened["grant"], opened["addresses"][0]["port"]) == ("modbus", 7, 502)
    assert [(each["service"], each["reason"]) for each in told["refused"]] == [("http", "isolated")]
    assert "penstock: no access to plc-dosing http: not allowed (isolated)" in said
    assert program.returncode == 0


def test_where_nothing_can_be_opened_the_status_says_so(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    offering(signed_in, row("modbus", 502), row("http", 80), refusing=("http", "modbus"))
    assert cli("connect", "plc-dosing", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["open"], len(told["refused"])) == ([], 2)


def test_a_range_has_a_local_port_for_each_of_its_ports(signed_in: FakeGate, tunnel: FakeTunnel) -> None:
    offering(signed_in, row("media", 5000, last_port=5002, overlay_port=6000))
    seen: list[str] = []

    def until(lines: list[str]) -> None:
        seen.extend(lines)
        assert talks(lines[2])

    _, said = ran("plc-dosing", until=until, lines=3)
    assert len(set(seen)) == 3
    assert "media tcp/5002" in said
    assert tunnel.prefaces == [b'{"grant": 7, "port": 5002}\n']


def test_a_range_that_is_too_long_is_said_so_and_costs_no_grant(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    offering(signed_in, row("media", 49152, last_port=65535))
    assert cli("connect", "plc-dosing") == 2
    said = capsys.readouterr().err
    assert "plc-dosing media has 16384 ports, and a client opens 64 at most" in said
    assert "hint: open it in the portal" in said
    assert "POST /api/grants" not in signed_in.answers.paths()


def test_one_port_is_for_one_service(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    offering(signed_in, row("modbus", 502), row("http", 80))
    assert cli("connect", "plc-dosing", "--port", "0") == 2
    assert "it is for one service: plc-dosing modbus, plc-dosing http" in capsys.readouterr().err
    assert "POST /api/grants" not in signed_in.answers.paths()


def reachable(asset: str, service: str, *, is_allowed: bool = True, protocol: str = "") -> Reachable:
    misses = () if is_allowed else (MissingPiece(criterion="group"),)
    return Reachable(
        asset=asset,
        service=service,
        protocol=protocol or service,
        zone="z",
        port=1,
        is_allowed=is_allowed,
        misses=misses,
    )


ROWS = (
    reachable("a", "modbus"),
    reachable("a", "second", protocol="modbus"),
    reachable("a", "ssh", is_allowed=False),
    reachable("b", "ssh", is_allowed=False),
)


@pytest.mark.parametrize(
    ("assets", "services", "meant", "left"),
    [
        (("a",), (), [("a", "modbus"), ("a", "second")], ["ssh"]),
        (("a", "a"), (), [("a", "modbus"), ("a", "second")], ["ssh"]),
        (("a",), ("modbus", "second"), [("a", "modbus"), ("a", "second")], []),
        (("a",), ("ssh",), [("a", "ssh")], []),
        (("a", "b"), (), [("a", "modbus"), ("a", "second"), ("b", None)], ["ssh"]),
        (("c",), ("s7comm",), [("c", "s7comm")], []),
        (("c",), (), [("c", None)], []),
    ],
)
def test_what_is_meant_is_what_may_be_reached_or_was_named(
    assets: tuple[str, ...], services: tuple[str, ...], meant: list[tuple[str, str | None]], left: list[str]
) -> None:
    """What does not exist is asked for as well, so that the attempt is on record."""
    assert [(wish.asset, wish.service) for wish in opening.wishes(ROWS, assets, services)] == meant
    assert [each.service for each in opening.left_out(ROWS, assets, services)] == left


@pytest.mark.parametrize(
    ("routes", "why"),
    [
        ([{"dst": "default", "gateway": "10.0.0.1", "dev": "eth0"}], ""),
        ([{"dst": "0.0.0.0/1", "dev": "vpn0"}], ""),
        ([], ""),
        ([{"dst": "100.64.0.0/16", "gateway": "10.20.0.2", "dev": "eth0"}], "100.64.0.0/16 via 10.20.0.2 on eth0"),
        ([{"dst": "100.64.10.12", "gateway": "10.20.0.2", "dev": "eth0"}], "is routed already"),
        ([{"type": "local", "dst": "100.64.10.12", "dev": "penstock0"}], "already, on penstock0"),
    ],
)
def test_an_address_that_leads_somewhere_already_is_a_conflict(routes: list[dict[str, str]], why: str) -> None:
    found = host_tun.conflict(routes, host_tun.IPv4Address("100.64.10.12"))
    assert (why in found) if why else not found


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_where_there_are_no_such_devices_the_alternative_is_named(
    signed_in: FakeGate, cli: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr("penstock.cli.host_tun.sys.platform", system)
    assert cli("connect", "plc-dosing", "--tun") == 2
    said = capsys.readouterr().err
    assert "on Linux only" in said
    assert "hint: leave it out: each service then has a local port" in said
    assert "POST /api/grants" not in signed_in.answers.paths()


def test_without_the_right_to_make_a_device_it_says_what_to_run(
    signed_in: FakeGate, cli: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def may_not(*_: Any) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("penstock.cli.host_tun._require_free", lambda _: None)
    flags = {"O_RDWR": os.O_RDWR, "O_CLOEXEC": os.O_CLOEXEC}
    monkeypatch.setattr("penstock.cli.host_tun.os", SimpleNamespace(open=may_not, **flags))
    assert cli("connect", "plc-dosing", "--tun") == 4
    said = capsys.readouterr().err
    assert "--tun: /dev/net/tun cannot be opened: Operation not permitted" in said
    assert "CAP_NET_ADMIN" in said
    assert "setpriv" in said
    assert "POST /api/grants" not in signed_in.answers.paths()


def test_a_port_that_needs_a_right_is_an_error_of_its_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def may_not(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("penstock.cli.local.socket.socket.bind", may_not, raising=False)
    with pytest.raises(Invalid) as caught:
        opening.local.listen(502, "100.64.10.12")
    (problem,) = caught.value.problems
    assert (problem.where, "CAP_NET_BIND_SERVICE" in problem.hint) == ("100.64.10.12:502", True)
