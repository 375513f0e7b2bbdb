"""A record: one entry of the evidence.  Kinds are a closed set, in the past tense."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class RecordKind(StrEnum):
    """What can be in the evidence."""

    LOG_STARTED = "log.started"
    LOG_GAP = "log.gap"
    CLOCK_STEPPED = "clock.stepped"
    REVISION_APPLIED = "revision.applied"
    REVISION_REFUSED = "revision.refused"
    SUBJECT_ADDED = "subject.added"
    SUBJECT_ENROLLED = "subject.enrolled"
    SUBJECT_LOCKED = "subject.locked"
    SUBJECT_SUSPENDED = "subject.suspended"
    SUBJECT_RESUMED = "subject.resumed"
    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    SIGN_IN_REFUSED = "sign_in.refused"
    CERTIFICATE_ISSUED = "certificate.issued"
    GRANT_OPENED = "grant.opened"
    GRANT_REFUSED = "grant.refused"
    GRANT_CLOSED = "grant.closed"
    SESSION_OPENED = "session.opened"
    SESSION_CLOSED = "session.closed"
    FLOW_OPENED = "flow.opened"
    FLOW_CLOSED = "flow.closed"
    FLOW_REFUSED = "flow.refused"
    EVENTS_LOST = "events.lost"
    OPERATIONS = "operations"
    OPERATION_REFUSED = "operation.refused"
    OPERATION_APPROVED = "operation.approved"
    OPERATION_DISAPPROVED = "operation.disapproved"
    OPERATION_HELD = "operation.held"
    PROCESS_ENDED = "process.ended"
    PROCESS_STARTED = "process.started"
    FAILED_OPEN = "failed_open"
    FAILED_OPEN_CONTINUES = "failed_open.continues"
    FAILED_OPEN_ENDED = "failed_open.ended"
    FAILED_CLOSED = "failed_closed"
    FAILED_CLOSED_CONTINUES = "failed_closed.continues"
    FAILED_CLOSED_ENDED = "failed_closed.ended"
    INSPECTION_RESTORED = "inspection.restored"
    GATE_STARTED = "gate.started"
    ISOLATED = "isolated"
    RELEASED = "released"
    STOOD_ASIDE = "conduit.stood_aside"
    STOOD_BACK = "conduit.stood_back"
    CONDUIT_INSPECTED = "conduit.inspected_again"
    DRILL_STARTED = "drill.started"
    DRILL_ENDED = "drill.ended"
    LATENCY_EXCEEDED = "latency.exceeded"
    LATENCY_RESTORED = "latency.restored"
    KERNEL_DRIFTED = "kernel.drifted"
    KERNEL_CORRECTED = "kernel.corrected"
    SOURCE_SCANNED = "source.scanned"
    PAYLOAD_STORED = "payload.stored"
    PAYLOAD_LOST = "payload.lost"
    PAYLOAD_REMOVED = "payload.removed"
    NAMES_REFUSED = "names.refused"
    PROVED_AGAIN = "proved_again"
    SUBJECT_CHANGED = "subject.changed"
    SUBJECT_ENDED = "subject.ended"
    FACTOR_ADDED = "factor.added"
    FACTOR_REMOVED = "factor.removed"
    FACTOR_RESET = "factor.reset"
    ROLE_GIVEN = "role.given"
    ROLE_TAKEN = "role.taken"
    ROLE_REFUSED = "role.refused"
    SOURCE_LOST = "source.lost"
    SOURCE_RESTORED = "source.restored"
    TLS_REFUSED = "tls.refused"
    BREAK_GLASS_ASKED = "break_glass.asked"
    BREAK_GLASS_APPROVED = "break_glass.approved"
    BREAK_GLASS_REFUSED = "break_glass.refused"
    BREAK_GLASS_OPENED = "break_glass.opened"
    BREAK_GLASS_CLOSED = "break_glass.closed"
    NOTICE_ACCEPTED = "notice.accepted"
    CLIENT_CONFIRMED = "client.confirmed"
    CLIENT_REFUSED = "client.refused"
    CRYPTO_CHECKED = "crypto.checked"
    ADMINISTERED = "administered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event, at `at_us` microseconds since the Unix epoch.  `detail` is for what only this kind has."""

    kind: RecordKind
    at_us: int
    grant: int | None = None
    subject: str | None = None
    asset: str | None = None
    protocol: str | None = None
    operation: str | None = None
    reason: str | None = None
    detail: dict[str, Json] = field(default_factory=dict)
