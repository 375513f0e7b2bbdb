"""A public key infrastructure of three levels for tests of smart cards: root, issuing authority, cards; made at once.

ECDSA throughout, because RSA keys take long to make; what is about RSA makes its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from penstock.model import CardPlan

PIV = "2.16.840.1.101.3.2.1.3.13"
CARD_AUTH = "2.16.840.1.101.3.2.1.3.17"
UPN_OID = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
FASCN_OID = x509.ObjectIdentifier("2.16.840.1.101.3.6.6")
CARD_AUTH_USAGE = x509.ObjectIdentifier("2.16.840.1.101.3.6.8")
CARD_UUID = "urn:uuid:6c7b2e8a-6f0b-4d8e-9d2b-0f8f0c6f3a11"
FASCN = bytes(range(25))
DAY = dt.timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def name(common: str, *units: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Riverside")]
    parts += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def utf8(text: str | bytes) -> bytes:
    content = text.encode() if isinstance(text, str) else text
    return bytes((0x0C, len(content))) + content


def upn(text: str | bytes) -> x509.OtherName:
    return x509.OtherName(UPN_OID, utf8(text))


def fascn(content: bytes = FASCN) -> x509.OtherName:
    return x509.OtherName(FASCN_OID, bytes((0x04, len(content))) + content)


def usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


def key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def policies(*oids: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids])


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One authority: it issues authorities, cards, lists and answers."""

    certificate: x509.Certificate
    key: Key
    now: dt.datetime

    @classmethod
    def root(cls, now: dt.datetime, common: str = "Riverside Root", key: Key | None = None) -> Authority:
        key = key or ec.generate_private_key(ec.SECP256R1())
        return cls(certificate=_authority(name(common), key, None, now), key=key, now=now)

    def issuing(self, common: str = "Riverside Cards 1", stated: Iterable[str] = (PIV,), **more: Any) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _authority(name(common), key, self, self.now, tuple(stated), **more)
        return Authority(certificate=certificate, key=key, now=self.now)

    def card(
        self,
        *,
        subject: x509.Name | None = None,
        key: Key | None = None,
        names: Iterable[x509.GeneralName] | None = None,
        stated: Iterable[str] = (PIV,),
        purposes: Iterable[x509.ObjectIdentifier] = (
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ExtendedKeyUsageOID.SMARTCARD_LOGON,
        ),
        begins: dt.datetime | None = None,
        ends: dt.datetime | None = None,
        is_for_signatures: bool = True,
        responder: str | None = None,
        point: str | None = None,
        public: Any = None,
        serial: int | None = None,
    ) -> x509.Certificate:
        """A card's certificate; what is not said is as it should be."""
        public = public or (key or ec.generate_private_key(ec.SECP256R1())).public_key()
        default = [upn("ada@riverside.ot"), fascn(), x509.UniformResourceIdentifier(CARD_UUID)]
        alternatives = [*default, x509.RFC822Name("ada@riverside.example")] if names is None else list(names)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject or name("LOVELACE.ADA.K.1234567890", "Operations"))
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(begins or self.now - DAY)
            .not_valid_after(ends or self.now + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage(is_authority=not is_for_signatures), critical=True)
            .add_extension(_issuer_key(self.certificate), critical=False)
        )
        if list(purposes):
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if list(stated):
            builder = builder.add_extension(policies(*stated), critical=False)
        if responder:
            place = x509.UniformResourceIdentifier(responder)
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        if point:
            builder = builder.add_extension(x509.CRLDistributionPoints([_point(point)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def list_of(
        self,
        *revoked: x509.Certificate,
        begins: dt.datetime | None = None,
        ends: dt.datetime | None = None,
        signer: Key | None = None,
        reason: x509.ReasonFlags | None = None,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> bytes:
        """A revocation list (DER)."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begins or self.now - dt.timedelta(hours=1))
            .next_update(ends or self.now + DAY)
        )
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, critical=is_critical)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.serial_number).revocation_date(self.now)
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(signer or self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def answer(
        self,
        certificate: x509.Certificate,
        nonce: bytes | None,
        status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
        begins: dt.datetime | None = None,
        ends: dt.datetime | None = None,
        signer: tuple[x509.Certificate, Key] | None = None,
        issuer: x509.Certificate | None = None,
        sends: Iterable[x509.Certificate] = (),
        named: ocsp.OCSPResponderEncoding = ocsp.OCSPResponderEncoding.HASH,
    ) -> bytes:
        """A responder's answer (DER)."""
        is_revoked = status is ocsp.OCSPCertStatus.REVOKED
        responder, key = signer or (self.certificate, self.key)
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=certificate,
                issuer=issuer or self.certificate,
                algorithm=hashes.SHA1(),
                cert_status=status,
                this_update=begins or self.now - dt.timedelta(minutes=1),
                next_update=ends or self.now + dt.timedelta(hours=1),
                revocation_time=self.now if is_revoked else None,
                revocation_reason=None,
            )
            .responder_id(named, responder)
        )
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        if list(sends):
            builder = builder.certificates(list(sends))
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _authority(
    subject: x509.Name,
    key: Key,
    by: Authority | None,
    now: dt.datetime,
    stated: tuple[str, ...] = (),
    permitted: x509.NameConstraints | None = None,
    limits_are_critical: bool = True,  # noqa: FBT001, FBT002
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 100 * DAY)
        .not_valid_after(now + 900 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if by is not None:
        builder = builder.add_extension(_issuer_key(by.certificate), critical=False)
    if stated:
        builder = builder.add_extension(policies(*stated), critical=False)
    if permitted is not None:
        builder = builder.add_extension(permitted, critical=limits_are_critical)
    return builder.sign(key if by is None else by.key, hashes.SHA256())


def _issuer_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _point(url: str) -> x509.DistributionPoint:
    place = [x509.UniformResourceIdentifier(url)]
    return x509.DistributionPoint(full_name=place, relative_name=None, reasons=None, crl_issuer=None)


def plan_of(root: Authority, **changed: Any) -> CardPlan:
    given: dict[str, Any] = {"name": "cards", "title": "Smart card", "authorities": pem(root.certificate), **changed}
    return CardPlan(**given)
