"""A server and a client of asyncua.  usage: opcua.py server|client ADDRESS PORT."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from typing import Any

from asyncua import Client, Server, ua
from telling import connections, tell, until_told

PATH = "line"
SPACE = "urn:plant"


async def serve(address: str, port: int) -> None:
    """A level, a set point, a limit and a method; tells each value that is written and each call."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://{address}:{port}/{PATH}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(SPACE)
    boiler = await server.nodes.objects.add_object(index, "Boiler")
    for name, value in (("Level", 42.5), ("SetPoint", 10.0), ("Limit", 80.0)):
        variable = await boiler.add_variable(index, name, value)
        await variable.set_writable()
        server.set_attribute_value_setter(variable.nodeid, _told(name))

    async def reset(_parent: ua.NodeId) -> list[ua.Variant]:
        tell(called="Reset")
        return []

    await boiler.add_method(index, "Reset", reset, [], [])
    async with server:
        tell(ready=True)
        await asyncio.to_thread(until_told)


def _told(name: str) -> Any:
    def put(node: Any, attribute: ua.AttributeIds, value: ua.DataValue) -> None:
        node.attributes[attribute].value = value
        tell(written=[name, value.Value.Value if value.Value else None])

    return put


async def error_of(asked: Coroutine[Any, Any, object]) -> str:
    """What the client shows of a refusal."""
    try:
        await asked
    except ua.UaStatusCodeError as error:
        return f"{type(error).__name__}: {error}"
    return ""


async def use(address: str, port: int) -> None:
    """What is allowed, then what is not, then what is allowed again, on one connection."""
    async with Client(f"opc.tcp://{address}:{port}/{PATH}") as client:
        before = connections(port)
        index = await client.get_namespace_index(SPACE)
        boiler = await client.nodes.objects.get_child(f"{index}:Boiler")
        level, point, limit = [await boiler.get_child(f"{index}:{name}") for name in ("Level", "SetPoint", "Limit")]
        read = await level.read_value()
        await point.write_value(12.5)
        refused = {
            "value": await error_of(point.write_value(90.0)),
            "object": await error_of(limit.write_value(1.0)),
            "operation": await error_of(boiler.call_method(f"{index}:Reset")),
        }
        again = await point.read_value()
        tell(read=read, refused=refused, again=again, before=before, after=connections(port))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run({"server": serve, "client": use}[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
