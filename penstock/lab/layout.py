"""Pure: the address plan of the simulated site, as its network plan would show it.

One flat switched network (the case that Penstock is for): three zones by address, no router and no firewall between
them, and the gate with one leg beside them.  The same facts stand in ``site.yaml``; a test holds them together.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

SITE_NAME = "riverside-water"
SITE_PATH = Path(__file__).with_name("site.yaml")
#: The whole plant network: one broadcast domain.
LAN = "10.20.0.0/16"
CONTROL_ROOM, FILTRATION, ENGINEERING = "10.20.0.0/24", "10.20.10.0/24", "10.20.20.0/24"
OVERLAY = "100.64.0.0/16"
GATE_ADDRESS = "10.20.0.2"
MODBUS_PORT = 502


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One device on the plant network.  `process` names the simulated process that its controller runs, if any."""

    name: str
    address: str
    mac: str
    process: str | None = None

    @property
    def with_prefix(self) -> str:
        """The address as an interface gets it."""
        return f"{self.address}/{ipaddress.ip_network(LAN).prefixlen}"

    @property
    def overlay(self) -> str:
        """The second address, which leads through the gate."""
        return overlay_of(self.address)


def overlay_of(address: str) -> str:
    """The overlay network's prefix with the low 16 bits of the underlay address."""
    network = ipaddress.ip_network(OVERLAY)
    return str(network.network_address + (int(ipaddress.ip_address(address)) & int(network.hostmask)))


GATE = Station(name="gate", address=GATE_ADDRESS, mac="02:50:53:00:00:02")
SCADA = Station(name="scada-1", address="10.20.0.12", mac="00:1d:9c:00:00:12")
HISTORIAN = Station(name="historian-1", address="10.20.0.30", mac="00:1d:9c:00:00:30")
FILTER_PLC = Station(name="plc-filter-1", address="10.20.10.11", mac="00:1d:9c:00:10:11", process="filter")
DOSING_PLC = Station(name="plc-dosing", address="10.20.10.12", mac="00:1d:9c:00:10:12", process="dosing")
ENGINEER = Station(name="eng-1", address="10.20.20.21", mac="00:1d:9c:00:20:21")
#: Nobody ever declared this one.
ROGUE = Station(name="rogue-1", address="10.20.20.66", mac="de:ad:be:ef:00:66")

STATIONS = (GATE, SCADA, HISTORIAN, FILTER_PLC, DOSING_PLC, ENGINEER, ROGUE)
CONTROLLERS = (FILTER_PLC, DOSING_PLC)
