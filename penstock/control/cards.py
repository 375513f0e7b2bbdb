"""Signing in with a smart card: which source speaks for a card, and what is kept between its door and the portal.

The card's door has a TLS port of its own; it sees the card, the portal begins the sign-in.  Between the two stands a
proof for a minute, tied to one browser's cookie, and taken once.  Every refusal is recorded with its reason; many alike
of one station become one record with a count.  It must never take a proof out of anything but a key that was used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from penstock.control.identities import Identities
from penstock.control.ports import US_PER_S, Clock, Recorder
from penstock.identity import (
    CardChallenges,
    CardRefused,
    CardSource,
    Proof,
    SignedChallenge,
    Unfit,
    counted_as,
)
from penstock.model import Json, Reason, Record, RecordKind, Unavailable

#: Between the card's door and the portal.
HELD_US = 60 * US_PER_S
#: Refusals of one station for one reason within this time are one record.
FOLDED_US = 10 * US_PER_S
_MAX_HELD = 1000
#: Beyond these many different refusals at a time all others are one.
_MAX_FOLDED = 200
_TOO_MANY = "too many different refusals at once to tell them apart"
_WITHOUT_SOURCE = "no smart card source is in force"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    proof: Proof
    until_us: int


@dataclass(slots=True, kw_only=True)
class _Folded:
    until_us: int
    reason: Reason
    again: int = 0


class Cards:
    """Cards at this gate."""

    def __init__(
        self,
        *,
        identities: Identities,
        recorder: Recorder,
        clock: Clock,
        trusted_pem: Callable[[], str],
        make_random: Callable[[int], bytes],
    ) -> None:
        self._identities, self._recorder, self._clock, self._trusted_pem = identities, recorder, clock, trusted_pem
        self._make_random = make_random
        self._challenges = CardChallenges(make_random(32))
        self._warned: dict[str, str] = {}
        self._held: dict[str, _Held] = {}
        self._folded: dict[tuple[RecordKind, str, str, str], _Folded] = {}

    @property
    def authorities(self) -> str:
        """Who may issue cards at this site, by all sources of the revision in force (PEM); empty: no cards."""
        return "\n".join(plan.authorities for plan in self._identities.identity.cards)

    @property
    def titles(self) -> tuple[str, ...]:
        """What the sources of cards are called."""
        return tuple(plan.title for plan in self._identities.identity.cards)

    async def proof_of(self, certificates: Sequence[bytes], station: str) -> Proof | CardRefused:
        """The proof of the card whose key was used just now; `certificates` in DER form, its own first.

        `station` is the address, for the record of a refusal.
        """
        refused = CardRefused(why=_WITHOUT_SOURCE, shown="", reason=Reason.SOURCE_UNAVAILABLE)
        try:
            for source in self._identities.all(CardSource):
                found = await source.prove(certificates[0], certificates[1:], self._clock().wall_us)
                if isinstance(found, Proof):
                    return found
                refused = found
                if not found.is_foreign:
                    break
        except Unavailable as error:
            refused = CardRefused(why=str(error), shown="", reason=Reason.SOURCE_UNAVAILABLE)
        self._refuse(RecordKind.SIGN_IN_REFUSED, station, refused.why, refused.shown, refused.reason)
        return refused

    def challenge(self) -> str:
        """Something fresh for a card to sign."""
        return self._challenges.make(self._make_random(CardChallenges.RANDOM_BYTES), self._clock().steady_us)

    async def proof_of_signature(self, answer: SignedChallenge, station: str) -> Proof | CardRefused:
        """The proof of the card that signed this challenge of ours; a challenge proves once."""
        try:
            self._challenges.check(answer.challenge, self._clock().steady_us)
            answer.check(_fingerprint(self._trusted_pem()))
        except Unfit as error:
            self._refuse(RecordKind.SIGN_IN_REFUSED, station, str(error), "", error.reason)
            return CardRefused(why=str(error), shown="", reason=error.reason)
        found = await self.proof_of(answer.certificates, station)
        if isinstance(found, CardRefused):
            return found
        try:
            self._challenges.use(answer.challenge, self._clock().steady_us)
        except Unfit as error:  # somebody was faster with the same answer
            self._refuse(RecordKind.SIGN_IN_REFUSED, station, str(error), found.name, error.reason)
            return CardRefused(why=str(error), shown=found.name, reason=error.reason)
        return found

    def hold(self, cookie: str, proof: Proof) -> None:
        """Keep a proof for the browser with this cookie, for a minute."""
        now_us = self._clock().steady_us
        self._held = {key: held for key, held in self._held.items() if held.until_us > now_us}
        while len(self._held) >= _MAX_HELD:
            del self._held[next(iter(self._held))]
        self._held[_key(cookie)] = _Held(proof=proof, until_us=now_us + HELD_US)

    def take(self, cookie: str) -> Proof | None:
        """What is kept for the browser with this cookie, once."""
        held = self._held.pop(_key(cookie), None)
        return None if held is None or held.until_us <= self._clock().steady_us else held.proof

    def refuse_handshake(self, station: str, why: str, shown: str = "") -> None:
        """A TLS handshake at the card's door failed; `shown` is the subject that the other side claims."""
        self._refuse(RecordKind.TLS_REFUSED, station, why, shown, Reason.CERTIFICATE_REFUSED)

    def sweep(self) -> None:
        """Each second: record how often what was refused a while ago came again."""
        now_us = self._clock().steady_us
        for key, folded in tuple(self._folded.items()):
            if folded.until_us <= now_us:
                del self._folded[key]
                if folded.again:
                    kind, station, why, shown = key
                    detail: dict[str, Json] = {"source": station, "why": why, "again": folded.again}
                    self._put(kind, folded.reason, {**detail, "certificate": shown} if shown else detail)

    async def look_ahead(self) -> None:
        """Each hour: record once that a revocation list ends soon or cannot be had, and once that all is well again."""
        for source in self._identities.all(CardSource):
            why = "; ".join(await source.warnings(self._clock().wall_us))
            name = source.plan.name
            if why == self._warned.get(name, ""):
                continue
            self._warned[name] = why
            kind = RecordKind.SOURCE_LOST if why else RecordKind.SOURCE_RESTORED
            detail: dict[str, Json] = {"identity": name, "what": "revocation", **({"why": why} if why else {})}
            reason = Reason.REVOCATION_UNKNOWN.value if why else None
            at_us = self._clock().wall_us
            self._recorder.put([Record(kind=kind, at_us=at_us, reason=reason, detail=detail)])

    def _refuse(self, kind: RecordKind, station: str, why: str, shown: str, reason: Reason) -> None:
        key, now_us = (kind, counted_as(station), why, shown), self._clock().steady_us
        if key not in self._folded and len(self._folded) >= _MAX_FOLDED:
            key, station, why, shown = (kind, "", _TOO_MANY, ""), "", _TOO_MANY, ""
        folded = self._folded.get(key)
        if folded is not None and now_us < folded.until_us:
            folded.again += 1
            return
        detail: dict[str, Json] = {"source": station, "why": why}
        if shown:
            detail["certificate"] = shown
        if folded is not None and folded.again:
            detail["again"] = folded.again
        self._folded[key] = _Folded(until_us=now_us + FOLDED_US, reason=reason)
        self._put(kind, reason, detail)

    def _put(self, kind: RecordKind, reason: Reason, detail: dict[str, Json]) -> None:
        moment = self._clock()
        self._recorder.put([Record(kind=kind, at_us=moment.wall_us, reason=reason.value, detail=detail)])


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


def _fingerprint(pem: str) -> bytes:
    """Of the first authority that clients of this gate are told to believe: they know no other name for it."""
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256())
