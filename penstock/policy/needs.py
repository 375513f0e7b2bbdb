"""What of a site only the kernel can enforce.  Pure.

A gate without the kernel (``penstock serve --no-kernel``) refuses a document with any of it: what is written down and
not enforced would be worse than what is not written down.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.model import Conduit, Problem, Site

_HINT = "leave it out here, or run the gate where nftables can be had"


def needs_kernel(site: Site) -> tuple[Problem, ...]:
    """Everything that a gate without the kernel could not enforce, in the order of the document."""
    zones = (
        Problem(where=f"zone {zone.name!r}", why="only the kernel can keep a client's address", hint=_HINT)
        for zone in site.zones
        if zone.keeps_client_address
    )
    conduits = (
        Problem(where=f"conduit {conduit.name!r}", why=why, hint=_HINT)
        for conduit in site.conduits
        for why in _reasons(conduit)
    )
    return (*zones, *conduits)


def _reasons(conduit: Conduit) -> Iterator[str]:
    if not conduit.is_for_people:
        yield "flows of machines are known by their addresses, which only the kernel can hold them to"
    if conduit.ports:
        yield "a port that is not inspected is enforced in the kernel"
    if conduit.is_safety_critical:
        yield "`on_failure: open` is the kernel's to do when inspection dies"
    if conduit.records_payload:
        yield "`record: payload` copies packets of the kernel path"
