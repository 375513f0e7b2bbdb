"""A tool of pylogix (the controller is cpppo's own program).  usage: enip.py client|fill ADDRESS PORT."""

from __future__ import annotations

import sys

import pylogix
from telling import connections, tell

STOP = 0x07
CONTROLLER = 0x8E


def use(address: str, port: int) -> None:
    """What is allowed, then what is not, then what is allowed again, on one connection.

    The library sends messages of one's own outside of its CIP connection, and dials anew for that: so that comes last.
    """
    with pylogix.PLC(address, port=port) as client:
        read = client.Read("Level").Value
        before = connections(port)
        written = client.Write("Speed", 300).Status
        refused = {"value": client.Write("Speed", 900).Status, "object": client.Write("Limit", 1).Status}
        again, after = client.Read("Speed").Value, connections(port)
        refused["operation"] = client.Message(STOP, CONTROLLER, 1).Status
        tell(read=read, written=written, refused=refused, again=again, before=before, after=after)


def fill(address: str, port: int) -> None:
    """Give the level its value, at the controller itself."""
    with pylogix.PLC(address, port=port) as client:
        tell(written=client.Write("Level", 425).Status)


if __name__ == "__main__":
    {"client": use, "fill": fill}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
