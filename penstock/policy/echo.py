"""Echo (ping): a service that an asset has exactly when some conduit leads there with `discovery`.

Pure.  It is made here and nowhere else; a document cannot name it.  ICMP has no ports, so an overlay address that
several assets share cannot say whom an echo is for: these have none, nor has an asset without overlay address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from penstock.model import ECHO, Asset, Conduit, Service
from penstock.policy.selection import Inventory, admits_echo, targets_of

ECHO_SERVICE = Service(name=ECHO, protocol=ECHO, transport=ECHO, port=0)


def with_echo(assets: Sequence[Asset], conduits: Iterable[Conduit]) -> tuple[Asset, ...]:
    """The assets, with echo as the last service of those that may be asked whether they are there."""
    inventory = Inventory(assets)
    asked = {asset.name for each in conduits if admits_echo(each) for asset in targets_of(each, inventory)}
    return tuple(
        replace(asset, services=(*asset.services, ECHO_SERVICE))
        if asset.name in asked and asset.overlay and not inventory.shares_overlay(asset)
        else asset
        for asset in assets
    )
