"""Inspected UDP services, by tunnel and directly: what passes, what is answered by the gate, and what ends nothing."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Self

import pytest
from loopback import Doors, certificate
from proxying import GRANT, READ, READ_REPLY, STOP, WRITE, message
from test_datagram_side import Play, asset, framed_from, opened, received, rest_of
from test_held_flows import Ear, HoldingJudge

from penstock.model import Grant, PublishGrant, WithdrawGrant
from penstock.proxy import datagram_door
from penstock.proxy.datagram_flow import MAX_IN_A_TURN
from penstock.proxy.datagrams import framed
from penstock.proxy.inspect_datagrams import MAX_INSPECTED_BYTES
from penstock.proxy.office import connected_datagrams
from penstock.proxy.relay import End, Ending

ILLEGAL = bytes.fromhex("0000 0003 01 88 01")


class Client:
    """A client's UDP socket in front of the direct door."""

    def __init__(self, site: Doors) -> None:
        self.site = site
        self.own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.own.bind(("127.0.0.1", 0))
        self.own.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.own.close()

    def send(self, data: bytes) -> None:
        self.own.sendto(data, ("127.0.0.1", self.site.direct_datagrams))

    async def heard(self) -> bytes:
        """The next datagram, which must come from where the client asked."""
        data, origin = await received(self.own)
        assert origin == ("127.0.0.1", self.site.direct_datagrams)
        return data


def direct_grant(site: Doors, **changes: object) -> Grant:
    fields: dict[str, object] = {"transport": "udp", "port": 502, "overlay_port": site.direct_datagrams}
    return site.grant(**(fields | changes))


def tunnel_grant(site: Doors, **changes: object) -> Grant:
    return site.tunnel_grant(certificate(site.keys, "client"), **({"transport": "udp", "port": 502} | changes))


async def answered(own: socket.socket, number: int) -> tuple[str, int]:
    """The asset gets a read with this number, and answers it."""
    data, worker = await received(own)
    assert data == message(number, READ)
    own.sendto(message(number, READ_REPLY), worker)
    return worker


def nothing(own: socket.socket) -> bool:
    try:
        own.recv(100)
    except BlockingIOError:
        return True
    return False


def test_through_the_tunnel_reads_pass_and_what_is_forbidden_is_answered_by_the_gate(play: Play) -> None:
    async def scene(site: Doors) -> None:
        tunnel_grant(site)
        with asset(site) as own:
            reader, writer = await opened(site)
            writer.write(framed(message(1, READ)) + framed(message(2, STOP)) + framed(message(3, READ)))
            await answered(own, 1)
            await answered(own, 3)
            found = sorted([await framed_from(reader) for _ in range(3)])
            assert found == sorted([message(1, READ_REPLY), message(2, ILLEGAL), message(3, READ_REPLY)])
            assert nothing(own)
            writer.close()
            closed = await site.until_record("flow.closed")
        assert (closed.detail["operations"], closed.detail["refused"]) == (2, 1)
        (refused,) = site.records("operation.refused")
        assert (refused.reason, refused.detail["data"]) == ("operation_not_allowed", message(2, STOP).hex())
        assert [row[3] for record in site.records("operations") for row in record.detail["rows"]] == [0, 0]

    play(scene)


