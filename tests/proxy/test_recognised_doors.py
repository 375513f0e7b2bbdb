"""Recognised protocols over real sockets: a worker holds a flow to them, in both directions and from the beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from loopback import Doors

Play = Callable[..., None]
PAGE = bytes(range(256)) * 20_000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE


async def panel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An asset with one large page."""
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(ANSWER)
        await writer.drain()


async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An asset that speaks first, and says back how much it has heard."""
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    heard = await reader.read(100)
    writer.write(b"heard %d" % len(heard))
    writer.close()


def test_a_large_page_arrives_and_its_path_is_on_record(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant(protocol="http")
        reader, writer = await site.connect()
        for _ in range(2):
            writer.write(b"GET /trend?from=1 HTTP/1.1\r\nHost: hmi\r\n\r\n")
            assert await reader.readexactly(len(ANSWER)) == ANSWER
        writer.close()
        await site.until_flows(0)
        (record,) = site.records("operations")
        (line,) = record.detail["operations"]
        assert (line["operation"], line["code"], line["targets"][0]["name"]) == ("http.read", "GET", "/trend")
        assert len(record.detail["rows"]) == 2
        assert b"from" not in bytes.fromhex(line["data"])

    play(scene, talk=panel)


def test_a_server_that_speaks_first_is_heard_and_what_both_say_of_themselves_is_on_record(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant(protocol="ssh")
        reader, writer = await site.connect()
        assert await reader.readline() == b"SSH-2.0-OpenSSH_9.2\r\n"
        writer.write(b"SSH-2.0-client\r\n")
        await site.until_flows(0)
        (record,) = site.records("flow.closed")
        assert record.detail["told"] == {"asset_banner": "SSH-2.0-OpenSSH_9.2", "client_banner": "SSH-2.0-client"}
        assert record.reason == "wrong_protocol", "“heard …” is no packet of a key exchange"

    play(scene, talk=greeting)


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x01\0\0\x01\0", b"\0\x01\0\0\0\x06\x01\x03"]
)
def test_foreign_bytes_do_not_reach_the_asset_and_the_record_says_why(play: Play, first: bytes) -> None:
    async def scene(site: Doors) -> None:
        site.grant(protocol="ssh")
        reader, writer = await site.connect()
        writer.write(first)
        assert b"heard" not in await reader.read()
        (record,) = [await site.until_record("flow.closed")]
        assert (record.reason, record.protocol, record.detail["ending"]) == ("wrong_protocol", "ssh", "gate")
        assert str(record.detail["why"]).startswith("what the client sent first is no ssh")

    play(scene, talk=greeting)


def test_an_asset_that_is_not_what_its_service_declares_is_not_heard(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant(protocol="vnc")
        reader, _ = await site.connect()
        assert await reader.read() == b""
        record = await site.until_record("flow.closed")
        assert record.detail["why"] == "what the asset sent first is no vnc; it begins as ssh does"

    play(scene, talk=greeting)
