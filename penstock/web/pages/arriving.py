"""Arriving at the portal: the notice, where a request comes from, and the cookies of a sign-in that has just begun.

Every way to sign in goes through `arrival_of` and `welcome`, so that none of them forgets the notice or keeps a cookie
from before.
"""

from __future__ import annotations

import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import Response

from penstock.control import Arrival, SignedIn, SignInKind
from penstock.model import Banner
from penstock.web.asking import gate_of, source_of
from penstock.web.pages.forms import FORM_COOKIE, SIGN_IN_COOKIE, forget_cookie, form_of, set_cookie
from penstock.web.pages.render import page, see

#: Lax, so that it is there when a browser comes back from an identity provider.  It says only that this browser showed
#: the notice and somebody accepted it.
NOTICE_COOKIE = "__Host-penstock-notice"


def arrival_of(request: Request) -> Arrival:
    """Somebody arrives at the portal with this request."""
    banner = gate_of(request).identities.identity.banner
    return Arrival(
        kind=SignInKind.PORTAL,
        source=source_of(request),
        agent=request.headers.get("user-agent", ""),
        notice=None if banner is None or not _has_accepted(request, banner) else banner.digest,
    )


def must_accept(request: Request) -> bool:
    """Whether this browser has yet to accept the site's notice."""
    banner = gate_of(request).identities.identity.banner
    return banner is not None and not _has_accepted(request, banner)


def welcome(response: Response, signed: SignedIn) -> Response:
    """The response with the cookie of this sign-in, and none that was there before."""
    set_cookie(response, SIGN_IN_COOKIE, signed.token)
    forget_cookie(response, FORM_COOKIE)
    response.delete_cookie(NOTICE_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


async def show(request: Request) -> Response:
    """GET: the notice."""
    banner = gate_of(request).identities.identity.banner
    return see("/sign-in") if banner is None else page(request, "notice.html", banner=banner)


async def accept(request: Request) -> Response:
    """POST: accepted; go on to the sign-in."""
    fields, banner = await form_of(request), gate_of(request).identities.identity.banner
    response = see("/sign-in")
    if banner is not None and hmac.compare_digest(fields.get("digest", "").encode(), banner.digest.encode()):
        value = _acceptance(request, banner)
        response.set_cookie(NOTICE_COOKIE, value, path="/", secure=True, httponly=True, samesite="lax")
    return response


def _has_accepted(request: Request, banner: Banner) -> bool:
    given = request.cookies.get(NOTICE_COOKIE, "")
    return hmac.compare_digest(given.encode(), _acceptance(request, banner).encode())


def _acceptance(request: Request, banner: Banner) -> str:
    key: bytes = request.app.state.form_key
    return hmac.new(key, f"notice:{banner.digest}".encode(), hashlib.sha256).hexdigest()
