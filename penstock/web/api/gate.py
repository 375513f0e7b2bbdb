"""``/api/gate``: which gate this is, for whoever meets it for the first time."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from penstock.web.asking import gate_of


async def show(request: Request) -> JSONResponse:
    """GET: the names, the tunnel's port and the authority.  Nothing here is secret."""
    gate = gate_of(request)
    banner = gate.identities.identity.banner
    notice = None if banner is None else {"title": banner.title, "text": banner.text, "sha256": banner.digest}
    return JSONResponse(
        {
            "gate": gate.name,
            "site": gate.site,
            "tunnel_port": gate.tunnel_port,
            "ca_pem": gate.trusted_pem,
            "notice": notice,
            "sources": [{"name": each.name, "title": each.title} for each in gate.identities.identity.sources],
        }
    )
