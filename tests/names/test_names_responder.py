"""The responder's sockets on loopback: order, limits, and silence before there is a directory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import dns.message
import dns.rcode
import pytest

from penstock.model import Done, Failed, Hello, Invalid, Listener, NamesRefused, PublishNames
from penstock.names import Transport
from penstock.names import responder as module
from penstock.names.limits import BURST, MAX_TOLD
from penstock.names.responder import MAX_CONNECTIONS_OF_A_SOURCE, Responder

PUBLISHED = PublishNames(
    revision=1,
    domain="s.ot",
    gate_address="127.0.0.1",
    names=(("plc", "100.64.0.5"),),
    askers=(("127.0.0.1", ("plc",)),),
    networks=(),
)


def play(scenario: Callable[[Responder, int], Awaitable[None]], *, published: bool = True) -> None:
    """Run a scenario against a responder on a free port of loopback."""

    async def run() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        responder = Responder()
        await responder.listen(Listener(host="127.0.0.1", port=port))
        if published:
            assert await responder._receive(None, PUBLISHED) == Done()  # type: ignore[arg-type]  # no link is needed
        try:
            async with asyncio.timeout(20):
                await scenario(responder, port)
        finally:
            responder.close()

    asyncio.run(run())


def query(name: str = "plc.s.ot", number: int = 1) -> bytes:
    return dns.message.make_query(name, "A", id=number).to_wire()


def framed(wire: bytes) -> bytes:
    return len(wire).to_bytes(2, "big") + wire


async def read_answer(reader: asyncio.StreamReader) -> dns.message.Message:
    return dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))


def test_questions_that_are_sent_at_once_over_tcp_are_answered_in_order() -> None:
    async def scenario(_: Responder, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(framed(query(number=number)) for number in range(1, 201)))
        assert [(await read_answer(reader)).id for _ in range(200)] == list(range(1, 201))
        writer.close()

    play(scenario)


@pytest.mark.parametrize("sent", [framed(bytes(2000)), b"\xff\xff", framed(b"rubbish"), framed(query()[:20])])
def test_what_is_no_question_ends_the_connection(sent: bytes) -> None:
    async def scenario(_: Responder, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        rest = await reader.read()
        assert len(rest) <= 2 + 12, "a header at most"
        writer.close()

    play(scenario)


def test_one_source_has_a_few_connections_and_gets_one_again_when_it_gives_one_back() -> None:
    async def scenario(_: Responder, port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS_OF_A_SOURCE)]
        for reader, writer in held:
            writer.write(framed(query()))
            await read_answer(reader)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(framed(query()))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_answer(reader)
        held[0][1].close()
        await held[0][1].wait_closed()
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(framed(query()))
                assert (await read_answer(reader)).answer
                break
            except (ConnectionError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.01)
        for _, each in (*held, (reader, writer)):
            each.close()

    play(scenario)


def test_over_udp_a_flood_gets_fewer_answers_than_questions_and_half_of_the_rest_is_sent_to_tcp() -> None:
    async def scenario(responder: Responder, _: int) -> None:
        replies = [responder.reply_to_datagram(query(), "127.0.0.1") for _ in range(int(BURST) + 100)]
        answered = [wire for wire in replies if wire and dns.message.from_wire(wire).answer]
        cut = [wire for wire in replies if wire and not dns.message.from_wire(wire).answer]
        assert BURST <= len(answered) < BURST + 20
        assert 40 <= len(cut) <= 50
        stranger = [responder.reply_to_datagram(query(), "10.9.9.9") for _ in range(int(BURST) + 100)]
        assert all(dns.message.from_wire(wire).rcode() == dns.rcode.REFUSED for wire in stranger if wire)
        assert len([wire for wire in stranger if wire]) < BURST + 20

    play(scenario)


def test_before_there_is_a_directory_nobody_is_answered() -> None:
    async def scenario(responder: Responder, port: int) -> None:
        assert responder.reply_to_datagram(query(), "127.0.0.1") == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(framed(query()))
        assert await reader.read() == b""
        writer.close()

    play(scenario, published=False)


def test_refused_askers_are_counted_on_while_control_is_away_and_told_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long that is, what is remembered stays small and no refusal is lost."""
    monkeypatch.setattr(module, "TELL_EVERY_S", 0.001)

    class Control:
        is_open = True

        def __init__(self) -> None:
            self.told: list[NamesRefused] = []
            self.has_heard = asyncio.Event()

        def send(self, told: NamesRefused) -> None:
            self.told.append(told)
            self.has_heard.set()

    async def scenario(responder: Responder, _: int) -> None:
        telling, control = asyncio.create_task(responder.tell_refused()), Control()
        for number in range(2000):
            responder.reply(query(), f"10.0.{number // 250}.{number % 250}", Transport.UDP)
            if number % 100 == 0:
                await asyncio.sleep(0.003)
        responder._link = control  # type: ignore[assignment]  # all that is used of it
        await control.has_heard.wait()
        telling.cancel()
        assert sum(told.count for told in control.told) == 2000
        assert len(control.told) == MAX_TOLD + 1

    play(scenario)


def test_what_is_no_directory_leaves_the_one_in_force() -> None:
    async def scenario(responder: Responder, _: int) -> None:
        wrong = PublishNames(revision=2, domain="a..b", gate_address="", names=(), askers=(), networks=())
        for message in (wrong, Hello(role="worker")):
            assert isinstance(await responder._receive(None, message), Failed)  # type: ignore[arg-type]
        assert dns.message.from_wire(responder.reply_to_datagram(query(), "127.0.0.1")).answer

    play(scenario)


def test_an_address_that_a_resolver_has_already_is_said_so() -> None:
    async def scenario(_: Responder, port: int) -> None:
        with pytest.raises(Invalid, match="another resolver may listen there"):
            await Responder().listen(Listener(host="127.0.0.1", port=port))

    play(scenario)
