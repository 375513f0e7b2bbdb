"""Whether certificates are those of authorities, or of applications.

Loaded only where a site has cards, or a service whose channels the gate ends: other workers never need X.509.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

#: Keys that the security policies of OPC UA take (OPC 10000-7, 6.6).
_MIN_KEY_BITS, _MAX_KEY_BITS = 2048, 4096


def problems_of(pem: str) -> tuple[int, list[tuple[str, str]]]:
    """How many certificates there are, and subject and trouble of each that no card can be traced to.

    Raises `ValueError` where one cannot be read.
    """
    found = x509.load_pem_x509_certificates(pem.encode())
    return len(found), [(each.subject.rfc4514_string(), why) for each in found if (why := _why_no_authority(each))]


def _why_no_authority(certificate: x509.Certificate) -> str:
    """Why no card can be traced to this certificate (RFC 5280 sections 4.2.1.3 and 4.2.1.9); empty where one can."""
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "is no authority's certificate (basic constraints)"
        if not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            return "may not issue certificates (key usage)"
    except x509.ExtensionNotFound as error:
        what = "basic constraints" if error.oid == x509.BasicConstraints.oid else "key usage"
        return f"is no authority's certificate: it has no {what}"
    return ""


def why_no_application(pem: str) -> str:
    """Why no server of OPC UA can have this certificate; empty where one can."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        key = found[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "cannot be read"
    if len(found) != 1:
        return f"has {len(found)} certificates, not one"
    if not isinstance(key, rsa.RSAPublicKey) or not _MIN_KEY_BITS <= key.key_size <= _MAX_KEY_BITS:
        return f"has no RSA key of {_MIN_KEY_BITS} to {_MAX_KEY_BITS} bits"
    return ""
