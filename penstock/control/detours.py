"""Detours: people who were sent to an identity provider and are expected back, and its word that they left it.

What is pending is in memory only: bounded, ten minutes, used once, and tied to one browser, so that nobody can be
signed in with somebody else's answer.  It must never sign anybody in for an answer that nobody here asked for, and
every refusal is recorded with its true reason.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.control.arrivals import Arrival, NotSignedIn, SignedIn
from penstock.control.client_logins import TooMany
from penstock.control.identities import Identities
from penstock.control.ports import US_PER_S, Clock, Recorder
from penstock.control.rows import ActiveSignIn
from penstock.control.sign_ins import SignIns
from penstock.control.state import State
from penstock.identity import (
    Attempts,
    Flaw,
    Limit,
    NotProved,
    OidcSource,
    Pending,
    Proof,
    counted,
    counted_as,
    state_of,
    wait_s,
)
from penstock.model import FactorStrength, Invalid, Json, Problem, Reason, Record, RecordKind, Unavailable

LENGTH_US = 600 * US_PER_S
NOTED_AGAIN_US = 10 * US_PER_S
MAX_PENDING, MAX_OF_AN_ADDRESS = 2000, 30
#: Answers and logout tokens that prove nothing, from one address: what comes after is not even looked at.
WRONG_LIMIT = Limit(free=19, first_wait_s=30, longest_wait_s=900, forget_s=3600)
_MAX_COUNTERS, _MAX_WHY = 1000, 200
_LOGOUT = "logout"


class Trouble(StrEnum):
    """Why nothing came of a detour, as far as whoever made it may know: it is what they can do about it."""

    NOT_BEGUN = "not begun here"
    REFUSED_THERE = "refused there"
    TOO_WEAK = "too weak"
    TOO_OLD = "too old"
    CLOCKS = "clocks"
    NAME = "name"
    NOT_BELIEVED = "not believed"
    SILENT = "silent"
    NOT_ADMITTED = "not admitted"
    OTHER_PROOF = "other proof"


_TROUBLES = {
    Flaw.PROVIDER_REFUSED: Trouble.REFUSED_THERE,
    Flaw.CODE: Trouble.NOT_BEGUN,
    Flaw.FACTORS: Trouble.TOO_WEAK,
    Flaw.PROOF_AGE: Trouble.TOO_OLD,
    Flaw.EXPIRED: Trouble.CLOCKS,
    Flaw.NOT_YET: Trouble.CLOCKS,
    Flaw.TOO_OLD: Trouble.CLOCKS,
    Flaw.NAME: Trouble.NAME,
    Flaw.STATE: Trouble.NOT_BEGUN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Who leaves for a provider, and what for.

    `browser` is the secret that ties the answer to this browser.  `renews`: the sign-in that takes the new proof;
    `before`: the one that ends when a new one begins.  `next_path` is a page of this gate.
    """

    source: str
    address: str
    browser: str = field(repr=False)
    want: FactorStrength = FactorStrength.NONE
    is_fresh: bool = False
    renews: ActiveSignIn | None = None
    before: ActiveSignIn | None = None
    next_path: str = "/"
    redirect_uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """Somebody is back: with a sign-in of their own, or (`signed` is ``None``) with a new proof in the one they had."""

    next_path: str
    signed: SignedIn | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Detour:
    pending: Pending
    departure: Departure
    browser_hash: str
    ends_us: int


