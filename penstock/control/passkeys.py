"""I/O: random bytes, nothing else.  Passkeys at the portal: asked for, checked, counted, recorded.

Stands between the pages and `penstock.identity`, which says what an answer proves.  A passkey of a local subject signs
in without a name; one of another source's subject only adds to a sign-in that this source has begun, because the source
must have its say each time.  It must never take an answer to a challenge that this browser was not given.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode

from penstock.control.arrivals import Arrival, NotSignedIn, SignedIn
from penstock.control.factor_store import MAX_PASSKEYS, FactorStore
from penstock.control.identities import Identities
from penstock.control.ports import Clock, Recorder
from penstock.control.rows import ActiveSignIn
from penstock.control.sign_ins import SignIns
from penstock.identity import (
    NONCE_BYTES,
    Challenges,
    Party,
    Passkey,
    PasskeyFault,
    PasskeyRefused,
    Proof,
    Seal,
    Turnstile,
    passkeys,
)
from penstock.model import LOCAL, Factor, Json, PasskeyRules, Reason, Record, RecordKind

_SIGN_IN, _PROVE, _ADD = "sign-in", "prove", "add"
_KEY_BYTES = 32
_SHOWN_ID = 16


class Passkeys:
    """Asks for passkeys and takes their answers.  `browser` is what this browser alone holds: a cookie, a sign-in."""

    def __init__(
        self,
        *,
        factors: FactorStore,
        turnstile: Turnstile,
        sign_ins: SignIns,
        identities: Identities,
        recorder: Recorder,
        clock: Clock,
        seal: Seal,
        names: tuple[str, ...],
    ) -> None:
        self._factors, self._turnstile, self._sign_ins, self._seal = factors, turnstile, sign_ins, seal
        self._identities, self._recorder, self._clock, self._names = identities, recorder, clock, names
        self._challenges = Challenges(secrets.token_bytes(_KEY_BYTES))

    def party(self, host: str) -> Party | None:
        """The relying party where the portal was visited under one of the gate's names; see `party_of`."""
        return passkeys.party_of(host, self._names)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the gate that a passkey can be bound to."""
        return tuple(name for name in self._names if passkeys.is_domain(name))

    @property
    def rules(self) -> PasskeyRules:
        """Which passkeys the site takes."""
        return self._identities.identity.local.passkeys

    async def of(self, subject: str) -> tuple[Passkey, ...]:
        """The passkeys of a subject that can prove it under some name of the gate."""
        found = await self._factors.passkeys(subject)
        return tuple(each for each in found if each.rp_id in self._names and passkeys.is_taken(each, self.rules))

    async def usable(self, subject: str, party: Party | None) -> tuple[Passkey, ...]:
        """Those of them that can prove it here."""
        return tuple(each for each in await self.of(subject) if party is not None and each.rp_id == party.rp_id)

    def ask_to_sign_in(self, party: Party, browser: str) -> str:
        """What the browser is asked, as JSON: any passkey of this gate."""
        return passkeys.sign_in_options(party, self._challenge(_SIGN_IN, browser))

    async def sign_in(self, party: Party, browser: str, answer: str, arrival: Arrival) -> SignedIn | NotSignedIn:
        """Begin a sign-in.  Raises `PasskeyRefused` (recorded) and `Unavailable`.

        A subject of another source is none of the local ones, so `admit` turns it away.
        """
        passkey = await self._counted(party, answer, _SIGN_IN, browser, arrival.source)
        if isinstance(passkey, int):
            return NotSignedIn(retry_after_s=passkey)
        return await self._sign_ins.admit(self._proof(passkey, LOCAL, passkey.subject), arrival)

    async def ask_to_prove(self, party: Party, sign_in: ActiveSignIn) -> str:
        """What the browser is asked, as JSON: one of this subject's passkeys."""
        present = await self.usable(sign_in.subject.name, party)
        return passkeys.sign_in_options(party, self._challenge(_PROVE, sign_in.token_hash), present)

    async def prove(self, party: Party, sign_in: ActiveSignIn, answer: str, source: str) -> bool:
        """Prove again, or better.  Raises `PasskeyRefused` (recorded) and `Unavailable`; ``False``: not looked at."""
        browser, name = sign_in.token_hash, sign_in.subject.name
        passkey = await self._counted(party, answer, _PROVE, browser, source, name)
        if isinstance(passkey, int):
            return False
        key = name if sign_in.identity == LOCAL else await self._sign_ins.key_of(name)
        mine = (each for each in self._sign_ins.of_subject(name) if each.token_hash == sign_in.token_hash)
        present = next(mine, sign_in)  # as it is now: what its source took from it meanwhile stays away
        proof = self._proof(passkey, sign_in.identity, key, present)
        return await self._sign_ins.prove_again(present, proof)

    async def ask_to_add(self, party: Party, sign_in: ActiveSignIn) -> str:
        """What the browser is asked to make, as JSON."""
        present = await self._factors.passkeys(sign_in.subject.name)
        here = [each for each in present if each.rp_id == party.rp_id]
        name, challenge = sign_in.subject.name, self._challenge(_ADD, sign_in.token_hash)
        return passkeys.registration_options(party, challenge, name, self._handle(name), here, self.rules)

    async def add(self, party: Party, sign_in: ActiveSignIn, answer: str, title: str, source: str) -> Passkey:
        """Keep a new passkey of this subject.  Raises `PasskeyRefused` (recorded) and `Unavailable`."""
        try:
            return await self._add(party, sign_in, answer, title, source)
        except PasskeyRefused as refused:
            self._refuse(refused, source, _ADD, sign_in.subject.name)
            raise

    async def _add(self, party: Party, sign_in: ActiveSignIn, answer: str, title: str, source: str) -> Passkey:
        name, moment = sign_in.subject.name, self._clock()
        claim = passkeys.read_new(answer)
        self._spend(claim.challenge, _ADD, sign_in.token_hash)
        made = passkeys.check_new(claim, party, self.rules)
        passkey = Passkey(
            credential_id=made.credential_id,
            subject=name,
            rp_id=party.rp_id,
            user_handle=self._handle(name),
            public_key=made.public_key,
            sign_count=made.sign_count,
            aaguid=made.aaguid,
            title=title,
            is_synced=made.is_synced,
            added_at_us=moment.wall_us,
        )
        await self._check_room(passkey)
        await self._recorder.write([_added(passkey, made.attestation, source, moment.wall_us)], urgent=True)
        fault = await self._factors.add_passkey(passkey)
        if fault is not None:  # two at once: the refusal stands beside the record
            raise PasskeyRefused(fault)
        return passkey

    def _handle(self, subject: str) -> str:
        """What authenticators call a subject (base64url): always the same, and it tells nobody who it is (14.6.1)."""
        return urlsafe_b64encode(bytes.fromhex(self._seal.mark("passkey", subject))).rstrip(b"=").decode()

    async def _check_room(self, passkey: Passkey) -> None:
        """Before it is recorded as added: the same that the store checks when it is kept."""
        if await self._factors.passkey(passkey.credential_id) is not None:
            raise PasskeyRefused(PasskeyFault.KNOWN)
        if len(await self._factors.passkeys(passkey.subject)) >= MAX_PASSKEYS:
            raise PasskeyRefused(PasskeyFault.TOO_MANY)

    async def _counted(
        self, party: Party, answer: str, act: str, browser: str, source: str, subject: str | None = None
    ) -> Passkey | int:
        """As `_verified`; counted before it is looked at, recorded when refused; or how many seconds it must wait.

        A passkey cannot be guessed, so only addresses are counted: whoever locks an account cannot lock its passkey.
        """
        now_us = self._clock().wall_us
        async with self._turnstile.enter("", source, now_us, is_quick=True) as entry:
            if entry.wait_s:
                return entry.wait_s
            try:
                passkey = await self._verified(party, answer, act, browser, subject)
            except PasskeyRefused as refused:
                self._refuse(refused, source, act, subject)
                if entry.locked:
                    self._lock(source)
                raise
            await self._turnstile.passed(passkey.subject, source, now_us)
            return passkey

    async def _verified(self, party: Party, answer: str, act: str, browser: str, subject: str | None = None) -> Passkey:
        """The passkey whose owner this answer proves, of `subject` where one is meant.  Raises `PasskeyRefused`."""
        claim = passkeys.read_claim(answer)
        self._spend(claim.challenge, act, browser)
        passkey = await self._factors.passkey(claim.credential_id)
        if passkey is None:
            raise PasskeyRefused(PasskeyFault.UNKNOWN)
        if subject is None and claim.user_handle is None:  # section 7.2, step 6: nobody was named, so the answer must
            raise PasskeyRefused(PasskeyFault.UNREADABLE, passkey)
        if subject is not None and passkey.subject != subject:
            raise PasskeyRefused(PasskeyFault.FOREIGN, passkey)
        try:
            sign_count = passkeys.check_sign_in(claim, passkey, party, self.rules)
        except PasskeyRefused as refused:
            if refused.fault is PasskeyFault.CLONED:
                await self._factors.bar_passkey(passkey.credential_id, self._clock().wall_us)
            raise PasskeyRefused(refused.fault, passkey) from refused
        if not await self._factors.use_passkey(passkey.credential_id, sign_count, self._clock().wall_us):
            raise PasskeyRefused(PasskeyFault.CLONED, passkey)  # used, barred or removed in between
        return passkey

    def _spend(self, challenge: bytes, act: str, browser: str) -> None:
        if not self._challenges.spend(challenge, _purpose(act, browser), self._clock().steady_us):
            raise PasskeyRefused(PasskeyFault.CHALLENGE)

    def _proof(self, passkey: Passkey, source: str, key: str, sign_in: ActiveSignIn | None = None) -> Proof:
        detail = {"passkey": passkey.credential_id[:_SHOWN_ID], "synced": "yes" if passkey.is_synced else "no"}
        name = passkey.subject if source == LOCAL else passkey.subject.removesuffix(f"@{source}")
        return Proof(
            source=source,
            key=key,
            name=name,
            proved_at_us=self._clock().wall_us,
            groups=frozenset() if sign_in is None else sign_in.subject.groups,
            factors=frozenset({Factor.PASSKEY}),
            barred_zones=frozenset() if sign_in is None else sign_in.subject.barred_zones,
            detail=detail,
        )

    def _challenge(self, purpose: str, browser: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self._challenges.make(nonce, _purpose(purpose, browser), self._clock().steady_us)

    def _lock(self, source: str) -> None:
        """This refusal made its address wait."""
        detail: dict[str, Json] = {"source": source, "counted_by": "source"}
        reason, at_us = Reason.LOCKED_OUT.value, self._clock().wall_us
        self._recorder.put([Record(kind=RecordKind.SUBJECT_LOCKED, at_us=at_us, reason=reason, detail=detail)])

    def _refuse(self, refused: PasskeyRefused, source: str, act: str, subject: str | None = None) -> None:
        """Who did not prove what, and whose passkey it was."""
        passkey, at_us = refused.passkey, self._clock().wall_us
        detail: dict[str, Json] = {"source": source, "factor": Factor.PASSKEY.value, "act": act}
        detail |= {"why": refused.fault.value}
        if passkey is not None:
            detail |= {"passkey": passkey.credential_id[:_SHOWN_ID], "passkey_of": passkey.subject}
            subject = subject or passkey.subject
        reason = Reason.NOT_SIGNED_IN.value
        self._recorder.put(
            [Record(kind=RecordKind.SIGN_IN_REFUSED, at_us=at_us, subject=subject, reason=reason, detail=detail)]
        )


def _added(passkey: Passkey, attestation: str, source: str, at_us: int) -> Record:
    detail: dict[str, Json] = {
        "factor": Factor.PASSKEY.value,
        "passkey": passkey.credential_id[:_SHOWN_ID],
        "title": passkey.title,
        "aaguid": passkey.aaguid,
        "attestation": attestation,
        "synced": passkey.is_synced,
        "host": passkey.rp_id,
        "source": source,
    }
    return Record(kind=RecordKind.FACTOR_ADDED, at_us=at_us, subject=passkey.subject, detail=detail)


def _purpose(purpose: str, browser: str) -> str:
    return f"{purpose}\0{browser}"
