"""Inspected UDP services through the real kernel and a real worker: what passes, what is answered, what fails how."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnp3_messages import CLASS_POLL, CROB, request, response
from enip_messages import TO_ORIGINATOR, TO_TARGET, encapsulated, implicit, opened, opening, rr_data
from gate_plant import GATE, INSPECTED, MODBUS, SAFETY, SAFETY_GRANT, SCADA, USER, eventually, exchange
from inspecting import Inspecting, UdpAsset, UdpClient, ada_s

from penstock.lab.netns import Node
from penstock.model import KernelFlowOpened, StandAside, StandBack
from penstock.wire import NAMED, Role, Side

ASSET, SAFE_ASSET = "192.168.10.51", "192.168.10.60"
READ, WRITE = bytes.fromhex("0000 0006 01 03 000a 0003"), bytes.fromhex("0000 0006 01 06 0014 0001")
ALLOWED_WRITE = bytes.fromhex("0000 0006 01 06 000a 0055")
VALUES = bytes.fromhex("0000 0009 01 03 06 0001 0002 0003")


def message(number: int, rest: bytes) -> bytes:
    return number.to_bytes(2, "big") + rest


def modbus(data: bytes) -> bytes:
    """What a controller says to a read or a write."""
    return data[:2] + (VALUES if data[7] == 3 else data[2:])


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Inspecting]:
    built = Inspecting(tmp_path)
    try:
        yield built
    finally:
        built.close()


def peer(node: Node, role: str, address: str) -> None:
    """Start a server of the stand-ins."""
    node.popen([sys.executable, str(Path(__file__).with_name("udp_peers.py")), role, address])
    port = {"modbus-serve": 502, "bacnet-serve": 47808}[role]
    eventually(lambda: f"{address}:{port}" in node.run(["ss", "-Huanl"]), 20)


def use(node: Node, role: str, address: str) -> dict[str, object]:
    """What a client of the stand-ins finds."""
    found = node.run([sys.executable, str(Path(__file__).with_name("udp_peers.py")), role, address])
    return dict(json.loads(found))


def test_a_real_modbus_client_reads_writes_and_is_refused_over_udp(plant: Inspecting) -> None:
    """Pymodbus on both sides: a write outside of the conduit's limits is an exception, and the client goes on."""
    peer(plant.plant.plc, "modbus-serve", ASSET)
    plant.worker.open(ada_s(42, "modbus", MODBUS))
    assert use(plant.plant.user, "modbus-use", INSPECTED) == {
        "read": [0, 0, 0],
        "write": False,
        "written": [300],
        "refused": 2,
        "too much": 3,
        "after": [0],
    }
    refused = [(record.grant, record.operation, record.reason) for record in plant.worker.records("operation.refused")]
    assert refused == [(42, "modbus.write", "object_out_of_range"), (42, "modbus.write", "value_out_of_range")]


def test_a_real_bacnet_client_reads_writes_subscribes_and_is_refused(plant: Inspecting) -> None:
    """bacpypes3 on both sides, each at port 47808: the answers come from the overlay address and the port it asked."""
    peer(plant.plant.plc, "bacnet-serve", ASSET)
    plant.worker.open(ada_s(42, "bacnet", 47808))
    found = use(plant.plant.user, "bacnet-use", f"{USER},{INSPECTED}")
    assert "write-access-denied" in str(found.pop("refused"))
    assert found == {"read": 20.0, "written": 21.5, "who": ["device,1001"], "change": 21.5, "after": 20.0}
    (flow,) = plant.worker.records("flow.opened")
    assert (flow.grant, flow.detail["way"], flow.detail["source"]) == (42, "direct", f"{USER}:47808")
    assert [record.operation for record in plant.worker.records("operation.refused")] == ["bacnet.write"]


FINS_READ = bytes.fromhex("80000200050000100009 0101 82 0064 00 0001")
FINS_VALUE = bytes.fromhex("c0000200100000050009 0101 0000 1234")
FINS_WRITE = bytes.fromhex("80000200050000100009 0102 82 0064 00 0001 0055")
DNP3_POLL = request(CLASS_POLL)
DNP3_OPERATE = request(f"C4 05 {CROB}")
DNP3_ANSWER = response("C3 81 00 00")


