"""The key of a sign-in: made here, for this sign-in alone; only a request for a certificate leaves."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def key_and_request() -> tuple[bytes, str]:
    """A new P-256 key (PKCS #8, PEM) and a certification request (PKCS #10, RFC 2986, PEM) for it.

    The request names nobody: the gate writes the name of whoever signed in.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem, request.public_bytes(serialization.Encoding.PEM).decode("ascii")
