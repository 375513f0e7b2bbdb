"""I/O: the simulated plant of the site riverside-water, in network namespaces of this program alone.

Stands around a gate: one flat switch, two controllers, SCADA and a historian that poll them over their overlay
addresses, an engineering station, and a device that nobody declared.  The gate's own node is there, empty.
It must never leave a process or a namespace behind: everything ends with the program that made it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from penstock.lab import layout
from penstock.lab.layout import Station
from penstock.lab.netns import Lan, Node, enter
from penstock.model import Unavailable

READY_WITHIN_S = 15.0
STOP_WITHIN_S = 3.0
#: Who polls whom, and how often: SCADA under a safety-critical conduit, the historian under one that closes.
POLLS = (
    (layout.SCADA, layout.FILTER_PLC, 100),
    (layout.SCADA, layout.DOSING_PLC, 100),
    (layout.HISTORIAN, layout.DOSING_PLC, 200),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """JSON lines that a simulated device writes, while it writes them."""

    path: Path

    def lines(self) -> list[dict[str, Any]]:
        """Every whole line until now."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@dataclass(slots=True)
class Plant:
    """The plant; `folder` takes what its devices print."""

    folder: Path
    nodes: dict[str, Node] = field(default_factory=dict)
    _lan: Lan | None = None
    _programs: list[subprocess.Popen[Any]] = field(default_factory=list)

    def start(self) -> Self:
        """Lay the cables, start the controllers and the pollers, and wait until the controllers listen.

        Moves this program into its own namespaces first.  Raises `Unavailable`; nothing is left then.
        """
        enter()
        try:
            self._lan = Lan("switch")
            for station in layout.STATIONS:
                self.nodes[station.name] = self._lan.add(station.name, station.with_prefix, mac=station.mac)
            for station in (layout.SCADA, layout.HISTORIAN, layout.ENGINEER, layout.ROGUE):
                self.nodes[station.name].route(layout.OVERLAY, layout.GATE_ADDRESS)
            for controller in layout.CONTROLLERS:
                self._start_controller(controller)
            for controller in layout.CONTROLLERS:
                self._wait_for(controller)
            for source, target, period_ms in POLLS:
                self._start_poller(source, target, period_ms)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every program, then take the cables away.  Twice is the same as once."""
        for program in self._programs:
            program.terminate()
        deadline = time.monotonic() + STOP_WITHIN_S
        for program in self._programs:
            try:
                program.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        self._programs.clear()
        if self._lan is not None:
            self._lan.close()
            self._lan = None
        self.nodes.clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def polls(self, name: str) -> Lines:
        """What a poller saw: ``at`` (s), ``target``, ``ok``, ``latency_us``, and ``values`` or ``error``."""
        return Lines(path=self.folder / f"{name}.polls")

    def writes(self, name: str) -> Lines:
        """What a controller was told to change: ``at``, ``function``, ``address``, ``values``; first a ready line."""
        return Lines(path=self.folder / f"{name}.writes")

    def address(self, name: str) -> str:
        """A station's own address."""
        return _station(name).address

    def overlay(self, name: str) -> str:
        """A station's second address, which leads through the gate."""
        return _station(name).overlay

    def _start_controller(self, station: Station) -> None:
        assert station.process is not None
        words = ("penstock.lab.plc", station.process, "--address", station.address)
        self._start(station.name, self.writes(station.name).path, *words)

    def _start_poller(self, source: Station, target: Station, period_ms: int) -> None:
        words = ("penstock.lab.scada", target.overlay, "--name", target.name, "--period-ms", str(period_ms))
        self._start(source.name, self.polls(source.name).path, *words)

    def _start(self, name: str, printed: Path, *words: str) -> None:
        with printed.open("ab") as output:
            program = self.nodes[name].popen(
                [sys.executable, "-m", *words], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL
            )
        self._programs.append(program)

    def _wait_for(self, station: Station) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not any("ready" in line for line in self.writes(station.name).lines()):
            if time.monotonic() > deadline:
                raise Unavailable(f"{station.name} does not listen after {READY_WITHIN_S:g} s")
            time.sleep(0.02)


def _station(name: str) -> Station:
    return next(station for station in layout.STATIONS if station.name == name)