class Detours:
    """Sends people to providers and takes them back.  Lengths are on the clock that nobody can set."""

    def __init__(
        self,
        *,
        identities: Identities,
        sign_ins: SignIns,
        state: State,
        recorder: Recorder,
        clock: Clock,
        make_token: Callable[[], str],
    ) -> None:
        self._identities, self._sign_ins, self._state = identities, sign_ins, state
        self._recorder, self._clock, self._make_token = recorder, clock, make_token
        self._pending: dict[str, _Detour] = {}
        self._wrong: dict[str, Attempts] = {}
        self._noted_us: dict[str, int] = {}
        """When it was recorded last that a provider is silent; only names of the site document get here."""

    def source(self, name: str) -> OidcSource | None:
        """The provider of that name.  Raises `Unavailable` where it cannot be made."""
        return self._identities.named(name, OidcSource)

    def new_browser(self) -> str:
        """A secret for a browser that has none."""
        return self._make_token()

    def knows(self, browser: str) -> bool:
        """Whether this browser has a detour pending: then it keeps its secret, and several can go on side by side."""
        self._forget_old()
        key = _hash(browser)
        return any(hmac.compare_digest(each.browser_hash, key) for each in self._pending.values())

    async def begin(self, departure: Departure) -> str | TooMany | None:
        """The address to send the browser to; ``None``: there is no such provider.  Raises `Unavailable`."""
        if wait := self._must_wait_s(departure.address):
            return TooMany(retry_after_s=wait)
        try:
            begun = await self._begin(departure)
        except Unavailable as error:
            self._note_silence(departure, str(error))
            raise
        if begun is None:
            return None
        address, pending = begun
        self._keep(_Detour(
            pending=pending,
            departure=departure,
            browser_hash=_hash(departure.browser),
            ends_us=self._clock().steady_us + LENGTH_US,
        ))  # fmt: skip
        return address

    async def come_back(
        self, name: str, query: str, browser: str, arrival: Arrival
    ) -> Returned | Trouble | TooMany | None:
        """Take the answer `query` that this browser brought.  ``None``: there is no such provider.

        Raises `Invalid` where the notice was not accepted.
        """
        if wait := self._wrong_wait_s(counted_as(arrival.source)):
            return TooMany(retry_after_s=wait)
        try:
            source = self.source(name)
            if source is None:
                return None
            detour = self._take(name, query, browser)
            proof = await source.finish(query, detour.pending, self._clock().wall_us)
        except NotProved as refused:
            self._count(counted_as(arrival.source))
            why = f"{refused.flaw.value}: {refused.detail}" if refused.detail else refused.flaw.value
            self._refuse(name, arrival.source, Reason.SOURCE_REFUSED, why)
            return _TROUBLES.get(refused.flaw, Trouble.NOT_BELIEVED)
        except Unavailable as error:
            self._refuse(name, arrival.source, Reason.SOURCE_UNAVAILABLE, str(error))
            return Trouble.SILENT
        return await self._take_in(detour.departure, proof, arrival)

    async def farewell(self, name: str, token: str, address: str) -> int | TooMany:
        """The provider says that somebody signed out there.  Answers how many sign-ins ended.

        Raises `Invalid` for a token that proves nothing, and `Unavailable`.
        """
        source = self.source(name)
        if source is None:
            raise Invalid(Problem(where="source", why="there is no such identity provider"))
        # Counted apart: behind one address of a router may be the provider, and people who make it wait.
        counted_for = f"{_LOGOUT} {counted_as(address)}"
        if wait := self._wrong_wait_s(counted_for):
            return TooMany(retry_after_s=wait)
        try:
            key, session = await source.logout_token(token, self._clock().wall_us)
        except NotProved as refused:
            self._count(counted_for)
            self._refuse(name, address, Reason.SOURCE_REFUSED, f"logout token: {refused.flaw.value}")
            raise Invalid(Problem(where="logout_token", why="it does not prove anything")) from None
        return await self._sign_ins.end_at_source(name, key, session)

    # --- within

    async def _begin(self, departure: Departure) -> tuple[str, Pending] | None:
        source, renewed = self.source(departure.source), departure.renews
        if source is None:
            return None
        return await source.begin(
            departure.want,
            is_fresh=departure.is_fresh,
            now_us=self._clock().wall_us,
            subject_hint=None if renewed is None else renewed.subject.name.removesuffix(f"@{departure.source}"),
            redirect_uri=departure.redirect_uri,
        )

    def _note_silence(self, departure: Departure, why: str) -> None:
        """Somebody could not even begin.  Anybody can ask for that, so it is recorded now and then only."""
        now_us, before_us = self._clock().steady_us, self._noted_us.get(departure.source)
        if before_us is not None and now_us - before_us < NOTED_AGAIN_US:
            return
        self._noted_us[departure.source] = now_us
        self._refuse(departure.source, departure.address, Reason.SOURCE_UNAVAILABLE, why)

    async def _take_in(self, departure: Departure, proof: Proof, arrival: Arrival) -> Returned | Trouble:
        renewed = departure.renews
        if renewed is not None and renewed.token_hash in self._state.now.sign_ins:
            is_taken = await self._sign_ins.prove_again(renewed, proof)
            return Returned(next_path=departure.next_path) if is_taken else Trouble.OTHER_PROOF
        signed = await self._sign_ins.admit(proof, arrival)
        if isinstance(signed, NotSignedIn):
            return Trouble.NOT_ADMITTED
        if departure.before is not None:
            await self._sign_ins.sign_out(departure.before, "signed in again")
        return Returned(next_path=departure.next_path, signed=signed)

    def _take(self, name: str, query: str, browser: str) -> _Detour:
        """The detour that this answer belongs to, once.  Raises `NotProved`."""
        self._forget_old()
        detour = self._pending.pop(state_of(query) or "", None)
        if detour is None:
            raise NotProved(Flaw.STATE, "no detour is pending that it answers")
        if detour.pending.source != name:
            raise NotProved(Flaw.OTHER_PROVIDER, "it came back on the way of another provider")
        if not hmac.compare_digest(detour.browser_hash, _hash(browser)):
            raise NotProved(Flaw.STATE, "it was begun in another browser")
        return detour

    def _keep(self, detour: _Detour) -> None:
        """Where the table is full, the address that holds the most loses its oldest."""
        self._forget_old()
        if len(self._pending) >= MAX_PENDING:
            held = Counter(counted_as(each.departure.address) for each in self._pending.values())
            greedy = held.most_common(1)[0][0]
            oldest = next(k for k, each in self._pending.items() if counted_as(each.departure.address) == greedy)
            del self._pending[oldest]
        self._pending[detour.pending.state] = detour

    def _must_wait_s(self, address: str) -> int:
        """Nobody makes the gate ask a provider as often as they like."""
        self._forget_old()
        same = [each.ends_us for each in self._pending.values() if _is_same(each, address)]
        if len(same) >= MAX_OF_AN_ADDRESS:
            return -(-(min(same) - self._clock().steady_us) // US_PER_S)
        return self._wrong_wait_s(counted_as(address))

    def _wrong_wait_s(self, counted_for: str) -> int:
        attempts = self._wrong.get(counted_for)
        return 0 if attempts is None else wait_s(attempts, self._clock().wall_us, WRONG_LIMIT)

    def _count(self, counted_for: str) -> None:
        attempts = self._wrong.pop(counted_for, Attempts())
        if len(self._wrong) >= _MAX_COUNTERS:  # the one that failed longest ago is let go
            del self._wrong[next(iter(self._wrong))]
        self._wrong[counted_for] = counted(attempts, self._clock().wall_us, WRONG_LIMIT)

    def _refuse(self, name: str, address: str, reason: Reason, why: str) -> None:
        detail: dict[str, Json] = {"source": address, "identity": name, "why": why[:_MAX_WHY]}
        at_us = self._clock().wall_us
        self._recorder.put([
            Record(kind=RecordKind.SIGN_IN_REFUSED, at_us=at_us, reason=reason.value, detail=detail)
        ])  # fmt: skip

    def _forget_old(self) -> None:
        now_us = self._clock().steady_us
        self._pending = {state: each for state, each in self._pending.items() if now_us < each.ends_us}


def _is_same(detour: _Detour, address: str) -> bool:
    return counted_as(detour.departure.address) == counted_as(address)


def _hash(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest()
