"""Where packets come from: forged sources, segments behind routers, assets that talk by themselves, IPv6, aliases."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace

import pytest
from gate_plant import (
    BACNET,
    GATE,
    INSPECTED,
    MODBUS,
    PLAIN,
    ROGUE,
    SAFETY,
    SCADA,
    USER,
    Echo,
    Plant,
    UdpEcho,
    eventually,
    exchange,
    is_cut,
)

from penstock.kernel.kick import checksum
from penstock.lab.netns import Node
from penstock.model import FlowsRefused, Inspected, Segment, Standing, Translation

FAR = "10.20.0.5"


def send(node: Node, source: str, destination: str, payload: bytes, protocol: int) -> None:
    """One IPv4 packet with this source, whoever has it."""
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, protocol, 0, *map(socket.inet_aton, (source, destination))
    )
    with node.socket(kind=socket.SOCK_RAW, protocol=socket.IPPROTO_RAW) as sender:
        sender.sendto(header + payload, (destination, 0))


def segment(source: str, destination: str, port: int, flags: int, source_port: int = 40_000) -> bytes:
    """A TCP segment without data."""
    text = struct.pack("!HHIIBBHHH", source_port, port, 1, 1, 0x50, flags, 1024, 0, 0)
    pseudo = struct.pack("!4s4sBBH", *map(socket.inet_aton, (source, destination)), 0, 6, len(text))
    return text[:16] + struct.pack("!H", checksum(pseudo + text)) + text[18:]


def datagram(port: int, source_port: int = 40_000) -> bytes:
    """A UDP datagram without a checksum."""
    return struct.pack("!HHHH", source_port, port, 8, 0)


@pytest.mark.parametrize(
    "source", [SAFETY, GATE, "10.99.0.1", "224.0.0.1"], ids=["overlay", "gate", "route", "multicast"]
)
@pytest.mark.parametrize("destination", [PLAIN, GATE])
def test_a_source_that_cannot_be_on_the_leg_is_forged(plant: Plant, source: str, destination: str) -> None:
    """An asset's overlay address, the gate's own, one whose route leads elsewhere, and none at all."""
    plant.gate.ip("link add other type veth peer name far", "link set far up", "link set other up")
    plant.gate.ip("route add 10.99.0.0/24 dev other")
    plant.open(42, source=source) if source[0] == "1" else None
    plant.rogue.ip(f"route replace {GATE}/32 dev eth0")
    send(plant.rogue, source, destination, segment(source, destination, MODBUS, 0x02), socket.IPPROTO_TCP)
    eventually(lambda: plant.counter("forged") == 1)
    assert plant.control.event(FlowsRefused, source=source).destination == destination
    assert plant.connections() == []
    assert plant.plain.peers == []


def test_a_segment_behind_a_router_comes_from_that_router_only(plant: Plant) -> None:
    """A machine of the leg that takes an address of it is refused; the router's packets pass; others are not asked."""
    router = "02:00:00:00:00:77"
    plant.user.ip("link set eth0 down", f"link set eth0 address {router}", "link set eth0 up")
    plant.user.ip(f"addr add {FAR}/32 dev lo", f"route add 100.64.0.0/16 via {GATE}")
    plant.gate.ip(f"route add 10.20.0.0/16 via {USER}")
    plant.apply(segments=(Segment(network="10.20.0.0/16", routers=(router,)),))
    plant.open(42, source=FAR)
    plant.open(43, source=ROGUE, overlay=INSPECTED, port=80)
    client = plant.user.socket()
    client.settimeout(2)
    client.bind((FAR, 0))
    client.connect((PLAIN, MODBUS))
    assert exchange(client, b"read") == b"read"
    send(plant.rogue, FAR, PLAIN, segment(FAR, PLAIN, MODBUS, 0x02, 41_000), socket.IPPROTO_TCP)
    eventually(lambda: plant.counter("forged") == 1)
    with pytest.raises(ConnectionRefusedError):
        plant.rogue.connect(INSPECTED, 80)
    source_port = client.getsockname()[1]
    send(plant.rogue, FAR, PLAIN, segment(FAR, PLAIN, MODBUS, 0x18, source_port), socket.IPPROTO_TCP)
    eventually(lambda: plant.counter("forged") == 2)
    assert exchange(client, b"read") == b"read"


