"""Pure: what the connection table's changes mean: flows on the kernel path that opened and closed.

Stands between `conntrack` and the enforcer's `KernelFlowOpened` and `KernelFlowClosed`.  Inspected flows make two
entries with the same number; both are left out here, the worker tells of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from penstock.kernel.elements import TRANSPORT_NAMES
from penstock.kernel.entries import ICMP, Change, Entry
from penstock.model import GRANT_MASK, PROXIED_BIT, UPSTREAM_BIT, KernelFlowClosed, KernelFlowOpened, Traffic

#: Flows that are remembered so that lost events can be made good; beyond it their closing is still told.
MAX_OPEN = 65_536
_NAMES: Final = {**TRANSPORT_NAMES, ICMP: "icmp"}

#: Both ends of the first packet, and the kernel's identity of the entry: ports are used again.
_Key: TypeAlias = tuple[str, int, str, int, int, int]


def is_on_kernel_path(entry: Entry) -> bool:
    """Whether the kernel alone carries this connection under a grant."""
    return bool(entry.mark & GRANT_MASK) and not entry.mark & (PROXIED_BIT | UPSTREAM_BIT)


@dataclass(slots=True)
class _Open:
    """An open flow: its entry, when it opened, and when both of its ends were done with it (0: not yet)."""

    entry: Entry
    opened_us: int
    done_us: int = 0


class KernelFlows:
    """The flows that are open, and which services are inspected (overlay address, transport, port)."""

    def __init__(self) -> None:
        self.inspected: frozenset[tuple[str, str, int]] = frozenset()
        self._open: dict[_Key, _Open] = {}
        self._of_grant: dict[int, set[_Key]] = {}
        self._before: frozenset[_Key] | None = None
        self._ended: set[_Key] = set()
        self.is_complete = True
        """Whether `of` knows every open flow; not so once there were more than `MAX_OPEN`."""

    def __len__(self) -> int:
        return len(self._open)

    def adopt(self, entries: Iterable[Entry]) -> None:
        """Flows that were open before anybody watched; their opening is not told again, but see `found`."""
        for entry in entries:
            if is_on_kernel_path(entry):
                self._remember(entry, entry.opened_at_us)

    def found(self, at_us: int) -> list[KernelFlowOpened]:
        """The flows that have failed open among those that were adopted: nobody may have been there to tell of them.

        `at_us` is now, for flows of which the kernel does not know when they began.
        """
        return [
            replace(self._opened(known.entry, known.opened_us or at_us), was_found=True)
            for known in self._open.values()
            if self.has_failed_open(known.entry)
        ]

    @property
    def numbers(self) -> frozenset[int]:
        """The grants that have open flows."""
        return frozenset(self._of_grant)

    def of(self, number: int) -> list[Entry]:
        """The open flows of one grant."""
        return [self._open[key].entry for key in self._of_grant.get(number, ())]

    def event(self, change: Change, entry: Entry, at_us: int) -> KernelFlowOpened | KernelFlowClosed | None:
        """What to tell of one change, if anything."""
        if not is_on_kernel_path(entry):
            return None
        key = _key(entry)
        if change is Change.OPENED:
            self._remember(entry, at_us)
            return self._opened(entry, at_us)
        known = self._open.get(key)
        if change is Change.CLOSING:
            if known is not None:
                known.done_us = at_us
            return None
        self._drop(key)
        if self._before is not None:
            self._ended.add(key)
        return self._closed(entry, known, at_us)

    def begin_reconciling(self) -> None:
        """Events were lost, and all that came before the loss are read: the whole table is about to be read."""
        self._before, self._ended = frozenset(self._open), set()

    def reconcile(self, entries: Iterable[Entry], at_us: int) -> list[KernelFlowOpened | KernelFlowClosed]:
        """What `entries`, the whole table since `begin_reconciling`, shows to have been missed.

        All events of the time since then must have been read.  The counters of flows whose end was lost are not known.
        """
        before, self._before = self._before or frozenset(), None
        now = {_key(entry): entry for entry in entries if is_on_kernel_path(entry)}
        told: list[KernelFlowOpened | KernelFlowClosed] = []
        for key in before:
            if key not in now and key in self._open:
                known = self._open[key]
                self._drop(key)
                told.append(self._closed(known.entry, known, at_us, is_complete=False))
        for key, entry in now.items():
            if key not in self._open and key not in self._ended:
                self._remember(entry, entry.opened_at_us or at_us)
                told.append(self._opened(entry, entry.opened_at_us or at_us))
        self.is_complete = self.is_complete or len(self._open) < MAX_OPEN
        self._ended = set()
        return told

    def has_failed_open(self, entry: Entry) -> bool:
        """Whether it goes uninspected though its service is inspected."""
        way = entry.original
        return (way.destination, _NAMES.get(way.transport, ""), way.port) in self.inspected

    def _remember(self, entry: Entry, at_us: int) -> None:
        if len(self._open) >= MAX_OPEN:
            self.is_complete = False
            return
        key = _key(entry)
        self._open[key] = _Open(entry, at_us)
        self._of_grant.setdefault(entry.mark & GRANT_MASK, set()).add(key)

    def _drop(self, key: _Key) -> None:
        known = self._open.pop(key, None)
        if known is None:
            return
        number = known.entry.mark & GRANT_MASK
        keys = self._of_grant[number]
        keys.discard(key)
        if not keys:
            del self._of_grant[number]

    def _opened(self, entry: Entry, at_us: int) -> KernelFlowOpened:
        return KernelFlowOpened(
            grant=entry.mark & GRANT_MASK,
            source=entry.original.source,
            source_port=entry.original.source_port,
            overlay=entry.original.destination,
            port=entry.original.port,
            at_us=at_us,
            has_failed_open=self.has_failed_open(entry),
            transport=_transport(entry),
        )

    def _closed(self, entry: Entry, known: _Open | None, at_us: int, *, is_complete: bool = True) -> KernelFlowClosed:
        opened_us = 0 if known is None else known.opened_us
        done_us = 0 if known is None else known.done_us
        return KernelFlowClosed(
            grant=entry.mark & GRANT_MASK,
            source=entry.original.source,
            source_port=entry.original.source_port,
            overlay=entry.original.destination,
            port=entry.original.port,
            at_us=done_us or entry.closed_at_us or at_us,
            packets=entry.packets if is_complete else 0,
            bytes=entry.bytes if is_complete else 0,
            has_failed_open=self.has_failed_open(entry),
            transport=_transport(entry),
            opened_at_us=entry.opened_at_us or opened_us,
            packets_sent=entry.packets_sent if is_complete else 0,
            bytes_sent=entry.bytes_sent if is_complete else 0,
            is_complete=is_complete,
        )


def added(traffic: Traffic, entry: Entry | KernelFlowClosed) -> Traffic:
    """The traffic with one more flow in it."""
    return Traffic(
        flows=traffic.flows + 1,
        packets=traffic.packets + entry.packets,
        bytes=traffic.bytes + entry.bytes,
        packets_sent=traffic.packets_sent + entry.packets_sent,
        bytes_sent=traffic.bytes_sent + entry.bytes_sent,
    )


def _transport(entry: Entry) -> str:
    number = entry.original.transport
    return _NAMES.get(number, str(number))


def _key(entry: Entry) -> _Key:
    way = entry.original
    return way.source, way.source_port, way.destination, way.port, way.transport, entry.identity
