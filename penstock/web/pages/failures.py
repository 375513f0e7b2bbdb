"""Failure modes: what becomes of the conduits that lead me somewhere when inspection fails, and what is so now.

Read-only, and only of conduits that name the subject: the rest of the register is the administrator's.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from penstock.control import ActiveSignIn, Gate, RegisterRow
from penstock.model import Binding
from penstock.web.asking import gate_of
from penstock.web.pages.forms import portal_sign_in
from penstock.web.pages.render import page, see


async def show(request: Request) -> Response:
    """GET: a card for each conduit."""
    sign_in, gate = portal_sign_in(request), gate_of(request)
    if sign_in is None:
        return see("/sign-in")
    mine = conduits_of(gate, sign_in)
    rows: list[RegisterRow] = [row for row in await gate.register.rows() if row.conduit.name in mine]
    return page(request, "failures.html", rows=rows, is_inspected=gate.workers.is_alive)


def conduits_of(gate: Gate, sign_in: ActiveSignIn) -> frozenset[str]:
    """The conduits that lead this subject somewhere, or would if what is missing were there."""
    names = set[str]()
    for way in gate.reach(sign_in, Binding.CERTIFICATE, sign_in.source):
        names.update(way.conduits, (way.decision.conduit,) if way.decision.conduit else ())
    return frozenset(names)
