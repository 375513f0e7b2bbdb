"""Smart cards as an identity source: its table of the site document."""

from __future__ import annotations

from penstock.model import CardPlan
from penstock.policy.fields import Fields
from penstock.policy.sections.identity.groups import read_authorities, read_groups

KEYS = ("title", "authorities", "groups")


def read_card(name: str, fields: Fields) -> CardPlan | None:
    """This source, or ``None`` with the reason in `fields.faults`."""
    authorities, groups = read_authorities(fields), read_groups(fields)
    if not fields.need("authorities") or authorities is None:
        return None
    return CardPlan(name=name, title=fields.text("title") or name, authorities=authorities, groups=groups)
