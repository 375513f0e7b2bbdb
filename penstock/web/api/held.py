"""``/api/held``: operations that wait for a second person, and the decision about one.

Whoever has a role sees all of them, whoever asked sees their own.  For everybody else there are none.
"""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from penstock.control import ActiveSignIn, Held, HoldState, NotSeen, ProofNeeded, hold_key
from penstock.model import Json
from penstock.web.api.admin import record_missing
from penstock.web.asking import body_of, client_sign_in, gate_of
from penstock.web.errors import Failure, as_json
from penstock.web.held import held_row

_UNDECIDED = frozenset({HoldState.WAITING, HoldState.APPROVED, HoldState.DISAPPROVED})


class Decision(msgspec.Struct):
    """What the second person says about it."""

    why: str


async def show(request: Request) -> JSONResponse:
    """GET: what waits, what times out first in front; and what ended lately, the last in front."""
    sign_in, gate = client_sign_in(request), gate_of(request)
    seen = gate.second_person.seen_by(sign_in)
    waiting: list[Json] = [held_row(gate, held, sign_in) for held in seen if held.state in _UNDECIDED]
    ended: list[Json] = [held_row(gate, held, sign_in) for held in seen if held.state not in _UNDECIDED]
    for_you = len(gate.second_person.waiting_for(sign_in))
    return JSONResponse({"waiting": waiting, "ended": ended, "waits_for_you": for_you})


async def show_one(request: Request) -> JSONResponse:
    """GET: one, with every object and the exact bytes."""
    sign_in, gate = client_sign_in(request), gate_of(request)
    return JSONResponse(held_row(gate, seen_one(request, sign_in), sign_in, is_whole=True))


async def decide(request: Request) -> JSONResponse:
    """POST: ``approve`` or ``refuse``; 401 where the proof of this sign-in is too old to approve (RFC 9470)."""
    sign_in, gate = client_sign_in(request), gate_of(request)
    seen_one(request, sign_in)
    why = (await body_of(request, Decision)).why
    try:
        held = await decided(request, sign_in, why)
    except ProofNeeded as needed:
        challenge = f'Bearer error="insufficient_user_authentication", max_age="{gate.second_person.proved_within_s}"'
        return as_json(Failure(status=401, text=str(needed), headers=(("www-authenticate", challenge),)))
    return JSONResponse(held_row(gate, held, sign_in, is_whole=True))


def seen_one(request: Request, sign_in: ActiveSignIn) -> Held:
    """The hold that the path names.  Raises 404, recorded where somebody without a role wants to decide."""
    try:
        return gate_of(request).second_person.one(hold_key(request.path_params["hold"]), sign_in)
    except NotSeen:
        if request.method == "POST" and not gate_of(request).second_person.is_approver(sign_in):
            record_missing(request, sign_in, "the role approver")
        raise HTTPException(404) from None


async def decided(request: Request, sign_in: ActiveSignIn, why: str) -> Held:
    """Do what the path says.  Raises what `SecondPerson` does, and 404 for another verb."""
    second_person, key = gate_of(request).second_person, hold_key(request.path_params["hold"])
    try:
        match request.path_params["verb"]:
            case "approve":
                return await second_person.approve(key, sign_in, why)
            case "refuse":
                return await second_person.refuse(key, sign_in, why)
    except NotSeen:
        pass
    raise HTTPException(404)
