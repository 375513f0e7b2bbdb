"""How many flows are open under each conduit, on each path.

Pure.  A worker says which it carries each second; the enforcer tells when one on the kernel path begins and ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from penstock.control.latency import Path
from penstock.control.state import State
from penstock.model import KernelFlowClosed, KernelFlowOpened

#: More flows on the kernel path than this are not told apart any more.
MAX_FLOWS: Final = 200_000


class LiveFlows:
    """The flows of now."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.inspected: dict[int, int] = {}
        """Of the workers, by grant."""
        self._kernel: dict[int, int] = {}

    def hear(self, event: KernelFlowOpened | KernelFlowClosed) -> None:
        """A flow on the kernel path began, or ended."""
        key = hash((event.transport, event.source, event.source_port, event.overlay, event.port))
        if isinstance(event, KernelFlowClosed):
            self._kernel.pop(key, None)
        elif len(self._kernel) < MAX_FLOWS:
            self._kernel[key] = event.grant

    def of_workers(self) -> Counter[str]:
        """How many flows of each conduit are inspected; one under a grant of two conduits counts for both."""
        return self._by_conduit(self.inspected)

    def by_conduit(self) -> dict[Path, Counter[str]]:
        """The same on each path."""
        live = self._state.now.grants
        self._kernel = {key: number for key, number in self._kernel.items() if number in live}
        kernel = self._by_conduit(Counter(self._kernel.values()))
        return {Path.INSPECTED: self.of_workers(), Path.KERNEL: kernel}

    def _by_conduit(self, counts: Mapping[int, int]) -> Counter[str]:
        live, found = self._state.now.grants, Counter[str]()
        for number, count in counts.items():
            if (holder := live.get(number)) is not None:
                found.update(dict.fromkeys(holder.grant.conduits, count))
        return found
