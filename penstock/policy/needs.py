"""What in a site document only the kernel can enforce, for a gate that has none (`penstock serve --no-kernel`).

Pure.  Such a gate offers the tunnel and the proxy: a person with a certificate reaches TCP and UDP ports.
Whatever a document promises beyond that would be promised and not kept, so each such thing is a problem.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.model import ECHO, Asset, Conduit, Problem, Site, Zone

_GATE = "run the gate with its kernel table (without --no-kernel)"


def needs_kernel(site: Site) -> tuple[Problem, ...]:
    """Everything in the site that cannot be enforced without the kernel, in the order of the document."""
    return (
        *(problem for zone in site.zones for problem in _of_zone(zone)),
        *(problem for asset in site.assets for problem in _of_asset(asset)),
        *(problem for conduit in site.conduits for problem in _of_conduit(conduit)),
    )


def _of_zone(zone: Zone) -> Iterator[Problem]:
    where = f"zone {zone.name!r}"
    if zone.keeps_client_address:
        why = "`keep_client_address`: without the kernel, assets see the gate's own address"
        yield Problem(where=where, why=why, hint=f"remove it, or {_GATE}")
    if zone.routers:
        why = "`routers`: without the kernel nobody looks at the hardware addresses that packets come from"
        yield Problem(where=where, why=why, hint=f"remove it, or {_GATE}")


def _of_asset(asset: Asset) -> Iterator[Problem]:
    where = f"asset {asset.name!r}"
    if asset.mac is not None:
        why = "`mac`: without the kernel nobody looks at the hardware address that its packets come from"
        yield Problem(where=where, why=why, hint=f"remove it, or {_GATE}")
    if asset.limits.opens is not None:
        why = "`limits.opens`: new connections are counted by the kernel"
        yield Problem(where=where, why=why, hint=f"limit `connections`, which the proxy counts, or {_GATE}")


def _of_conduit(conduit: Conduit) -> Iterator[Problem]:
    where = f"conduit {conduit.name!r}"
    if not conduit.is_for_people:
        why = "machines are known by their address, and only the kernel lets their flows through"
        yield Problem(where=where, why=why, hint=f"remove the conduit, or {_GATE}")
    if conduit.is_safety_critical:
        why = "`on_failure: open`: without the kernel there is no path beside inspection, so it would fail closed"
        yield Problem(where=where, why=why, hint=f"remove the conduit, or {_GATE}")
    for port in conduit.ports:
        if port.transport == ECHO:
            why = "`icmp`: echo passes the kernel; the tunnel carries TCP and UDP"
            yield Problem(where=where, why=why, hint=f"remove it, or {_GATE}")
    if conduit.records_payload and conduit.ports:
        why = "`record: payload`: the payload of ports is copied by the kernel"
        yield Problem(where=where, why=why, hint=f"write `record: operations`, or {_GATE}")
    if conduit.latency is not None and not conduit.permissions:
        why = "`latency_budget`: without the kernel only inspected flows are measured, and this conduit has none"
        yield Problem(where=where, why=why, hint=f"remove it, or {_GATE}")
    if conduit.drill is not None:
        why = "`drill`: without the kernel there is no failure mode to exercise: every conduit is closed"
        yield Problem(where=where, why=why, hint=f"remove it, or {_GATE}")
