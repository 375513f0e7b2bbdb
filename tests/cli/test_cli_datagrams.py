"""UDP services on local ports: framing that both ends agree on, a tunnel for each peer, and what is dropped."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fake_gate import FAR, HOST, FakeTunnel, TestAuthority, tunnel_port
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli import datagram_flows, datagrams, local
from penstock.cli.answers import GrantsSeen, OpenedGrant, Refusal
from penstock.cli.client import verifying
from penstock.cli.door import Door, Opening
from penstock.cli.holding import Held, Holding
from penstock.cli.keys import key_and_request
from penstock.cli.tunnel import TunnelPlace, client_context
from penstock.model import Malformed
from penstock.proxy.datagrams import framed as framed_by_the_gate
from penstock.proxy.datagrams import split_datagrams

GRANT = OpenedGrant(
    grant=7,
    asset="drive-1",
    service="bacnet",
    protocol="bacnet",
    expires_at=FAR,
    tunnel_port=0,
    overlay="100.64.10.12",
    port=47808,
    transport="udp",
)
DATAGRAMS = st.lists(st.binary(max_size=200) | st.integers(0, datagrams.MAX_DATAGRAM_BYTES).map(bytes), max_size=8)


@given(sent=DATAGRAMS, cuts=st.lists(st.integers(0, 1 << 20), max_size=6))
def test_what_the_gate_frames_is_read_here_however_the_stream_is_cut_and_the_other_way_round(
    sent: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(map(framed_by_the_gate, sent))
    assert stream == b"".join(map(datagrams.framed, sent))
    borders = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    found, rest = list[bytes](), b""
    for start, end in itertools.pairwise(borders):
        some, rest = datagrams.split(rest + stream[start:end])
        found += some
    assert (found, rest) == (sent, b"")
    assert split_datagrams(stream, 1 << 20) == (sent, b"")


@given(noise=st.binary(max_size=2000))
def test_noise_is_refused_or_is_datagrams_and_no_more_than_one_frame_is_kept(noise: bytes) -> None:
    try:
        found, rest = datagrams.split(noise)
    except Malformed:
        return
    assert b"".join(map(datagrams.framed, found)) + rest == noise
    assert len(rest) < 2 + datagrams.MAX_DATAGRAM_BYTES


def test_a_length_that_no_datagram_has_is_refused() -> None:
    with pytest.raises(Malformed):
        datagrams.split(b"\xff\xe4" + bytes(100))
    assert datagrams.split(b"\xff\xe3") == ([], b"\xff\xe3")


class Portal:
    """The grant lives until the test is over."""

    def __init__(self) -> None:
        self.is_over = False

    def grants(self) -> GrantsSeen:
        live = frozenset[int]() if self.is_over else frozenset({7})
        return GrantsSeen(live=live, ended={7: "grant_revoked"})

    def open_grant(self, asset: str, service: str | None) -> OpenedGrant | Refusal:
        raise AssertionError((asset, service))

    def close_grant(self, number: int) -> None:
        raise AssertionError(number)

    def reconnect(self) -> None:
        raise AssertionError("nothing has changed")


@pytest.fixture
def place(authority: TestAuthority, tunnel: FakeTunnel, tmp_path: Path) -> Iterator[TunnelPlace]:
    key_pem, csr_pem = key_and_request()
    (tmp_path / "key.pem").write_bytes(key_pem)
    (tmp_path / "certificate.pem").write_text(authority.sign_request(csr_pem))
    context = client_context(verifying(authority.pem), str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem"))
    with tunnel_port(authority, tmp_path, tunnel) as port:
        yield TunnelPlace(host=HOST, port=port, context=context)


def played(place: TunnelPlace, tool: Callable[[int], None], grant: OpenedGrant = GRANT, port: int | None = None) -> str:
    """Hold a UDP service while `tool` runs in a thread, and end it then; how it ended."""
    listening = local.listen(0, kind=socket.SOCK_DGRAM)
    assert listening is not None
    portal, own = Portal(), listening.getsockname()[1]
    held = Held(doors=(Door(grant, (Opening(socket=listening, port=port),)),), place=place, portal=portal)

    def run_tool() -> None:
        try:
            tool(own)
        finally:
            portal.is_over = True

    async def run() -> str:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(run_tool))
            return (await Holding(held, watch_s=0.02).run()).text

    with listening, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def peer(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect((HOST, port))
    made.settimeout(10)
    return made


def test_each_peer_has_a_tunnel_of_its_own_and_hears_only_its_own_answers(
    place: TunnelPlace, tunnel: FakeTunnel, capsys: Any
) -> None:
    def tool(port: int) -> None:
        with peer(port) as one, peer(port) as other:
            for _ in range(3):
                one.send(b"one")
                other.send(b"other")
                assert (one.recv(100), other.recv(100)) == (b"ONE", b"OTHER")

    assert played(place, tool) == "the grant was revoked"
    assert tunnel.prefaces == [b'{"grant": 7}\n'] * 2
    assert capsys.readouterr().err.count("(UDP) to drive-1 bacnet") == 2


def test_borders_are_kept_when_many_come_before_the_tunnel_is_open(place: TunnelPlace) -> None:
    def tool(port: int) -> None:
        sent = [b"%d" % number * number for number in range(1, 40)]
        with peer(port) as one:
            for datagram in (*sent, b""):
                one.send(datagram)
            assert [one.recv(1000) for _ in sent] == sent
            assert one.recv(1000) == b""

    played(place, tool)


def test_what_waited_too_long_for_a_tunnel_is_not_sent_any_more(
    place: TunnelPlace, tunnel: FakeTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_flows, "LATE_S", 0.0)

    def tool(port: int) -> None:
        with peer(port) as one:
            one.send(b"stale")
            while not place.halves:
                time.sleep(0.005)
            one.send(b"fresh")
            assert one.recv(100) == b"FRESH"

    played(place, tool)
    assert len(tunnel.prefaces) == 1


def test_a_peer_that_is_refused_does_not_ask_the_gate_again_with_every_datagram(
    place: TunnelPlace, tunnel: FakeTunnel
) -> None:
    tunnel.answer = b'{"refused": "inspection_unavailable"}\n'

    def tool(port: int) -> None:
        began_s = time.monotonic()
        with peer(port) as one:
            for _ in range(100):
                one.send(b"x")
                time.sleep(0.01)
        assert len(tunnel.prefaces) <= 1 + (time.monotonic() - began_s) / datagram_flows.AGAIN_S

    played(place, tool)
    assert tunnel.prefaces


def test_one_port_of_a_range_is_named_to_the_gate(place: TunnelPlace, tunnel: FakeTunnel) -> None:
    def tool(port: int) -> None:
        with peer(port) as one:
            one.send(b"x")
            assert one.recv(100) == b"X"

    played(place, tool, replace(GRANT, port=5000, last_port=5009), 5003)
    assert tunnel.prefaces == [b'{"grant": 7, "port": 5003}\n']


def test_more_peers_than_there_may_be_tunnels_end_the_one_that_was_silent_the_longest(
    place: TunnelPlace, tunnel: FakeTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_flows, "MAX_PEERS", 2)

    def tool(port: int) -> None:
        with peer(port) as one, peer(port) as two, peer(port) as three:
            for each in (one, two, three, three, two):
                each.send(b"x")
                assert each.recv(100) == b"X"
            assert len(tunnel.prefaces) == 3
            one.send(b"again")
            assert one.recv(100) == b"AGAIN"
            assert len(tunnel.prefaces) == 4

    played(place, tool)


def test_a_peer_that_is_silent_for_long_has_no_tunnel_any_more(
    place: TunnelPlace, tunnel: FakeTunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_flows, "IDLE_S", 0.05)
    monkeypatch.setattr(datagram_flows, "_LOOK_S", 0.01)

    def tool(port: int) -> None:
        with peer(port) as one:
            one.send(b"x")
            assert one.recv(100) == b"X"
            while place.halves:
                time.sleep(0.005)
            one.send(b"again")
            assert one.recv(100) == b"AGAIN"
            assert len(tunnel.prefaces) == 2

    played(place, tool)


def test_another_users_program_is_not_let_in(
    place: TunnelPlace, tunnel: FakeTunnel, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("penstock.cli.local.owner_of_datagrams", lambda _: os.geteuid() + 1)

    def tool(port: int) -> None:
        with peer(port) as one:
            one.settimeout(0.2)
            for _ in range(3):
                one.send(b"x")
                with pytest.raises(TimeoutError):
                    one.recv(100)

    played(place, tool)
    assert tunnel.prefaces == []
    assert capsys.readouterr().err.count("belongs to no program of this user") == 1


def test_the_owner_of_a_local_udp_port_is_known() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind((HOST, 0))
        port = own.getsockname()[1]
        assert local.owner_of_datagrams((HOST, port)) == os.geteuid()
    assert local.owner_of_datagrams((HOST, port)) == local.NOBODY
    assert not local.is_ours(local.NOBODY)
    assert local.is_local(HOST)
    assert not local.is_local("203.0.113.9")


@pytest.mark.parametrize("address", ["::", f"::ffff:{HOST}"])
def test_the_owner_of_an_ipv6_socket_that_sends_to_an_ipv4_address_is_known(address: str) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as own:
        own.bind((address, 0))
        assert local.owner_of_datagrams((HOST, own.getsockname()[1])) == os.geteuid()


def test_a_datagram_of_another_computer_is_not_taken_for_ones_own() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("0.0.0.0", 0))
        assert local.owner_of_datagrams((HOST, own.getsockname()[1])) == os.geteuid()
        assert local.owner_of_datagrams(("192.0.2.7", own.getsockname()[1])) == local.NOBODY
