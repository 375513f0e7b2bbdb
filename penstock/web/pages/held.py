"""Held operations at the portal: what waits for a second person, one of them with its bytes, and the decision.

The pages follow by themselves what happens, with our one script or, where none runs, by asking again; that keeps nobody
signed in.  They must never show one operation and decide about another: the decision names flow and hold.
"""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.control import ActiveSignIn, Held, HoldState, ProofNeeded, is_own
from penstock.model import Invalid, Unavailable
from penstock.web.api.held import decided, seen_one
from penstock.web.asking import gate_of
from penstock.web.guard import SCRIPT_POLICY
from penstock.web.held import (
    OUTCOMES,
    allowances,
    hex_lines,
    left_s,
    object_rows,
    place_of,
    seconds_text,
    sentence,
)
from penstock.web.pages.forms import form_of, portal_sign_in
from penstock.web.pages.render import page, see

MAX_ENDED_SHOWN = 20
_DONE = frozenset({HoldState.FORWARDED, HoldState.REFUSED})
#: The page that follows by itself asks this gate, and where no script runs a frame of it does.
_POLICY = f"{SCRIPT_POLICY}; frame-src 'self'"
#: The frame shows nothing to press; only our own page may hold it.
_FRAME_POLICY = "default-src 'none'; style-src 'self'; form-action 'none'; frame-ancestors 'self'; base-uri 'none'"


async def show(request: Request) -> Response:
    """GET: everything that waits, what times out first in front, and what ended lately."""
    sign_in, gate = portal_sign_in(request), gate_of(request)
    if sign_in is None:
        return see("/sign-in")
    seen = gate.second_person.seen_by(sign_in)
    response = page(
        request,
        "held.html",
        waiting=[_line(request, sign_in, held) for held in seen if held.end is None],
        ended=[_line(request, sign_in, held) for held in seen if held.end is not None][:MAX_ENDED_SHOWN],
        for_you=len(gate.second_person.waiting_for(sign_in)),
    )
    response.headers["content-security-policy"] = _POLICY
    return response


async def show_one(request: Request) -> Response:
    """GET: one operation, as somebody must see it to judge it."""
    sign_in = portal_sign_in(request)
    return see("/sign-in") if sign_in is None else _one(request, sign_in, seen_one(request, sign_in))


async def show_state(request: Request) -> Response:
    """GET: how it stands, by itself: what the page of the operation shows of it, again and again."""
    sign_in = portal_sign_in(request)
    if sign_in is None:
        raise HTTPException(404)
    held = seen_one(request, sign_in)
    response = page(request, "held_state.html", **_line(request, sign_in, held))
    response.headers["content-security-policy"] = _FRAME_POLICY
    response.headers["x-frame-options"] = "SAMEORIGIN"
    return response


async def decide(request: Request) -> Response:
    """POST: ``approve`` or ``refuse``, with a reason.  Whoever may not see it is answered as where there is nothing."""
    fields, sign_in = await form_of(request), portal_sign_in(request)
    if sign_in is None:
        return see("/sign-in")
    held, why = seen_one(request, sign_in), fields.get("why", "")
    try:
        await decided(request, sign_in, why)
    except ProofNeeded:
        return see(f"/prove?to=held-{held.name}")
    except Invalid as invalid:
        trouble = tuple(f"{problem.why[:1].upper()}{problem.why[1:]}." for problem in invalid.problems)
        return _one(request, sign_in, seen_one(request, sign_in), trouble, why=why, status=422)
    except Unavailable as error:
        text = str(error)
        trouble = (f"{text[:1].upper()}{text[1:]}.",)
        return _one(request, sign_in, seen_one(request, sign_in), trouble, why=why, status=503)
    return see(f"/held/{held.name}")


def _one(
    request: Request,
    sign_in: ActiveSignIn,
    held: Held,
    trouble: tuple[str, ...] = (),
    *,
    why: str = "",
    status: int = 200,
) -> Response:
    gate = gate_of(request)
    rows, more = object_rows(held)
    others = [other for other in gate.second_person.waiting_for(sign_in) if other.key != held.key]
    response = page(
        request,
        "held_one.html",
        status=status,
        trouble=trouble,
        why=why,
        rows=rows,
        more=more,
        allows=allowances(gate, held),
        lines=hex_lines(held.told.data),
        others=others,
        place=place_of(gate, held),
        is_fresh=gate.second_person.is_fresh(sign_in),
        **_line(request, sign_in, held),
    )
    response.headers["content-security-policy"] = _POLICY
    return response


def _line(request: Request, sign_in: ActiveSignIn, held: Held) -> dict[str, Any]:
    """What every view of a hold shows."""
    gate = gate_of(request)
    seconds = left_s(gate, held)
    return {
        "held": held,
        "what": sentence(held),
        "left_s": seconds,
        "left": seconds_text(seconds),
        "whole_s": max(1, -(-(held.told.until_us - held.told.at_us) // 1_000_000)),
        "obstacle": gate.second_person.obstacle(sign_in, held),
        "is_own": is_own(sign_in, held),
        "outcome": "" if held.end is None else OUTCOMES[held.end.ending],
        "is_good": held.state in _DONE,
    }