@pytest.mark.parametrize("flags", [0x10, 0x12, 0x18, 0x11, 0x04, 0x00, 0x29])
def test_no_flow_of_a_grant_is_picked_up_half_way(plant: Plant, flags: int) -> None:
    """Only a SYN opens: neither ACK, SYN with ACK, data, FIN, RST, nothing at all, nor everything at once."""
    plant.open(42)
    send(plant.user, USER, PLAIN, segment(USER, PLAIN, MODBUS, flags), socket.IPPROTO_TCP)
    eventually(lambda: plant.counter("cut") == 1)
    assert plant.connections() == []
    assert plant.plain.peers == []


def test_an_answer_without_a_question_is_refused(plant: Plant) -> None:
    """Datagrams of an asset to a client, from the service's own port, without a flow that they belong to."""
    plant.open(43, transport="udp", port=BACNET)
    plant.plc.ip(f"route add {USER}/32 via {GATE}")
    heard = plant.user.listen(USER, 40_000, socket.SOCK_DGRAM)
    heard.settimeout(0.3)
    send(plant.plc, "192.168.10.50", USER, datagram(40_000, BACNET), socket.IPPROTO_UDP)
    send(plant.plc, "192.168.10.50", GATE, datagram(40_000, BACNET), socket.IPPROTO_UDP)
    eventually(lambda: plant.counter("refused") == 2)
    with pytest.raises(TimeoutError):
        heard.recv(100)
    assert plant.connections() == []


def test_an_asset_opens_nothing_through_the_gate(plant: Plant) -> None:
    """While it is talked to under a grant: to overlay addresses, to the gate, to its clients, to others around it."""
    plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    assert exchange(client, b"read") == b"read"
    plant.plc.route("100.64.0.0/16", GATE)
    for address in (USER, ROGUE, SCADA):
        plant.plc.ip(f"route add {address}/32 via {GATE}")
    UdpEcho(plant.gate, GATE, 9000)
    targets = [PLAIN, INSPECTED, SAFETY, USER, ROGUE, SCADA, GATE]
    for target in targets:
        for port in (MODBUS, client.getsockname()[1], 9000):
            own = "192.168.10.50"
            send(plant.plc, own, target, segment(own, target, port, 0x02, MODBUS - 1), socket.IPPROTO_TCP)
            send(plant.plc, own, target, datagram(port, MODBUS), socket.IPPROTO_UDP)
    eventually(lambda: plant.counter("refused") == len(targets) * 6)
    assert [entry.mark for entry in plant.connections()] == [42]
    assert exchange(client, b"read") == b"read"


def test_the_gate_s_own_ports_answer_over_ipv6_and_nothing_else_does(plant: Plant) -> None:
    """Neighbours find it; the portal's port is open, others, pings and ways through the gate are not."""
    plant.gate.ip("addr add fd00::2/64 dev eth0 nodad")
    plant.user.ip("addr add fd00::11/64 dev eth0 nodad", "route add fd01::/64 via fd00::2")
    for port in (8443, 8080):
        with plant.gate.entered():
            listener = socket.create_server(("fd00::2", port), family=socket.AF_INET6)
        plant.gate._sockets.append(listener)
    plant.gate.sysctl("net.ipv6.conf.all.forwarding", 1)
    client = plant.user.socket(socket.AF_INET6)
    client.settimeout(2)
    client.connect(("fd00::2", 8443))
    for address, port in (("fd00::2", 8080), ("fd01::1", 8443)):
        refused = plant.user.socket(socket.AF_INET6)
        refused.settimeout(0.3)
        with pytest.raises(TimeoutError):
            refused.connect((address, port))
    before = plant.counter("refused")
    assert before >= 2
    with plant.user.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as pinger:
        pinger.sendto(struct.pack("!BBHHH", 128, 0, 0, 1, 1), ("fd00::2", 0))
    eventually(lambda: plant.counter("refused") > before)


