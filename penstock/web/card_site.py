"""The card's own site, behind `card_door`: one page that proves the card and sends the browser back to the portal.

It has a port of its own and the portal's host name, so the browser brings the portal's cookies along (cookies know no
ports).  It begins no sign-in: what it proved waits for the portal, tied to the browser's form cookie.  A handshake is
good for one request: a connection that is kept open must not prove again what was drawn from the reader long ago.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.control import Gate
from penstock.identity import CardRefused
from penstock.model import PenstockError, Reason
from penstock.web.addresses import portal_address
from penstock.web.asking import gate_of, source_of
from penstock.web.guard import Guard
from penstock.web.pages import html_failure
from penstock.web.pages.forms import FORM_COOKIE
from penstock.web.pages.render import bare_page
from penstock.web.pages.static import show as show_static

#: Where `CardProtocol` puts the certificates of the connection.
STATE = "card"


def card_app(gate: Gate) -> ASGIApp:
    """The application behind the card's listeners."""
    app = Starlette(
        routes=[
            Route("/", _home, methods=["GET"]),
            Route("/card", prove, methods=["GET"]),
            Route("/static/{name}", show_static, methods=["GET"]),
        ],
        exception_handlers=dict.fromkeys((PenstockError, HTTPException, Exception), html_failure),
    )
    app.state.gate = gate
    return _once(Guard(app))


def _once(app: ASGIApp) -> ASGIApp:
    """Every answer ends its connection (RFC 9112 section 9.6)."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        async def ending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await app(scope, receive, ending)

    return answered


async def _home(request: Request) -> Response:
    return RedirectResponse(portal_address(request, "/"), status_code=303)


async def prove(request: Request) -> Response:
    """GET: prove the card of this connection; the portal goes on with the sign-in."""
    gate, cookie = gate_of(request), request.cookies.get(FORM_COOKIE)
    certificates: tuple[bytes, ...] = getattr(request.state, STATE, ())
    if not certificates:
        raise HTTPException(403)
    if not cookie:
        return RedirectResponse(portal_address(request, "/sign-in"), status_code=303)
    found = await gate.cards.proof_of(certificates, source_of(request))
    if isinstance(found, CardRefused):
        is_silent = found.reason in {Reason.REVOCATION_UNKNOWN, Reason.SOURCE_UNAVAILABLE}
        back = portal_address(request, "/sign-in")
        return bare_page(request, "card_refused.html", status=503 if is_silent else 403, is_silent=is_silent, back=back)
    gate.cards.hold(cookie, found)
    return RedirectResponse(portal_address(request, "/sign-in/card"), status_code=303)
