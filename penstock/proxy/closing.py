"""The record of a flow's end, whatever carried it.

Pure.  It must never say less of a flow that ended badly than of one that ended well.
"""

from __future__ import annotations

from penstock.model import Grant, Json, Record, RecordKind
from penstock.proxy.relay import Ending, Relay


def closed_record(
    grant: Grant, relay: Relay, ending: Ending, *, flow: int, source: str, opened_us: int, now_us: int, **counts: Json
) -> Record:
    """How the flow with this number in evidence ended; `counts` are what its carrier counted (bytes, datagrams)."""
    detail: dict[str, Json] = {
        "flow": flow,
        "source": source,
        "ending": ending.by.value,
        "why": ending.why,
        "duration_us": max(0, now_us - opened_us),
        **counts,
        "operations": relay.frames,
        "refused": relay.refused,
    }
    if relay.told:
        detail["told"] = dict(relay.told)
    return Record(
        kind=RecordKind.FLOW_CLOSED,
        at_us=now_us,
        grant=grant.number,
        subject=grant.subject.name,
        asset=grant.asset,
        protocol=grant.protocol,
        reason=ending.reason,
        detail=detail,
    )
