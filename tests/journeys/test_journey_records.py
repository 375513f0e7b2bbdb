"""What an auditor reads after real clients were at a controller: old value, new value, result, and who it was."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from protocol_hall import MODBUS, SITE, STATION, Hall, of_overlay, shown

from penstock.lab.gate import LabGate
from penstock.lab.layout import GATE_ADDRESS

READY_WITHIN_S, RECORDED_WITHIN_S = 60.0, 10.0
WRITES_ONLY = "    to: {asset: plc-modbus}\n    record: writes\n"


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Hall]:
    with Hall.laid(tmp_path, (MODBUS,)) as hall:
        yield hall


@pytest.fixture
def gate(tmp_path: Path, plant: Hall, empty_state: Path) -> Iterator[LabGate]:
    """A gate whose conduit sums what is read and tells one by one what is written."""
    site = tmp_path / "site.yaml"
    site.write_text(SITE.read_text().replace("    to: {asset: plc-modbus}\n", WRITES_ONLY))
    made = LabGate(node=plant.nodes["gate"], folder=tmp_path, site=site, address=GATE_ADDRESS)
    made.state_dir.mkdir(mode=0o700)
    shutil.copy(empty_state, made.state_dir / "state.db")
    try:
        made.start()
        made.wait(lambda: plant.is_up(MODBUS), "the controller to listen", READY_WITHIN_S)
        yield made
    finally:
        made.stop()


def mbpoll(plant: Hall, *words: str) -> list[str]:
    program = plant.client(["mbpoll", "-m", "tcp", "-a", "1", "-0", "-r", "11", "-t", "4", *words])
    return shown(program).splitlines()


def told(gate: LabGate) -> list[list[str]]:
    """The lines of ``penstock evidence search --operations``, in cells."""
    found = gate.command("evidence", "search", str(gate.evidence), "--operations", "--limit", "0", station=gate.node)
    lines = [re.split(r"\s{2,}", line.strip()) for line in found.printed.splitlines()]
    return [cells for cells in lines if cells[0].isdigit()]


def test_a_write_after_a_read_is_one_line_with_both_values_and_reads_are_summed(gate: LabGate, plant: Hall) -> None:
    """Mbpoll in each of its roles, each in a connection of its own; one more writes where there is nothing."""
    address = of_overlay(MODBUS)
    polled = mbpoll(plant, "-1", address)
    (before,) = [line.split()[1] for line in polled if line.startswith("[11]")]
    polling = plant.client(["mbpoll", "-m", "tcp", "-a", "1", "-0", "-r", "12", "-t", "4", "-l", "50", address])
    assert polling.stdout is not None
    lines: list[str] = []
    while sum("[12]" in line for line in lines) < 25:
        lines.append(polling.stdout.readline())
        assert lines[-1], "mbpoll ended"
    polling.send_signal(2)
    polling.communicate(timeout=10)
    mbpoll(plant, "-1", address, "310")
    mbpoll(plant, "-1", address, "320")
    gate.wait(lambda: len(gate.records("flow.closed")) == 4, "four flows on record", RECORDED_WITHIN_S)
    found = told(gate)
    writes = [cells[3:] for cells in found if cells[5] == "modbus.write"]
    assert [cells[:5] for cells in writes] == [
        [STATION, MODBUS.name, "modbus.write", f"holding_registers 11: {before} → 310", "ok"],
        [STATION, MODBUS.name, "modbus.write", "holding_registers 11: 310 → 320", "ok"],
    ]
    assert all(re.fullmatch(r"\d+\.\d ms", cells[5]) for cells in writes)
    sums = [cells for cells in found if cells[5] == "modbus.read" and cells[6] == "holding_registers 12"]
    counted = [int(cells[7].removesuffix(" times")) for cells in sums]
    assert sum(counted) >= 25
    assert len(counted) < sum(counted) / 4, "summed, not one by one"
    closed = gate.records("flow.closed")
    operations = sum(each["detail"]["operations"] for each in closed)
    reads = [int(cells[7].removesuffix(" times")) for cells in found if cells[5] == "modbus.read"]
    assert operations == sum(reads) + len(writes), "nothing that passed is missing"
