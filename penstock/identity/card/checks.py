"""Whether a certificate is that of a card which asked for its PIN, issued by an authority that the site names.

Pure: certificates and a time come in.  OpenSSL has seen the path in the handshake already, where there was one; it does
not look at policies, and `penstock login --pkcs11` has no handshake.  It must never take a Card Authentication
certificate: that key works for whoever finds the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from penstock.identity.card import reading
from penstock.identity.card.unfit import Unfit, plain, subject_text
from penstock.model import CardPlan

#: id-fpki-common-cardAuth and the same of the shared service providers' devices: no PIN, so one factor at most.
CARD_AUTHENTICATION = x509.ObjectIdentifier("2.16.840.1.101.3.2.1.3.17")
#: id-PIV-cardAuth (FIPS 201-3): extended key usage of the same certificates.
CARD_AUTHENTICATION_USAGE = x509.ObjectIdentifier("2.16.840.1.101.3.6.8")
ANY_POLICY = x509.ObjectIdentifier("2.5.29.32.0")
_MAX_INTERMEDIATES = 4
_MAX_SENT = 8

Chain = tuple[x509.Certificate, ...]


def authorities_of(pem: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM text.  Raises `ValueError`."""
    return tuple(x509.load_pem_x509_certificates(pem.encode()))


def check_card(plan: CardPlan, leaf: x509.Certificate, sent: Sequence[x509.Certificate], now_us: int) -> Chain:
    """The path from the card to an authority of the plan, the card first.  Raises `Unfit` with the first reason."""
    reading.check_names(leaf)
    reading.key_of(leaf)
    _check_purpose(plan, leaf)
    chain = _path(plan, leaf, sent, now_us)
    _check_places(chain)
    _check_policies(plan, chain)
    return chain


def topmost(plan: CardPlan, found: x509.Certificate) -> x509.Certificate:
    """The authority of the plan that stands above this one.

    Whoever names a root and its issuers means one authority, whichever of them a path happened to end at.
    """
    named = authorities_of(plan.authorities)
    for _ in range(_MAX_INTERMEDIATES):
        above = next((each for each in named if each != found and _is_issued(found, each)), None)
        if above is None:
            break
        found = above
    return found


def _is_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*reading.UNREADABLE, InvalidSignature):
        return False
    return True


def _check_purpose(plan: CardPlan, leaf: x509.Certificate) -> None:
    limits = reading.extension(leaf, x509.BasicConstraints)
    if limits is not None and limits.ca:
        raise Unfit("it is an authority's certificate, not a card's")
    usage = reading.extension(leaf, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise Unfit("its key is not for signatures (key usage)")
    purposes = frozenset(reading.extension(leaf, x509.ExtendedKeyUsage) or ())
    if CARD_AUTHENTICATION_USAGE in purposes or CARD_AUTHENTICATION in _policies(leaf):
        raise Unfit("it is a Card Authentication certificate, whose key works without a PIN")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        raise Unfit("it is not for clients (extended key usage clientAuth)")
    if plan.needs_logon_usage and ExtendedKeyUsageOID.SMARTCARD_LOGON not in purposes:
        raise Unfit("it is not for signing in with a smart card (extended key usage)")


def _path(plan: CardPlan, leaf: x509.Certificate, sent: Sequence[x509.Certificate], now_us: int) -> Chain:
    now = datetime.fromtimestamp(now_us // 1_000_000, UTC)
    if now < leaf.not_valid_before_utc:
        raise Unfit(f"it is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    if now > leaf.not_valid_after_utc:
        raise Unfit(f"it has expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    policy = ExtensionPolicy.webpki_defaults_ca(), ExtensionPolicy.permit_all()
    builder = PolicyBuilder().store(Store(list(authorities_of(plan.authorities)))).time(now)
    verifier = builder.max_chain_depth(_MAX_INTERMEDIATES).extension_policies(ca_policy=policy[0], ee_policy=policy[1])
    try:
        verified = verifier.build_client_verifier().verify(leaf, list(sent[:_MAX_SENT]))
    except (VerificationError, *reading.UNREADABLE) as error:
        why = f"no authority of this source stands behind it (its issuer: {_issuer_text(leaf)}; {plain(str(error))})"
        raise Unfit(why, is_foreign=True) from None
    return tuple(verified.chain)


def _check_places(chain: Chain) -> None:
    """Subjects lie where the authorities above them may name people (RFC 5280 section 4.2.1.10, directoryName).

    The library checks the other kinds of name constraints; these it refuses where they are critical, and otherwise
    does not look at.  Names and groups are read out of subjects, so these are looked at here.
    """
    for place, authority in enumerate(chain[1:], start=1):
        limits = reading.extension(authority, x509.NameConstraints)
        if limits is None:
            continue
        permitted, excluded = _places(limits.permitted_subtrees), _places(limits.excluded_subtrees)
        for subject in (_parts(each.subject) for each in chain[:place]):
            is_inside = not permitted or any(subject[: len(each)] == each for each in permitted)
            if not is_inside or any(subject[: len(each)] == each for each in excluded):
                raise Unfit(f"{subject_text(authority)} may not name anybody there (name constraints)")


def _places(subtrees: Sequence[x509.GeneralName] | None) -> list[list[frozenset[tuple[str, str]]]]:
    return [_parts(each.value) for each in subtrees or () if isinstance(each, x509.DirectoryName)]


def _parts(name: x509.Name) -> list[frozenset[tuple[str, str]]]:
    """The parts of a name as they are compared: case and runs of spaces do not count (RFC 5280 section 7.1)."""
    return [frozenset((each.oid.dotted_string, _folded(each.value)) for each in part) for part in name.rdns]


def _folded(value: str | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else " ".join(value.casefold().split())


def _check_policies(plan: CardPlan, chain: Chain) -> None:
    """The card states an accepted policy, and every authority on the way may issue under it.

    RFC 5280 section 6.1.3 (d) to (f), for the site's own set of policies and without mappings: an intermediate must
    state the same policy, or any.  The site's authority itself is trusted for all.
    """
    if not plan.policies:
        return
    accepted = {x509.ObjectIdentifier(each) for each in plan.policies} & _policies(chain[0])
    if not accepted:
        stated = ", ".join(sorted(each.dotted_string for each in _policies(chain[0]))) or "none"
        raise Unfit(f"it states no policy that this source accepts (it states: {plain(stated)})")
    for each in chain[1:-1]:
        stated_there = _policies(each)
        if ANY_POLICY not in stated_there:
            accepted &= stated_there
        if not accepted:
            raise Unfit(f"its issuer {subject_text(each)} may not issue under the policy that it states")


def _policies(certificate: x509.Certificate) -> frozenset[x509.ObjectIdentifier]:
    stated = reading.extension(certificate, x509.CertificatePolicies)
    return frozenset(each.policy_identifier for each in stated or ())


def _issuer_text(certificate: x509.Certificate) -> str:
    return plain(certificate.issuer.rfc4514_string())
