"""Proving again who one is, without signing in anew: for conduits that ask for it, and for changes of factors."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from penstock.control import ActiveSignIn
from penstock.model import LOCAL, CardPlan, FactorStrength, OidcPlan
from penstock.web.asking import gate_of, source_of
from penstock.web.pages.forms import form_of, portal_sign_in
from penstock.web.pages.render import page, see

#: Where one goes on to: nowhere else, whatever an address says.
_WAYS = {"me": "/me", "home": "/", "sign-ins": "/sign-ins"}
_HELD = re.compile(r"held-([0-9]{1,20}\.[0-9]{1,20})")
_REASONS = {"me": "Factors are changed with a proof of the last five minutes."}
_TO_HELD = "An operation is approved with a proof of the last quarter of an hour."
_REFUSED = "That is not right, or it is worth less than what you proved before."


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Another source that is asked to prove it, and the way there."""

    title: str
    path: str


def path_of(to: str) -> str:
    """The page of that name, ``held-1042.1`` of that operation; any other name leads home."""
    held = _HELD.fullmatch(to)
    return f"/held/{held[1]}" if held else _WAYS.get(to, "/")


async def show(request: Request) -> Response:
    """GET: what there is to prove it with."""
    signed = portal_sign_in(request)
    return see("/sign-in") if signed is None else await ask(request, signed, request.query_params.get("to", ""))


async def check(request: Request) -> Response:
    """POST: password and code."""
    fields, gate, signed = await form_of(request), gate_of(request), portal_sign_in(request)
    if signed is None:
        return see("/sign-in")
    to = fields.get("to", "")
    outcome = await gate.factors.prove(signed, fields.get("password", ""), fields.get("code", ""), source_of(request))
    if outcome.retry_after_s:
        words = f"Too many failed attempts. Try again in {outcome.retry_after_s} seconds."
        response = await ask(request, signed, to, words, status=429)
        response.headers["retry-after"] = str(outcome.retry_after_s)
        return response
    return see(path_of(to)) if outcome.is_proved else await ask(request, signed, to, _REFUSED)


async def ask(
    request: Request, signed: ActiveSignIn, to: str, trouble: str = "", *, status: int | None = None
) -> Response:
    """The page, with what went wrong."""
    gate = gate_of(request)
    party, strength = gate.passkeys.party(request.headers.get("host", "")), signed.subject.strength
    plan, is_local = gate.identities.plan(signed.identity), signed.identity == LOCAL
    is_enough = not is_local or strength.rank <= FactorStrength.TWO.rank
    return page(
        request,
        "prove.html",
        status=status or (401 if trouble else 200),
        trouble=trouble,
        to=to if to in _WAYS or _HELD.fullmatch(to) else "home",
        reason=_TO_HELD
        if _HELD.fullmatch(to)
        else _REASONS.get(to, "A new proof counts from now on, and a stronger one opens what asks for it."),
        has_passkey=bool(await gate.passkeys.usable(signed.subject.name, party)),
        takes_password=is_enough and plan in gate.identities.of_passwords(),
        needs_code=is_local,
        takes_card=isinstance(plan, CardPlan),
        provider=Provider(title=plan.title, path=f"/sign-in/oidc/{plan.name}?again")
        if isinstance(plan, OidcPlan)
        else None,
    )