@pytest.mark.parametrize(
    ("protocol", "port", "allowed", "said", "forbidden"),
    [("fins", 9600, FINS_READ, FINS_VALUE, FINS_WRITE), ("dnp3", 20000, DNP3_POLL, DNP3_ANSWER, DNP3_OPERATE)],
)
def test_other_protocols_are_refused_in_their_own_tongue(
    plant: Inspecting, protocol: str, port: int, allowed: bytes, said: bytes, forbidden: bytes
) -> None:
    asset = UdpAsset(plant.plant.plc, ASSET, port, lambda _: said)
    plant.worker.open(ada_s(42, protocol, port))
    client = UdpClient(plant.plant.user, INSPECTED, port, port)
    assert client.ask(allowed) == said
    answer = client.ask(forbidden)
    assert answer is not None
    reading = NAMED[protocol].datagrams
    assert reading is not None
    decoder = reading()
    (asked,), (refusal,) = decoder.feed(Side.CLIENT, forbidden), decoder.feed(Side.ASSET, answer)
    assert (refusal.role, refusal.is_refusal, refusal.exchange) == (Role.REPLY, True, asked.exchange)
    assert client.ask(allowed) == said
    assert asset.received == [allowed] * 2
    assert set(asset.peers) == {(GATE, port)}, "asked from the asset's own port number"


@pytest.fixture
def asset(plant: Inspecting) -> UdpAsset:
    return UdpAsset(plant.plant.plc, ASSET, MODBUS, modbus)


def test_the_asset_sees_the_gate_and_no_connection_is_kept_of_the_client(plant: Inspecting, asset: UdpAsset) -> None:
    plant.worker.open(ada_s(42, "modbus", MODBUS))
    client = UdpClient(plant.plant.user, INSPECTED, MODBUS)
    assert client.ask(message(1, READ)) == message(1, VALUES)
    assert {address for address, _ in asset.peers} == {GATE}
    sources = {entry.original.source for entry in plant.plant.connections()}
    assert USER not in sources
    assert GATE in sources


def test_nobody_else_gets_through_and_a_forged_source_neither(plant: Inspecting, asset: UdpAsset) -> None:
    safe = UdpAsset(plant.plant.plc, SAFE_ASSET, MODBUS, modbus)
    plant.worker.open(ada_s(42, "modbus", MODBUS))
    rogue = plant.plant.rogue
    assert UdpClient(rogue, INSPECTED, MODBUS).ask(message(1, READ), 0.3) is None
    assert UdpClient(plant.plant.user, SAFETY, MODBUS).ask(message(1, READ), 0.3) is None
    before = plant.plant.counter("forged")
    rogue.ip(f"addr add {SCADA}/32 dev eth0")
    forged = rogue.socket(kind=socket.SOCK_DGRAM)
    forged.bind((SCADA, 0))
    forged.sendto(message(1, READ), (SAFETY, MODBUS))
    eventually(lambda: plant.plant.counter("forged") > before, 3)
    assert plant.plant.counter("refused") >= 3
    assert (asset.received, safe.received) == ([], [])
    assert plant.worker.records("flow.opened") == []


def test_a_grant_of_a_station_admits_its_hardware_address_and_no_other(plant: Inspecting, asset: UdpAsset) -> None:
    user = plant.plant.user
    (link,) = json.loads(user.run(["ip", "-j", "link", "show", "dev", "eth0"]))
    plant.worker.open(ada_s(42, "modbus", MODBUS, station_mac=link["address"]))
    client = UdpClient(user, INSPECTED, MODBUS)
    assert client.ask(message(1, READ)) == message(1, VALUES)
    user.ip("link set dev eth0 address 02:00:00:00:00:99")
    plant.plant.gate.ip("neigh flush dev eth0")
    assert client.ask(message(2, READ), 0.5) is None
    assert plant.plant.counter("forged") >= 1
    user.ip(f"link set dev eth0 address {link['address']}")
    plant.plant.gate.ip("neigh flush dev eth0")
    eventually(lambda: client.ask(message(3, READ), 0.5) == message(3, VALUES), 5)
    assert message(2, READ) not in asset.received