def test_declared_datagram_ports_answer_on_the_leg(plant: Plant) -> None:
    """For names; what is not declared does not."""
    UdpEcho(plant.gate, GATE, 53)
    client = plant.user.socket(kind=socket.SOCK_DGRAM)
    client.settimeout(0.3)
    client.connect((GATE, 53))
    with pytest.raises(TimeoutError):
        exchange(client, b"name")
    plant.apply(place=replace(plant.ruleset.place, open_udp_ports=(53,)))
    client.settimeout(2)
    assert exchange(client, b"name") == b"name"


def test_an_overlay_address_on_the_gate_itself_is_no_way_to_its_own_ports(plant: Plant) -> None:
    """Where the overlay lies in the leg's subnet its addresses are the gate's: they lead to assets, or nowhere."""
    aliases = {"192.168.10.150": "192.168.10.50", "192.168.10.160": "192.168.10.60"}
    plant.gate.ip(*(f"addr add {alias}/32 dev eth0" for alias in aliases))
    plant.apply(
        overlay="192.168.10.128/25",
        assets=tuple(Translation(overlay=alias, underlay=own) for alias, own in aliases.items()),
        inspected=(Inspected(overlay="192.168.10.160", transport="tcp", port=MODBUS),),
        standing=(Standing(source=SCADA, overlay="192.168.10.160", transport="tcp", port=MODBUS, grant=7),),
    )
    proxy = plant.proxy()
    opened = plant.open(42, overlay="192.168.10.150", underlay="192.168.10.50")
    plant.open(43, overlay="192.168.10.150", underlay="192.168.10.50", port=8443)
    plant.open(44, overlay="192.168.10.199", underlay="192.168.10.99", port=8443)
    client = plant.user.connect("192.168.10.150", MODBUS)
    assert exchange(client, b"read") == b"read"
    plant.scada.connect("192.168.10.160", MODBUS)
    assert eventually(lambda: proxy.sessions)[0]["overlay"] == "192.168.10.160"
    assert plant.plain.peers == [GATE]
    plant.gate.ip("addr add 192.168.10.199/32 dev eth0")
    for port in (8443, 22):
        plant.gate.listen("0.0.0.0", port)
    with pytest.raises(ConnectionRefusedError):  # by the asset, which has no such port
        plant.user.connect("192.168.10.150", 8443)
    for alias, port in (
        ("192.168.10.150", 22),
        ("192.168.10.150", 15002),
        ("192.168.10.199", 8443),
        ("192.168.10.160", 22),
    ):
        with pytest.raises(TimeoutError):
            plant.user.connect(alias, port, timeout_s=0.3)
    plant.user.connect(GATE, 8443).close()
    plant.cut(opened)
    assert is_cut(client)


_HELPER = """
table ip somebody {
  ct helper ftp { type "ftp" protocol tcp; }
  chain prerouting { type filter hook prerouting priority -160; tcp dport 502 ct helper set "ftp"; }
}
"""


def test_a_helper_that_somebody_else_set_up_opens_no_further_port(plant: Plant) -> None:
    """The kernel gives a flow that a helper expects the mark of the flow that announced it."""
    plant.gate.run(["nft", _HELPER])
    Echo(plant.plc, "192.168.10.50", 1000)
    plant.plc.ip(f"route add {USER}/32 via {GATE}")
    plant.open(42)
    client = plant.user.connect(PLAIN, MODBUS)
    assert exchange(client, b"220 ready\r\n") == b"220 ready\r\n"
    told = exchange(client, b"227 Entering Passive Mode (192,168,10,50,3,232)\r\n")
    assert b"(100,64,0,50,3,232)" in told, "the helper is not at work"
    with pytest.raises(TimeoutError):
        plant.user.connect(PLAIN, 1000, timeout_s=0.5)
    heard = plant.user.listen(USER, 1001)
    heard.settimeout(0.5)
    exchange(client, b"PORT 192,168,10,11,3,233\r\n")
    with pytest.raises(OSError):
        plant.plc.connect(GATE, 1001, timeout_s=0.5)
    with pytest.raises(TimeoutError):
        heard.accept()
    assert exchange(client, b"read\r\n") == b"read\r\n"
