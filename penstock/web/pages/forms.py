"""Cookies and forms: who is signed in, and whether a form was really sent from our own page.

A form must carry a token that only our page could know (HMAC of the cookie) *and* come from our own origin.  The
cookies have the ``__Host-`` prefix: Secure, whole host, no sub-domain can set them (RFC 6265bis section 4.1.3.2).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.control import ActiveSignIn, SignInKind
from penstock.web.asking import gate_of

SIGN_IN_COOKIE = "__Host-penstock"
#: Before anybody is signed in, forms are tied to this one.
FORM_COOKIE = "__Host-penstock-form"
#: In the query of what a page asks for by itself: nobody needs to be there for that, so it keeps nobody signed in.
FOLLOWING = "again"
_MAX_FIELDS = 20
_TOKEN_BYTES = 32


def portal_sign_in(request: Request) -> ActiveSignIn | None:
    """Who is signed in at the portal in this browser."""
    token = request.cookies.get(SIGN_IN_COOKIE)
    if not token:
        return None
    is_awake = FOLLOWING not in request.query_params
    return gate_of(request).sign_ins.current(token, SignInKind.PORTAL, is_awake=is_awake)


def form_token(request: Request, cookie: str) -> str:
    """What a form must carry, for the cookie that its browser holds."""
    key: bytes = request.app.state.form_key
    return hmac.new(key, cookie.encode(), hashlib.sha256).hexdigest()


def cookie_of(request: Request) -> str | None:
    """What forms of this browser are tied to: the sign-in while there is one (its cookie changes), else a cookie."""
    sign_in = portal_sign_in(request)
    if sign_in is not None:
        return sign_in.token_hash
    return request.cookies.get(FORM_COOKIE)


def new_form_cookie() -> str:
    """A fresh value for a browser that has none."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def set_cookie(response: Response, name: str, value: str) -> None:
    """Set one of our cookies; it ends with the browser."""
    response.set_cookie(name, value, path="/", secure=True, httponly=True, samesite="strict")


def forget_cookie(response: Response, name: str) -> None:
    """Take one of our cookies back."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="strict")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form of ours.  Raises 403 for one that is not from our page, 400 for what is no form."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin != f"https://{host}":
        raise HTTPException(403)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(400)
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict"
        )
    except (UnicodeDecodeError, ValueError):
        raise HTTPException(400) from None
    fields, cookie = dict(pairs), cookie_of(request)
    given = fields.pop("form_token", "")
    if cookie is None or not hmac.compare_digest(form_token(request, cookie).encode(), given.encode()):
        raise HTTPException(403)
    return fields
