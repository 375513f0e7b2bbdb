"""Inspected flows: delivery to the worker, and what the kernel does when the worker dies, hangs or cheats."""

from __future__ import annotations

import signal
import socket
import time
from typing import Any

import pytest
from gate_plant import (
    GATE,
    INSPECTED,
    MODBUS,
    SAFETY,
    SAFETY_GRANT,
    Plant,
    eventually,
    exchange,
    is_cut,
    is_reset,
)

from penstock.model import (
    FIRST_WORKER_MARK,
    SAFETY_BIT,
    UPSTREAM_BIT,
    ArmWorker,
    Done,
    Failed,
    FlowsRefused,
    KeepGrants,
    KernelFlowOpened,
    WorkerTripped,
)


def test_an_inspected_flow_reaches_the_worker_with_its_grant(plant: Plant) -> None:
    """The worker sees the overlay address and the grant; the asset sees the gate; the kernel path sees nothing."""
    proxy = plant.proxy()
    plant.open(42, overlay=INSPECTED)
    client = plant.user.connect(INSPECTED, MODBUS)
    assert exchange(client, b"read") == b"read"
    session = eventually(lambda: proxy.sessions)[0]
    assert (session["overlay"], session["port"], session["grant"]) == (INSPECTED, MODBUS, 42)
    assert plant.inspected.peers == [GATE]
    assert not any(isinstance(event, KernelFlowOpened) for event in plant.control.events)


def test_a_safety_flow_reaches_the_worker_with_its_safety_bit(plant: Plant) -> None:
    """So that the worker's own leg keeps the class of the flow."""
    proxy = plant.proxy()
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    session = eventually(lambda: proxy.sessions)[0]
    assert session["grant"] == SAFETY_GRANT
    assert session["mark"] & SAFETY_BIT


def test_withdrawing_closes_an_idle_inspected_flow_of_a_hanging_worker(plant: Plant) -> None:
    """Both legs are reset without the worker's help."""
    proxy = plant.proxy()
    opened = plant.open(42, overlay=INSPECTED)
    client = plant.user.connect(INSPECTED, MODBUS)
    assert exchange(client, b"read") == b"read"
    proxy.signal(signal.SIGSTOP)
    plant.cut(opened)
    assert is_reset(client)
    eventually(lambda: plant.inspected.open == 0)


def test_withdrawing_cuts_a_busy_inspected_flow_at_once(plant: Plant) -> None:
    """No byte that is sent after the answer reaches the asset."""
    plant.proxy()
    opened = plant.open(42, overlay=INSPECTED)
    client = plant.user.connect(INSPECTED, MODBUS)
    assert exchange(client, b"read") == b"read"
    plant.cut(opened)
    assert is_cut(client)
    assert plant.inspected.received == [b"read"]


def test_a_killed_worker_fails_open_for_safety_and_closed_for_others(plant: Plant) -> None:
    """The safety flow goes on over the kernel path and is told as such; the other is reset and stays refused."""
    proxy = plant.proxy()
    plant.open(42, overlay=INSPECTED)
    safety, other = plant.scada.connect(SAFETY, MODBUS), plant.user.connect(INSPECTED, MODBUS)
    assert exchange(safety, b"read") == exchange(other, b"read") == b"read"
    proxy.process.kill()
    proxy.process.wait()
    assert is_reset(safety)
    assert is_reset(other)
    again = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(again, b"read") == b"read"
    assert plant.control.event(KernelFlowOpened, grant=SAFETY_GRANT).has_failed_open
    assert plant.counter("failed_open") >= 1
    with pytest.raises(ConnectionRefusedError):
        plant.user.connect(INSPECTED, MODBUS)
    assert plant.counter("failed_closed") >= 1


def test_without_a_worker_from_the_start_the_classes_differ_too(plant: Plant) -> None:
    """Safety flows wait a little for the first worker, so that they are inspected; then they pass without one."""
    plant.open(42, overlay=INSPECTED)
    with pytest.raises(TimeoutError):
        plant.scada.connect(SAFETY, MODBUS, timeout_s=0.3)
    plant.let_standing_begin()
    assert exchange(plant.scada.connect(SAFETY, MODBUS), b"read") == b"read"
    with pytest.raises(ConnectionRefusedError):
        plant.user.connect(INSPECTED, MODBUS)


