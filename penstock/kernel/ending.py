"""I/O: closing both ends of flows that may not go on: of withdrawn grants, and of those that are to be dialled anew.

Stands between the enforcer and what closes flows: the worker's sockets, the probes, the connection table.  It must
never be what stops the packets of a withdrawn grant: the table does that, before anything here begins.  And it must
never hold the event loop for long: the next cut waits behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from itertools import islice
from socket import IPPROTO_TCP
from typing import Any, Final, TypeVar

from penstock.kernel.conntrack import Connections, Entry
from penstock.kernel.destroy import Sockets
from penstock.kernel.flow_watch import FlowWatch
from penstock.kernel.flows import KernelFlows, is_on_kernel_path
from penstock.kernel.kick import Prober
from penstock.model import GRANT_MASK, PROXIED_BIT, UPSTREAM_BIT

T = TypeVar("T")

#: Both ends of a withdrawn flow have answered the probe by then (13 ms measured on a quiet network).
FORGET_AFTER_S: Final = 0.3
#: How soon the table is looked at for flows whose ends are not closed yet.
LOOK_AGAIN_AFTER_S: Final = 0.01
#: Sockets or connections that are dealt with in one go: some 2 ms.
AT_ONCE: Final = 64
#: Entries of the connection table that are read in one go.
WALKED_AT_ONCE: Final = 256


class Ending:
    """Closes flows.  `watch` brings the knowledge of open flows up to date, and tells what ended ones have carried."""

    def __init__(self, connections: Connections, flows: KernelFlows, watch: FlowWatch) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections, self._flows, self._watch = connections, flows, watch
        self._sockets, self._prober = Sockets(), Prober()
        self._tasks: set[asyncio.Task[Any]] = set()
        #: A socket of its own: a walk in slices leaves it busy between them.
        self._table, self._walking = Connections(), asyncio.Lock()
        self._look: asyncio.Task[list[Entry]] | None = None
        self._wanted: set[int] = set()

    def close(self) -> None:
        """Give the sockets back."""
        for task in self._tasks:
            task.cancel()
        self._sockets.close()
        self._prober.close()
        self._table.close()

    def withdrawn(self, numbers: Iterable[int]) -> None:
        """Close both ends of every flow of grants that are gone already, then forget their connections.

        Returns at once; the first slice of it is done before anything else that the event loop has to do.
        """
        ended = frozenset(numbers)
        if ended:
            self._watch.read()  # flows that opened a moment ago are known then
            for number in ended:
                self._watch.count_ended(number)
            self._begin(self._end(ended))

    def unattended(self, numbers: Iterable[int]) -> None:
        """Reset both legs of every flow of these grants that the worker holds."""
        self._sockets.destroy(self._sockets.marked(frozenset(numbers)))

    def abandoned(self) -> None:
        """No worker is alive: reset both legs of every flow that one held, so that nobody waits for an answer.

        A hung worker's kernel has taken the request, so a client would wait for as long as its own time-out lasts.
        """
        self._sockets.destroy(self._sockets.held())

    def attended(self, numbers: Iterable[int]) -> None:
        """End the flows of these grants that go uninspected though their service is inspected; the grants live on."""
        self._watch.read()
        open_flows = [entry for entry in self._carried(frozenset(numbers)) if self._flows.has_failed_open(entry)]
        ended = [entry for entry in open_flows if self._connections.end(entry)]
        self._prober.kick(ended)
        self._loop.call_later(FORGET_AFTER_S, self._connections.delete_all, ended)

    def _begin(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _end(self, numbers: frozenset[int]) -> None:
        for some in _slices(self._sockets.marked(numbers)):
            self._sockets.destroy(some)
            await asyncio.sleep(0)
        entries = self._carried(numbers)
        for flows in _slices(entries):
            self._prober.kick(flows)
            await asyncio.sleep(0)
        left = await self._left(numbers)
        self._close_left(left)
        await asyncio.sleep(FORGET_AFTER_S)
        late = self._unknown_before(numbers, entries)
        if late:
            self._prober.kick(late)
            await asyncio.sleep(FORGET_AFTER_S)
        for flows in _slices([*entries, *late, *left]):
            self._connections.delete_all(flows)
            await asyncio.sleep(0)

    def _unknown_before(self, numbers: frozenset[int], entries: Iterable[Entry]) -> list[Entry]:
        """Flows of these grants whose opening had not been read yet when the grants were withdrawn."""
        known = {entry.identity for entry in entries}
        return [entry for entry in self._carried(numbers) if entry.identity not in known]

    def _carried(self, numbers: frozenset[int]) -> list[Entry]:
        """The open flows of these grants on the kernel path."""
        if self._flows.is_complete:
            return [entry for number in numbers for entry in self._flows.of(number)]
        known = self._connections.marked(0, 0)
        return [entry for entry in known if is_on_kernel_path(entry) and entry.mark & GRANT_MASK in numbers]

    def _close_left(self, entries: Iterable[Entry]) -> None:
        """Inspected flows whose end nobody was told: the table reset the worker's own socket as it was being used.

        Such a socket is gone without a word to the other end, which would hold its place for as long as it is silent.
        """
        for entry in entries:
            if entry.original.transport != IPPROTO_TCP:
                continue
            if entry.mark & UPSTREAM_BIT:
                self._prober.probe(entry.reply)
            elif entry.mark & PROXIED_BIT:
                self._prober.probe(entry.original)

    async def _left(self, numbers: frozenset[int]) -> list[Entry]:
        """The worker's legs of these grants in the table a moment later; one walk for all who ask meanwhile."""
        if self._look is None:
            self._wanted = set()
            self._look = self._begin(self._walk(self._wanted))
        self._wanted |= numbers
        found = await asyncio.shield(self._look)
        return [entry for entry in found if entry.mark & GRANT_MASK in numbers]

    async def _walk(self, wanted: set[int]) -> list[Entry]:
        await asyncio.sleep(LOOK_AGAIN_AFTER_S)
        async with self._walking:
            self._look = None  # whoever comes now has another walk
            found = []
            for bit in (PROXIED_BIT, UPSTREAM_BIT):  # the kernel leaves out all others
                for count, entry in enumerate(self._table.each_marked(bit, bit)):
                    if entry.mark & GRANT_MASK in wanted:
                        found.append(entry)
                    if count % WALKED_AT_ONCE == WALKED_AT_ONCE - 1:
                        await asyncio.sleep(0)
                await asyncio.sleep(0)
        return found


def _slices(items: Sequence[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, AT_ONCE)):
        yield some
