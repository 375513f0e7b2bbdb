"""Whose card it is: one rule of the site makes one name out of one certificate.

Pure.  A certificate that has no such name, or two of them, names nobody: it must never fall back to another rule.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from penstock.identity.card import reading
from penstock.identity.card.checks import Chain, topmost
from penstock.identity.card.unfit import Unfit, plain
from penstock.model import CardPlan, CardRule

#: ``groups: {"*": …}`` means every holder.
EVERYBODY = "*"
#: What the gate can show and put into a certificate of its own, with room for ``@SOURCE``.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,51}\Z")
#: EDIPI: ten digits.  PIV Authentication certificates of the DoD append six (agency and card) in the UPN.
_EDIPI_UPN = re.compile(r"(\d{10})(?:\d{6})?@.+\Z", re.ASCII)
_EDIPI_CN = re.compile(r".+\.(\d{10})\Z", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\Z", re.ASCII)
_FASCN_BYTES = 25
_KEY_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a card: `name` for people, `key` for the gate (with the authority in it), and the site's `groups`."""

    name: str
    key: str
    groups: frozenset[str]


def holder_of(plan: CardPlan, chain: Chain) -> Holder:
    """Whose card it is, by the plan's rule.  `chain` is a path that was checked.  Raises `Unfit`."""
    leaf = chain[0]
    value = _RULES[plan.rule](leaf)
    if plan.folds_case:
        value = value.casefold()
    if not _NAME.match(value):
        raise Unfit(f"its {plan.rule.value} {plain(value)!r} cannot be a subject's name")
    theirs = frozenset(reading.subject_values(leaf, NameOID.ORGANIZATIONAL_UNIT_NAME)) - {EVERYBODY}
    return Holder(
        name=value,
        key=f"{plan.rule.value}:{_authority(topmost(plan, chain[-1]))}:{value}",
        groups=plan.groups.of(theirs | {EVERYBODY}),
    )


def _authority(certificate: x509.Certificate) -> str:
    """The authority that the site trusts, by name and key: two of them never mean the same person.

    Not the card's direct issuer: a new card of the same person often comes from the next one under the same root.
    """
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate.subject.public_bytes())
    digest.update(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()[:_KEY_LENGTH]


def _one(found: tuple[str, ...], what: str) -> str:
    if len(found) != 1:
        raise Unfit(f"it has {len(found) or 'no'} {what}, and exactly one is asked for")
    return found[0]


def _upn(leaf: x509.Certificate) -> str:
    return _one(reading.upns(leaf), "user principal name")


def _edipi(leaf: x509.Certificate) -> str:
    """The ten digits, from the UPN and from the last part of the common name; where both have them they must agree."""
    common = reading.subject_values(leaf, NameOID.COMMON_NAME)
    found = [match[1] for upn in reading.upns(leaf) if (match := _EDIPI_UPN.match(upn))]
    found += [match[1] for name in common if (match := _EDIPI_CN.match(name))]
    return _one(tuple(dict.fromkeys(found)), "EDIPI")


def _fascn(leaf: x509.Certificate) -> str:
    value = _one(tuple(each.hex() for each in reading.fascns(leaf)), "FASC-N")
    if len(value) != _FASCN_BYTES * 2:
        raise Unfit(f"its FASC-N is not {_FASCN_BYTES} bytes long")
    return value


def _card_uuid(leaf: x509.Certificate) -> str:
    """RFC 9562 in a URN (RFC 4122 section 3); FIPS 201-3 puts the card's UUID there."""
    found = tuple(each for each in reading.addresses(leaf) if each.lower().startswith("urn:uuid:"))
    text = _one(found, "card UUID")[len("urn:uuid:") :]
    try:
        value = uuid.UUID(text)
    except ValueError:
        raise Unfit(f"its card UUID {plain(text)!r} is none") from None
    if str(value) != text.lower():
        raise Unfit(f"its card UUID {plain(text)!r} is not in the usual form")
    return str(value)


def _email(leaf: x509.Certificate) -> str:
    value = _one(reading.emails(leaf), "e-mail address")
    if not _EMAIL.match(value):
        raise Unfit(f"its e-mail address {plain(value)!r} is none")
    return value


def _issuer_and_serial(leaf: x509.Certificate) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(leaf.issuer.public_bytes())
    return f"{digest.finalize().hex()[:10]}-{leaf.serial_number:x}"


_RULES: Mapping[CardRule, Callable[[x509.Certificate], str]] = {
    CardRule.UPN: _upn,
    CardRule.EDIPI: _edipi,
    CardRule.FASCN: _fascn,
    CardRule.CARD_UUID: _card_uuid,
    CardRule.EMAIL: _email,
    CardRule.ISSUER_AND_SERIAL: _issuer_and_serial,
}
