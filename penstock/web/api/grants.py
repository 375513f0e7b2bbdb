"""``/api/grants``: ask for a grant, give it back."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from penstock.control import Asking, Gate
from penstock.model import Binding, Decision, Grant, Json, Reason, Unavailable
from penstock.web.api.reach import misses_of
from penstock.web.asking import body_of, client_sign_in, end_text, gate_of, grant_number_of, source_of
from penstock.web.stepping_up import better_proof

#: Evidence comes before effect: no record, no grant.
_UNRECORDED = "the evidence cannot be written, so nothing is granted"


class Wish(msgspec.Struct):
    """What somebody wants to reach, and how its flows shall be tied to them."""

    asset: str
    service: str | None = None
    binding: Literal["certificate", "address"] = "certificate"


async def open_grant(request: Request) -> JSONResponse:
    """POST: 201 with the grant, 403 with what is missing, 503 when nothing can be granted now."""
    sign_in, gate = client_sign_in(request), gate_of(request)
    wish = await body_of(request, Wish)
    asking = Asking(
        sign_in=sign_in,
        asset=wish.asset,
        service=wish.service,
        binding=Binding(wish.binding),
        source=source_of(request),
    )
    outcome = await gate.grants.open(asking)
    if isinstance(outcome, Decision):
        check_recorded(outcome)
        body: dict[str, Json] = {
            "error": "not allowed",
            "reason": outcome.reason.value,
            "conduit": outcome.conduit,
            "misses": misses_of(outcome.misses),
            "problems": [],
        }
        better = better_proof(gate, sign_in, outcome)
        return JSONResponse(body, 403, None if better is None else {"www-authenticate": better.challenge})
    return JSONResponse(grant_row(outcome.grant, gate), status_code=201)


async def close(request: Request) -> Response:
    """DELETE: give a grant back.  Somebody else's is answered as one that does not exist."""
    sign_in, gate = client_sign_in(request), gate_of(request)
    number = grant_number_of(request)
    if number not in {live.grant.number for live in gate.grants_of(sign_in)}:
        raise HTTPException(404)
    await gate.grants.close(number, Reason.GRANT_REVOKED, sign_in.subject.name)
    return Response(status_code=204)


def check_recorded(decision: Decision) -> None:
    """A refusal because of the evidence is the gate's failure, not the subject's.  Raises `Unavailable`."""
    if decision.reason is Reason.EVIDENCE_UNAVAILABLE:
        raise Unavailable(_UNRECORDED)


def grant_row(grant: Grant, gate: Gate) -> dict[str, Json]:
    """A grant, as its owner needs it."""
    return {
        "grant": grant.number,
        "asset": grant.asset,
        "service": grant.service,
        "protocol": grant.protocol,
        "expires_at": end_text(grant.expires_at_us),
        "tunnel_port": gate.tunnel_port,
        "overlay": grant.overlay,
        "transport": grant.transport,
        "port": grant.port,
        "last_port": grant.last_port,
        "overlay_port": grant.reached_at,
    }
