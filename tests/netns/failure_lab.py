"""A whole gate in a whole plant, with five streams of polls under five kinds of conduits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from failure_outcome import Row, Seen, Stream, seen

from penstock.lab.gate import LabGate, Person
from penstock.lab.layout import SITE_PATH
from penstock.lab.plant import Lines, Plant

PASSWORD = "turbine hall seven"
#: A second server on each controller, whose port is permitted as a whole.
TREND_PORT = 1502
PERIOD_MS = 50
SETTLED_S = 4.0
#: Kinds of records that tell of a fault; what goes on all the time (operations, flows) is left out.
TELLING = frozenset(
    {
        "process.ended",
        "process.started",
        "failed_open",
        "failed_closed",
        "inspection.restored",
        "log.gap",
        "log.started",
        "gate.started",
        "grant.closed",
        "session.closed",
        "operation.refused",
        "kernel.drifted",
        "kernel.corrected",
        "clock.stepped",
    }
)
_TREND_CONDUITS = """
  SCADA reads the trend of the filters:
    from: {role: scada, zone: control-room}
    to: {asset: plc-filter-1}
    allow: {tcp/1502: any}
    on_failure: open
    approved_by: safety.officer@riverside

  The historian reads the trend of the dosing:
    from: {asset: historian-1}
    to: {asset: plc-dosing}
    allow: {tcp/1502: any}
"""
#: Python runs this when it starts: a signal that makes the main thread, and with it the event loop, stand still.
_STUCK = """
import signal, sys, time
if "worker-1" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(60))
"""


def site_text() -> str:
    """The plant's own site document with two services that are not inspected."""
    text = SITE_PATH.read_text()
    services = "services: {modbus: 502}"
    assert text.count(services) == 2
    text = text.replace(services, f"services: {{modbus: 502, trend: {TREND_PORT}}}")
    assert "\ntests:\n" in text
    return text.replace("\ntests:\n", f"{_TREND_CONDUITS}\ntests:\n")


@dataclass(slots=True)
class FailureLab:
    """The plant, the gate, the streams."""

    folder: Path
    plant: Plant
    gate: LabGate
    streams: dict[Stream, tuple[Lines, str]] = field(default_factory=dict)
    _programs: list[subprocess.Popen[Any]] = field(default_factory=list)

    def start(self) -> Self:
        """Bring everything up, until every stream is answered."""
        for controller, process in (("plc-filter-1", "filter"), ("plc-dosing", "dosing")):
            words = (process, "--address", self.plant.address(controller), "--port", str(TREND_PORT))
            self._run(controller, f"{controller}.trend", "penstock.lab.plc", *words)
        self.gate.start()
        self.streams = {
            Stream.OPEN_INSPECTED: (self.plant.polls("scada-1"), "plc-filter-1"),
            Stream.CLOSED_INSPECTED: (self.plant.polls("historian-1"), "plc-dosing"),
        }
        self._poll(Stream.OPEN_KERNEL, "scada-1", self.plant.overlay("plc-filter-1"), TREND_PORT)
        self._poll(Stream.CLOSED_KERNEL, "historian-1", self.plant.overlay("plc-dosing"), TREND_PORT)
        maria = self.gate.enrol("maria", "operators", PASSWORD, self.plant.nodes["eng-1"])
        self._poll(Stream.PERSON, "eng-1", "127.0.0.1", self._tunnel(maria))
        for stream in Stream:
            self.gate.wait(lambda stream=stream: self.is_answered(stream), f"{stream} to be answered", 20)
        return self

    def close(self) -> None:
        """End what was started here; the plant and the gate are closed by who made them."""
        for program in self._programs:
            program.kill()
            program.wait()

    def is_answered(self, stream: Stream) -> bool:
        """Whether its last poll was."""
        lines = self.lines(stream)
        return bool(lines) and bool(lines[-1]["ok"])

    def lines(self, stream: Stream) -> list[dict[str, Any]]:
        """Its polls, each dated at its start (seconds since the epoch)."""
        lines, target = self.streams[stream]
        return [line for line in lines.lines() if line["target"] == target]

    def supervisor(self) -> int:
        """The number of the gate's first process."""
        assert self.gate.process is not None
        return self.gate.process.pid

    def pids(self) -> list[int]:
        """Every process of the gate, the supervisor first."""
        first = self.supervisor()
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    @contextmanager
    def unrepaired(self) -> Iterator[None]:
        """The supervisor stands still, so that a fault lasts until the end of the block."""
        os.kill(self.supervisor(), signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(self.supervisor(), signal.SIGCONT)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a process of the gate."""
        pid = self.gate.pid(name)
        assert pid is not None
        os.kill(pid, number)

    def watch(self, seconds: float = SETTLED_S) -> None:
        """Let the fault last, by the streams' own clock: until every stream has polled so much later."""
        until = time.time() + seconds
        while any(self.lines(stream)[-1]["at"] < until for stream in Stream):
            time.sleep(0.05)

    def recovered(self) -> None:
        """Wait until the gate is whole and every stream is answered again."""
        self.gate.wait(self.gate.is_ready, "the gate to be whole again", 40)
        for stream in Stream:
            self.gate.wait(lambda stream=stream: self.is_answered(stream), f"{stream} to be answered again", 30)

    def row(self, fault: str, fault_at: float, repaired_at: float, *, is_put_right: bool) -> Row:
        """What this fault did, once everything has recovered."""
        streams: dict[Stream, Seen] = {
            stream: seen(self.lines(stream), fault_at, repaired_at, is_put_right=is_put_right) for stream in Stream
        }
        during, after = set(), set()
        for record in self.gate.search():
            at = datetime.fromisoformat(record["time"]).timestamp()
            if record["kind"] in TELLING and at >= fault_at:
                (during if at < repaired_at else after).add(record["kind"])
        return Row(fault=fault, streams=streams, during=tuple(sorted(during)), after=tuple(sorted(after)))

    def _tunnel(self, person: Person) -> int:
        station = self.plant.nodes["eng-1"]
        done = self.gate.login(person, station)
        assert done.status == 0, done.said
        tunnel = self.gate.connect(person, "plc-dosing", station)
        self._programs.append(tunnel)
        assert tunnel.stdout is not None
        return int(tunnel.stdout.readline().split()[0].rpartition(":")[2])

    def _poll(self, stream: Stream, source: str, address: str, port: int) -> None:
        words = (address, "--name", stream.value, "--port", str(port), "--period-ms", str(PERIOD_MS))
        self.streams[stream] = (self._run(source, f"{stream.name}.polls", "penstock.lab.scada", *words), stream.value)

    def _run(self, node: str, printed: str, module: str, *words: str) -> Lines:
        path = self.folder / printed
        with path.open("ab") as output:
            command = [sys.executable, "-m", module, *words]
            program = self.plant.nodes[node].popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL
            )
        self._programs.append(program)
        return Lines(path=path)


@contextmanager
def failure_lab(folder: Path) -> Iterator[FailureLab]:
    """The lab, up; everything is gone after it."""
    hook = folder / "stuck"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(_STUCK)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(hook), os.environ.get("PYTHONPATH"))))
    site = folder / "site.yaml"
    site.write_text(site_text())
    with Plant(folder) as plant:
        gate = LabGate(node=plant.nodes["gate"], folder=folder, site=site, address=plant.address("gate"))
        lab = FailureLab(folder=folder, plant=plant, gate=gate)
        try:
            yield lab.start()
        finally:
            lab.close()
            gate.stop()
