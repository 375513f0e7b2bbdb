"""Standing aside: inspection counts as not alive for some grants, by order and not by fault, and is taken up again."""

from __future__ import annotations

import pytest
from gate_plant import (
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

from penstock.model import UPSTREAM_BIT, KernelFlowClosed, KernelFlowOpened, StandAside, StandBack


def test_a_safety_flow_stands_aside_onto_the_kernel_path_and_comes_back_into_inspection(plant: Plant) -> None:
    """Each time the flow under way is reset at both ends, the controller's slot is free, and the next dial decides."""
    proxy = plant.proxy()
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    plant.control.do(StandAside(numbers=(SAFETY_GRANT,)))
    assert is_reset(client)
    eventually(lambda: plant.safety.open == 0)
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    assert plant.control.event(KernelFlowOpened, grant=SAFETY_GRANT).has_failed_open
    assert plant.counter("failed_open") == 1
    plant.control.do(StandBack(numbers=(SAFETY_GRANT,)))
    assert is_reset(client)
    eventually(lambda: plant.safety.open == 0)
    assert plant.control.event(KernelFlowClosed, grant=SAFETY_GRANT).has_failed_open
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    assert eventually(lambda: len(proxy.sessions) == 2 and proxy.sessions[1])["grant"] == SAFETY_GRANT
    assert not any(isinstance(event, KernelFlowOpened) for event in plant.control.events)


def test_a_busy_flow_that_went_uninspected_is_cut_with_its_next_packet(plant: Plant) -> None:
    """From the answer to `StandBack` on nothing reaches the asset that was not looked at."""
    plant.proxy()
    plant.control.do(StandAside(numbers=(SAFETY_GRANT,)))
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    plant.control.do(StandBack(numbers=(SAFETY_GRANT,)))
    assert is_cut(client, b"uninspected")
    assert plant.safety.received == [b"read"]


def test_another_flow_that_stands_aside_is_reset_and_refused(plant: Plant) -> None:
    """What is not safety-critical never goes uninspected; the worker may not dial for it either; others go on."""
    plant.proxy()
    plant.open(42, overlay=INSPECTED)
    plant.open(43, overlay=SAFETY)
    client, neighbour = plant.user.connect(INSPECTED, MODBUS), plant.user.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == exchange(neighbour, b"read") == b"read"
    plant.control.do(StandAside(numbers=(42,)))
    assert is_reset(client)
    with pytest.raises(ConnectionRefusedError):
        plant.user.connect(INSPECTED, MODBUS)
    assert plant.counter("failed_closed") == 1
    assert plant.dial(42 | UPSTREAM_BIT, "192.168.10.51") == "ConnectionRefusedError"
    assert exchange(neighbour, b"read") == b"read"
    plant.control.do(StandBack(numbers=(42,)))
    assert exchange(plant.user.connect(INSPECTED, MODBUS), b"read") == b"read"


def test_standing_aside_for_a_time_ends_by_itself(plant: Plant) -> None:
    """Also when nobody is there to end it: the enforcer is killed meanwhile."""
    proxy = plant.proxy()
    plant.control.do(StandAside(numbers=(SAFETY_GRANT,), ttl_ms=1500))
    plant.scada.connect(SAFETY, MODBUS).close()
    plant.control.event(KernelFlowOpened, grant=SAFETY_GRANT)
    plant.kill_enforcer()

    def is_inspected() -> bool:
        plant.scada.connect(SAFETY, MODBUS).close()
        return bool(proxy.sessions)

    eventually(is_inspected, 5)


def test_a_ruleset_leaves_those_aside_that_it_names_and_those_that_are_aside_for_a_time(plant: Plant) -> None:
    """And takes the others back into inspection: their flows are reset."""
    proxy = plant.proxy()
    plant.control.do(StandAside(numbers=(SAFETY_GRANT,)))
    client = plant.scada.connect(SAFETY, MODBUS)
    plant.apply(aside=(SAFETY_GRANT,))
    plant.kill_enforcer()
    plant.start_enforcer()
    plant.apply()
    assert exchange(client, b"read") == b"read"
    plant.apply(aside=())
    assert is_reset(client)
    plant.control.do(StandAside(numbers=(SAFETY_GRANT,), ttl_ms=60_000))
    plant.apply()
    client = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(client, b"read") == b"read"
    plant.control.event(KernelFlowOpened, grant=SAFETY_GRANT)
    assert proxy.sessions == []


def test_a_ruleset_restores_what_stood_aside_on_a_kernel_that_has_forgotten(plant: Plant) -> None:
    """After a restart of the machine."""
    proxy = plant.proxy()
    plant.gate.run(["nft", "flush", "set", "inet", "penstock", "unattended"])
    plant.apply(aside=(SAFETY_GRANT,))
    plant.scada.connect(SAFETY, MODBUS).close()
    plant.control.event(KernelFlowOpened, grant=SAFETY_GRANT)
    assert proxy.sessions == []


def test_thousands_stand_aside_and_back_in_a_few_transactions(plant: Plant) -> None:
    """More than one transaction holds; unknown numbers are no error."""
    numbers = tuple(range(1, 2501))
    plant.control.do(StandAside(numbers=numbers))
    assert _held(plant) == 2500
    plant.control.do(StandBack(numbers=(*numbers[:2499], 90_000)))
    assert _held(plant) == 1


def _held(plant: Plant) -> int:
    listed = plant.gate.run(["nft", "list", "set", "inet", "penstock", "unattended"])
    return listed.count("0x") if "elements" in listed else 0
