"""Break-glass at the portal: ask for an account to be opened, approve what another asked, open the envelopes.

Anybody who is signed in may ask; who may approve is the same as in `api.admin`.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.control import ActiveSignIn, NotYet
from penstock.model import Approval, Invalid, Unauthenticated
from penstock.web.api.admin import missing_for, record_missing
from penstock.web.asking import gate_of, source_of
from penstock.web.pages.forms import form_of, portal_sign_in
from penstock.web.pages.render import page, see
from penstock.web.people import decide_break_glass

_DECIDE = ("POST", "/admin/break-glass/{number}/{verb}")


async def show(request: Request) -> Response:
    """GET: what is open, what waits, and the form to ask."""
    sign_in = portal_sign_in(request)
    return see("/sign-in") if sign_in is None else await _page(request, sign_in)


async def ask(request: Request) -> Response:
    """POST: ask for an account to be opened."""
    fields, sign_in = await form_of(request), portal_sign_in(request)
    if sign_in is None:
        return see("/sign-in")
    try:
        await gate_of(request).break_glass.ask(
            fields.get("subject", ""), fields.get("reason", ""), sign_in.subject.name
        )
    except Invalid as invalid:
        return await _page(request, sign_in, tuple(f"{problem.why}." for problem in invalid.problems))
    return see("/break-glass")


async def decide(request: Request) -> Response:
    """POST: approve, refuse or close.  Whoever may not is answered as for a request that does not exist."""
    await form_of(request)
    sign_in, gate = portal_sign_in(request), gate_of(request)
    if sign_in is None:
        return see("/sign-in")
    missing = missing_for(gate, sign_in, _DECIDE)
    if missing:
        record_missing(request, sign_in, missing)
        raise HTTPException(404)
    try:
        await decide_break_glass(request, sign_in.subject.name)
    except Invalid as invalid:
        return await _page(request, sign_in, tuple(f"{problem.why}." for problem in invalid.problems))
    return see("/break-glass")


async def show_envelopes(request: Request) -> Response:
    """GET: the form for both halves, where the site opens accounts so."""
    _require_sealed(request)
    return page(request, "envelopes.html", trouble=(), opened=None, fields={})


async def open_envelopes(request: Request) -> Response:
    """POST: open an account with both halves of its code and a reason; nobody has to be signed in."""
    fields, gate = await form_of(request), gate_of(request)
    _require_sealed(request)
    halves = fields.get("first", ""), fields.get("second", "")
    shown = {"subject": fields.get("subject", ""), "reason": fields.get("reason", "")}
    try:
        glass = await gate.break_glass.unseal(shown["subject"].strip(), halves, shown["reason"], source_of(request))
    except Invalid as invalid:
        trouble = tuple(f"{problem.why[:1].upper()}{problem.why[1:]}." for problem in invalid.problems)
        return page(request, "envelopes.html", status=422, trouble=trouble, opened=None, fields=shown)
    except NotYet as error:
        trouble = (
            f"{str(error)[:1].upper()}{str(error)[1:]}. The halves were not looked at, and are worth what they were.",
        )
        response = page(request, "envelopes.html", status=429, trouble=trouble, opened=None, fields=shown)
        response.headers["retry-after"] = str(error.retry_after_s)
        return response
    except Unauthenticated as error:
        trouble = (f"{str(error)[:1].upper()}{str(error)[1:]}.",)
        return page(request, "envelopes.html", status=401, trouble=trouble, opened=None, fields=shown)
    return page(request, "envelopes.html", trouble=(), opened=glass, fields=shown)


def _require_sealed(request: Request) -> None:
    if gate_of(request).identities.identity.local.break_glass is not Approval.SEALED:
        raise HTTPException(404)


async def _page(request: Request, sign_in: ActiveSignIn, trouble: tuple[str, ...] = ()) -> Response:
    gate = gate_of(request)
    return page(
        request,
        "break_glass.html",
        status=422 if trouble else 200,
        trouble=trouble,
        accounts=await gate.break_glass.accounts(),
        open=gate.break_glass.open,
        asked=gate.break_glass.asked,
        may_decide=not missing_for(gate, sign_in, _DECIDE),
    )
