"""An asset that asks and tells, on real connections: it hears what the gate refuses it, and is no transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from loopback import Doors
from proxying import T0, Inspected
from test_inspect_roles import LineDecoder
from test_inspect_s7comm import CONFIRM, CONNECT, FETCH

from penstock.model import Reason
from penstock.wire import S7Decoder, Side


def test_an_asset_hears_that_what_it_asked_is_refused(play: Callable[..., None]) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(CONNECT))
        writer.write(CONFIRM + FETCH)
        heard.put_nowait(await reader.read(1024))
        writer.close()

    async def scene(site: Doors) -> None:
        site.grant(protocol="s7comm")
        reader, writer = await site.connect()
        writer.write(CONNECT)
        assert await reader.readexactly(len(CONFIRM)) == CONFIRM
        decoder = S7Decoder()
        decoder.feed(Side.CLIENT, CONNECT)
        decoder.feed(Side.ASSET, CONFIRM)
        (asked,) = decoder.feed(Side.ASSET, FETCH)
        assert await heard.get() == decoder.refuse(asked, Reason.OPERATION_NOT_ALLOWED)

    play(scene, talk=talk)


def test_what_an_asset_asks_or_tells_is_no_transaction_that_would_be_measured(tmp_path: Path) -> None:
    flow = Inspected(tmp_path, decoder=LineDecoder())
    assert flow.asset(b"N0read\nQ1read\n", T0).transactions == ()
    assert flow.client(b"A1\n", T0).transactions == ()
    assert len(flow.client(b"Q2read\n", T0).transactions) == 1
    assert len(flow.asset(b"A2\n", T0).transactions) == 1
