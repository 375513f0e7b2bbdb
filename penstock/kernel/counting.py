"""What the kernel carries now: open flows of inspected services, grant by grant, with and without inspection.

Stands behind `CountFlows`.  The connection table is asked, not what was told of it: an answer never misses a flow that
goes on uninspected.  It must never change anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.kernel.conntrack import Connections, Entry
from penstock.kernel.counters import Counters
from penstock.kernel.flows import KernelFlows, is_on_kernel_path
from penstock.model import (
    ENDED_BIT,
    GRANT_MASK,
    PROXIED_BIT,
    SAFETY_BIT,
    UPSTREAM_BIT,
    CountFlows,
    FlowsCounted,
    GrantFlows,
)

#: Beyond so many grants the table is walked once and sorted here, instead of once for each of them by the kernel.
_ASKED_ONE_BY_ONE = 16


class Counting:
    """Answers `CountFlows`."""

    def __init__(self, connections: Connections, flows: KernelFlows) -> None:
        self._connections, self._flows, self._counters = connections, flows, Counters()

    def close(self) -> None:
        """Give the socket back."""
        self._counters.close()

    def answer(self, command: CountFlows, at_us: int) -> FlowsCounted:
        """A walk or a few of the connection table, each 20 ms where it has 262,144 buckets.  Raises `OSError`."""
        numbers = set(command.numbers)
        if not numbers:
            entries = self._connections.marked(SAFETY_BIT, SAFETY_BIT)
        elif len(numbers) <= _ASKED_ONE_BY_ONE:
            entries = [entry for number in sorted(numbers) for entry in self._connections.marked(number)]
        else:
            entries = [each for each in self._connections.marked(0, 0) if each.mark & GRANT_MASK in numbers]
        packets = self._counters.packets()
        return FlowsCounted(
            flows=counted(entries, self._flows),
            at_us=at_us,
            failed_open=packets.get("failed_open", 0),
            failed_closed=packets.get("failed_closed", 0),
        )


def counted(entries: Iterable[Entry], flows: KernelFlows) -> tuple[GrantFlows, ...]:
    """The open flows among these entries, by grant.

    The worker has two legs of a flow that was steered to it, and of one that came by tunnel the one to the asset.
    """
    legs: dict[int, list[int]] = {}
    uninspected: dict[int, list[Entry]] = {}
    for entry in entries:
        number = entry.mark & GRANT_MASK
        if entry.mark & (PROXIED_BIT | UPSTREAM_BIT):
            if not entry.is_ending:  # a dead worker's flow, whose client has not noticed yet
                legs.setdefault(number, [0, 0])[bool(entry.mark & UPSTREAM_BIT)] += 1
        elif is_on_kernel_path(entry) and flows.has_failed_open(entry):
            uninspected.setdefault(number, []).append(entry)
    return tuple(
        _of_grant(number, max(legs.get(number, (0, 0))), uninspected.get(number, []))
        for number in sorted(legs.keys() | uninspected.keys())
        if number in uninspected or any(legs[number])
    )


def _of_grant(number: int, inspected: int, without: list[Entry]) -> GrantFlows:
    closing = sum(entry.is_closing or bool(entry.mark & ENDED_BIT) for entry in without)
    return GrantFlows(
        grant=number,
        inspected=inspected,
        uninspected=len(without) - closing,
        closing=closing,
        packets=sum(entry.packets for entry in without),
        bytes=sum(entry.bytes for entry in without),
        since_us=min((entry.opened_at_us for entry in without), default=0),
    )
