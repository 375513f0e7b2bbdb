"""Where a browser goes on after signing in: to what a command line asked for, whichever source it signs in with.

The way is kept in a cookie of this browser alone, and can only be one of two pages: it sends nobody elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse

from penstock.model import Invalid
from penstock.web.pages.forms import forget_cookie, set_cookie
from penstock.web.pages.render import see
from penstock.web.visitors import BrowserCall, call_of

COOKIE = "__Host-penstock-next"
DEVICE = "device"
_MAX_COOKIE, _MAX_FIELDS = 1200, 8


def sign_in_first(call: BrowserCall | None) -> RedirectResponse:
    """To the sign-in page, and later back to this call; ``None``: back to the page for codes."""
    return kept(see("/sign-in"), call)


def kept(response: RedirectResponse, call: BrowserCall | None) -> RedirectResponse:
    """This answer, after which the browser comes back to the call as soon as it is at the first page again."""
    text = DEVICE if call is None else call.query
    set_cookie(response, COOKIE, base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))
    return response


def way_on(request: Request) -> RedirectResponse | None:
    """Where this browser wanted to go before it was asked to sign in, once."""
    path = _path_of(request.cookies.get(COOKIE, ""))
    if path is None:
        return None
    response = see(path)
    forget_cookie(response, COOKIE)
    return response


def _path_of(text: str) -> str | None:
    if not text or len(text) > _MAX_COOKIE:
        return None
    try:
        text = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        if text == DEVICE:
            return "/device"
        return f"/client?{call_of(dict(parse_qsl(text, max_num_fields=_MAX_FIELDS))).query}"
    except (binascii.Error, UnicodeDecodeError, ValueError, Invalid):
        return None
