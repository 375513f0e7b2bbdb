"""An OpenID Connect provider as an identity source: sends people there, and judges what comes back.

Every check is a pure function of the modules around; this one asks the provider, through `Http`, and puts them in
order.  It must never keep a token (but the refresh token, which goes back sealed as the proof's memory), nor sign
anybody in while the provider is silent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.identity.oidc.answering import code_of
from penstock.identity.oidc.asking import Pending, address_with, parameters, word_for
from penstock.identity.oidc.claims import check_id_token, subject_of, text_of
from penstock.identity.oidc.exchange import Exchange, Tokens
from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.identity.oidc.grading import Grade, grade
from penstock.identity.oidc.http import Http
from penstock.identity.oidc.known import Channel, Known
from penstock.identity.oidc.logout import MAX_ID, read_logout
from penstock.identity.oidc.memory import Remembered
from penstock.identity.oidc.people import groups_of, name_of
from penstock.identity.oidc.rereading import Rereading
from penstock.identity.source import Membership, Proof
from penstock.model import FactorStrength, OidcPlan

#: Logout tokens that were taken and have not expired; each was signed by the provider.
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rim:
    """Everything that is not a value: HTTP, randomness, and a clock that nobody can set (seconds)."""

    http: Http
    make_token: Callable[[], str]
    steady_s: Callable[[], float]


class OidcSource:
    """One provider of the site document.  Does no I/O before the first question."""

    def __init__(self, plan: OidcPlan, secret: str | None, redirect_uri: str, rim: Rim) -> None:
        self.plan, self._redirect_uri, self._make_token = plan, redirect_uri, rim.make_token
        self._known = Known(plan.issuer, rim.http, rim.steady_s)
        self._exchange = Exchange(plan, secret, rim.http, rim.make_token)
        self._rereading = Rereading(plan, self._known, self._exchange, rim.steady_s)
        self._farewells: dict[str, int] = {}

    async def begin(
        self,
        want: FactorStrength,
        *,
        is_fresh: bool,
        now_us: int,
        subject_hint: str | None = None,
        redirect_uri: str | None = None,
    ) -> tuple[str, Pending]:
        """The address to send a browser to, and what to keep until it is back.

        `want` is the weakest strength that will do (``none``: whatever it is), `is_fresh`: only factors that are given
        from now on.  `redirect_uri` takes the place of the usual one.  Raises `Unavailable`.
        """
        provider = await self._known.alive()
        pending = Pending(
            source=self.plan.name,
            state=self._make_token(),
            nonce=self._make_token(),
            verifier=self._make_token(),
            redirect_uri=redirect_uri or self._redirect_uri,
            began_at_us=now_us,
            want=want,
            is_fresh=is_fresh,
        )
        asked = parameters(self.plan, provider, pending, subject_hint)
        if provider.pushed is not None:
            asked = await self._exchange.push(provider, asked, now_us)
        return address_with(provider.authorization, asked), pending

    def can_ask(self, want: FactorStrength) -> bool:
        """Whether the provider has a word for this strength, or a stronger one, so that asking for it makes sense."""
        return word_for(self.plan, want) is not None

    def words(self, want: FactorStrength) -> tuple[str, ...]:
        """The provider's words for strengths that would do (RFC 9470, ``acr_values``), the weakest first."""
        found = [(strength.rank, word) for strength, word in self.plan.acr_words if strength.rank >= want.rank]
        return tuple(word for _, word in sorted(found))

    async def finish(self, query: str, pending: Pending, now_us: int) -> Proof:
        """The proof in the answer `query` (as it stands in the address) to `pending`.

        Raises `NotProved` with what was wrong, and `Unavailable` when the provider is silent, slow or answers garbage.
        """
        provider = await self._known.provider()
        code = code_of(query, pending, provider)
        tokens = await self._exchange.code(provider, code, pending, now_us)
        signed = await self._known.verify(tokens.id_token, Channel.DIRECT)
        proved_at_us = check_id_token(signed, self.plan, pending, tokens.access, now_us)
        evidence = grade(self.plan, signed.claims)
        if evidence.strength.rank < pending.want.rank:
            raise NotProved(Flaw.FACTORS, f"wanted {pending.want}, got {evidence.strength} ({_words(evidence)})")
        claims = await self._exchange.more(provider, signed.claims, tokens.access)
        return Proof(
            source=self.plan.name,
            key=subject_of(signed.claims),
            name=name_of(self.plan, claims),
            proved_at_us=proved_at_us,
            groups=groups_of(self.plan, claims),
            factors=evidence.factors,
            graded=evidence.strength,
            memory=Remembered(refresh=tokens.refresh, access=tokens.access).text,
            session=text_of(signed.claims, "sid", MAX_ID),
            ends_at_us=_ends_at_us(tokens, now_us),
            detail={"acr": evidence.acr or "", "amr": " ".join(sorted(evidence.amr))},
        )

    async def membership(self, key: str, memory: str, now_us: int) -> Membership | None:
        """What the provider says of them now; ``None``: they are nobody there any more.  Raises `Unavailable`."""
        return await self._rereading.membership(key, memory, now_us)

    async def logout_token(self, text: str, now_us: int) -> tuple[str | None, str | None]:
        """Whom the provider signed out: their key, or the one session, or both.  Raises `NotProved`, `Unavailable`."""
        signed = await self._known.verify(text, Channel.OPEN)
        farewell = read_logout(signed, self.plan, now_us)
        self._farewells = {each: until for each, until in self._farewells.items() if until > now_us}
        if farewell.token_id in self._farewells or len(self._farewells) >= MAX_REMEMBERED:
            raise NotProved(Flaw.REPLAYED)
        self._farewells[farewell.token_id] = farewell.until_us
        return farewell.key, farewell.session


def _words(evidence: Grade) -> str:
    """For the evidence: printable and short, whatever the provider said."""
    text = f"acr {evidence.acr or 'none'}, amr {' '.join(sorted(evidence.amr)) or 'none'}"
    return "".join(sign if sign.isprintable() else "?" for sign in text[:200])


def _ends_at_us(tokens: Tokens, now_us: int) -> int | None:
    """Without a refresh token nobody can be asked again once the access token is over: the sign-in ends with it."""
    return None if tokens.refresh is not None else now_us + tokens.lasts_s * 1_000_000
