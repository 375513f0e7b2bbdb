"""Real clients and servers over UDP, each a process: ``udp_peers.py ROLE ADDRESS``; a client prints a line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from bacpypes3.apdu import ErrorPDU
from bacpypes3.app import Application
from bacpypes3.local.analog import AnalogValueObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.pdu import Address
from bacpypes3.primitivedata import ObjectIdentifier
from pymodbus.client import AsyncModbusUdpClient
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import StartAsyncUdpServer


async def modbus_serve(address: str) -> None:

    device = ModbusDeviceContext(hr=ModbusSequentialDataBlock(1, [0] * 100))
    context = ModbusServerContext(devices=device, single=True)
    await StartAsyncUdpServer(context=context, address=(address, 502))


async def modbus_use(address: str) -> None:

    client = AsyncModbusUdpClient(address, port=502, timeout=2, retries=1)
    assert await client.connect()
    found: dict[str, Any] = {}
    found["read"] = (await client.read_holding_registers(10, count=3)).registers
    found["write"] = (await client.write_register(10, 300)).isError()
    found["written"] = (await client.read_holding_registers(10, count=1)).registers
    refused = await client.write_register(20, 1)
    found["refused"] = refused.exception_code
    found["too much"] = (await client.write_register(11, 900)).exception_code
    found["after"] = (await client.read_holding_registers(11, count=1)).registers
    client.close()
    print(json.dumps(found))


def application(number: int, address: str, *objects: Any) -> Any:

    device = DeviceObject(objectIdentifier=("device", number), objectName=f"device {number}", vendorIdentifier=999)
    link = NetworkPortObject(f"{address}/24:47808", objectIdentifier=("network-port", 1), objectName="link")
    return Application.from_object_list([device, link, *objects])


async def bacnet_serve(address: str) -> None:
    values = [
        AnalogValueObject(
            objectIdentifier=("analog-value", number), objectName=f"value {number}", presentValue=20.0,
            statusFlags=[0, 0, 0, 0], eventState="normal", outOfService=False, units="degrees-celsius",
        )
        for number in (1, 2)
    ]  # fmt: skip
    application(1001, address, *values)
    await asyncio.get_running_loop().create_future()


async def bacnet_use(addresses: str) -> None:

    own, overlay = addresses.split(",")
    client, gate = application(1002, own), Address(overlay)
    one, two = (ObjectIdentifier(f"analog-value,{number}") for number in (1, 2))
    found: dict[str, Any] = {"read": await client.read_property(gate, one, "present-value")}
    await client.write_property(gate, one, "present-value", 21.5)
    found["written"] = await client.read_property(gate, one, "present-value")
    try:
        await client.write_property(gate, two, "present-value", 5.0)
    except ErrorPDU as error:
        found["refused"] = str(error)
    found["who"] = [str(each.iAmDeviceIdentifier) for each in await client.who_is(1001, 1001, gate, timeout=1)]
    async with client.change_of_value(gate, one, lifetime=60) as changes:
        found["change"] = (await changes.get_value())[1]
    found["after"] = await client.read_property(gate, two, "present-value")
    client.close()
    print(json.dumps(found))


ROLES = {
    "modbus-serve": modbus_serve,
    "modbus-use": modbus_use,
    "bacnet-serve": bacnet_serve,
    "bacnet-use": bacnet_use,
}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](sys.argv[2]))
