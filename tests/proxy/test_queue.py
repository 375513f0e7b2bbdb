"""Flows that wait for their asset, over real sockets, direct and through the tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from loopback import Doors, certificate, doors
from proxying import READ, READ_REPLY, message

from penstock.model import Asset, BarSources, Limits, PublishRevision, Record, Site, WithdrawGrant

Scene = Callable[[Doors], Awaitable[None]]
ASSET = Asset(name="plc-filter-1", zone="z", role="plc", address="192.168.10.50", overlay="127.0.0.1")


def play(folder: Path, scene: Scene) -> None:
    async def main() -> None:
        async with doors(folder) as site:
            await scene(site)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def limit(site: Doors, **limits: int) -> None:
    """Put these limits on the asset in force."""
    asset = Asset(
        name=ASSET.name,
        zone=ASSET.zone,
        role=ASSET.role,
        address=ASSET.address,
        overlay=ASSET.overlay,
        limits=Limits(**limits),  # type: ignore[arg-type]  # fields by name
    )
    site.hall.publish(
        PublishRevision(revision=4, site=Site(name="s", domain="s", overlay="127.0.0.0/8", assets=(asset,)))
    )


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(message(number, READ))
    assert await reader.readexactly(13) == message(number, READ_REPLY)


async def refused(site: Doors) -> Record:
    site.hall.tick(site.clock.now_us())
    return await site.until_record("flow.refused")


async def until_waiting(site: Doors, count: int) -> None:
    async with asyncio.timeout(10):
        while site.hall.slots.waiting != count:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def test_one_connection_too_many_is_reset_and_recorded_and_the_asset_never_hears_of_it(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=1)
        site.grant()
        await ask(*await site.connect(), 1)
        reader, _ = await site.connect()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        record = await refused(site)
        assert (record.reason, record.asset, record.grant) == ("asset_full", "plc-filter-1", 12)
        assert record.detail["connections"] == 1
        assert site.dialled == [12]

    play(tmp_path, scene)


def test_a_flow_that_waits_is_dialled_when_another_one_ends_and_what_it_sent_meanwhile_is_answered(
    tmp_path: Path,
) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=1, queue_s=60)
        site.grant()
        first = await site.connect()
        await ask(*first, 1)
        reader, writer = await site.connect()
        writer.write(message(2, READ))
        await until_waiting(site, 1)
        assert site.dialled == [12]
        first[1].close()
        assert await reader.readexactly(13) == message(2, READ_REPLY)
        assert site.dialled == [12, 12]
        opened = [record for record in site.records("flow.opened") if "waited_us" in record.detail]
        assert len(opened) == 1

    play(tmp_path, scene)


def test_a_client_that_gives_up_waiting_is_on_record_and_takes_nobody_s_place(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=1, queue_s=60)
        site.grant()
        first = await site.connect()
        await ask(*first, 1)
        _, gone = await site.connect()
        await until_waiting(site, 1)
        gone.close()
        await until_waiting(site, 0)
        assert (await refused(site)).detail["why"] == "the client gave up"
        first[1].close()
        await site.until_flows(0)
        await ask(*await site.connect(), 2)

    play(tmp_path, scene)


def test_a_command_whose_sender_gave_up_waiting_never_reaches_the_asset(tmp_path: Path) -> None:
    """Half a minute after the operator's time-out nobody expects the valve to move."""

    async def scene(site: Doors) -> None:
        limit(site, connections=1, queue_s=60)
        site.grant()
        first = await site.connect()
        await ask(*first, 1)
        _, gone = await site.connect()
        gone.write(message(2, READ))
        await gone.drain()
        await until_waiting(site, 1)
        gone.close()
        await until_waiting(site, 0)
        assert (await refused(site)).detail["why"] == "the client gave up"
        first[1].close()
        await site.until_flows(0)
        assert site.dialled == [12]

    play(tmp_path, scene)


def test_a_command_whose_sender_gave_up_while_the_asset_was_called_again_never_reaches_it(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=2, queue_s=60)
        site.grant()
        site.refusals = 1 << 30
        _, gone = await site.connect()
        gone.write(message(2, READ))
        await until_dialled(site, 2)
        gone.close()
        closed = await site.until_record("flow.closed")
        assert closed.detail["ending"] == "asset_unreachable"
        assert "the client gave up" in str(closed.detail["why"])
        await until_held(site, 0)

    play(tmp_path, scene)


async def until_dialled(site: Doors, count: int) -> None:
    async with asyncio.timeout(10):
        while len(site.dialled) < count:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def test_a_flow_whose_grant_ends_while_it_waits_is_refused_for_that(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=1, queue_s=60)
        site.grant()
        await ask(*await site.connect(), 1)
        site.grant(number=13)
        site.mark = 13
        await site.connect()
        await until_waiting(site, 1)
        site.hall.publish(WithdrawGrant(number=13, reason="grant_revoked"))
        assert site.hall.slots.waiting == 0
        record = await refused(site)
        assert (record.grant, record.reason) == (13, "grant_revoked")

    play(tmp_path, scene)


def test_places_are_counted_over_all_grants_of_an_asset_and_come_back_when_a_dial_fails(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=2)
        site.grant()
        await ask(*await site.connect(), 1)
        site.grant(number=13)
        site.mark = 13
        second = await site.connect()
        await ask(*second, 1)
        assert site.hall.slots.held("plc-filter-1") == 2
        second[1].close()
        await site.until_flows(1)
        await until_held(site, 1)

    play(tmp_path, scene)


