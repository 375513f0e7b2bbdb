"""A station without a client: its own Modbus tool on the overlay address, for as long as it is the same machine."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from works import Works

from penstock.lab.layout import GATE_ADDRESS, SITE_PATH

DOSING = "100.64.10.12"


@pytest.fixture
def site_text() -> str:
    """Operators may come from a station by its address."""
    return SITE_PATH.read_text().replace("require: {factors: two, tls: true}", "require: {factors: two}")


def read_rate(works: Works) -> str | None:
    """What mbpoll on the engineer's station reads, or ``None`` where it gets no answer."""
    try:
        said = works.plant.nodes["eng-1"].run(["mbpoll", "-m", "tcp", "-0", "-1", "-o", "1", "-r", "11", DOSING])
    except subprocess.CalledProcessError:
        return None
    found = re.search(r"^\[11\]:\s+(\d+)$", said, re.MULTILINE)
    return found[1] if found else None


def test_a_station_reads_through_inspection_until_another_machine_has_its_address(works: Works) -> None:
    station, maria = works.plant.nodes["eng-1"], works.maria()
    station.route("100.64.0.0/16", GATE_ADDRESS)
    assert read_rate(works) is None
    token = json.loads((maria.home / "sign-in.json").read_text())["token"]
    works.gate.api(station, "POST", "/api/grants", {"asset": "plc-dosing", "binding": "address"}, bearer=token)
    assert read_rate(works) is not None
    (link,) = json.loads(station.run(["ip", "-j", "link", "show", "eth0"]))
    (opened,) = [each for each in works.gate.records("grant.opened") if each["subject"] == "maria"]
    assert opened["detail"]["station"] == link["address"]

    changed = datetime.now(UTC)
    station.ip("link set eth0 down", "link set eth0 address 02:00:00:00:00:77", "link set eth0 up")
    station.route("100.64.0.0/16", GATE_ADDRESS)
    assert read_rate(works) is None

    def ended() -> list[dict[str, Any]]:
        return [each for each in works.gate.records("grant.closed") if each["subject"] == "maria"]

    works.gate.wait(lambda: bool(ended()), "the end of the grant on record", 20)
    (closed,) = ended()
    assert closed["reason"] == "station_changed"
    refused = [each for each in works.gate.records("flow.refused") if each["reason"] == "station_changed"]
    assert refused, "the packets of the other machine are on record"
    assert all(datetime.fromisoformat(each["time"]) > changed for each in refused)
