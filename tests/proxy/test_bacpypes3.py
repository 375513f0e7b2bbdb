"""A real BACnet client and a real device with inspection between them: what is refused is an error, and both go on.

bacpypes3 on both sides, over loopback; the datagrams of both pass an inspected flow.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from bacpypes3.apdu import ErrorPDU
from bacpypes3.app import Application
from bacpypes3.local.analog import AnalogValueObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.pdu import Address
from bacpypes3.primitivedata import CharacterString, ObjectIdentifier
from proxying import GRANT, T0, Inspected

from penstock.model import Decision, Operation, Reason
from penstock.model import OperationClass as Is
from penstock.proxy.inspect import Inspection
from penstock.proxy.meter import Meters
from penstock.proxy.rates import Rates
from penstock.wire.bacnet import BacnetDecoder

OBJECTS = 40
ALLOWED = frozenset({Is.READ, Is.DISCOVERY})
VALUE = ObjectIdentifier("analog-value,1")


def decide(operation: Operation, _now_us: int) -> Decision:
    """Reads and searches, and writes of the present value at priority 16."""
    name = operation.targets[0].name if operation.targets else ""
    fits = ALLOWED.issuperset(operation.classes) or (operation.classes == (Is.WRITE,) and name == "present-value@16")
    reason = Reason.ALLOWED if fits else Reason.OPERATION_NOT_ALLOWED
    return Decision(is_allowed=fits, reason=reason, revision=1, conduit="supervision")


class Between(asyncio.DatagramProtocol):
    """An inspected flow of datagrams between whoever asks first and the device at `device`."""

    def __init__(self, folder: Path, device: int) -> None:
        plain = Inspected(folder)
        flow = plain.journal.open_flow(GRANT, "127.0.0.1:1", T0)
        self.inspection = Inspection(GRANT, BacnetDecoder(), decide, plain.journal, flow, Rates(), Meters())
        self.plain, self._device = plain, ("127.0.0.1", device)
        self._client: tuple[str, int] | None = None
        self._transport: Any = None
        self.endings: list[object] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr == self._device:
            effect = self.inspection.from_asset(data, T0)
        else:
            self._client = addr
            effect = self.inspection.from_client(data, T0)
        if effect.ending is not None:
            self.endings.append(effect.ending)
        if effect.to_asset:
            self._transport.sendto(effect.to_asset, self._device)
        if effect.to_client:
            self._transport.sendto(effect.to_client, self._client)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def application(number: int, port: int, *objects: Any) -> Application:
    device = DeviceObject(
        objectIdentifier=("device", number), objectName=f"device {number}", vendorIdentifier=999,
        maxApduLengthAccepted=480,
    )  # fmt: skip
    link = NetworkPortObject(f"127.0.0.1/24:{port}", objectIdentifier=("network-port", 1), objectName="link")
    return Application.from_object_list([device, link, *objects])


def analog_value(number: int) -> AnalogValueObject:
    return AnalogValueObject(
        objectIdentifier=("analog-value", number), objectName=f"value {number}", presentValue=20.0,
        statusFlags=[0, 0, 0, 0], eventState="normal", outOfService=False, units="degrees-celsius",
    )  # fmt: skip


async def error_of(asked: Any) -> str:
    with pytest.raises(ErrorPDU) as caught:
        await asked
    return str(caught.value)


async def use(client: Application, gate: Address) -> None:
    """What an engineer does with it, one after the other."""
    assert await client.read_property(gate, VALUE, "present-value") == 20.0
    await client.write_property(gate, VALUE, "present-value", 21.5)
    assert await client.read_property(gate, VALUE, "present-value") == 21.5
    denied = "property: write-access-denied"
    assert denied in await error_of(client.write_property(gate, VALUE, "present-value", 5.0, priority=1))
    assert denied in await error_of(client.write_property(gate, VALUE, "description", CharacterString("x")))
    assert denied in await error_of(client.write_property(gate, VALUE, "description", CharacterString("x" * 900)))
    assert "unknown-property" in await error_of(client.read_property(gate, VALUE, "high-limit"))
    wanted: list[Any] = []
    for number in range(1, OBJECTS + 1):
        wanted += [f"analog-value,{number}", ["present-value", "object-name"]]
    assert [found[3] for found in await client.read_property_multiple(gate, wanted)][:3] == [21.5, "value 1", 20.0]
    assert [str(each.iAmDeviceIdentifier) for each in await client.who_is(1001, 1001, gate, timeout=1)] == [
        "device,1001"
    ]
    async with client.change_of_value(gate, VALUE, lifetime=60) as changes:
        assert (await changes.get_value())[1] == 21.5
    assert await client.read_property(gate, VALUE, "present-value") == 21.5


async def scene(folder: Path) -> Between:
    device_port, client_port = free_ports(2)
    device = application(1001, device_port, *map(analog_value, range(1, OBJECTS + 1)))
    client = application(1002, client_port)
    transport, between = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Between(folder, device_port), local_addr=("127.0.0.1", 0)
    )
    try:
        gate = Address(f"127.0.0.1:{transport.get_extra_info('sockname')[1]}")
        await asyncio.wait_for(use(client, gate), 30)
    finally:
        for each in (client, device, transport):
            each.close()
    return between


def test_a_client_shows_what_is_refused_and_goes_on(tmp_path: Path) -> None:
    """Reads, writes, searches, a subscription with confirmed notifications, and requests and answers in segments."""
    between = asyncio.run(scene(tmp_path))
    assert between.endings == []
    assert between.inspection.refused == 3
    refused = between.plain.records("operation.refused")
    assert [record.operation for record in refused] == ["bacnet.write"] * 3
