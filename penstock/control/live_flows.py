"""How many flows are open under each conduit, on each path.

Pure.  A worker says each second which it carries.  The enforcer tells when one on the kernel path begins and ends, in
bulk where there are many, and now and then what there is: that puts right what was missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from penstock.control.latency import Path
from penstock.control.state import State
from penstock.model import KernelFlowClosed, KernelFlowOpened, KernelFlowsFolded, TrafficCounted

FlowEvent: TypeAlias = KernelFlowOpened | KernelFlowClosed | KernelFlowsFolded | TrafficCounted


class LiveFlows:
    """The flows of now."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.inspected: dict[int, int] = {}
        """Of the workers, by grant."""
        self._kernel: Counter[int] = Counter()

    def hear(self, event: FlowEvent) -> None:
        """Flows on the kernel path began, ended, or were counted."""
        match event:
            case KernelFlowOpened():
                self._add(event.grant, 1)
            case KernelFlowClosed():
                self._add(event.grant, -1)
            case KernelFlowsFolded():
                self._add(event.grant, event.opened - event.closed)
            case TrafficCounted():
                if event.is_all:
                    self._kernel.clear()
                for number, traffic in event.open.items():
                    self._kernel[number] = traffic.flows

    def _add(self, number: int, count: int) -> None:
        """Grants without a flow are not remembered: their numbers are used up for years, and nobody may ever look."""
        self._kernel[number] += count
        if self._kernel[number] <= 0:
            del self._kernel[number]

    def of_workers(self) -> Counter[str]:
        """How many flows of each conduit are inspected; one under a grant of two conduits counts for both."""
        return self._by_conduit(self.inspected)

    def by_conduit(self) -> dict[Path, Counter[str]]:
        """The same on each path."""
        live = self._state.now.grants
        for number in [number for number in self._kernel if number not in live]:
            del self._kernel[number]
        return {Path.INSPECTED: self.of_workers(), Path.KERNEL: self._by_conduit(self._kernel)}

    def _by_conduit(self, counts: Mapping[int, int]) -> Counter[str]:
        live, found = self._state.now.grants, Counter[str]()
        for number, count in counts.items():
            if count > 0 and (holder := live.get(number)) is not None:
                found.update(dict.fromkeys(holder.grant.conduits, count))
        return found
