"""Flows over real sockets on loopback: direct ones, tunnelled ones, and all that is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from loopback import Doors, certificate, echo
from proxying import READ, READ_REPLY, STOP, message

from penstock.model import WithdrawGrant

Play = Callable[..., None]


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """What still comes; a reset is an end as well."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def test_a_direct_flow_reaches_its_asset_and_is_recorded_from_opening_to_closing(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant()
        reader, writer = await site.connect()
        writer.write(message(1, READ) + message(2, READ))
        assert await reader.readexactly(26) == message(1, READ_REPLY) + message(2, READ_REPLY)
        opened = await site.until_record("flow.opened")
        writer.close()
        await site.until_flows(0)
        (last,) = site.records("flow.closed")
        closed = last.detail
        assert (opened.grant, opened.subject, opened.asset) == (12, "scada-1", "plc-filter-1")
        assert opened.detail["flow"] == closed["flow"]
        assert (closed["bytes_from_client"], closed["bytes_from_asset"], closed["operations"]) == (24, 26, 2)
        assert (closed["ending"], last.reason) == ("client", None)

    play(scene)


def test_a_refused_request_is_answered_by_the_gate_and_the_flow_goes_on(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant()
        reader, writer = await site.connect()
        writer.write(message(1, STOP))
        assert await reader.readexactly(9) == bytes.fromhex("0001 0000 0003 01 88 01")
        writer.write(message(2, READ))
        assert await reader.readexactly(13) == message(2, READ_REPLY)
        assert (await site.until_record("operation.refused")).reason == "operation_not_allowed"

    play(scene)


@pytest.mark.parametrize("trouble", ["number", "overlay"])
def test_a_flow_without_a_grant_of_its_own_is_reset_and_recorded(play: Play, trouble: str) -> None:
    async def scene(site: Doors) -> None:
        site.grant(overlay="127.0.0.1" if trouble == "number" else "100.64.0.9")
        site.mark = 99 if trouble == "number" else 12
        reader, _ = await site.connect()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        assert (await site.until_record("flow.refused")).reason == "grant_unknown"
        assert site.dialled == []

    play(scene)


def test_bytes_that_are_no_modbus_close_the_flow(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant()
        reader, writer = await site.connect()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await rest_of(reader) == b""
        assert (await site.until_record("flow.closed")).reason == "wrong_protocol"

    play(scene)


def test_withdrawing_a_grant_cuts_its_flows_at_once(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant()
        reader, writer = await site.connect()
        writer.write(message(1, READ))
        await reader.readexactly(13)
        site.hall.publish(WithdrawGrant(number=12, reason="grant_revoked"))
        assert await rest_of(reader) == b""
        closed = await site.until_record("flow.closed")
        assert (closed.reason, closed.detail["ending"]) == ("grant_revoked", "gate")

    play(scene)


def test_what_a_worker_that_stood_still_holds_is_reset_at_both_ends_and_never_delivered(play: Play) -> None:
    """An orderly close would send on what waits in the kernel."""
    ended: list[type[BaseException]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(12)
        writer.write(message(1, READ_REPLY))
        try:
            await reader.read()
        except ConnectionError as error:
            ended.append(type(error))
        writer.close()

    async def scene(site: Doors) -> None:
        site.grant()
        reader, writer = await site.connect()
        writer.write(message(1, READ))
        await reader.readexactly(13)
        site.hall.drop_all("stood still", site.clock.now_us())
        assert not site.hall.flows
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        closed = await site.until_record("flow.closed")
        assert (closed.reason, closed.detail["why"]) == ("inspection_unavailable", "stood still")
        async with asyncio.timeout(5):
            while not ended:  # noqa: ASYNC110 - the asset is another process
                await asyncio.sleep(0.001)
        assert ended == [ConnectionResetError]

    play(scene, talk=talk)


def test_an_asset_that_does_not_answer_the_call_ends_the_flow(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant()
        reader, _ = await site.connect()
        assert await rest_of(reader) == b""
        assert (await site.until_record("flow.closed")).detail["ending"] == "asset_unreachable"

    play(scene, dial_error=ConnectionRefusedError("refused"))


def test_an_idle_flow_ends_after_the_time_of_its_grant(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant(idle_s=7)
        reader, writer = await site.connect()
        writer.write(message(1, READ))
        await reader.readexactly(13)
        now = site.clock.now_us()
        site.hall.tick(now)
        site.hall.tick(now + 6_900_000)
        assert len(site.hall.flows) == 1
        site.hall.tick(now + 7_000_000)
        assert await rest_of(reader) == b""
        assert (await site.until_record("flow.closed")).detail["ending"] == "idle"

    play(scene)


def test_answers_still_arrive_after_the_client_said_it_sends_no_more(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.grant()
        reader, writer = await site.connect()
        await site.until_flows(1)
        writer.write(message(1, READ))
        writer.write_eof()
        assert (await rest_of(reader))[:13] == message(1, READ_REPLY)

    play(scene)


def test_a_tunnelled_flow_needs_its_certificate_and_names_its_grant(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.tunnel_grant(certificate(site.keys, "client"))
        reader, writer = await site.tunnel()
        writer.write(b'{"grant": 12}\n' + message(1, READ))
        assert await reader.readline() == b'{"ok": true}\n'
        assert await reader.readexactly(13) == message(1, READ_REPLY)
        assert (await site.until_record("flow.opened")).detail["way"] == "tunnel"
        assert site.dialled == [12]
        writer.close()

    play(scene)


@pytest.mark.parametrize(
    ("name", "line", "answer"),
    [
        ("other", b'{"grant": 12}\n', b'{"refused":"grant_unknown"}\n'),
        ("client", b'{"grant": 13}\n', b'{"refused":"grant_unknown"}\n'),
        ("client", b'{"grant": 14}\n', b'{"refused":"grant_unknown"}\n'),
        ("client", b'{"grant": 15}\n', b'{"refused":"grant_revoked"}\n'),
        ("other", b'{"grant": 15}\n', b'{"refused":"grant_unknown"}\n'),
        ("client", b'{"grant": 16}\n', b'{"refused":"grant_expired"}\n'),
        ("client", b'{"grant": "12"}\n', b'{"refused":"malformed"}\n'),
        ("client", b"GET / HTTP/1.1\r\n", b'{"refused":"malformed"}\n'),
        ("client", b"x" * 600, b'{"refused":"malformed"}\n'),
    ],
)
def test_a_tunnel_is_refused_without_a_live_grant_of_that_certificate(
    play: Play, name: str, line: bytes, answer: bytes
) -> None:
    """Foreign, unknown and address-bound grants (12, 13, 14) look alike; revoked (15) and expired (16) are told."""

    async def scene(site: Doors) -> None:
        own = certificate(site.keys, "client")
        site.tunnel_grant(own)
        site.grant(number=14)
        site.tunnel_grant(own, number=15)
        site.hall.publish(WithdrawGrant(number=15, reason="grant_revoked"))
        site.tunnel_grant(own, number=16, expires_at_us=1)
        reader, writer = await site.tunnel(name)
        writer.write(line)
        assert await rest_of(reader) == answer
        assert (await site.until_record("flow.refused")).detail["way"] == "tunnel"
        assert site.dialled == []
        writer.close()

    play(scene)


@pytest.mark.parametrize("name", ["", "stranger"])
def test_a_handshake_without_a_certificate_of_the_gates_authority_fails_and_is_recorded(play: Play, name: str) -> None:
    async def scene(site: Doors) -> None:
        try:
            reader, _ = await site.tunnel(name)
            assert await rest_of(reader) == b""
        except OSError:
            pass
        assert (await site.until_record("flow.refused")).reason == "not_signed_in"
        assert site.dialled == []

    play(scene)


def test_a_handshake_without_the_name_of_the_tunnels_protocol_is_refused(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.tunnel_grant(certificate(site.keys, "client"))
        reader, writer = await site.tunnel(alpn=None)
        writer.write(b'{"grant": 12}\n')
        assert await rest_of(reader) == b'{"refused":"wrong_protocol"}\n'
        assert (await site.until_record("flow.refused")).reason == "wrong_protocol"

    play(scene)


def test_no_more_than_16_handshakes_of_one_source_are_in_progress(play: Play) -> None:
    async def scene(site: Doors) -> None:
        silent = [await site.knock() for _ in range(17)]
        assert await rest_of(silent[-1][0]) == b""
        assert "handshakes" in str((await site.until_record("flow.refused")).detail["why"])

    play(scene)


def test_a_service_that_is_not_inspected_passes_through_the_tunnel_unread_and_is_counted(play: Play) -> None:
    async def scene(site: Doors) -> None:
        site.tunnel_grant(certificate(site.keys, "client"), protocol="postgresql", is_inspected=False)
        reader, writer = await site.tunnel()
        writer.write(b'{"grant": 12}\n')
        assert await reader.readline() == b'{"ok": true}\n'
        sent = bytes(range(256)) * 8192

        async def send() -> None:
            for start in range(0, len(sent), 65536):
                writer.write(sent[start : start + 65536])
                await writer.drain()

        _, received = await asyncio.gather(send(), reader.readexactly(len(sent)))
        assert received == sent
        writer.close()
        closed = await site.until_record("flow.closed")
        assert closed.detail["bytes_from_client"] == closed.detail["bytes_from_asset"] == len(sent)

    play(scene, talk=echo)


def test_who_does_not_read_is_not_read_from(play: Play) -> None:
    """What is too much waits at their sender, not in the gate."""

    async def scene(site: Doors) -> None:
        site.grant(protocol="raw", is_inspected=False)
        _, writer = await site.connect()
        await site.until_flows(1)
        writer.transport.set_write_buffer_limits(0)
        writer.write(bytes(96 << 20))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await writer.drain()
        (flow,) = site.hall.flows
        assert flow._client.get_write_buffer_size() < 4 << 20
        assert flow._asset.get_write_buffer_size() < 4 << 20
        writer.transport.abort()

    play(scene, talk=echo)


def test_fifty_flows_at_once_do_not_mix(play: Play) -> None:
    """Each gets the answers to its own requests."""

    async def scene(site: Doors) -> None:
        site.grant()

        async def poll(own: int) -> None:
            reader, writer = await site.connect()
            for turn in range(20):
                number = own * 20 + turn
                writer.write(message(number, READ))
                assert await reader.readexactly(13) == message(number, READ_REPLY)
            writer.close()

        async with asyncio.TaskGroup() as group:
            for own in range(50):
                group.create_task(poll(own))
        await site.until_flows(0)
        closed = site.records("flow.closed")
        assert [record.detail["operations"] for record in closed] == [20] * 50

    play(scene)


@pytest.mark.parametrize("step_us", [3600_000_000, -3600_000_000])
def test_a_clock_that_is_set_ends_no_flow_and_keeps_none_longer(play: Play, step_us: int) -> None:
    """A gate without a battery learns the time from the network, while safety functions talk through it."""

    async def scene(site: Doors) -> None:
        site.grant(idle_s=7)
        reader, writer = await site.connect()
        writer.write(message(1, READ) + message(2, READ)[:5])
        assert await reader.readexactly(13) == message(1, READ_REPLY)
        site.hall.tick(site.clock.now_us())
        site.clock.offset_ns += step_us * 1000
        site.hall.stepped(step_us)
        site.hall.tick(site.clock.now_us())
        writer.write(message(2, READ)[5:])
        assert await reader.readexactly(13) == message(2, READ_REPLY)
        site.hall.tick(site.clock.now_us())
        site.clock.offset_ns += 7 * 10**9
        site.hall.tick(site.clock.now_us())
        await site.until_flows(0)
        (record,) = site.records("flow.closed")
        assert record.detail["ending"] == "idle"
        assert record.detail["duration_us"] < 60_000_000

    play(scene)