def test_a_flood_of_one_client_does_not_keep_another_one_from_its_answers(plant: Inspecting, asset: UdpAsset) -> None:
    """Neither over one flow, nor with a new port for each datagram."""
    UdpAsset(plant.plant.plc, SAFE_ASSET, MODBUS, modbus)
    plant.worker.open(ada_s(42, "modbus", MODBUS))
    scada, loud = UdpClient(plant.plant.scada, SAFETY, MODBUS), UdpClient(plant.plant.user, INSPECTED, MODBUS)
    assert scada.ask(message(1, READ)) == message(1, VALUES)
    for number in range(60):
        for _ in range(100):
            loud.socket.send(message(number, WRITE))
        if number % 6 == 0:
            UdpClient(plant.plant.user, INSPECTED, MODBUS).socket.send(message(number, READ))
            assert scada.ask(message(number, READ)) == message(number, VALUES), number
    assert all(data.endswith(READ) for data in asset.received), "and nothing of it got through"


def test_datagrams_of_a_withdrawn_grant_are_dropped_by_the_kernel_and_by_the_worker(
    plant: Inspecting, asset: UdpAsset
) -> None:
    opened = plant.worker.open(ada_s(42, "modbus", MODBUS))
    client = UdpClient(plant.plant.user, INSPECTED, MODBUS)
    assert client.ask(message(1, READ)) == message(1, VALUES)
    plant.plant.cut(opened)
    for number in range(2, 12):
        client.socket.send(message(number, READ))
    asset.socket.sendto(message(1, VALUES), asset.peers[0])
    assert client.ask(message(12, READ), 0.3) is None
    plant.worker.withdraw(opened)
    eventually(lambda: plant.worker.records("flow.closed"), 5)
    assert asset.received == [message(1, READ)]


def test_a_killed_worker_fails_open_for_safety_and_closed_for_others_and_a_fresh_one_inspects_at_once(
    plant: Inspecting, asset: UdpAsset
) -> None:
    """The clients keep their sockets: the same datagram flow goes over to the kernel path, and comes back."""
    safe = UdpAsset(plant.plant.plc, SAFE_ASSET, MODBUS, modbus)
    plant.worker.open(ada_s(42, "modbus", MODBUS))
    safety, other = (
        UdpClient(plant.plant.scada, SAFETY, MODBUS, 502),
        UdpClient(plant.plant.user, INSPECTED, MODBUS, 502),
    )
    for client in (safety, other):
        assert client.ask(message(1, READ)) == message(1, VALUES)
    assert safety.ask(message(2, WRITE)) == message(2, bytes.fromhex("0000 0003 01 86 01"))
    plant.worker.kill()
    eventually(lambda: safety.ask(message(3, WRITE), 0.2) == message(3, WRITE), 5)
    assert plant.plant.control.event(KernelFlowOpened, grant=SAFETY_GRANT).has_failed_open
    assert other.ask(message(3, READ), 0.5) is None
    assert plant.plant.counter("failed_open") >= 1
    assert plant.plant.counter("failed_closed") >= 1
    plant.worker.start()
    assert safety.ask(message(4, WRITE)) == message(4, bytes.fromhex("0000 0003 01 86 01"))
    assert other.ask(message(4, READ)) == message(4, VALUES)
    assert message(4, WRITE) not in safe.received
    assert message(3, READ) not in asset.received


def test_what_waits_in_a_worker_that_hung_never_arrives(plant: Inspecting, asset: UdpAsset) -> None:
    plant.worker.open(ada_s(42, "modbus", MODBUS))
    UdpAsset(plant.plant.plc, SAFE_ASSET, MODBUS, modbus)
    safety, other = UdpClient(plant.plant.scada, SAFETY, MODBUS), UdpClient(plant.plant.user, INSPECTED, MODBUS)
    for client in (safety, other):
        assert client.ask(message(1, READ)) == message(1, VALUES)
    plant.plant.kill_enforcer()
    plant.worker.stop()
    for number in range(2, 12):
        other.socket.send(message(number, ALLOWED_WRITE))
    hung_at = time.monotonic()
    eventually(lambda: safety.ask(message(3, READ), 0.2) == message(3, VALUES), 5)
    assert time.monotonic() - hung_at < 1.6
    time.sleep(max(0.0, hung_at + 1.4 - time.monotonic()))
    plant.worker.go_on()
    plant.worker.process.wait(10)  # it finds that it stood still, and ends
    assert other.ask(message(20, READ), 0.3) is None
    assert asset.received == [message(1, READ)]
    plant.plant.start_enforcer()


