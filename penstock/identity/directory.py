"""I/O: waiting.  Signing in with a directory's password, and with the second factor that the gate itself keeps.

Stands behind the limits on guessing (`limited`) and before a `Directory`.  It must never tell by words or by time what
was wrong, never take a directory's password alone where its owner has an authenticator at the gate, nor count one
subject's authenticator for another: it belongs to the source's key, not to a name.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from penstock.identity.factors import totp
from penstock.identity.local import Account
from penstock.identity.sealing import Seal
from penstock.identity.source import Credentials, Directory, Membership, Proof, Reading, Refused, SignIn
from penstock.model import Factor

#: Every refusal takes a whole number of these, so its time tells nothing of what was looked at.
REFUSAL_STEP_S = 0.5
CODE_REFUSED = "the code of the authenticator is missing, wrong or used"


class AuthenticatorStore(Protocol):
    """Where the gate keeps the authenticators of other sources' subjects."""

    async def account_of(self, source: str, key: str) -> Account | None:
        """The subject that this source means by this key."""
        ...

    async def accept_step(self, name: str, step: int) -> bool:
        """Remember the step as used; ``False`` when it or a later one was used already."""
        ...


class ReadDirectory(Directory, Reading, Protocol):
    """What a directory must be able to do."""


class DirectorySource:
    """One directory of the site document, as the sign-in form sees it."""

    def __init__(self, name: str, directory: ReadDirectory, store: AuthenticatorStore, seal: Seal) -> None:
        self._name, self._directory, self._store, self._seal = name, directory, store, seal

    async def sign_in(self, credentials: Credentials, now_us: int) -> SignIn:
        """Check name and password at the directory, and the code here.

        Every refusal takes a whole number of steps.  Raises `NotAsked` and `Unavailable`.
        """
        clock = asyncio.get_running_loop().time
        started_s = clock()
        found = await self._directory.check(credentials.subject, credentials.password, now_us)
        if isinstance(found, Proof):
            found = await self._with_code(found, credentials.code, now_us)
        if isinstance(found, Proof):
            return SignIn(proof=found)
        await asyncio.sleep(REFUSAL_STEP_S - (clock() - started_s) % REFUSAL_STEP_S)
        return SignIn(why=found.reason)

    async def membership(self, key: str, memory: str, now_us: int) -> Membership | None:
        """What the directory says of somebody now.  Raises `Unavailable`."""
        return await self._directory.membership(key, memory, now_us)

    async def _with_code(self, proof: Proof, code: str, now_us: int) -> Proof | Refused:
        account = await self._store.account_of(self._name, proof.key)
        if account is None or account.totp_sealed is None:
            return proof
        secret = self._seal.open(account.totp_sealed, account.name)
        step = totp.accepted_step(secret, code, now_us, account.last_step)
        if step is None or not await self._store.accept_step(account.name, step):
            return Refused(reason=CODE_REFUSED, name=proof.name)
        return replace(proof, factors=proof.factors | {Factor.TOTP})
