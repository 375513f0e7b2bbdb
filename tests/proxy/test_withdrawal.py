"""What becomes of flows whose grants are withdrawn, one or many at a time: both ends are reset, and nothing goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from loopback import Doors
from proxying import READ, READ_REPLY, message

from penstock.model import Reason, WithdrawGrant, WithdrawGrants

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
