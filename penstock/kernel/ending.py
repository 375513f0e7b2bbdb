"""I/O: closing both ends of flows that may not go on: of withdrawn grants, and of those that are to be dialled anew.

Stands between the enforcer and what closes flows: the worker's sockets, the probes, the connection table.  It must
never be what stops the packets of a withdrawn grant: the table does that, before anything here begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from socket import IPPROTO_TCP

from penstock.kernel.conntrack import Connections, Entry
from penstock.kernel.destroy import Sockets
from penstock.kernel.flow_watch import FlowWatch
from penstock.kernel.flows import KernelFlows, is_on_kernel_path
from penstock.kernel.kick import Prober
from penstock.model import GRANT_MASK, PROXIED_BIT, UPSTREAM_BIT

#: How soon the table is looked at for flows whose ends are not closed yet.
LOOK_AGAIN_AFTER_S = 0.01
#: Both ends of a withdrawn flow have answered the probe by then (13 ms measured on a quiet network).
FORGET_AFTER_S = 0.3


class Ending:
    """Closes flows.  `watch` brings the knowledge of open flows up to date, and tells what ended ones have carried."""

    def __init__(self, connections: Connections, flows: KernelFlows, watch: FlowWatch) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections, self._flows, self._watch = connections, flows, watch
        self._sockets, self._prober = Sockets(), Prober()

    def close(self) -> None:
        """Give the sockets back."""
        self._sockets.close()
        self._prober.close()

    def withdrawn(self, number: int) -> None:
        """Close both ends of every flow of a grant that is gone already, then forget its connections."""
        self._sockets.destroy_marked(number)
        self._prober.kick(self._carried({number}))
        self._watch.count_ended(number)
        self._loop.call_later(LOOK_AGAIN_AFTER_S, self._close_left, frozenset({number}))
        self._loop.call_later(FORGET_AFTER_S, self._connections.delete_marked, number)

    def all_withdrawn(self, numbers: frozenset[int]) -> None:
        """The same for many grants, with one look at the sockets and one at the table: each walks all there are."""
        if not numbers:
            return
        self._sockets.destroy_any(numbers)
        self._prober.kick(self._carried(set(numbers)))
        for number in numbers:
            self._watch.count_ended(number)
        self._loop.call_later(LOOK_AGAIN_AFTER_S, self._close_left, numbers)
        self._loop.call_later(FORGET_AFTER_S, self._forget_all, numbers)

    def unattended(self, numbers: Iterable[int]) -> None:
        """Reset both legs of every flow of these grants that the worker holds."""
        for number in numbers:
            self._sockets.destroy_marked(number)

    def abandoned(self) -> None:
        """No worker is alive: reset both legs of every flow that one held, so that nobody waits for an answer.

        A hung worker's kernel has taken the request, so a client would wait for as long as its own time-out lasts.
        """
        self._sockets.destroy_all()

    def attended(self, numbers: Iterable[int]) -> None:
        """End the flows of these grants that go uninspected though their service is inspected; the grants live on."""
        open_flows = [entry for entry in self._carried(set(numbers)) if self._flows.has_failed_open(entry)]
        ended = [entry for entry in open_flows if self._connections.end(entry)]
        self._prober.kick(ended)
        self._loop.call_later(FORGET_AFTER_S, self._forget, ended)

    def _close_left(self, numbers: frozenset[int]) -> None:
        """Inspected flows whose end nobody was told: the table reset the worker's own socket as it was being used.

        Such a socket is gone without a word to the other end, which would hold its place for as long as it is silent.
        """
        for entry in self._marked_any(numbers):
            if entry.original.transport != IPPROTO_TCP:
                continue
            if entry.mark & UPSTREAM_BIT:
                self._prober.probe(entry.reply)
            elif entry.mark & PROXIED_BIT:
                self._prober.probe(entry.original)

    def _marked_any(self, numbers: frozenset[int]) -> list[Entry]:
        if len(numbers) == 1:
            return self._connections.marked(*numbers)
        return [entry for entry in self._connections.marked(0, 0) if entry.mark & GRANT_MASK in numbers]

    def _forget_all(self, numbers: frozenset[int]) -> None:
        self._forget(self._marked_any(numbers))

    def _forget(self, entries: list[Entry]) -> None:
        self._connections.delete_all(entries)

    def _carried(self, numbers: set[int]) -> list[Entry]:
        """The open flows of these grants on the kernel path."""
        self._watch.read()  # flows that opened a moment ago are known then
        if self._flows.is_complete:
            return [entry for number in numbers for entry in self._flows.of(number)]
        known = self._connections.marked(0, 0)
        return [entry for entry in known if is_on_kernel_path(entry) and entry.mark & GRANT_MASK in numbers]