def test_directly_reads_pass_and_what_is_forbidden_is_answered_by_the_gate(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        with asset(site) as own, Client(site) as client:
            for number in range(5):
                client.send(message(number, READ))
                await answered(own, number)
                assert await client.heard() == message(number, READ_REPLY)
            client.send(message(9, STOP))
            assert await client.heard() == message(9, ILLEGAL)
            assert nothing(own)
            assert len(site.hall.flows) == 1
            name = client.own.getsockname()
        (flow,) = site.records("flow.opened")
        assert (flow.detail["way"], flow.detail["transport"], flow.detail["port"]) == ("direct", "udp", 502)
        assert flow.detail["source"] == f"{name[0]}:{name[1]}"

    play(scene)


def test_two_clients_of_one_address_and_port_get_their_own_answers(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        with asset(site) as own, Client(site) as one, Client(site) as other:
            one.send(message(1, READ))
            other.send(message(2, READ))
            workers = [await answered(own, number) for number in (1, 2)]
            assert workers[0] != workers[1]
            assert await one.heard() == message(1, READ_REPLY)
            assert await other.heard() == message(2, READ_REPLY)
            assert site.own_ports == [True, False], "one of them asks from the asset's own port number"

    play(scene)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", "malformed"),
        (message(1, READ)[:-1], "malformed"),
        (message(1, READ) + message(2, READ), "malformed"),
        (b"GET / HTTP/1.1\r\n\r\n", "wrong_protocol"),
        (bytes(MAX_INSPECTED_BYTES + 900), "malformed"),
    ],
    ids=["empty", "short", "two", "http", "long"],
)
def test_a_datagram_that_says_nothing_is_kept_back_alone(play: Play, broken: bytes, reason: str) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        with asset(site) as own, Client(site) as client:
            for number, data in ((1, broken), (2, broken)):
                client.send(data)
                client.send(message(number, READ))
                await answered(own, number)
                assert await client.heard() == message(number, READ_REPLY)
        record = await site.until_record("operation.refused")
        assert (record.reason, record.detail["size"]) == (reason, min(len(broken), MAX_INSPECTED_BYTES + 1))
        (flow,) = site.hall.flows
        assert (flow.relay.frames, flow.relay.refused) == (2, 2)

    play(scene)


