"""The kernel against a second opinion: random sites, random packets, and what really comes out of the gate."""

from __future__ import annotations

import json
import socket
import struct
import time
from random import Random

import pytest
from gate_plant import Plant, eventually
from passing import SOURCES, Arrival, Packet, World

from penstock.kernel.kick import checksum
from penstock.model import FIRST_WORKER_MARK, ArmWorker, CloseGrants, OpenGrant

IP, PACKETS = 0x0800, 80
MAGIC = 0x5EED


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_out_is_what_the_model_says(plant: Plant, seed: int) -> None:
    """People and machines, TCP, UDP and echo, ranges, moved ports, shared addresses, forged sources; and withdrawn."""
    world = World(Random(seed))
    plant.control.do(ArmWorker(mark=FIRST_WORKER_MARK))  # the first ruleset's standing flows begin; nobody beats
    plant.apply(**world.ruleset(plant.ruleset))
    for each in world.grants():
        plant.control.do(OpenGrant(grant=each, ttl_ms=60_000))
    eventually(lambda: "elements" not in plant.gate.run(["nft", "list", "set", "inet", "penstock", "alive"]))
    live = {each.number for each in world.permissions}
    listeners = Listeners(plant)
    leg = json.loads(plant.gate.run(["ip", "-j", "link", "show", "eth0"]))[0]
    gate = bytes.fromhex(leg["address"].replace(":", ""))
    passed = 0
    for index in range(2):
        packets = {index * PACKETS + count: world.packet() for count in range(PACKETS)}
        expected = {number: world.arrival(packet, live) for number, packet in packets.items()}
        passed += sum(arrival is not None for arrival in expected.values())
        for number, packet in packets.items():
            send(plant, gate, number, packet)
        listeners.until(sum(arrival is not None for arrival in expected.values()))
        found = {number: listeners.arrived.get(number, []) for number in packets}
        wrong = {
            number: (packets[number], expected[number], found[number])
            for number in packets
            if found[number] != ([("plc", expected[number])] if expected[number] else [])
        }
        assert not wrong, "\n".join(map(str, wrong.items()))
        withdrawn = Random(seed).sample([each.number for each in world.grants()], 3)
        plant.control.do(CloseGrants(numbers=tuple(withdrawn)))
        live -= set(withdrawn)
        listeners.arrived.clear()
    assert passed >= PACKETS // 3, "the packets are worth their while"


def send(plant: Plant, gate: bytes, number: int, packet: Packet) -> None:
    """Put it on the wire, to the hardware address of the `gate`, from the node that sends it."""
    source_port, text = 20_000 + number, b""
    if packet.transport == "tcp":
        text = struct.pack(
            "!HHIIBBHHH", source_port, packet.port & 0xFFFF, MAGIC << 16 | number, 0, 0x50, packet.kind, 512, 0, 0
        )
        ends = socket.inet_aton(packet.source) + socket.inet_aton(packet.destination)
        total = checksum(ends + struct.pack("!BBH", 0, 6, len(text)) + text)
        text = text[:16] + struct.pack("!H", total) + text[18:]
    elif packet.transport == "udp":
        text = struct.pack("!HHHHHH", source_port, packet.port & 0xFFFF, 12, 0, MAGIC, number)
    else:
        body = struct.pack("!HHHHH", source_port, 1, MAGIC, number, 0)
        text = struct.pack("!BBH", packet.kind, 0, checksum(bytes((packet.kind, 0, 0, 0)) + body)) + body
    protocol = {"tcp": 6, "udp": 17, "icmp": 1}[packet.transport]
    ends = socket.inet_aton(packet.source) + socket.inet_aton(packet.destination)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(text), number, 0, 64, protocol, 0) + ends
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    with plant.lan.nodes[packet.node].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as wire:
        wire.sendto(header + text, ("eth0", IP, 0, 0, gate))


class Listeners:
    """Everything that machines get, by the number of the packet."""

    def __init__(self, plant: Plant) -> None:
        self.arrived: dict[int, list[tuple[str, Arrival]]] = {}
        self._sockets = {}
        for name in SOURCES:
            node = plant.lan.nodes[name]
            self._sockets[name] = node.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IP))
            self._sockets[name].setblocking(False)

    def until(self, count: int) -> None:
        """Listen until so many have arrived, and a little longer for those that should not."""
        eventually(lambda: self._listen() or len(self.arrived) >= count)
        time.sleep(0.15)
        self._listen()

    def _listen(self) -> None:
        for name, heard in self._sockets.items():
            try:
                while True:
                    packet, (_, _, direction, *_) = heard.recvfrom(4096)
                    if direction == socket.PACKET_HOST:
                        self._note(name, packet)
            except BlockingIOError:
                pass

    def _note(self, name: str, packet: bytes) -> None:
        transport = {6: "tcp", 17: "udp", 1: "icmp"}.get(packet[9], "")
        text = packet[20:]
        place = {"tcp": 4, "udp": 8, "icmp": 8}.get(transport, len(text))
        magic, number = struct.unpack_from("!HH", text.ljust(place + 4, b"\0"), place)
        is_echo = transport == "icmp" and text[0] in (0, 3)
        is_reset = transport == "tcp" and text[13] & 0x04
        if magic != MAGIC or is_echo or is_reset:
            return  # answers and errors, which quote what was sent
        port = 0 if transport == "icmp" else int.from_bytes(text[2:4], "big")
        seen = Arrival(socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]), transport, port)
        self.arrived.setdefault(number, []).append((name, seen))
