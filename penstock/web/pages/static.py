"""The few files that pages load, from memory: no path of a request ever reaches the file system."""

from __future__ import annotations

from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_FOLDER = files("penstock.web") / "static"
_KINDS = {
    "held.js": "text/javascript; charset=utf-8",
    "passkey.js": "text/javascript; charset=utf-8",
    "penstock.css": "text/css; charset=utf-8",
    "penstock.svg": "image/svg+xml",
}
_FILES = {name: (_FOLDER / name).read_bytes() for name in _KINDS}


async def show(request: Request) -> Response:
    """GET: style sheet, icon or script."""
    name = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    return Response(_FILES[name], headers={"content-type": _KINDS[name], "cache-control": "public, max-age=3600"})
