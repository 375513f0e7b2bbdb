"""Sessions: what happens under a grant between its first flow and its end.

Pure.  Records of flows and operations pass by; the first flow opens the session, the end of the grant closes it, with
what was counted between.  It must never hold back or change a record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.control.rows import LiveGrant
from penstock.control.state import State
from penstock.model import (
    Json,
    KernelFlowClosed,
    KernelFlowsFolded,
    Reason,
    Record,
    RecordKind,
    Traffic,
    TrafficCounted,
)

NOTHING = Traffic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was counted under one grant.  `closed` and `open` are flows on the kernel path and what they carried."""

    flows: int = 0
    refused: int = 0
    closed: Traffic = NOTHING
    open: Traffic = NOTHING
    uncounted: int = 0
    """Flows whose end was missed, so that what they carried is not known."""
    reads: int = 0
    """Reads that are on record as a number only."""

    @property
    def carried(self) -> Traffic:
        """All that its flows on the kernel path have carried, as far as it was counted."""
        return _sum(self.closed, self.open)


class Sessions:
    """Watches the records of flows."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._tallies: dict[int, Tally] = {}

    def tally(self, number: int) -> Tally:
        """What was counted under this grant since control started."""
        return self._tallies.get(number, Tally())

    def passed(self, record: Record) -> list[Record]:
        """The record, with the opening of its session before it where it is the first flow of its grant."""
        live = None if record.grant is None else self._state.now.grants.get(record.grant)
        if live is None:
            return [record]
        number, tally = live.grant.number, self.tally(live.grant.number)
        if record.kind is RecordKind.OPERATION_REFUSED:
            self._tallies[number] = replace(tally, refused=tally.refused + 1)
        if reads := _reads(record):
            self._tallies[number] = replace(tally, reads=tally.reads + reads)
        if record.kind is not RecordKind.FLOW_OPENED or "observed" in record.detail:  # told by the enforcer, too
            return [record]
        self._tallies[number] = replace(tally, flows=tally.flows + 1)
        if live.session_at_us is not None:
            return [record]
        self._state.put_grant(replace(live, session_at_us=record.at_us))
        return [_session(RecordKind.SESSION_OPENED, live, record.at_us, None, {}), record]

    def carried(self, event: KernelFlowClosed | KernelFlowsFolded) -> None:
        """Flows of a grant ended on the kernel path."""
        if event.grant not in self._state.now.grants:
            return
        tally = self.tally(event.grant)
        if isinstance(event, KernelFlowsFolded):
            tally = replace(tally, flows=tally.flows + event.opened, closed=_sum(tally.closed, event.traffic))
        else:
            one = Traffic(
                flows=1,
                packets=event.packets,
                bytes=event.bytes,
                packets_sent=event.packets_sent,
                bytes_sent=event.bytes_sent,
            )
            uncounted = tally.uncounted + (not event.is_complete)
            tally = replace(tally, closed=_sum(tally.closed, one), uncounted=uncounted)
        self._tallies[event.grant] = tally

    def counted(self, event: TrafficCounted) -> None:
        """What the open flows have carried so far."""
        if event.is_all:
            for number in self._tallies.keys() - event.open.keys():
                self._tallies[number] = replace(self._tallies[number], open=NOTHING)
        for number, traffic in event.open.items():
            if number in self._state.now.grants or number in self._tallies:
                self._tallies[number] = replace(self.tally(number), open=traffic)

    def totals(self, number: int) -> dict[str, Json]:
        """What the record of a grant's end says of its flows on the kernel path; empty where there were none."""
        tally = self.tally(number)
        if not tally.carried.flows:
            return {}
        carried = tally.carried
        return {
            "kernel_flows": carried.flows,
            "packets": carried.packets,
            "bytes": carried.bytes,
            "packets_sent": carried.packets_sent,
            "bytes_sent": carried.bytes_sent,
            "flows_cut": tally.open.flows,
            "flows_uncounted": tally.uncounted,
        }

    def ended(self, live: LiveGrant, at_us: int, reason: Reason) -> list[Record]:
        """The end of the session under this grant; nothing when there never was a flow."""
        tally = self._tallies.pop(live.grant.number, Tally())
        if live.session_at_us is None:
            return []
        detail: dict[str, Json] = {
            "opened_at_us": live.session_at_us,
            "flows": tally.flows,
            "operations_refused": tally.refused,
        }
        if tally.reads:
            detail["reads"] = tally.reads
        return [_session(RecordKind.SESSION_CLOSED, live, at_us, reason.value, detail)]


def _reads(record: Record) -> int:
    """How many reads this record only counts."""
    reads = record.detail.get("reads")
    count = reads.get("count") if isinstance(reads, dict) else None
    return count if isinstance(count, int) else 0


def _sum(one: Traffic, other: Traffic) -> Traffic:
    return Traffic(
        flows=one.flows + other.flows,
        packets=one.packets + other.packets,
        bytes=one.bytes + other.bytes,
        packets_sent=one.packets_sent + other.packets_sent,
        bytes_sent=one.bytes_sent + other.bytes_sent,
    )


def _session(kind: RecordKind, live: LiveGrant, at_us: int, reason: str | None, detail: dict[str, Json]) -> Record:
    grant = live.grant
    return Record(
        kind=kind,
        at_us=at_us,
        grant=grant.number,
        subject=grant.subject.name,
        asset=grant.asset,
        protocol=grant.protocol,
        reason=reason,
        detail=detail,
    )
