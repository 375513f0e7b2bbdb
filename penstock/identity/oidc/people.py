"""Who the provider means: the name that people know, and the groups of the site.  Pure.

A claim that is missing in the ID token is looked for in what the userinfo endpoint says.  It must never take a name
that could pass for another, nor a group that the site document does not list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.identity.oidc.claims import subject_of
from penstock.identity.oidc.flaws import Flaw, NotProved
from penstock.identity.oidc.tables import texts_in
from penstock.model import Malformed, OidcPlan

#: As the names of this gate's own subjects are.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_MAX_GROUPS, _MAX_GROUP = 4096, 512


def is_told(plan: OidcPlan, claims: Mapping[str, object]) -> bool:
    """Whether these claims say both name and groups, so that nobody else need be asked."""
    return plan.name_claim in claims and plan.groups_claim in claims


def merged(claims: Mapping[str, object], more: Mapping[str, object]) -> Mapping[str, object]:
    """The signed claims, and `more` where they are silent.  Raises `NotProved` where `more` is about somebody else."""
    if subject_of(more) != subject_of(claims):
        raise NotProved(Flaw.SUBJECT, "userinfo is about somebody else")
    return {**more, **claims}


def name_of(plan: OidcPlan, claims: Mapping[str, object]) -> str:
    """What people call them there.  Raises `NotProved`."""
    name = claims.get(plan.name_claim)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        why = "is missing" if name is None else "is no name of at most 64 letters, digits and . _ @ + -"
        raise NotProved(Flaw.NAME, f"{plan.name_claim!r} {why}")
    return name


def groups_of(plan: OidcPlan, claims: Mapping[str, object]) -> frozenset[str]:
    """The site's groups; a claim that is missing is no group at all.  Raises `NotProved`."""
    try:
        theirs = texts_in(claims, plan.groups_claim, _MAX_GROUPS, _MAX_GROUP)
    except Malformed as error:
        raise NotProved(Flaw.GROUPS, str(error)) from None
    return plan.groups.of(frozenset(theirs or ()))
