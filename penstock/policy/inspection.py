"""Customary ports of protocols that this version can neither inspect nor hold a flow to, for hints: permit the port."""

from __future__ import annotations

from collections.abc import Mapping

#: Registered or customary ports, for hints only.
USUAL_PORTS: Mapping[str, str] = {
    "hart-ip": "tcp/5094",
    "ldap": "tcp/389",
    "mqtt": "tcp/1883",
    "mssql": "tcp/1433",
    "ntp": "udp/123",
    "postgresql": "tcp/5432",
    "snmp": "udp/161",
    "syslog": "udp/514",
}
