"""A server of asyncua with a certificate of its own.  usage: opcua_secured.py PORT FOLDER (server.der, server.pem)."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from asyncua import Server, ua
from telling import tell, until_told


async def serve(port: int, folder: Path) -> None:
    """A level that can be written; tells when it is there, and its value at the end."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(folder / "server.der")
    await server.load_private_key(folder / "server.pem")
    level = await server.nodes.objects.add_variable(await server.register_namespace("urn:line"), "Level", 1.0)
    await level.set_writable()
    async with server:
        tell(ready=True, node=level.nodeid.to_string())
        await asyncio.to_thread(until_told)
        tell(level=await level.read_value())


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
