"""Held requests on real connections: the client waits, and who is gone has nothing executed any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from loopback import Doors, certificate
from proxying import READ, SECOND, WRITE, message

from penstock.bus.histogram import quantile_us
from penstock.model import (
    BarSources,
    Decision,
    HoldDecided,
    HoldEnded,
    OperationClass,
    OperationHeld,
    PublishRevision,
    Reason,
    Request,
    Site,
    WithdrawGrant,
)

Play = Callable[..., None]
HELD_WRITE = message(7, WRITE)
HOLD_S = 3600


class HoldingJudge:
    """Reads are free, writes are held for an hour; in revision 9 nothing is allowed."""

    def __init__(self, revision: int) -> None:
        self._revision = revision

    @classmethod
    def of_site(cls, _site: Site, revision: int) -> HoldingJudge:
        return cls(revision)

    def judge(self, request: Request, _spent: Callable[[str, int], int]) -> Decision:
        assert request.operation is not None
        is_write = OperationClass.WRITE in request.operation.classes
        is_allowed = self._revision < 9
        return Decision(
            is_allowed=is_allowed,
            reason=Reason.ALLOWED if is_allowed else Reason.OPERATION_NOT_ALLOWED,
            revision=self._revision,
            conduit="sets",
            hold_s=HOLD_S if is_write and is_allowed else None,
        )


class Plant:
    """An asset that notes what arrives and says it back, which is how a controller confirms a write."""

    def __init__(self) -> None:
        self.arrived = b""
        self.is_closed = asyncio.Event()
        self.end = lambda: None

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.end = writer.close
        try:
            while data := await reader.read(65536):
                self.arrived += data
                writer.write(data)
        except ConnectionError:
            pass
        self.is_closed.set()
        writer.close()


class Ear:
    """What control hears of a worker."""

    def __init__(self, site: Doors) -> None:
        self.site = site
        self.told: list[OperationHeld | HoldEnded] = []
        self._heard = asyncio.Event()
        site.hall.holds.tell = self._hear

    def _hear(self, message: OperationHeld | HoldEnded) -> None:
        self.told.append(message)
        self._heard.set()

    async def until(self, count: int) -> OperationHeld | HoldEnded:
        while len(self.told) < count:
            self._heard.clear()
            await self._heard.wait()
        return self.told[count - 1]

    def decide(self, held: OperationHeld | HoldEnded, *, is_approved: bool = True) -> bool:
        decided = HoldDecided(
            flow=held.flow, hold=held.hold, is_approved=is_approved, decided_by="otto@local", why="seen"
        )
        return self.site.hall.decide(decided)


def played(play: Play, scene: Callable[[Doors, Plant, Ear], object]) -> None:
    """The scene with its asset, in front of a worker that holds writes."""
    plant = Plant()

    async def main(site: Doors) -> None:
        await scene(site, plant, Ear(site))  # type: ignore[misc]  # a coroutine function

    play(main, talk=plant.talk, judge=HoldingJudge.of_site)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def opened(site: Doors, way: str) -> Ends:
    if way == "direct":
        site.grant()
        return await site.connect()
    site.tunnel_grant(certificate(site.keys, "client"))
    reader, writer = await site.tunnel()
    writer.write(b'{"grant": 12}\n')
    assert await reader.readline() == b'{"ok": true}\n'
    return reader, writer


ways = pytest.mark.parametrize("way", ["direct", "tunnel"])


@ways
def test_a_client_waits_and_then_has_the_assets_answer_and_the_wait_is_no_latency(play: Play, way: str) -> None:
    async def scene(site: Doors, plant: Plant, ear: Ear) -> None:
        reader, writer = await opened(site, way)
        writer.write(message(1, READ))
        assert await reader.readexactly(12) == message(1, READ)
        writer.write(HELD_WRITE)
        held = await ear.until(1)
        assert isinstance(held, OperationHeld)
        assert held.data == HELD_WRITE.hex()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.readexactly(1)
        assert plant.arrived == message(1, READ)
        assert ear.decide(held)
        assert await reader.readexactly(12) == HELD_WRITE
        assert plant.arrived == message(1, READ) + HELD_WRITE
        assert not ear.decide(held), "it is decided"
        (measured,) = site.hall.meters.take(site.clock.now_us())
        assert sum(measured.total.values()) == 2
        assert quantile_us(measured.total, 1.0) < 300_000

    played(play, scene)


@ways
def test_a_client_that_is_refused_hears_it_and_goes_on(play: Play, way: str) -> None:
    async def scene(site: Doors, plant: Plant, ear: Ear) -> None:
        reader, writer = await opened(site, way)
        writer.write(HELD_WRITE + message(8, READ))
        assert ear.decide(await ear.until(1), is_approved=False)
        assert await reader.readexactly(9 + 12) == HELD_WRITE[:4] + b"\0\3\1\x86\1" + message(8, READ)
        assert plant.arrived == message(8, READ)

    played(play, scene)


@ways
def test_what_was_held_is_not_executed_after_its_client_has_gone(play: Play, way: str) -> None:
    async def scene(site: Doors, plant: Plant, ear: Ear) -> None:
        _, writer = await opened(site, way)
        writer.write(HELD_WRITE + message(8, READ))
        held = await ear.until(1)
        writer.close()
        ended = await ear.until(2)
        assert isinstance(ended, HoldEnded)
        assert (ended.ending, ended.reason) == ("withdrawn", "sender_gone")
        assert not ear.decide(held)
        await plant.is_closed.wait()
        assert plant.arrived == b""
        await site.until_flows(0)
        await site.until_record("flow.closed")
        assert [r.operation for r in site.records("operation.refused")] == ["modbus.write", "modbus.read"]

    played(play, scene)


def test_a_client_that_sends_no_more_takes_back_what_waits_and_still_has_its_earlier_answers(play: Play) -> None:
    """Nobody can tell a half-closed connection from one that is closed, and dead hands must not move anything."""

    async def scene(site: Doors, plant: Plant, ear: Ear) -> None:
        reader, writer = await opened(site, "direct")
        await site.until_flows(1)
        writer.write(message(1, READ) + HELD_WRITE)
        await ear.until(1)
        writer.write_eof()
        assert await reader.read() == message(1, READ)
        ended = await ear.until(2)
        assert isinstance(ended, HoldEnded)
        assert ended.ending == "withdrawn"
        await plant.is_closed.wait()
        assert plant.arrived == message(1, READ)

    played(play, scene)


def test_an_asset_that_closes_its_connection_meanwhile_ends_the_wait(play: Play) -> None:
    """Many controllers close what is idle for a minute."""

    async def scene(site: Doors, plant: Plant, ear: Ear) -> None:
        reader, writer = await opened(site, "direct")
        writer.write(message(1, READ))
        await reader.readexactly(12)
        writer.write(HELD_WRITE)
        held = await ear.until(1)
        plant.end()
        ended = await ear.until(2)
        assert isinstance(ended, HoldEnded)
        assert (ended.ending, ended.reason) == ("withdrawn", "asset_gone")
        assert not ear.decide(held)
        assert await reader.read() == b""
        assert plant.arrived == message(1, READ)

    played(play, scene)


@pytest.mark.parametrize("end", ["revoked", "isolated", "drained", "stopped"])
def test_what_was_held_dies_with_its_grant_its_tunnel_and_its_worker(play: Play, end: str) -> None:
    async def scene(site: Doors, plant: Plant, ear: Ear) -> None:
        reader, writer = await opened(site, "tunnel")
        writer.write(HELD_WRITE)
        held = await ear.until(1)
        now_us = site.clock.now_us()
        match end:
            case "revoked":
                site.hall.publish(WithdrawGrant(number=12, reason="grant_revoked"))
            case "isolated":
                site.hall.publish(BarSources(networks=("127.0.0.0/8",)))
            case "drained":
                site.hall.drop_all("stood still", now_us)
            case _:
                site.hall.end_all("the worker stopped", now_us)
        assert not ear.decide(held)
        ended = await ear.until(2)
        assert isinstance(ended, HoldEnded)
        reasons = {"revoked": "grant_revoked", "isolated": "isolated"}
        reason = reasons.get(end, "inspection_unavailable")
        assert (ended.ending, ended.reason) == ("withdrawn", reason)
        assert site.hall.holds.pending == ()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        await plant.is_closed.wait()
        assert plant.arrived == b""
        assert [r.reason for r in site.records("operation.refused")] == [reason]

    played(play, scene)


def test_a_flow_that_waits_is_not_idle_and_its_time_to_wait_ends_with_an_answer(play: Play) -> None:
    async def scene(site: Doors, plant: Plant, ear: Ear) -> None:
        site.grant(idle_s=7)
        reader, writer = await site.connect()
        writer.write(HELD_WRITE)
        held = await ear.until(1)
        assert isinstance(held, OperationHeld)
        for after_s in (1, 8, 1000, 3599):
            site.hall.tick(held.at_us + after_s * SECOND)
        assert len(site.hall.flows) == 1
        site.hall.tick(held.until_us)
        assert await reader.readexactly(9) == HELD_WRITE[:4] + b"\0\3\1\x86\6"
        assert len(site.hall.flows) == 1
        assert plant.arrived == b""
        site.hall.tick(held.until_us + 8 * SECOND)
        assert not site.hall.flows, "after that it is idle like any other"

    played(play, scene)


def test_a_new_revision_refuses_what_it_does_not_allow_any_more(play: Play) -> None:
    async def scene(site: Doors, plant: Plant, ear: Ear) -> None:
        reader, writer = await opened(site, "direct")
        writer.write(HELD_WRITE)
        held = await ear.until(1)
        site.hall.publish(PublishRevision(revision=9, site=Site(name="s", domain="s.ot", overlay="127.0.0.0/8")))
        site.hall.tick(site.clock.now_us())
        assert await reader.readexactly(9) == HELD_WRITE[:4] + b"\0\3\1\x86\1"
        ended = await ear.until(2)
        assert isinstance(ended, HoldEnded)
        assert ended.ending == "not_allowed"
        assert not ear.decide(held)
        assert plant.arrived == b""

    played(play, scene)


def test_a_decision_reaches_the_flow_that_it_is_about_and_no_other(play: Play) -> None:
    async def scene(site: Doors, plant: Plant, ear: Ear) -> None:
        site.grant()
        ends = [await site.connect() for _ in range(3)]
        for number, (_, writer) in enumerate(ends):
            writer.write(message(number, WRITE))
            await ear.until(number + 1)
        second = next(each for each in ear.told if isinstance(each, OperationHeld) and each.data.startswith("0001"))
        assert ear.decide(second)
        assert await ends[1][0].readexactly(12) == message(1, WRITE)
        assert plant.arrived == message(1, WRITE)
        assert len(site.hall.holds.pending) == 2

    played(play, scene)
