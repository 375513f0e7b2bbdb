"""A tool of pymodbus (the controller is the lab's own, of pymodbus as well).  usage: modbus.py client ADDRESS PORT."""

from __future__ import annotations

import sys

from pymodbus.client import ModbusTcpClient
from telling import connections, tell

UNIT = 1


def use(address: str, port: int) -> None:
    """What is allowed, then what is not, then what is allowed again, on one connection."""
    with ModbusTcpClient(address, port=port) as client:
        before = connections(port)
        read = client.read_holding_registers(12, count=1, device_id=UNIT).registers[0]
        written = client.write_register(11, 310, device_id=UNIT).isError()
        refused = {
            "value": str(client.write_register(11, 900, device_id=UNIT)),
            "object": str(client.write_register(3, 1, device_id=UNIT)),
            "operation": str(client.diag_restart_communication(False, device_id=UNIT)),
        }
        again = client.read_holding_registers(11, count=1, device_id=UNIT).registers[0]
        tell(read=read, written=not written, refused=refused, again=again, before=before, after=connections(port))


if __name__ == "__main__":
    use(sys.argv[2], int(sys.argv[3]))
