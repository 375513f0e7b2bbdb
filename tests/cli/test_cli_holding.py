"""How holding a grant ends, with the gate's answers given and the clock short."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fake_gate import FAR, HOST, FakeTunnel, TestAuthority, tunnel_port

from penstock.cli import local
from penstock.cli.answers import OpenedGrant
from penstock.cli.client import verifying
from penstock.cli.holding import Ending, Held, Holding
from penstock.cli.keys import key_and_request
from penstock.cli.tunnel import TunnelPlace, client_context
from penstock.model import Unauthenticated, Unavailable

WATCH_S = 0.02
GRANT = OpenedGrant(
    grant=7,
    asset="plc-dosing",
    service="modbus",
    protocol="modbus",
    expires_at=FAR,
    tunnel_port=0,
    overlay="100.64.10.12",
    port=502,
)


@pytest.fixture
def held(authority: TestAuthority, tunnel: FakeTunnel, tmp_path: Path) -> Iterator[Held]:
    key_pem, csr_pem = key_and_request()
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    key.write_bytes(key_pem)
    certificate.write_text(authority.sign_request(csr_pem))
    context = client_context(verifying(authority.pem), str(certificate), str(key))
    listening = local.listen(0)
    assert listening is not None
    with listening, tunnel_port(authority, tmp_path, tunnel) as port:
        place = TunnelPlace(host=HOST, port=port, context=context)
        yield Held(grant=GRANT, listening=listening, place=place, is_alive=lambda: True)


def ending_of(held: Held, tool: Callable[[int], Any] | None = None) -> Ending:
    """Hold until it ends by itself; `tool` is called with the local port in a thread."""

    async def run() -> Ending:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            if tool is not None:
                group.create_task(asyncio.to_thread(tool, held.listening.getsockname()[1]))
            return await Holding(held, watch_s=WATCH_S).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def raising(error: Exception) -> Callable[[], bool]:
    def ask() -> bool:
        raise error

    return ask


def test_a_revoked_grant_ends_it_with_the_reason(held: Held) -> None:
    assert ending_of(replace(held, is_alive=lambda: False)) == Ending(
        status=1, text="the grant was revoked", hint="penstock ls shows what you may reach now"
    )


def test_a_sign_in_that_ended_at_the_gate_ends_it(held: Held) -> None:
    ending = ending_of(replace(held, is_alive=raising(Unauthenticated("no"))))
    assert (ending.status, ending.text) == (1, "the sign-in has ended")


def test_a_grant_ends_when_its_time_has_come(held: Held) -> None:
    soon = (datetime.now(UTC) + timedelta(milliseconds=50)).isoformat()
    ending = ending_of(replace(held, grant=replace(GRANT, expires_at=soon)))
    assert (ending.status, ending.text) == (1, "the grant has expired")


def test_a_refused_flow_tells_before_the_gate_is_asked(held: Held, tunnel: FakeTunnel) -> None:
    tunnel.answer = b'{"refused": "grant_expired"}\n'

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            assert client.recv(1) == b""

    assert ending_of(held, tool).text == "the grant has expired"


def test_a_flow_that_is_refused_for_another_reason_ends_nothing(held: Held, tunnel: FakeTunnel, capsys: Any) -> None:
    tunnel.answer = b'{"refused": "inspection_unavailable"}\n'
    asked: list[str] = []

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            assert client.recv(1) == b""
        asked.append("over")

    ending = ending_of(replace(held, is_alive=lambda: not asked), tool)
    assert ending.text == "the grant was revoked"
    assert "flow 1 refused by the gate: inspection_unavailable" in capsys.readouterr().err


def test_a_silent_portal_ends_nothing_and_is_told_once(held: Held, capsys: Any) -> None:
    answers = iter([raising(Unavailable("x")), raising(Unavailable("x")), lambda: True, lambda: False])
    ending = ending_of(replace(held, is_alive=lambda: next(answers)()))  # noqa: PLW0108  another one each time
    assert ending.text == "the grant was revoked"
    said = capsys.readouterr().err
    assert said.count("the gate's portal does not answer; open flows go on") == 1
    assert said.count("the gate's portal answers again") == 1


def test_live_flows_end_with_the_grant(held: Held) -> None:
    is_through: list[bool] = []

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"HELLO"
            is_through.append(True)
            assert client.recv(1) == b""

    assert ending_of(replace(held, is_alive=lambda: not is_through), tool).status == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(held: Held, number: signal.Signals) -> None:
    assert ending_of(held, lambda _port: os.kill(os.getpid(), number)) == Ending(status=0)


def test_the_native_tools_exit_status_is_ours(held: Held) -> None:
    assert ending_of(replace(held, command=("sh", "-c", "exit 5"))) == Ending(status=5)
    assert ending_of(replace(held, command=("sh", "-c", "kill -TERM $$"))) == Ending(status=128 + signal.SIGTERM)


def test_a_native_tool_does_not_outlive_the_grant(held: Held, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    command = ("sh", "-c", f"echo $$ > {marker}; exec sleep 60")
    ending_of(replace(held, command=command, is_alive=lambda: not (marker.exists() and marker.read_text().strip())))
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)


def test_a_native_tool_that_is_not_there_is_named(held: Held) -> None:
    ending = ending_of(replace(held, command=("no-such-tool",)))
    assert (ending.status, ending.text) == (2, "no-such-tool cannot be started: No such file or directory")


def test_another_user_of_the_computer_is_not_let_in(
    held: Held, tunnel: FakeTunnel, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("penstock.cli.local.owner_of", lambda *_: os.geteuid() + 1)
    is_over: list[bool] = []

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            assert client.recv(1) == b""
        is_over.append(True)

    ending_of(replace(held, is_alive=lambda: not is_over), tool)
    assert "flow 1 refused: it comes from another user of this computer" in capsys.readouterr().err
    assert tunnel.prefaces == []


def test_the_owner_of_a_local_connection_is_known() -> None:
    with socket.create_server((HOST, 0)) as listening, socket.create_connection(listening.getsockname()) as client:
        assert local.owner_of(client.getsockname()[1], listening.getsockname()[1]) == os.geteuid()
        assert local.owner_of(1, 2) is None
