"""``/api/admin``: the administrator's API for people who are signed in, by the roles that they have at this gate.

The same routes as on the admin socket.  Whoever may not is answered like somebody who asks for what is not there, and
recorded.  A sign-in of one factor administers nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from penstock.control import ActiveSignIn, Gate
from penstock.model import FactorStrength, Json, Reason, Record, RecordKind, Role
from penstock.web import crypto, emergencies, failures, kernel, measures, people
from penstock.web.administering import others
from penstock.web.asking import client_sign_in, gate_of

_ALL = frozenset(Role)
_OPERATOR = frozenset({Role.OPERATOR})
_ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})
_AUTHOR = frozenset({Role.AUTHOR})
_APPROVERS = frozenset({Role.APPROVER, Role.ADMINISTRATOR})

#: Who may do what.  Whoever has a role may look at everything; an auditor may do nothing else.
ROLES: Mapping[tuple[str, str], frozenset[Role]] = {
    ("GET", "/admin/break-glass"): _ALL,
    ("GET", "/admin/conduits"): _ALL,
    ("GET", "/admin/drills/{number}"): _ALL,
    ("GET", "/admin/crypto"): _ALL,
    ("GET", "/admin/failures"): _ALL,
    ("GET", "/admin/failures/{conduit:path}"): _ALL,
    ("GET", "/admin/grants"): _ALL,
    ("GET", "/admin/isolations"): _ALL,
    ("GET", "/admin/metrics"): _ALL,
    ("GET", "/admin/revisions"): _ALL,
    ("GET", "/admin/roles"): _ALL,
    ("GET", "/admin/status"): _ALL,
    ("GET", "/admin/subjects"): _ALL,
    ("POST", "/admin/crypto/fips-check"): _OPERATOR | _ADMINISTRATOR,
    ("POST", "/admin/kernel/verify"): _OPERATOR | _ADMINISTRATOR,
    ("POST", "/admin/isolations"): _OPERATOR,
    ("DELETE", "/admin/isolations/{kind}"): _OPERATOR,
    ("DELETE", "/admin/isolations/{kind}/{name}"): _OPERATOR,
    ("DELETE", "/admin/grants/{number}"): _OPERATOR,
    ("POST", "/admin/conduits/return"): _OPERATOR,
    ("POST", "/admin/failures/{conduit:path}/restore"): _OPERATOR,
    ("POST", "/admin/drills"): _OPERATOR,
    ("DELETE", "/admin/drills/running"): _OPERATOR,
    ("POST", "/admin/revisions"): _AUTHOR,
    ("POST", "/admin/subjects"): _ADMINISTRATOR,
    ("POST", "/admin/subjects/{name}/extend"): _ADMINISTRATOR,
    ("POST", "/admin/subjects/{name}/groups"): _ADMINISTRATOR,
    ("POST", "/admin/subjects/{name}/{verb}"): _ADMINISTRATOR,
    ("POST", "/admin/roles/{name}/{role}"): _ADMINISTRATOR,
    ("DELETE", "/admin/roles/{name}/{role}"): _ADMINISTRATOR,
    ("POST", "/admin/break-glass"): _OPERATOR | _ADMINISTRATOR,
    ("POST", "/admin/break-glass/seals"): _ADMINISTRATOR,
    ("POST", "/admin/break-glass/{number}/{verb}"): _APPROVERS,
}

Endpoint = Callable[[Request], Awaitable[Response]]


def guarded_routes() -> list[BaseRoute]:
    """Every route of the administrator, for whoever has a role for it."""
    found: list[BaseRoute] = []
    for route in admin_routes():
        for method in sorted((route.methods or set()) - {"HEAD"}):
            roles = ROLES[method, route.path]
            found.append(Route(route.path, _guarded(route.endpoint, roles), methods=[method]))
    return found


def admin_routes() -> list[Route]:
    """As on the admin socket."""
    return [
        *people.routes,
        *others,
        *crypto.routes,
        *emergencies.routes,
        *measures.routes,
        *failures.routes,
        kernel.route,
    ]


def _guarded(endpoint: Endpoint, roles: frozenset[Role]) -> Endpoint:
    async def asked(request: Request) -> Response:
        sign_in = client_sign_in(request)
        missing = _missing(gate_of(request), sign_in, roles)
        if missing:
            record_missing(request, sign_in, missing)
            raise HTTPException(404)
        request.state.actor = sign_in.subject.name
        return await endpoint(request)

    return asked


def missing_for(gate: Gate, sign_in: ActiveSignIn, what: tuple[str, str]) -> str:
    """What somebody lacks for a route of `ROLES`; empty where they may."""
    return _missing(gate, sign_in, ROLES[what])


def _missing(gate: Gate, sign_in: ActiveSignIn, roles: frozenset[Role]) -> str:
    if not roles & gate.roles.of(sign_in.subject.name):
        return "one of the roles " + ", ".join(sorted(role.value for role in roles))
    if sign_in.subject.strength.rank < FactorStrength.TWO.rank:
        return "a sign-in with two factors"
    return ""


def record_missing(request: Request, sign_in: ActiveSignIn, missing: str) -> None:
    """Somebody asked for what they have no role for."""
    gate = gate_of(request)
    detail: dict[str, Json] = {
        "what": f"{request.method} {request.url.path[:200]}",
        "source": sign_in.source,
        "missing": missing,
    }
    record = Record(
        kind=RecordKind.ROLE_REFUSED,
        at_us=gate.clock().wall_us,
        subject=sign_in.subject.name,
        reason=Reason.ROLE_MISSING.value,
        detail=detail,
    )
    gate.recorder.put([record])
