"""Emergencies, seen from the plant: what is isolated is silent from the acknowledgement on; the safe part goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from test_journey_failures import SET_POINT, _connected, longest_gap_s, verified, wait_for_record
from works import Works

from penstock.lab.modbus import Conversation

WHY = "ransomware on the engineering station"


def command(works: Works, *words: str) -> float:
    """Give a command that must succeed; the time of its acknowledgement."""
    done = works.gate.command(*words, station=works.plant.nodes["gate"])
    assert done.status == 0, done.said
    assert "NOT YET" not in done.said
    return time.time()


def answered_since(works: Works, poller: str, since: float) -> list[str]:
    """The controllers that answered a request of this poller which was sent after that time."""
    return [line["target"] for line in works.plant.polls(poller).lines() if line["ok"] and line["at"] >= since]


def wait_for_silence(works: Works, poller: str, since: float, polls: int = 10) -> None:
    """So many polls after that time, and none of them answered."""
    lines: Callable[[], list[bool]] = lambda: [  # noqa: E731
        line["ok"] for line in works.plant.polls(poller).lines() if line["at"] >= since
    ]
    works.gate.wait(lambda: len(lines()) >= polls, f"{poller} to poll on", 20)
    assert not any(lines())


def test_an_isolated_controller_is_silent_to_engineers_and_machines_while_safety_polling_goes_on(works: Works) -> None:
    began = time.time()
    with (
        _connected(works) as (port, tunnel),
        Conversation(works.plant.nodes["eng-1"], "127.0.0.1", port) as talk,
    ):
        talk.read(SET_POINT)
        acknowledged = command(works, "isolate", "asset", "plc-dosing", "--reason", WHY)
        with pytest.raises(OSError):
            talk.read(SET_POINT)
        assert tunnel.wait(20) == 1
    wait_for_silence(works, "historian-1", acknowledged)

    control = works.gate.pid("control")
    assert control is not None
    os.kill(control, signal.SIGKILL)
    works.gate.wait(lambda: works.gate.pid("control") not in (None, control) and works.gate.is_ready(), "control", 20)
    wait_for_silence(works, "historian-1", acknowledged, 30)
    again = works.gate.command("isolate", "asset", "plc-dosing", "--reason", "x", station=works.plant.nodes["gate"])
    assert (again.status, "isolated already by" in again.said) == (0, True)
    refused = works.gate.command("connect", "plc-dosing", station=works.plant.nodes["eng-1"], person=works.maria())
    assert refused.status == 1
    assert WHY in refused.said

    before = time.time()
    command(works, "release", "asset", "plc-dosing")
    works.gate.wait(lambda: bool(answered_since(works, "historian-1", before)), "the historian to be answered")
    for target in ("plc-filter-1", "plc-dosing"):
        assert longest_gap_s(works, began, target) < 1.0
    (isolated,) = wait_for_record(works, "--kind", "isolated")
    assert isolated["detail"]["why"] == WHY
    assert [flow["subject"] for flow in isolated["detail"]["goes_on"]] == ["scada-1"]
    ended = works.gate.search("--kind", "grant.closed", "--reason", "isolated")
    assert {one["subject"] for one in ended} == {"maria", "historian-1"}
    assert [one["subject"] for one in works.gate.records("grant.refused")] == ["maria"]
    assert len(wait_for_record(works, "--kind", "released")) == 1
    works.gate.stop()
    assert verified(works)


def test_an_isolated_station_loses_the_sessions_of_whoever_sits_there(works: Works) -> None:
    with (
        _connected(works) as (port, tunnel),
        Conversation(works.plant.nodes["eng-1"], "127.0.0.1", port) as talk,
    ):
        talk.read(SET_POINT)
        acknowledged = command(works, "isolate", "asset", "eng-1", "--reason", WHY)
        with pytest.raises(OSError):
            talk.read(SET_POINT)
        assert tunnel.wait(20) == 1
    works.gate.wait(lambda: bool(answered_since(works, "historian-1", acknowledged)), "the historian goes on")


def test_lockdown_silences_everything_and_safety_critical_flows_only_when_that_is_said(works: Works) -> None:
    began = time.time()
    acknowledged = command(works, "isolate", "site", "--reason", WHY, "--yes")
    wait_for_silence(works, "historian-1", acknowledged)
    assert longest_gap_s(works, began, "plc-filter-1") < 1.0

    acknowledged = command(works, "isolate", "site", "--reason", WHY, "--yes", "--even-safety-critical")
    wait_for_silence(works, "scada-1", acknowledged)
    works.gate.stop()
    works.gate.start()
    wait_for_silence(works, "scada-1", acknowledged, 40)

    before = time.time()
    command(works, "release", "site", "riverside-water")
    for poller in ("scada-1", "historian-1"):
        works.gate.wait(lambda name=poller: bool(answered_since(works, name, before)), f"{poller} to be answered")
