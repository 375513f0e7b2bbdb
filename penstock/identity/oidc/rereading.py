"""I/O: locks.  Reading a membership again: refresh, compare, and say what the provider says of them now.

Some providers give a new refresh token with each use and take a second use of the old one for theft.  So a memory is
used by one question at a time, and whoever still holds an old one is led on to its successor.  It must never take
silence for a removal, nor a removal for silence.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from itertools import islice

from penstock.identity.oidc.claims import check_issuer, check_times, subject_of
from penstock.identity.oidc.discovery import Provider
from penstock.identity.oidc.exchange import Exchange, Gone, Tokens
from penstock.identity.oidc.flaws import NotProved
from penstock.identity.oidc.known import Channel, Known
from penstock.identity.oidc.memory import Remembered, remembered
from penstock.identity.oidc.people import groups_of, merged
from penstock.identity.source import Membership
from penstock.model import OidcPlan, Unavailable

#: How long an old memory leads on to its successor: a sign-in of the command line holds the one of the portal that let
#: it in, and each asks again in its own time.
LEADS_ON_S = 120.0
_ROUNDS = 4
MAX_SUCCESSORS = 10_000
_MAX_STEPS = 8
#: One comes with each reading, so that of those that are over two go is enough.
_FORGOTTEN_AT_ONCE = 2


class Rereading:
    """Asks one provider again about people who signed in there."""

    def __init__(self, plan: OidcPlan, known: Known, exchange: Exchange, steady_s: Callable[[], float]) -> None:
        self._plan, self._known, self._exchange, self._steady_s = plan, known, exchange, steady_s
        self._leads_on_s = max(LEADS_ON_S, float(_ROUNDS * plan.refresh_s))
        self._successors: dict[str, tuple[float, str]] = {}
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def membership(self, key: str, memory: str, now_us: int) -> Membership | None:
        """What the provider says now; ``None``: nobody there any more.  Raises `Unavailable`."""
        lock, waiting = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = (lock, waiting + 1)
        try:
            async with lock:
                return await self._read(key, self._newest(memory), now_us)
        finally:
            lock, waiting = self._turns[key]
            if waiting > 1:
                self._turns[key] = (lock, waiting - 1)
            else:
                del self._turns[key]

    async def _read(self, key: str, memory: str, now_us: int) -> Membership | None:
        provider, held = await self._known.provider(), remembered(memory)
        try:
            if held.refresh is not None:
                return await self._refreshed(provider, key, memory, held.refresh, now_us)
            if held.access is not None:
                told = await self._exchange.userinfo(provider, held.access)
                return self._about(key, told, memory)
        except Gone:
            return None
        except NotProved as refused:
            raise Unavailable(f"the identity provider's answer is not usable: {refused.flaw}") from None
        raise Unavailable("the identity provider gave nothing to ask it again with")

    async def _refreshed(
        self, provider: Provider, key: str, memory: str, refresh: str, now_us: int
    ) -> Membership | None:
        tokens = await self._exchange.refresh(provider, refresh, now_us)
        newer = Remembered(refresh=tokens.refresh or refresh).text
        if newer != memory:  # at once: whatever comes next may fail, but the old token is used up
            self._lead_on(memory, newer)
        claims = await self._claims(provider, tokens, now_us)
        return self._about(key, claims, newer)

    async def _claims(self, provider: Provider, tokens: Tokens, now_us: int) -> Mapping[str, object]:
        if tokens.id_token:
            signed = await self._known.verify(tokens.id_token, Channel.DIRECT)
            check_issuer(signed.claims, self._plan)
            check_times(signed.claims, self._plan, now_us)
            if self._plan.groups_claim in signed.claims or provider.userinfo is None or tokens.access is None:
                return signed.claims
            return merged(signed.claims, await self._exchange.userinfo(provider, tokens.access))
        if tokens.access is None:
            raise Unavailable("the identity provider refreshes nothing that says who it is")
        return await self._exchange.userinfo(provider, tokens.access)

    def _about(self, key: str, claims: Mapping[str, object], memory: str) -> Membership | None:
        """Somebody else under the same token is nobody that is meant."""
        if subject_of(claims) != key:
            return None
        return Membership(groups=groups_of(self._plan, claims), memory=memory)

    def _lead_on(self, memory: str, newer: str) -> None:
        """The oldest come first, so only what goes is looked at: thousands of people are read again each minute."""
        now_s, name = self._steady_s(), _name(memory)
        self._successors.pop(name, None)
        self._successors[name] = (now_s, newer)
        for oldest, (since_s, _) in tuple(islice(self._successors.items(), _FORGOTTEN_AT_ONCE)):
            if now_s - since_s >= self._leads_on_s or len(self._successors) > MAX_SUCCESSORS:
                del self._successors[oldest]

    def _newest(self, memory: str) -> str:
        for _ in range(_MAX_STEPS):
            found = self._successors.get(_name(memory))
            if found is None or self._steady_s() - found[0] >= self._leads_on_s:
                break
            memory = found[1]
        return memory


def _name(memory: str) -> str:
    """What a memory is found by: its hash, so that no old token is kept."""
    return hashlib.sha256(memory.encode(errors="replace")).hexdigest()
