"""I/O: waiting for a turn.  Signing in and out: proofs become sign-ins, and with a sign-in ends what hangs on it.

Evidence before effect here too: no token leaves before the record of the sign-in is on the disk.  It must never keep a
token, only its SHA-256, nor let a proof of one subject count for another.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from penstock.control import sign_in_records as records
from penstock.control.arrivals import Arrival, NotSignedIn, SignedIn
from penstock.control.following import Following
from penstock.control.grants import Grants
from penstock.control.identities import Identities
from penstock.control.minting import left_us
from penstock.control.people import People, Stranger
from penstock.control.portal_tokens import PortalTokens
from penstock.control.ports import US_PER_S, Clock, Moment, Recorder
from penstock.control.rows import ActiveSignIn, SignInKind
from penstock.control.state import State
from penstock.control.store import Store
from penstock.identity import Authority, Credentials, LimitedSource, Proof, Seal, SignIn, Source, Turnstile
from penstock.model import LOCAL, Binding, Invalid, Problem, Reason, Subject, Unavailable

_MAX_AGENT = 120
_AT_SOURCE = "signed out at the identity source"


class SignIns:
    """Begins and ends sign-ins."""

    def __init__(
        self,
        *,
        source: Source,
        turnstile: Turnstile,
        identities: Identities,
        people: People,
        authority: Authority,
        seal: Seal,
        state: State,
        store: Store,
        recorder: Recorder,
        grants: Grants,
        following: Following,
        clock: Clock,
        make_token: Callable[[], str],
    ) -> None:
        self._source, self._identities, self._people, self._authority = source, identities, people, authority
        self._turnstile = turnstile
        self._seal, self._state, self._store, self._recorder = seal, state, store, recorder
        self._grants, self._following, self._clock, self._make_token = grants, following, clock, make_token
        self.limited: Callable[[str, Proof], Proof] = lambda _, proof: proof
        """What an account's own terms make of a proof: an earlier end."""
        self._seen: dict[str, int] = {}
        self._unkept: set[str] = set()
        self._tokens = PortalTokens()
        self._beginning: dict[str, ActiveSignIn] = {}
        """Sign-ins that are being recorded; one that its source has ended already is not here any more."""
        self._changing = asyncio.Lock()

    async def sign_in(
        self, credentials: Credentials, kind: SignInKind, csr_pem: str | None = None
    ) -> SignedIn | NotSignedIn:
        """Check name, password and code; see `admit`."""
        arrival = Arrival(kind=kind, source=credentials.source, csr_pem=csr_pem)
        return await self.sign_in_from(credentials, arrival)

    async def sign_in_from(self, credentials: Credentials, arrival: Arrival) -> SignedIn | NotSignedIn:
        """The same, for whoever arrives in this way."""
        moment = self._clock()
        self._check(arrival)
        outcome = await self.check(credentials)
        if outcome.retry_after_s:
            return NotSignedIn(retry_after_s=outcome.retry_after_s)
        proof = proof_of(outcome, moment)
        if proof is None:
            self._recorder.put(records.refused(credentials, outcome, moment))
            return NotSignedIn()
        return await self.admit(proof, arrival)

    async def check(self, credentials: Credentials) -> SignIn:
        """What the source that is meant says of a name, a password and a code.  No falling through to another one."""
        realms = [plan.name for plan in self._identities.of_passwords()]
        realm = credentials.realm or realms[0]
        moment = self._clock()
        if realm == LOCAL or realm not in realms:  # a realm that does not exist takes the same work, and fails
            asked = credentials if realm == LOCAL else replace(credentials, subject="")
            return await self._source.sign_in(asked, moment.wall_us)
        source: Source | None = self._identities.password_source(realm)
        if source is None:
            raise Unavailable(f"the identity source {realm} cannot be asked")
        limited = LimitedSource(source, self._turnstile, realm)
        name = credentials.subject.removesuffix(f"@{realm}")  # as they are called here
        return await limited.sign_in(replace(credentials, subject=name), moment.wall_us)

    async def admit(self, proof: Proof, arrival: Arrival) -> SignedIn | NotSignedIn:
        """Begin a sign-in for a proof; with a request for a certificate, issue one.

        Raises `Invalid` (the request) and `Unavailable`.
        """
        self._check(arrival)
        subject = await self._people.resolve(proof, self._clock())
        if isinstance(subject, Stranger):
            self._recorder.put([records.stranger(proof, subject, arrival, self._clock())])
            return NotSignedIn()
        return await self._begin(subject, self.limited(subject.name, proof), arrival)

    def _check(self, arrival: Arrival) -> None:
        """Before any proof is used up: the notice was accepted, the request could be signed.  Raises `Invalid`."""
        banner = self._identities.identity.banner
        if banner is not None and arrival.notice != banner.digest:
            hint = "read the notice and accept it"
            raise Invalid(Problem(where="notice", why="the notice of this site has not been accepted", hint=hint))
        if arrival.csr_pem is not None:
            self._authority.check(arrival.csr_pem)

    async def begin_client(self, portal: ActiveSignIn, arrival: Arrival) -> SignedIn | NotSignedIn:
        """A sign-in of the command line for whoever is signed in at the portal, with the same proof as there."""
        if arrival.csr_pem is not None:
            self._authority.check(arrival.csr_pem)
        if not self._lasts(portal, self._clock()):
            return NotSignedIn()
        made = self._made(portal.subject, arrival, portal.expires_at_us, portal.ends_steady_us, portal)
        return await self._keep(made, parent=portal.token_hash)

    async def _begin(self, subject: Subject, proof: Proof, arrival: Arrival) -> SignedIn | NotSignedIn:
        moment = self._clock()
        length_us = self._identities.identity.limits.length_s * US_PER_S
        if proof.ends_at_us is not None:
            length_us = min(length_us, proof.ends_at_us - moment.wall_us)
        if length_us <= 0:
            return NotSignedIn()
        made = self._made(subject, arrival, moment.wall_us + length_us, moment.steady_us + length_us, None)
        sealed = self._seal.close(proof.memory, subject.name) if proof.memory else None
        signed = replace(made, sign_in=replace(made.sign_in, session=proof.session, memory_sealed=sealed))
        self._beginning[signed.sign_in.token_hash] = signed.sign_in
        try:
            begun = await self._keep(signed, proof, arrival.notice)
        finally:
            self._beginning.pop(signed.sign_in.token_hash, None)
        if isinstance(begun, SignedIn):
            await self._following.agree(begun.sign_in.token_hash)
        return begun

    def _made(
        self, subject: Subject, arrival: Arrival, expires_at_us: int, ends_steady_us: int, parent: ActiveSignIn | None
    ) -> SignedIn:
        moment, certificate = self._clock(), None
        if arrival.csr_pem is not None:
            certificate = self._authority.issue(arrival.csr_pem, subject.name, expires_at_us, moment.wall_us)
        token = self._make_token()
        sign_in = ActiveSignIn(
            token_hash=hash_of(token),
            kind=arrival.kind,
            subject=subject,
            source=arrival.source,
            opened_at_us=moment.wall_us,
            expires_at_us=expires_at_us,
            ends_steady_us=ends_steady_us,
            boot=moment.boot,
            certificate=certificate.fingerprint if certificate else None,
            agent="".join(sign for sign in arrival.agent if sign.isprintable())[:_MAX_AGENT],
            session=None if parent is None else parent.session,
            memory_sealed=None if parent is None else parent.memory_sealed,
        )
        return SignedIn(token=token, sign_in=sign_in, certificate=certificate)

    async def _keep(
        self, signed: SignedIn, proof: Proof | None = None, notice: str | None = None, parent: str | None = None
    ) -> SignedIn | NotSignedIn:
        sign_in, moment = signed.sign_in, self._clock()
        await self._recorder.write(records.began(sign_in, signed.certificate, proof, notice), urgent=True)
        try:
            is_kept = await self._store.add_sign_in(sign_in)
        except Unavailable:
            self._recorder.put([records.ended(sign_in, moment, "undone")])
            raise
        if not is_kept:
            self._recorder.put([records.ended(sign_in, moment, "suspended")])
            return NotSignedIn()
        self._state.put_sign_in(sign_in)
        self._seen[sign_in.token_hash] = moment.steady_us
        self._tokens.begin(sign_in.token_hash, moment.steady_us)
        if why := await self._lost_meanwhile(sign_in, parent):
            await self.sign_out(sign_in, why)
            return NotSignedIn()
        await self._end_surplus(sign_in)
        await self._take_station(sign_in)
        return signed

    async def _lost_meanwhile(self, sign_in: ActiveSignIn, parent: str | None) -> str:
        """Why nobody may have this sign-in any more, though it was right when it was asked for; empty: they may.

        Whoever was removed, closed or signed out while it was recorded was not found in the snapshot, and what was
        taken from them neither.  Raises `Unavailable`: it has ended then.
        """
        try:
            known = await self._people.again(sign_in.subject.name, self._clock())
        except Unavailable:
            await self.sign_out(sign_in, "undone")
            raise
        if isinstance(known, Stranger):
            return known.why
        if parent is None and sign_in.token_hash not in self._beginning:
            return _AT_SOURCE
        portal, mine = self._state.now.sign_ins.get(parent or ""), self._state.now.sign_ins.get(sign_in.token_hash)
        if mine is None or (parent is not None and portal is None):
            return "whoever confirmed it is not signed in any more"
        groups = mine.subject.groups if portal is None else portal.subject.groups
        groups = known.groups if sign_in.identity == LOCAL else groups
        self._state.put_sign_in(replace(mine, subject=replace(mine.subject, groups=groups)))
        return ""

    async def change(self, token_hash: str, make: Callable[[ActiveSignIn], ActiveSignIn]) -> ActiveSignIn | None:
        """Keep and put in force what `make` does to a sign-in; ``None`` where it has ended.  Raises `Unavailable`.

        One change at a time, each of what the one before left: or one would take back the other's groups or token.
        """
        async with self._changing:
            present = self._state.now.sign_ins.get(token_hash)
            if present is None:
                return None
            await self._store.change_sign_in(make(present))
            present = self._state.now.sign_ins.get(token_hash)
            if present is None:
                return None
            changed = make(present)
            self._state.put_sign_in(changed)
            return changed

    async def _take_station(self, newest: ActiveSignIn) -> None:
        """Somebody else signs in from a station: what is bound to it is not the former one's any more.

        At the portal or with a command line: either way another person sits there.
        """
        taken = tuple(
            number
            for number, live in self._state.now.grants.items()
            if live.sign_in is not None
            and live.grant.binding is Binding.ADDRESS
            and live.grant.source == newest.source
            and live.grant.subject.name != newest.subject.name
        )
        await self._grants.close_all(taken, Reason.STATION_CHANGED, newest.subject.name)

    async def _end_surplus(self, newest: ActiveSignIn) -> None:
        """One subject has so many sign-ins at once and no more: the one that was used longest ago ends."""
        mine = [
            each
            for each in self._state.now.sign_ins.values()
            if each.subject.name == newest.subject.name and each.kind is not SignInKind.LEFT
        ]
        surplus = len(mine) - self._identities.identity.limits.at_once
        mine.sort(
            key=lambda each: (
                each.token_hash == newest.token_hash,
                self._seen.get(each.token_hash, 0),
                each.opened_at_us,
            )
        )
        for sign_in in mine[: max(0, surplus)]:
            await self.sign_out(sign_in, Reason.TOO_MANY_SIGN_INS.value)

    async def prove_again(self, sign_in: ActiveSignIn, proof: Proof) -> bool:
        """Take a new proof into a sign-in: a stronger one (step-up), or the same again (reauthentication).

        Only of the very same subject, and never one that is worth less.  What hangs on the sign-in goes on with it.
        Raises `Unavailable`: nothing has changed then.
        """
        moment, present = self._clock(), self._state.now.sign_ins.get(sign_in.token_hash)
        subject = await self._people.resolve(proof, moment)
        if present is None or not self._lasts(present, moment):
            return False
        why = None
        if isinstance(subject, Stranger):
            why = subject.why
        elif (subject.name, subject.source) != (present.subject.name, present.subject.source):
            why = f"it is the proof of {subject.name}"
        elif subject.strength.rank < present.subject.strength.rank:
            why = f"{subject.strength.value} is less than {present.subject.strength.value}"
        if why is not None or isinstance(subject, Stranger):
            self._recorder.put([records.not_proved_again(present, why or "", moment)])
            return False
        sealed = self._seal.close(proof.memory, subject.name) if proof.memory else present.memory_sealed
        renewed = replace(present, subject=subject, session=proof.session or present.session, memory_sealed=sealed)
        await self._recorder.write([records.proved_again(renewed, proof, moment)], urgent=True)
        changed = await self.change(sign_in.token_hash, lambda now: _renewed(now, present, renewed))
        if changed is None:
            return False
        renewed = changed
        self._tokens.make_due(renewed.token_hash, moment.steady_us)  # whoever copied the token before has less
        await self._following.proved_again(renewed)
        await self._following.agree(renewed.token_hash)
        return True

    def current(self, token: str, kind: SignInKind, *, is_awake: bool = True) -> ActiveSignIn | None:
        """The sign-in that this token belongs to, while it lasts; looking at it keeps a portal's sign-in awake.

        But not where nobody is known to be `is_awake`: a page that follows something by itself.
        """
        moment, sign_in = self._clock(), self._find(hash_of(token))
        if sign_in is None or sign_in.kind is not kind or not self._lasts(sign_in, moment):
            return None
        if is_awake:
            self._seen[sign_in.token_hash] = moment.steady_us
        return sign_in

    def _find(self, shown: str) -> ActiveSignIn | None:
        """By the token that counts now, or by the one before it for a moment."""
        key = self._tokens.owner(shown)
        sign_in = self._state.now.sign_ins.get(key)
        if sign_in is None or not self._tokens.counts(shown, key, _newest(sign_in), self._clock().steady_us):
            return None
        return sign_in

    async def renew_token(self, token: str, *, is_due: bool = False) -> str | None:
        """A new token for a portal's sign-in where its own has become old, or `is_due` for another reason; or ``None``.

        A token that was replaced and comes back after its grace, though the new one is in use, was copied by somebody:
        its sign-in ends, for both.  Where nobody ever showed the new one, its answer may have been lost: nothing ends.
        """
        moment, shown = self._clock(), hash_of(token)
        key = self._tokens.owner(shown)
        sign_in = self._state.now.sign_ins.get(key)
        if sign_in is None or sign_in.kind is not SignInKind.PORTAL or not self._lasts(sign_in, moment):
            return None
        if self._tokens.is_copied(shown, key, moment.steady_us):
            self._recorder.put([records.token_used_again(sign_in, moment)])
            await self.sign_out(sign_in, "its token was used again")
            return None
        is_due = self._tokens.is_due(shown, key, moment.steady_us) or (is_due and shown == _newest(sign_in))
        if self._find(shown) is None or not is_due:
            return None
        self._tokens.changing(key, moment.steady_us)
        fresh, before = self._make_token(), _newest(sign_in)
        if await self.change(key, lambda now: replace(now, shown_hash=hash_of(fresh))) is None:
            return None
        self._tokens.changed(key, before, hash_of(fresh), moment.steady_us)
        return fresh

    async def key_of(self, name: str) -> str:
        """What its source calls a subject.  Raises `Unavailable`, also where there is no such subject."""
        key = await self._people.key_of(name)
        if key is None:
            raise Unavailable(f"there is no subject {name}")
        return key

    def of_subject(self, name: str) -> tuple[ActiveSignIn, ...]:
        """The sign-ins of a subject, the newest first."""
        found = (each for each in self._state.now.sign_ins.values() if each.subject.name == name)
        return tuple(sorted(found, key=lambda each: -each.opened_at_us))

    def seen_ago_s(self, sign_in: ActiveSignIn) -> int:
        """How many seconds ago it was used."""
        return (self._clock().steady_us - self._seen.get(sign_in.token_hash, 0)) // US_PER_S

    async def end_at_source(self, source: str, key: str | None, session: str | None) -> int:
        """The source says that somebody signed out there: end what it proved.  Answers how many sign-ins that were.

        With a `session`, that one, and whatever of that person is of no known session; with a `key` only, everything.
        """
        name = None if key is None else await self._people.name_of(source, key)
        if session is None and name is None:
            return 0
        ended = 0
        for sign_in in (*self._beginning.values(), *self._state.now.sign_ins.values()):
            if sign_in.identity != source or (name is not None and sign_in.subject.name != name):
                continue
            if session is None or sign_in.session == session or (name is not None and sign_in.session is None):
                self._beginning.pop(sign_in.token_hash, None)
                ended += await self.sign_out(sign_in, _AT_SOURCE, Reason.SIGNED_OUT_AT_SOURCE)
        return ended

    async def sign_out(
        self, sign_in: ActiveSignIn, reason: str = "asked", ending: Reason = Reason.NOT_SIGNED_IN
    ) -> bool:
        """End a sign-in and all of its grants; ``False`` where it had ended."""
        if self._state.drop_sign_in(sign_in.token_hash) is None:
            return False
        self._forget_tokens(sign_in.token_hash)
        numbers = tuple(n for n, live in self._state.now.grants.items() if live.sign_in == sign_in.token_hash)
        await self._grants.close_all(numbers, ending, sign_in.subject.name)
        if sign_in.kind is not SignInKind.LEFT:
            self._recorder.put([records.ended(sign_in, self._clock(), reason, len(numbers))])
        await self._forget(sign_in.token_hash)
        return True

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
            self._tokens.begin(sign_in.token_hash, moment.steady_us, sign_in.shown_hash)
        await self._store.remove_sign_ins(tuple(over))

    def _leave(self, sign_in: ActiveSignIn, moment: Moment) -> None:
        if (present := self._state.now.sign_ins.get(sign_in.token_hash)) is not None:
            self._forget_tokens(sign_in.token_hash)
            self._state.put_sign_in(replace(present, kind=SignInKind.LEFT))
            self._recorder.put([records.ended(sign_in, moment, "idle")])

    def _forget_tokens(self, token_hash: str) -> None:
        self._seen.pop(token_hash, None)
        self._tokens.forget(token_hash)

    async def forget(self, *token_hashes: str) -> None:
        """Sign-ins that ended in a way of their own leave nothing here, nor in the store."""
        for token_hash in token_hashes:
            self._forget_tokens(token_hash)
        await self._forget(*token_hashes)

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
        idle_us = self._identities.identity.limits.idle_s * US_PER_S
        seen_us = self._seen.get(sign_in.token_hash, 0)
        return sign_in.kind is not SignInKind.PORTAL or moment.steady_us - seen_us < idle_us


