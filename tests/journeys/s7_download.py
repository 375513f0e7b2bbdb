"""Both ends of a download over S7comm, by python-snap7: ``serve PORT`` is the controller, ``load HOST PORT`` loads."""

from __future__ import annotations

import sys
import threading

from snap7.client import Client
from snap7.error import S7ProtocolError
from snap7.server import Server
from snap7.type import Parameter, SrvArea

BLOCK_BYTES = 600
#: What the tool loads into DB1; the controller has zeros there.
BLOCK = bytes(range(200)) * 3
PATIENCE_MS = 30_000


def serve(port: int) -> None:
    """A controller with an empty DB1, until it is killed."""
    server = Server()
    server.register_area(SrvArea.DB, 1, bytearray(BLOCK_BYTES))
    server.start(tcp_port=port)
    print("ready", flush=True)
    threading.Event().wait()


def load(host: str, port: int) -> None:
    """Say what stands in DB1, download the block, and say it again; an error is said in the client's words."""
    client = Client()
    client.set_param(Parameter.RecvTimeout, PATIENCE_MS)
    client.connect(host, 0, 2, port)
    print(client.db_read(1, 0, 4).hex(), flush=True)
    try:
        client.download(bytearray(BLOCK), 1)
    except S7ProtocolError as error:
        print(f"refused: {error}", flush=True)
    print(client.db_read(1, 196, 8).hex(), flush=True)
    client.disconnect()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        load(sys.argv[2], int(sys.argv[3]))
