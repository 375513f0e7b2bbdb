"""A real client of Logix controllers with the gate in front of it: what is refused is an error, and the client goes on.

pylogix over loopback, through a worker's door, to a small controller.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pylogix
from enip_plant import Controller
from loopback import Doors

HEADER_BYTES = 24


def controller(plc: Controller) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]:
    """An asset that answers one message after the other."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readexactly(HEADER_BYTES):
                writer.write(plc.answer(head + await reader.readexactly(head[2] | head[3] << 8)))
                await writer.drain()
        writer.close()

    return talk


@contextmanager
def connected(port: int) -> Iterator[pylogix.PLC]:
    """The client; it makes sockets that it never uses, and leaves them open."""
    with pylogix.PLC("127.0.0.1", port=port) as client:
        unused = [each for each in vars(client.conn).values() if isinstance(each, socket.socket)]
        yield client
        unused += [each for each in vars(client.conn).values() if isinstance(each, socket.socket)]
    for each in unused:
        each.close()


def use(port: int) -> None:
    """A session in which reads and three writes a minute are allowed."""
    with connected(port) as client:
        assert client.Read("Speed").Value == 10
        for value in (1, 2, 3):
            assert client.Write("Speed", value).Status == "Success"
        assert client.Write("Speed", 4).Status == "Resource unavailable"
        assert client.Read("Speed").Value == 3
        assert [each.Status for each in client.Write([("Speed", 5), ("Limit", 6)])] == ["Resource unavailable"] * 2
        assert client.Message(0x07, 0x8E, 1).Status == "Privilege violation"
        assert [each.Value for each in client.Read(["Speed", "Limit"])] == [3, 99]


def test_a_client_shows_what_is_refused_and_stays_connected(play: Callable[..., None]) -> None:
    plc = Controller(Speed=[10], Limit=[99])

    async def scene(site: Doors) -> None:
        site.grant(protocol="enip", service="enip")
        await asyncio.to_thread(use, site.direct_port)
        refused = await site.until_record("operation.refused")
        assert str(refused.operation).startswith("enip.")
        await site.until_flows(0)

    play(scene, talk=controller(plc))
    assert plc.tags["Speed"] == [3]
