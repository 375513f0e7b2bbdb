"""``penstock ssh``: a grant, the system's ssh, and its one way through the gate.  A real sshd is in the journeys."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_gate import HOST, FakeGate, FakeTunnel, TestAuthority, tunnel_port

from penstock.cli import shared_grants, ssh, ssh_proxy
from penstock.cli.answers import OpenedGrant, Reachable
from penstock.cli.client import verifying
from penstock.cli.keys import key_and_request
from penstock.cli.tunnel import client_context

#: Stands in the place of ssh: shows its words, and speaks through its ProxyCommand.
STAND_IN = """#!{python}
import json, os, subprocess, sys
words = sys.argv[1:]
options = dict(word.split("=", 1) for before, word in zip(words, words[1:]) if before == "-o")
open({seen!r}, "w").write(json.dumps(words))
way = subprocess.Popen(options["ProxyCommand"].replace("%%", "%"), shell=True, stdin=-1, stdout=-1)
way.stdin.write(b"hello"); way.stdin.flush()
answer = os.read(way.stdout.fileno(), 100)
way.stdin.close()
way.wait()
sys.stdout.write(answer.decode())
{then}
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a program called ssh in front of the system's; answers the words that it was started with."""

    def make(then: str = "sys.exit(0)") -> Any:
        folder, seen = tmp_path / "bin", tmp_path / "seen.json"
        folder.mkdir()
        program = folder / "ssh"
        program.write_text(STAND_IN.format(python=sys.executable, seen=str(seen), then=then))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return lambda: json.loads(seen.read_text())

    return make


def options(words: list[str]) -> dict[str, str]:
    given = [word.partition("=") for before, word in itertools.pairwise(words) if before == "-o"]
    return {name: value for name, _, value in given}


def shell(*words: str) -> subprocess.CompletedProcess[str]:
    """The program as a shell runs it: what ssh and its way through say ends in the same place."""
    command = [sys.executable, "-m", "penstock", *words]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


def test_ssh_goes_through_the_tunnel_under_the_grant(
    signed_in: FakeGate, tunnel: FakeTunnel, stand_in: Any, home: Path
) -> None:
    words = stand_in("sys.exit(7)")
    done = shell("ssh", "maria@plc-dosing", "--", "-v", "uptime")
    assert (done.returncode, done.stdout, done.stderr) == (7, "HELLO", "")
    assert (tunnel.prefaces, tunnel.peers, tunnel.alpns) == ([b'{"grant": 7}\n'], ["maria"], ["penstock/1"])
    assert words()[-5:] == ["-l", "maria", "plc-dosing", "-v", "uptime"]
    given = options(words())
    assert given["HostKeyAlias"] == given["HostName"] == "plc-dosing"
    assert given["UserKnownHostsFile"] == f'"{home}/known_hosts"'
    assert (given["ControlMaster"], given["ControlPath"]) == ("no", "none")
    asked = signed_in.answers.paths()
    assert asked[-2:] == ["POST /api/grants", "DELETE /api/grants/7"]
    assert signed_in.answers.asked[-2].body == {"asset": "plc-dosing", "binding": "certificate", "service": "ssh"}


@pytest.mark.parametrize(("busy", "status"), [(2, 0), (5, 4)])
def test_a_gate_whose_inspection_starts_anew_is_asked_again_for_a_few_seconds(
    signed_in: FakeGate, cli: Any, stand_in: Any, monkeypatch: pytest.MonkeyPatch, busy: int, status: int
) -> None:
    stand_in()
    monkeypatch.setattr(shared_grants, "REST_S", 0.0)
    granted = signed_in.answers.routes["POST", "/api/grants"]
    answers = [(503, {"error": "inspection is not alive", "problems": []})] * busy
    signed_in.answers.routes["POST", "/api/grants"] = lambda _: answers.pop() if answers else granted
    assert cli("ssh", "plc-dosing") == status
    assert answers == []


def test_nothing_secret_is_in_the_words_of_any_process(signed_in: FakeGate, cli: Any, stand_in: Any) -> None:
    words = stand_in()
    assert cli("ssh", "plc-dosing") == 0
    assert "a-secret-token" not in str(words())
    assert signed_in.answers.asked


def test_a_refusal_says_what_was_missing_and_starts_nothing(
    signed_in: FakeGate, cli: Any, stand_in: Any, tmp_path: Path, capsys: Any
) -> None:
    stand_in()
    miss = {"criterion": "factors", "wanted": "two", "found": "one", "remedy": "use a second factor"}
    refusal = {"error": "not allowed", "reason": "factors_missing", "conduit": "Service", "misses": [miss]}
    signed_in.answers.routes["POST", "/api/grants"] = (403, refusal)
    assert cli("ssh", "plc-dosing") == 1
    assert capsys.readouterr().err.splitlines() == [
        "penstock: no access to plc-dosing: not allowed (factors_missing)",
        "closest conduit: “Service”",
        "  factors: wanted two, found one",
        "hint: use a second factor",
        "hint: penstock login --again takes such a proof; what is open goes on",
    ]
    assert not (tmp_path / "seen.json").exists()


