"""Datagrams that the worker carries: only under a live grant, only where it leads, only while it beats."""

from __future__ import annotations

import errno
import signal
import socket

import pytest
from gate_plant import BACNET, PLAIN, RULESET, Plant, UdpEcho, eventually

from penstock.model import UPSTREAM_BIT, PortRange
from penstock.proxy.office import SO_MARK

ASSET = "192.168.10.50"
OTHER = "192.168.10.51"
#: What a socket says that the kernel was told to close: that, and that it leads nowhere any more.
CUT = {errno.ECONNABORTED, errno.EDESTADDRREQ}


def worker_socket(plant: Plant, number: int | None, port: int = BACNET, asset: str = ASSET) -> socket.socket:
    """A UDP socket as the worker makes it: connected, and marked with a grant's number."""
    made = plant.gate.socket(kind=socket.SOCK_DGRAM)
    if number is not None:
        made.setsockopt(socket.SOL_SOCKET, SO_MARK, number | UPSTREAM_BIT)
    made.connect((asset, port))
    made.settimeout(5)
    return made


def answers(made: socket.socket, data: bytes) -> bool:
    """Whether the asset's answer comes back; a datagram that the rules drop fails at once, and so does a cut socket."""
    try:
        made.send(data)
    except OSError as error:
        if error.errno not in {errno.EPERM, *CUT}:
            raise
        return False
    return made.recv(100) == data


@pytest.fixture
def asset(plant: Plant) -> UdpEcho:
    UdpEcho(plant.plc, OTHER)
    return UdpEcho(plant.plc, ASSET)


def open_datagrams(plant: Plant, number: int = 42, **fields: object) -> object:
    values: dict[str, object] = {"overlay": PLAIN, "source": None, "transport": "udp", "port": BACNET}
    return plant.open(number, **(values | fields))  # type: ignore[arg-type]  # fields of Grant by name


def test_the_worker_sends_no_datagram_to_an_asset_without_a_live_grant_that_leads_there(
    plant: Plant, asset: UdpEcho
) -> None:
    plant.proxy()
    assert not answers(worker_socket(plant, 42), b"no grant")
    open_datagrams(plant)
    for number, port, address in ((None, BACNET, ASSET), (43, BACNET, ASSET), (42, 47809, ASSET), (42, BACNET, OTHER)):
        assert not answers(worker_socket(plant, number, port, address), b"astray"), (number, port, address)
    assert asset.peers == []
    assert answers(worker_socket(plant, 42), b"granted")
    assert asset.peers == ["192.168.10.2"]


def test_revoking_ends_datagrams_both_ways_at_once(plant: Plant, asset: UdpEcho) -> None:
    plant.proxy()
    opened = open_datagrams(plant)
    under_way, silent = worker_socket(plant, 42), worker_socket(plant, 42)
    assert answers(under_way, b"one")
    assert answers(under_way, b"two")
    silent.send(b"sent before")
    eventually(lambda: len(asset.peers) == 3)
    assert silent.recv(100) == b"sent before"
    plant.cut(opened)  # type: ignore[arg-type]
    for made in (under_way, silent, worker_socket(plant, 42)):
        assert not answers(made, b"after")
    assert len(asset.peers) == 3
    unasked = plant.plc.listen(ASSET, 0, socket.SOCK_DGRAM)
    unasked.sendto(b"to a worker's port", ("192.168.10.2", under_way.getsockname()[1]))
    under_way.setblocking(False)
    with pytest.raises((BlockingIOError, ConnectionAbortedError)):
        under_way.recv(100)


@pytest.mark.usefixtures("asset")
def test_a_port_that_was_used_under_another_grant_lately_is_judged_by_the_grant_of_the_moment(plant: Plant) -> None:
    plant.proxy()
    former = open_datagrams(plant, 42)
    opened = open_datagrams(plant, 43)
    with worker_socket(plant, 42) as first:
        assert answers(first, b"one")
        assert answers(first, b"two")
        port = first.getsockname()[1]
    second = plant.gate.socket(kind=socket.SOCK_DGRAM)
    second.setsockopt(socket.SOL_SOCKET, SO_MARK, 43 | UPSTREAM_BIT)
    second.bind(("192.168.10.2", port))
    second.connect((ASSET, BACNET))
    second.settimeout(5)
    assert answers(second, b"three")
    plant.cut(former)  # type: ignore[arg-type]
    assert answers(second, b"four")
    plant.cut(opened)  # type: ignore[arg-type]
    assert not answers(second, b"five")


def test_a_worker_that_hangs_sends_no_datagram_to_an_asset_that_it_has_not_talked_to_nor_to_one_that_it_has(
    plant: Plant, asset: UdpEcho
) -> None:
    proxy = plant.proxy()
    open_datagrams(plant)
    under_way = worker_socket(plant, 42)
    assert answers(under_way, b"one")
    proxy.signal(signal.SIGSTOP)
    before = plant.counter("fenced")
    eventually(lambda: not answers(under_way, b"stale"))
    count = len(asset.peers)
    assert not answers(under_way, b"stale")
    assert not answers(worker_socket(plant, 42), b"stale and new")
    assert len(asset.peers) == count
    assert plant.counter("fenced") > before


def test_a_range_of_datagram_ports_is_dialled_inside_and_not_beside(plant: Plant) -> None:
    plant.apply(ranges=(*RULESET.ranges, PortRange(overlay=PLAIN, transport="udp", first=5000, last=5009)))
    plant.proxy()
    for port in (4999, 5000, 5009, 5010):
        UdpEcho(plant.plc, ASSET, port)
    opened = open_datagrams(plant, port=5000, last_port=5009)
    assert [answers(worker_socket(plant, 42, port), b"x") for port in (4999, 5000, 5009, 5010)] == [
        False,
        True,
        True,
        False,
    ]
    plant.cut(opened)  # type: ignore[arg-type]
    assert not answers(worker_socket(plant, 42, 5000), b"x")
