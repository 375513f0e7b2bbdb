"""A device and a client of bacpypes3.  usage: bacnet.py server|client ADDRESS PORT OWN.

OWN is the client's own address with its prefix length: BACnet stations send from the port on which they listen.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from bacpypes3.apdu import ErrorPDU, ReinitializeDeviceRequest
from bacpypes3.app import Application
from bacpypes3.local.analog import AnalogValueObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.pdu import Address
from bacpypes3.primitivedata import ObjectIdentifier
from telling import tell, until_told

LEVEL, SET_POINT, LIMIT = (ObjectIdentifier(f"analog-value,{number}") for number in (1, 2, 3))
VALUE = "present-value"


class Told(AnalogValueObject):
    """A value that tells whoever changes it."""

    async def write_property(self, attr: Any, value: Any, index: Any = None, priority: Any = None) -> None:
        """Carry it out."""
        await super().write_property(attr, value, index, priority)
        tell(written=[str(self.objectIdentifier), str(attr), float(value)])


def application(number: int, at: str, *objects: Any) -> Application:
    """A station of BACnet."""
    device = DeviceObject(objectIdentifier=("device", number), objectName=f"device {number}", vendorIdentifier=999)
    link = NetworkPortObject(at, objectIdentifier=("network-port", 1), objectName="link")
    return Application.from_object_list([device, link, *objects])


def analog_value(name: ObjectIdentifier, value: float) -> Told:
    """An object."""
    return Told(
        objectIdentifier=name, objectName=str(name), presentValue=value, statusFlags=[0, 0, 0, 0], eventState="normal",
        outOfService=False, units="degrees-celsius",
    )  # fmt: skip


async def serve(address: str, port: int) -> None:
    """A level, a set point and a limit."""
    objects = (analog_value(LEVEL, 42.5), analog_value(SET_POINT, 10.0), analog_value(LIMIT, 80.0))
    device = application(1001, f"{address}/16:{port}", *objects)
    tell(ready=True)
    await asyncio.to_thread(until_told)
    device.close()


async def error_of(asked: Any) -> str:
    """What the client shows of a refusal."""
    try:
        answer = await asked
    except ErrorPDU as error:
        return str(error)
    return str(answer) if isinstance(answer, ErrorPDU) else ""


async def use(address: str, port: int) -> None:
    """What is allowed, then what is not, then what is allowed again."""
    client = application(1002, f"{sys.argv[4]}:{port}")
    asset = Address(f"{address}:{port}")
    restart = ReinitializeDeviceRequest(reinitializedStateOfDevice="coldstart", destination=asset)
    read = float(await client.read_property(asset, LEVEL, VALUE))
    await client.write_property(asset, SET_POINT, VALUE, 12.5)
    refused = {
        "value": await error_of(client.write_property(asset, SET_POINT, VALUE, 90.0)),
        "object": await error_of(client.write_property(asset, LIMIT, VALUE, 1.0)),
        "operation": await error_of(client.request(restart)),
    }
    again = float(await client.read_property(asset, SET_POINT, VALUE))
    tell(read=read, refused=refused, again=again, before=[], after=[])
    client.close()


if __name__ == "__main__":
    asyncio.run({"server": serve, "client": use}[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
