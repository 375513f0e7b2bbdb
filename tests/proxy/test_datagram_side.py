"""UDP services through the tunnel: what arrives, what is dropped, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from loopback import Doors, certificate

from penstock.model import BarSources, Grant, WithdrawGrant
from penstock.proxy import datagram_side
from penstock.proxy.datagrams import MAX_DATAGRAM_BYTES, framed

Play = Callable[..., None]
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextmanager
def asset(site: Doors) -> Iterator[socket.socket]:
    """An asset's UDP port that the test reads and answers by hand."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.setblocking(False)
        site.datagram_port = own.getsockname()[1]
        yield own


def udp_grant(site: Doors, **changes: object) -> Grant:
    own = certificate(site.keys, "client")
    return site.tunnel_grant(own, **({"transport": "udp", "port": 47808, "is_inspected": False} | changes))


async def opened(site: Doors, line: bytes = b'{"grant": 12}\n') -> Stream:
    reader, writer = await site.tunnel()
    writer.write(line)
    assert await reader.readline() == b'{"ok": true}\n'
    return reader, writer


async def received(own: socket.socket) -> tuple[bytes, tuple[str, int]]:
    async with asyncio.timeout(10):
        while True:
            try:
                return own.recvfrom(1 << 16)
            except BlockingIOError:
                await asyncio.sleep(0.001)


async def framed_from(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(length)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("sizes", [(1, 0, 1400), (MAX_DATAGRAM_BYTES,)])
def test_datagrams_keep_their_borders_both_ways_and_are_counted(play: Play, sizes: tuple[int, ...]) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site)
        with asset(site) as own:
            reader, writer = await opened(site)
            for size in sizes:
                writer.write(framed(b"q" * size))
                question, worker = await received(own)
                assert question == b"q" * size
                own.sendto(b"a" * size, worker)
                assert await framed_from(reader) == b"a" * size
            writer.close()
            detail = (await site.until_record("flow.closed")).detail
        assert site.ports == [47808]
        assert detail["datagrams_from_client"] == detail["datagrams_from_asset"] == len(sizes)
        assert detail["bytes_from_client"] == detail["bytes_from_asset"] == sum(sizes)
        assert (detail["dropped_to_asset"], detail["dropped_to_client"], detail["ending"]) == (0, 0, "client")
        (flow,) = site.records("flow.opened")
        assert (flow.detail["way"], flow.detail["transport"], flow.detail["port"]) == ("tunnel", "udp", 47808)

    play(scene)


def test_datagrams_that_come_in_one_piece_or_in_many_are_the_same(play: Play) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site)
        sent = [bytes([number]) * number for number in range(100)]
        with asset(site) as own:
            _, writer = await site.tunnel()
            stream = b'{"grant": 12}\n' + b"".join(map(framed, sent))
            writer.write(stream[:-7])
            await until(lambda: site.dialled)
            writer.write(stream[-7:])
            assert [(await received(own))[0] for _ in sent] == sent

    play(scene)


def test_a_range_leads_to_the_port_that_is_named_and_to_none_beside_it(play: Play) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site, port=5000, last_port=5009)
        with asset(site) as own:
            for port in (5000, 5009):
                _, writer = await opened(site, b'{"grant": 12, "port": %d}\n' % port)
                writer.write(framed(b"hello"))
                assert (await received(own))[0] == b"hello"
            for port in (4999, 5010, -1, 70000):
                reader, writer = await site.tunnel()
                writer.write(b'{"grant": 12, "port": %d}\n' % port)
                assert await rest_of(reader) == b'{"refused":"grant_unknown"}\n'
        assert site.ports == [5000, 5009]

    play(scene)


def test_a_range_of_tcp_ports_is_dialled_where_the_client_says(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.tunnel_grant(
            certificate(site.keys, "client"), port=80, last_port=90, is_inspected=False, overlay_port=8080
        )
        await opened(site, b'{"grant": 12, "port": 85}\n')
        await until(lambda: site.ports)
        assert site.ports == [85]

    play(scene)


def test_only_the_asset_is_heard(play: Play) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site)
        with asset(site) as own, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            reader, writer = await opened(site)
            writer.write(framed(b"question"))
            _, worker = await received(own)
            stranger.sendto(b"forged", worker)
            own.sendto(b"answer", worker)
            assert await framed_from(reader) == b"answer"

    play(scene)


