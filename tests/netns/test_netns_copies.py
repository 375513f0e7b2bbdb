"""Copies of packets: of the flows whose mark says so, both directions, whole, and nothing else."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gate_plant import (
    BACNET,
    INSPECTED,
    MODBUS,
    PLAIN,
    SAFETY,
    SAFETY_GRANT,
    USER,
    Plant,
    UdpEcho,
    eventually,
    exchange,
)

from penstock.kernel.netlink import ACK, ULOG_SUBSYSTEM, NetlinkSocket, attribute, each_message, payload
from penstock.model import COPIED_BIT, GRANT_MASK, SAFETY_BIT

GROUP, MARK, PAYLOAD = 2, 2, 9


@contextmanager
def copies(plant: Plant, carrying: int) -> Iterator[list[tuple[int, bytes]]]:
    """What group 2 got in the block: connection mark and packet.  At its end so many that carry data are waited for."""
    found: list[tuple[int, bytes]] = []
    with plant.gate.entered():
        reader = NetlinkSocket(receive_bytes=1 << 20)
    for number, value in ((1, b"\x01"), (2, struct.pack("!IBB", 0xFFFF, 2, 0)), (4, struct.pack("!I", 1))):
        reader.command(reader.message(ULOG_SUBSYSTEM, 1, ACK, socket.AF_INET, attribute(number, value), GROUP))
    reader.only_listen()
    try:
        yield found

        eventually(lambda: found.extend(_read(reader)) or len(carried(found)) >= carrying)
        time.sleep(0.1)  # what should not be copied would be there by then: the kernel waits for 10 ms
        found.extend(_read(reader))
    finally:
        reader.close()


def _read(reader: NetlinkSocket) -> Iterator[tuple[int, bytes]]:
    while (data := reader.received()) is not None:
        for kind, _, body in each_message(data):
            if kind == ULOG_SUBSYSTEM << 8:
                parts = payload(body)
                yield int.from_bytes(parts.get(MARK, b""), "big"), bytes(parts[PAYLOAD])


def carried(found: list[tuple[int, bytes]]) -> list[tuple[str, bytes]]:
    """Source address and payload of every copy that has a payload."""
    result = []
    for _, packet in found:
        header = (packet[0] & 15) * 4
        header += (packet[header + 12] >> 4) * 4 if packet[9] == socket.IPPROTO_TCP else 8
        if packet[header:]:
            result.append((socket.inet_ntoa(packet[12:16]), packet[header:]))
    return result


def test_both_directions_of_a_copied_grant_are_copied_whole_with_the_mark(plant: Plant) -> None:
    """Between the client's and the asset's own address, from the first packet on, as large as they are."""
    plant.apply(has_copies=True)
    plant.open(42, is_copied=True)
    with copies(plant, 2) as found:
        client = plant.user.connect(PLAIN, MODBUS)
        assert exchange(client, b"q" * 1400) == b"q" * 1400
        client.close()
    assert {mark for mark, _ in found} == {42 | COPIED_BIT}
    assert carried(found) == [(USER, b"q" * 1400), ("192.168.10.50", b"q" * 1400)]
    assert found[0][1][33] & 0x12 == 0x02, "the SYN is copied as well"


def test_nothing_is_copied_of_other_grants_nor_of_packets_that_do_not_pass(plant: Plant) -> None:
    """A neighbour without the bit, and packets of a copied grant after its end."""
    plant.apply(has_copies=True)
    UdpEcho(plant.plc, "192.168.10.50")
    plant.open(41)
    copied = plant.open(42, transport="udp", port=BACNET, is_copied=True)
    client = plant.user.socket(kind=socket.SOCK_DGRAM)
    client.connect((PLAIN, BACNET))
    client.settimeout(2)
    with copies(plant, 2) as found:
        assert exchange(plant.user.connect(PLAIN, MODBUS), b"other") == b"other"
        assert exchange(client, b"copied") == b"copied"
        plant.cut(copied)
        client.send(b"too late")
    assert carried(found) == [(USER, b"copied"), ("192.168.10.50", b"copied")]


def test_a_grant_that_is_opened_copied_without_a_rule_for_it_passes_all_the_same(plant: Plant) -> None:
    """The bit alone changes nothing."""
    plant.open(42, is_copied=True)
    assert exchange(plant.user.connect(PLAIN, MODBUS), b"read") == b"read"


def test_a_standing_flow_is_copied_while_it_goes_uninspected_only(plant: Plant) -> None:
    """What the worker carries it notes itself."""
    standing = tuple(replace(flow, is_copied=True) for flow in plant.ruleset.standing)
    plant.apply(standing=standing)
    proxy = plant.proxy()
    with copies(plant, 2) as found:
        assert exchange(plant.scada.connect(SAFETY, MODBUS), b"inspected") == b"inspected"
        proxy.process.kill()
        proxy.process.wait()
        assert exchange(plant.scada.connect(SAFETY, MODBUS), b"read") == b"read"
    assert [data for _, data in carried(found)] == [b"read", b"read"]
    assert {mark for mark, _ in found} == {SAFETY_GRANT | SAFETY_BIT | COPIED_BIT}


def test_the_worker_dials_under_a_copied_grant(plant: Plant) -> None:
    """Its own leg needs no copies, and its mark is good with or without the bit."""
    plant.apply(has_copies=True)
    proxy = plant.proxy()
    plant.open(42, overlay=INSPECTED, is_copied=True)
    assert exchange(plant.user.connect(INSPECTED, MODBUS), b"read") == b"read"
    assert eventually(lambda: proxy.sessions)[0]["mark"] & GRANT_MASK == 42
    assert plant.dial(42 | COPIED_BIT | 0x0800_0000, "192.168.10.51") == "connected"
