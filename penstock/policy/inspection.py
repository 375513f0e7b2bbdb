"""Customary ports of protocols, for hints: what this version cannot inspect is permitted by its port."""

from __future__ import annotations

from collections.abc import Mapping

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
    "snmp": "udp/161",
    "ssh": "tcp/22",
    "telnet": "tcp/23",
    "vnc": "tcp/5900",
}
