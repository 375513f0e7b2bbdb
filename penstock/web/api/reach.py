"""``/api/reach``: what may I reach, and why not the rest."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from penstock.model import Binding, Json, Miss
from penstock.policy import Reach
from penstock.web.asking import client_sign_in, gate_of, source_of


async def show(request: Request) -> JSONResponse:
    """GET: every service that some conduit leads this subject to; nothing of the rest of the inventory."""
    sign_in = client_sign_in(request)
    gate = gate_of(request)
    ways = gate.reach(sign_in, Binding.CERTIFICATE, source_of(request))
    return JSONResponse(
        {
            "reach": [_row(way) for way in ways],
            "gateway": gate.settings.place.address if gate.settings.has_kernel else "",
            "not_enforced": [*gate.settings.not_enforced],
        }
    )


def _row(way: Reach) -> dict[str, Json]:
    return {
        "asset": way.asset.name,
        "service": way.service.name,
        "protocol": way.service.protocol,
        "zone": way.asset.zone,
        "transport": way.service.transport,
        "port": way.service.port,
        "last_port": way.service.last_port,
        "overlay_port": way.service.reached_at,
        "at": way.service.at,
        "overlay_at": way.service.overlay_at,
        "overlay": way.asset.overlay,
        "is_allowed": way.decision.is_allowed,
        "conduit": way.decision.conduit,
        "allows": list(way.summary),
        "misses": misses_of(way.decision.misses),
    }


def misses_of(misses: tuple[Miss, ...]) -> list[Json]:
    """The criteria that failed, as JSON."""
    return [
        {"criterion": miss.criterion, "wanted": miss.wanted, "found": miss.found, "remedy": miss.remedy}
        for miss in misses
    ]
