"""What each real client does through the gate, what it must see of it, and what must be on record.

Values only.  Each client reads, writes what it may, tries a forbidden value, a forbidden object and a forbidden
operation, and reads again, in this order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import protocol_hall as hall
from protocol_hall import Server, document, of_overlay, peer

#: What each of the three forbidden things is refused for.
REASONS = {"value": "value_out_of_range", "object": "object_out_of_range", "operation": "operation_not_allowed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One protocol.

    `client` and `asset` are the distributions that the two ends come from.  `shows` are the client's own words for the
    three refusals.  `write` and `refused` are operations as the evidence has them: class, name (of what is refused),
    and the first of their objects with its number and its values, as far as they are told here.  `reached` picks out of
    what the asset printed everything that changed something.
    `flows` are the connections that the client makes.  `has_end`: whether a client that goes says so (UDP: no).
    """

    protocol: str
    server: Server
    client: str
    asset: str
    words: Sequence[str]
    read: float
    again: float
    shows: Mapping[str, str]
    write: tuple[str, str, int, list[Any]]
    refused: Mapping[str, tuple[Any, ...]]
    reached: Callable[[str], object]
    reaches: object
    typed: str = ""
    understood: Callable[[str], dict[str, Any]] = field(default=document)
    flows: int = 1
    has_end: bool = True


def told(said: str) -> list[dict[str, Any]]:
    """What a server of tests/journeys/peers told, but for its greeting."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [line for line in lines if "ready" not in line]


def of_plc(said: str) -> list[tuple[int, int, list[int]]]:
    """Every request to change something that the lab's Modbus controller got."""
    return [(line["function"], line["address"], line["values"]) for line in told(said)]


def of_snap7(said: str) -> list[dict[str, Any]]:
    """Stops, and the memory as it was at the end."""
    return [line for line in told(said) if line.get("event") == "stop" or "memory" in line]


def of_cpppo(said: str) -> list[str]:
    """The tags that were written; reads are printed with another arrow."""
    return [" ".join(line.split()) for line in said.splitlines() if "<=" in line]


def of_outstation(said: str) -> list[str]:
    """Everything that the outstation carried out."""
    return [line for line in said.splitlines() if line.startswith(("operate", "restart"))]


def of_master(said: str) -> dict[str, Any]:
    """What opendnp3's master showed, in the form of the other clients: the status of each point, or of the task."""
    parts = re.split(r"^(read|analog|restart)(?: [0-9 ]*)?: (\w+)$", said, flags=re.MULTILINE)
    shown = [(what, result, before) for before, what, result in zip(parts[::3], parts[1::3], parts[2::3], strict=False)]
    values = [
        float(re.findall(r"^\[0\] : ([0-9.]+)", each, re.MULTILINE)[0]) for what, _, each in shown if what == "read"
    ]
    statuses = [re.findall(r"Status: (\w+)", each)[0] for what, _, each in shown if what == "analog"]
    restarts = [result for what, result, _ in shown if what == "restart"]
    return {
        "read": values[0],
        "written": statuses[0],
        "refused": {"value": statuses[1], "object": statuses[2], "operation": restarts[0]},
        "again": values[1],
        "before": said.count("channel OPEN\n"),
        "after": 1,
    }


def _client(name: str, server: Server) -> list[str]:
    return peer(name, "client", of_overlay(server), server.port)


def _memory(set_point: int) -> list[dict[str, Any]]:
    return [{"memory": (b"\x01\xa9\0\0" + set_point.to_bytes(2, "big") + bytes(58)).hex()}]


_EXCEPTION = "ExceptionResponse(dev_id=1, function_code={}, exception_code={})"
_DENIED = "BadUserAccessDenied: User does not have permission to perform the requested operation.(BadUserAccessDenied)"

