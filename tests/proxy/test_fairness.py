"""One flow must not take from the others what belongs to all: time, places, and the memory behind a closed door."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from loopback import doors
from proxying import GRANT, READ, STOP, T0, Inspected, PlainJudge, message, safety_grant

from penstock.bus import Journal, RingWriter
from penstock.model import (
    Decision,
    Grant,
    PublishGrant,
    PublishRevision,
    Reason,
    ReplaceGrants,
    Request,
    Site,
    Unavailable,
)
from penstock.proxy import hall as hall_module
from penstock.proxy import server
from penstock.proxy.hall import Hall
from penstock.proxy.relay import Ending
from penstock.proxy.worker import STALL_S, _next_beat_s
from penstock.wire import NAMED
from penstock.wire.protocol import LEAST_PORTION_BYTES

SITE = Site(name="s", domain="s.ot", overlay="127.0.0.0/8")


def new_hall(folder: Path) -> Hall:
    hall = Hall(Journal(RingWriter(folder / "worker-1.ring", 1 << 15), T0), PlainJudge.of_site)
    hall.publish(PublishRevision(revision=3, site=SITE))
    return hall


class OpenFlow:
    """A flow that only takes a place."""

    def __init__(self, hall: Hall, grant: Grant) -> None:
        self.grant = grant
        self.relay, _ = hall.relay(grant, "192.168.10.12:40001", T0, "direct")
        hall.flows.add(self)

    def tick(self, now_us: int) -> None: ...

    def end(self, ending: Ending) -> None: ...


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_flood_of_refused_requests_lets_the_event_loop_turn(tmp_path: Path, factory: object) -> None:
    """Judging all that a client can send at once would take longer than the dead-man switch waits."""

    async def main() -> None:
        async with doors(tmp_path) as site:
            site.grant()
            reader, writer = await site.connect()
            turns, count = 0, 4000
            writer.write(b"".join(message(number, STOP) for number in range(count)))
            answers = asyncio.create_task(reader.readexactly(9 * count))
            while not answers.done():
                await asyncio.sleep(0)
                turns += 1
            assert [int.from_bytes(answers.result()[at : at + 2]) for at in range(0, 9 * count, 9)] == [*range(count)]
            assert turns > 12 * count / 512 / 2
            writer.write(message(1, READ))
            assert (await reader.readexactly(13))[:2] == b"\0\1"

    with asyncio.Runner(loop_factory=factory) as runner:  # type: ignore[arg-type]  # either factory
        runner.run(main())


def test_a_flood_with_an_end_is_answered_to_its_last_request(tmp_path: Path) -> None:
    async def main() -> None:
        async with doors(tmp_path) as site:
            site.grant()
            reader, writer = await site.connect()
            writer.write(b"".join(message(number, STOP) for number in range(2000)))
            writer.write_eof()
            assert len(await reader.read()) == 9 * 2000
            await site.until_flows(0)

    asyncio.run(main())


def test_one_grant_cannot_take_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hall_module, "MAX_FLOWS_OF_GRANT", 3)
    hall = new_hall(tmp_path)
    for _ in range(3):
        assert hall.has_room(GRANT)
        OpenFlow(hall, GRANT)
    assert not hall.has_room(GRANT)
    assert hall.has_room(replace(GRANT, number=13))


def test_safety_critical_flows_have_places_that_nobody_else_can_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hall_module, "MAX_FLOWS", 6)
    monkeypatch.setattr(hall_module, "RESERVED_FLOWS", 2)
    hall = new_hall(tmp_path)
    for number in range(20, 24):
        OpenFlow(hall, replace(GRANT, number=number))
    assert not hall.has_room(GRANT)
    for _ in range(2):
        assert hall.has_room(safety_grant())
        OpenFlow(hall, safety_grant())
    assert not hall.has_room(safety_grant())


def test_a_closed_flow_whose_client_does_not_read_lets_go_of_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever never reads could use up the gate's descriptors, with no flow to be counted."""
    monkeypatch.setattr(server, "CLOSE_TIMEOUT_S", 0.2)
    sides: list[server.ClientSide] = []

    class Watched(server.ClientSide):
        def connection_lost(self, error: Exception | None) -> None:
            sides.append(self)
            super().connection_lost(error)

    monkeypatch.setattr("penstock.proxy.doors.ClientSide", Watched)

    async def main() -> None:
        async with doors(tmp_path) as site:
            site.grant()
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", site.direct_port))
                await site.until_flows(1)
                (flow,) = site.hall.flows
                answering = flow._client.get_extra_info("socket")  # type: ignore[attr-defined]
                answering.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # else it takes megabytes of answers
                count = 20_000
                left = b"".join(message(number, STOP) for number in range(count))
                turns_full = 0
                while turns_full < 100:  # what the kernels still take would make room again
                    assert flow.relay.refused < count, "the gate's end is never full"
                    with suppress(BlockingIOError):
                        left = left[client.send(left) :]
                    await asyncio.sleep(0)
                    turns_full = turns_full + 1 if flow._is_client_full else 0  # type: ignore[attr-defined]
                site.hall.end_all("over", site.clock.now_us())
                async with asyncio.timeout(3):
                    while not sides:  # noqa: ASYNC110 - there is no event to wait for
                        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_live_flow_is_judged_by_what_a_new_revision_says_of_its_subject(tmp_path: Path) -> None:
    """A grant that is carried over takes its subject from the new revision; the flow must not keep the old one."""

    class RoleJudge(PlainJudge):
        def judge(self, request: Request, _spent: object) -> Decision:
            is_allowed = request.subject.role == "scada"
            return Decision(
                is_allowed=is_allowed,
                reason=Reason.ALLOWED if is_allowed else Reason.SUBJECT_NOT_NAMED,
                revision=3,
                conduit="polls",
            )

    hall = Hall(Journal(RingWriter(tmp_path / "worker-1.ring", 1 << 15), T0), RoleJudge.of_site)
    hall.publish(PublishRevision(revision=3, site=SITE))
    hall.publish(PublishGrant(grant=GRANT))
    flow = OpenFlow(hall, GRANT)
    assert flow.relay.from_client(message(1, READ), T0).to_asset
    changed = replace(GRANT, subject=replace(GRANT.subject, role="historian"), revision=4)
    hall.publish(PublishRevision(revision=4, site=SITE))
    hall.publish(ReplaceGrants(grants=(changed,)))
    effect = flow.relay.from_client(message(2, READ), T0)
    assert not effect.to_asset
    assert effect.to_client


