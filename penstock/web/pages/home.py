"""My assets: what I may reach and how, what I may not and what is missing, and what I have open."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from penstock.control import ActiveSignIn, Asking, Gate
from penstock.model import ECHO, Asset, Binding, Decision, Invalid, Miss, Reason, Service, Unavailable
from penstock.policy import can_carry
from penstock.web.api.grants import check_recorded
from penstock.web.asking import gate_of, grant_number_of, source_of
from penstock.web.pages.coming_back import way_on
from penstock.web.pages.forms import form_of, portal_sign_in
from penstock.web.pages.render import page, see
from penstock.web.stepping_up import BetterProof, better_proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One service of one asset.

    `is_open_here`: this station's address is enough for it.  `has_client_way`: the client's tunnel can carry it.
    """

    asset: Asset
    service: Service
    is_allowed: bool
    is_open_here: bool
    has_client_way: bool
    has_grant_here: bool
    summary: tuple[str, ...]
    misses: tuple[Miss, ...]
    conduit: str | None
    is_isolated: bool = False
    better: BetterProof | None = None

    @property
    def command(self) -> str:
        """What to type on a station that has the client."""
        is_first = self.asset.service() == self.service
        return f"penstock connect {self.asset.name}{'' if is_first else f' --service {self.service.name}'}"

    @property
    def pointed_at(self) -> str:
        """Where a tool on this station finds it: ``100.64.10.11:502``, or what has no single port in words."""
        if self.service.transport == ECHO:
            return self.asset.overlay
        if self.service.transport == "tcp" and self.service.last_port is None:
            return f"{self.asset.overlay}:{self.service.reached_at}"
        return f"{self.asset.overlay} {self.service.overlay_at}"


async def show(request: Request) -> Response:
    """GET: everything on one page."""
    sign_in = portal_sign_in(request)
    if sign_in is None:
        return see("/sign-in")
    return way_on(request) or _home(request, sign_in)


async def open_grant(request: Request) -> Response:
    """POST: open a path for this station."""
    fields, sign_in, gate = await form_of(request), portal_sign_in(request), gate_of(request)
    if sign_in is None:
        return see("/sign-in")
    asking = Asking(
        sign_in=sign_in,
        asset=fields.get("asset", ""),
        service=fields.get("service") or None,
        binding=Binding.ADDRESS,
        source=source_of(request),
    )
    try:
        outcome = await gate.grants.open(asking)
        if isinstance(outcome, Decision):
            check_recorded(outcome)
            return _home(request, sign_in, status=403, trouble=(_refusal(asking.asset, outcome),))
    except Unavailable as error:
        return _home(request, sign_in, status=503, trouble=(f"Nothing was opened: {error}.",))
    except Invalid as invalid:
        return _home(request, sign_in, status=422, trouble=tuple(f"{p.why}; {p.hint}." for p in invalid.problems))
    return see("/")


async def end_grant(request: Request) -> Response:
    """POST: end one of my grants.  Somebody else's is answered as one that does not exist."""
    await form_of(request)
    sign_in, gate, number = portal_sign_in(request), gate_of(request), grant_number_of(request)
    if sign_in is None:
        return see("/sign-in")
    if number not in {live.grant.number for live in gate.grants_of(sign_in)}:
        raise HTTPException(404)
    await gate.grants.close(number, Reason.GRANT_REVOKED, sign_in.subject.name)
    return see("/")


def _home(request: Request, sign_in: ActiveSignIn, *, status: int = 200, trouble: tuple[str, ...] = ()) -> Response:
    gate, station = gate_of(request), source_of(request)
    rows = _rows(gate, sign_in, station)
    return page(
        request,
        "home.html",
        status=status,
        trouble=trouble,
        station=station,
        now=gate.clock(),
        may=[row for row in rows if row.is_allowed],
        isolated=[row for row in rows if row.is_isolated],
        may_not=[row for row in rows if not (row.is_allowed or row.is_isolated)],
        sessions=gate.grants_of(sign_in),
        tally=gate.sessions.tally,
    )


def _rows(gate: Gate, sign_in: ActiveSignIn, station: str) -> list[Row]:
    """With the client everything counts as protected; from this station only its address speaks.

    What the client's tunnel cannot carry is judged by the way from this station alone.
    """
    here = {(way.asset.name, way.service.name): way for way in gate.reach(sign_in, Binding.ADDRESS, station)}
    held = {(live.grant.asset, live.grant.service) for live in gate.grants_of(sign_in) if live.grant.source == station}
    rows = []
    for by_client in gate.reach(sign_in, Binding.CERTIFICATE, station):
        key = (by_client.asset.name, by_client.service.name)
        from_here, is_carried = here.get(key, by_client), can_carry(by_client.service, Binding.CERTIFICATE)
        way = by_client if is_carried else from_here
        rows.append(
            Row(
                asset=way.asset,
                service=way.service,
                is_allowed=way.decision.is_allowed,
                is_open_here=from_here.decision.is_allowed,
                has_client_way=is_carried,
                has_grant_here=key in held,
                summary=way.summary,
                misses=way.decision.misses,
                conduit=way.decision.conduit,
                is_isolated=way.decision.reason is Reason.ISOLATED,
                better=better_proof(gate, sign_in, way.decision),
            )
        )
    return rows


def _refusal(asset: str, decision: Decision) -> str:
    if not decision.misses:
        return f"{asset} is not allowed."
    if decision.reason is Reason.ISOLATED:
        return " ".join(f"{miss.found}. {miss.remedy}." for miss in decision.misses)
    missing = "; ".join(miss.remedy or f"{miss.criterion}: {miss.wanted}" for miss in decision.misses)
    return f"{asset} is not allowed from this station: {missing}."
