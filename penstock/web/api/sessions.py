"""``/api/sessions``: my live grants and what goes on under them; and why those ended that ended lately."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from penstock.control import Gate, LiveGrant
from penstock.model import Json
from penstock.web.api.grants import grant_row
from penstock.web.asking import client_sign_in, gate_of, moment_text
from penstock.web.held import left_s, sentence

_US_PER_S = 1_000_000


async def show(request: Request) -> JSONResponse:
    """GET: the subject's own, whichever of its sign-ins opened them."""
    sign_in, gate = client_sign_in(request), gate_of(request)
    ended = gate.grants.ended_lately(sign_in.subject.name)
    return JSONResponse(
        {
            "sessions": [_row(live, gate) for live in gate.grants_of(sign_in)],
            "ended": [{"grant": number, "reason": reason.value} for number, reason in ended.items()],
        }
    )


def _row(live: LiveGrant, gate: Gate) -> dict[str, Json]:
    tally = gate.sessions.tally(live.grant.number)
    return {
        **grant_row(live.grant, gate),
        "binding": live.grant.binding.value,
        "source": live.grant.source,
        "opened_at": moment_text(live.grant.opened_at_us),
        "session_at": moment_text(live.session_at_us),
        "flows": tally.flows,
        "operations_refused": tally.refused,
        "proof_left_s": _proof_left_s(live, gate),
        "held": [
            {"hold": held.name, "what": sentence(held), "left_s": left_s(gate, held)}
            for held in gate.holds.waiting
            if held.grant.number == live.grant.number
        ],
    }


def _proof_left_s(live: LiveGrant, gate: Gate) -> int | None:
    """How long until it ends because its proof is too old; ``None`` where no proof could move its end."""
    if live.ends_steady_us is None or live.limit_steady_us in {None, live.ends_steady_us}:
        return None
    return max(0, live.ends_steady_us - gate.clock().steady_us) // _US_PER_S
