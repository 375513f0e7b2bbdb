"""Held requests over UDP, by tunnel and directly: a datagram each, and a repetition is no second request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from holding import Holding
from loopback import Doors
from proxying import GRANT, READ, READ_REPLY, SECOND, T0, WRITE, message
from test_datagram_side import asset, framed_from, opened, received
from test_held_flows import Ear, HoldingJudge
from test_inspect_roles import LineDecoder
from test_inspected_datagrams import Client, direct_grant, nothing, tunnel_grant

from penstock.model import HoldEnded, OperationHeld
from penstock.proxy.datagrams import framed
from penstock.proxy.held import PACE_US
from penstock.proxy.inspect_datagrams import DatagramInspection
from penstock.proxy.meter import Meters
from penstock.proxy.rates import Rates
from penstock.proxy.relay import Effect

Play = Callable[..., None]
HELD_WRITE = message(7, WRITE)
REFUSED = HELD_WRITE[:4] + b"\0\3\1\x86\1"


def test_directly_a_held_write_waits_and_goes_on_and_its_repetition_is_none_of_its_own(play: Play) -> None:
    async def scene(site: Doors) -> None:
        direct_grant(site)
        ear = Ear(site)
        with asset(site) as own, Client(site) as client:
            for _ in range(3):  # a client that heard nothing says it again
                client.send(HELD_WRITE)
            client.send(message(8, READ))
            held = await ear.until(1)
            site.hall.tick(site.clock.now_us())
            while not (isinstance(ear.told[-1], OperationHeld) and ear.told[-1].behind):
                await asyncio.sleep(0)
                site.hall.tick(site.clock.now_us())
            assert nothing(own)
            assert ear.decide(held)
            data, worker = await received(own)
            assert data == HELD_WRITE
            own.sendto(data, worker)
            assert await client.heard() == HELD_WRITE
            site.hall.tick(site.clock.now_us() + PACE_US)
            data, worker = await received(own)
            assert data == message(8, READ), "in a datagram of its own"
            own.sendto(message(8, READ_REPLY), worker)
            assert await client.heard() == message(8, READ_REPLY)
            assert nothing(own)
        assert len([each for each in ear.told if isinstance(each, HoldEnded)]) == 1
        assert {record.reason for record in site.records("operation.refused")} == {"too_many_in_flight"}

    play(scene, judge=HoldingJudge.of_site)


def test_through_the_tunnel_a_refused_write_is_answered_and_a_client_that_leaves_takes_back_the_next(
    play: Play,
) -> None:
    async def scene(site: Doors) -> None:
        tunnel_grant(site)
        ear = Ear(site)
        with asset(site) as own:
            reader, writer = await opened(site)
            writer.write(framed(HELD_WRITE))
            assert ear.decide(await ear.until(1), is_approved=False)
            assert await framed_from(reader) == REFUSED
            writer.write(framed(message(9, WRITE)))
            await ear.until(3)
            writer.close()
            ended = await ear.until(4)
            assert isinstance(ended, HoldEnded)
            assert (ended.hold, ended.ending, ended.reason) == (2, "withdrawn", "sender_gone")
            await site.until_flows(0)
            assert nothing(own)

    play(scene, judge=HoldingJudge.of_site)


@pytest.fixture
def flow(tmp_path: Path) -> Holding:
    """A flow of datagrams."""
    grant = replace(GRANT, transport="udp")
    found = Holding(tmp_path, LineDecoder(), grant)
    found.inspection = DatagramInspection(
        grant, found.decoder, found._judge, found.journal, found.flow, Rates(), Meters(), found.book
    )
    found.client, found.asset = found.inspection.from_client, found.inspection.from_asset
    return found


def test_an_answer_to_nothing_that_waited_ends_no_flow_of_datagrams(flow: Holding) -> None:
    for data in (b"Q1write\n", b"A5\n", b"Q2read\n"):
        flow.client(data, T0)
    assert flow.approve().ending is None
    assert flow.inspection.lapse(T0 + 9 * SECOND) is None
    assert not flow.inspection.is_holding
    assert flow.client(b"Q3read\n", T0 + 9 * SECOND).to_asset == b"Q3read\n"


def test_a_repetition_of_what_has_not_gone_on_yet_is_none_of_its_own_either(flow: Holding) -> None:
    for data in (b"Q1write\n", b"Q2read\n", b"Q3read\n"):
        flow.client(data, T0)
    flow.decide(is_approved=True)
    assert flow.client(b"Q3read\n", T0 + 1).to_client == b""
    effect, _ = flow.settled(Effect(), T0 + 1)
    assert effect.to_asset == b"Q2read\nQ3read\n"
    assert [record.reason for record in flow.records("operation.refused")] == ["too_many_in_flight"]


def test_each_step_gives_at_most_one_datagram_to_either_end(flow: Holding) -> None:
    for data in (b"Q1write\n", b"S2read\n", b"Q3execute\n", b"Q4config\n", b"Q5read\n"):
        flow.client(data, T0)
    found, now_us = [flow.decide(is_approved=True)], T0
    while flow.inspection.is_holding and not flow.book.pending:
        now_us += PACE_US
        found.append(flow.inspection.lapse(now_us))
    assert [each.to_asset for each in found if each is not None] == [b"Q1write\n", b"S2read\n", b""]
    found = [flow.decide(is_approved=False, hold=2, now_us=now_us)]
    while flow.inspection.is_holding:
        now_us += PACE_US
        found.append(flow.inspection.lapse(now_us))
    both = [(each.to_asset, each.to_client) for each in found if each is not None]
    assert both == [
        (b"", b"R3 hold_refused\n"),
        (b"+", b"R4 operation_not_allowed\n"),
        (b"Q5read\n", b""),
    ]
