"""One HTTP connection: how long it may say nothing, and how many of them one station has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from browser import ORIGIN, Browser, Client
from control_world import World, play
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from penstock.web import admin_app, serve
from penstock.web.card_site import card_app

HEAD = b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n"


class Wire(asyncio.Transport):
    """The other end of a connection, in memory."""

    def __init__(self, station: str) -> None:
        super().__init__({"peername": (station, 50_000), "sockname": ("10.20.0.2", 8443)})
        self.written, self.is_closed = b"", False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        """There is nothing on its way."""

    def resume_reading(self) -> None:
        """The same."""

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


class Timers:
    """The running loop, but what it shall call later is called by the test."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def call_later(self, _delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        self.due.append(call)
        return asyncio.get_running_loop().call_later(3600, lambda: None)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)

    def pass_silence(self) -> None:
        """So long passes as a connection may be silent."""
        due, self.due = self.due, []
        for call in due:
            if getattr(call, "__name__", "") == "_check_silence":
                call()


def _connection(
    state: ServerState, app: Any = None, station: str = "10.20.0.50", kind: type[serve.Protocol] = serve.Protocol
) -> tuple[Any, Wire, Timers]:
    config = Config(app or PlainTextResponse("well"), lifespan="off", ws="none", log_config=None)
    config.load()
    timers, wire = Timers(), Wire(station)
    protocol = kind(config=config, server_state=state, app_state={}, _loop=timers)  # type: ignore[arg-type]
    protocol.connection_made(wire)
    return protocol, wire, timers


@pytest.mark.parametrize("requests", [0, 1, 2])
def test_a_connection_that_begins_a_request_and_never_ends_it_is_closed(requests: int) -> None:
    async def scenario() -> None:
        protocol, wire, timers = _connection(ServerState())
        for number in range(requests):
            protocol.data_received(HEAD)
            await asyncio.sleep(0)
            assert wire.written.count(b"well") == number + 1
            timers.pass_silence()
            assert not wire.is_closed
        protocol.data_received(HEAD[:9])
        timers.pass_silence()
        assert wire.is_closed

    asyncio.run(scenario())


def test_an_answer_that_is_not_taken_is_given_up_after_two_minutes() -> None:
    async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        protocol, wire, timers = _connection(ServerState(), never)
        protocol.data_received(HEAD)
        await asyncio.sleep(0)
        rounds = 0
        while not wire.is_closed:
            timers.pass_silence()
            rounds += 1
        assert rounds == serve.ANSWER_S / serve.SILENCE_S

    asyncio.run(scenario())


def test_one_station_cannot_take_every_connection() -> None:
    async def scenario() -> None:
        state = ServerState()
        wires = [_connection(state)[1] for _ in range(serve.MAX_CONNECTIONS_OF_A_SOURCE + 1)]
        assert [wire.is_closed for wire in wires].count(True) == 1
        assert wires[-1].is_closed
        assert not _connection(state, station="10.20.0.51")[1].is_closed

    asyncio.run(scenario())


def test_many_stations_that_hold_every_connection_keep_nobody_else_out() -> None:
    async def scenario() -> None:
        state = ServerState()
        greedy = [_connection(state, station="10.66.0.1") for _ in range(20)]
        others = [_connection(state, station=f"10.66.1.{n}") for n in range(serve.MAX_CONNECTIONS - 20)]
        greedy[0][0].data_received(HEAD)  # it is being answered
        for n in range(20):
            _, honest, _ = _connection(state, station=f"10.20.0.{n}")
            assert not honest.is_closed
        closed = [wire.is_closed for _, wire, _ in greedy]
        assert not closed[0], "an answer under way is not given up"
        assert closed.count(True) == 19
        assert [wire.is_closed for _, wire, _ in others].count(True) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("number", ["9" * 5000, "0", "x", "-1", "²"])
def test_what_is_no_number_of_a_grant_is_not_there(world: World, number: str) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        client, browser = Client(world), Browser(world)
        await client.sign_in()
        await browser.sign_in()
        admin = httpx2.AsyncClient(base_url=ORIGIN, transport=httpx2.ASGITransport(app=admin_app(world.gate)))
        page = await browser.get("/")
        fields = {"form_token": page.text.partition('name="form_token" value="')[2].partition('"')[0]}
        answers = [
            await client.ask("DELETE", f"/api/grants/{number}"),
            await browser.http.post(f"/grants/{number}/end", data=fields, headers={"origin": ORIGIN}),
            await admin.delete(f"/admin/grants/{number}"),
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 404]

    play(world, scenario)


@pytest.mark.parametrize("path", ["/", "/card", "/static/penstock.css", "/nowhere"])
def test_a_handshake_of_a_card_is_good_for_one_request_whatever_it_asks(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "sent_chain", lambda _: (b"a certificate",))

    async def scenario(world: World) -> None:
        head = f"GET {path} HTTP/1.1\r\nHost: gate.riverside.ot\r\n\r\n".encode()
        protocol, wire, _ = _connection(ServerState(), card_app(world.gate), kind=serve.CardProtocol)
        protocol.data_received(head + head)
        async with asyncio.timeout(30):
            while not wire.is_closed and wire.written.count(b"HTTP/1.1 ") < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert wire.written.count(b"HTTP/1.1 ") == 1
        assert wire.is_closed

    play(world, scenario)
