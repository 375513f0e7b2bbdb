"""I/O: locks.  What is known of a provider: its discovery document and its keys, kept for a while and asked for anew.

Keys roll over: a token that is signed with an unknown one makes the gate ask again, but so seldom that nobody can
make it hammer the provider.  Two allowances, because logout tokens come from anybody and must not use up what sign-ins
need.  It must never go on with keys that are older than `LIFETIME_S`: a key that was withdrawn must be forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum

from penstock.identity.oidc.discovery import Provider, discovery_address, read_provider
from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.identity.oidc.http import Answer, Http
from penstock.identity.oidc.keys import KeySet, read_keys
from penstock.identity.oidc.tokens import Signed, verified
from penstock.model import Malformed, Unavailable

LIFETIME_S = 600.0
#: Before somebody is sent there, the provider must have answered this recently.
ALIVE_S = 3.0
AGAIN_AFTER_S = 10.0
#: After a failure everybody who waits is told so, instead of waiting for the next one in turn.
FAILED_FOR_S = 2.0
_OK = 200


class Channel(StrEnum):
    """How a token came: from the provider itself, or from anybody who sends one."""

    DIRECT = "direct"
    OPEN = "open"


class Known:
    """One provider, as far as it is known.  `steady_s` is a clock that nobody can set."""

    def __init__(self, issuer: str, http: Http, steady_s: Callable[[], float]) -> None:
        self._issuer, self._http, self._steady_s = issuer, http, steady_s
        self._provider: tuple[float, Provider] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._asked_again_s: dict[Channel, float] = {}
        self._failed: tuple[float, str] | None = None
        self._turn = asyncio.Lock()

    async def provider(self) -> Provider:
        """Addresses and abilities.  Raises `Unavailable`."""
        async with self._turn:
            return await self._current()

    async def alive(self) -> Provider:
        """The same, of a provider that answers now: nobody is sent into a browser's own page of trouble."""
        async with self._turn:
            return await self._current(ALIVE_S)

    async def verify(self, token: str, channel: Channel) -> Signed:
        """The token, its signature checked.  Raises `NotProved` and `Unavailable`."""
        async with self._turn:
            provider = await self._current()
            if self._keys is None or self._is_old(self._keys[0]):
                await self._ask_keys(provider)
            keys = self._known_keys()
            try:
                return verified(token, keys, provider.algorithms)
            except NotProved as refused:
                if refused.flaw is not Flaw.KEY_UNKNOWN or not self._may_ask_again(channel):
                    raise
            await self._ask_keys(provider)
            return verified(token, self._known_keys(), provider.algorithms)

    async def _current(self, lifetime_s: float = LIFETIME_S) -> Provider:
        if self._provider is None or self._is_old(self._provider[0], lifetime_s):
            body = await self._body(discovery_address(self._issuer))
            try:
                self._provider = (self._steady_s(), read_provider(body, self._issuer))
            except Malformed as error:
                raise Unavailable(f"the identity provider is not usable: {error}") from None
        return self._provider[1]

    async def _ask_keys(self, provider: Provider) -> None:
        try:
            self._keys = (self._steady_s(), read_keys(await self._body(provider.keys)))
        except Malformed as error:
            raise Unavailable(f"the identity provider is not usable: {error}") from None

    async def _body(self, address: str) -> bytes:
        if self._failed is not None and self._steady_s() - self._failed[0] < FAILED_FOR_S:
            raise Unavailable(self._failed[1])
        try:
            return _whole(await self._http.get(address))
        except Unavailable as error:
            self._failed = (self._steady_s(), str(error))
            raise

    def _known_keys(self) -> KeySet:
        assert self._keys is not None, "asked for just before"
        return self._keys[1]

    def _may_ask_again(self, channel: Channel) -> bool:
        now_s, before_s = self._steady_s(), self._asked_again_s.get(channel)
        if before_s is not None and now_s - before_s < AGAIN_AFTER_S:
            return False
        self._asked_again_s[channel] = now_s
        return True

    def _is_old(self, since_s: float, lifetime_s: float = LIFETIME_S) -> bool:
        return self._steady_s() - since_s >= lifetime_s


def _whole(answer: Answer) -> bytes:
    if answer.status != _OK:
        raise Unavailable(f"the identity provider answers {answer.status} where it should say who it is")
    return answer.body
