"""My sign-ins: where I am signed in, and ending any of them."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.control import ActiveSignIn, SignInKind
from penstock.web.asking import gate_of, sign_in_id
from penstock.web.pages.forms import SIGN_IN_COOKIE, forget_cookie, form_of, portal_sign_in
from penstock.web.pages.render import page, see

_KINDS = {
    SignInKind.PORTAL: "portal",
    SignInKind.CLIENT: "command line",
    SignInKind.LEFT: "portal, left alone; its sessions go on",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sign-in of mine."""

    id: str
    sign_in: ActiveSignIn
    kind: str
    is_this: bool
    seen_ago_us: int
    sessions: int


async def show(request: Request) -> Response:
    """GET: all of them."""
    mine = portal_sign_in(request)
    if mine is None:
        return see("/sign-in")
    gate = gate_of(request)
    grants = [live.sign_in for live in gate.grants_of(mine)]
    rows = [
        Row(
            id=sign_in_id(each),
            sign_in=each,
            kind=_KINDS[each.kind],
            is_this=each.token_hash == mine.token_hash,
            seen_ago_us=gate.sign_ins.seen_ago_s(each) * 1_000_000,
            sessions=grants.count(each.token_hash),
        )
        for each in gate.sign_ins.of_subject(mine.subject.name)
    ]
    return page(request, "my_sign_ins.html", rows=rows, limits=gate.identities.identity.limits)


async def end(request: Request) -> Response:
    """POST: end one of mine, or all but this one.  Somebody else's is answered as one that does not exist."""
    await form_of(request)
    mine, wanted = portal_sign_in(request), request.path_params["id"]
    if mine is None:
        return see("/sign-in")
    sign_ins = gate_of(request).sign_ins
    every = sign_ins.of_subject(mine.subject.name)
    chosen = [each for each in every if wanted == sign_in_id(each)]
    if wanted == "others":
        chosen = [each for each in every if each.token_hash != mine.token_hash]
    elif not chosen:
        raise HTTPException(404)
    for sign_in in chosen:
        await sign_ins.sign_out(sign_in, "ended by its owner")
    if mine not in chosen:
        return see("/sign-ins")
    response = see("/sign-in")
    forget_cookie(response, SIGN_IN_COOKIE)
    return response