def test_a_grant_that_stands_aside_takes_the_kernel_path_and_comes_back(plant: Inspecting) -> None:
    safe = UdpAsset(plant.plant.plc, SAFE_ASSET, MODBUS, modbus)
    client = UdpClient(plant.plant.scada, SAFETY, MODBUS)
    assert client.ask(message(1, READ)) == message(1, VALUES)
    plant.plant.control.do(StandAside(numbers=(SAFETY_GRANT,), ttl_ms=None))
    assert client.ask(message(2, WRITE)) == message(2, WRITE), "uninspected"
    eventually(lambda: plant.worker.records("flow.closed"), 5)
    plant.plant.control.do(StandBack(numbers=(SAFETY_GRANT,)))
    assert client.ask(message(3, WRITE)) == message(3, bytes.fromhex("0000 0003 01 86 01"))
    assert message(3, WRITE) not in safe.received
    eventually(lambda: len(plant.worker.records("flow.opened")) == 2, 5)


IMPLICIT = {"trigger": 0x01, "to_target": 0x4806, "to_originator": 0x2820}
ASSEMBLIES = bytes.fromhex("20 04 24 0a 2c 64 2c 65")


def adapter(plant: Inspecting) -> UdpAsset:
    """An asset that accepts a session and one opening over TCP, and answers what it consumes with what it produces."""
    listening = plant.plant.plc.listen(ASSET, 44818)

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            for answer in (encapsulated(0x65, b"\1\0\0\0"), rr_data(opened(), context=7)):
                connection.recv(4096)
                connection.sendall(answer)
            connection.recv(4096)

    threading.Thread(target=serve, daemon=True).start()
    return UdpAsset(plant.plant.plc, ASSET, 2222, lambda _: implicit(TO_ORIGINATOR, bytes(6)))


def test_implicit_data_pass_both_ways_once_their_connection_was_opened_over_tcp(plant: Inspecting) -> None:
    """Also what the asset sends by itself, to the port of the protocol; before the opening everything is refused."""
    asset = adapter(plant)
    plant.worker.open(ada_s(42, "enip", 44818, "tcp"))
    plant.worker.open(ada_s(43, "enip", 2222, service="enip-io"))
    data = UdpClient(plant.plant.user, INSPECTED, 2222, 2222)
    assert data.ask(implicit(TO_TARGET, bytes(6)), 0.3) is None
    (refused,) = eventually(lambda: plant.worker.records("operation.refused"), 5)
    assert (refused.grant, refused.operation) == (43, "enip.unknown")

    talk = plant.plant.user.connect(INSPECTED, 44818)
    assert exchange(talk, encapsulated(0x65, b"\1\0\0\0")) == encapsulated(0x65, b"\1\0\0\0")
    asked = rr_data(opening(ASSEMBLIES, **IMPLICIT), context=7)
    assert exchange(talk, asked) == rr_data(opened(), context=7)
    for count in range(2, 5):
        assert data.ask(implicit(TO_TARGET, b"\1\0" + bytes(4), count)) == implicit(TO_ORIGINATOR, bytes(6))
    assert asset.received == [implicit(TO_TARGET, b"\1\0" + bytes(4), count) for count in range(2, 5)]
    assert set(asset.peers) == {(GATE, 2222)}
    asset.socket.sendto(implicit(TO_ORIGINATOR, bytes(6), 9), (GATE, 2222))
    assert data.socket.recv(100) == implicit(TO_ORIGINATOR, bytes(6), 9)
    asset.socket.sendto(implicit(0x0BAD, bytes(6), 9), (GATE, 2222))
    assert data.ask(implicit(TO_TARGET, bytes(6), 5)) == implicit(TO_ORIGINATOR, bytes(6))
    talk.close()