@pytest.mark.parametrize("reason", ["grant_revoked", "isolated"])
def test_a_withdrawn_grant_ends_it_with_a_reset_and_nothing_is_sent_on(play: Play, reason: str) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site)
        with asset(site) as own:
            reader, writer = await opened(site)
            writer.write(framed(b"before"))
            assert (await received(own))[0] == b"before"
            if reason == "isolated":
                site.hall.publish(BarSources(networks=("127.0.0.0/8",)))
            else:
                site.hall.publish(WithdrawGrant(number=12, reason=reason))
            writer.write(framed(b"after"))
            assert await rest_of(reader) == b""
            assert (await site.until_record("flow.closed")).reason == reason
            with pytest.raises(BlockingIOError):
                own.recv(100)

    play(scene)


def test_an_idle_flow_ends_after_the_idle_time_of_its_grant(play: Play) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site, idle_s=7)
        with asset(site) as own:
            reader, writer = await opened(site)
            writer.write(framed(b"x"))
            await received(own)
            now = site.clock.now_us()
            site.hall.tick(now)
            site.hall.tick(now + 6_900_000)
            assert len(site.hall.flows) == 1
            site.hall.tick(now + 7_000_000)
            assert await rest_of(reader) == b""
            assert (await site.until_record("flow.closed")).detail["ending"] == "idle"

    play(scene)


def test_an_expired_grant_sends_nothing_more(play: Play) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site, expires_at_us=site.clock.now_us() + 3600_000_000)
        with asset(site) as own:
            reader, writer = await opened(site)
            site.clock.offset_ns += 3601 * 10**9
            writer.write(framed(b"late"))
            assert await rest_of(reader) == b""
            with pytest.raises(BlockingIOError):
                own.recv(100)
        assert (await site.until_record("flow.closed")).reason == "grant_expired"

    play(scene)


def test_what_a_slow_client_does_not_take_is_dropped_and_counted_and_the_rest_is_in_order(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_side, "MAX_WAITING_BYTES", 1 << 14)
    sent = 3000

    async def scene(site: Doors) -> None:
        udp_grant(site)
        with asset(site) as own:
            reader, writer = await opened(site)
            writer.write(framed(b"go"))
            _, worker = await received(own)
            writer.transport.pause_reading()
            own.setblocking(True)
            for number in range(sent):
                own.sendto(number.to_bytes(4, "big") * 2000, worker)
                if number % 8 == 0:
                    await asyncio.sleep(0)
            (flow,) = site.hall.flows
            await until(lambda: flow._dropped_to_client)
            writer.transport.resume_reading()
            numbers = [int.from_bytes((await framed_from(reader))[:4], "big") for _ in range(3)]
            assert numbers == [0, 1, 2]
            writer.close()
            detail = (await site.until_record("flow.closed")).detail
        assert detail["dropped_to_client"] > 0
        assert detail["dropped_to_client"] + detail["datagrams_from_asset"] <= sent + 1

    play(scene)


def test_an_asset_where_nobody_listens_is_counted_and_ends_nothing(play: Play) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site)
        with asset(site) as own:
            port = own.getsockname()[1]
        _, writer = await opened(site)
        (flow,) = site.hall.flows
        writer.write(framed(b"one"))
        await until(lambda: flow._unreachable)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(("127.0.0.1", port))
            back.setblocking(False)
            writer.write(framed(b"two"))
            assert (await received(back))[0] == b"two"

    play(scene)


def test_a_frame_that_no_datagram_fills_ends_the_flow(play: Play) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site)
        with asset(site):
            reader, writer = await opened(site)
            writer.write(b"\xff\xff" + bytes(100))
            assert await rest_of(reader) == b""
        closed = await site.until_record("flow.closed")
        assert (closed.reason, closed.detail["ending"]) == ("malformed", "gate")

    play(scene)


def test_no_room_is_told_and_a_flow_that_cannot_be_dialled_is_on_record(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(site: Doors) -> None:
        udp_grant(site)
        reader, writer = await site.tunnel()
        monkeypatch.setattr("penstock.proxy.hall.MAX_FLOWS_OF_GRANT", 0)
        writer.write(b'{"grant": 12}\n')
        assert await rest_of(reader) == b'{"refused":"inspection_unavailable"}\n'
        monkeypatch.undo()
        reader, writer = await site.tunnel()
        writer.write(b'{"grant": 12}\n')
        assert await rest_of(reader) == b'{"ok": true}\n'
        closed = await site.until_record("flow.closed")
        assert (closed.detail["ending"], "no way" in str(closed.detail["why"])) == ("asset_unreachable", True)

    play(scene, dial_error=OSError(113, "no way"))
