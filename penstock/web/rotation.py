"""The portal's sign-in cookie gets a new value now and then, with whatever page is asked for next.

Plain ASGI, around the pages.  A copied cookie is thus worth little, and using one that was replaced ends its sign-in
(see `SignIns.renew_token`).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.control import Gate
from penstock.model import Unavailable
from penstock.web.pages.forms import SIGN_IN_COOKIE, set_cookie

#: What is asked for beside a page must not carry a cookie away from it.
_NOT_PAGES = ("/static/", "/api/")


class Rotation:
    """Renews the cookie of portal sign-ins."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        fresh = await self._fresh(scope) if scope["type"] == "http" else None
        if fresh is None:
            await self._app(scope, receive, send)
            return
        carrier = Response()
        set_cookie(carrier, SIGN_IN_COOKIE, fresh)
        cookie = next(value for name, value in carrier.raw_headers if name == b"set-cookie")

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                prefix = f"{SIGN_IN_COOKIE}=".encode()
                if not any(name == b"set-cookie" and value.startswith(prefix) for name, value in headers):
                    headers.append((b"set-cookie", cookie))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, marked)

    async def _fresh(self, scope: Scope) -> str | None:
        if scope["method"] != "GET" or scope["path"].startswith(_NOT_PAGES):
            return None
        token = Request(scope).cookies.get(SIGN_IN_COOKIE)
        if not token:
            return None
        try:
            return await self._gate.sign_ins.renew_token(token)
        except Unavailable:  # the old one goes on
            return None
