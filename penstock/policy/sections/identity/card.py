"""Smart cards as an identity source: its table of the site document."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import urlsplit

from penstock.model import OCSP_OF_CERTIFICATE, PIV_AUTHENTICATION, CardPlan, CardRule, Identity
from penstock.policy.faults import Faults, did_you_mean, shown
from penstock.policy.fields import Fields, text_of
from penstock.policy.numbers import read_duration
from penstock.policy.sections.identity.groups import read_authorities, read_groups
from penstock.policy.source import Scalar, Table, Value

KEYS = (
    "title",
    "authorities",
    "subject",
    "fold_case",
    "policies",
    "smart_card_logon",
    "crls",
    "crl",
    "ocsp",
    "nonce",
    "when_silent",
    "zones",
    "groups",
    "refresh",
)
_AUTHORITY_HINT = "name who issues cards: a certificate with `CA:TRUE` and the key usage for signing certificates"
#: What `policies` may say in place of a list: certificates of the site's own authorities often state none.
ANY = "any"
REFUSE, ACCEPT, LAST_KNOWN = "refuse", "accept", "last-known"
_CARD_AUTHENTICATION = "2.16.840.1.101.3.2.1.3.17"
OID_PATTERN = r"^[0-2](\.(0|[1-9][0-9]{0,11})){1,20}$"
_OID = re.compile(OID_PATTERN.removesuffix("$") + r"\Z")
_FILE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z", re.IGNORECASE | re.ASCII)
_MAX_LIST, _MAX_AUTHORITIES = 32, 50
_MIN_REFRESH_S, _MAX_REFRESH_S, _USUAL_REFRESH_S = 1, 24 * 3600, 300
_MAX_TOLERATED_S = 90 * 86_400


def read_card(name: str, fields: Fields) -> CardPlan | None:
    """This source, or ``None`` with the reason in `fields.faults`."""
    before = len(fields.faults)
    is_whole = fields.need("authorities", "subject")
    authorities, rule = _authorities(fields), fields.choice("subject", tuple(each.value for each in CardRule))
    plan = CardPlan(
        name=name,
        title=fields.text("title") or name,
        authorities=authorities or "",
        rule=CardRule.UPN if rule is None else CardRule(rule),
        folds_case=fields.boolean("fold_case") or False,
        policies=_policies(fields),
        needs_logon_usage=fields.boolean("smart_card_logon") or False,
        crls=_crls(fields),
        crl=_address(fields, "crl"),
        ocsp=_address(fields, "ocsp", OCSP_OF_CERTIFICATE),
        needs_nonce=fields.boolean("nonce") is not False,
        tolerated_s=_tolerance(fields.value("when_silent"), fields.faults, "'when_silent'"),
        groups=read_groups(fields),
        refresh_s=fields.duration("refresh", _MIN_REFRESH_S, _MAX_REFRESH_S) or _USUAL_REFRESH_S,
    )
    if not (plan.crls or plan.crl or plan.ocsp or plan.tolerated_s is None or any(map(fields.has, ("crl", "ocsp")))):
        why = f"nothing says how {fields.what} learns that a card was revoked"
        hint = (
            "name `crls: [FILE]`, `crl: URL` or `ocsp: URL`; or `when_silent: accept`, and no card is ever revoked here"
        )
        fields.faults.add(fields.table.place, why, hint)
    return plan if is_whole and len(fields.faults) == before else None


def fit_zones(identity: Identity, table: Table, zones: Iterable[str], faults: Faults) -> Identity:
    """The same with every zone of the site in `CardPlan.zones`: its own tolerance, else that of the source.

    `table` is the identity section; a zone in it that the site does not have is noted.
    """
    known = tuple(sorted(zones))
    cards = tuple(replace(plan, zones=_zones(plan, table, known, faults)) for plan in identity.cards)
    return replace(identity, cards=cards)


def _zones(plan: CardPlan, table: Table, known: tuple[str, ...], faults: Faults) -> tuple[tuple[str, int | None], ...]:
    found: Value | None = table
    for step in ("sources", plan.name, "zones"):
        found = found.get(step) if isinstance(found, Table) else None
    own: dict[str, int | None] = {}
    if found is not None and not isinstance(found, Table):
        faults.add(found.place, "'zones' must be a table of zones and what holds there", "zones: {safety: refuse}")
    for entry in found.entries if isinstance(found, Table) else ():
        if entry.key.text not in known:
            why = f"there is no zone {shown(entry.key.text)}"
            faults.add(entry.key.place, why, did_you_mean(entry.key.text, known))
        own[entry.key.text] = _tolerance(entry.value, faults, f"zone {entry.key.text!r}")
    return tuple((zone, own.get(zone, plan.tolerated_s)) for zone in known)


def _tolerance(value: Value | None, faults: Faults, what: str) -> int | None:
    """``refuse`` (0 s), ``accept`` (without an end), or ``last-known: 24h`` as a table or as text."""
    if value is None:
        return 0
    if isinstance(value, Table) and [entry.key.text for entry in value.entries] == [LAST_KNOWN]:
        value = value.entries[0].value
        text = value.text if isinstance(value, Scalar) else ""
    else:
        text = value.text if isinstance(value, Scalar) else ""
        if text == ACCEPT:
            return None
        if text == REFUSE:
            return 0
        head, _, text = text.partition(" ")
        text = text if head.rstrip(":") == LAST_KNOWN else ""
    seconds = read_duration(text.strip())
    if seconds is None or not 0 < seconds <= _MAX_TOLERATED_S:
        why = f"{what} must be {REFUSE}, {ACCEPT}, or {LAST_KNOWN} with a duration of at most 90 days"
        faults.add(value.place, why, f"for example `{LAST_KNOWN} 24h`")
        return 0
    return seconds


def _authorities(fields: Fields) -> str | None:
    """Certificates that can really be read, and are of authorities."""
    text = read_authorities(fields)
    if text is None:
        return None
    from penstock.policy.sections.identity.issuers import problems_of  # noqa: PLC0415  only where a site has cards

    try:
        count, wrong = problems_of(text)
    except ValueError:
        hint = "put the certificates of the card's authorities there, in PEM form, indented below `authorities: |`"
        fields.faults.add(fields.place("authorities"), "'authorities' has a certificate that cannot be read", hint)
        return None
    if count > _MAX_AUTHORITIES:
        fields.faults.add(fields.place("authorities"), f"more than {_MAX_AUTHORITIES} authorities")
    for subject, why in wrong:
        fields.faults.add(fields.place("authorities"), f"{shown(subject)} {why}", _AUTHORITY_HINT)
    return text


def _policies(fields: Fields) -> tuple[str, ...]:
    value = fields.value("policies")
    if value is None:
        return (PIV_AUTHENTICATION,)
    if isinstance(value, Scalar) and value.text == ANY:
        return ()
    found = []
    for item in fields.listing("policies") or ():
        text = text_of(item, fields.faults, "a policy")
        if text is None:
            continue
        if text == _CARD_AUTHENTICATION:
            why = f"{text} is Card Authentication: its key works without a PIN, so it proves nobody"
            fields.faults.add(item.place, why, "remove it")
        elif not _OID.match(text):
            hint = f"write it in quotes as {PIV_AUTHENTICATION!r}"
            fields.faults.add(item.place, f"{shown(text)} is no object identifier", hint)
        else:
            found.append(text)
    return tuple(dict.fromkeys((PIV_AUTHENTICATION, *found)))


def _crls(fields: Fields) -> tuple[str, ...]:
    found = []
    for item in fields.listing("crls") or ():
        text = text_of(item, fields.faults, "a revocation list")
        if text is not None and not _FILE.match(text):
            hint = "put the list into keys/sources/NAME on the gate, and NAME here"
            fields.faults.add(item.place, f"{shown(text)} is no name of a file", hint)
        elif text is not None:
            found.append(text)
    if len(found) > _MAX_LIST:
        fields.faults.add(fields.place("crls"), f"more than {_MAX_LIST} revocation lists")
    return tuple(dict.fromkeys(found))


def _address(fields: Fields, key: str, word: str = "") -> str | None:
    text = fields.text(key)
    if text is None or (word and text == word):
        return text
    try:
        parts = urlsplit(text)
        is_right = parts.scheme == "http" and bool(parts.hostname) and not parts.username and parts.port != 0
    except ValueError:
        is_right = False
    if is_right:
        return text
    other = f", or {word!r}" if word else ""
    hint = f"write http://HOST/PATH{other}: lists and answers are signed by themselves, and are fetched without TLS"
    fields.faults.add(fields.place(key), f"{shown(text)} is no address that {key!r} can have", hint)
    return None
