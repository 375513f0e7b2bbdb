"""The local identity source: subjects of this gate, with a password and one-time codes.  Works with no network at all.

Logic only, on the narrow `AccountStore`; hashing is `password`, codes are `factors.totp`, waits are `lockout`.
Enrolment: an administrator hands over a single-use code; whoever has it sets the password and proves the new
authenticator once.  It must never keep a code, a password or an unsealed secret.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from penstock.identity.factors import recovery, totp
from penstock.identity.password import Passwords, problems
from penstock.identity.recovering import RecoveryCodes
from penstock.identity.sealing import Seal
from penstock.identity.source import Credentials, SignIn
from penstock.identity.turnstile import CounterStore, Turnstile
from penstock.model import Factor, Invalid, Problem, Subject, SubjectKind, Unauthenticated

ENROLMENT_LIFETIME_US = 24 * 3600 * 1_000_000
_CODE_ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
_CODE_LENGTH = 20
_CODE_GROUP = 5
_BAD_CODE = "the enrolment code is not valid, was used, or has expired"


class NotLookedAt(Unauthenticated):
    """Too many failures before: the code was not even looked at.  It reads like a code that is not valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One subject as it is stored.  Not enrolled: no `password_hash` and no `totp_sealed`."""

    name: str
    groups: frozenset[str]
    is_suspended: bool = False
    password_hash: str | None = None
    totp_sealed: bytes | None = None
    last_step: int = -1
    is_elsewhere: bool = False
    """Whether another source than this gate has the password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """An open enrolment: the hash of its code, whose it is, and the sealed secret that was shown last."""

    code_hash: str
    subject: str
    expires_at_us: int
    totp_sealed: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the administrator hands over.  `code` exists here only; the store has its hash."""

    subject: str
    code: str
    expires_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What somebody who enrols must see: whose enrolment it is, the secret, and the same as an otpauth address."""

    subject: str
    secret: str
    otpauth_uri: str
    asks_password: bool = True
    """Whether a password is chosen with it; not where another source has it."""


class AccountStore(CounterStore, Protocol):
    """What this source asks of the state store.  Every method is one transaction."""

    async def account(self, name: str) -> Account | None:
        """The account of that name."""
        ...

    async def set_password_hash(self, name: str, password_hash: str) -> None:
        """Replace the hash, after a change of its parameters."""
        ...

    async def accept_step(self, name: str, step: int) -> bool:
        """Remember the step as used; ``False`` when it or a later one was used already."""
        ...

    async def add_enrolment(self, enrolment: Enrolment) -> None:
        """Open an enrolment; an earlier one of the same subject ends."""
        ...

    async def enrolment(self, code_hash: str, now_us: int) -> Enrolment | None:
        """The open enrolment with that code, unless it has expired."""
        ...

    async def set_enrolment_secret(self, code_hash: str, totp_sealed: bytes) -> None:
        """Keep the secret that was just shown."""
        ...

    async def finish_enrolment(self, enrolment: Enrolment, password_hash: str | None, step: int, now_us: int) -> bool:
        """Give the account its password and secret and use up the code; ``False`` when it was used up already."""
        ...


