"""The smallest worker there can be: relays what the kernel hands to it, under the grant that the kernel tells it.

Prints ``ready``, then one line of JSON for every flow.  With ``dial MARK ADDRESS PORT`` it only tries an asset.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import suppress

from penstock.model import FIRST_WORKER_MARK, GRANT_MASK, SAFETY_BIT, UPSTREAM_BIT

PORT, BEAT_PORT, BEAT_PERIOD_S = 15002, 15999, 0.2
IP_TRANSPARENT = 19


async def main() -> None:
    """Listen, beat and relay until killed."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
    listener.bind(("127.0.0.1", PORT))
    server = await asyncio.start_server(relay, sock=listener)
    print("ready", flush=True)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(beat())
        tasks.create_task(server.serve_forever())


async def beat() -> None:
    """Keep the dead-man switch armed."""
    beater = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    beater.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, FIRST_WORKER_MARK)
    while True:
        with suppress(PermissionError):  # the kernel drops it after it counted
            beater.sendto(b"", ("127.0.0.1", BEAT_PORT))
        await asyncio.sleep(BEAT_PERIOD_S)


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One flow, both ways."""
    client: socket.socket = writer.get_extra_info("socket")
    overlay, port = client.getsockname()[:2]
    mark = client.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)
    print(json.dumps({"overlay": overlay, "port": port, "grant": mark & GRANT_MASK, "mark": mark}), flush=True)
    upstream = socket.socket()
    upstream.setblocking(False)
    upstream.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark & (GRANT_MASK | SAFETY_BIT) | UPSTREAM_BIT)
    try:
        await asyncio.get_running_loop().sock_connect(upstream, (overlay.replace("100.64.0.", "192.168.10."), port))
        far_reader, far_writer = await asyncio.open_connection(sock=upstream)
    except OSError:
        writer.close()
        return
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pump(reader, far_writer))
        tasks.create_task(pump(far_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end."""
    try:
        while data := await reader.read(4096):
            writer.write(data)
    except OSError:
        pass
    writer.close()


def dial(mark: int, address: str, port: int) -> None:
    """Try to reach an asset as a worker would; print how it went."""
    with socket.socket() as upstream:
        upstream.settimeout(2)
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        try:
            upstream.connect((address, port))
        except OSError as error:
            print(type(error).__name__)
        else:
            print("connected")


if __name__ == "__main__":
    if sys.argv[1:2] == ["dial"]:
        dial(int(sys.argv[2], 0), sys.argv[3], int(sys.argv[4]))
    else:
        asyncio.run(main())
