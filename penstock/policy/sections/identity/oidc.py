"""An OpenID Connect provider as an identity source: its table of the site document.

It must never accept a provider that is reached without TLS, nor count what arrives by telephone as a factor.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from penstock.model import EvidenceRule, FactorStrength, OidcPlan
from penstock.policy.faults import shown
from penstock.policy.fields import Fields, table_of, text_of
from penstock.policy.sections.identity.groups import read_authorities, read_groups, read_secret
from penstock.policy.source import Listing, Table, Value

KEYS = (
    *("title", "issuer", "client", "secret", "authorities", "scopes", "name_claim", "groups_claim", "groups"),
    *("factors", "unproved", "ask", "amr", "auth_time", "max_age", "refresh", "skew"),
)
#: What a rule may be made of: one of some `acr`, all of some `amr`, two out of some `amr`.
RULE = ("acr", "amr", "two_of")
STRENGTHS = (FactorStrength.ONE, FactorStrength.TWO, FactorStrength.PHISHING_RESISTANT)
UNPROVED = (FactorStrength.NONE, FactorStrength.ONE)
TRUSTED, UNTRUSTED = "trusted", "untrusted"
MAX_RULES, MAX_WORDS = 32, 32
#: NIST SP 800-63B section 5.1.3.3 restricts the telephone as a way for secrets; RFC 8176 has these words for it.
TELEPHONE = frozenset({"sms", "tel"})
#: RFC 8176: what can be typed into a wrong page, or says only how many there were.  No number of them resists phishing.
PHISHABLE = frozenset({"pwd", "pin", "otp", "kba", "mca", "mfa", "rba", "geo", "user"})
#: The same, and one alone makes no two factors; any number of things known is one (SP 800-63B section 4.2.1).
_KNOWN, _SINGLE = frozenset({"pwd", "pin", "kba"}), frozenset({"otp", "rba", "geo", "user"})
_WORD = re.compile(r"[\x21-\x7e]{1,64}\Z")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_ISSUER = 500
_MAX_AGE_S, _MOST_AGE_S, _LEAST_AGE_S = 300, 12 * 3600, 10
_REFRESH_S, _MOST_REFRESH_S, _LEAST_REFRESH_S = 30, 3600, 5
_SKEW_S, _MOST_SKEW_S = 60, 300
#: OpenID Connect Core section 2: worth nothing by definition.
_NO_LEVEL = "0"


def read_oidc(name: str, fields: Fields) -> OidcPlan | None:
    """This source, or ``None`` with the reason in `fields.faults`."""
    before, usual = len(fields.faults), OidcPlan(name=name, title=name, issuer="", client_id="")
    is_whole = fields.need("issuer", "client")
    issuer, rules = _issuer(fields), _rules(fields)
    plan = OidcPlan(
        name=name,
        title=fields.text("title") or name,
        issuer=issuer or "",
        client_id=fields.foreign("client") or "",
        secret=read_secret(fields),
        authorities=read_authorities(fields),
        scopes=_scopes(fields) or usual.scopes,
        name_claim=fields.foreign("name_claim") or usual.name_claim,
        groups_claim=fields.foreign("groups_claim") or usual.groups_claim,
        groups=read_groups(fields),
        rules=rules,
        unproved=FactorStrength(fields.choice("unproved", UNPROVED) or usual.unproved),
        acr_words=_asked(fields, rules),
        amr_words=_aliases(fields),
        trusts_auth_time=fields.choice("auth_time", (TRUSTED, UNTRUSTED)) != UNTRUSTED,
        max_age_s=fields.duration("max_age", _LEAST_AGE_S, _MOST_AGE_S) or _MAX_AGE_S,
        refresh_s=fields.duration("refresh", _LEAST_REFRESH_S, _MOST_REFRESH_S) or _REFRESH_S,
        skew_s=fields.duration("skew", 1, _MOST_SKEW_S) or _SKEW_S,
    )
    return plan if is_whole and len(fields.faults) == before else None


def _issuer(fields: Fields) -> str | None:
    value = fields.value("issuer")
    text = None if value is None else text_of(value, fields.faults, "'issuer'", _MAX_ISSUER)
    if text is None or _is_issuer(text):
        return text
    why = f"{shown(text)} is no issuer: it must be an https address without query"
    hint = "write it exactly as the provider's discovery document has it; http:// is for 127.0.0.1 and ::1 only"
    fields.faults.add(fields.place("issuer"), why, hint)
    return None


def _is_issuer(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    is_bare = not (parts.query or parts.fragment or parts.username or "?" in text or "#" in text or " " in text)
    return bool(host) and is_bare and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))


def _scopes(fields: Fields) -> tuple[str, ...]:
    """`openid` is always among them."""
    value = fields.value("scopes")
    words = () if value is None else _words(value, fields, "'scopes'")
    return tuple(dict.fromkeys(("openid", *words))) if words else ()


def _rules(fields: Fields) -> tuple[EvidenceRule, ...]:
    """``factors: {two: [{acr: mfa}, {amr: [pwd, otp]}], phishing-resistant: [{two_of: […]}]}``."""
    table = fields.inner("factors")
    if table is None:
        return ()
    inner = Fields(table, fields.faults, "'factors'", STRENGTHS)
    found = []
    for strength in STRENGTHS:
        items = inner.listing(strength) or ()
        if len(items) > MAX_RULES:
            fields.faults.add(inner.place(strength), f"more than {MAX_RULES} rules")
        found += [rule for item in items[:MAX_RULES] if (rule := _rule(strength, item, fields)) is not None]
    return tuple(found)


def _rule(strength: FactorStrength, item: Value, fields: Fields) -> EvidenceRule | None:
    table = table_of(item, fields.faults, "a rule")
    if table is None:
        return None
    if len(table.entries) != 1:
        hint = "each of several rules is enough: write them one by one, as in [{acr: mfa}, {amr: [pwd, otp]}]"
        fields.faults.add(table.place, f"a rule has exactly one of: {', '.join(RULE)}", hint)
        return None
    inner = Fields(table, fields.faults, "a rule", RULE)
    key, value = table.entries[0].key.text, table.entries[0].value
    words = _words(value, fields, repr(key))
    if key not in RULE or not words:
        return None
    if _is_refused(key, words, inner) or _is_too_cheap(strength, key, words, inner):
        return None
    of_acr, of_amr, of_two = (words if key == each else () for each in RULE)
    return EvidenceRule(strength=strength, acr=of_acr, amr_all=of_amr, amr_two_of=of_two)


def _is_refused(key: str, words: tuple[str, ...], inner: Fields) -> bool:
    """Words that are worth nothing, and rules that nobody could meet."""
    place, before = inner.place(key), len(inner.faults)
    if key == "acr":
        if _NO_LEVEL in words:
            why = "acr '0' says that nothing was proved (OpenID Connect Core, section 2)"
            inner.faults.add(place, why, "remove it")
        return len(inner.faults) > before
    for word in sorted(TELEPHONE.intersection(words)):
        inner.faults.add(place, f"{word!r} is a factor by telephone, and never counts", "remove it")
    if key == "two_of" and len(set(words)) < 2:  # noqa: PLR2004 - it says so
        inner.faults.add(place, "'two_of' needs two words at least", "write `two_of: [pwd, otp, hwk]`")
    return len(inner.faults) > before


def _is_too_cheap(strength: FactorStrength, key: str, words: tuple[str, ...], inner: Fields) -> bool:
    """Words that cannot be worth that, whatever a provider means by them; its `acr` are its own."""
    named = set(words)
    if key == "acr":
        return False
    phishable, known = named & PHISHABLE, named & _KNOWN
    if strength is FactorStrength.PHISHING_RESISTANT:
        is_cheap = named == phishable if key == "amr" else len(phishable) > 1
    elif strength is FactorStrength.TWO:
        is_cheap = (named == known or (len(named) == 1 and named <= _SINGLE)) if key == "amr" else len(known) > 1
    else:
        is_cheap = False
    if is_cheap:
        why = f"{', '.join(words)} ({key}) can be met by what is not worth {strength.value!r}"
        hint = (
            "write `{amr: [hwk, pin]}`"
            if strength is FactorStrength.PHISHING_RESISTANT
            else "write `{amr: [pwd, otp]}`"
        )
        inner.faults.add(inner.place(key), why, hint)
    return is_cheap


def _asked(fields: Fields, rules: tuple[EvidenceRule, ...]) -> tuple[tuple[FactorStrength, str], ...]:
    """``ask: {two: mfa}``: what to ask for when somebody needs more than they proved."""
    table = fields.inner("ask")
    if table is None:
        return ()
    inner, found = Fields(table, fields.faults, "'ask'", STRENGTHS), []
    for strength in STRENGTHS:
        value = inner.value(strength)
        word = None if value is None else _word(value, fields, repr(strength.value))
        if word is None:
            continue
        if not any(rule.strength.rank >= strength.rank for rule in rules):
            why = f"asking for {word!r} cannot help: no rule of 'factors' is worth {strength.value!r}"
            fields.faults.add(inner.place(strength), why, f"add `factors: {{{strength.value}: [{{acr: {word}}}]}}`")
        found.append((strength, word))
    return tuple(found)


def _aliases(fields: Fields) -> tuple[tuple[str, str], ...]:
    """``amr: {password: pwd}``: the provider's own words, and those of RFC 8176 (or of the rules) for them."""
    table: Table | None = fields.inner("amr")
    if table is None:
        return ()
    if len(table.entries) > MAX_WORDS:
        fields.faults.add(table.place, f"more than {MAX_WORDS} words")
        return ()
    found = []
    for entry in table.entries:
        theirs, ours = _word(entry.key, fields, "a word of 'amr'"), _word(entry.value, fields, repr(entry.key.text))
        if theirs is None or ours is None:
            continue
        if TELEPHONE & {theirs, ours}:
            fields.faults.add(entry.key.place, "a factor by telephone never counts, whatever it is called", "remove it")
        found.append((theirs, ours))
    return tuple(found)


def _words(value: Value, fields: Fields, what: str) -> tuple[str, ...]:
    """One word, or a list of them."""
    items = value.items if isinstance(value, Listing) else (value,)
    if not 1 <= len(items) <= MAX_WORDS:
        fields.faults.add(value.place, f"{what} must have from 1 to {MAX_WORDS} words")
        return ()
    found = [_word(item, fields, what) for item in items]
    return tuple(word for word in found if word is not None)


def _word(value: Value, fields: Fields, what: str) -> str | None:
    text = text_of(value, fields.faults, what)
    if text is None or _WORD.match(text):
        return text
    fields.faults.add(value.place, f"{what}: {shown(text)} is no word of at most 64 letters, digits and signs")
    return None
