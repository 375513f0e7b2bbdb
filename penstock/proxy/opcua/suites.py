"""What the security policies of OPC UA do with bytes: sign, verify, encrypt, decrypt, derive keys (OPC 10000-7, 6.6).

Pure: keys and random bytes come in as arguments (but for what RSA itself blinds and salts with).  Whatever does not
check out is `Malformed`, always the same one, so that nobody learns from an error how far a forged message came.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from penstock.model import Malformed

#: OPC 10000-7: keys that the three policies take; a longer one costs the gate more than it may.
MIN_KEY_BITS, MAX_KEY_BITS = 2048, 4096
#: Real exponents have 17 bits.  Checking a signature takes as long as the exponent is, up to a hundred times longer.
MAX_EXPONENT_BITS: Final = 64
LEAST_KEY_BYTES: Final = MIN_KEY_BITS // 8
BLOCK_BYTES: Final = 16
MAC_BYTES: Final = 32
_POLICY_PREFIX: Final = "http://opcfoundation.org/UA/SecurityPolicy#"
_PKCS1_URI: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_PSS_URI: Final = "http://opcfoundation.org/UA/security/rsa-pss-sha2-256"
OAEP_SHA1_URI: Final = "http://www.w3.org/2001/04/xmlenc#rsa-oaep"
OAEP_SHA256_URI: Final = "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256"
Hashing = type[hashes.SHA1] | type[hashes.SHA256]
#: By the URI of the algorithm that encrypts secrets of users; older ones can be broken, and are not here.
SECRETS: Final[Mapping[str, Hashing]] = MappingProxyType({OAEP_SHA1_URI: hashes.SHA1, OAEP_SHA256_URI: hashes.SHA256})
_SHA256: Final = hashes.SHA256()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One security policy: `encryption_bytes` and `nonce_bytes` are lengths of keys and nonces."""

    name: str
    encryption_bytes: int
    nonce_bytes: int
    oaep: Hashing
    signature_uri: str

    @property
    def uri(self) -> str:
        """As it stands on the wire."""
        return _POLICY_PREFIX + self.name

    def sign(self, key: rsa.RSAPrivateKey, data: bytes) -> bytes:
        """An asymmetric signature."""
        return key.sign(data, self._signing(), _SHA256)

    def verify(self, key: rsa.RSAPublicKey, signature: bytes, data: bytes) -> None:
        """Raises `Malformed` where this is not the signature over the data."""
        try:
            key.verify(signature, data, self._signing(), _SHA256)
        except InvalidSignature as error:
            raise _does_not_check_out() from error

    def _signing(self) -> padding.AsymmetricPadding:
        if self.signature_uri == _PSS_URI:
            return padding.PSS(padding.MGF1(_SHA256), _SHA256.digest_size)
        return padding.PKCS1v15()


