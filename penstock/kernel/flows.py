"""Pure: what the connection table's changes mean: flows on the kernel path that opened and closed.

Stands between `conntrack` and the enforcer's `KernelFlowOpened` and `KernelFlowClosed`.  Inspected flows make two
entries with the same number; both are left out here, the worker tells of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from penstock.kernel.conntrack import Change, Direction, Entry
from penstock.kernel.elements import TRANSPORT_NAMES
from penstock.model import GRANT_MASK, PROXIED_BIT, UPSTREAM_BIT, KernelFlowClosed, KernelFlowOpened

#: Flows that are remembered so that lost events can be made good; beyond it their closing is still told.
MAX_OPEN = 65_536

#: The tuple of the first packet, and the kernel's identity of the entry: ports are used again.
_Key: TypeAlias = tuple[Direction, int]


def is_on_kernel_path(entry: Entry) -> bool:
    """Whether the kernel alone carries this connection under a grant."""
    return bool(entry.mark & GRANT_MASK) and not entry.mark & (PROXIED_BIT | UPSTREAM_BIT)


class KernelFlows:
    """The flows that are open, and which services are inspected (overlay address, transport, port)."""

    def __init__(self) -> None:
        self.inspected: frozenset[tuple[str, str, int]] = frozenset()
        self._open: dict[_Key, Entry] = {}
        self._of_grant: dict[int, set[_Key]] = {}
        self.is_complete = True
        """Whether `of` knows every open flow; not so once there were more than `MAX_OPEN`."""

    def adopt(self, entries: Iterable[Entry]) -> None:
        """Flows that were open before anybody watched; their opening is not told again, but see `found`."""
        for entry in entries:
            if is_on_kernel_path(entry):
                self._remember(entry)

    def found(self, at_us: int) -> list[KernelFlowOpened]:
        """The flows that have failed open among those that were adopted: nobody may have been there to tell of them.

        `at_us` is now, for flows of which the kernel does not know when they began.
        """
        return [
            replace(self._opened(entry, entry.opened_at_us or at_us), was_found=True)
            for entry in self._open.values()
            if self.has_failed_open(entry)
        ]

    def of(self, number: int) -> list[Entry]:
        """The open flows of one grant."""
        return [self._open[key] for key in self._of_grant.get(number, ())]

    def event(self, change: Change, entry: Entry, at_us: int) -> KernelFlowOpened | KernelFlowClosed | None:
        """What to tell of one change, if anything."""
        if not is_on_kernel_path(entry):
            return None
        if change is Change.OPENED:
            self._remember(entry)
            return self._opened(entry, at_us)
        if change is Change.ENDED:
            self._drop(_key(entry))
            return self._closed(entry, at_us)
        return None

    def reconcile(self, entries: Iterable[Entry], at_us: int) -> list[KernelFlowOpened | KernelFlowClosed]:
        """After events were lost: what `entries`, the whole table now, shows to have been missed.

        Counters of flows whose end was lost are those of their opening: 0.
        """
        now = {_key(entry): entry for entry in entries if is_on_kernel_path(entry)}
        ended = {key: entry for key, entry in self._open.items() if key not in now}
        begun = {key: entry for key, entry in now.items() if key not in self._open}
        for key in ended:
            self._drop(key)
        for entry in begun.values():
            self._remember(entry)
        return [
            *(self._closed(entry, at_us) for entry in ended.values()),
            *(self._opened(entry, at_us) for entry in begun.values()),
        ]

    def _remember(self, entry: Entry) -> None:
        if len(self._open) >= MAX_OPEN:
            self.is_complete = False
            return
        key = _key(entry)
        self._open[key] = entry
        self._of_grant.setdefault(entry.mark & GRANT_MASK, set()).add(key)

    def _drop(self, key: _Key) -> None:
        entry = self._open.pop(key, None)
        if entry is None:
            return
        number = entry.mark & GRANT_MASK
        keys = self._of_grant[number]
        keys.discard(key)
        if not keys:
            del self._of_grant[number]

    def has_failed_open(self, entry: Entry) -> bool:
        """Whether it goes uninspected though its service is inspected."""
        way = entry.original
        return (way.destination, TRANSPORT_NAMES.get(way.transport, ""), way.port) in self.inspected

    def _opened(self, entry: Entry, at_us: int) -> KernelFlowOpened:
        return KernelFlowOpened(
            grant=entry.mark & GRANT_MASK,
            source=entry.original.source,
            source_port=entry.original.source_port,
            overlay=entry.original.destination,
            port=entry.original.port,
            at_us=at_us,
            has_failed_open=self.has_failed_open(entry),
        )

    def _closed(self, entry: Entry, at_us: int) -> KernelFlowClosed:
        return KernelFlowClosed(
            grant=entry.mark & GRANT_MASK,
            source=entry.original.source,
            source_port=entry.original.source_port,
            overlay=entry.original.destination,
            port=entry.original.port,
            at_us=at_us,
            packets=entry.packets,
            bytes=entry.bytes,
            has_failed_open=self.has_failed_open(entry),
        )


def _key(entry: Entry) -> _Key:
    return entry.original, entry.identity
