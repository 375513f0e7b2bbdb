"""Signing in with a card and no TLS: a challenge of the gate, and a signature by the card's key.

For `penstock login --pkcs11`: Python's TLS cannot use a key that stays in a card.  What is signed begins with words
that no TLS handshake and no document begins with, and names the gate and the request for the station's certificate.
Pure: the challenge key, randomness and times come in.  `CardChallenges` must never accept a challenge twice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from penstock.identity.card import reading
from penstock.identity.card.unfit import Unfit

#: TLS 1.3 signs 64 spaces first (RFC 8446 section 4.4.3), TLS 1.2 a handshake message; a CMS attribute set begins 0x31.
DOMAIN = b"Penstock smart card sign-in, version 1\0"
LIFETIME_US = 60 * 1_000_000
RANDOM_BYTES = 24
_MAC_BYTES = 32
_TIME_BYTES = 8
_LENGTH = RANDOM_BYTES + _TIME_BYTES + _MAC_BYTES


def card_message(authority_fingerprint: bytes, challenge: str, csr_pem: str) -> bytes:
    """What the card signs: both sides make it, so that neither takes the other's word.

    `authority_fingerprint` is the SHA-256 of the gate's authority certificate (DER).
    """
    parts = (
        authority_fingerprint,
        hashlib.sha256(challenge.encode()).digest(),
        hashlib.sha256(csr_pem.encode()).digest(),
    )
    return DOMAIN + b"".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedChallenge:
    """A challenge as a card answered it: `certificates` in DER form, the card's own first."""

    challenge: str
    certificates: tuple[bytes, ...]
    signature: bytes = field(repr=False)
    csr_pem: str

    def check(self, authority_fingerprint: bytes) -> None:
        """Whether the key of the first certificate signed that.  Raises `Unfit`."""
        if not self.certificates:
            raise Unfit("there is no certificate")
        signed = card_message(authority_fingerprint, self.challenge, self.csr_pem)
        _check_signature(reading.load(self.certificates[0]), self.signature, signed)


def _check_signature(leaf: x509.Certificate, signature: bytes, signed: bytes) -> None:
    """Whether the card's key signed that: RSA PKCS #1 v1.5 with SHA-256, ECDSA (DER) with SHA-256.  Raises `Unfit`."""
    key = reading.key_of(leaf)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Unfit("the signature is not by the certificate's key") from None


class CardChallenges:
    """Challenges of one run of the gate: nothing is kept of one until it was answered, then that it was used."""

    RANDOM_BYTES = RANDOM_BYTES

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._used: dict[bytes, int] = {}

    def make(self, random: bytes, now_us: int) -> str:
        """A new one out of 24 random bytes.  `now_us`, here and below, is of a clock that nobody can set."""
        assert len(random) == RANDOM_BYTES
        body = random + (now_us + LIFETIME_US).to_bytes(_TIME_BYTES, "big")
        return base64.urlsafe_b64encode(body + self._mac(body)).decode()

    def check(self, challenge: str, now_us: int) -> bytes:
        """What is in it, where it is ours, young, and not used.  Raises `Unfit`."""
        try:
            content = base64.b64decode(challenge, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            content = b""
        body, mac = content[:-_MAC_BYTES], content[-_MAC_BYTES:]
        if len(content) != _LENGTH or not hmac.compare_digest(mac, self._mac(body)):
            raise Unfit("the challenge is not of this gate")
        if int.from_bytes(body[RANDOM_BYTES:], "big") <= now_us:
            raise Unfit("the challenge has expired")
        if body in self._used:  # not the text: several texts of base64 mean the same bytes
            raise Unfit("the challenge was used before")
        return body

    def use(self, challenge: str, now_us: int) -> None:
        """It was answered rightly: never again.  Raises `Unfit` when somebody was faster."""
        body = self.check(challenge, now_us)
        self._used = {each: until for each, until in self._used.items() if until > now_us}
        self._used[body] = now_us + LIFETIME_US

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, b"card challenge" + body, "sha256")