SUITES: Final = MappingProxyType(
    {
        suite.uri: suite
        for suite in (
            Suite(
                name="Basic256Sha256",
                encryption_bytes=32,
                nonce_bytes=32,
                oaep=hashes.SHA1,
                signature_uri=_PKCS1_URI,
            ),
            Suite(
                name="Aes128_Sha256_RsaOaep",
                encryption_bytes=16,
                nonce_bytes=32,
                oaep=hashes.SHA1,
                signature_uri=_PKCS1_URI,
            ),
            Suite(
                name="Aes256_Sha256_RsaPss",
                encryption_bytes=32,
                nonce_bytes=32,
                oaep=hashes.SHA256,
                signature_uri=_PSS_URI,
            ),
        )
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An application's certificate in DER form, its key where it is the gate's own, and its thumbprint."""

    der: bytes
    public: rsa.RSAPublicKey
    private: rsa.RSAPrivateKey | None = None

    @property
    def thumbprint(self) -> bytes:
        """SHA-1 (OPC 10000-6, 6.7.2.3)."""
        return hashlib.sha1(self.der, usedforsecurity=False).digest()

    @property
    def uri(self) -> str:
        """The application's URI, empty where the certificate names none (OPC 10000-6, 6.2.2)."""
        certificate = x509.load_der_x509_certificate(self.der)
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, ValueError):
            return ""
        return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")


def read_identity(der: bytes) -> Identity:
    """The identity of another application.  Raises `Malformed` where there is no key in it that can be used."""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except Exception as error:
        raise Malformed("no certificate (OPC 10000-6, 6.2)") from error
    if not isinstance(key, rsa.RSAPublicKey) or not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        raise Malformed(f"a certificate without an RSA key of {MIN_KEY_BITS} to {MAX_KEY_BITS} bits (OPC 10000-7, 6.6)")
    if key.public_numbers().e.bit_length() > MAX_EXPONENT_BITS:
        raise Malformed(f"a certificate whose key has an exponent of more than {MAX_EXPONENT_BITS} bits")
    return Identity(der=der, public=key)


def first_certificate(chain: bytes) -> bytes:
    """The first certificate (DER) of those that stand one behind the other."""
    head = 4
    if len(chain) < head or chain[:2] != b"\x30\x82":
        return chain
    return chain[: head + int.from_bytes(chain[2:head], "big")]


def oaep(algorithm: Hashing) -> padding.OAEP:
    """The padding of asymmetric encryption."""
    return padding.OAEP(padding.MGF1(algorithm()), algorithm(), None)


def plain_block_bytes(key: rsa.RSAPublicKey, algorithm: Hashing) -> int:
    """How many bytes one block of asymmetric encryption holds (RFC 8017, 7.1.1)."""
    return key.key_size // 8 - 2 * algorithm.digest_size - 2


def encrypt(key: rsa.RSAPublicKey, algorithm: Hashing, data: bytes) -> bytes:
    """Block by block."""
    step, how = plain_block_bytes(key, algorithm), oaep(algorithm)
    return b"".join(key.encrypt(data[at : at + step], how) for at in range(0, len(data), step))


def decrypt(key: rsa.RSAPrivateKey, algorithm: Hashing, data: bytes, most: int) -> bytes:
    """Block by block, at most so many blocks: each takes about a millisecond.  Raises `Malformed`."""
    step, how = key.key_size // 8, oaep(algorithm)
    if len(data) % step or not 0 < len(data) // step <= most:
        raise _does_not_check_out()
    try:
        return b"".join(key.decrypt(data[at : at + step], how) for at in range(0, len(data), step))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _does_not_check_out() from error


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Keys:
    """The symmetric keys of one direction (OPC 10000-6, 6.7.5)."""

    signing: bytes
    encryption: bytes
    vector: bytes

    @classmethod
    def derive(cls, suite: Suite, secret: bytes, seed: bytes) -> Keys:
        """P_SHA256 (RFC 5246, 5) of the receiver's nonce with the sender's as the seed."""
        wanted, found, chained = MAC_BYTES + suite.encryption_bytes + BLOCK_BYTES, b"", seed
        while len(found) < wanted:
            chained = hmac.digest(secret, chained, "sha256")
            found += hmac.digest(secret, chained + seed, "sha256")
        middle = MAC_BYTES + suite.encryption_bytes
        return cls(signing=found[:MAC_BYTES], encryption=found[MAC_BYTES:middle], vector=found[middle:wanted])

    def mac(self, data: bytes) -> bytes:
        """The signature of a chunk."""
        return hmac.digest(self.signing, data, "sha256")

    def check(self, data: bytes, signature: bytes) -> None:
        """Raises `Malformed` where this is not its signature."""
        if not hmac.compare_digest(self.mac(data), signature):
            raise _does_not_check_out()

    def encrypt(self, data: bytes) -> bytes:
        """AES in CBC mode, of whole blocks."""
        running = Cipher(algorithms.AES(self.encryption), modes.CBC(self.vector)).encryptor()
        return running.update(data) + running.finalize()

    def decrypt(self, data: bytes) -> bytes:
        """Raises `Malformed` where it is not whole blocks."""
        if len(data) % BLOCK_BYTES or not data:
            raise _does_not_check_out()
        running = Cipher(algorithms.AES(self.encryption), modes.CBC(self.vector)).decryptor()
        return running.update(data) + running.finalize()


def _does_not_check_out() -> Malformed:
    return Malformed("security checks failed (OPC 10000-6, 6.7)")
