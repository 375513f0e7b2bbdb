"""Which protocols this version inspects, and what a conduit can say about their objects.

One visible table.  A protocol that is not in it can only be permitted by its port, and its records say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.model import OperationClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One protocol: its tables, those of them that can be written, and the address range of all."""

    tables: tuple[str, ...]
    written: tuple[str, ...]


#: Modbus Application Protocol V1.1b3, section 4.3: two of the four tables are read-only.
INSPECTED: Mapping[str, Inspection] = {
    "modbus": Inspection(
        tables=("coils", "discrete_inputs", "holding_registers", "input_registers"),
        written=("coils", "holding_registers"),
    ),
}

#: The classes whose operations name objects, so that a conduit can narrow them.
NARROWED = (OperationClass.READ, OperationClass.WRITE)

#: Registered or customary ports (operations.yaml of the protocol survey), for hints only.
USUAL_PORTS: Mapping[str, str] = {
    "bacnet": "udp/47808",
    "dnp3": "tcp/20000",
    "enip": "tcp/44818",
    "hart-ip": "tcp/5094",
    "http": "tcp/80",
    "https": "tcp/443",
    "iec104": "tcp/2404",
    "mms": "tcp/102",
    "mqtt": "tcp/1883",
    "opcua": "tcp/4840",
    "postgresql": "tcp/5432",
    "rdp": "tcp/3389",
    "s7comm": "tcp/102",
    "ssh": "tcp/22",
    "telnet": "tcp/23",
    "vnc": "tcp/5900",
}
