"""Conduits that let encrypted channels pass unread, against what else is said of the same service.

Pure.  Whatever a server lets a client do passes in such a channel.  A conduit that names single operations beside it,
or another one that does so for the same subjects, would seem to narrow what nothing narrows: a problem of the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from penstock.model import Asset, Conduit, OperationClass, Permission
from penstock.policy.faults import Faults, shown
from penstock.policy.sections import PlacedConduit
from penstock.policy.selection import Inventory, is_inspected_by, is_port_of, sources_of, targets_of

#: What a client does to find out how to open the channel, and what every session has.
_BEFORE: Final = frozenset({OperationClass.SESSION, OperationClass.DISCOVERY, OperationClass.AUTH})


def check_unseen(conduits: Sequence[PlacedConduit], inventory: Inventory, faults: Faults) -> None:
    """Note every conduit whose permissions an encrypted channel would make void."""
    for item in conduits:
        if OperationClass.ENCRYPTED in item.conduit.hold:
            why = "nobody could say what he approves: encrypted messages cannot be shown"
            faults.add(item.at("hold"), why, "remove `encrypted` from it")
        for protocol in dict.fromkeys(each.protocol for each in item.conduit.permissions if _is_unseen(each)):
            if _judged(item.conduit, protocol):
                why = (
                    f"conduit {shown(item.conduit.name)} names operations beside `encrypted`, where nobody can see them"
                )
                hint = "name `discovery` and `auth` beside it at most, or remove `encrypted`"
                faults.add(item.at("allow"), why, hint)
            for other in _void(item, conduits, protocol, inventory):
                why = (
                    f"conduit {shown(item.conduit.name)} lets the same subjects pass `encrypted` to the same service, "
                    f"so what conduit {shown(other.conduit.name)} names would hold nobody"
                )
                faults.add(other.at("allow"), why, "allow single operations, or encrypted channels, not both")


def check_ended(conduits: Sequence[PlacedConduit], inventory: Inventory, faults: Faults) -> None:
    """Note every port that is permitted as a whole where the gate is to end secured channels: it would end none."""
    for item in conduits:
        for asset in targets_of(item.conduit, inventory):
            for service in asset.services:
                if service.server_certificate and is_port_of(item.conduit, service):
                    why = f"`{service.at}: any` passes uninspected, and {asset.name!r} has a `server_certificate` there"
                    faults.add(item.at("allow"), why, f"name operations of {service.protocol}, or remove it there")


def _is_unseen(permission: Permission) -> bool:
    return permission.operation_class is OperationClass.ENCRYPTED


def _judged(conduit: Conduit, protocol: str) -> list[Permission]:
    """What it says of this protocol that can be seen, and matters once a channel is open."""
    mine = [each for each in conduit.permissions if each.protocol == protocol and not _is_unseen(each)]
    return [each for each in mine if each.operation_class not in _BEFORE]


def _void(
    item: PlacedConduit, conduits: Sequence[PlacedConduit], protocol: str, inventory: Inventory
) -> Iterator[PlacedConduit]:
    mine = {asset.name for asset in _reached(item.conduit, protocol, inventory)}
    for other in conduits:
        if other is item or not _judged(other.conduit, protocol):
            continue
        is_same_asset = any(asset.name in mine for asset in _reached(other.conduit, protocol, inventory))
        if is_same_asset and _share_subjects(item.conduit, other.conduit, inventory):
            yield other


def _reached(conduit: Conduit, protocol: str, inventory: Inventory) -> list[Asset]:
    return [
        asset
        for asset in targets_of(conduit, inventory)
        if any(service.protocol == protocol and is_inspected_by(conduit, service) for service in asset.services)
    ]


def _share_subjects(one: Conduit, other: Conduit, inventory: Inventory) -> bool:
    """Whether both are for the same people by the same words, or for one machine at least.

    Who is in which groups is not in the document, so two groups that share people are not found here.
    """
    if one.is_for_people or other.is_for_people:
        return one.source == other.source
    names = {asset.name for asset in sources_of(one, inventory)}
    return any(asset.name in names for asset in sources_of(other, inventory))
