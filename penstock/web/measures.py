"""The administrator's API for what is measured: conduits with their latency, the way back to inspection, metrics."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.control import METRICS_TYPE, ConduitNow, Figures, Measured, count_traffic, figures, metrics_page
from penstock.model import Invalid, Json, Problem
from penstock.web.asking import actor_of, body_of, gate_of, moment_text


class Named(msgspec.Struct):
    """The conduit that is meant."""

    conduit: str


async def show_conduits(request: Request) -> JSONResponse:
    """GET: every conduit: mode, path, flows, latency, budget; and the lag of the worker's event loop."""
    gate = gate_of(request)
    await count_traffic(gate)
    lag: dict[str, Json] = {
        "ten_seconds": _figures(figures(gate.overload.pulse.lag.counts)),
        "start": _figures(figures(gate.overload.lag)),
    }
    return JSONResponse({"conduits": [_conduit(each) for each in gate.conduits.now()], "lag": lag})


async def return_conduit(request: Request) -> Response:
    """POST: inspect a conduit again that has stepped aside."""
    asked = await body_of(request, Named)
    if not await gate_of(request).aside.stand_back(asked.conduit, actor_of(request)):
        hint = "penstock conduits shows which ones do"
        raise Invalid(Problem(where="conduit", why=f"“{asked.conduit}” does not stand aside", hint=hint))
    return Response(status_code=204)


async def show_metrics(request: Request) -> Response:
    """GET: in the Prometheus text format."""
    return Response(metrics_page(gate_of(request)), headers={"content-type": METRICS_TYPE})


routes = (
    Route("/admin/conduits", show_conduits, methods=["GET"]),
    Route("/admin/conduits/return", return_conduit, methods=["POST"]),
    Route("/admin/metrics", show_metrics, methods=["GET"]),
)


def _conduit(each: ConduitNow) -> dict[str, Json]:
    measured: dict[str, Json] = {}
    for one in each.measured:
        windows = measured.setdefault(one.path.value, {})
        assert isinstance(windows, dict)
        windows[one.window.name.lower()] = _measured(one)
    return {
        "conduit": each.name,
        "mode": each.mode.value,
        "path": each.way.value,
        "flows": {path.value: count for path, count in each.flows.items()},
        "budget_us": each.budget_us,
        "steps_aside": each.steps_aside,
        "over_since": moment_text(each.over_since_us),
        "aside_since": moment_text(each.aside_since_us),
        "why": each.why or None,
        "measured": measured,
    }


def _measured(one: Measured) -> dict[str, Json]:
    return {"total": _figures(one.total), "own": _figures(one.own), "over": one.over}


def _figures(of: Figures) -> dict[str, Json]:
    return {
        "count": of.count,
        "p50_us": of.p50_us,
        "p99_us": of.p99_us,
        "p999_us": of.p999_us,
        "worst_us": of.worst_us,
    }