class LocalSource:
    """Subjects of this gate."""

    def __init__(
        self,
        store: AccountStore,
        passwords: Passwords,
        seal: Seal,
        gate: str,
        recovery_codes: RecoveryCodes | None = None,
        context: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """`context` says which names besides the gate's own a password may not be made of."""
        self._store, self._passwords, self._seal, self._gate = store, passwords, seal, gate
        self._recovery_codes = recovery_codes
        self._context, self.turnstile = context, Turnstile(store, passwords.turns)
        self._nobodys_secret = totp.make_secret()

    async def sign_in(self, credentials: Credentials, now_us: int) -> SignIn:
        """Check password and code.  Unknown, suspended, not enrolled and wrong take the same work and answer alike."""
        name, source = credentials.subject, credentials.source
        async with self.turnstile.enter(name, source, now_us) as entry:
            if entry.wait_s:
                return SignIn(retry_after_s=entry.wait_s)
            subject = await self._prove(credentials, now_us)
            if subject is None:
                return SignIn(locked=entry.locked)
            await self.turnstile.passed(name, source, now_us)
            return SignIn(subject=subject)

    async def _prove(self, credentials: Credentials, now_us: int) -> Subject | None:
        account = await self._store.account(credentials.subject)
        is_usable = account is not None and not account.is_suspended and account.totp_sealed is not None
        checked = await self._passwords.check(account.password_hash if account else None, credentials.password)
        signs = recovery.normal(credentials.code)
        if signs is not None and self._recovery_codes is not None:
            may = is_usable and checked.is_right
            is_spent = await self._recovery_codes.spend(credentials.subject, signs, now_us, may=may)
            return recovered(account) if account is not None and is_spent else None
        secret = self._nobodys_secret
        if account is not None and account.totp_sealed is not None:
            secret = self._seal.open(account.totp_sealed, account.name)
        step = totp.accepted_step(secret, credentials.code, now_us, account.last_step if account else -1)
        if account is None or not is_usable or not checked.is_right or step is None:
            return None
        if not await self._store.accept_step(account.name, step):
            return None
        if checked.new_hash is not None:
            await self._store.set_password_hash(account.name, checked.new_hash)
        return subject_of(account)

    async def invite(self, name: str, now_us: int) -> Invitation:
        """Open an enrolment for an existing account and make its code: 20 signs, some 98 bits."""
        signs = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH))
        expires_at_us = now_us + ENROLMENT_LIFETIME_US
        await self._store.add_enrolment(
            Enrolment(code_hash=code_hash(signs), subject=name, expires_at_us=expires_at_us)
        )
        code = "-".join(signs[at : at + _CODE_GROUP] for at in range(0, _CODE_LENGTH, _CODE_GROUP))
        return Invitation(subject=name, code=code, expires_at_us=expires_at_us)

    async def prepare(self, code: str, source: str, now_us: int) -> Preparation:
        """Show a fresh secret for this enrolment.  Raises `Unauthenticated`.

        Each call makes a new secret and drops the one before: whoever read the code earlier and looked cannot know
        the secret that is finally confirmed.
        """
        enrolment = await self._find(code, source, now_us)
        secret = totp.make_secret()
        await self._store.set_enrolment_secret(enrolment.code_hash, self._seal.close(secret, enrolment.subject))
        return await self._preparation(enrolment.subject, secret)

    async def prepared(self, code: str, source: str, now_us: int) -> Preparation:
        """The secret that was shown last, to show it again after a typing mistake.  Raises `Unauthenticated`."""
        enrolment = await self._find(code, source, now_us)
        if enrolment.totp_sealed is None:
            raise Unauthenticated(_BAD_CODE)
        return await self._preparation(enrolment.subject, self._seal.open(enrolment.totp_sealed, enrolment.subject))

    async def confirm(
        self,
        code: str,
        password: str,
        first_code: str,
        source: str,
        now_us: int,
        recorded: Callable[[str], Awaitable[None]] | None = None,
    ) -> str:
        """Set the password and the authenticator; answers the subject's name.

        Where another source has the password, the authenticator alone: `password` is then nobody's, and not kept.
        `recorded` is done before anything changes, with whose enrolment it is; where it raises, nothing does.

        Raises `Unauthenticated` for a code that is not valid and `Invalid` for a refused password or a wrong code.
        """
        enrolment = await self._find(code, source, now_us)
        if enrolment.totp_sealed is None:
            raise Unauthenticated(_BAD_CODE)
        secret = self._seal.open(enrolment.totp_sealed, enrolment.subject)
        step = totp.accepted_step(secret, first_code, now_us, -1)
        is_elsewhere = await self._is_elsewhere(enrolment.subject)
        found = [] if is_elsewhere else list(problems(password, enrolment.subject, self._gate, *self._context()))
        if step is None:
            hint = "check that the clocks of gate and authenticator agree"
            found.append(Problem(where="totp", why="the code is not the one of this moment", hint=hint))
        if found or step is None:
            raise Invalid(*found)
        password_hash = None if is_elsewhere else await self._passwords.hash(password, source)
        if recorded is not None:
            await recorded(enrolment.subject)
        if not await self._store.finish_enrolment(enrolment, password_hash, step, now_us):
            raise Unauthenticated(_BAD_CODE)
        await self.turnstile.forget(enrolment.subject)  # where the old factors were at home says nothing of the new
        await self.turnstile.passed(enrolment.subject, source, now_us)
        return enrolment.subject

    async def _find(self, code: str, source: str, now_us: int) -> Enrolment:
        async with self.turnstile.enter("", source, now_us, is_quick=True) as entry:
            if entry.wait_s:
                raise NotLookedAt(_BAD_CODE)
            enrolment = await self._store.enrolment(code_hash(code), now_us)
            if enrolment is None:
                raise Unauthenticated(_BAD_CODE)
            await self.turnstile.forgive(source)
            return enrolment

    async def _preparation(self, subject: str, secret: str) -> Preparation:
        uri, is_elsewhere = totp.otpauth_uri(secret, subject, self._gate), await self._is_elsewhere(subject)
        return Preparation(subject=subject, secret=secret, otpauth_uri=uri, asks_password=not is_elsewhere)

    async def _is_elsewhere(self, subject: str) -> bool:
        account = await self._store.account(subject)
        return account is not None and account.is_elsewhere


def subject_of(account: Account) -> Subject:
    """The subject that a full proof of this account makes."""
    factors = frozenset({Factor.PASSWORD, Factor.TOTP})
    return Subject(name=account.name, kind=SubjectKind.PERSON, groups=account.groups, factors=factors)


def recovered(account: Account) -> Subject:
    """The subject that a password and a recovery code of this account make."""
    return replace(subject_of(account), factors=frozenset({Factor.PASSWORD, Factor.RECOVERY_CODE}))


def code_hash(code: str) -> str:
    """What is stored of an enrolment code.  98 random bits need no slow hash; typing is forgiven (case, dashes)."""
    signs = "".join(sign for sign in code.upper() if sign.isalnum())
    return hashlib.sha256(signs.encode()).hexdigest()
