"""Signing in and out: proofs become sign-ins, sign-ins end, and with them everything that hangs on them.

Evidence before effect here too: no token leaves before the record of the sign-in is on the disk.  It must never keep a
token, only its SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from penstock.control.grants import Grants
from penstock.control.minting import left_us
from penstock.control.ports import US_PER_S, Clock, Moment, Recorder
from penstock.control.rows import ActiveSignIn, SignInKind
from penstock.control.state import State
from penstock.control.store import Store
from penstock.identity import Authority, ClientCertificate, Credentials, Source
from penstock.model import Json, Reason, Record, RecordKind, Subject, Unavailable

#: A shift with its handover; the certificate ends with it.
LENGTH_US = 10 * 3600 * US_PER_S
#: A portal left alone is signed out after this (SP 800-63B section 4.2.3: at most 30 minutes at AAL2).
IDLE_US = 15 * 60 * US_PER_S
_SHOWN_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A sign-in that has just begun.  `token` is here and with its owner only."""

    token: str
    sign_in: ActiveSignIn
    certificate: ClientCertificate | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"SignedIn(subject={self.sign_in.subject.name!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSignedIn:
    """The proof was refused, or not even looked at for another `retry_after_s` seconds."""

    retry_after_s: int = 0


class SignIns:
    """Begins and ends sign-ins."""

    def __init__(
        self,
        *,
        source: Source,
        authority: Authority,
        state: State,
        store: Store,
        recorder: Recorder,
        grants: Grants,
        clock: Clock,
        make_token: Callable[[], str],
    ) -> None:
        self._source, self._authority, self._state, self._store = source, authority, state, store
        self._recorder, self._grants, self._clock, self._make_token = recorder, grants, clock, make_token
        self._seen: dict[str, int] = {}
        self._unkept: set[str] = set()

    async def sign_in(
        self, credentials: Credentials, kind: SignInKind, csr_pem: str | None = None
    ) -> SignedIn | NotSignedIn:
        """Check a proof; with a request for a certificate, issue one.  Raises `Invalid` (request) and `Unavailable`."""
        moment = self._clock()
        if csr_pem is not None:
            self._authority.check(csr_pem)
        outcome = await self._source.sign_in(credentials, moment.wall_us)
        if outcome.retry_after_s:
            return NotSignedIn(retry_after_s=outcome.retry_after_s)
        if outcome.subject is None:
            self._recorder.put(_refused(credentials, outcome.locked, moment))
            return NotSignedIn()
        return await self._begin(outcome.subject, credentials, kind, csr_pem)

    async def _begin(
        self, subject: Subject, credentials: Credentials, kind: SignInKind, csr_pem: str | None
    ) -> SignedIn | NotSignedIn:
        moment, certificate = self._clock(), None
        expires_at_us = moment.wall_us + LENGTH_US
        if csr_pem is not None:
            certificate = self._authority.issue(csr_pem, subject.name, expires_at_us, moment.wall_us)
        token = self._make_token()
        sign_in = ActiveSignIn(
            token_hash=hash_of(token),
            kind=kind,
            subject=subject,
            source=credentials.source,
            opened_at_us=moment.wall_us,
            expires_at_us=expires_at_us,
            ends_steady_us=moment.steady_us + LENGTH_US,
            boot=moment.boot,
            certificate=certificate.fingerprint if certificate else None,
        )
        await self._recorder.write(_began(sign_in, certificate), urgent=True)
        try:
            is_kept = await self._store.add_sign_in(sign_in)
        except Unavailable:
            self._recorder.put([_ended(sign_in, moment, "undone")])
            raise
        if not is_kept:
            self._recorder.put([_ended(sign_in, moment, "suspended")])
            return NotSignedIn()
        self._state.put_sign_in(sign_in)
        self._seen[sign_in.token_hash] = moment.steady_us
        return SignedIn(token=token, sign_in=sign_in, certificate=certificate)

    def current(self, token: str, kind: SignInKind) -> ActiveSignIn | None:
        """The sign-in that this token belongs to, while it lasts; looking at it keeps a portal's sign-in awake."""
        moment, sign_in = self._clock(), self._state.now.sign_ins.get(hash_of(token))
        if sign_in is None or sign_in.kind is not kind or not self._lasts(sign_in, moment):
            return None
        self._seen[sign_in.token_hash] = moment.steady_us
        return sign_in

    async def sign_out(self, sign_in: ActiveSignIn, reason: str = "asked") -> None:
        """End a sign-in and all of its grants."""
        if self._state.drop_sign_in(sign_in.token_hash) is None:
            return
        self._seen.pop(sign_in.token_hash, None)
        numbers = tuple(n for n, live in self._state.now.grants.items() if live.sign_in == sign_in.token_hash)
        await self._grants.close_all(numbers, Reason.NOT_SIGNED_IN, sign_in.subject.name)
        if sign_in.kind is not SignInKind.LEFT:
            self._recorder.put([_ended(sign_in, self._clock(), reason, len(numbers))])
        await self._forget(sign_in.token_hash)

    async def sweep(self) -> None:
        """End the sign-ins that have expired.

        A portal that was only left alone loses its sign-in, not its grants: whoever works in a native tool does not
        look at the portal.  They end with their own time, never later than the sign-in could have lasted.
        """
        moment = self._clock()
        for token_hash, sign_in in self._state.now.sign_ins.items():
            if sign_in.ends_steady_us <= moment.steady_us:
                await self.sign_out(sign_in, "expired")
            elif not self._lasts(sign_in, moment):
                with suppress(Unavailable):  # it admits nobody already; the next sweep tries again
                    await self._store.leave_sign_in(token_hash)
                    self._leave(sign_in, moment)
        if self._unkept:
            await self._forget(*self._unkept)

    async def reload(self) -> None:
        """After a restart of control: take up again what has not expired."""
        moment, over = self._clock(), list[str]()
        for sign_in in await self._store.sign_ins():
            left = left_us(sign_in.expires_at_us, sign_in.opened_at_us, sign_in.ends_steady_us, sign_in.boot, moment)
            if left <= 0:
                over.append(sign_in.token_hash)
                continue
            self._state.put_sign_in(_continued(sign_in, moment, left))
            self._seen[sign_in.token_hash] = moment.steady_us
        await self._store.remove_sign_ins(tuple(over))

    def _leave(self, sign_in: ActiveSignIn, moment: Moment) -> None:
        if sign_in.token_hash in self._state.now.sign_ins:
            self._seen.pop(sign_in.token_hash, None)
            self._state.put_sign_in(replace(sign_in, kind=SignInKind.LEFT))
            self._recorder.put([_ended(sign_in, moment, "idle")])

    async def _forget(self, *token_hashes: str) -> None:
        """Forget them for good, again and again until the store takes it: or they would come back with a restart."""
        try:
            await self._store.remove_sign_ins(token_hashes)
        except Unavailable:
            self._unkept |= {*token_hashes}
        else:
            self._unkept -= {*token_hashes}

    def _lasts(self, sign_in: ActiveSignIn, moment: Moment) -> bool:
        if sign_in.ends_steady_us <= moment.steady_us:
            return False
        seen_us = self._seen.get(sign_in.token_hash, 0)
        return sign_in.kind is not SignInKind.PORTAL or moment.steady_us - seen_us < IDLE_US


