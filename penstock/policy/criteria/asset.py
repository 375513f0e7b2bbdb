"""The asset must be one that the conduit leads to."""

from __future__ import annotations

from penstock.model import Miss, Reason
from penstock.policy.criteria.contract import Criterion
from penstock.policy.lanes import Lane, Question
from penstock.policy.selection import selector_text


def is_met(lane: Lane, question: Question) -> bool:  # noqa: ARG001 - the contract of a criterion
    """Whether every field of `to` fits the asset (found out when the lane was made)."""
    return lane.leads


def explain(lane: Lane, question: Question) -> Miss:
    """Where the conduit leads to."""
    asset = question.asset
    if asset is None:
        found, remedy = f"{question.request.asset} (not in the inventory)", "add the asset to the site document"
    else:
        found = f"{asset.name} (role {asset.role}, zone {asset.zone})"
        remedy = "ask for a conduit that leads there"
    return Miss(
        criterion="asset",
        reason=Reason.ASSET_NOT_NAMED,
        wanted=selector_text(lane.conduit.target),
        found=found,
        remedy=remedy,
    )


ASSET = Criterion(name="asset", is_met=is_met, explain=explain)
