"""Emergencies on the administrator's socket: isolate an asset, a zone or the site, release it, list what is isolated.

Every answer says plainly what goes on, and what is not done yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from penstock.control import IsolatedKind, Isolation
from penstock.model import Grant, Invalid, Json, Problem
from penstock.web.asking import actor_of, body_of, gate_of, moment_text


class NewIsolation(msgspec.Struct):
    """What to isolate, and why.  Without a name the site is the one that the gate stands in."""

    kind: Literal["asset", "zone", "site"]
    reason: str
    name: str = ""
    even_safety_critical: bool = False


async def isolate(request: Request) -> JSONResponse:
    """POST: cut before the answer; 201, or 200 where it was isolated already."""
    asked = await body_of(request, NewIsolation)
    done = await gate_of(request).emergencies.isolate(
        IsolatedKind(asked.kind),
        asked.name,
        asked.reason,
        actor_of(request),
        even_safety_critical=asked.even_safety_critical,
    )
    body = _row(done.isolation, done.goes_on) | {"grants_closed": done.closed, "not_yet": [*done.not_yet]}
    return JSONResponse(body, status_code=201 if done.is_new else 200)


async def release(request: Request) -> JSONResponse:
    """DELETE: machines reach it again, people may ask again."""
    word, name = request.path_params["kind"], request.path_params.get("name", "")
    if word not in set(IsolatedKind):
        raise Invalid(Problem(where="kind", why=f"{word!r} cannot be isolated", hint="asset, zone or site"))
    done = await gate_of(request).emergencies.release(IsolatedKind(word), name, actor_of(request))
    body: dict[str, Json] = {
        "kind": done.isolation.kind.value,
        "name": done.isolation.name,
        "reopened": done.reopened,
        "not_yet": [*done.not_yet],
    }
    return JSONResponse(body)


async def show(request: Request) -> JSONResponse:
    """GET: everything that is isolated, the oldest first, and what is not done yet."""
    gate = gate_of(request)
    rows: list[Json] = [_row(isolation, goes_on) for isolation, goes_on in gate.emergencies.shown()]
    not_yet: list[Json] = [*gate.emergencies.not_yet]
    return JSONResponse({"isolated": rows, "not_cut_yet": len(gate.grants.uncut), "not_yet": not_yet})


def _row(isolation: Isolation, goes_on: Iterable[Grant]) -> dict[str, Json]:
    flows: list[Json] = [
        {"grant": each.number, "subject": each.subject.name, "asset": each.asset, "service": each.service}
        for each in goes_on
    ]
    return {
        "kind": isolation.kind.value,
        "name": isolation.name,
        "since": moment_text(isolation.since_us),
        "by": isolation.by,
        "reason": isolation.reason,
        "even_safety_critical": isolation.even_safety_critical,
        "goes_on": flows,
    }


routes = [
    Route("/admin/isolations", isolate, methods=["POST"]),
    Route("/admin/isolations", show, methods=["GET"]),
    Route("/admin/isolations/{kind}", release, methods=["DELETE"]),
    Route("/admin/isolations/{kind}/{name}", release, methods=["DELETE"]),
]
