"""What the enforcer says of flows that go on uninspected: counted live, and told by one that comes back."""

from __future__ import annotations

import time

from gate_plant import INSPECTED, MODBUS, PLAIN, SAFETY, SAFETY_GRANT, Plant, eventually, exchange

from penstock.model import CountFlows, FlowsCounted, GrantFlows, KernelFlowClosed, KernelFlowOpened


def counted(plant: Plant, *numbers: int) -> FlowsCounted:
    answer = plant.control.ask(CountFlows(numbers=numbers))
    assert isinstance(answer, FlowsCounted)
    return answer


def test_flows_are_counted_with_and_without_inspection_and_with_what_they_carried(plant: Plant) -> None:
    plant.open(41)
    assert exchange(plant.user.connect(PLAIN, MODBUS), b"read") == b"read"
    proxy = plant.proxy()
    plant.open(42, overlay=INSPECTED)
    other = plant.user.connect(INSPECTED, MODBUS)
    first = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(first, b"read") == exchange(other, b"read") == b"read"
    assert counted(plant).flows == (GrantFlows(grant=SAFETY_GRANT, inspected=1, uninspected=0),)
    both = (GrantFlows(grant=41, inspected=0, uninspected=0), GrantFlows(grant=42, inspected=1, uninspected=0))
    assert counted(plant, 41, 42).flows == both[1:], "a service that nobody inspects has not failed open"
    proxy.process.kill()
    proxy.process.wait()
    before_us = time.time_ns() // 1000
    again = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(again, b"read") == b"read"
    answer = counted(plant)
    (flows,) = answer.flows
    assert (flows.grant, flows.inspected, flows.uninspected) == (SAFETY_GRANT, 0, 1)
    assert flows.packets >= 4
    assert flows.bytes > 160
    assert before_us - 10_000 <= flows.since_us <= answer.at_us, "the kernel's own time, coarse to a tick"
    assert answer.failed_open == plant.counter("failed_open") >= 1
    again.close()
    eventually(lambda: counted(plant).flows == ())


def test_an_enforcer_that_comes_back_tells_what_failed_open_while_it_was_away(plant: Plant) -> None:
    proxy = plant.proxy()
    plant.open(41)
    plain = plant.user.connect(PLAIN, MODBUS)
    assert exchange(plain, b"read") == b"read"
    plant.kill_enforcer()
    proxy.process.kill()
    proxy.process.wait()
    before_us = time.time_ns() // 1000
    safety = plant.scada.connect(SAFETY, MODBUS)
    assert exchange(safety, b"read") == b"read"
    after_us = time.time_ns() // 1000
    plant.start_enforcer()
    assert counted(plant).flows[0].uninspected == 1
    found = plant.control.event(KernelFlowOpened)
    assert (found.grant, found.has_failed_open, found.was_found) == (SAFETY_GRANT, True, True)
    assert before_us - 10_000 <= found.at_us <= after_us
    assert not [each for each in plant.control.events if isinstance(each, KernelFlowOpened)]
    safety.close()
    closed = plant.control.event(KernelFlowClosed, grant=SAFETY_GRANT)
    assert closed.has_failed_open
    assert closed.packets > 4