async def until_held(site: Doors, count: int) -> None:
    async with asyncio.timeout(10):
        while site.hall.slots.held("plc-filter-1") != count:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def test_a_call_that_the_asset_does_not_take_gives_its_place_back_and_says_how_full_the_asset_is(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with doors(tmp_path, dial_error=ConnectionRefusedError(111, "Connection refused")) as site:
            limit(site, connections=2)
            site.grant()
            await site.connect()
            closed = await site.until_record("flow.closed")
            assert closed.detail["ending"] == "asset_unreachable"
            assert "2 connections at most, 1 of them taken here" in str(closed.detail["why"])
            await until_held(site, 0)

    asyncio.run(main())


def test_a_call_that_is_refused_while_another_flow_ends_is_made_again(tmp_path: Path) -> None:
    """The kernel counts every path, and a connection until both of its ends have closed it."""

    async def scene(site: Doors) -> None:
        limit(site, connections=2)
        site.grant()
        site.refusals = 3
        await ask(*await site.connect(), 1)
        assert site.dialled == [12] * 4
        assert site.hall.slots.held("plc-filter-1") == 1

    play(tmp_path, scene)


def test_a_client_that_is_gone_is_not_dialled_for_again(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=2, queue_s=60)
        site.grant()
        site.refusals = 1 << 30
        _, writer = await site.connect()
        await until_dialled(site, 2)
        writer.close()
        await until_held(site, 0)
        assert (await site.until_record("flow.closed")).detail["ending"] == "client"

    play(tmp_path, scene)


def test_an_asset_without_limits_is_called_once(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        site.grant()
        site.refusals = 1
        await site.connect()
        assert (await site.until_record("flow.closed")).detail["ending"] == "asset_unreachable"
        assert site.dialled == [12]

    play(tmp_path, scene)


def test_a_tunnel_s_client_is_told_to_wait_and_then_that_it_is_its_turn(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=1, queue_s=60)
        site.tunnel_grant(certificate(tmp_path, "client"))
        first = await site.tunnel()
        first[1].write(b'{"grant": 12}\n')
        assert await first[0].readline() == b'{"ok": true}\n'
        await ask(*first, 1)
        reader, writer = await site.tunnel()
        writer.write(b'{"grant": 12}\n')
        told = json.loads(await reader.readline())
        assert told == {"waiting": "asset_full", "shortage": "connections", "connections": 1, "queue_s": 60}
        first[1].close()
        assert await reader.readline() == b'{"ok": true}\n'
        await ask(reader, writer, 2)

    play(tmp_path, scene)


def test_a_tunnel_s_client_that_is_refused_hears_what_the_asset_can_bear_and_nothing_of_others(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=1)
        site.tunnel_grant(certificate(tmp_path, "client"))
        first = await site.tunnel()
        first[1].write(b'{"grant": 12}\n')
        assert await first[0].readline() == b'{"ok": true}\n'
        reader, writer = await site.tunnel()
        writer.write(b'{"grant": 12}\n')
        assert json.loads(await reader.readline()) == {
            "refused": "asset_full",
            "shortage": "connections",
            "connections": 1,
        }
        assert await reader.read() == b""

    play(tmp_path, scene)


def test_a_flow_to_a_mapped_port_is_dialled_at_the_asset_s_own(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        site.grant(port=502, overlay_port=site.direct_port)
        await ask(*await site.connect(), 1)
        assert site.ports == [502]

    play(tmp_path, scene)


def test_a_flow_to_a_port_that_the_grant_only_has_on_the_asset_is_refused(tmp_path: Path) -> None:
    """The overlay address may be shared: at that port there is another asset, or nothing."""

    async def scene(site: Doors) -> None:
        site.grant(port=site.direct_port, overlay_port=site.direct_port + 1)
        await site.connect()
        assert (await refused(site)).reason == "grant_unknown"
        assert site.ports == []

    play(tmp_path, scene)


def test_within_a_range_each_port_leads_to_its_own(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        site.grant(port=4000, last_port=4010, overlay_port=site.direct_port - 3)
        await ask(*await site.connect(), 1)
        assert site.ports == [4003]

    play(tmp_path, scene)


def test_who_waits_in_the_tunnel_and_is_barred_meanwhile_gets_no_place(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        limit(site, connections=1, queue_s=60)
        site.tunnel_grant(certificate(tmp_path, "client"))
        first = await site.tunnel()
        first[1].write(b'{"grant": 12}\n')
        assert await first[0].readline() == b'{"ok": true}\n'
        await ask(*first, 1)
        reader, writer = await site.tunnel()
        writer.write(b'{"grant": 12}\n')
        assert json.loads(await reader.readline())["waiting"] == "asset_full"
        site.hall.publish(BarSources(networks=("127.0.0.0/8",)))
        assert json.loads(await reader.readline()) == {"refused": "isolated"}
        await site.until_flows(0)
        assert site.dialled == [12]
        assert (site.hall.slots.waiting, sum(site.hall.slots.queues.values())) == (0, 0)
        async with asyncio.timeout(5):
            while site.hall.slots.held("plc-filter-1"):  # noqa: ASYNC110 - the asset's end closes in its own time
                await asyncio.sleep(0.001)

    play(tmp_path, scene)
