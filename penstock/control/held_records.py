"""What the evidence says of decisions about held operations.

Pure.  A record says who decided what about which bytes.  It must never grow beyond what the evidence takes: what is too
long is cut, counted, and named by its digest.
"""

from __future__ import annotations

import hashlib

import msgspec

from penstock.control.held import Held, Verdict
from penstock.control.rows import ActiveSignIn
from penstock.model import Json, Reason, Record, RecordKind, ShownBefore, Target

#: Of the exact bytes; the digest is of all of them.
MAX_DATA_BYTES = 2048
#: Of the objects with their values, as JSON; what is more is counted only.
MAX_OBJECTS_BYTES = 16_384
THE_GATE = "the gate"


def decided(held: Held, verdict: Verdict, sign_in: ActiveSignIn) -> Record:
    """Somebody approved or disapproved: written before the worker hears of it."""
    kind = RecordKind.OPERATION_APPROVED if verdict.is_approved else RecordKind.OPERATION_DISAPPROVED
    subject = sign_in.subject
    detail: dict[str, Json] = {
        "by": verdict.by,
        "why": verdict.why,
        "station": sign_in.source,
        "factors": [*sorted(factor.value for factor in subject.factors)],
        "proved_at_us": subject.proved_at_us,
    }
    return _record(kind, held, verdict.at_us, detail)


def undone(held: Held, verdict: Verdict, why: str, at_us: int) -> Record:
    """An approval that is on record did not reach the worker, and never will."""
    detail: dict[str, Json] = {"by": THE_GATE, "why": why, "approved_by": verdict.by}
    return _record(RecordKind.OPERATION_DISAPPROVED, held, at_us, detail)


def not_theirs(held: Held, sign_in: ActiveSignIn, verb: str, missing: str, at_us: int) -> Record:
    """Somebody wanted to decide who may not, though they may see it."""
    detail: dict[str, Json] = {"what": f"{verb} {held.name}", "source": sign_in.source, "missing": missing}
    return Record(
        kind=RecordKind.ROLE_REFUSED,
        at_us=at_us,
        subject=sign_in.subject.name,
        asset=held.grant.asset,
        reason=Reason.ROLE_MISSING.value,
        detail=detail,
    )


def _record(kind: RecordKind, held: Held, at_us: int, detail: dict[str, Json]) -> Record:
    told, data = held.told, bytes.fromhex(held.told.data)
    what: dict[str, Json] = {
        "hold": held.name,
        "flow": told.flow,
        "conduit": told.conduit,
        "source": told.source,
        "code": told.code,
        "name": told.name,
        "unit": told.unit,
        "objects": _objects(told.targets),
        "object_count": len(told.targets),
        "before": _before(told.before),
        "data": data[:MAX_DATA_BYTES].hex(),
        "data_bytes": len(data),
        "data_sha256": hashlib.sha256(data).hexdigest(),
        "held_at_us": told.at_us,
        "until_us": told.until_us,
    }
    return Record(
        kind=kind,
        at_us=at_us,
        grant=held.grant.number,
        subject=held.grant.subject.name,
        asset=held.grant.asset,
        protocol=held.grant.protocol,
        operation=told.operation,
        detail=what | detail,
    )


def _objects(targets: tuple[Target, ...]) -> list[Json]:
    found: list[Json] = []
    left = MAX_OBJECTS_BYTES
    for target in targets:
        row = _object(target)
        left -= len(msgspec.json.encode(row))
        if left < 0:
            break
        found.append(row)
    return found


def _before(known: tuple[ShownBefore, ...]) -> list[Json]:
    """What whoever decided was shown of what the objects held, as far as there is room."""
    rows: list[Json] = [
        {"target": each.target, "first": each.first, "values": [*each.values], "old_seen_us": each.age_us}
        for each in known
    ]
    return rows if len(msgspec.json.encode(rows)) <= MAX_OBJECTS_BYTES // 4 else []


def _object(target: Target) -> Json:
    values: list[Json] | None = None if target.values is None else [*target.values]
    return {
        "class": target.operation_class.value,
        "table": target.table,
        "first": target.first,
        "count": target.count,
        "name": target.name,
        "values": values,
    }
