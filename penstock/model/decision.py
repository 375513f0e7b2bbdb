"""Request and decision: the question to the policy engine and its answer (SP 800-207).

A denial is a value.  It carries one reason out of a closed set, the conduit that came closest, and every
criterion that failed on it, so that it can say what was missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from penstock.model.operation import Operation
from penstock.model.site import RecordMode
from penstock.model.subject import Binding, Subject


class Reason(StrEnum):
    """Why something was allowed or refused.  The set is closed: records, screens and alarms rely on it."""

    ALLOWED = "allowed"
    NO_CONDUIT = "no_conduit"
    SUBJECT_NOT_NAMED = "subject_not_named"
    ASSET_NOT_NAMED = "asset_not_named"
    OPERATION_NOT_ALLOWED = "operation_not_allowed"
    OBJECT_OUT_OF_RANGE = "object_out_of_range"
    VALUE_OUT_OF_RANGE = "value_out_of_range"
    RATE_EXCEEDED = "rate_exceeded"
    FACTORS_TOO_WEAK = "factors_too_weak"
    TLS_REQUIRED = "tls_required"
    UNKNOWN_OPERATION = "unknown_operation"
    MALFORMED = "malformed"
    WRONG_PROTOCOL = "wrong_protocol"
    TOO_MANY_IN_FLIGHT = "too_many_in_flight"
    GRANT_UNKNOWN = "grant_unknown"
    GRANT_EXPIRED = "grant_expired"
    GRANT_REVOKED = "grant_revoked"
    NOT_SIGNED_IN = "not_signed_in"
    LOCKED_OUT = "locked_out"
    EVIDENCE_UNAVAILABLE = "evidence_unavailable"
    INSPECTION_UNAVAILABLE = "inspection_unavailable"
    ISOLATED = "isolated"
    ASSET_FULL = "asset_full"
    KERNEL_ABSENT = "kernel_absent"
    ADDRESS_NOT_IPV4 = "address_not_ipv4"
    NOT_CARRIED = "not_carried"
    BINDING_TOO_WEAK = "binding_too_weak"
    PROOF_TOO_OLD = "proof_too_old"
    MEMBERSHIP_ENDED = "membership_ended"
    STATION_CHANGED = "station_changed"
    STATION_IDLE = "station_idle"
    SOURCE_UNAVAILABLE = "source_unavailable"
    SOURCE_REFUSED = "source_refused"
    IDENTITY_CONFLICT = "identity_conflict"
    CERTIFICATE_REFUSED = "certificate_refused"
    REVOCATION_UNKNOWN = "revocation_unknown"
    TOO_MANY_SIGN_INS = "too_many_sign_ins"
    SIGNED_OUT_AT_SOURCE = "signed_out_at_source"
    ROLE_MISSING = "role_missing"
    BREAK_GLASS_ENDED = "break_glass_ended"
    SUBJECT_ENDED = "subject_ended"
    HOLD_REFUSED = "hold_refused"
    HOLD_TIMED_OUT = "hold_timed_out"
    SENDER_GONE = "sender_gone"
    ASSET_GONE = "asset_gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """May this subject do this to this asset?

    Without an `operation` the question is whether a session may be opened at all: some conduit leads there, and
    what it requires of the subject is met.  `protocol` names the service that is meant.
    """

    subject: Subject
    asset: str
    protocol: str
    operation: Operation | None = None
    binding: Binding = Binding.ADDRESS
    has_tls: bool = False
    proof_age_s: int | None = None
    """How long ago the subject proved who it is; ``None``: that is not the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One criterion that failed on one conduit: what it wanted, what it found, and who or what can help."""

    criterion: str
    reason: Reason
    wanted: str
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """An allowed operation counts against this rate: the caller keeps the count under `key`."""

    key: str
    count: int
    period_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer.  `conduit` is the one that allowed, or the one that came closest; `misses` is empty on an allow."""

    is_allowed: bool
    reason: Reason
    revision: int
    conduit: str | None = None
    misses: tuple[Miss, ...] = ()
    charges: tuple[Charge, ...] = ()
    hold_s: int | None = None
    """It is allowed once a second person has approved it, within so many seconds."""
    record: RecordMode = RecordMode.OPERATIONS
    """How fully this is told: the fullest mode of the conduits that allow it."""
