"""What the observer tells of the payload store, as records.

Pure.  The subject and the asset are those that the file itself names: its grant may be over by now.
"""

from __future__ import annotations

from typing import assert_never

from penstock.model import Json, PayloadLost, PayloadRemoved, PayloadStored, Record, RecordKind


def payload_record(event: PayloadStored | PayloadLost | PayloadRemoved) -> Record:
    """What the evidence must say about this event."""
    match event:
        case PayloadStored():
            return Record(
                kind=RecordKind.PAYLOAD_STORED,
                at_us=event.at_us,
                grant=event.grant or None,
                subject=event.subject or None,
                asset=event.asset or None,
                detail={
                    "sha256": event.sha256,
                    "first_us": event.first_us,
                    "last_us": event.last_us,
                    "packets": event.packets,
                    "bytes": event.bytes,
                    "size_bytes": event.size_bytes,
                    "was_recovered": event.was_recovered,
                },
            )
        case PayloadLost():
            return _lost(event)
        case PayloadRemoved():
            detail: dict[str, Json] = {"sha256": event.sha256, "size_bytes": event.size_bytes, "why": event.why}
            return Record(kind=RecordKind.PAYLOAD_REMOVED, at_us=event.at_us, grant=event.grant or None, detail=detail)
        case _:
            assert_never(event)


def _lost(event: PayloadLost) -> Record:
    detail: dict[str, Json] = {
        "count": event.count,
        "why": event.why,
        "is_stored": event.is_stored,
        "from_us": event.from_us,
        "until_us": event.until_us,
    }
    return Record(kind=RecordKind.PAYLOAD_LOST, at_us=event.at_us, grant=event.grant or None, detail=detail)
