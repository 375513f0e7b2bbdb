"""A controller and an engineering tool of python-snap7.  usage: s7comm.py server|client ADDRESS PORT."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from snap7.client import Client
from snap7.error import S7ProtocolError
from snap7.server import Server
from snap7.type import SrvArea
from telling import connections, tell, until_told

#: DB1: a measured level in DBW0, a set point in DBW4, and memory that is nobody's business behind it.
MEMORY = bytearray(b"\x01\xa9" + bytes(62))


class Controller(Server):
    """A server that tells of a stop, for python-snap7 carries on after one."""

    def _handle_plc_stop(self, request: dict[str, Any], client_address: tuple[str, int]) -> bytes:
        tell(event="stop")
        return super()._handle_plc_stop(request, client_address)


def serve(address: str, port: int) -> None:
    """Tells everything that it is asked to change, and at the end what its memory holds."""
    logging.disable(logging.CRITICAL)
    server = Controller(log=False)
    server.register_area(SrvArea.DB, 1, MEMORY)
    server.set_events_callback(lambda event: tell(event=server.event_text(event)))
    server.start_to(address, port)
    tell(ready=True)
    until_told()
    server.stop()
    tell(memory=MEMORY.hex())


def error_of(asked: Callable[[], object]) -> str:
    """What the tool shows of a refusal."""
    try:
        asked()
    except S7ProtocolError as error:
        return f"{error} (0x{error.error_code or 0:04X})"
    return ""


def use(address: str, port: int) -> None:
    """What is allowed, then what is not, then what is allowed again, on one connection."""
    client = Client()
    client.connect(address, 0, 2, port)
    before = connections(port)
    read = int.from_bytes(client.db_read(1, 0, 2), "big")
    client.db_write(1, 4, bytearray((300).to_bytes(2, "big")))
    refused = {
        "value": error_of(lambda: client.db_write(1, 4, bytearray((900).to_bytes(2, "big")))),
        "object": error_of(lambda: client.db_write(1, 20, bytearray(b"\1\2"))),
        "operation": error_of(client.plc_stop),
    }
    again = int.from_bytes(client.db_read(1, 4, 2), "big")
    tell(read=read, refused=refused, again=again, before=before, after=connections(port))
    client.disconnect()


if __name__ == "__main__":
    {"server": serve, "client": use}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
