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
from penstock.control.store import Store
from penstock.identity import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedAgain:
    """What became of a name, a password and a code: not looked at yet, not right, right but not taken, or taken."""

    retry_after_s: int = 0
    is_right: bool = False
    is_taken: bool = False


class ClientProofs:
    """Carries proofs over."""

    def __init__(
        self,
        *,
        state: State,
        store: Store,
        recorder: Recorder,
        following: Following,
        sign_ins: SignIns,
        clock: Clock,
    ) -> None:
        self._state, self._store, self._recorder = state, store, recorder
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
        renewed = replace(present, subject=portal.subject, session=portal.session, memory_sealed=portal.memory_sealed)
        await self._recorder.write([records.proved_again(renewed, None, moment)], urgent=True)
        await self._store.change_sign_in(renewed)
        if client.token_hash not in self._state.now.sign_ins:  # it ended meanwhile
            return False
        self._state.put_sign_in(renewed)
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
        return TypedAgain(is_right=True, is_taken=await self._sign_ins.prove_again(client, proof))


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