def test_a_flow_that_the_gate_refuses_says_why(signed_in: FakeGate, tunnel: FakeTunnel, stand_in: Any) -> None:
    stand_in("sys.exit(255)")
    tunnel.answer = b'{"refused": "grant_revoked"}\n'
    over = {"sessions": [], "ended": [{"grant": 7, "reason": "grant_revoked"}]}
    signed_in.answers.routes["GET", "/api/sessions"] = (200, over)
    done = shell("ssh", "plc-dosing")
    assert done.returncode == 255
    assert "penstock: the gate refuses the connection: grant_revoked" in done.stderr
    assert "penstock: grant 7: the grant was revoked" in done.stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [((401, {"error": "no"}), "the sign-in has ended\nhint: penstock login"), ((503, {}), "the gate does not answer")],
)
def test_a_connection_that_broke_is_explained_as_far_as_the_gate_knows(
    signed_in: FakeGate, stand_in: Any, answer: Any, said: str
) -> None:
    stand_in("sys.exit(255)")
    signed_in.answers.routes["GET", "/api/sessions"] = answer
    done = shell("ssh", "plc-dosing")
    assert done.returncode == 255
    assert said in done.stderr


def test_a_tunnel_that_speaks_something_else_gets_no_grant_number(signed_in: FakeGate, tmp_path: Path) -> None:
    other = FakeTunnel(protocol="http/1.1")
    with tunnel_port(signed_in.authority, tmp_path, other) as port:
        done = shell("ssh", "--proxy", f"7:{port}", "plc-dosing")
    assert done.returncode == 4
    assert "does not speak penstock/1" in done.stderr
    assert other.prefaces in ([], [b""])


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("given", ["7", "x:y", "7:-1", "\u0667:1", ""])
def test_a_proxy_that_a_person_starts_by_hand_is_refused(cli: Any, given: str, capsys: Any) -> None:
    assert cli("ssh", f"--proxy={given}", "plc-dosing") == 2
    assert "hint: penstock ssh ASSET" in capsys.readouterr().err


def test_without_ssh_or_a_sign_in_it_says_what_to_do(
    gate: FakeGate, cli: Any, stand_in: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    stand_in()
    assert cli("ssh", "plc-dosing") == 3
    assert "hint: penstock login" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli("ssh", "plc-dosing") == 2
    assert "hint: install OpenSSH's client" in capsys.readouterr().err
    assert gate.answers.asked == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_program_ends_ssh_and_gives_the_grant_back(
    signed_in: FakeGate, stand_in: Any, tmp_path: Path, number: signal.Signals
) -> None:
    stand_in("import time; time.sleep(60)")
    with subprocess.Popen([sys.executable, "-m", "penstock", "ssh", "plc-dosing"], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        deadline = time.monotonic() + 20
        while not (tmp_path / "seen.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        program.send_signal(number)
        program.stdout.read()
        assert program.wait(20) == 128 + signal.SIGTERM
    assert signed_in.answers.paths()[-1] == "DELETE /api/grants/7"


def test_a_way_through_whose_other_end_is_out_of_reach_is_given_up(
    authority: TestAuthority, tunnel: FakeTunnel, tmp_path: Path
) -> None:
    """Else a session whose network went away would hang for as long as nobody types."""
    key_pem, csr_pem = key_and_request()
    (tmp_path / "both.pem").write_bytes(authority.sign_request(csr_pem).encode() + key_pem)
    context = client_context(verifying(authority.pem), str(tmp_path / "both.pem"), str(tmp_path / "both.pem"))

    async def options(port: int) -> list[int]:
        _, writer = await ssh_proxy._opened(HOST, port, context)
        found = writer.get_extra_info("socket")
        writer.transport.abort()
        wanted = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        kept = found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return [kept, *(found.getsockopt(socket.IPPROTO_TCP, each) for each in wanted)]

    with tunnel_port(authority, tmp_path, tunnel) as port:
        assert asyncio.run(options(port)) == [1, 5, 2, 3, 10_000]


def row(service: str, protocol: str, port: int, asset: str = "hmi") -> Reachable:
    return Reachable(asset=asset, service=service, protocol=protocol, zone="z", port=port, is_allowed=True)


@pytest.mark.parametrize(
    ("rows", "service"),
    [
        ([row("modbus", "modbus", 502), row("admin", "ssh", 2222)], "admin"),
        ([row("tcp/22", "tcp/22", 22)], "tcp/22"),
        ([row("modbus", "modbus", 502)], "ssh"),
        ([row("ssh", "ssh", 22, asset="other")], "ssh"),
        ([], "ssh"),
    ],
)
def test_the_service_that_is_meant_is_the_assets_ssh(rows: list[Reachable], service: str) -> None:
    assert ssh.service_of(rows, "hmi") == service


def test_the_way_through_survives_spaces_and_percent_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my 100%/python")
    grant = OpenedGrant(
        grant=7, asset="hmi", service="ssh", protocol="ssh", expires_at=None, tunnel_port=8444, overlay="", port=22
    )
    text = ssh.proxy_command(grant, "hmi")
    assert shlex.split(text.replace("%%", "%"))[0] == "/opt/my 100%/python"
    assert "100%%/" in text
    monkeypatch.setattr(sys, "platform", "win32")
    assert ssh.proxy_command(grant, "hmi").startswith('"/opt/my 100%%/python" -m penstock ssh --proxy 7:8444 hmi')
