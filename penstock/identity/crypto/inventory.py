"""I/O: certificate files.  What the listeners' cryptography amounts to, asked of the contexts themselves.

For `penstock crypto`.  It must never list from memory what a context can be asked.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from penstock.identity.crypto.fips import fips_mode
from penstock.model import Json

#: The release of OpenSSL that brought ML-KEM and made X25519MLKEM768 the first group it offers.
HYBRID_SINCE = (3, 5)
_TLS_1_3 = "TLSv1.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerCrypto:
    """One listener: what it speaks, and the certificate that it shows."""

    name: str
    address: str
    versions: tuple[str, ...]
    suites: tuple[str, ...]
    asks_for_certificate: bool
    certificate: dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCrypto:
    """What computes: the OpenSSL behind Python's `ssl`, and the one inside of `cryptography`.

    `has_hybrid`: whether listeners offer the hybrid post-quantum group X25519MLKEM768.
    """

    ssl_module: str
    cryptography_module: str
    is_fips: bool
    is_cryptography_fips: bool
    has_hybrid: bool
    groups: str
    password_hash: str


def listener_crypto(name: str, address: str, context: ssl.SSLContext, certificate: Path) -> ListenerCrypto:
    """What this listener's context says of itself."""
    ciphers = context.get_ciphers()
    versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    spoken = tuple(_name(each) for each in versions if context.minimum_version <= each)
    return ListenerCrypto(
        name=name,
        address=address,
        versions=spoken,
        suites=tuple(each["name"] for each in ciphers if each["protocol"] in spoken or each["protocol"] == _TLS_1_3),
        asks_for_certificate=context.verify_mode is ssl.CERT_REQUIRED,
        certificate=certificate_facts(certificate),
    )


def module_crypto() -> ModuleCrypto:
    """What computes in this process."""
    is_fips = fips_mode()
    has_hybrid = ssl.OPENSSL_VERSION_INFO[:2] >= HYBRID_SINCE and not is_fips
    return ModuleCrypto(
        ssl_module=ssl.OPENSSL_VERSION,
        cryptography_module=backend.openssl_version_text(),
        is_fips=is_fips,
        is_cryptography_fips=bool(backend._fips_enabled),  # noqa: SLF001  there is no other way to ask
        has_hybrid=has_hybrid,
        groups="X25519MLKEM768 first (hybrid, FIPS 203)" if has_hybrid else _classical(is_fips=is_fips),
        password_hash="PBKDF2-HMAC-SHA-512" if is_fips else "argon2id",
    )


def certificate_facts(path: Path) -> dict[str, Json]:
    """Who a certificate is made out to, who made it, with which key, until when."""
    certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "key": _key_text(certificate),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "lifetime_days": round(lifetime.total_seconds() / 86_400),
    }


def _classical(*, is_fips: bool) -> str:
    return "P-256, P-384 and others of the FIPS provider" if is_fips else "X25519, P-256, X448, P-521, P-384"


def _name(version: ssl.TLSVersion) -> str:
    return {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: _TLS_1_3}[version]


def _key_text(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    match key:
        case ec.EllipticCurvePublicKey():
            return f"ECDSA {key.curve.name}"
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case _:
            return type(key).__name__
