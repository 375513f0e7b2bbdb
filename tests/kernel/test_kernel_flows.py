from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kernel import flows as module
from penstock.kernel.conntrack import Change, Direction, Entry
from penstock.kernel.flows import KernelFlows
from penstock.kernel.folding import MAX_APART, Folds
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
    end = replace(ENTRY, packets=9, bytes=500, packets_sent=5, bytes_sent=300, closed_at_us=7)
    closed = flows.event(Change.ENDED, end, 8)
    assert isinstance(closed, KernelFlowClosed)
    assert (closed.grant, closed.packets, closed.bytes) == (42, 9, 500)
    assert (closed.packets_sent, closed.bytes_sent) == (5, 300)
    assert (closed.opened_at_us, closed.at_us) == (5, 6), "both ends were done at 6, the entry was deleted later"
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
    flows.begin_reconciling()
    told = flows.reconcile([begun], 9)
    assert [type(event) for event in told] == [KernelFlowClosed, KernelFlowOpened]
    assert isinstance(told[0], KernelFlowClosed)
    assert not told[0].is_complete
    flows.begin_reconciling()
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


def test_the_kernels_own_times_go_before_the_readers() -> None:
    """A flow of datagrams has no closing: it ends when the kernel forgets it."""
    flows = KernelFlows()
    way = replace(ENTRY.original, transport=17, port=47808)
    opened = flows.event(Change.OPENED, replace(ENTRY, original=way), 50)
    assert isinstance(opened, KernelFlowOpened)
    assert opened.transport == "udp"
    closed = flows.event(Change.ENDED, replace(ENTRY, original=way, opened_at_us=48, closed_at_us=90), 95)
    assert isinstance(closed, KernelFlowClosed)
    assert (closed.opened_at_us, closed.at_us, closed.transport) == (48, 90, "udp")


def test_a_flow_that_ended_while_the_table_was_read_is_told_once_and_with_its_counters() -> None:
    flows = KernelFlows()
    flows.adopt([ENTRY])
    flows.begin_reconciling()
    closed = flows.event(Change.ENDED, replace(ENTRY, packets=9), 8)
    assert isinstance(closed, KernelFlowClosed)
    assert closed.packets == 9
    assert flows.reconcile([ENTRY], 9) == []
    assert len(flows) == 0


def test_a_flow_that_opened_while_the_table_was_read_is_told_once() -> None:
    flows = KernelFlows()
    flows.begin_reconciling()
    assert flows.event(Change.OPENED, ENTRY, 8) is not None
    assert flows.reconcile([], 9) == []
    assert flows.of(42) == [ENTRY]


def test_fifty_thousand_flows_are_known() -> None:
    flows = KernelFlows()
    for number in range(50_000):
        flows.event(Change.OPENED, replace(ENTRY, identity=number), 5)
    assert flows.is_complete
    assert len(flows.of(42)) == 50_000


FLOW = st.tuples(st.integers(0, 3), st.integers(1, 3), st.booleans(), st.integers(0, 9), st.integers(0, 900_000))


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(FLOW, max_size=400))
def test_folding_loses_no_flow_and_no_byte(steps: list[tuple[int, int, bool, int, int]]) -> None:
    """Conservation: what came in is told apart, told together or still counted."""
    folds, now_us = Folds(), 10**15
    fed, told = [0, 0, 0], [0, 0, 0]

    def count(sums: list[int], event: KernelFlowOpened | KernelFlowClosed) -> None:
        if isinstance(event, KernelFlowClosed):
            sums[1] += 1
            sums[2] += event.packets
        else:
            sums[0] += 1

    def drain() -> None:
        for folded in folds.due(now_us):
            sums = (folded.opened, folded.closed, folded.traffic.packets)
            told[:] = [before + more for before, more in zip(told, sums, strict=True)]
            assert folded.traffic.flows == folded.closed

    for grant, repeated, is_closed, packets, passed_us in steps:
        now_us += passed_us
        for _ in range(repeated * 20):
            entry = replace(ENTRY, mark=grant or 9, packets=packets)
            event = KernelFlows().event(Change.ENDED if is_closed else Change.OPENED, entry, now_us)
            assert event is not None
            count(fed, event)
            apart = folds.add(event, now_us)
            if apart is not None:
                count(told, apart)
        drain()
    now_us += 1_000_000
    drain()
    assert folds.is_empty
    assert told == fed


def test_few_flows_are_told_one_by_one_and_a_flood_as_one_number_a_second() -> None:
    folds, apart = Folds(), 0
    for number in range(1000):
        event = KernelFlows().event(Change.OPENED, replace(ENTRY, identity=number), 5)
        assert event is not None
        apart += folds.add(event, 5) is not None
    assert apart == MAX_APART
    assert folds.due(999_999) == []
    (folded,) = folds.due(1_000_005)
    assert (folded.opened, folded.closed, folded.since_us) == (1000 - MAX_APART, 0, 5)


def test_a_flow_that_failed_open_is_always_told_by_itself() -> None:
    """The register of failures lives on these events."""
    folds, flows = Folds(), KernelFlows()
    flows.inspected = frozenset({("100.64.0.50", "tcp", 502)})
    for number in range(200):
        event = flows.event(Change.OPENED, replace(ENTRY, identity=number), 5)
        assert event is not None
        assert folds.add(event, 5) is event
    assert folds.is_empty
