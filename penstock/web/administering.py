"""What an administrator asks of the gate beyond people: grants, revisions, how it is."""

from __future__ import annotations

import hashlib

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.control import Gate, LiveGrant, StoredRevision, count_traffic
from penstock.model import Json
from penstock.web import failures, kernel, people, traffic
from penstock.web.asking import actor_of, body_of, gate_of, grant_number_of, moment_text
from penstock.web.held import held_text


class NewRevision(msgspec.Struct):
    """Site documents by file name."""

    documents: dict[str, str]


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
    if not await gate_of(request).revisions.revoke(grant_number_of(request), actor_of(request)):
        raise HTTPException(404)
    if not_cut := gate_of(request).emergencies.not_cut:
        return JSONResponse({"not_yet": [*not_cut]}, status_code=202)
    return Response(status_code=204)


async def apply_revision(request: Request) -> JSONResponse:
    """POST: put a new revision in force, or say everything that is wrong with it."""
    asked = await body_of(request, NewRevision)
    return JSONResponse({"revision": await gate_of(request).revisions.apply(asked.documents, actor_of(request))})


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
        "break_glass": people.open_texts(gate) or "shut",
    }
    if waiting := people.waiting_texts(gate):
        body["break_glass_asked"] = waiting
    if held := held_text(gate):
        body["held"] = held
    if ending := people.ending_texts(gate):
        body["vendors_ending"] = ending
    if gate.settings.not_enforced:
        body["not_enforced"] = [*gate.settings.not_enforced]
    if status.uncut:
        body["not_cut_yet"] = status.uncut
    return JSONResponse(body)


def _enforcer_text(gate: Gate) -> str:
    if not gate.settings.has_kernel:
        return "none (--no-kernel)"
    return "in force" if gate.status().has_enforcer else "not there"


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


#: Beside those of `people`, `emergencies`, `measures`, `failures` and `kernel`.
others = [
    Route("/admin/grants", show_grants, methods=["GET"]),
    Route("/admin/grants/{number}", close_grant, methods=["DELETE"]),
    Route("/admin/revisions", apply_revision, methods=["POST"]),
    Route("/admin/revisions", show_revisions, methods=["GET"]),
    Route("/admin/status", show_status, methods=["GET"]),
]
