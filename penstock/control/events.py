"""Events of the other processes, as records.

Pure: an event comes in, records go out.  It must never leave an event without a record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from penstock.control.failures import Failures
from penstock.control.intervals import Cause
from penstock.control.sessions import Sessions
from penstock.control.state import State
from penstock.control.traffic import KernelTraffic, TrafficEvent
from penstock.model import (
    Event,
    EventsLost,
    FlowsRefused,
    HoldEnded,
    Json,
    KernelDrifted,
    KernelFlowClosed,
    KernelFlowOpened,
    KernelFlowsFolded,
    KernelVerified,
    LatencyMeasured,
    NamesRefused,
    OperationHeld,
    PayloadLost,
    PayloadRemoved,
    PayloadStored,
    ProcessEnded,
    ProcessStarted,
    Reason,
    Record,
    RecordKind,
    SourceScanned,
    TrafficCounted,
    WorkerMeasured,
    WorkerTripped,
)

WORKER = "worker"


class Events:
    """Turns events into records."""

    def __init__(self, state: State, sessions: Sessions, failures: Failures, measured: Callable[[Event], None]) -> None:
        self._failures, self.traffic, self._measured = failures, KernelTraffic(state, sessions), measured
        self.processes: dict[str, ProcessStarted | ProcessEnded] = {}
        """The last that was heard of each process, by its name."""
        self.on_flow_opened: Callable[[KernelFlowOpened], None] = lambda _: None
        """A drill that runs watches the flows on the kernel path."""
        self.verified: KernelVerified | None = None
        """When the kernel was last read back, and with what result."""

    def records_of(self, event: Event) -> list[Record]:
        """What the evidence must say about this event."""
        self._keep(event)
        self._measured(event)
        found: list[Record]
        match event:
            case FlowsRefused() | SourceScanned() | NamesRefused():
                found = [_refused(event)]
            case KernelDrifted():
                found = _drifted(event)
            case LatencyMeasured() | WorkerMeasured() | KernelVerified():
                found = []  # kept, not recorded: what is over budget, and what differs, has a record of its own
            case OperationHeld() | HoldEnded():
                found = []  # the worker's journal has said so already, before it told
            case (
                KernelFlowOpened()
                | KernelFlowClosed()
                | KernelFlowsFolded()
                | TrafficCounted()
                | EventsLost()
                | PayloadStored()
                | PayloadLost()
                | PayloadRemoved()
            ):
                found = self._traffic(event)
            case WorkerTripped():
                found = self._failures.lost(Cause.SWITCH_TRIPPED, "the dead-man switch tripped", event.at_us)
            case ProcessEnded():
                found = self._ended(event)
            case ProcessStarted():
                detail: dict[str, Json] = {"name": event.name, "pid": event.pid}
                found = [Record(kind=RecordKind.PROCESS_STARTED, at_us=event.at_us, detail=detail)]
            case _:
                assert_never(event)
        return found

    def _keep(self, event: Event) -> None:
        match event:
            case ProcessStarted() | ProcessEnded():
                self.processes[event.name] = event
            case KernelVerified():
                self.verified = event
            case _:
                pass

    def _ended(self, event: ProcessEnded) -> list[Record]:
        detail: dict[str, Json] = {"name": event.name, "pid": event.pid, "status": event.status}
        ended = Record(kind=RecordKind.PROCESS_ENDED, at_us=event.at_us, reason=event.why, detail=detail)
        if not event.name.startswith(WORKER):
            return [ended]
        return [ended, *self._failures.ended(event)]

    def _traffic(self, event: TrafficEvent) -> list[Record]:
        found: list[Record] = []
        if isinstance(event, KernelFlowClosed):
            self._failures.flow_closed(event)
        elif isinstance(event, KernelFlowOpened):
            if self._failures.is_known(event):
                return []
            self.on_flow_opened(event)
            found = self._failures.flow_opened(event)
        return [*found, *self.traffic.records_of(event)]


def _refused(event: FlowsRefused | SourceScanned | NamesRefused) -> Record:
    match event:
        case FlowsRefused():
            return _flows_refused(event)
        case SourceScanned():
            return _scanned(event)
        case NamesRefused():
            return _names_refused(event)


def _flows_refused(event: FlowsRefused) -> Record:
    detail: dict[str, Json] = {
        "source": event.source,
        "destination": event.destination,
        "port": f"{event.transport}/{event.port}",
        "count": event.count,
    }
    return Record(kind=RecordKind.FLOW_REFUSED, at_us=event.at_us, reason=event.reason, detail=detail)


def _names_refused(event: NamesRefused) -> Record:
    detail: dict[str, Json] = {"source": event.source, "count": event.count}
    reason = Reason.SUBJECT_NOT_NAMED.value
    return Record(kind=RecordKind.NAMES_REFUSED, at_us=event.at_us, reason=reason, detail=detail)


def _scanned(event: SourceScanned) -> Record:
    detail: dict[str, Json] = {
        "source": event.source,
        "destinations": event.destinations,
        "ports": event.ports,
        "count": event.count,
        "since_us": event.since_us,
        "examples": [*event.examples],
    }
    return Record(kind=RecordKind.SOURCE_SCANNED, at_us=event.at_us, reason="grant_unknown", detail=detail)


def _drifted(event: KernelDrifted) -> list[Record]:
    differences: list[Json] = [*event.differences]
    detail: dict[str, Json] = {"differences": differences, "by": event.by}
    records = [Record(kind=RecordKind.KERNEL_DRIFTED, at_us=event.at_us, detail=detail)]
    if event.is_corrected:
        records.append(Record(kind=RecordKind.KERNEL_CORRECTED, at_us=event.at_us, detail={"by": event.by}))
    return records