def hash_of(token: str) -> str:
    """What is kept of a token: 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def _continued(sign_in: ActiveSignIn, moment: Moment, left: int) -> ActiveSignIn:
    return replace(sign_in, ends_steady_us=moment.steady_us + left, boot=moment.boot)


def _began(sign_in: ActiveSignIn, certificate: ClientCertificate | None) -> list[Record]:
    subject = sign_in.subject
    factors: list[Json] = [factor.value for factor in sorted(subject.factors)]
    groups: list[Json] = [*sorted(subject.groups)]
    signed_in = Record(
        kind=RecordKind.SIGNED_IN,
        at_us=sign_in.opened_at_us,
        subject=subject.name,
        detail={"kind": sign_in.kind.value, "source": sign_in.source, "factors": factors, "groups": groups},
    )
    if certificate is None:
        return [signed_in]
    detail: dict[str, Json] = {
        "fingerprint": certificate.fingerprint,
        "serial": certificate.serial,
        "expires_at_us": certificate.expires_at_us,
    }
    issued = Record(kind=RecordKind.CERTIFICATE_ISSUED, at_us=sign_in.opened_at_us, subject=subject.name, detail=detail)
    return [signed_in, issued]


def _refused(credentials: Credentials, locked: tuple[str, ...], moment: Moment) -> list[Record]:
    name = credentials.subject[:_SHOWN_NAME]
    source: dict[str, Json] = {"source": credentials.source}
    reason = Reason.NOT_SIGNED_IN.value
    records = [
        Record(kind=RecordKind.SIGN_IN_REFUSED, at_us=moment.wall_us, subject=name, reason=reason, detail=source)
    ]
    records += [
        Record(
            kind=RecordKind.SUBJECT_LOCKED,
            at_us=moment.wall_us,
            subject=name,
            reason=Reason.LOCKED_OUT.value,
            detail={**source, "counted_by": counter},
        )
        for counter in locked
    ]
    return records


def _ended(sign_in: ActiveSignIn, moment: Moment, reason: str, grants_closed: int = 0) -> Record:
    return Record(
        kind=RecordKind.SIGNED_OUT,
        at_us=moment.wall_us,
        subject=sign_in.subject.name,
        reason=reason,
        detail={"kind": sign_in.kind.value, "grants_closed": grants_closed},
    )
