"""An OpenID Connect provider as an identity source: its table of the site document."""

from __future__ import annotations

from penstock.model import OidcPlan
from penstock.policy.fields import Fields
from penstock.policy.sections.identity.groups import read_authorities, read_groups, read_secret

KEYS = ("title", "issuer", "client", "secret", "authorities", "groups")


def read_oidc(name: str, fields: Fields) -> OidcPlan | None:
    """This source, or ``None`` with the reason in `fields.faults`."""
    issuer, client = fields.text("issuer"), fields.foreign("client")
    is_whole = fields.need("issuer", "client")
    secret, authorities, groups = read_secret(fields), read_authorities(fields), read_groups(fields)
    if not is_whole or issuer is None or client is None:
        return None
    return OidcPlan(
        name=name,
        title=fields.text("title") or name,
        issuer=issuer,
        client_id=client,
        secret=secret,
        authorities=authorities,
        groups=groups,
    )
