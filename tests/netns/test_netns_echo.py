"""Echo (ping), and what else of ICMP passes: nothing but errors that belong to a live flow."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest
from gate_plant import (
    GATE,
    INSPECTED,
    MODBUS,
    PLAIN,
    ROGUE,
    SAFETY,
    SCADA,
    USER,
    Plant,
    eventually,
    exchange,
)

from penstock.kernel.kick import checksum
from penstock.lab.netns import Node
from penstock.model import FlowsRefused, KernelFlowOpened, Standing

ECHO, TIMESTAMP = 8, 13


def pings(node: Node, address: str, kind: int = ECHO, identifier: int = 77, size: int = 8) -> bytes | None:
    """What comes back for one ICMP question within 0.4 s: its type and all that follows."""
    with node.socket(kind=socket.SOCK_RAW, protocol=socket.IPPROTO_ICMP) as asker:
        asker.settimeout(0.4)
        body = struct.pack("!HH", identifier, 1) + b"p" * size
        total = checksum(bytes((kind, 0, 0, 0)) + body)
        asker.sendto(struct.pack("!BBH", kind, 0, total) + body, (address, 0))
        try:
            while True:
                packet, sender = asker.recvfrom(4096)
                if sender[0] == address and packet[20] != kind:
                    return packet[20:]
        except TimeoutError:
            return None


def test_an_echo_passes_under_its_own_grant_only_and_ends_with_it(plant: Plant) -> None:
    """Not under one for a port of the same asset, not to another asset, not of another source."""
    plant.open(42)
    assert pings(plant.user, PLAIN) is None
    told = plant.control.event(FlowsRefused, destination=PLAIN, transport="icmp")
    assert told.port == 0
    opened = plant.open(43, transport="icmp", port=0)
    answer = pings(plant.user, PLAIN, size=1400)
    assert answer is not None
    assert answer[0] == 0
    assert answer[8:] == b"p" * 1400
    assert pings(plant.user, INSPECTED) is None
    assert pings(plant.rogue, PLAIN) is None
    assert plant.control.event(KernelFlowOpened, grant=43).overlay == PLAIN
    plant.cut(opened)
    assert pings(plant.user, PLAIN) is None
    with pytest.raises(TimeoutError):
        plant.user.connect(PLAIN, 80, timeout_s=0.2)


def test_a_standing_echo_goes_on_until_a_ruleset_takes_it_away(plant: Plant) -> None:
    """A machine that watches whether an asset is there; nobody else is admitted by it."""
    watching = Standing(source=SCADA, overlay=PLAIN, transport="icmp", port=0, grant=9)
    plant.apply(standing=(watching,))
    plant.proxy()
    assert pings(plant.scada, PLAIN) is not None
    assert pings(plant.user, PLAIN) is None
    plant.apply(standing=())
    assert pings(plant.scada, PLAIN) is None


def test_nothing_else_of_icmp_opens_a_flow(plant: Plant) -> None:
    """A grant for echoes admits requests for echoes: no timestamps, no answers without a question."""
    plant.open(43, transport="icmp", port=0)
    plant.open(44, transport="icmp", port=0, overlay=SAFETY)
    assert pings(plant.user, PLAIN, TIMESTAMP) is None
    assert pings(plant.user, PLAIN, 0) is None
    assert plant.counter("refused") + plant.counter("cut") >= 2
    assert plant.connections() == []


def test_a_checksum_that_looks_like_a_granted_port_opens_nothing(plant: Plant) -> None:
    """Where TCP has its port ICMP has its checksum, which the sender chooses."""
    plant.open(42)
    body = struct.pack("!HH", 77, 1)
    rest = 0xFFFF - (0x0800 + 77 + 1) - MODBUS
    with plant.user.socket(kind=socket.SOCK_RAW, protocol=socket.IPPROTO_ICMP) as asker:
        asker.sendto(struct.pack("!BBH", ECHO, 0, MODBUS) + body + struct.pack("!H", rest), (PLAIN, 0))
    plant.control.event(FlowsRefused, destination=PLAIN, transport="icmp")
    assert plant.connections() == []


def test_an_asset_pings_nobody_through_the_gate(plant: Plant) -> None:
    """Neither an overlay address nor, around it, another machine."""
    plant.plc.route("100.64.0.0/16", GATE)
    plant.plc.ip(f"route add {ROGUE}/32 via {GATE}")
    assert pings(plant.plc, PLAIN) is None
    assert pings(plant.plc, ROGUE) is None
    assert plant.counter("refused") >= 2
    assert plant.connections() == []


def test_the_path_mtu_is_found_over_the_gate(plant: Plant) -> None:
    """A router on the asset's side cannot take a packet: the client hears of it and sends smaller ones."""
    opened = plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    quoted = _seen(plant.plc, GATE, lambda: exchange(client, b"read"))
    _tell_fragmentation_needed(plant.plc, quoted)
    eventually(lambda: "mtu 1000" in plant.user.run(["ip", "route", "get", PLAIN]))
    assert exchange(client, b"q" * 3000)[:1000] == b"q" * 1000
    plant.cut(opened)


def test_an_error_of_an_ended_flow_passes_no_more(plant: Plant) -> None:
    """It is judged as the flow is that it belongs to."""
    opened = plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    quoted = _seen(plant.plc, GATE, lambda: exchange(client, b"read"))
    plant.cut(opened)
    _tell_fragmentation_needed(plant.plc, quoted)
    eventually(lambda: plant.counter("refused") + plant.counter("cut") >= 1)
    assert "mtu" not in plant.user.run(["ip", "route", "get", PLAIN])


def test_the_worker_s_socket_hears_of_the_path_mtu_of_its_client(plant: Plant) -> None:
    """Errors that belong to an inspected flow reach the transparent socket."""
    plant.proxy()
    plant.open(42, overlay=INSPECTED)
    client = plant.user.connect(INSPECTED, MODBUS)
    quoted = _seen(plant.user, INSPECTED, lambda: exchange(client, b"read"))
    _tell_fragmentation_needed(plant.user, quoted)
    eventually(lambda: "mtu 1000" in plant.gate.run(["ip", "route", "get", USER]))
    assert exchange(client, b"still there") == b"still there"


def _seen(node: Node, source: str, act: Callable[[], object]) -> bytes:
    """The first packet with a payload that comes to `node` from `source` while `act` goes on."""
    with node.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as listener:
        listener.settimeout(2)
        act()
        while True:
            packet = listener.recv(4096)
            if packet[12:16] == socket.inet_aton(source) and packet[9] == socket.IPPROTO_TCP and b"read" in packet:
                return packet


def _tell_fragmentation_needed(node: Node, packet: bytes) -> None:
    """From `node` to the sender of this packet: it was too long for 1,000 bytes (RFC 1191 section 4)."""
    behind = int.from_bytes(packet[24:28], "big") + len(b"read")  # as if the next bytes had been under way already
    body = struct.pack("!HH", 0, 1000) + packet[:24] + behind.to_bytes(5, "big")[1:]
    total = checksum(b"\x03\x04\0\0" + body)
    with node.socket(kind=socket.SOCK_RAW, protocol=socket.IPPROTO_ICMP) as teller:
        teller.sendto(b"\x03\x04" + struct.pack("!H", total) + body, (socket.inet_ntoa(packet[12:16]), 0))
