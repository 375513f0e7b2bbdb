"""How holding a grant ends, with the gate's answers given and the clock short."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fake_gate import FAR, HOST, FakeTunnel, TestAuthority, tunnel_port

from penstock.cli import local
from penstock.cli.answers import GrantsSeen, MissingPiece, OpenedGrant, Refusal
from penstock.cli.client import Stranger, verifying
from penstock.cli.door import Door, Opening
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


ALIVE = GrantsSeen(live=frozenset({7}), ended={})


def ended(reason: str) -> GrantsSeen:
    """Grant 7 has ended, and why."""
    return GrantsSeen(live=frozenset(), ended={7: reason})


@dataclass
class FakePortal:
    """Answers as it is told to."""

    seen: Callable[[], GrantsSeen] = lambda: ALIVE
    fresh: Callable[[], OpenedGrant | Refusal] = lambda: replace(GRANT, grant=9)
    opened: list[tuple[str, str | None]] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    reconnected: int = 0

    def grants(self) -> GrantsSeen:
        return self.seen()

    def open_grant(self, asset: str, service: str | None) -> OpenedGrant | Refusal:
        self.opened.append((asset, service))
        return self.fresh()

    def close_grant(self, number: int) -> None:
        self.closed.append(number)

    def reconnect(self) -> None:
        self.reconnected += 1


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
        yield Held(doors=(Door(GRANT, (Opening(socket=listening),)),), place=place, portal=FakePortal())


def ending_of(held: Held, tool: Callable[[int], Any] | None = None, hold_s: float = 10.0) -> Ending:
    """Hold until it ends by itself; `tool` is called with the local port in a thread."""
    port = held.doors[0].openings[0].socket.getsockname()[1]

    async def run() -> Ending:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            if tool is not None:
                group.create_task(asyncio.to_thread(tool, port))
            return await Holding(held, watch_s=WATCH_S, hold_s=hold_s).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def raising(error: Exception) -> Callable[[], GrantsSeen]:
    def ask() -> GrantsSeen:
        raise error

    return ask


def test_a_revoked_grant_ends_it_with_the_reason(held: Held) -> None:
    assert ending_of(replace(held, portal=FakePortal(lambda: ended("grant_revoked")))) == Ending(
        status=1, text="the grant was revoked", hint="penstock ls shows what you may reach now"
    )


def test_a_sign_in_that_ended_at_the_gate_ends_it(held: Held) -> None:
    ending = ending_of(replace(held, portal=FakePortal(raising(Unauthenticated("no")))))
    assert (ending.status, ending.text) == (1, "the sign-in has ended")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("isolated", "the gate has isolated it"),
        ("membership_ended", "the membership that allowed it has ended"),
        ("not_signed_in", "the sign-in has ended"),
    ],
)
def test_what_somebody_took_away_is_not_asked_for_again(held: Held, reason: str, words: str) -> None:
    portal = FakePortal(lambda: ended(reason))
    assert ending_of(replace(held, portal=portal)).text == words
    assert portal.opened == []


@pytest.mark.parametrize(
    ("seen", "said"), [(ended("grant_expired"), "it has expired"), (replace(ALIVE, live=frozenset()), "does not know")]
)
def test_a_grant_that_ended_without_a_no_is_followed_by_a_fresh_one(
    held: Held, tunnel: FakeTunnel, capsys: Any, seen: GrantsSeen, said: str
) -> None:
    is_through: list[bool] = []
    answers = iter([seen])
    portal = FakePortal(
        lambda: next(
            answers,
            replace(ALIVE, live=frozenset({9}))
            if not is_through
            else GrantsSeen(live=frozenset(), ended={9: "grant_revoked"}),
        )
    )

    def tool(port: int) -> None:
        while held.doors[0].grant.grant != 9:
            time.sleep(0.005)
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"HELLO"
        is_through.append(True)

    assert ending_of(replace(held, portal=portal), tool).text == "the grant was revoked"
    assert portal.opened == [("plc-dosing", "modbus")]
    assert tunnel.prefaces == [b'{"grant": 9}\n']
    told = capsys.readouterr().err
    assert said in told
    assert "grant 9 goes on until 2099-01-01" in told


def test_where_the_policy_says_no_by_now_that_is_the_end_with_what_helps(held: Held, capsys: Any) -> None:
    miss = MissingPiece(criterion="freshness", wanted="1h", found="3h", remedy="penstock login")
    refusal = Refusal(error="not allowed", reason="proof_too_old", misses=(miss,))
    ending = ending_of(replace(held, portal=FakePortal(lambda: ended("proof_too_old"), lambda: refusal)))
    assert ending.text == "no access any more: not allowed (proof_too_old)"
    assert "hint: penstock login" in capsys.readouterr().err


def test_a_service_that_was_moved_meanwhile_is_not_taken_for_the_same(held: Held) -> None:
    portal = FakePortal(lambda: ended("grant_expired"), lambda: replace(GRANT, grant=9, port=503))
    assert "was moved" in ending_of(replace(held, portal=portal)).text
    assert portal.closed == [9]  # it would live on, and nobody would use it


def until_refused(port: int) -> None:
    """Wait until nobody listens there any more."""
    while True:
        try:
            socket.create_connection((HOST, port), timeout=5).close()
        except ConnectionRefusedError:
            return


def test_one_door_that_is_over_does_not_close_the_other(held: Held, capsys: Any) -> None:
    listening = local.listen(0)
    assert listening is not None
    other = Door(replace(GRANT, grant=8, service="web"), (Opening(socket=listening),))
    doors = (*held.doors, other)
    over: list[bool] = []

    def seen() -> GrantsSeen:
        ends = {7: "grant_revoked"} | ({8: "isolated"} if over else {})
        return GrantsSeen(live=frozenset({8}) - ends.keys(), ended=ends)

    def tool(port: int) -> None:
        while not held.doors[0].over:
            time.sleep(0.005)
        until_refused(port)
        with socket.create_connection(listening.getsockname()) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"HELLO"
        over.append(True)

    with listening:
        ending = ending_of(replace(held, doors=doors, portal=FakePortal(seen)), tool)
    assert (ending.status, ending.text) == (1, "the gate has isolated it")
    assert "plc-dosing modbus: the grant was revoked" in capsys.readouterr().err


def test_a_connection_whose_flow_ends_before_it_is_taken_over_is_closed(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ended_at_once(*_: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("penstock.cli.flows.Flows.carry", ended_at_once)
    done: list[bool] = []

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port), timeout=20) as client:
            assert client.recv(1) == b""
        done.append(True)

    ending_of(replace(held, portal=FakePortal(lambda: ended("grant_revoked") if done else ALIVE)), tool)
    assert done


def test_a_flow_that_the_worker_does_not_know_yet_waits_for_it(held: Held, tunnel: FakeTunnel) -> None:
    """After a restart of the worker the gate knows the grant a moment before its worker does."""
    tunnel.answer = b'{"refused": "grant_unknown"}\n'
    done: list[bool] = []

    def seen() -> GrantsSeen:
        if len(tunnel.prefaces) >= 2:
            tunnel.answer = b'{"ok": true}\n'
        return ALIVE if not done else ended("grant_revoked")

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"HELLO"
        done.append(True)

    portal = FakePortal(seen)
    assert ending_of(replace(held, portal=portal), tool).text == "the grant was revoked"
    assert portal.opened == []


def test_a_connection_that_begins_while_there_is_no_way_waits_and_goes_through(
    held: Held, tunnel: FakeTunnel, authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[bool] = []
    said: list[str] = []
    monkeypatch.setattr("penstock.cli.output.say", said.append)
    with socket.create_server((HOST, 0)) as kept:
        port_of_gate = kept.getsockname()[1]
    place = replace(held.place, port=port_of_gate)
    portal = FakePortal(lambda: ALIVE if not done else ended("grant_revoked"))

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"hello")
            while not any("the way to the gate is gone" in line for line in said):
                time.sleep(0.005)
            with tunnel_port(authority, tmp_path, tunnel, port_of_gate):
                assert client.recv(5) == b"HELLO"
        done.append(True)

    assert ending_of(replace(held, place=place, portal=portal), tool).text == "the grant was revoked"
    assert [line[:27] for line in said if "the way" in line] == [
        "the way to the gate is gone",
        "the way to the gate is back",
    ]
    assert tunnel.prefaces[-1] == b'{"grant": 7}\n'


def test_a_connection_is_refused_when_the_way_does_not_come_back_in_time(held: Held, capsys: Any) -> None:
    with socket.create_server((HOST, 0)) as kept:
        place = replace(held.place, port=kept.getsockname()[1])
    done: list[bool] = []
    portal = FakePortal(lambda: ALIVE if not done else ended("grant_revoked"))

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            assert client.recv(1) == b""
        done.append(True)

    ending_of(replace(held, place=place, portal=portal), tool, hold_s=0.3)
    assert "flow 1 failed: there is no way to the gate; waited 0 s" in capsys.readouterr().err


def test_flows_from_an_address_that_is_gone_are_reset_and_others_are_not(
    held: Held, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("penstock.cli.holding._LOOK_S", 0.01)
    gone: list[bool] = []
    done: list[bool] = []
    monkeypatch.setattr(local, "is_local", lambda address: not (gone and address == HOST))
    portal = FakePortal(lambda: ALIVE if not done else ended("grant_revoked"))

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"HELLO"
            gone.append(True)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        gone.clear()
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"again")
            assert client.recv(5) == b"AGAIN"
        done.append(True)

    ending_of(replace(held, portal=portal), tool)
    said = capsys.readouterr().err
    assert f"this computer has not the address {HOST} any more" in said
    assert "flow 1 broken off: 5 bytes to the asset, 5 back" in said
    assert portal.reconnected >= 1, "what was opened from the old address is not waited for"


def test_a_flow_that_is_refused_for_another_reason_ends_nothing(held: Held, tunnel: FakeTunnel, capsys: Any) -> None:
    tunnel.answer = b'{"refused": "inspection_unavailable"}\n'
    asked: list[str] = []

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            assert client.recv(1) == b""
        asked.append("over")

    ending = ending_of(replace(held, portal=FakePortal(lambda: ended("grant_revoked") if asked else ALIVE)), tool)
    assert ending.text == "the grant was revoked"
    assert "flow 1 refused by the gate: inspection_unavailable" in capsys.readouterr().err


def test_a_silent_portal_ends_nothing_and_is_told_once(held: Held, capsys: Any) -> None:
    silent = raising(Unavailable("x"))
    answers = iter([silent, silent, lambda: ALIVE, lambda: ended("grant_revoked")])
    ending = ending_of(replace(held, portal=FakePortal(lambda: next(answers)())))  # noqa: PLW0108  another one each time
    assert ending.text == "the grant was revoked"
    said = capsys.readouterr().err
    assert said.count("the gate's portal does not answer; open flows go on") == 1
    assert said.count("the gate's portal answers again") == 1


def test_a_proof_that_grows_too_old_is_said_once_while_there_is_time(held: Held, capsys: Any) -> None:
    lefts = [1200, 299, 240, 1800, 120]  # proved again once, and then not
    answers = iter([*(replace(ALIVE, proof_left_s={7: left}) for left in lefts), ended("grant_revoked")])
    ending_of(replace(held, portal=FakePortal(lambda: next(answers))))
    said = capsys.readouterr().err
    assert said.count("plc-dosing modbus: grant 7 ends in 5 min: its proof is too old then") == 1
    assert said.count("plc-dosing modbus: grant 7 ends in 3 min: its proof is too old then") == 1
    assert said.count("hint: penstock login --again lets it go on") == 2


def test_what_waits_for_a_second_person_is_said_once_and_when_it_is_over(held: Held, capsys: Any) -> None:
    words = "write holding_registers 10 = 250; refused in 47 s if nobody decides"
    waiting = replace(ALIVE, held={7: {"1042.1": words}})
    answers = iter([ALIVE, waiting, waiting, ALIVE, ended("grant_revoked")])
    ending_of(replace(held, portal=FakePortal(lambda: next(answers))))
    said = capsys.readouterr().err
    assert said.count(f"plc-dosing modbus: 1042.1 waits for a second person: {words}") == 1
    assert said.count("plc-dosing modbus: 1042.1 waits no longer; your tool has the answer") == 1


def test_an_answer_about_sessions_is_read_as_far_as_it_is_one() -> None:
    held = [{"hold": "1042.1", "what": "write coils 3 = on", "left_s": 9}, "x"]
    rows = [{"grant": 7, "proof_left_s": 60, "held": held}, {"grant": 8, "held": "x"}, {"grant": "9"}]
    seen = GrantsSeen.of({"sessions": rows, "ended": [{"grant": 6, "reason": "isolated"}, {"grant": 5}]})
    assert seen == GrantsSeen(
        live=frozenset({7, 8}),
        ended={6: "isolated"},
        proof_left_s={7: 60},
        held={7: {"1042.1": "write coils 3 = on; refused in 9 s if nobody decides"}, 8: {}},
    )


def test_what_answers_in_the_gates_place_for_a_while_ends_nothing(held: Held, capsys: Any) -> None:
    """The portal of a hotel's network, or a box that opens TLS: the gate is out of reach, the sign-in is not over."""
    stranger = raising(Stranger("https://10.20.0.2:8443 does not prove to be the known gate"))
    answers = iter([stranger, stranger, lambda: ALIVE, lambda: ended("grant_revoked")])
    ending = ending_of(replace(held, portal=FakePortal(lambda: next(answers)())))  # noqa: PLW0108  another one each time
    assert ending.text == "the grant was revoked"
    said = capsys.readouterr().err
    assert said.count("does not prove to be the known gate; open flows go on") == 1
    assert said.count("the gate's portal answers again") == 1


