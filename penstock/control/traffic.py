"""What the enforcer tells of flows on the kernel path, as records and as the totals of their grants.

Pure.  Stands between `events` and `sessions`.  It must never count a flow twice: what an open one has carried so far is
shown and goes into its grant's end, what a closed one has carried is in its own record.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from penstock.control.payload import payload_record
from penstock.control.sessions import Sessions
from penstock.control.state import State
from penstock.model import (
    EventsLost,
    Json,
    KernelFlowClosed,
    KernelFlowOpened,
    KernelFlowsFolded,
    PayloadLost,
    PayloadRemoved,
    PayloadStored,
    Record,
    RecordKind,
    TrafficCounted,
)

TrafficEvent: TypeAlias = (
    KernelFlowOpened
    | KernelFlowClosed
    | KernelFlowsFolded
    | TrafficCounted
    | EventsLost
    | PayloadStored
    | PayloadLost
    | PayloadRemoved
)


class KernelTraffic:
    """Turns the kernel path's events into records, and counts them under their grants."""

    def __init__(self, state: State, sessions: Sessions) -> None:
        self._state, self._sessions = state, sessions
        self.counted_at_us = 0
        """When the enforcer last counted what all the open flows carry."""

    def records_of(self, event: TrafficEvent) -> list[Record]:
        """What the evidence must say about this event."""
        match event:
            case KernelFlowOpened():
                found: dict[str, Json] = {"was_found": True} if event.was_found else {}
                return self._sessions.passed(self._flow(event, RecordKind.FLOW_OPENED, found))
            case KernelFlowClosed():
                self._sessions.carried(event)
                return [self._flow(event, RecordKind.FLOW_CLOSED, _counters(event))]
            case KernelFlowsFolded():
                self._sessions.carried(event)
                return [self._folded(event)]
            case TrafficCounted():
                self._sessions.counted(event)
                self.counted_at_us = event.at_us if event.is_all else self.counted_at_us
                return []  # shown, not recorded: what a flow carried is in the record of its end
            case EventsLost():
                return [_lost(event)]
            case PayloadStored() | PayloadLost() | PayloadRemoved():
                return [payload_record(event)]
            case _:
                assert_never(event)

    def _flow(self, event: KernelFlowOpened | KernelFlowClosed, kind: RecordKind, detail: dict[str, Json]) -> Record:
        flow: dict[str, Json] = {
            "source": event.source,
            "source_port": event.source_port,
            "overlay": event.overlay,
            "port": event.port,
            "transport": event.transport,
            "path": "kernel",
            "has_failed_open": event.has_failed_open,
        }
        return self._under(event.grant, kind, event.at_us, flow | detail)

    def _folded(self, event: KernelFlowsFolded) -> Record:
        traffic = event.traffic
        detail: dict[str, Json] = {
            "path": "kernel",
            "flows_opened": event.opened,
            "flows_closed": event.closed,
            "packets": traffic.packets,
            "bytes": traffic.bytes,
            "packets_sent": traffic.packets_sent,
            "bytes_sent": traffic.bytes_sent,
            "since_us": event.since_us,
        }
        return self._under(event.grant, RecordKind.FLOW_CLOSED, event.at_us, detail)

    def _under(self, number: int, kind: RecordKind, at_us: int, detail: dict[str, Json]) -> Record:
        live = self._state.now.grants.get(number)
        grant = None if live is None else live.grant
        return Record(
            kind=kind,
            at_us=at_us,
            grant=number or None,
            subject=None if grant is None else grant.subject.name,
            asset=None if grant is None else grant.asset,
            protocol=None if grant is None else grant.protocol,
            detail=detail,
        )


def _counters(event: KernelFlowClosed) -> dict[str, Json]:
    return {
        "packets": event.packets,
        "bytes": event.bytes,
        "packets_sent": event.packets_sent,
        "bytes_sent": event.bytes_sent,
        "opened_at_us": event.opened_at_us,
        "is_complete": event.is_complete,
    }


def _lost(event: EventsLost) -> Record:
    detail: dict[str, Json] = {
        "count": event.count,
        "why": event.why,
        "flows_opened": event.opened,
        "flows_closed": event.closed,
    }
    return Record(kind=RecordKind.EVENTS_LOST, at_us=event.at_us, detail=detail)