def test_a_worker_that_stood_still_longer_than_the_dead_man_switch_waits_ends() -> None:
    assert _next_beat_s(None, 100.0) == 100.0
    assert _next_beat_s(100.0, 100.0 + STALL_S - 0.01) == 100.0 + STALL_S - 0.01
    with pytest.raises(Unavailable, match=r"stood still for 1\.6 s"):
        _next_beat_s(100.0, 101.6)


def test_the_number_of_a_meaning_never_leaves_its_place_in_the_journal(tmp_path: Path) -> None:
    """The 16,777,217th different operation of one flow must not be recorded as another flow's."""
    scene = Inspected(tmp_path)
    scene.inspection._indexes = 0xFF_FFFF
    for number, address in enumerate((1, 2, 3)):
        request = message(number, bytes.fromhex("0000 0006 01 03") + address.to_bytes(2) + b"\0\2")
        assert scene.client(request, T0).to_asset == request
    scene.inspection.settle(T0)
    (record,) = scene.records("operations")
    firsts = [line["targets"][0]["first"] for line in record.detail["operations"]]
    assert (firsts, record.detail["flow"]) == ([1, 2, 3], scene.flow.number)


@pytest.mark.parametrize("name", ["modbus", "s7comm", "opcua"])
def test_a_turn_takes_as_many_bytes_as_the_protocol_says(tmp_path: Path, name: str) -> None:
    relay, _ = new_hall(tmp_path).relay(replace(GRANT, protocol=name), "192.168.10.12:40001", T0, "direct")
    assert relay.portion_bytes == NAMED[name].portion_bytes >= LEAST_PORTION_BYTES
