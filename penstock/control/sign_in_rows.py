"""Sign-ins and subjects as rows of the state store, and back.  Pure."""

from __future__ import annotations

import json
from typing import Any

from penstock.control.rows import ActiveSignIn, SignInKind, StoredSubject
from penstock.model import Factor, FactorStrength, Subject, SubjectKind


def sign_in_values(sign_in: ActiveSignIn) -> dict[str, Any]:
    """The columns of a sign-in; the groups are its subject's."""
    subject = sign_in.subject
    return {
        "token_hash": sign_in.token_hash,
        "kind": sign_in.kind.value,
        "subject": subject.name,
        "source": sign_in.source,
        "factors": json.dumps(sorted(subject.factors), separators=(",", ":")),
        "certificate": sign_in.certificate,
        "opened_at_us": sign_in.opened_at_us,
        "expires_at_us": sign_in.expires_at_us,
        "ends_steady_us": sign_in.ends_steady_us,
        "boot": sign_in.boot,
        "identity": subject.source,
        "graded": None if subject.graded is None else subject.graded.value,
        "proved_at_us": subject.proved_at_us,
        "session": sign_in.session,
        "memory_sealed": sign_in.memory_sealed,
        "agent": sign_in.agent,
        "shown_hash": sign_in.shown_hash,
    }


def sign_in_of(row: Any) -> ActiveSignIn:
    """A sign-in out of its row, which has the groups of its subject beside it."""
    subject = Subject(
        name=row.subject,
        kind=SubjectKind.PERSON,
        groups=frozenset(json.loads(row.groups)),
        factors=frozenset(Factor(factor) for factor in json.loads(row.factors)),
        source=row.identity,
        graded=None if row.graded is None else FactorStrength(row.graded),
        proved_at_us=row.proved_at_us,
    )
    return ActiveSignIn(
        token_hash=row.token_hash,
        kind=SignInKind(row.kind),
        subject=subject,
        source=row.source,
        opened_at_us=row.opened_at_us,
        expires_at_us=row.expires_at_us,
        ends_steady_us=row.ends_steady_us,
        boot=row.boot,
        certificate=row.certificate,
        session=row.session,
        memory_sealed=row.memory_sealed,
        agent=row.agent,
        shown_hash=row.shown_hash,
    )


def stored_subject(row: Any) -> StoredSubject:
    """A subject out of its row."""
    return StoredSubject(
        name=row.name,
        groups=frozenset(json.loads(row.groups)),
        is_suspended=bool(row.is_suspended),
        added_at_us=row.added_at_us,
        enrolled_at_us=row.enrolled_at_us,
        source=row.source,
        source_key=row.source_key,
        sponsor=row.sponsor,
        ends_at_us=row.ends_at_us,
        kind=row.kind,
        seen_at_us=row.seen_at_us,
    )
