"""A real S7 client and a real server with the gate between them: what is refused is an error, and the client goes on.

python-snap7 on both sides, over loopback, through a worker's door.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime

import pytest
from loopback import Doors
from snap7.client import Client
from snap7.error import S7ProtocolError
from snap7.server import Server
from snap7.type import SrvArea

MEMORY_BYTES = 64
NOT_PERMITTED, NO_RESOURCES = 0xD241, 0x8302


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def plc() -> Iterator[int]:
    """A controller with DB1; gives its port."""
    server, port = Server(), free_port()
    server.register_area(SrvArea.DB, 1, bytearray(MEMORY_BYTES))
    server.start(tcp_port=port)
    yield port
    server.stop()
    server.destroy()


def relay_to(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]:
    """An asset that is the server at this port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        of_plc, to_plc = await asyncio.open_connection("127.0.0.1", port)
        ways = [asyncio.ensure_future(pump(reader, to_plc)), asyncio.ensure_future(pump(of_plc, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end, way in zip((writer, to_plc), ways, strict=True):
                end.close()
                way.cancel()

    return talk


def code_of(refused: Callable[[], object]) -> int:
    """The code of the error that the client shows."""
    with pytest.raises(S7ProtocolError) as caught:
        refused()
    shown = f"{caught.value.error_code or 0:04x} {caught.value}"
    return next(code for code in (NOT_PERMITTED, NO_RESOURCES) if f"{code:04x}" in shown)


def use(port: int) -> None:
    """A session in which reads and three writes a minute are allowed."""
    client = Client()
    client.connect("127.0.0.1", 0, 2, port)
    try:
        assert client.db_read(1, 0, 8) == bytearray(8)
        for value in (b"\x12\x34", b"\x56\x78", b"\x9a\xbc"):
            client.db_write(1, 4, bytearray(value))
        assert client.db_read(1, 0, 8) == bytearray(b"\0\0\0\0\x9a\xbc\0\0")
        assert code_of(lambda: client.db_write(1, 4, bytearray(b"\0\0"))) == NO_RESOURCES
        assert client.get_plc_datetime().year >= 2026
        for refused in (
            client.plc_stop,
            client.plc_hot_start,
            lambda: client.compress(1000),
            client.list_blocks,
            client.get_cpu_info,
            lambda: client.upload(1),
            lambda: client.download(bytearray(64), 1),
            lambda: client.set_plc_datetime(datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001 - a controller's wall clock
            lambda: client.set_session_password("SECRET12"),
        ):
            assert code_of(refused) == NOT_PERMITTED
            assert client.get_connected()
        assert client.db_read(1, 4, 2) == bytearray(b"\x9a\xbc")
    finally:
        client.disconnect()


def test_a_client_shows_what_is_refused_and_stays_connected(play: Callable[..., None], plc: int) -> None:
    async def scene(site: Doors) -> None:
        site.grant(protocol="s7comm", service="s7comm")
        await asyncio.to_thread(use, site.direct_port)
        refused = await site.until_record("operation.refused")
        assert str(refused.operation).startswith("s7comm.")
        assert b"SECRET".hex() not in str(site.records("operation.refused"))
        await site.until_flows(0)

    play(scene, talk=relay_to(plc))
