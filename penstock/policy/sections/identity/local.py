"""The gate's own store as an identity source: what a site may choose of it."""

from __future__ import annotations

from penstock.model import LocalPlan
from penstock.policy.fields import Fields

KEYS = ("title",)


def read_local(name: str, fields: Fields) -> LocalPlan:
    """The local store with its title."""
    title = fields.text("title")
    return LocalPlan(name=name) if title is None else LocalPlan(name=name, title=title)
