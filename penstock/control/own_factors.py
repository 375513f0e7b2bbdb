"""What people change about their own factors: password, authenticator, recovery codes, passkeys.

Every change wants a proof of the last minutes that is good enough, is in the evidence before it takes effect, and is
told on its owner's page.  It must never let a weaker factor bring in, or take away, a stronger one: who has a passkey
changes factors with a passkey, or with a recovery code, which is made for the case that the rest is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.control.factor_store import FactorChange, FactorStore
from penstock.control.passkeys import Passkeys
from penstock.control.ports import US_PER_S, Clock, Recorder
from penstock.control.rows import ActiveSignIn
from penstock.control.sign_in_records import refused
from penstock.control.sign_ins import SignIns, proof_of
from penstock.control.store import Store
from penstock.identity import (
    Credentials,
    Party,
    Passkey,
    Passwords,
    Preparation,
    RecoveryCodes,
    Seal,
    password_problems,
    totp,
)
from penstock.model import (
    LOCAL,
    Factor,
    FactorStrength,
    Invalid,
    Json,
    Problem,
    Record,
    RecordKind,
    Subject,
    Unauthenticated,
)

#: How old the proof may be with which somebody changes factors.
FRESH_US = 5 * 60 * US_PER_S
MAX_TITLE = 40
_PENDING_US = 10 * 60 * US_PER_S


class ProofNeeded(Unauthenticated):
    """The proof of this sign-in is too old for that."""


class TooWeak(Unauthenticated):
    """This sign-in was not proved strongly enough for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """Somebody's factors as their page shows them."""

    is_local: bool
    passkeys: tuple[Passkey, ...] = ()
    codes_left: int = 0
    codes_made_at_us: int | None = None
    changes: tuple[FactorChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedAgain:
    """Whether a new proof was taken; not even looked at for another `retry_after_s` seconds."""

    is_proved: bool = False
    retry_after_s: int = 0


class OwnFactors:
    """Shows and changes the factors of whoever is signed in."""

    def __init__(
        self,
        *,
        store: Store,
        factors: FactorStore,
        passkeys: Passkeys,
        sign_ins: SignIns,
        recovery_codes: RecoveryCodes,
        passwords: Passwords,
        seal: Seal,
        recorder: Recorder,
        clock: Clock,
        gate: str,
        site: Callable[[], str],
    ) -> None:
        self._store, self._factors, self._passkeys, self._codes = store, factors, passkeys, recovery_codes
        self._passwords, self._seal, self._recorder, self._clock = passwords, seal, recorder, clock
        self._sign_ins, self._gate, self._site = sign_ins, gate, site
        self._pending: dict[str, tuple[str, int]] = {}
        """By sign-in: the secret of an authenticator that was shown and not proved yet, and until when it may be."""

    async def of(self, sign_in: ActiveSignIn) -> Factors:
        """Everything that the page shows.  Raises `Unavailable`."""
        name, is_local = sign_in.subject.name, sign_in.identity == LOCAL
        return Factors(
            is_local=is_local,
            passkeys=await self._factors.passkeys(name),
            codes_left=await self._codes.left(name) if is_local else 0,
            codes_made_at_us=await self._factors.recovery_made_at_us(name) if is_local else None,
            changes=await self._factors.changes(name),
        )

    def is_fresh(self, sign_in: ActiveSignIn) -> bool:
        """Whether the proof is of the last five minutes."""
        return 0 <= self._clock().wall_us - sign_in.subject.proved_at_us < FRESH_US

    async def require(self, sign_in: ActiveSignIn) -> None:
        """Raises `TooWeak` or `ProofNeeded` where this sign-in may not change factors as it is."""
        strength, factors = sign_in.subject.strength, sign_in.subject.factors
        if strength.rank < FactorStrength.TWO.rank:
            raise TooWeak("factors are changed with two factors: ask your gate administrator")
        is_enough = strength is FactorStrength.PHISHING_RESISTANT or Factor.RECOVERY_CODE in factors
        if not is_enough and await self._passkeys.of(sign_in.subject.name):
            raise TooWeak("you have a passkey: sign in with it, or with a recovery code, to change your factors")
        if not self.is_fresh(sign_in):
            raise ProofNeeded("prove who you are once more")

    async def prove(self, sign_in: ActiveSignIn, password: str, code: str, address: str) -> ProvedAgain:
        """Prove again with a password, and a code where the source takes one.  Raises `Unavailable`."""
        name, moment = sign_in.subject.name.removesuffix(f"@{sign_in.identity}"), self._clock()
        credentials = Credentials(subject=name, password=password, code=code, source=address, realm=sign_in.identity)
        outcome = await self._sign_ins.check(credentials)
        if outcome.retry_after_s:
            return ProvedAgain(retry_after_s=outcome.retry_after_s)
        proof = proof_of(outcome, moment)
        if proof is None:
            self._recorder.put(refused(credentials, outcome, moment))
            return ProvedAgain()
        is_proved = await self._sign_ins.prove_again(sign_in, proof)
        if Factor.RECOVERY_CODE in proof.factors:  # it is spent either way
            await self.recovered(sign_in.subject, address)
        return ProvedAgain(is_proved=is_proved)

    async def add_passkey(self, party: Party, sign_in: ActiveSignIn, answer: str, title: str, source: str) -> Passkey:
        """Keep a new passkey.  Raises as `require`, `PasskeyRefused`, `Invalid` and `Unavailable`."""
        await self.require(sign_in)
        passkey = await self._passkeys.add(party, sign_in, answer, _title(title), source)
        await self._note(sign_in.subject, f"passkey “{passkey.title}” added", source)
        return passkey

    async def rename_passkey(self, sign_in: ActiveSignIn, credential_id: str, title: str, source: str) -> None:
        """Call a passkey something else.  Raises as `require`, `Invalid` and `Unavailable`."""
        await self.require(sign_in)
        passkey, new = await self._mine(sign_in, credential_id), _title(title)
        await self._factors.rename_passkey(sign_in.subject.name, credential_id, new)
        detail: dict[str, Json] = {"factor": Factor.PASSKEY.value, "title": passkey.title, "new_title": new}
        self._recorder.put([self._record(RecordKind.SUBJECT_CHANGED, sign_in.subject, detail, source)])
        await self._note(sign_in.subject, f"passkey “{passkey.title}” is called “{new}”", source)

    async def remove_passkey(self, sign_in: ActiveSignIn, credential_id: str, source: str) -> None:
        """Forget a passkey, but never the last second factor.  Raises as `require`, `Invalid` and `Unavailable`."""
        await self.require(sign_in)
        passkey = await self._mine(sign_in, credential_id)
        account = await self._store.account(sign_in.subject.name)
        has_code = account is not None and account.totp_sealed is not None
        if not has_code and len(await self._factors.passkeys(sign_in.subject.name)) == 1:
            hint = "add another one first, or ask your gate administrator"
            raise Invalid(Problem(where="passkey", why="it is your only second factor at this gate", hint=hint))
        detail: dict[str, Json] = {"factor": Factor.PASSKEY.value, "passkey": credential_id[:16]}
        await self._record_first(RecordKind.FACTOR_REMOVED, sign_in, {**detail, "title": passkey.title}, source)
        await self._factors.remove_passkey(sign_in.subject.name, credential_id)
        await self._note(sign_in.subject, f"passkey “{passkey.title}” removed", source)

    async def change_password(self, sign_in: ActiveSignIn, password: str, source: str) -> None:
        """Set another password.  Raises as `require`, `Invalid` and `Unavailable`."""
        await self._require_local(sign_in)
        found = password_problems(password, sign_in.subject.name, self._gate, self._site())
        if found:
            raise Invalid(*found)
        hashed = await self._passwords.hash(password, source)
        await self._record_first(RecordKind.FACTOR_ADDED, sign_in, {"factor": Factor.PASSWORD.value}, source)
        await self._store.set_password_hash(sign_in.subject.name, hashed)
        await self._note(sign_in.subject, "password changed", source)

    async def prepare_authenticator(self, sign_in: ActiveSignIn) -> Preparation:
        """Show the secret of a new authenticator; one that was shown before is void.  Raises as `require`."""
        await self._require_local(sign_in)
        now_us = self._clock().steady_us
        self._pending = {key: each for key, each in self._pending.items() if each[1] > now_us}
        secret = totp.make_secret()
        self._pending[sign_in.token_hash] = (secret, now_us + _PENDING_US)
        return self._preparation(sign_in, secret)

    def prepared_authenticator(self, sign_in: ActiveSignIn) -> Preparation:
        """The same again, after a typing mistake.  Raises `ProofNeeded` where none was shown."""
        return self._preparation(sign_in, self._pending_secret(sign_in))

    async def replace_authenticator(self, sign_in: ActiveSignIn, code: str, source: str) -> None:
        """The new authenticator counts from now on, the old one no more.  Raises as `require`, and `Invalid`."""
        await self._require_local(sign_in)
        name, secret = sign_in.subject.name, self._pending_secret(sign_in)
        step = totp.accepted_step(secret, code, self._clock().wall_us, -1)
        if step is None:
            hint = "check that the clocks of gate and authenticator agree"
            raise Invalid(Problem(where="totp", why="the code is not the one of this moment", hint=hint))
        self._pending.pop(sign_in.token_hash, None)
        await self._record_first(RecordKind.FACTOR_ADDED, sign_in, {"factor": Factor.TOTP.value}, source)
        if not await self._factors.set_authenticator(name, self._seal.close(secret, name), step):
            raise Invalid(Problem(where="totp", why="there is no authenticator to replace"))
        await self._note(sign_in.subject, "authenticator replaced", source)

    async def make_codes(self, sign_in: ActiveSignIn, source: str) -> tuple[str, ...]:
        """Ten new recovery codes; earlier ones are void.  Raises as `require` and `Unavailable`."""
        await self._require_local(sign_in)
        return await self._make_codes(sign_in.subject.name, source)

    async def first_codes(self, subject: str, source: str) -> tuple[str, ...]:
        """The recovery codes of somebody who has just enrolled; none where another source has the password.

        Raises `Unavailable`.
        """
        account = await self._store.account(subject)
        if account is None or account.is_elsewhere:
            return ()
        return await self._make_codes(subject, source)

    async def recovered(self, subject: Subject, source: str) -> int:
        """A recovery code was used: say so loudly; answers how many are left."""
        left = await self._codes.left(subject.name)
        detail: dict[str, Json] = {"factor": Factor.RECOVERY_CODE.value, "why": "used to sign in", "left": left}
        self._recorder.put([self._record(RecordKind.FACTOR_REMOVED, subject, detail, source)])
        await self._note(subject, f"signed in with a recovery code; {left} are left", source)
        return left

    async def _make_codes(self, subject: str, source: str) -> tuple[str, ...]:
        moment = self._clock()
        detail: dict[str, Json] = {"factor": Factor.RECOVERY_CODE.value, "source": source}
        at_us = moment.wall_us
        await self._recorder.write(
            [Record(kind=RecordKind.FACTOR_ADDED, at_us=at_us, subject=subject, detail=detail)], urgent=True
        )
        codes = await self._codes.make(subject, at_us)
        change = FactorChange(at_us=at_us, what="new recovery codes made", source=source)
        await self._factors.note_change(subject, change)
        return codes

    async def _require_local(self, sign_in: ActiveSignIn) -> None:
        if sign_in.identity != LOCAL:
            why = "password and authenticator belong to the identity source that you sign in with"
            raise Invalid(Problem(where="factors", why=why))
        await self.require(sign_in)

    async def _mine(self, sign_in: ActiveSignIn, credential_id: str) -> Passkey:
        """Somebody else's is answered as one that does not exist."""
        passkey = await self._factors.passkey(credential_id)
        if passkey is None or passkey.subject != sign_in.subject.name:
            raise Invalid(Problem(where="passkey", why="you have no such passkey"))
        return passkey

    def _pending_secret(self, sign_in: ActiveSignIn) -> str:
        secret, until_us = self._pending.get(sign_in.token_hash, ("", 0))
        if self._clock().steady_us >= until_us:
            raise ProofNeeded("begin again: the secret that was shown is no longer valid")
        return secret

    def _preparation(self, sign_in: ActiveSignIn, secret: str) -> Preparation:
        name = sign_in.subject.name
        return Preparation(subject=name, secret=secret, otpauth_uri=totp.otpauth_uri(secret, name, self._gate))

    def _record(self, kind: RecordKind, subject: Subject, detail: dict[str, Json], source: str) -> Record:
        proved: dict[str, Json] = {"source": source, "strength": subject.strength.value}
        return Record(kind=kind, at_us=self._clock().wall_us, subject=subject.name, detail={**detail, **proved})

    async def _record_first(
        self, kind: RecordKind, sign_in: ActiveSignIn, detail: dict[str, Json], source: str
    ) -> None:
        await self._recorder.write([self._record(kind, sign_in.subject, detail, source)], urgent=True)

    async def _note(self, subject: Subject, what: str, source: str) -> None:
        change = FactorChange(at_us=self._clock().wall_us, what=what, source=source)
        await self._factors.note_change(subject.name, change)


def _title(text: str) -> str:
    """What a passkey is called: one line that can be read."""
    title = " ".join(text.split())
    if not title or len(title) > MAX_TITLE or not title.isprintable():
        raise Invalid(Problem(where="title", why=f"it must be 1 to {MAX_TITLE} printable characters"))
    return title
