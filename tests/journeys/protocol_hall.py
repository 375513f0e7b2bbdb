"""I/O: a hall with a real server of every protocol, and the real clients that stand at a station in front of it.

Stands around a gate, as `penstock.lab.plant` does, but each controller speaks a protocol of its own.  Nobody in here
knows of the gate: the servers listen on their own addresses, the clients dial overlay addresses.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.lab.layout import GATE_ADDRESS, OVERLAY, overlay_of
from penstock.lab.netns import Lan, Node, enter

PEERS = Path(__file__).with_name("peers")
SITE = Path(__file__).with_name("protocols.yaml")
#: What scripts/test-peers builds.
DNP3_PEER = Path(__file__).parents[2] / ".providers/opendnp3/dnp3-peer"
STATION, STATION_ADDRESS = "scada-1", "10.20.0.12"
ANSWERS_WITHIN_S = 40.0


def peer(name: str, role: str, address: str, port: int) -> list[str]:
    """How a peer that is written in Python is started."""
    return [sys.executable, str(PEERS / f"{name}.py"), role, address, str(port)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A controller: `says_ready` stands in what it prints once it listens, where that can be waited for."""

    name: str
    address: str
    port: int
    words: tuple[str, ...]
    says_ready: str = "ready"


def _server(name: str, protocol: str, address: str, port: int, **changes: Any) -> Server:
    return Server(
        name=name, address=address, port=port, **{"words": tuple(peer(protocol, "server", address, port)), **changes}
    )


MODBUS = _server(
    "plc-modbus", "modbus", "10.20.10.11", 502,
    words=(sys.executable, "-m", "penstock.lab.plc", "dosing", "--address", "10.20.10.11"),
)  # fmt: skip
S7COMM = _server("plc-s7comm", "s7comm", "10.20.10.12", 102)
ENIP = _server(
    "plc-enip", "enip", "10.20.10.13", 44818, says_ready="",
    words=(sys.executable, "-m", "cpppo.server.enip", "--print", "--address", "10.20.10.13:44818",
           "Level=DINT", "Speed=DINT", "Limit=DINT"),
)  # fmt: skip
DNP3 = _server("rtu-dnp3", "dnp3", "10.20.10.14", 20000, words=(str(DNP3_PEER), "outstation", "10.20.10.14", "20000"))
IEC104 = _server("rtu-iec104", "iec104", "10.20.10.15", 2404)
OPCUA = _server("plc-opcua", "opcua", "10.20.10.16", 4840)
BACNET = _server("ahu-bacnet", "bacnet", "10.20.10.17", 47808)
SERVERS = (MODBUS, S7COMM, ENIP, DNP3, IEC104, OPCUA, BACNET)


@dataclass(slots=True)
class Hall:
    """The cables, and what runs at their ends; `folder` takes what the servers print."""

    folder: Path
    nodes: dict[str, Node] = field(default_factory=dict)
    programs: dict[str, subprocess.Popen[Any]] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def laid(cls, folder: Path, servers: Sequence[Server]) -> Iterator[Hall]:
        """Each of `servers` has been started, none is waited for; all end with the block."""
        enter()
        lan, hall = Lan("switch"), cls(folder)
        try:
            hall.nodes["gate"] = lan.add("gate", f"{GATE_ADDRESS}/16")
            hall.nodes[STATION] = lan.add(STATION, f"{STATION_ADDRESS}/16")
            hall.nodes[STATION].route(OVERLAY, GATE_ADDRESS)
            for server in servers:
                hall.nodes[server.name] = lan.add(server.name, f"{server.address}/16")
                hall._start(server)
            yield hall
        finally:
            for program in hall.programs.values():
                program.kill()
                program.wait()
            lan.close()

    def _start(self, server: Server) -> None:
        with self.printed(server).open("wb") as output:
            self.programs[server.name] = self.nodes[server.name].popen(
                list(server.words), stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
            )

    def printed(self, server: Server) -> Path:
        """Where a server's words go."""
        return self.folder / f"{server.name}.printed"

    def is_up(self, server: Server) -> bool:
        """Whether it listens.  Raises `AssertionError` with its last words where it has ended."""
        said = self.printed(server).read_text()
        assert self.programs[server.name].poll() is None, f"{server.name} ended: {said[-800:]}"
        if server.says_ready:
            return server.says_ready in said
        listening = self.nodes[server.name].run(["ss", "-Htln", f"sport = :{server.port}"])
        return bool(listening.strip())

    def told(self, server: Server) -> str:
        """All that a server printed; it is asked to end first, so that it tells its last."""
        program = self.programs[server.name]
        assert program.stdin is not None
        program.stdin.close()
        if server.says_ready and server is not MODBUS:
            program.wait(10)
        return self.printed(server).read_text()

    def client(self, words: Sequence[str]) -> subprocess.Popen[str]:
        """A real client at the station."""
        return self.nodes[STATION].popen(
            list(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


def shown(program: subprocess.Popen[str], typed: str = "") -> str:
    """All that a client printed, once it has ended well."""
    said, errors = program.communicate(typed, timeout=ANSWERS_WITHIN_S)
    assert program.returncode == 0, f"{program.args}: status {program.returncode}: {said[-800:]}{errors[-1600:]}"
    return said


def of_overlay(server: Server) -> str:
    """The address under which a client finds a server through the gate."""
    return overlay_of(server.address)


def document(said: str) -> dict[str, Any]:
    """The last line that a client of tests/journeys/peers told."""
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found
