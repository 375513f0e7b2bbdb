"""What becomes of flows whose grants are withdrawn, one or many at a time: both ends are reset, and nothing goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from loopback import Doors, certificate
from proxying import READ, READ_REPLY, message

from penstock.model import BarSources, Reason, WithdrawGrant, WithdrawGrants

Play = Callable[..., None]


class Asset:
    """Answers one request, then waits; how each of its connections ended is kept."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(12)
        writer.write(message(1, READ_REPLY))
        try:
            self.ends.append("closed" if await reader.read() == b"" else "more")
        except ConnectionResetError:
            self.ends.append("reset")
        writer.close()

    async def until_ended(self, count: int) -> list[str]:
        async with asyncio.timeout(5):
            while len(self.ends) < count:  # noqa: ASYNC110 - the asset is another process
                await asyncio.sleep(0.001)
        return self.ends


async def answered(site: Doors) -> asyncio.StreamReader:
    reader, writer = await site.connect()
    writer.write(message(1, READ))
    await reader.readexactly(13)
    return reader


@pytest.mark.parametrize("reason", ["grant_revoked", "not_signed_in", "isolated", "no_conduit", "grant_expired"])
def test_a_withdrawn_flow_is_reset_at_both_ends_whatever_the_reason(play: Play, reason: str) -> None:
    """An orderly close would leave the asset's connection half open as long as the asset likes."""
    asset = Asset()

    async def scene(site: Doors) -> None:
        site.grant()
        reader = await answered(site)
        site.hall.publish(WithdrawGrant(number=12, reason=reason))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert await asset.until_ended(1) == ["reset"]
        closed = await site.until_record("flow.closed")
        assert (closed.reason, closed.detail["ending"]) == (Reason(reason), "gate")

    play(scene, talk=asset.talk)


def test_many_grants_are_withdrawn_with_one_message_and_the_others_go_on(play: Play) -> None:
    asset = Asset()

    async def scene(site: Doors) -> None:
        readers = {}
        for number in (12, 13, 14):
            site.grant(number=number)
            site.mark = number
            readers[number] = await answered(site)
        site.hall.publish(WithdrawGrants(numbers=(12, 14, 99), reason="isolated"))
        for number in (12, 14):
            with pytest.raises(ConnectionResetError):
                await readers[number].read()
        assert await asset.until_ended(2) == ["reset", "reset"]
        assert {flow.grant.number for flow in site.hall.flows} == {13}
        assert set(site.hall.grants) == {13}
        assert {12, 14} <= set(site.hall.withdrawn)
        assert {record.reason for record in site.records("flow.closed")} == {Reason.ISOLATED}

    play(scene, talk=asset.talk)


async def through_tunnel(site: Doors) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await site.tunnel()
    writer.write(b'{"grant": 12}\n')
    return reader, writer, await reader.readline()


def test_no_tunnel_comes_from_a_source_that_is_barred_and_those_that_did_are_reset(play: Play) -> None:
    asset = Asset()

    async def scene(site: Doors) -> None:
        site.tunnel_grant(certificate(site.keys, "client"))
        reader, writer, said = await through_tunnel(site)
        assert said == b'{"ok": true}\n'
        writer.write(message(1, READ))
        await reader.readexactly(13)
        site.hall.publish(BarSources(networks=("10.0.0.0/8", "127.0.0.0/8")))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert await asset.until_ended(1) == ["reset"]
        assert (await site.until_record("flow.closed")).reason == Reason.ISOLATED
        assert (await through_tunnel(site))[2] == b'{"refused":"isolated"}\n'
        assert (await site.until_record("flow.refused")).reason == Reason.ISOLATED
        assert site.dialled == [12], "nothing was dialled for whoever is barred"
        site.hall.publish(BarSources(networks=("10.0.0.0/8",)))
        assert (await through_tunnel(site))[2] == b'{"ok": true}\n'

    play(scene, talk=asset.talk)


def test_whoever_is_barred_learns_nothing_of_grants_that_are_not_theirs(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.tunnel_grant(certificate(site.keys, "other"))
        site.hall.publish(BarSources(networks=("127.0.0.1/32",)))
        assert (await through_tunnel(site))[2] == b'{"refused":"grant_unknown"}\n'

    play(scene, talk=Asset().talk)


def test_what_the_kernel_brings_is_not_barred_by_its_source(play: Play) -> None:
    """Control has ended what shall end; a safety-critical flow of an isolated machine goes on."""
    asset = Asset()

    async def scene(site: Doors) -> None:
        site.grant(is_safety_critical=True)
        await answered(site)
        site.hall.publish(BarSources(networks=("127.0.0.0/8",)))
        await answered(site)
        assert len(site.hall.flows) == 2
        assert asset.ends == []

    play(scene, talk=asset.talk)
