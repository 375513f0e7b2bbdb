"""The `identity:` table itself: sources in their order, the notice, and how long a sign-in lasts.

Each kind of source is read by its own file, listed in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.model import (
    LOCAL,
    Banner,
    CardPlan,
    Identity,
    LdapPlan,
    LocalPlan,
    OidcPlan,
    SignInLimits,
    SourceKind,
    SourcePlan,
)
from penstock.policy.faults import Faults
from penstock.policy.fields import Fields, name_of, table_of
from penstock.policy.sections.identity import card, ldap, local, oidc
from penstock.policy.sections.identity.groups import text_block
from penstock.policy.source import Entry, Table

KEYS = ("sources", "banner", "sign_in")
BANNER = ("title", "text")
SIGN_IN = ("length", "idle", "at_once", "device")
#: NIST SP 800-63B section 4.2.3 (AAL2) asks for a new proof after 12 hours, and after 30 minutes without activity.
_MAX_LENGTH_S, _MAX_IDLE_S, _MIN_S = 12 * 3600, 30 * 60, 60
_MAX_AT_ONCE, _MAX_BANNER = 50, 8000

KINDS: Mapping[SourceKind, Callable[[str, Fields], SourcePlan | None]] = {
    SourceKind.LOCAL: local.read_local,
    SourceKind.OIDC: oidc.read_oidc,
    SourceKind.LDAP: ldap.read_ldap,
    SourceKind.SMART_CARD: card.read_card,
}
OF_KIND = {
    SourceKind.LOCAL: local.KEYS,
    SourceKind.OIDC: oidc.KEYS,
    SourceKind.LDAP: ldap.KEYS,
    SourceKind.SMART_CARD: card.KEYS,
}


def read_identity(table: Table, faults: Faults) -> Identity:
    """The section; what could not be read is in `faults` and left out."""
    fields = Fields(table, faults, "'identity'", KEYS)
    listed = fields.inner("sources")
    plans = [plan for entry in (listed.entries if listed else ()) if (plan := _source(entry, faults)) is not None]
    own = [plan for plan in plans if isinstance(plan, LocalPlan)] or [LocalPlan()]
    return Identity(
        local=own[0],
        oidc=tuple(plan for plan in plans if isinstance(plan, OidcPlan)),
        ldap=tuple(plan for plan in plans if isinstance(plan, LdapPlan)),
        cards=tuple(plan for plan in plans if isinstance(plan, CardPlan)),
        order=tuple(dict.fromkeys((*(plan.name for plan in plans), LOCAL))),
        banner=_banner(fields),
        limits=_limits(fields),
    )


def _source(entry: Entry, faults: Faults) -> SourcePlan | None:
    name = name_of(entry.key, faults, "the name of an identity source")
    table = table_of(entry.value, faults, f"identity source {entry.key.text!r}")
    if name is None or table is None:
        return None
    what = f"identity source {name!r}"
    kind = Fields(table, Faults(), what, ()).text("kind")
    if kind not in set(SourceKind):
        fields = Fields(table, Faults(), what, ())
        if fields.has("kind"):
            faults.unknown(fields.place("kind"), "kind of identity source", str(kind), tuple(SourceKind))
        else:
            faults.add(table.place, f"{what} needs 'kind'", f"add `kind: …`, one of: {', '.join(SourceKind)}")
        return None
    if (kind == SourceKind.LOCAL) != (name == LOCAL):
        faults.add(entry.key.place, f"the source {LOCAL!r} is the gate's own store, and no other is", "rename it")
        return None
    return KINDS[SourceKind(kind)](name, Fields(table, faults, what, ("kind", *OF_KIND[SourceKind(kind)])))


def _banner(fields: Fields) -> Banner | None:
    table = fields.inner("banner")
    if table is None:
        return None
    inner = Fields(table, fields.faults, "'banner'", BANNER)
    is_whole = inner.need("text")
    text, title = text_block(inner, "text", _MAX_BANNER), inner.text("title")
    return Banner(title=title or "Notice", text=text) if is_whole and text is not None else None


def _limits(fields: Fields) -> SignInLimits:
    table, usual = fields.inner("sign_in"), SignInLimits()
    if table is None:
        return usual
    inner = Fields(table, fields.faults, "'sign_in'", SIGN_IN)
    length_s = inner.duration("length", _MIN_S, _MAX_LENGTH_S) or usual.length_s
    idle_s = inner.duration("idle", _MIN_S, _MAX_IDLE_S) or min(usual.idle_s, length_s)
    at_once = inner.integer("at_once", 1, _MAX_AT_ONCE) or usual.at_once
    if idle_s > length_s:
        why = f"'idle' ({idle_s} s) is longer than 'length' ({length_s} s)"
        fields.faults.add(inner.place("idle"), why, "shorten it, or lengthen the sign-in")
    has_device_way = inner.boolean("device") is not False
    return SignInLimits(length_s=length_s, idle_s=idle_s, at_once=at_once, has_device_way=has_device_way)
