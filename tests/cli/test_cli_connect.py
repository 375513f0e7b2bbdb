"""``penstock connect`` as the program that an engineer runs."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_gate import REACH, FakeGate, FakeTunnel

from penstock.cli.connect import native

CONNECT = (sys.executable, "-m", "penstock", "connect")


@contextmanager
def connected(*words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The running program and its local port."""
    with subprocess.Popen(
        [*CONNECT, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            host, _, port = program.stdout.readline().strip().partition(":")
            assert host == "127.0.0.1"
            yield program, int(port)
        finally:
            program.terminate()
            program.wait(10)


def said_by(program: subprocess.Popen[str]) -> str:
    assert program.stderr is not None
    return program.stderr.read()


def lines_until(program: subprocess.Popen[str], text: str) -> str:
    """What the program says, up to the line with `text`."""
    assert program.stderr is not None
    said = ""
    while text not in said and (line := program.stderr.readline()):
        said += line
    return said


def test_a_native_tool_reaches_the_asset_through_the_local_port(signed_in: FakeGate, tunnel: FakeTunnel) -> None:
    with connected("plc-dosing") as (program, port):
        with socket.create_connection(("127.0.0.1", port)) as tool:
            tool.sendall(b"read register 11")
            assert tool.recv(100) == b"READ REGISTER 11"
        said = lines_until(program, "flow 1 closed")
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0
    assert tunnel.prefaces == [b'{"grant": 7}\n']
    assert tunnel.peers == ["maria"]
    row = rf"^plc-dosing +modbus +127\.0\.0\.1:{port} +7 +2099-01-01 \d\d:\d\d +mbpoll -m tcp -p {port} -a 1 -0 -r 0"
    assert re.search(row, said, re.MULTILINE), said
    assert re.search(r"flow 1 from 127\.0\.0\.1:\d+ to plc-dosing modbus", said)
    assert "flow 1 closed: 16 bytes to the asset, 16 back" in said
    assert signed_in.answers.paths()[:2] == ["GET /api/reach", "POST /api/grants"]
    assert signed_in.answers.asked[1].body == {"asset": "plc-dosing", "service": "modbus", "binding": "certificate"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_grant_is_given_back_at_the_end(signed_in: FakeGate, number: signal.Signals) -> None:
    with connected("plc-dosing") as (program, _):
        program.send_signal(number)
        assert program.wait(10) == 0
    assert signed_in.answers.paths()[-1] == "DELETE /api/grants/7"


@pytest.mark.usefixtures("signed_in")
def test_the_port_is_the_same_the_next_day() -> None:
    ports = set()
    for _ in range(2):
        with connected("plc-dosing") as (_program, port):
            ports.add(port)
    assert len(ports) == 1


def test_a_second_connect_names_the_first_and_offers_a_port_of_its_own(
    signed_in: FakeGate, cli: Any, capsys: Any
) -> None:
    with connected("plc-dosing") as (program, port):
        grants_before = signed_in.answers.paths().count("POST /api/grants")
        assert cli("connect", "plc-dosing") == 2
        said = capsys.readouterr().err
        assert (
            f"127.0.0.1:{port} is in use by another penstock connect plc-dosing (modbus, process {program.pid})" in said
        )
        assert "--port N" in said
        assert signed_in.answers.paths().count("POST /api/grants") == grants_before
        with connected("plc-dosing", "--port", "0") as (_second, other):
            assert other != port


def test_a_grant_that_two_programs_use_is_given_back_by_the_last_of_them(signed_in: FakeGate) -> None:
    given_back = "DELETE /api/grants/7"
    with connected("plc-dosing") as (first, _):
        with connected("plc-dosing", "--port", "0") as (second, port):
            first.send_signal(signal.SIGINT)
            assert first.wait(10) == 0
            assert given_back not in signed_in.answers.paths(), "the second one's flows would end"
            with socket.create_connection(("127.0.0.1", port)) as tool:
                tool.sendall(b"x")
                assert tool.recv(1) == b"X"
            second.send_signal(signal.SIGINT)
            assert second.wait(10) == 0
        assert signed_in.answers.paths()[-1] == given_back


def test_a_program_that_was_killed_keeps_no_grant_from_being_given_back(signed_in: FakeGate) -> None:
    with connected("plc-dosing") as (killed, _), connected("plc-dosing", "--port", "0") as (second, _):
        killed.kill()
        killed.wait(10)
        second.send_signal(signal.SIGINT)
        assert second.wait(10) == 0
    assert signed_in.answers.paths()[-1] == "DELETE /api/grants/7"


def test_a_port_that_another_program_holds_is_said_so(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert cli("connect", "plc-dosing", "--port", str(taken.getsockname()[1])) == 2
    assert "another program listens on 127.0.0.1:" in capsys.readouterr().err
    assert "POST /api/grants" not in signed_in.answers.paths()


def test_a_denial_says_what_was_missing_and_what_helps(signed_in: FakeGate, cli: Any, capsys: Any) -> None:
    misses = REACH[1]["misses"]
    body = {
        "error": "not allowed",
        "reason": "subject_not_named",
        "conduit": "Vendors service the filters",
        "misses": misses,
    }
    signed_in.answers.routes["POST", "/api/grants"] = (403, body)
    assert cli("connect", "plc-filter-1") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "penstock: no access to plc-filter-1: not allowed (subject_not_named)",
        "closest conduit: “Vendors service the filters”",
        "  group: wanted vendors, found operators",
        "hint: the shift lead adds you",
        "  factors: wanted phishing-resistant, found two",
        "hint: use a passkey",
    ]


def test_an_asset_that_is_not_listed_is_still_asked_for_so_that_the_attempt_is_on_record(
    signed_in: FakeGate, cli: Any
) -> None:
    signed_in.answers.routes["POST", "/api/grants"] = (403, {"error": "not allowed", "reason": "no_conduit"})
    assert cli("connect", "plc-unknown", "--service", "s7comm") == 1
    assert signed_in.answers.asked[-1].body == {"asset": "plc-unknown", "service": "s7comm", "binding": "certificate"}


@pytest.mark.parametrize(("answer", "status"), [(401, 3), (503, 4), (404, 2)])
def test_other_answers_have_their_exit_status(signed_in: FakeGate, cli: Any, answer: int, status: int) -> None:
    signed_in.answers.routes["POST", "/api/grants"] = (answer, {"error": "no"})
    assert cli("connect", "plc-dosing") == status


def test_without_a_sign_in_nothing_is_asked(gate: FakeGate, cli: Any, capsys: Any) -> None:
    assert cli("connect", "plc-dosing") == 3
    assert "hint: penstock login" in capsys.readouterr().err
    assert gate.answers.asked == []


def test_a_key_that_others_may_read_is_not_used(signed_in: FakeGate, cli: Any, home: Path, capsys: Any) -> None:
    (home / "key.pem").chmod(0o640)
    assert cli("connect", "plc-dosing") == 2
    assert "others may read it (mode 0640), so it is not used" in capsys.readouterr().err
    assert signed_in.answers.asked == []


def test_a_refused_flow_ends_the_program_with_the_reason(signed_in: FakeGate, tunnel: FakeTunnel) -> None:
    tunnel.answer = b'{"refused": "grant_revoked"}\n'
    ended = [{"grant": 7, "reason": "grant_revoked"}]
    signed_in.answers.routes["GET", "/api/sessions"] = (200, {"sessions": [], "ended": ended})
    with connected("plc-dosing") as (program, port):
        with socket.create_connection(("127.0.0.1", port)) as tool:
            assert tool.recv(1) == b""
        assert program.wait(10) == 1
        assert "penstock: the grant was revoked" in said_by(program)
    assert signed_in.answers.paths().count("POST /api/grants") == 1


@pytest.mark.usefixtures("signed_in")
def test_a_command_gets_the_address_and_its_status_is_returned(tmp_path: Path) -> None:
    code = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2]))); s.sendall(b'hi'); "
    code += "sys.exit(0 if s.recv(2) == b'HI' else 9)"
    ready = tmp_path / "ready"
    words = ("plc-dosing", "--ready-file", str(ready), "--", sys.executable, "-c", code, "{host}", "{port}")
    done = subprocess.run([*CONNECT, *words], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    assert not ready.exists()


@pytest.mark.usefixtures("signed_in")
def test_the_ready_file_holds_the_address_while_the_port_is_open(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with connected("plc-dosing", "--ready-file", str(ready)) as (_, port):
        assert ready.read_text() == f"127.0.0.1:{port}\n"
    assert not ready.exists()


def test_a_link_of_somebody_else_is_not_written_through(
    signed_in: FakeGate, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """In a folder that others use, such as /tmp."""
    monkeypatch.setattr("penstock.cli.connect.secrets.token_hex", lambda _: "guessed")
    mine, ready = tmp_path / "mine", tmp_path / "ready"
    mine.write_text("mine")
    (tmp_path / ".ready.guessed").symlink_to(mine)
    assert cli("connect", "plc-dosing", "--ready-file", str(ready)) == 2
    assert "cannot be written: File exists" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert signed_in.answers.paths()[-1] == "DELETE /api/grants/7"


def test_a_gate_that_cannot_be_told_of_the_end_is_mentioned(signed_in: FakeGate) -> None:
    signed_in.answers.routes["DELETE", "/api/grants/7"] = (503, {"error": "starting"})
    with connected("plc-dosing") as (program, _):
        program.terminate()
        assert program.wait(10) == 0
        assert "grant 7 ends by itself 2099-01-01" in said_by(program)


def test_an_impossible_port_is_refused(signed_in: FakeGate, cli: Any) -> None:
    assert cli("connect", "plc-dosing", "--port", "70000") == 2
    assert "POST /api/grants" not in signed_in.answers.paths()


@pytest.mark.parametrize(
    ("protocol", "text"),
    [("ssh", "ssh -p 20001 127.0.0.1"), ("opcua", "opc.tcp://127.0.0.1:20001"), ("s7comm", "127.0.0.1:20001")],
)
def test_each_protocol_is_told_in_its_tools_words(protocol: str, text: str) -> None:
    assert native(protocol, "127.0.0.1:20001") == text
