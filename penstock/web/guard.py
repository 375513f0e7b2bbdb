"""What stands before every page and every answer: limits of size and time, and the security headers.

Plain ASGI, so that it holds for errors too.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.web.errors import as_json, failure_of

#: Forms and API requests are small; only a site document on the admin socket is not.
MAX_BODY_BYTES = 64 << 10
BODY_TIMEOUT_S = 15.0

#: No script, no frame, nothing from elsewhere.  `same-origin`: with no-referrer browsers send `Origin: null`, and the
#: check of the origin of forms would have nothing to check.
#: No Strict-Transport-Security: it would bind every other port of the same host name, also of other machines' services.
_CONTENT_POLICY = (
    b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
#: The same for a page that has one script of ours, which asks this gate something.
SCRIPT_POLICY = f"{_CONTENT_POLICY.decode()}; script-src 'self'; connect-src 'self'"
HEADERS = (
    (b"content-security-policy", _CONTENT_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), usb=(), serial=()"),
)
_NO_STORE = (b"cache-control", b"no-store")


class Guard:
    """Limits what comes in, and marks what goes out."""

    def __init__(self, app: ASGIApp, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._app, self._max_body_bytes = app, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._body(scope, receive)
        except HTTPException as error:
            await as_json(failure_of(error))(scope, receive, _marking(send))
            return
        await self._app(scope, _replay(body, receive), _marking(send))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._max_body_bytes:
            raise HTTPException(413)
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > self._max_body_bytes:
                        raise HTTPException(413)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise HTTPException(408) from None


def _replay(body: bytes, receive: Receive) -> Receive:
    parts: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return parts.pop() if parts else await receive()

    return again


def _marking(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in HEADERS if name not in present]
            if b"cache-control" not in present:
                headers.append(_NO_STORE)
            message = {**message, "headers": headers}
        await send(message)

    return marked
