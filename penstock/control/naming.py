"""Who may know which names: the directory that the responder answers from.  Pure.

Out of the live grants: a machine or a station that has one knows the names that it leads to, until it ends.  It must
never name an asset to an address that no live grant and no declared network speaks for.
"""

from __future__ import annotations

from collections import defaultdict

from penstock.control.state import Snapshot
from penstock.model import Binding, GatePlace, PublishNames


def directory(now: Snapshot, place: GatePlace) -> PublishNames | None:
    """The directory of this moment; ``None`` before the first revision."""
    if now.policy is None:
        return None
    site = now.policy.site
    askers: defaultdict[str, set[str]] = defaultdict(set)
    for live in now.grants.values():
        if live.grant.source is not None and live.grant.binding is Binding.ADDRESS:
            askers[live.grant.source].add(live.grant.asset)
    return PublishNames(
        revision=now.revision,
        domain=site.domain,
        gate_address=place.address,
        names=tuple((asset.name, asset.overlay) for asset in site.assets if asset.overlay),
        askers=tuple((source, tuple(sorted(names))) for source, names in sorted(askers.items())),
        networks=site.askers,
    )
