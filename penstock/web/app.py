"""The portal as one ASGI application: the JSON API under ``/api``, pages everywhere else.

Assembly only.  It must never answer an API request with a page, nor a page request with JSON.
"""

from __future__ import annotations

import secrets

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp

from penstock.control import Gate
from penstock.model import PenstockError
from penstock.web import api, pages
from penstock.web.errors import json_error
from penstock.web.guard import Guard
from penstock.web.rotation import Rotation

_FORM_KEY_BYTES = 32


def portal_app(gate: Gate) -> ASGIApp:
    """The application behind the portal's listeners.  The key of its forms lives as long as the process."""
    app = Starlette(
        routes=[Mount("/api", routes=api.routes), *pages.routes],
        exception_handlers=dict.fromkeys((PenstockError, HTTPException, Exception), _answer),
    )
    app.state.gate = gate
    app.state.form_key = secrets.token_bytes(_FORM_KEY_BYTES)
    return Guard(Rotation(app, gate))


async def _answer(request: Request, error: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return await json_error(request, error)
    return await pages.html_error(request, error)
