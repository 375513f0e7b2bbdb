"""Sessions: what happens under a grant between its first flow and its end.

Pure.  Records of flows and operations pass by; the first flow opens the session, the end of the grant closes it, with
what was counted between.  It must never hold back or change a record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.control.rows import LiveGrant
from penstock.control.state import State
from penstock.model import Json, Reason, Record, RecordKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was counted under one grant."""

    flows: int = 0
    refused: int = 0


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
        if record.kind is not RecordKind.FLOW_OPENED:
            return [record]
        self._tallies[number] = replace(tally, flows=tally.flows + 1)
        if live.session_at_us is not None:
            return [record]
        self._state.put_grant(replace(live, session_at_us=record.at_us))
        return [_session(RecordKind.SESSION_OPENED, live, record.at_us, None, {}), record]

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
        return [_session(RecordKind.SESSION_CLOSED, live, at_us, reason.value, detail)]


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