def test_a_hanging_worker_trips_the_dead_man_switch_and_its_clients_are_reset_at_once(plant: Plant) -> None:
    """Though the worker's kernel has taken the request and their own time-out is far away: safety is back in 1.5 s."""
    proxy = plant.proxy()
    plant.open(42, overlay=INSPECTED)
    safety, other = plant.scada.connect(SAFETY, MODBUS), plant.user.connect(INSPECTED, MODBUS)
    assert exchange(safety, b"read") == exchange(other, b"read") == b"read"
    proxy.signal(signal.SIGSTOP)
    hung_at = time.monotonic()
    safety.sendall(b"stale")
    other.sendall(b"stale")
    assert is_reset(safety, 10)
    eventually(lambda: _answers(plant, SAFETY))
    assert time.monotonic() - hung_at < 1.5
    assert is_reset(other, 10)
    with pytest.raises(ConnectionRefusedError):
        plant.user.connect(INSPECTED, MODBUS)
    eventually(lambda: plant.safety.open == 1)
    eventually(lambda: plant.inspected.open == 0)


@pytest.mark.parametrize(("connections", "hung_s"), [(1, 1.2), (6, 3.0), (2, 6.0)])
@pytest.mark.parametrize("has_enforcer", [True, False])
def test_what_waits_in_a_worker_that_hung_never_arrives_however_long_it_hung(
    plant: Plant, connections: int, hung_s: float, *, has_enforcer: bool
) -> None:
    """Without the enforcer it is the fence in the kernel that stops it; with it, the connections are gone before."""
    proxy = plant.proxy()
    plant.open(42, overlay=INSPECTED)
    flows = [plant.scada.connect(SAFETY, MODBUS) for _ in range(connections)]
    flows += [plant.user.connect(INSPECTED, MODBUS) for _ in range(connections)]
    assert [exchange(flow, b"read") for flow in flows] == [b"read"] * len(flows)
    if not has_enforcer:
        plant.kill_enforcer()
    proxy.signal(signal.SIGSTOP)
    hung_at = time.monotonic()
    for flow in flows:
        flow.sendall(b"stale")
    eventually(lambda: _answers(plant, SAFETY), 10)
    time.sleep(max(0.0, hung_at + hung_s - time.monotonic()))
    proxy.signal(signal.SIGCONT)
    if not has_enforcer:
        eventually(lambda: plant.counter("fenced") >= len(flows))
    assert all(is_reset(flow) for flow in flows)
    assert exchange(plant.scada.connect(SAFETY, MODBUS), b"read") == b"read"
    assert b"stale" not in plant.inspected.received + plant.safety.received
    if has_enforcer:
        eventually(lambda: plant.inspected.open == 0)
    else:
        plant.start_enforcer()


def test_a_worker_that_missed_its_second_stays_out_until_it_is_armed(plant: Plant) -> None:
    """The switch is latched: beating again is not enough."""
    proxy = plant.proxy()
    plant.open(42, overlay=INSPECTED)
    assert exchange(plant.user.connect(INSPECTED, MODBUS), b"read") == b"read"
    proxy.signal(signal.SIGSTOP)
    eventually(lambda: _is_refused(plant), 3)
    proxy.signal(signal.SIGCONT)
    for _ in range(30):
        assert _is_refused(plant)
        time.sleep(0.02)
    plant.control.do(ArmWorker(mark=FIRST_WORKER_MARK))
    assert exchange(plant.user.connect(INSPECTED, MODBUS), b"read") == b"read"


def test_a_tripped_switch_is_told_once_and_its_process_is_refused_for_ever(plant: Plant) -> None:
    """Also when it beats again; the next process of the same mark is armed."""
    proxy = plant.proxy()
    plant.control.do(_arm(pid=40))
    proxy.signal(signal.SIGSTOP)
    plant.control.event(WorkerTripped, 3, mark=FIRST_WORKER_MARK, pid=40)
    proxy.signal(signal.SIGCONT)
    with pytest.raises(TimeoutError):
        plant.control.event(WorkerTripped, 0.8)
    assert isinstance(plant.control.ask(_arm(pid=40)), Failed)
    plant.control.event(WorkerTripped, pid=40)
    assert not _is_counted(plant)
    plant.control.do(_arm(pid=41))
    assert _is_counted(plant)


