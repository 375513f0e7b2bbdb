"""The gate's own questions to a provider: codes for tokens, refreshes, pushed requests, userinfo.

Asks through `Http`; what the answers must look like stands here, what their tokens claim does not.  It must never put
an answer's words into an error: they may hold a token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.identity.oidc.asking import Pending
from penstock.identity.oidc.client import prove_client
from penstock.identity.oidc.discovery import Provider
from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.identity.oidc.http import Answer, Http
from penstock.identity.oidc.memory import MAX_SECRET
from penstock.identity.oidc.people import is_told, merged
from penstock.identity.oidc.tables import read_table, text_in
from penstock.identity.oidc.tokens import MAX_TOKEN
from penstock.model import Malformed, OidcPlan, Unavailable

_OK, _CREATED, _BAD, _UNAUTHORIZED, _SERVER_FAILED = 200, 201, 400, 401, 500
#: RFC 6749 section 5.2: what is said of a code or a refresh token that is not (any more) valid.
_GONE = "invalid_grant"
_WORD = re.compile(r"[a-z_]{1,64}\Z")
#: A provider that does not say how long an access token lasts means nothing by it; longer than a shift is not believed.
_USUAL_S, _MOST_S = 60, 12 * 3600


class Gone(Exception):
    """The provider says that there is nothing behind this code or token (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the token endpoint gave.  `lasts_s`: how long the access token does."""

    id_token: str
    access: str | None
    refresh: str | None
    lasts_s: int

    def __repr__(self) -> str:
        """Without the tokens."""
        return f"Tokens(lasts_s={self.lasts_s})"


class Exchange:
    """Asks one provider as its registered client."""

    def __init__(self, plan: OidcPlan, secret: str | None, http: Http, make_token: Callable[[], str]) -> None:
        self._plan, self._secret, self._http, self._make_token = plan, secret, http, make_token

    async def code(self, provider: Provider, code: str, pending: Pending, now_us: int) -> Tokens:
        """The tokens for a code (Core section 3.1.3).  Raises `NotProved` and `Unavailable`."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.redirect_uri,
            "code_verifier": pending.verifier,
        }
        try:
            tokens = await self._tokens(provider, form, now_us)
        except Gone:
            raise NotProved(Flaw.CODE) from None
        if not tokens.id_token:
            raise Unavailable("the identity provider gives no ID token; is 'openid' among its scopes?")
        return tokens

    async def refresh(self, provider: Provider, token: str, now_us: int) -> Tokens:
        """New tokens for a refresh token (Core section 12).  Raises `Gone` and `Unavailable`."""
        return await self._tokens(provider, {"grant_type": "refresh_token", "refresh_token": token}, now_us)

    async def push(self, provider: Provider, asked: dict[str, str], now_us: int) -> dict[str, str]:
        """Lay the request down at the provider, where no browser can change it (RFC 9126).  Raises `Unavailable`."""
        assert provider.pushed is not None, "asked for only where there is one"
        answer = await self._post(provider, provider.pushed, asked, now_us)
        if answer.status != _CREATED:
            raise Unavailable(f"the identity provider takes no pushed request: {_word(answer)}")
        try:
            named = text_in(read_table(answer.body), "request_uri")
        except Malformed as error:
            raise Unavailable(f"the identity provider's answer is not usable: {error}") from None
        if named is None:
            raise Unavailable("the identity provider does not name the pushed request")
        return {"client_id": self._plan.client_id, "request_uri": named}

    async def more(self, provider: Provider, claims: Mapping[str, object], access: str | None) -> Mapping[str, object]:
        """The claims, and what userinfo adds where name or groups are missing.  Raises as `userinfo`, and `NotProved`.

        A person without any group has no such claim at some providers, so that only the second look tells.
        """
        if is_told(self._plan, claims) or provider.userinfo is None or access is None:
            return claims
        try:
            return merged(claims, await self.userinfo(provider, access))
        except Gone:
            raise NotProved(Flaw.PROVIDER_REFUSED, "userinfo does not know its own access token") from None

    async def userinfo(self, provider: Provider, access: str) -> Mapping[str, object]:
        """What the provider says of whoever the access token is about (Core section 5.3).

        Raises `Gone` and `Unavailable`.
        """
        if provider.userinfo is None:
            raise Unavailable("the identity provider has no userinfo endpoint")
        answer = await self._http.get(provider.userinfo, access)
        if answer.status == _UNAUTHORIZED:
            raise Gone
        if answer.status != _OK:
            raise Unavailable(f"the identity provider's userinfo answers {answer.status}")
        try:
            return read_table(answer.body)
        except Malformed as error:
            raise Unavailable(f"the identity provider's userinfo is not usable: {error}") from None

    async def _tokens(self, provider: Provider, form: Mapping[str, str], now_us: int) -> Tokens:
        answer = await self._post(provider, provider.token, form, now_us)
        if answer.status == _BAD and _word(answer) == _GONE:
            raise Gone
        if answer.status != _OK:
            raise Unavailable(f"the identity provider gives this gate no tokens: {_word(answer)}")
        try:
            return _read(answer.body)
        except Malformed as error:
            raise Unavailable(f"the identity provider's tokens are not usable: {error}") from None

    async def _post(self, provider: Provider, address: str, form: Mapping[str, str], now_us: int) -> Answer:
        proof = prove_client(self._plan, self._secret, provider, self._make_token(), now_us)
        return await self._http.post(address, {**form, **proof.form}, proof.headers)


def _read(body: bytes) -> Tokens:
    table = read_table(body)
    access = text_in(table, "access_token", MAX_SECRET)
    if access is not None and (text_in(table, "token_type") or "").lower() != "bearer":
        raise Malformed("an access token that is no bearer token")
    lasts = table.get("expires_in")
    is_number = isinstance(lasts, int) and not isinstance(lasts, bool)
    return Tokens(
        id_token=text_in(table, "id_token", MAX_TOKEN) or "",
        access=access,
        refresh=text_in(table, "refresh_token", MAX_SECRET),
        lasts_s=max(0, min(int(lasts), _MOST_S)) if is_number and isinstance(lasts, int) else _USUAL_S,
    )


def _word(answer: Answer) -> str:
    """The error's own word (RFC 6749 section 5.2), or the status."""
    try:
        word = read_table(answer.body).get("error") if answer.status < _SERVER_FAILED else None
    except Malformed:
        word = None
    return word if isinstance(word, str) and _WORD.match(word) else f"status {answer.status}"