def given_up(
    held: Held, tunnel: FakeTunnel, monkeypatch: pytest.MonkeyPatch, leave: Callable[[socket.socket], None]
) -> str:
    """What is said about a tool that sends a command while the gate is away, and is gone when it is back."""
    said: list[str] = []
    monkeypatch.setattr("penstock.cli.output.say", said.append)
    with socket.create_server((HOST, 0)) as kept:
        port_of_gate = kept.getsockname()[1]

    def tool(port: int) -> None:
        client = socket.create_connection((HOST, port))
        client.sendall(b"open the valve")
        while not any("the way to the gate is gone" in line for line in said):
            time.sleep(0.005)
        leave(client)
        client.close()
        while not any(line.startswith("flow 1 closed") for line in said):
            time.sleep(0.005)
        done.append(True)

    done: list[bool] = []
    portal = FakePortal(lambda: ALIVE if not done else ended("grant_revoked"))
    ending_of(replace(held, place=replace(held.place, port=port_of_gate), portal=portal), tool)
    assert tunnel.prefaces == []
    return next(line for line in said if line.startswith("flow 1 closed"))


def test_what_a_tool_sent_that_is_gone_before_there_is_a_way_is_never_delivered(
    held: Held, tunnel: FakeTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.tool_side.LATE_S", 0.05)
    words = "flow 1 closed: the tool hung up before there was a way; nothing was sent"
    assert given_up(held, tunnel, monkeypatch, lambda _: None) == words


def test_a_tool_that_breaks_off_before_there_is_a_way_is_gone_at_once(
    held: Held, tunnel: FakeTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.tool_side.LATE_S", 3600.0)

    def reset(client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert "nothing was sent" in given_up(held, tunnel, monkeypatch, reset)


def test_a_tool_that_is_done_sending_before_the_tunnel_is_open_still_gets_its_answer(
    held: Held, tunnel: FakeTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bool] = []
    serve = tunnel.serve

    def serve_late(flow: Any) -> None:
        while not sent:
            time.sleep(0.005)
        serve(flow)

    monkeypatch.setattr(tunnel, "serve", serve_late)
    done: list[bool] = []

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"x" * 300_000)
            client.shutdown(socket.SHUT_WR)
            sent.append(True)
            answer = b""
            while data := client.recv(65536):
                answer += data
            assert answer == b"X" * 300_000
        done.append(True)

    ending_of(replace(held, portal=FakePortal(lambda: ended("grant_revoked") if done else ALIVE)), tool)
    assert done


def test_live_flows_end_with_the_grant(held: Held) -> None:
    is_through: list[bool] = []

    def tool(port: int) -> None:
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"HELLO"
            is_through.append(True)
            assert client.recv(1) == b""

    assert (
        ending_of(
            replace(held, portal=FakePortal(lambda: ended("grant_revoked") if is_through else ALIVE)), tool
        ).status
        == 1
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(held: Held, number: signal.Signals) -> None:
    assert ending_of(held, lambda _port: os.kill(os.getpid(), number)) == Ending(status=0)


@pytest.mark.parametrize(("code", "status"), [("exit 5", 5), ("kill -TERM $$", 128 + signal.SIGTERM)])
def test_the_native_tools_exit_status_is_ours(held: Held, code: str, status: int) -> None:
    assert ending_of(replace(held, command=("sh", "-c", code))) == Ending(status=status)


def test_a_native_tool_does_not_outlive_the_grant(held: Held, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    command = ("sh", "-c", f"echo $$ > {marker}; exec sleep 60")

    def seen() -> GrantsSeen:
        return ended("grant_revoked") if marker.exists() and marker.read_text().strip() else ALIVE

    ending_of(replace(held, command=command, portal=FakePortal(seen)))
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

    ending_of(replace(held, portal=FakePortal(lambda: ended("grant_revoked") if is_over else ALIVE)), tool)
    assert "flow 1 refused: it comes from another user of this computer" in capsys.readouterr().err
    assert tunnel.prefaces == []


def test_the_owner_of_a_local_connection_is_known() -> None:
    with socket.create_server((HOST, 0)) as listening, socket.create_connection(listening.getsockname()) as client:
        assert local.owner_of(client.getsockname(), listening.getsockname()) == os.geteuid()
        assert local.owner_of((HOST, 1), (HOST, 2)) == local.NOBODY
        assert not local.is_ours(local.NOBODY)


def test_the_owner_of_a_connection_from_an_ipv6_socket_is_known() -> None:
    with socket.create_server((HOST, 0)) as listening, socket.socket(socket.AF_INET6) as client:
        client.connect((f"::ffff:{HOST}", listening.getsockname()[1]))
        accepted, peer = listening.accept()
        with accepted:
            assert local.owner_of(peer, listening.getsockname()) == os.geteuid()


def test_a_connection_from_another_computer_is_not_taken_for_ones_own() -> None:
    with socket.create_server((HOST, 0)) as listening, socket.create_connection(listening.getsockname()) as client:
        stranger = ("192.0.2.7", client.getsockname()[1])  # the same port, where another connection has it
        assert local.owner_of(stranger, listening.getsockname()) == local.NOBODY