def test_a_switch_that_trips_while_control_is_away_is_told_when_it_is_back(plant: Plant) -> None:
    proxy = plant.proxy()
    plant.control.do(_arm(pid=40))
    plant.control.close()
    proxy.signal(signal.SIGSTOP)
    eventually(lambda: not _is_counted(plant), 3)
    time.sleep(0.3)
    plant.control = eventually(plant.connected)
    plant.control.do(KeepGrants(numbers=()))
    plant.control.event(WorkerTripped, pid=40)


def test_an_enforcer_that_was_started_anew_watches_a_beating_worker_and_gives_up_a_silent_one(plant: Plant) -> None:
    proxy = plant.proxy()
    for is_beating in (True, False):
        plant.kill_enforcer()
        if not is_beating:
            proxy.signal(signal.SIGSTOP)
            eventually(lambda: not _is_counted(plant), 3)
        plant.start_enforcer()
        answer = plant.control.ask(_arm(pid=40, was_armed=True))
        assert isinstance(answer, Done if is_beating else Failed)
    plant.control.event(WorkerTripped, pid=40)
    assert not _is_counted(plant)


def _arm(**fields: Any) -> ArmWorker:
    return ArmWorker(mark=FIRST_WORKER_MARK, **fields)


def _is_counted(plant: Plant) -> bool:
    """Whether the kernel counts the worker's heartbeat."""
    return "elements" in plant.gate.run(["nft", "list", "set", "inet", "penstock", "alive"])


def test_a_certificate_bound_grant_lets_the_worker_dial_and_nobody_else(plant: Plant) -> None:
    """The client tunnel: the grant admits no address of the plant, only the worker's own leg."""
    plant.proxy()
    plant.open(42, source=None)
    assert plant.dial(42 | UPSTREAM_BIT, "192.168.10.50") == "connected"
    with pytest.raises(TimeoutError):
        plant.user.connect("100.64.0.50", MODBUS, timeout_s=0.3)


@pytest.mark.parametrize(
    ("mark", "address"),
    [
        (43 | UPSTREAM_BIT, "192.168.10.50"),
        (42 | UPSTREAM_BIT, "192.168.10.51"),
        (43 | UPSTREAM_BIT | SAFETY_BIT, "192.168.10.60"),
        (SAFETY_GRANT | UPSTREAM_BIT | SAFETY_BIT, "192.168.10.51"),
        (42, "192.168.10.50"),
        (0, "192.168.10.50"),
    ],
    ids=["no grant", "grant of another asset", "safety bit alone", "standing grant elsewhere", "no leg bit", "no mark"],
)
def test_the_worker_dials_an_asset_only_under_a_grant_for_it(plant: Plant, mark: int, address: str) -> None:
    """A worker that was taken over reaches what its live grants reach, and nothing else."""
    plant.proxy()
    plant.open(42)
    assert plant.dial(mark, address) == "ConnectionRefusedError"
    assert plant.control.event(FlowsRefused, destination=address).source == GATE
    assert plant.plain.peers == plant.inspected.peers == plant.safety.peers == []


def test_the_heartbeat_is_the_armed_workers_alone(plant: Plant) -> None:
    """A datagram from the plant or with another mark keeps nothing alive."""
    plant.open(42, overlay=INSPECTED)
    proxy = plant.proxy()
    proxy.signal(signal.SIGSTOP)
    outsider, insider = plant.user.socket(kind=socket.SOCK_DGRAM), plant.gate.socket(kind=socket.SOCK_DGRAM)
    insider.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, FIRST_WORKER_MARK + 1)

    def is_tripped() -> bool:
        outsider.sendto(b"", (GATE, 15999))
        with pytest.raises(PermissionError):
            insider.sendto(b"", ("127.0.0.1", 15999))
        return _is_refused(plant)

    eventually(is_tripped, 3)


def _answers(plant: Plant, overlay: str) -> bool:
    """Whether a new connection of the standing flow is answered within 0.3 s: what a client that dials anew sees."""
    try:
        client = plant.scada.connect(overlay, MODBUS, timeout_s=0.3)
        return exchange(client, b"read") == b"read"
    except OSError:
        return False


def _is_refused(plant: Plant) -> bool:
    try:
        plant.user.connect(INSPECTED, MODBUS).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    return False
