"""Signing in at the portal, and out again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from penstock.control import NotSignedIn
from penstock.identity import Credentials
from penstock.model import Factor
from penstock.web.api.sign_ins import REFUSED
from penstock.web.asking import gate_of, source_of
from penstock.web.pages.arriving import arrival_of, must_accept, welcome
from penstock.web.pages.forms import SIGN_IN_COOKIE, forget_cookie, form_of, portal_sign_in
from penstock.web.pages.render import page, see

_WRONG = f"{REFUSED[0].upper()}{REFUSED[1:]}."


async def show(request: Request) -> Response:
    """GET: the form; whoever is signed in goes on to the assets."""
    if portal_sign_in(request) is not None:
        return see("/")
    if must_accept(request):
        return see("/notice")
    is_enrolled = "enrolled" in request.query_params
    return page(request, "sign_in.html", subject="", realm="", trouble="", is_enrolled=is_enrolled)


async def begin(request: Request) -> Response:
    """POST: check both factors; a right proof gets a new cookie, never one that was there before."""
    fields, gate = await form_of(request), gate_of(request)
    before = portal_sign_in(request)
    credentials = Credentials(
        subject=fields.get("subject", "").strip(),
        password=fields.get("password", ""),
        code=fields.get("code", ""),
        source=source_of(request),
        realm=fields.get("realm", ""),
    )
    if must_accept(request):
        return see("/notice")
    outcome = await gate.sign_ins.sign_in_from(credentials, arrival_of(request))
    if isinstance(outcome, NotSignedIn):
        return refused(request, credentials.subject, outcome.retry_after_s, _WRONG, credentials.realm)
    if before is not None:
        await gate.sign_ins.sign_out(before, "signed in again")
    if Factor.RECOVERY_CODE in outcome.sign_in.subject.factors:
        await gate.factors.recovered(outcome.sign_in.subject, credentials.source)
        return welcome(see("/me"), outcome)
    return welcome(see("/"), outcome)


async def end(request: Request) -> Response:
    """POST: sign out; every grant of this sign-in ends."""
    await form_of(request)
    sign_in = portal_sign_in(request)
    if sign_in is not None:
        await gate_of(request).sign_ins.sign_out(sign_in)
    response = see("/sign-in")
    forget_cookie(response, SIGN_IN_COOKIE)
    return response


def refused(request: Request, subject: str, retry_after_s: int, trouble: str, realm: str = "") -> Response:
    """The form again, with what went wrong."""
    form = {"subject": subject, "realm": realm, "is_enrolled": False}
    if not retry_after_s:
        return page(request, "sign_in.html", status=401, trouble=trouble, **form)
    trouble = f"Too many failed attempts. Try again in {retry_after_s} seconds."
    response = page(request, "sign_in.html", status=429, trouble=trouble, **form)
    response.headers["retry-after"] = str(retry_after_s)
    return response
