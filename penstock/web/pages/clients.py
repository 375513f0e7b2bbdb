"""Letting a command line in: the page on which somebody who is signed in confirms that it is theirs.

The answer goes to the program on this computer in an ordinary navigation of an answered form: the content policy lets
forms go to this gate only.  It must never send a browser anywhere else than to this computer's own loopback.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.control import ActiveSignIn, ClientWay, TooMany, Visitor, user_code_text
from penstock.model import Unavailable
from penstock.web.api.clients import has_device_way
from penstock.web.asking import gate_of, source_of
from penstock.web.errors import TooManyAttempts
from penstock.web.pages.coming_back import kept, sign_in_first
from penstock.web.pages.forms import form_of, portal_sign_in
from penstock.web.pages.render import page, see
from penstock.web.visitors import BrowserCall, call_of

#: A command line renews its proof by the portal's: the portal's must be of this very moment.
FRESH_US = 120 * 1_000_000
_WRONG_CODE = "No computer shows this code now. Codes last ten minutes and work once."


async def show(request: Request) -> Response:
    """GET: what asks, and what it would get."""
    call, sign_in = call_of(request.query_params), portal_sign_in(request)
    if sign_in is None:
        return sign_in_first(call)
    return _asking(request, call, sign_in)


async def confirm(request: Request) -> Response:
    """POST: let it in, and go back to it."""
    fields = await form_of(request)
    call, sign_in, gate = call_of(fields), portal_sign_in(request), gate_of(request)
    if sign_in is None:
        return sign_in_first(call)
    if call.is_again and not _is_fresh(request, sign_in):
        return _asking(request, call, sign_in)
    code = await gate.client_logins.confirm(sign_in, _visitor(request, call), call.challenge)
    if code is None:
        raise Unavailable("too many computers are being let in at this moment; try again in a minute")
    return _back(request, call, call.answered(code=code), is_let_in=True)


async def refuse(request: Request) -> Response:
    """POST: do not let it in, and tell it."""
    fields = await form_of(request)
    call, sign_in = call_of(fields), portal_sign_in(request)
    if sign_in is None:
        return sign_in_first(call)
    gate_of(request).client_logins.refuse(sign_in, _visitor(request, call))
    return _back(request, call, call.answered(error="access_denied"), is_let_in=False)


async def prove_first(request: Request) -> Response:
    """POST: prove again who one is at the portal, and come back to this call."""
    call = call_of(await form_of(request))
    return kept(see("/sign-in" if portal_sign_in(request) is None else "/prove"), call)


async def ask_code(request: Request) -> Response:
    """GET: ask for the code that another computer shows."""
    if _signed_in_for_device(request) is None:
        return sign_in_first(None)
    return page(request, "device.html", visitor=None, code="", trouble=(), done="")


async def show_device(request: Request) -> Response:
    """POST: which computer shows this code."""
    fields, sign_in = await form_of(request), _signed_in_for_device(request)
    if sign_in is None:
        return sign_in_first(None)
    return _device(request, fields, gate_of(request).client_logins.device(sign_in, fields.get("code", "")), "")


async def confirm_device(request: Request) -> Response:
    """POST: let that computer in."""
    fields, sign_in = await form_of(request), _signed_in_for_device(request)
    if sign_in is None:
        return sign_in_first(None)
    found = await gate_of(request).client_logins.confirm_device(sign_in, fields.get("code", ""))
    return _device(request, fields, found, "let in")


async def refuse_device(request: Request) -> Response:
    """POST: do not."""
    fields, sign_in = await form_of(request), _signed_in_for_device(request)
    if sign_in is None:
        return sign_in_first(None)
    found = gate_of(request).client_logins.refuse_device(sign_in, fields.get("code", ""))
    return _device(request, fields, found, "refused")


def _signed_in_for_device(request: Request) -> ActiveSignIn | None:
    if not has_device_way(gate_of(request)):
        raise HTTPException(404)
    return portal_sign_in(request)


def _device(request: Request, fields: dict[str, str], found: Visitor | TooMany | None, done: str) -> Response:
    if isinstance(found, TooMany):
        raise TooManyAttempts(found.retry_after_s)
    if found is None:
        return page(request, "device.html", status=422, visitor=None, code="", trouble=(_WRONG_CODE,), done="")
    code = user_code_text(fields["code"].replace("-", "").replace(" ", "").upper())
    return page(request, "device.html", visitor=found, code=code, trouble=(), done=done)


def _asking(request: Request, call: BrowserCall, sign_in: ActiveSignIn) -> Response:
    must_prove = call.is_again and not _is_fresh(request, sign_in)
    return page(request, "client.html", call=call, station=source_of(request), must_prove=must_prove)


def _is_fresh(request: Request, sign_in: ActiveSignIn) -> bool:
    return gate_of(request).clock().wall_us - sign_in.subject.proved_at_us <= FRESH_US


def _visitor(request: Request, call: BrowserCall) -> Visitor:
    return Visitor(way=ClientWay.BROWSER, host=call.host, source=source_of(request))


def _back(request: Request, call: BrowserCall, target: str, *, is_let_in: bool) -> Response:
    response = page(request, "client_done.html", call=call, target=target, is_let_in=is_let_in)
    response.headers["refresh"] = f"0; url={target}"
    return response