def hash_of(token: str) -> str:
    """What is kept of a token: 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def _newest(sign_in: ActiveSignIn) -> str:
    return sign_in.shown_hash or sign_in.token_hash


def local_proof(subject: Subject, moment: Moment) -> Proof:
    """The proof of a subject of this gate, whose factors were all given now."""
    return Proof(
        source=LOCAL,
        key=subject.name,
        name=subject.name,
        proved_at_us=moment.wall_us,
        groups=subject.groups,
        factors=subject.factors,
    )


def proof_of(outcome: SignIn, moment: Moment) -> Proof | None:
    """What a source answered to a name and a password, as a proof; ``None`` where it proves nobody."""
    if outcome.proof is not None:
        return outcome.proof
    return None if outcome.subject is None else local_proof(outcome.subject, moment)


def _renewed(now: ActiveSignIn, before: ActiveSignIn, proved: ActiveSignIn) -> ActiveSignIn:
    """What a new proof makes of a sign-in as it is now: what was taken away while it was recorded stays away."""
    was_changed = now.subject.groups != before.subject.groups
    groups = now.subject.groups if was_changed or now.identity == LOCAL else proved.subject.groups
    sealed = proved.memory_sealed if proved.memory_sealed != before.memory_sealed else now.memory_sealed
    return replace(now, subject=replace(proved.subject, groups=groups), session=proved.session, memory_sealed=sealed)


def _continued(sign_in: ActiveSignIn, moment: Moment, left: int) -> ActiveSignIn:
    return replace(sign_in, ends_steady_us=moment.steady_us + left, boot=moment.boot)
