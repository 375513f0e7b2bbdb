"""The gate's own store as an identity source: what a site may choose of it."""

from __future__ import annotations

from penstock.model import LocalPlan
from penstock.policy.fields import Fields
from penstock.policy.sections.identity.passkeys import read_passkeys

KEYS = ("title", "passkeys")


def read_local(name: str, fields: Fields) -> LocalPlan:
    """The local store with its title and its rules for passkeys."""
    usual = LocalPlan(name=name)
    return LocalPlan(name=name, title=fields.text("title") or usual.title, passkeys=read_passkeys(fields))
