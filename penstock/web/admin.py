"""The administrator's API on a local socket (0600): who may open the socket is the administrator.

Every act is recorded with the Unix user id of whoever opened the connection (SO_PEERCRED).  `api.admin` is the same for
people who are signed in.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.types import ASGIApp

from penstock.control import Gate
from penstock.web.api.admin import admin_routes
from penstock.web.errors import ON_ERROR
from penstock.web.guard import Guard

#: Site documents of some 10,000 assets.
MAX_DOCUMENT_BYTES = 16 << 20


def admin_app(gate: Gate) -> ASGIApp:
    """The application behind the admin socket."""
    app = Starlette(routes=admin_routes(), exception_handlers=ON_ERROR)
    app.state.gate = gate
    return Guard(app, MAX_DOCUMENT_BYTES)
