"""A fresh proof for a sign-in of the command line, out of the portal's or typed: so that its grants may go on.

It must never lend the proof of one subject to another, and never make a proof out to be newer than it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.control import sign_in_records as records
from penstock.control.following import Following
from penstock.control.ports import Clock, Recorder
from penstock.control.rows import ActiveSignIn, SignInKind
from penstock.control.sign_ins import SignIns, local_proof
from penstock.control.state import State
from penstock.identity import Credentials
from penstock.model import Factor, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedAgain:
    """What became of a name, a password and a code: not looked at yet, not right, right but not taken, or taken."""

    retry_after_s: int = 0
    is_right: bool = False
    is_taken: bool = False
    recovered: Subject | None = None
    """Whose recovery code was spent by it."""


class ClientProofs:
    """Carries proofs over."""

    def __init__(
        self,
        *,
        state: State,
        recorder: Recorder,
        following: Following,
        sign_ins: SignIns,
        clock: Clock,
    ) -> None:
        self._state, self._recorder = state, recorder
        self._following, self._sign_ins, self._clock = following, sign_ins, clock

    async def renew(self, client: ActiveSignIn, portal: ActiveSignIn) -> bool:
        """Take the portal's proof into the command line's sign-in; token, certificate, end and grants stay.

        ``False`` where it is somebody else's, not newer, or worth less.  Raises `Unavailable`.
        """
        moment, present = self._clock(), self._state.now.sign_ins.get(client.token_hash)
        if present is None or present.kind is not SignInKind.CLIENT:
            return False
        if (why := why_not(present, portal)) is not None:
            self._recorder.put([records.not_proved_again(present, why, moment)])
            return False
        await self._recorder.write([records.proved_again(_renewed(present, portal), None, moment)], urgent=True)
        lent = self._state.now.sign_ins.get(portal.token_hash)
        if lent is None or why_not(present, lent) is not None:  # it ended meanwhile
            return False
        renewed = await self._sign_ins.change(
            client.token_hash, lambda now: _renewed(now, self._state.now.sign_ins.get(portal.token_hash, lent))
        )
        if renewed is None:
            return False
        await self._following.proved_again(renewed)
        return True

    async def prove(self, client: ActiveSignIn, credentials: Credentials) -> TypedAgain:
        """Take what was typed into the sign-in.  Raises `Unavailable`."""
        credentials = replace(credentials, realm=credentials.realm or client.identity)
        outcome, moment = await self._sign_ins.check(credentials), self._clock()
        if outcome.retry_after_s:
            return TypedAgain(retry_after_s=outcome.retry_after_s)
        proof = outcome.proof
        if proof is None and outcome.subject is not None:
            proof = local_proof(outcome.subject, moment)
        if proof is None:
            self._recorder.put(records.refused(credentials, outcome, moment))
            return TypedAgain()
        recovered = outcome.subject if Factor.RECOVERY_CODE in proof.factors else None
        is_taken = await self._sign_ins.prove_again(client, proof)
        return TypedAgain(is_right=True, is_taken=is_taken, recovered=recovered)


def _renewed(client: ActiveSignIn, portal: ActiveSignIn) -> ActiveSignIn:
    return replace(client, subject=portal.subject, session=portal.session, memory_sealed=portal.memory_sealed)


def why_not(client: ActiveSignIn, portal: ActiveSignIn) -> str | None:
    """Why the portal's proof does not count for this sign-in; ``None`` where it does."""
    ours, theirs = client.subject, portal.subject
    if (ours.name, ours.source) != (theirs.name, theirs.source):
        return f"it is the proof of {theirs.name}"
    if theirs.proved_at_us <= ours.proved_at_us:
        return "it is no newer"
    if theirs.strength.rank < ours.strength.rank:
        return f"{theirs.strength.value} is less than {ours.strength.value}"
    return None
