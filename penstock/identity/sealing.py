"""Secrets at rest: AES-256-GCM under a key that is not in the database.

Pure.  A sealed value is bound to its subject: a row copied to another subject does not open.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from penstock.model import Tampered

KEY_BYTES = 32
#: SP 800-38D section 8.2.2: 96 random bits; the number of secrets sealed stays far below its 2**32 bound.
_NONCE_BYTES = 12


class Seal:
    """Closes and opens small secrets with one key; `random_bytes` makes the nonces."""

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self._cipher, self._random_bytes = AESGCM(key), random_bytes
        #: Another use of the key gets a key of its own (SP 800-108, in its simplest form).
        self._marking = hmac.new(key, b"penstock mark", hashlib.sha256).digest()

    def close(self, secret: str, subject: str) -> bytes:
        """The secret, unreadable without the key."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), subject.encode())

    def mark(self, secret: str, subject: str) -> str:
        """What is kept of a secret that is only ever compared (hex): it says nothing without the key."""
        return hmac.new(self._marking, f"{subject}\0{secret}".encode(), hashlib.sha256).hexdigest()

    def open(self, sealed: bytes, subject: str) -> str:
        """The secret again.  Raises `Tampered` when it was changed or belongs to somebody else."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], subject.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise Tampered(f"the sealed secret of {subject} does not open") from error
