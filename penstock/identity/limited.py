"""A password source of somebody else's, behind our own limits: a directory must not be a place to guess without end.

Pure.  It also keeps the gate from locking people out of their directory account by forwarding a stranger's guesses.
"""

from __future__ import annotations

from penstock.identity.source import Credentials, NotAsked, SignIn, Source
from penstock.identity.turnstile import Turnstile


class LimitedSource:
    """A `Source` whose attempts are counted under ``NAME@REALM``."""

    def __init__(self, source: Source, turnstile: Turnstile, realm: str) -> None:
        self._source, self._turnstile, self._realm = source, turnstile, realm

    async def sign_in(self, credentials: Credentials, now_us: int) -> SignIn:
        """As `Source`."""
        name = f"{credentials.subject.casefold()}@{self._realm}"  # or each spelling had a count of its own
        async with self._turnstile.enter(name, credentials.source, now_us) as entry:
            if entry.wait_s:
                return SignIn(retry_after_s=entry.wait_s)
            try:
                outcome = await self._source.sign_in(credentials, now_us)
            except NotAsked:
                await self._turnstile.untried(name, credentials.source, now_us)
                raise
            if outcome.subject is None and outcome.proof is None:
                return SignIn(why=outcome.why, locked=(*entry.locked, *outcome.locked))
            await self._turnstile.passed(name, credentials.source, now_us)
            return outcome