def test_an_answer_that_comes_twice_or_to_nothing_is_kept_back_and_ends_nothing(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        with asset(site) as own, Client(site) as client:
            client.send(message(1, READ))
            worker = await answered(own, 1)
            own.sendto(message(1, READ_REPLY), worker)
            own.sendto(message(7, READ_REPLY), worker)
            own.sendto(b"not modbus", worker)
            client.send(message(2, READ))
            await answered(own, 2)
            assert [await client.heard() for _ in range(2)] == [message(1, READ_REPLY), message(2, READ_REPLY)]
            assert nothing(client.own)
        assert (await site.until_record("operation.refused")).detail[
            "why"
        ] == "the asset answered what it was not asked"

    play(scene)


def test_answers_may_overtake_each_other(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        with asset(site) as own, Client(site) as client:
            for number in (1, 2, 3):
                client.send(message(number, READ))
            workers = {(await received(own))[1] for _ in range(3)}
            assert len(workers) == 1
            for number in (3, 1, 2):
                own.sendto(message(number, READ_REPLY), *workers)
            assert [await client.heard() for _ in range(3)] == [message(n, READ_REPLY) for n in (3, 1, 2)]
        assert site.records("operation.refused") == []

    play(scene)


@pytest.mark.parametrize(
    "changes",
    [{"number": 13}, {"is_inspected": False}, {"transport": "tcp"}, {"overlay": "127.0.0.9"}, {"overlay_port": 1}],
    ids=["number", "not inspected", "tcp", "address", "port"],
)
def test_without_a_grant_that_leads_there_nothing_is_dialled_and_it_is_on_record(
    play: Play, changes: dict[str, object]
) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site, **changes)
        with asset(site), Client(site) as client:
            client.send(message(1, READ))
            record = await site.until_record("flow.refused")
        assert (record.reason, record.detail["destination"]) == ("grant_unknown", f"127.0.0.1:{site.direct_datagrams}")
        assert (site.dialled, site.hall.flows) == ([], set())

    play(scene)


def test_a_withdrawn_grant_ends_the_flow_and_later_datagrams_open_none(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        with asset(site) as own, Client(site) as client:
            client.send(message(1, READ))
            worker = await answered(own, 1)
            assert await client.heard() == message(1, READ_REPLY)
            site.hall.publish(WithdrawGrant(number=12, reason="grant_revoked"))
            assert (await site.until_record("flow.closed")).reason == "grant_revoked"
            client.send(message(2, READ))
            own.sendto(message(1, READ_REPLY), worker)
            assert (await site.until_record("flow.refused")).reason == "grant_unknown"
            assert nothing(own)
            assert nothing(client.own)
            assert site.hall.own_ports == set()

    play(scene)


def test_what_comes_under_another_grant_is_another_flow(play: Play) -> None:
    """The kernel's mark says under which; the earlier flow of the same ends is over."""

    async def scene(site: Doors) -> None:
        first = direct_grant(site)
        with asset(site) as own, Client(site) as client:
            client.send(message(1, READ))
            await answered(own, 1)
            assert await client.heard() == message(1, READ_REPLY)
            site.hall.publish(PublishGrant(grant=replace(first, number=13)))
            site.mark = 13
            client.send(message(2, READ))
            await answered(own, 2)
            assert await client.heard() == message(2, READ_REPLY)
        assert [flow.grant.number for flow in site.hall.flows] == [13]
        assert (await site.until_record("flow.closed")).detail["ending"] == "client"

    play(scene)


def test_an_expired_grant_sends_nothing_more(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site, expires_at_us=site.clock.now_us() + 3600_000_000)
        with asset(site) as own, Client(site) as client:
            client.send(message(1, READ))
            worker = await answered(own, 1)
            assert await client.heard() == message(1, READ_REPLY)
            site.clock.offset_ns += 3601 * 10**9
            client.send(message(2, READ))
            own.sendto(message(1, READ_REPLY), worker)
            assert (await site.until_record("flow.closed")).reason == "grant_expired"
            assert nothing(own)
            assert nothing(client.own)

    play(scene)


def test_a_clock_that_is_set_ends_no_flow_of_datagrams(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        with asset(site) as own, Client(site) as client:
            client.send(message(1, READ))
            await answered(own, 1)
            assert await client.heard() == message(1, READ_REPLY)
            site.hall.tick(site.clock.now_us())
            site.clock.offset_ns += 3600 * 10**9
            site.hall.stepped(3600_000_000)
            site.hall.tick(site.clock.now_us())
            assert len(site.hall.flows) == 1

    play(scene)


def test_one_client_has_so_many_flows_and_the_longest_silent_one_makes_room(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_door, "MAX_FLOWS_OF_SOURCE", 3)

    async def scene(site: Doors) -> None:
        direct_grant(site)
        clients = [Client(site) for _ in range(5)]
        with asset(site) as own:
            for number, client in enumerate(clients[:3]):
                client.send(message(number, READ))
                await answered(own, number)
            clients[3].send(message(3, READ))
            record = await site.until_record("flow.refused")
            assert (record.reason, record.grant, len(site.hall.flows)) == ("inspection_unavailable", 12, 3)
            site.clock.offset_ns += datagram_door.SILENT_US * 1000
            clients[0].send(message(0, READ))
            await answered(own, 0)
            clients[4].send(message(4, READ))
            await answered(own, 4)
            assert await clients[4].heard() == message(4, READ_REPLY)
            assert {int(flow.source.rpartition(":")[2]) for flow in site.hall.flows} == {
                clients[number].own.getsockname()[1] for number in (0, 2, 4)
            }
        for client in clients:
            client.own.close()

    play(scene)


def test_a_flood_of_one_client_keeps_no_other_one_waiting(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        with asset(site) as own, Client(site) as loud, Client(site) as quiet:
            for client, number in ((loud, 1), (quiet, 2)):
                client.send(message(number, READ))
                await answered(own, number)
                assert await client.heard() == message(number, READ_REPLY)
            for number in range(3000):
                loud.send(message(number & 0xFFFF, STOP))
            quiet.send(message(5, READ))
            flow = next(flow for flow in site.hall.flows if flow.source.endswith(f":{loud.own.getsockname()[1]}"))
            for _ in range(3):
                await asyncio.sleep(0)
            assert 0 < flow.relay.refused <= 3 * MAX_IN_A_TURN, "it is judged a few at a time"
            await answered(own, 5)
            assert await quiet.heard() == message(5, READ_REPLY)
            flow.end(Ending(End.GATE))
            closed = await site.until_record("flow.closed")
        assert closed.detail["dropped_to_asset"] > 1000, "what its own buffer could not hold is counted"

    play(scene)


def test_an_asset_that_cannot_be_dialled_leaves_nothing_behind(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        with Client(site) as client:
            client.send(message(1, READ))
            assert (await site.until_record("flow.closed")).detail["ending"] == "asset_unreachable"
        assert (site.hall.flows, site.hall.own_ports) == (set(), set())

    play(scene, dial_error=OSError(113, "no way"))


@pytest.mark.parametrize("protocol", ["s7comm", "nobodys"])
def test_what_nothing_here_reads_is_not_forwarded(play: Play, protocol: str) -> None:
    """A service that is to be inspected, over a transport that its protocol is not spoken over."""

    async def scene(site: Doors) -> None:
        tunnel_grant(site, protocol=protocol)
        with asset(site) as own:
            reader, writer = await site.tunnel()
            writer.write(b'{"grant": 12}\n' + framed(message(1, READ)))
            assert await rest_of(reader) == b'{"ok": true}\n'
            closed = await site.until_record("flow.closed")
            assert closed.reason == "inspection_unavailable"
            assert nothing(own)

    play(scene)


def test_a_rate_is_kept_whatever_the_number_of_flows(play: Play) -> None:
    """Three writes a minute: a client that takes a new port for each has no more."""

    async def scene(site: Doors) -> None:
        direct_grant(site)
        clients = [Client(site) for _ in range(4)]
        with asset(site) as own:
            for number, client in enumerate(clients):
                client.send(message(number, WRITE))
            assert {(await received(own))[0] for _ in range(3)} == {message(number, WRITE) for number in range(3)}
            assert await clients[3].heard() == message(3, bytes.fromhex("0000 0003 01 86 06"))
            assert nothing(own)
        for client in clients:
            client.own.close()

    play(scene)


def test_a_held_write_waits_for_a_second_person_and_nothing_overtakes_it(play: Play) -> None:
    """What the client repeats is no second write; what it asks meanwhile goes on behind it, datagram by datagram."""

    async def scene(site: Doors) -> None:
        ear = Ear(site)
        direct_grant(site)
        with asset(site) as own, Client(site) as client:
            for data in (message(1, WRITE), message(2, READ), message(1, WRITE), message(3, READ)):
                client.send(data)
            held = await ear.until(1)
            assert nothing(own)
            assert not ear.decide(replace(held, flow=held.flow + 1))
            assert ear.decide(held)
            data, worker = await received(own)
            assert data == message(1, WRITE)
            own.sendto(data, worker)
            assert await client.heard() == message(1, WRITE)
            for number in (2, 3):
                site.hall.tick(site.clock.now_us())
                await answered(own, number)
                assert await client.heard() == message(number, READ_REPLY)
            assert nothing(own)

    play(scene, judge=HoldingJudge.of_site)


def test_a_held_write_that_is_refused_is_answered_in_the_protocol_s_words(play: Play) -> None:
    async def scene(site: Doors) -> None:
        ear = Ear(site)
        direct_grant(site)
        with asset(site) as own, Client(site) as client:
            client.send(message(1, WRITE))
            assert ear.decide(await ear.until(1), is_approved=False)
            assert (await client.heard())[7] == WRITE[5] | 0x80
            assert nothing(own)

    play(scene, judge=HoldingJudge.of_site)


def test_what_came_before_the_gate_s_own_port_heard_one_asset_only_is_nobody_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between being bound and being connected a socket hears everybody."""
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    class Overheard(socket.socket):
        def connect(self, address: object) -> None:
            for _ in range(3):
                stranger.sendto(message(1, READ_REPLY), ("127.0.0.1", self.getsockname()[1]))
            super().connect(address)  # type: ignore[arg-type]

    with stranger, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind(("127.0.0.3", 0))
        port = own.getsockname()[1]
        monkeypatch.setattr("penstock.proxy.office.socket.socket", Overheard)
        with connected_datagrams(replace(GRANT, underlay="127.0.0.3"), port, from_own_port=True) as dialled:
            assert dialled.getsockname()[1] == port
            assert nothing(dialled)
            own.sendto(b"own", ("127.0.0.1", port))
            assert dialled.recv(16) == b"own"
