"""A directory as an identity source: its table of the site document."""

from __future__ import annotations

from penstock.model import LdapPlan
from penstock.policy.fields import Fields
from penstock.policy.sections.identity.groups import read_authorities, read_groups, read_secret

KEYS = ("title", "url", "people", "secret", "authorities", "groups")


def read_ldap(name: str, fields: Fields) -> LdapPlan | None:
    """This source, or ``None`` with the reason in `fields.faults`."""
    url, people = fields.text("url"), fields.text("people")
    is_whole = fields.need("url", "people")
    secret, authorities, groups = read_secret(fields), read_authorities(fields), read_groups(fields)
    if not is_whole or url is None or people is None:
        return None
    return LdapPlan(
        name=name,
        title=fields.text("title") or name,
        url=url,
        people=people,
        secret=secret,
        authorities=authorities,
        groups=groups,
    )
