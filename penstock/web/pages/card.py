"""The portal's side of signing in with a smart card: the way to the card's own site, and back from it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from penstock.control import NotSignedIn
from penstock.web.asking import gate_of
from penstock.web.pages.arriving import arrival_of, must_accept, welcome
from penstock.web.pages.forms import FORM_COOKIE, portal_sign_in
from penstock.web.pages.render import see
from penstock.web.pages.sign_in import refused


async def finish(request: Request) -> Response:
    """GET: take what the card proved in this browser, once, and begin the sign-in.

    Nobody else can have put it there: it is tied to this browser's cookie, and takes a card and its PIN.
    """
    if must_accept(request):
        return see("/notice")
    gate, before = gate_of(request), portal_sign_in(request)
    proof = gate.cards.take(request.cookies.get(FORM_COOKIE, ""))
    if proof is None:
        return refused(request, "", 0, "The card was not taken in time. Try again.")
    if before is not None and before.identity == proof.source:
        is_same = await gate.sign_ins.key_of(before.subject.name) == proof.key
        if is_same and await gate.sign_ins.prove_again(before, proof):
            return see("/")
    outcome = await gate.sign_ins.admit(proof, arrival_of(request))
    if isinstance(outcome, NotSignedIn):
        return refused(request, "", 0, "This card's holder cannot sign in here. The gate's evidence says why.")
    if before is not None:
        await gate.sign_ins.sign_out(before, "signed in again")
    return welcome(see("/"), outcome)
