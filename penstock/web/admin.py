"""The administrator's API on a local socket (0600): who may open the socket is the administrator.

Every act is recorded with the Unix user id of whoever opened the connection (SO_PEERCRED).
"""

from __future__ import annotations

import hashlib

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from penstock.control import Gate, LiveGrant, StoredRevision, StoredSubject, count_traffic
from penstock.identity import Invitation
from penstock.model import Json
from penstock.web import crypto, emergencies, failures, kernel, measures, traffic
from penstock.web.asking import body_of, gate_of, grant_number_of, moment_text, source_of
from penstock.web.errors import ON_ERROR
from penstock.web.guard import Guard

#: Site documents of some 10,000 assets.
MAX_DOCUMENT_BYTES = 16 << 20


class NewSubject(msgspec.Struct):
    """A subject to add."""

    name: str
    groups: list[str] = []


class NewRevision(msgspec.Struct):
    """Site documents by file name."""

    documents: dict[str, str]


def admin_app(gate: Gate) -> ASGIApp:
    """The application behind the admin socket."""
    app = Starlette(
        routes=[
            Route("/admin/subjects", add_subject, methods=["POST"]),
            Route("/admin/subjects", show_subjects, methods=["GET"]),
            Route("/admin/subjects/{name}/{verb}", switch_subject, methods=["POST"]),
            Route("/admin/grants", show_grants, methods=["GET"]),
            Route("/admin/grants/{number}", close_grant, methods=["DELETE"]),
            Route("/admin/revisions", apply_revision, methods=["POST"]),
            Route("/admin/revisions", show_revisions, methods=["GET"]),
            Route("/admin/kernel/verify", kernel.verify, methods=["POST"]),
            Route("/admin/status", show_status, methods=["GET"]),
            *crypto.routes,
            *emergencies.routes,
            *measures.routes,
            *failures.routes,
        ],
        exception_handlers=ON_ERROR,
    )
    app.state.gate = gate
    return Guard(app, MAX_DOCUMENT_BYTES)


async def add_subject(request: Request) -> JSONResponse:
    """POST: the answer holds the code to enrol with, once."""
    asked = await body_of(request, NewSubject)
    invited = await gate_of(request).subjects.add(asked.name, tuple(asked.groups), source_of(request))
    return JSONResponse(_invitation(invited), status_code=201)


async def show_subjects(request: Request) -> JSONResponse:
    """GET: everybody."""
    return JSONResponse({"subjects": [_subject(each) for each in await gate_of(request).store.subjects()]})


async def switch_subject(request: Request) -> Response:
    """POST: ``suspend`` or ``resume``; ``invite`` answers with a code for a new authenticator, once."""
    name, verb = request.path_params["name"], request.path_params["verb"]
    subjects, by = gate_of(request).subjects, source_of(request)
    match verb:
        case "suspend":
            ended = await subjects.suspend(name, by)
            return JSONResponse({"grants_closed": ended, "not_yet": [*gate_of(request).emergencies.not_cut]})
        case "invite":
            invited = await gate_of(request).inviting.invite(name, by)
            return JSONResponse(_invitation(invited), status_code=201)
        case "resume":
            await subjects.resume(name, by)
            return Response(status_code=204)
    raise HTTPException(404)


async def show_grants(request: Request) -> JSONResponse:
    """GET: every live grant, also of machines, and what its flows have carried; `traffic_is_current`: until now."""
    gate = gate_of(request)
    is_current = await count_traffic(gate)
    rows = [
        _grant(live) | {"traffic": traffic.traffic_of(gate, number)}
        for number, live in sorted(gate.state.now.grants.items())
    ]
    return JSONResponse({"grants": rows, "traffic_is_current": is_current})


async def close_grant(request: Request) -> Response:
    """DELETE: revoke; its flows are cut before the answer, which is 202 where the kernel has not confirmed that."""
    if not await gate_of(request).revisions.revoke(grant_number_of(request), source_of(request)):
        raise HTTPException(404)
    if not_cut := gate_of(request).emergencies.not_cut:
        return JSONResponse({"not_yet": [*not_cut]}, status_code=202)
    return Response(status_code=204)


async def apply_revision(request: Request) -> JSONResponse:
    """POST: put a new revision in force, or say everything that is wrong with it."""
    asked = await body_of(request, NewRevision)
    return JSONResponse({"revision": await gate_of(request).revisions.apply(asked.documents, source_of(request))})


async def show_revisions(request: Request) -> JSONResponse:
    """GET: the last hundred, newest first."""
    return JSONResponse({"revisions": [_revision(each) for each in await gate_of(request).store.revisions()]})


async def show_status(request: Request) -> JSONResponse:
    """GET: how the gate is."""
    gate = gate_of(request)
    status = gate.status()
    processes: dict[str, Json] = {**status.processes}
    body: dict[str, Json] = {
        "gate": gate.name,
        "site": gate.site,
        "revision": status.revision,
        "evidence": {"is_healthy": status.evidence_is_healthy, "records": status.evidence_size},
        "enforcer": _enforcer_text(gate),
        "kernel": kernel.last_text(gate),
        "inspection": "alive" if status.has_inspection else "not alive",
        "uninspected": failures.uninspected(gate),
        "processes": processes,
        "grants": status.grants,
        "sign_ins": status.sign_ins,
        "isolated": [*status.isolated],
    }
    if gate.settings.not_enforced:
        body["not_enforced"] = [*gate.settings.not_enforced]
    if status.uncut:
        body["not_cut_yet"] = status.uncut
    return JSONResponse(body)


def _enforcer_text(gate: Gate) -> str:
    if not gate.settings.has_kernel:
        return "none (--no-kernel)"
    return "in force" if gate.status().has_enforcer else "not there"


def _invitation(invited: Invitation) -> dict[str, Json]:
    return {"name": invited.subject, "code": invited.code, "expires_at": moment_text(invited.expires_at_us)}


def _subject(each: StoredSubject) -> dict[str, Json]:
    state = "suspended" if each.is_suspended else "enrolled" if each.enrolled_at_us else "invited"
    return {
        "name": each.name,
        "groups": [*sorted(each.groups)],
        "state": state,
        "added_at": moment_text(each.added_at_us),
        "enrolled_at": moment_text(each.enrolled_at_us),
    }


def _grant(live: LiveGrant) -> dict[str, Json]:
    grant = live.grant
    return {
        "number": grant.number,
        "subject": grant.subject.name,
        "kind": grant.subject.kind.value,
        "asset": grant.asset,
        "service": grant.service,
        "binding": grant.binding.value,
        "source": grant.source,
        "station": grant.station_mac,
        "conduits": [*grant.conduits],
        "is_inspected": grant.is_inspected,
        "is_safety_critical": grant.is_safety_critical,
        "opened_at": moment_text(grant.opened_at_us),
        "expires_at": moment_text(grant.expires_at_us),
    }


def _revision(each: StoredRevision) -> dict[str, Json]:
    digest = hashlib.sha256(msgspec.json.encode(each.documents, order="sorted")).hexdigest()
    return {
        "revision": each.number,
        "applied_at": moment_text(each.accepted_at_us),
        "by": each.accepted_by,
        "digest": digest[:16],
        "files": [*sorted(each.documents)],
    }
