"""The relay itself, over real TLS on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fake_gate import HOST, FakeTunnel, TestAuthority, tunnel_port

from penstock.cli import tunnel as under_test
from penstock.cli.client import verifying
from penstock.cli.keys import key_and_request
from penstock.cli.tool_side import taken
from penstock.cli.tunnel import FlowBytes, FlowRefused, TunnelPlace, client_context, join, opened
from penstock.model import Unavailable


@pytest.fixture
def place(authority: TestAuthority, tunnel: FakeTunnel, tmp_path: Path) -> Any:
    with tunnel_port(authority, tmp_path, tunnel) as port:
        yield TunnelPlace(host=HOST, port=port, context=context(authority, tmp_path))


def context(authority: TestAuthority, folder: Path) -> ssl.SSLContext:
    key_pem, csr_pem = key_and_request()
    (folder / "key.pem").write_bytes(key_pem)
    (folder / "certificate.pem").write_text(authority.sign_request(csr_pem))
    return client_context(verifying(authority.pem), str(folder / "certificate.pem"), str(folder / "key.pem"))


async def relay(
    ours: socket.socket, place: TunnelPlace, grant: int, say: Callable[[str], None] = lambda _: None
) -> FlowBytes:
    """One connection from its grant to its end."""
    side = await taken(ours)
    try:
        async with opened(place, grant, say) as half:
            flow, is_broken = await join(half, side)
    finally:
        await side.end()
    assert not is_broken
    return flow


def carried(
    place: TunnelPlace, tool: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> FlowBytes:
    """What the relay says of one flow, with `tool` at the local end."""

    async def run() -> FlowBytes:
        ours, theirs = tcp_pair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            flow = group.create_task(relay(ours, place, 7))
            try:
                await tool(reader, writer)
            finally:
                writer.close()
            return await flow

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run())
    except* (FlowRefused, Unavailable) as errors:
        raise errors.exceptions[0] from None


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of one TCP connection on loopback."""
    with socket.create_server((HOST, 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.setblocking(False)
    return ours, theirs


async def ask_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"HELLO"


async def wait_for_end(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    assert await reader.read() == b""


def test_bytes_pass_both_ways_and_are_counted(place: TunnelPlace) -> None:
    assert carried(place, ask_once) == FlowBytes(to_asset=5, to_tool=5)


def test_the_flow_starts_with_the_grant_under_the_certificate_of_the_sign_in(
    place: TunnelPlace, tunnel: FakeTunnel
) -> None:
    carried(place, ask_once)
    assert tunnel.prefaces == [b'{"grant": 7}\n']
    assert tunnel.peers == ["maria"]
    assert tunnel.alpns == ["penstock/1"]


def test_a_megabyte_passes_unchanged_though_the_tool_reads_late(place: TunnelPlace, monkeypatch: Any) -> None:
    monkeypatch.setattr(under_test, "HIGH_WATER_BYTES", 4096)
    sent = bytes(range(97, 123)) * 40_000

    async def tool(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent.upper()

    assert carried(place, tool) == FlowBytes(to_asset=len(sent), to_tool=len(sent))


def test_what_the_tool_sends_at_once_is_not_taken_for_a_line(place: TunnelPlace) -> None:
    """A Modbus request may hold the byte 0x0a anywhere, and wait in the socket before the tunnel is open."""
    sent = b"\x00\x0a\x00\x00\x00\x06\x01\x03\x00\x0a\x00\x0a"

    async def tool(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent

    for _ in range(5):
        assert carried(place, tool) == FlowBytes(to_asset=len(sent), to_tool=len(sent))


def test_a_tool_that_is_done_sending_still_gets_its_answer(place: TunnelPlace, monkeypatch: Any) -> None:
    monkeypatch.setattr(under_test, "LINGER_S", 0.2)

    async def tool(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last words")
        writer.write_eof()
        assert await reader.read() == b"LAST WORDS"

    assert carried(place, tool).to_tool == 10


def test_bytes_that_come_with_the_answer_are_not_lost(place: TunnelPlace, tunnel: FakeTunnel) -> None:
    tunnel.answer = b'{"ok": true}\nwelcome'

    async def tool(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(7) == b"welcome"

    assert carried(place, tool).to_tool == 7


def test_the_gates_end_ends_the_tools_connection(
    place: TunnelPlace, tunnel: FakeTunnel, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr(tunnel, "serve", lambda flow: (flow.recv(100), flow.sendall(b'{"ok": true}\nbye')))

    async def tool(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.read() == b"bye"

    with caplog.at_level("WARNING"):
        assert carried(place, tool) == FlowBytes(to_asset=0, to_tool=3)
    assert caplog.messages == []


def test_a_tool_that_takes_nothing_is_cut_when_the_gate_has_ended_the_flow(
    place: TunnelPlace, tunnel: FakeTunnel, monkeypatch: Any
) -> None:
    monkeypatch.setattr(under_test, "CLOSE_TIMEOUT_S", 0.05)
    rest = bytes(200_000)  # less than the high water, so that the end of the flow is read behind it
    monkeypatch.setattr(tunnel, "serve", lambda flow: (flow.recv(100), flow.sendall(b'{"ok": true}\n' + rest)))
    ours, theirs = tcp_pair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    async def run() -> FlowBytes:
        async with asyncio.timeout(10):
            return await relay(ours, place, 7)

    with theirs, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert runner.run(run()) == FlowBytes(to_asset=0, to_tool=len(rest))


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop])
def test_a_connection_that_is_given_up_while_it_is_taken_over_is_closed(turns: int, factory: Any) -> None:
    async def run() -> None:
        ours, theirs = tcp_pair()
        theirs.setblocking(False)
        taking = asyncio.create_task(taken(ours))
        for _ in range(turns):
            await asyncio.sleep(0)
        taking.cancel()
        (found,) = await asyncio.gather(taking, return_exceptions=True)
        if not isinstance(found, BaseException):  # it was faster
            await found.end()
        ours.close()
        async with asyncio.timeout(20):
            assert await asyncio.get_running_loop().sock_recv(theirs, 1) == b""
        theirs.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())


def test_a_refusal_carries_the_gates_reason(place: TunnelPlace, tunnel: FakeTunnel) -> None:
    tunnel.answer = b'{"refused": "grant_revoked"}\n'
    with pytest.raises(FlowRefused, match=r"^grant_revoked$"):
        carried(place, wait_for_end)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b"[]\n", b"x" * 2000, b""])
def test_an_answer_that_is_none_is_unavailable(
    place: TunnelPlace, tunnel: FakeTunnel, monkeypatch: Any, answer: bytes
) -> None:
    monkeypatch.setattr(tunnel, "serve", lambda flow: (flow.recv(100), answer and flow.sendall(answer)))
    with pytest.raises(Unavailable):
        carried(place, wait_for_end)


def test_a_gate_that_says_nothing_is_given_up(place: TunnelPlace, tunnel: FakeTunnel, monkeypatch: Any) -> None:
    monkeypatch.setattr(under_test, "OPEN_TIMEOUT_S", 0.2)
    tunnel.answer = b""
    with pytest.raises(Unavailable, match="does not answer"):
        carried(place, wait_for_end)


def test_what_does_not_speak_the_protocol_gets_no_grant_number(
    authority: TestAuthority, tunnel: FakeTunnel, tmp_path: Path
) -> None:
    tunnel.protocol = "h2"
    with tunnel_port(authority, tmp_path, tunnel) as port:
        place = TunnelPlace(host=HOST, port=port, context=context(authority, tmp_path))
        with pytest.raises(Unavailable, match="does not speak penstock/1"):
            carried(place, wait_for_end)
    assert tunnel.prefaces in ([], [b""])


def test_an_impostor_at_the_tunnel_port_gets_nothing(place: TunnelPlace, tmp_path: Path) -> None:
    impostor = FakeTunnel()
    with (
        tunnel_port(TestAuthority("impostor"), tmp_path, impostor) as port,
        pytest.raises(Unavailable, match="certificate verify failed"),
    ):
        carried(replace(place, port=port), wait_for_end)
    assert impostor.prefaces == []


def test_nobody_at_the_tunnel_port_is_unavailable(place: TunnelPlace) -> None:
    with pytest.raises(Unavailable):
        carried(replace(place, port=1), wait_for_end)


def test_a_certificate_that_does_not_fit_its_key_leads_to_login(authority: TestAuthority, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(key_and_request()[0])
    (tmp_path / "certificate.pem").write_text(authority.sign_request(key_and_request()[1]))
    with pytest.raises(Unavailable) as caught:
        client_context(verifying(authority.pem), str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem"))
    assert caught.value.__notes__ == ["penstock login"]


def test_a_full_asset_lets_one_wait_with_words_and_then_the_flow_begins(tunnel: FakeTunnel, place: TunnelPlace) -> None:
    tunnel.answer = (
        b'{"waiting": "asset_full", "shortage": "connections", "connections": 2, "queue_s": 10}\n{"ok": true}\n'
    )
    said: list[str] = []

    async def run() -> FlowBytes:
        ours, theirs = tcp_pair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            flow = group.create_task(relay(ours, place, 7, said.append))
            await ask_once(reader, writer)
            writer.close()
            return await flow

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == FlowBytes(to_asset=5, to_tool=5)
    assert said == ["the asset has 2 connections at most, and no free one; waiting up to 10 s for one"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b'{"refused": "asset_full", "shortage": "connections", "connections": 1}\n',
         "the asset has 1 connection at most, and no free one"),
        (b'{"refused": "asset_full", "shortage": "opens", "opens": 3, "period_s": 10, "connections": 9}\n',
         "the asset takes 3 new connections in 10 s at most"),
        ((b'{"waiting": "asset_full", "shortage": "opens", "opens": 3, "period_s": 10, "queue_s": 1}\n'
         b'{"refused": "asset_full"}\n'), "the asset has no free connection"),
        (b'{"refused": "grant_revoked"}\n', ""),
    ],
)  # fmt: skip
def test_a_refusal_says_what_the_asset_can_bear_and_nothing_of_who_is_there(
    tunnel: FakeTunnel, place: TunnelPlace, answer: bytes, words: str
) -> None:
    tunnel.answer = answer
    with pytest.raises(FlowRefused) as refused:
        carried(place, wait_for_end)
    assert refused.value.words == words


def test_a_gate_that_lets_one_wait_and_goes_away_is_a_gate_that_does_not_answer(
    tunnel: FakeTunnel, place: TunnelPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tunnel.answer = b'{"waiting": "asset_full", "queue_s": 0}\n'
    monkeypatch.setattr(under_test, "OPEN_TIMEOUT_S", 0.3)
    with pytest.raises(Unavailable, match="does not answer"):
        carried(place, wait_for_end)
