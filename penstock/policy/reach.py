"""What a subject can reach: the list that the portal, the client and grants start from.

Pure.  It shows only what some conduit leads this subject to, never the rest of the inventory.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.model import Asset, Binding, Conduit, Decision, Request, Service, SessionLimits, Subject
from penstock.policy.compile import Policy
from penstock.policy.criteria import can_carry
from penstock.policy.decide import decide
from penstock.policy.describe import allowance_lines
from penstock.policy.selection import fits_subject, is_inspected_by, is_port_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One service of one asset, and whether a session to it may be opened.

    `conduits` are the names of all conduits whose requirements are met (none on a denial); `session` is the most
    generous of their limits, because adding a conduit only widens; `summary` says a line each what they allow, and on
    a denial what the conduits would allow whose requirements are not met yet.
    """

    asset: Asset
    service: Service
    decision: Decision
    conduits: tuple[str, ...]
    session: SessionLimits
    is_inspected: bool
    summary: tuple[str, ...]


def reach(
    policy: Policy, subject: Subject, binding: Binding, *, has_tls: bool, proof_age_s: int | None = None
) -> tuple[Reach, ...]:
    """Every service that some conduit leads this subject to, by asset and service name.

    `has_tls` counts as true for a flow that is bound to a certificate.  `proof_age_s`: how long ago the subject proved
    who it is; ``None``: that is not the question.
    """
    found = (
        reach_service(policy, subject, asset.name, service.name, binding, has_tls=has_tls, proof_age_s=proof_age_s)
        for asset in sorted(policy.site.assets, key=lambda each: each.name)
        for service in sorted(asset.services, key=lambda each: each.name)
    )
    return tuple(each for each in found if each is not None)


def reach_service(
    policy: Policy,
    subject: Subject,
    asset: str,
    service: str,
    binding: Binding,
    *,
    has_tls: bool,
    proof_age_s: int | None = None,
) -> Reach | None:
    """The same for one service (name, protocol or ``tcp/5432``); ``None`` where no conduit leads this subject."""
    way = policy.ways.get((asset, service))
    if way is None:
        return None
    named = [
        conduit
        for conduit in policy.leading[asset]
        if fits_subject(conduit.source, subject)
        and (is_inspected_by(conduit, way.service) or is_port_of(conduit, way.service))
    ]
    if not named:
        return None
    request = Request(
        subject=subject,
        asset=asset,
        protocol=way.service.name,
        binding=binding,
        has_tls=has_tls,
        proof_age_s=proof_age_s,
    )
    is_secure = has_tls or binding is Binding.CERTIFICATE
    met = [conduit for conduit in named if _is_met(conduit, request, is_secure=is_secure)]
    met = met if can_carry(way.service, binding) else []
    lines = dict.fromkeys(line for conduit in met or named for line in allowance_lines(conduit, way.service))
    return Reach(
        asset=way.asset,
        service=way.service,
        decision=decide(policy, request),
        conduits=tuple(conduit.name for conduit in met),
        session=_widest(met or named),
        is_inspected=any(is_inspected_by(conduit, way.service) for conduit in named),
        summary=tuple(lines),
    )


def _is_met(conduit: Conduit, request: Request, *, is_secure: bool) -> bool:
    require, age_s = conduit.require, request.proof_age_s
    if require.reauthenticate_s is not None and age_s is not None and age_s >= require.reauthenticate_s:
        return False
    is_bound = request.binding.rank >= require.binding.rank
    return request.subject.strength.rank >= require.factors.rank and is_bound and (is_secure or not require.tls)


def _widest(conduits: list[Conduit]) -> SessionLimits:
    return SessionLimits(
        length_s=max(conduit.session.length_s for conduit in conduits),
        idle_s=max(conduit.session.idle_s for conduit in conduits),
    )
