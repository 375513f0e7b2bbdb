from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.kernel import flows as module
from penstock.kernel.conntrack import Change, Direction, Entry
from penstock.kernel.flows import KernelFlows
from penstock.model import PROXIED_BIT, SAFETY_BIT, UPSTREAM_BIT, KernelFlowClosed, KernelFlowOpened

ENTRY = Entry(
    original=Direction(source="192.168.10.11", source_port=40000, destination="100.64.0.50", port=502, transport=6),
    reply=Direction(source="192.168.10.50", source_port=502, destination="192.168.10.2", port=40000, transport=6),
    mark=42,
    packets=0,
    bytes=0,
    identity=1,
    is_closing=False,
)


def test_a_flow_is_told_when_it_opens_and_when_it_ends_with_its_counters() -> None:
    flows = KernelFlows()
    opened = flows.event(Change.OPENED, ENTRY, 5)
    assert opened == KernelFlowOpened(
        grant=42,
        source="192.168.10.11",
        source_port=40000,
        overlay="100.64.0.50",
        port=502,
        at_us=5,
        has_failed_open=False,
    )
    assert flows.event(Change.CLOSING, replace(ENTRY, is_closing=True), 6) is None
    closed = flows.event(Change.ENDED, replace(ENTRY, packets=9, bytes=500), 7)
    assert isinstance(closed, KernelFlowClosed)
    assert (closed.grant, closed.packets, closed.bytes, closed.at_us) == (42, 9, 500, 7)
    assert flows.of(42) == []


def test_flows_of_the_worker_and_of_the_machine_itself_are_not_told() -> None:
    flows = KernelFlows()
    for mark in (0, 42 | PROXIED_BIT, 42 | UPSTREAM_BIT):
        assert flows.event(Change.OPENED, replace(ENTRY, mark=mark), 5) is None
    assert flows.of(42) == []


def test_an_inspected_service_on_the_kernel_path_has_failed_open() -> None:
    flows = KernelFlows()
    flows.inspected = frozenset({("100.64.0.50", "tcp", 502)})
    opened = flows.event(Change.OPENED, replace(ENTRY, mark=42 | SAFETY_BIT), 5)
    assert isinstance(opened, KernelFlowOpened)
    assert opened.has_failed_open
    assert opened.grant == 42


def test_the_open_flows_of_a_grant_are_known_and_no_others() -> None:
    flows = KernelFlows()
    other = replace(ENTRY, mark=43, identity=2)
    flows.adopt([ENTRY, other, replace(ENTRY, mark=0, identity=3)])
    assert flows.of(42) == [ENTRY]
    assert flows.of(43) == [other]


def test_reconciling_tells_what_was_missed_and_nothing_twice() -> None:
    flows = KernelFlows()
    flows.adopt([ENTRY])
    begun = replace(ENTRY, identity=2)
    told = flows.reconcile([begun], 9)
    assert [type(event) for event in told] == [KernelFlowClosed, KernelFlowOpened]
    assert flows.reconcile([begun], 10) == []
    assert flows.of(42) == [begun]


def test_beyond_the_limit_flows_are_still_told_but_no_longer_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 1)
    flows = KernelFlows()
    flows.event(Change.OPENED, ENTRY, 5)
    assert flows.is_complete
    assert flows.event(Change.OPENED, replace(ENTRY, identity=2), 5) is not None
    assert not flows.is_complete
    assert flows.of(42) == [ENTRY]
