"""To an identity provider and back: three addresses, of which the browser sees two.

The portal's own cookies are SameSite=Strict: a navigation that comes back from a provider does not carry them.  So a
detour has a cookie of its own, Lax, worth nothing but that this browser began it; and the way back answers with a page
that goes on by itself, because only a navigation that begins here carries the cookie of the new sign-in.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from penstock.control import Departure, Returned, TooMany, Trouble
from penstock.model import FactorStrength, Invalid, Unavailable
from penstock.web.asking import gate_of, source_of
from penstock.web.errors import TooManyAttempts
from penstock.web.pages.arriving import arrival_of, must_accept, welcome
from penstock.web.pages.forms import portal_sign_in
from penstock.web.pages.oidc_words import WORDS
from penstock.web.pages.render import page, see

FLOW_COOKIE = "__Host-penstock-flow"
#: Where somebody may be sent on to.  A closed set: an address in a link is not to be trusted.
NEXT = frozenset({"/", "/sign-ins", "/failures", "/device", "/me"})
WANTED = {each.value: each for each in (FactorStrength.TWO, FactorStrength.PHISHING_RESISTANT)}
_MAX_COOKIE, _MAX_FIELDS = 128, 8
_SEE_OTHER, _OK = 303, 200


async def begin(request: Request) -> Response:
    """GET: to the provider.  `want` and `again` are for whoever is signed in with it already (RFC 9470)."""
    name, gate, sign_in = request.path_params["source"], gate_of(request), portal_sign_in(request)
    want = WANTED.get(request.query_params.get("want", ""), FactorStrength.NONE)
    is_again = want is not FactorStrength.NONE or "again" in request.query_params
    next_path = request.query_params.get("next", "/")
    next_path = next_path if next_path in NEXT else "/"
    if sign_in is not None and not is_again:
        return see(next_path)
    if sign_in is None and must_accept(request):
        return see("/notice")
    browser = _browser_of(request)
    departure = Departure(
        source=name,
        address=source_of(request),
        browser=browser,
        want=want,
        is_fresh="again" in request.query_params,
        renews=sign_in if sign_in is not None and sign_in.identity == name else None,
        before=sign_in,
        next_path=next_path,
        redirect_uri=_redirect_uri(request, name),
    )
    try:
        address = await gate.detours.begin(departure)
    except Unavailable:
        return _trouble(request, name, Trouble.SILENT)
    if address is None:
        raise HTTPException(404)
    if isinstance(address, TooMany):
        raise TooManyAttempts(address.retry_after_s)
    return _sent(address, browser)


async def callback(request: Request) -> Response:
    """GET: back from the provider."""
    name, gate = request.path_params["source"], gate_of(request)
    browser = request.cookies.get(FLOW_COOKIE, "")[:_MAX_COOKIE]
    outcome = await gate.detours.come_back(name, request.url.query, browser, arrival_of(request))
    if outcome is None:
        raise HTTPException(404)
    if isinstance(outcome, TooMany):
        raise TooManyAttempts(outcome.retry_after_s)
    response = _back(request, outcome) if isinstance(outcome, Returned) else _trouble(request, name, outcome)
    if not gate.detours.knows(browser):
        response.delete_cookie(FLOW_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


async def back_channel_logout(request: Request) -> Response:
    """POST, by the provider: somebody signed out there (Back-Channel Logout 1.0, sections 2.5 and 2.8)."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return _logout_refused("a form is expected")
    try:
        pairs = parse_qsl((await request.body()).decode(), max_num_fields=_MAX_FIELDS, errors="strict")
    except (UnicodeDecodeError, ValueError):
        return _logout_refused("the form cannot be read")
    tokens = [value for key, value in pairs if key == "logout_token"]
    if len(tokens) != 1:
        return _logout_refused("one logout_token is expected")
    try:
        ended = await gate_of(request).detours.farewell(request.path_params["source"], tokens[0], source_of(request))
    except Invalid:
        return _logout_refused("it is not valid")
    except Unavailable as error:
        return JSONResponse({"error": "temporarily_unavailable", "error_description": str(error)}, status_code=503)
    if isinstance(ended, TooMany):
        raise TooManyAttempts(ended.retry_after_s)
    return Response(status_code=_OK)


def _logout_refused(why: str) -> JSONResponse:
    return JSONResponse({"error": "invalid_request", "error_description": why}, status_code=400)


def _browser_of(request: Request) -> str:
    """The secret of this browser while it has a detour pending, else a new one."""
    detours, present = gate_of(request).detours, request.cookies.get(FLOW_COOKIE, "")
    return present if 0 < len(present) <= _MAX_COOKIE and detours.knows(present) else detours.new_browser()


def _redirect_uri(request: Request, name: str) -> str | None:
    """Back to the name under which this browser sees the gate: its cookies belong to that name alone."""
    host = request.headers.get("host", "")
    try:
        is_ours = urlsplit(f"//{host}").hostname in gate_of(request).settings.names
    except ValueError:
        is_ours = False
    return f"https://{host}/sign-in/oidc/{name}/callback" if is_ours else None


def _sent(address: str, browser: str) -> Response:
    response = RedirectResponse(address, status_code=_SEE_OTHER)
    response.set_cookie(FLOW_COOKIE, browser, path="/", secure=True, httponly=True, samesite="lax", max_age=600)
    return response


def _back(request: Request, returned: Returned) -> Response:
    response: Response = page(request, "oidc_back.html", next_path=returned.next_path)
    response.headers["refresh"] = f"0; url={returned.next_path}"
    return response if returned.signed is None else welcome(response, returned.signed)


def _trouble(request: Request, name: str, trouble: Trouble) -> Response:
    gate = gate_of(request)
    plan = gate.identities.plan(name)
    words = WORDS[trouble].about(name if plan is None else plan.title)
    others = [each for each in gate.identities.identity.oidc if each.name != name]
    return page(request, "oidc_trouble.html", status=words.status, words=words, source=name, others=others)
