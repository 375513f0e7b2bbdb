"""The gate's own store as an identity source: what a site may choose of it."""

from __future__ import annotations

from penstock.model import Approval, LocalPlan
from penstock.policy.fields import Fields
from penstock.policy.sections.identity.passkeys import read_passkeys

KEYS = ("title", "passkeys", "break_glass")
BREAK_GLASS = ("approval",)


def read_local(name: str, fields: Fields) -> LocalPlan:
    """The local store with its title, its rules for passkeys, and what opens a break-glass account."""
    usual = LocalPlan(name=name)
    return LocalPlan(
        name=name,
        title=fields.text("title") or usual.title,
        passkeys=read_passkeys(fields),
        break_glass=_approval(fields),
    )


def _approval(fields: Fields) -> Approval:
    table = fields.inner("break_glass")
    if table is None:
        return Approval.TWO_PEOPLE
    inner = Fields(table, fields.faults, "'break_glass'", BREAK_GLASS)
    return Approval(inner.choice("approval", [*Approval]) or Approval.TWO_PEOPLE)
