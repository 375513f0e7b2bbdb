"""Certificate revocation lists (RFC 5280 section 5 and 6.3), whole lists of the issuer itself only.

Pure: bytes and a time come in.  It must never read *not listed* out of a list that is not about the certificate: of
another issuer, of another part of its certificates, with a critical extension that is not understood, or delta.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from penstock.identity.card import reading
from penstock.identity.card.standing import SKEW_US, Standing
from penstock.model import Malformed

#: Lists of large issuers have some ten megabytes.
MAX_LIST_BYTES = 32 << 20
_PEM = b"-----BEGIN X509 CRL-----"
_UNDERSTOOD = frozenset(
    (
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.FRESHEST_CRL,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RevocationList:
    """A list whose form was checked; who signed it is checked against each certificate's issuer."""

    parsed: x509.CertificateRevocationList
    this_update_us: int
    next_update_us: int

    @property
    def issuer(self) -> x509.Name:
        """Who issued it, by its own words."""
        return self.parsed.issuer


def read_list(content: bytes) -> RevocationList:
    """A list in DER or PEM form.  Raises `Malformed` with the rule that it breaks."""
    if len(content) > MAX_LIST_BYTES:
        raise Malformed(f"it is longer than {MAX_LIST_BYTES >> 20} MiB")
    try:
        is_pem = content.lstrip().startswith(_PEM)
        parsed = x509.load_pem_x509_crl(content) if is_pem else x509.load_der_x509_crl(content)
        extensions, next_update = parsed.extensions, parsed.next_update_utc
    except reading.UNREADABLE:
        raise Malformed("it is not a certificate revocation list") from None
    if next_update is None:
        raise Malformed("it does not say when the next one comes (nextUpdate)")
    for each in extensions:
        if each.oid == ExtensionOID.DELTA_CRL_INDICATOR:
            raise Malformed("it is a delta list; only whole ones are read")
        if each.critical and each.oid not in _UNDERSTOOD:
            raise Malformed(f"it has a critical extension that is not understood: {each.oid.dotted_string}")
    this_us, next_us = _us(parsed.last_update_utc), _us(next_update)
    return RevocationList(parsed=parsed, this_update_us=this_us, next_update_us=next_us)


def is_signed_by(found: RevocationList, issuer: x509.Certificate) -> bool:
    """Whether this authority signed the list, and may (key usage cRLSign)."""
    usage = reading.extension(issuer, x509.KeyUsage)
    key = issuer.public_key()
    if found.issuer != issuer.subject or (usage is not None and not usage.crl_sign):
        return False
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return found.parsed.is_signature_valid(key)
    except (*reading.UNREADABLE, InvalidSignature):
        return False


def standing_by(found: RevocationList, certificate: x509.Certificate, now_us: int) -> Standing | None:
    """What a list, signed by the certificate's issuer, says of it; ``None``: it is not about it.

    Past its `nextUpdate` a list still says who *is* revoked; of the others it says that they were good until then.
    """
    if found.issuer != certificate.issuer or not _covers(found, certificate):
        return None
    entry = found.parsed.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is not None and not _is_removed(entry):
        return Standing(is_revoked=True, why=f"it was revoked on {entry.revocation_date_utc:%Y-%m-%d %H:%M} UTC")
    if found.this_update_us > now_us + SKEW_US:
        return None
    return Standing(good_until_us=found.next_update_us, why="its issuer's list does not name it")


def _is_removed(entry: x509.RevokedCertificate) -> bool:
    """``removeFromCRL``: it was on hold, and is not any more."""
    try:
        found = entry.extensions.get_extension_for_oid(CRLEntryExtensionOID.CRL_REASON).value
    except (*reading.UNREADABLE, x509.ExtensionNotFound):
        return False
    return isinstance(found, x509.CRLReason) and found.reason is x509.ReasonFlags.remove_from_crl


def _covers(found: RevocationList, certificate: x509.Certificate) -> bool:
    """Whether the part of the certificates that the list is about has this one (RFC 5280 section 5.2.5)."""
    try:
        part = found.parsed.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return True
    if part.indirect_crl or part.only_some_reasons or part.only_contains_attribute_certs or part.relative_name:
        return False
    limits = reading.extension(certificate, x509.BasicConstraints)
    is_authority = limits is not None and limits.ca
    if (part.only_contains_ca_certs and not is_authority) or (part.only_contains_user_certs and is_authority):
        return False
    return part.full_name is None or bool(set(part.full_name) & _points(certificate))


def _points(certificate: x509.Certificate) -> set[x509.GeneralName]:
    points: Sequence[x509.DistributionPoint] = tuple(reading.extension(certificate, x509.CRLDistributionPoints) or ())
    return {name for point in points for name in point.full_name or ()}


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
