"""X.509 (RFC 5280): the gate's own authority, its server certificate, and short-lived client certificates.

Pure: keys, requests and times come in, certificates go out.  It must never sign a request whose own signature does not
hold, nor put anything of a request into a certificate but its public key.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from penstock.model import Invalid, Problem

AUTHORITY_LIFETIME = timedelta(days=3650)
#: Short, instead of revocation: who stole its key has it for days, and clients need no list and no responder.
SERVER_LIFETIME = timedelta(days=14)
#: A client certificate never outlives a working day, so no revocation list is needed.
MAX_CLIENT_LIFETIME_S = 12 * 3600
#: Certificates begin a little in the past: clocks of stations differ.
_BACKDATED = timedelta(minutes=5)
_MIN_RSA_BITS = 2048
_MAX_REQUEST_BYTES = 16 * 1024
_CURVES = (ec.SECP256R1, ec.SECP384R1)

ClientKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A certificate as PEM, the SHA-256 of its DER form in hex (what grants are bound to), and when it ends."""

    pem: str
    fingerprint: str
    serial: str
    expires_at_us: int


def make_authority(gate: str, key: ec.EllipticCurvePrivateKey, now_us: int) -> x509.Certificate:
    """The certificate of the authority itself: it may sign end certificates and nothing else."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Penstock {gate}"[:64])])
    now = _moment(now_us)
    public = key.public_key()
    return (
        _builder(name, name, public, now - _BACKDATED, now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def make_server(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
    now_us: int,
) -> x509.Certificate:
    """The gate's own certificate for these host names and addresses."""
    now = _moment(now_us)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    return (
        _end_builder(authority, subject, key.public_key(), now + SERVER_LIFETIME, now)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def make_client(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    key: ClientKey,
    subject: str,
    expires_at_us: int,
    now_us: int,
) -> ClientCertificate:
    """A client certificate for this subject, until `expires_at_us` but never longer than twelve hours."""
    now = _moment(now_us)
    end_us = min(expires_at_us, now_us + MAX_CLIENT_LIFETIME_S * 1_000_000) // 1_000_000 * 1_000_000
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    certificate = (
        _end_builder(authority, name, key, _moment(end_us), now)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    return ClientCertificate(
        pem=certificate.public_bytes(Encoding.PEM).decode(),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        serial=f"{certificate.serial_number:x}",
        expires_at_us=end_us,
    )


def make_application(key: rsa.RSAPrivateKey, gate: str, names: tuple[str, ...], now_us: int) -> x509.Certificate:
    """The gate's certificate as an application of OPC UA (OPC 10000-6, 6.2.2), client and server, signed by itself.

    The security policies ask for an RSA signature (OPC 10000-7, 6.6), which the gate's authority does not make; other
    applications trust such a certificate one by one.  So it lives as long as the authority.
    """
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Penstock {gate}"[:64])])
    now, public = _moment(now_us), key.public_key()
    others = [x509.UniformResourceIdentifier(application_uri(gate)), *(_alternative(each) for each in names)]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        _builder(name, name, public, now - _BACKDATED, now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(others), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def application_uri(gate: str) -> str:
    """How applications of OPC UA call the gate."""
    return f"urn:{gate}:penstock"


def key_of_request(csr_pem: str) -> ClientKey:
    """The public key that a certificate request (RFC 2986) asks for.  Raises `Invalid`.

    The request's own signature must hold, and the key must be P-256, P-384, Ed25519 or RSA of 2048 bits or more
    (SP 800-57 part 1, table 2: 112 bits of strength).
    """
    if len(csr_pem) > _MAX_REQUEST_BYTES:
        raise _refused("it is too long")
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        key = request.public_key()
        is_signed = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise _refused("it is not a PEM certificate request") from None
    if not is_signed:
        raise _refused("its signature does not hold")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise _refused("its key is too weak or of a kind that the gate does not take")


def is_due(certificate: x509.Certificate, names: tuple[str, ...], now_us: int, ahead: timedelta) -> bool:
    """Whether a server certificate must be made anew: it ends within `ahead`, or is made out to other names."""
    if certificate.not_valid_after_utc - _moment(now_us) < ahead:
        return True
    try:
        stated = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return True
    return set(stated) != {_alternative(name) for name in names}


def _refused(why: str) -> Invalid:
    return Invalid(Problem(where="csr_pem", why=why, hint="send a PEM request with an ECDSA P-256 key"))


def _moment(now_us: int) -> datetime:
    return datetime.fromtimestamp(now_us // 1_000_000, UTC)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ClientKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _end_builder(
    authority: x509.Certificate, subject: x509.Name, key: ClientKey, end: datetime, now: datetime
) -> x509.CertificateBuilder:
    issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(subject, authority.subject, key, now - _BACKDATED, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
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