CASES = (
    Case(
        protocol="modbus",
        server=hall.MODBUS,
        client="pymodbus",
        asset="pymodbus",
        words=_client("modbus", hall.MODBUS),
        read=600,
        again=310,
        shows={
            "value": _EXCEPTION.format(134, 3),
            "object": _EXCEPTION.format(134, 2),
            "operation": _EXCEPTION.format(136, 1),
        },
        write=("modbus.write", "holding_registers", 11, [310]),
        refused={
            "value": ("modbus.write", "Write Single Register", "holding_registers", 11, [900]),
            "object": ("modbus.write", "Write Single Register", "holding_registers", 3, [1]),
            "operation": ("modbus.execute", "Restart Communications Option"),
        },
        reached=of_plc,
        reaches=[(6, 11, [310])],
    ),
    Case(
        protocol="s7comm",
        server=hall.S7COMM,
        client="python-snap7",
        asset="python-snap7",
        words=_client("s7comm", hall.S7COMM),
        read=425,
        again=300,
        shows={
            "value": "S7 protocol error (class=0xd0, code=0x44): "
            "Data error: Illegal tag value, check job data (0xD044)",
            "object": "S7 protocol error (class=0x87, code=0x03): Access to object refused (0x8703)",
            "operation": "S7 protocol error (class=0xd2, code=0x41): "
            "The function is not permitted in the current protection level (0xD241)",
        },
        write=("s7comm.write", "DB1", 32, [1, 44]),
        refused={
            "value": ("s7comm.write", "Write Var", "DB1", 32, [3, 132]),
            "object": ("s7comm.write", "Write Var", "DB1", 160, [1, 2]),
            "operation": ("s7comm.execute", "PLC Stop"),
        },
        reached=of_snap7,
        reaches=_memory(300),
    ),
    Case(
        protocol="enip",
        server=hall.ENIP,
        client="pylogix",
        asset="cpppo",
        words=_client("enip", hall.ENIP),
        read=425,
        again=300,
        shows={"value": "Invalid Attribute", "object": "Privilege violation", "operation": "Privilege violation"},
        write=("enip.write", "speed", 0, [300]),
        refused={
            "value": ("enip.write", "Write Tag", "speed", 0, [900]),
            "object": ("enip.write", "Write Tag", "limit", 0, [1]),
            "operation": ("enip.execute", "program mode"),
        },
        reached=of_cpppo,
        reaches=["Level[ 0-0 ] <= [425]", "Speed[ 0-0 ] <= [300]"],
        flows=2,
    ),
    Case(
        protocol="dnp3",
        server=hall.DNP3,
        client="opendnp3",
        asset="opendnp3",
        words=[str(hall.DNP3_PEER), "master", of_overlay(hall.DNP3), str(hall.DNP3.port)],
        typed="read 0\nanalog 5 300\nanalog 5 900\nanalog 6 1\nrestart\nread 0\n",
        understood=of_master,
        read=42.5,
        again=42.5,
        shows={"value": "OUT_OF_RANGE", "object": "NOT_SUPPORTED", "operation": "FAILURE_BAD_RESPONSE"},
        write=("dnp3.write", "analog_outputs", 5, [300]),
        refused={
            "value": ("dnp3.write", "Direct Operate", "analog_outputs", 5, [900]),
            "object": ("dnp3.write", "Direct Operate", "analog_outputs", 6, [1]),
            "operation": ("dnp3.execute", "Cold Restart", "device"),
        },
        reached=of_outstation,
        reaches=["operate analog 5 300"],
    ),
    Case(
        protocol="iec104",
        server=hall.IEC104,
        client="c104",
        asset="c104",
        words=_client("iec104", hall.IEC104),
        read=42.5,
        again=42.5,
        shows={
            "value": "failed: ACTIVATION_CON NEGATIVE",
            "object": "failed: UNKNOWN_INFORMATION_OBJECT_ADDRESS NEGATIVE",
            "operation": "failed: ACTIVATION_CON NEGATIVE",
        },
        write=("iec104.write", "C_SE_NC_1", 21, [12.5]),
        refused={
            "value": ("iec104.write", "set point, float: execute", "C_SE_NC_1", 21, [90.0]),
            "object": ("iec104.write", "set point, float: execute", "C_SE_NC_1", 22, [1.0]),
            "operation": ("iec104.config", "clock synchronisation", "C_CS_NA_1"),
        },
        reached=told,
        reaches=[{"written": [21, 12.5]}],
    ),
    Case(
        protocol="opcua",
        server=hall.OPCUA,
        client="asyncua",
        asset="asyncua",
        words=_client("opcua", hall.OPCUA),
        read=42.5,
        again=12.5,
        shows={
            "value": "BadOutOfRange: The value was out of range.(BadOutOfRange)",
            "object": _DENIED,
            "operation": _DENIED,
        },
        write=("opcua.write", "ns=2;i=3", 3, [12.5]),
        refused={
            "value": ("opcua.write", "Write", "ns=2;i=3", 3, [90.0]),
            "object": ("opcua.write", "Write", "ns=2;i=4", 4, [1.0]),
            "operation": ("opcua.execute", "Call", "ns=2;i=1"),
        },
        reached=told,
        reaches=[{"written": ["SetPoint", 12.5]}],
    ),
    Case(
        protocol="bacnet",
        server=hall.BACNET,
        client="bacpypes3",
        asset="bacpypes3",
        words=[*_client("bacnet", hall.BACNET), f"{hall.STATION_ADDRESS}/16"],
        read=42.5,
        again=12.5,
        shows={
            "value": "property: value-out-of-range",
            "object": "property: write-access-denied",
            "operation": "services: service-request-denied",
        },
        write=("bacnet.write", "present-value@16", 2, [12.5]),
        refused={
            "value": ("bacnet.write", "writeProperty", "present-value@16", 2, [90.0]),
            "object": ("bacnet.write", "writeProperty", "present-value@16", 3, [1.0]),
            "operation": ("bacnet.execute", "reinitializeDevice coldstart"),
        },
        reached=told,
        reaches=[{"written": ["analog-value,2", "present-value", 12.5]}],
        has_end=False,
    ),
)
