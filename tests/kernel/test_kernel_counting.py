from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.kernel.conntrack import Direction, Entry
from penstock.kernel.counting import Counting, counted
from penstock.kernel.flows import KernelFlows
from penstock.model import PROXIED_BIT, SAFETY_BIT, UPSTREAM_BIT, CountFlows, GrantFlows

ENTRY = Entry(
    original=Direction(source="192.168.10.11", source_port=40000, destination="100.64.0.50", port=502, transport=6),
    reply=Direction(source="192.168.10.50", source_port=502, destination="192.168.10.2", port=40000, transport=6),
    mark=42 | SAFETY_BIT,
    packets=9,
    bytes=500,
    identity=1,
    is_closing=False,
    opened_at_us=70,
)


def knowing() -> KernelFlows:
    flows = KernelFlows()
    flows.inspected = frozenset({("100.64.0.50", "tcp", 502)})
    return flows


def test_flows_are_counted_by_grant_with_and_without_inspection() -> None:
    entries = [
        ENTRY,
        replace(ENTRY, identity=2, packets=1, bytes=60, opened_at_us=30),
        replace(ENTRY, identity=3, mark=42 | SAFETY_BIT | PROXIED_BIT),
        replace(ENTRY, identity=4, mark=42 | SAFETY_BIT | UPSTREAM_BIT),
        replace(ENTRY, identity=5, mark=43 | PROXIED_BIT),
        replace(ENTRY, identity=6, mark=44 | UPSTREAM_BIT),
    ]
    assert counted(entries, knowing()) == (
        GrantFlows(grant=42, inspected=1, uninspected=2, packets=10, bytes=560, since_us=30),
        GrantFlows(grant=43, inspected=1, uninspected=0),
        GrantFlows(grant=44, inspected=1, uninspected=0),
    )


def test_flows_that_are_over_and_those_of_services_that_nobody_inspects_are_not_counted() -> None:
    other = replace(ENTRY, original=replace(ENTRY.original, port=4840))
    dead = replace(ENTRY, mark=42 | SAFETY_BIT | PROXIED_BIT, is_ending=True)
    over = replace(ENTRY, is_closing=True, is_ending=True)
    (flows,) = counted([over, other, dead], knowing())
    assert (flows.inspected, flows.uninspected, flows.closing, flows.packets) == (0, 0, 1, 9), (
        "its end is to be told yet"
    )
    assert counted([other, dead, replace(dead, is_closing=True)], knowing()) == ()


def test_an_enforcer_that_starts_tells_what_failed_open_before_it_came_with_its_true_beginning() -> None:
    flows = knowing()
    flows.adopt([ENTRY, replace(ENTRY, identity=2, mark=43, original=replace(ENTRY.original, port=4840))])
    (found,) = flows.found(99)
    assert (found.grant, found.at_us, found.was_found, found.has_failed_open) == (42, 70, True, True)
    flows = knowing()
    flows.adopt([replace(ENTRY, opened_at_us=0)])
    assert [each.at_us for each in flows.found(99)] == [99]


@pytest.mark.parametrize(
    ("numbers", "asked"),
    [
        ((), [(SAFETY_BIT, SAFETY_BIT)]),
        ((42, 7), [(7, 0x00FF_FFFF), (42, 0x00FF_FFFF)]),
        (tuple(range(30, 60)), [(0, 0)]),
    ],
)
def test_few_grants_are_asked_of_the_kernel_one_by_one_and_many_in_one_walk(
    numbers: tuple[int, ...], asked: list[tuple[int, int]]
) -> None:
    class Table:
        asked: list[tuple[int, int]] = []  # noqa: RUF012  one test, one table

        def marked(self, value: int, mask: int = 0x00FF_FFFF) -> list[Entry]:
            self.asked.append((value, mask))
            return [entry for entry in (ENTRY, replace(ENTRY, mark=99)) if entry.mark & mask == value]

    class Packets:
        def packets(self) -> dict[str, int]:
            return {"failed_open": 3, "failed_closed": 4}

    table = Table()
    table.asked = []
    counting = Counting.__new__(Counting)
    counting._connections, counting._flows, counting._counters = table, knowing(), Packets()  # type: ignore[assignment]
    answer = counting.answer(CountFlows(numbers=numbers), 5)
    assert table.asked == asked
    assert [each.grant for each in answer.flows] == [42]
    assert (answer.failed_open, answer.failed_closed, answer.at_us) == (3, 4, 5)
