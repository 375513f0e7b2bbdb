"""A controller with few connections: who comes too late waits, and is told why."""

from __future__ import annotations

import signal
from contextlib import suppress
from itertools import count

import pytest
from test_journey_failures import wait_for_record
from works import Works

from penstock.lab.layout import SITE_PATH
from penstock.lab.modbus import Conversation, Refused

SET_POINT = 11
QUEUE_S = 2


@pytest.fixture
def site_text() -> str:
    """The dosing controller has two connections: SCADA and the historian hold them."""
    services = '    mac: "00:1d:9c:00:10:12"\n'
    limits = f"    limits: {{connections: 2, queue: {QUEUE_S}s}}\n"
    return SITE_PATH.read_text().replace(services, services + limits)


def test_an_engineer_waits_for_a_full_controller_and_gets_the_place_of_a_machine_that_leaves(works: Works) -> None:
    engineer, station = works.maria(), works.plant.nodes["eng-1"]
    connected = works.gate.connect(engineer, "plc-dosing", station)
    assert connected.stdout is not None
    host, _, port = connected.stdout.readline().strip().rpartition(":")

    def answer() -> int | None:
        with suppress(OSError, Refused), Conversation(station, host, int(port), timeout_s=5.0) as talk:
            return talk.read(SET_POINT)
        return None

    assert answer() is None, "two connections are taken"
    (refused,) = wait_for_record(works, "--kind", "flow.refused", "--subject", "maria")
    assert refused["reason"] == "asset_full"
    assert refused["detail"]["connections"] == 2
    assert refused["detail"]["waited_us"] >= QUEUE_S * 1_000_000
    assert works.plant.polls("historian-1").lines()[-1]["ok"], "nobody lost a place for it"

    historian = next(each for each in works.plant._programs if "--period-ms" in each.args and "200" in each.args)
    historian.kill()
    historian.wait()
    tries = count(1)
    works.gate.wait(lambda: next(tries) and answer() is not None, "the place that is free now", 30)
    connected.send_signal(signal.SIGINT)
    _, said = connected.communicate(timeout=20)
    assert "the asset has 2 connections at most, and no free one; waiting up to 2 s for one" in said
    assert "refused by the gate: the asset has 2 connections at most, and no free one" in said
    assert "hint: try again in a while" in said
