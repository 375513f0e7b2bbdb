"""The records of signing in and out.  Pure; they hold names, addresses and reasons, never a secret."""

from __future__ import annotations

from penstock.control.arrivals import Arrival
from penstock.control.people import Stranger
from penstock.control.ports import Moment
from penstock.control.rows import ActiveSignIn
from penstock.identity import ClientCertificate, Credentials, Proof, SignIn
from penstock.model import Json, Reason, Record, RecordKind

_SHOWN_NAME = 64


def began(
    sign_in: ActiveSignIn, certificate: ClientCertificate | None, proof: Proof | None, notice: str | None = None
) -> list[Record]:
    """Somebody signed in, and got a certificate."""
    subject = sign_in.subject
    factors: list[Json] = [factor.value for factor in sorted(subject.factors)]
    groups: list[Json] = [*sorted(subject.groups)]
    detail: dict[str, Json] = {
        "kind": sign_in.kind.value,
        "source": sign_in.source,
        "factors": factors,
        "groups": groups,
    }
    detail |= {"identity": subject.source, "strength": subject.strength.value, "proved_at_us": subject.proved_at_us}
    if sign_in.agent:
        detail["agent"] = sign_in.agent
    if proof is not None and proof.detail:
        detail["evidence"] = {**proof.detail}
    signed_in = Record(kind=RecordKind.SIGNED_IN, at_us=sign_in.opened_at_us, subject=subject.name, detail=detail)
    accepted = () if notice is None else (_accepted(sign_in, notice),)
    if certificate is None:
        return [*accepted, signed_in]
    issued: dict[str, Json] = {
        "fingerprint": certificate.fingerprint,
        "serial": certificate.serial,
        "expires_at_us": certificate.expires_at_us,
    }
    at_us = sign_in.opened_at_us
    return [
        *accepted,
        signed_in,
        Record(kind=RecordKind.CERTIFICATE_ISSUED, at_us=at_us, subject=subject.name, detail=issued),
    ]


def _accepted(sign_in: ActiveSignIn, notice: str) -> Record:
    return Record(
        kind=RecordKind.NOTICE_ACCEPTED,
        at_us=sign_in.opened_at_us,
        subject=sign_in.subject.name,
        detail={"sha256": notice, "source": sign_in.source},
    )


def refused(credentials: Credentials, outcome: SignIn, moment: Moment) -> list[Record]:
    """A name, password or code was not right; and whose wait began with that."""
    name = credentials.subject[:_SHOWN_NAME]
    source: dict[str, Json] = {"source": credentials.source}
    if credentials.realm:
        source["identity"] = credentials.realm[:_SHOWN_NAME]
    why: dict[str, Json] = {"why": outcome.why} if outcome.why else {}
    reason = Reason.NOT_SIGNED_IN.value
    found = [
        Record(
            kind=RecordKind.SIGN_IN_REFUSED, at_us=moment.wall_us, subject=name, reason=reason, detail={**source, **why}
        )
    ]
    found += [
        Record(
            kind=RecordKind.SUBJECT_LOCKED,
            at_us=moment.wall_us,
            subject=name,
            reason=Reason.LOCKED_OUT.value,
            detail={**source, "counted_by": counter},
        )
        for counter in outcome.locked
    ]
    return found


def stranger(proof: Proof, who: Stranger, arrival: Arrival, moment: Moment) -> Record:
    """A source's proof that makes nobody a subject here."""
    detail: dict[str, Json] = {"source": arrival.source, "identity": proof.source, "why": who.why}
    return Record(
        kind=RecordKind.SIGN_IN_REFUSED,
        at_us=moment.wall_us,
        subject=who.name,
        reason=who.reason.value,
        detail=detail,
    )


def proved_again(sign_in: ActiveSignIn, proof: Proof | None, moment: Moment) -> Record:
    """A new proof was taken into a sign-in."""
    subject = sign_in.subject
    factors: list[Json] = [factor.value for factor in sorted(subject.factors)]
    detail: dict[str, Json] = {"identity": subject.source, "strength": subject.strength.value, "factors": factors}
    detail |= {"kind": sign_in.kind.value, "proved_at_us": subject.proved_at_us}
    if proof is not None and proof.detail:
        detail["evidence"] = {**proof.detail}
    return Record(kind=RecordKind.PROVED_AGAIN, at_us=moment.wall_us, subject=subject.name, detail=detail)


def not_proved_again(sign_in: ActiveSignIn, why: str, moment: Moment) -> Record:
    """A new proof does not count for this sign-in."""
    detail: dict[str, Json] = {"source": sign_in.source, "identity": sign_in.identity, "why": why}
    return Record(
        kind=RecordKind.SIGN_IN_REFUSED,
        at_us=moment.wall_us,
        subject=sign_in.subject.name,
        reason=Reason.SOURCE_REFUSED.value,
        detail=detail,
    )


def token_used_again(sign_in: ActiveSignIn, moment: Moment) -> Record:
    """Somebody showed a token that was replaced a while ago: it was copied."""
    detail: dict[str, Json] = {"source": sign_in.source, "why": "a token that had been replaced was used again"}
    return Record(
        kind=RecordKind.SIGN_IN_REFUSED,
        at_us=moment.wall_us,
        subject=sign_in.subject.name,
        reason=Reason.NOT_SIGNED_IN.value,
        detail=detail,
    )


def ended(sign_in: ActiveSignIn, moment: Moment, reason: str, grants_closed: int = 0) -> Record:
    """A sign-in ended."""
    return Record(
        kind=RecordKind.SIGNED_OUT,
        at_us=moment.wall_us,
        subject=sign_in.subject.name,
        reason=reason,
        detail={"kind": sign_in.kind.value, "grants_closed": grants_closed},
    )
