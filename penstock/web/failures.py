"""The failure-mode register and drills on the administrator's socket.

What passes uninspected is asked of the kernel before it is told; an answer says where that could not be done.
"""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from penstock.control import Drill, Gate, Interval, RegisterRow
from penstock.model import Json
from penstock.web.asking import actor_of, body_of, gate_of, moment_text, number_of

_MAX_DIGITS = 18


class NewDrill(msgspec.Struct):
    """A drill to begin: of which conduit, and for how long (seconds)."""

    conduit: str
    length_s: int = 10


async def show(request: Request) -> JSONResponse:
    """GET: every conduit with its failure mode, its last drill, and what goes on uninspected.

    `is_current`: the kernel was asked.  While the enforcer is away it cannot be, and flows may pass that are not told.
    """
    gate = gate_of(request)
    rows: list[Json] = [row_json(row) for row in await gate.register.rows()]
    return JSONResponse({"conduits": rows, "is_current": gate.register.is_current})


async def show_conduit(request: Request) -> JSONResponse:
    """GET: the last hundred intervals and drills of one conduit, newest first."""
    gate, name = gate_of(request), request.path_params["conduit"]
    intervals: list[Json] = [interval_json(each) for each in await gate.register.intervals(name)]
    drills: list[Json] = [drill_json(each) for each in await gate.register.drills(name)]
    is_current = gate.register.is_current
    return JSONResponse({"conduit": name, "intervals": intervals, "drills": drills, "is_current": is_current})


async def restore(request: Request) -> JSONResponse:
    """POST: reset what goes on uninspected, so that its clients dial anew into inspection."""
    gate, name = gate_of(request), request.path_params["conduit"]
    done = await gate.register.restore(name, actor_of(request))
    flows: list[Json] = [
        _ends(gate, each.grant) | {"grant": each.grant, "flows": each.uninspected} for each in done.flows
    ]
    return JSONResponse({"conduit": name, "stood_aside": done.stood_aside, "reset": flows, "at_us": done.at_us})


async def begin_drill(request: Request) -> JSONResponse:
    """POST: 201 with the drill, which goes on by itself."""
    asked = await body_of(request, NewDrill)
    drill = await gate_of(request).drills.begin(asked.conduit, asked.length_s, actor_of(request))
    return JSONResponse(drill_json(drill), status_code=201)


async def show_drill(request: Request) -> JSONResponse:
    """GET: a drill that runs, as far as it is seen, or how it ended."""
    drill = await gate_of(request).drills.drill(number_of(request, _MAX_DIGITS))
    if drill is None:
        raise HTTPException(404)
    return JSONResponse(drill_json(drill))


async def stop_drill(request: Request) -> JSONResponse:
    """DELETE: end the drill that runs, at once."""
    if not gate_of(request).drills.stop(actor_of(request)):
        raise HTTPException(404)
    return JSONResponse({"is_stopping": True})


def uninspected(gate: Gate) -> dict[str, Json]:
    """For the status: since when a conduit goes on uninspected, and how many flows do."""
    return {each.conduit: _going_on(each) for each in gate.failures.passing}


def _going_on(each: Interval) -> str:
    flows = f"{each.live_flows} flow{'' if each.live_flows == 1 else 's'}"
    return f"since {moment_text(each.began_at_us)}, {flows} ({spoken(each.cause)})"


def row_json(row: RegisterRow) -> dict[str, Json]:
    """One conduit of the register."""
    conduit, plan = row.conduit, row.conduit.drill
    return {
        "conduit": conduit.name,
        "mode": conduit.on_failure.value,
        "is_inspected_at_all": bool(conduit.permissions),
        "reason": conduit.failure_reason,
        "approved_by": conduit.approved_by,
        "drill_window": None if plan is None else plan.window,
        "drill_every_s": None if plan is None else plan.every_s,
        "drill_window_opens": moment_text(row.opens_us),
        "is_drill_overdue": row.is_drill_overdue,
        "last_drill": None if row.last_drill is None else drill_json(row.last_drill),
        "stands_aside": None if row.aside is None else f"{row.aside.why} (by {row.aside.by})",
        "interval": None if row.interval is None else interval_json(row.interval),
    }


def interval_json(each: Interval) -> dict[str, Json]:
    """One interval: times in ISO 8601 for people, in microseconds since the epoch for programs."""
    return {
        "number": each.number,
        "mode": each.mode.value,
        "cause": each.cause.value,
        "why": each.why,
        "began_at": moment_text(each.began_at_us),
        "began_at_us": each.began_at_us,
        "inspected_again_at": moment_text(each.back_at_us),
        "ended_at": moment_text(each.ended_at_us),
        "ended_at_us": each.ended_at_us,
        "ended_by": each.ended_by or None,
        **each.passed,
        "live_flows": each.live_flows,
        "unrecorded": each.unrecorded,
        "is_certain": each.is_certain,
    }


def drill_json(each: Drill) -> dict[str, Json]:
    """One drill, running or over."""
    machines: list[Json] = [
        {
            "subject": one.subject,
            "asset": one.asset,
            "flows": one.flows,
            "failover_us": one.failover_us,
            "return_us": one.return_us,
            "passed": one.passed,
            "leaked": one.leaked,
        }
        for one in each.exercised
    ]
    also: list[Json] = [*each.also]
    return {
        "number": each.number,
        "conduit": each.conduit,
        "mode": each.mode.value,
        "by": each.by,
        "also": also,
        "length_s": each.length_us // 1_000_000,
        "began_at": moment_text(each.began_at_us),
        "began_at_us": each.began_at_us,
        "phase": "ended" if each.ended_at_us else "returning" if each.back_at_us else "exercising",
        "ended_at": moment_text(each.ended_at_us),
        "result": None if each.result is None else each.result.value,
        "why": each.why or None,
        "failover_us": each.failover_us,
        "return_us": each.return_us,
        "refused": each.refused,
        "exercised": machines,
    }


def spoken(word: str) -> str:
    """A member of a closed set as people say it."""
    return word.replace("_", " ")


def _ends(gate: Gate, number: int) -> dict[str, Json]:
    live = gate.state.now.grants.get(number)
    return {} if live is None else {"machine": live.grant.subject.name, "asset": live.grant.asset}


routes = [
    Route("/admin/failures", show, methods=["GET"]),
    Route("/admin/failures/{conduit:path}/restore", restore, methods=["POST"]),
    Route("/admin/failures/{conduit:path}", show_conduit, methods=["GET"]),
    Route("/admin/drills", begin_drill, methods=["POST"]),
    Route("/admin/drills/running", stop_drill, methods=["DELETE"]),
    Route("/admin/drills/{number}", show_drill, methods=["GET"]),
]
