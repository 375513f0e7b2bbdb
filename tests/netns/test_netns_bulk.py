"""A load that nobody here wrote: iperf3 through the gate, while the gate is changed, killed and started anew."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from gate_plant import PLAIN, Plant, eventually

from penstock.model import KernelFlowClosed

PORT = 5201
ASSET = "192.168.10.50"
SECONDS = 3
REPLACEMENTS = 20


@pytest.fixture
def iperf(plant: Plant) -> Iterator[Plant]:
    """A server on the asset; the user has a grant for it over TCP, which iperf3 talks over as well, and over UDP."""
    server = plant.plc.popen(
        ["iperf3", "--server", "--bind", ASSET, "--port", str(PORT), "--forceflush"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    eventually(lambda: "listening" in server.stdout.readline(), 10)
    for number, transport in ((20, "tcp"), (21, "udp")):
        plant.open(number, transport=transport, port=PORT, service="bulk", protocol="bulk")
    yield plant
    server.kill()
    server.wait()


def client(plant: Plant, *words: str) -> subprocess.Popen[str]:
    command = ["iperf3", "--client", PLAIN, "--port", str(PORT), "--time", str(SECONDS), "--json", *words]
    return plant.user.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(running: subprocess.Popen[str]) -> dict[str, Any]:
    printed, said = running.communicate(timeout=30)
    assert running.returncode == 0, printed + said
    found: dict[str, Any] = json.loads(printed)["end"]
    return found


def test_datagrams_are_neither_lost_nor_reordered_while_the_ruleset_is_replaced(iperf: Plant) -> None:
    running = client(iperf, "--udp", "--bitrate", "8M", "--length", "200")
    for _ in range(REPLACEMENTS):
        iperf.apply()
    assert running.poll() is None, "the replacements outlasted the stream"
    end = result(running)["sum"]
    assert end["packets"] > 5000
    assert end["lost_packets"] == 0


def test_datagrams_are_not_lost_when_the_enforcer_is_killed_and_started_anew(iperf: Plant) -> None:
    running = client(iperf, "--udp", "--bitrate", "8M", "--length", "200")
    iperf.kill_enforcer()
    iperf.start_enforcer()
    iperf.apply()
    assert running.poll() is None, "the restart outlasted the stream"
    end = result(running)["sum"]
    assert end["packets"] > 5000
    assert end["lost_packets"] == 0


def test_what_the_gate_counted_of_a_bulk_transfer_is_what_the_two_ends_counted(iperf: Plant) -> None:
    """Frames have headers, so the gate has counted more than the payload, but not by much."""
    end = result(client(iperf))
    sent = end["sum_sent"]["bytes"]
    assert end["sum_received"]["bytes"] > 0
    told: list[KernelFlowClosed] = []

    def bulk() -> KernelFlowClosed | None:
        told.append(iperf.control.event(KernelFlowClosed, grant=20))
        return max(told, key=lambda flow: flow.bytes_sent) if len(told) >= 2 else None

    flow = eventually(bulk, 20)
    assert flow.is_complete
    assert sent <= flow.bytes_sent < sent * 1.1
