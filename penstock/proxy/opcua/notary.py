"""The gate's keys, as the messages of a session need them: see `penstock.wire.opcua.terminating.Notary`.

Pure.  Nothing of a secret goes anywhere but into the encryption for the server.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed
from penstock.proxy.opcua.end import SecuredEnd
from penstock.proxy.opcua.suites import SECRETS, SUITES, Identity, decrypt, encrypt, read_identity

#: A password has at most 64 bytes or so, an issued token some more; each block of 200 bytes is one use of the key.
MAX_SECRET_BLOCKS: Final = 8
_LENGTH_BYTES: Final = 4


class ChannelNotary:
    """Speaks for the gate, `own`, between one client's channel and `trusted`, the server of the site document."""

    def __init__(self, own: Identity, trusted: Identity, client: SecuredEnd) -> None:
        self._own, self._trusted, self._client_end = own, trusted, client
        self.gate, self.server, self.uri = own.der, trusted.der, own.uri
        self.policies = frozenset({"None", *(suite.name for suite in SUITES.values())})

    @property
    def client(self) -> bytes:
        """The certificate with which the client opened its channel."""
        other = self._client_end.other
        return b"" if other is None else other.der

    def sign(self, data: bytes) -> tuple[str, bytes]:
        """The algorithm's URI and the signature."""
        suite, key = self._client_end.suite, self._own.private
        return ("", b"") if suite is None or key is None else (suite.signature_uri, suite.sign(key, data))

    def check(self, certificate: bytes, signature: bytes, data: bytes) -> None:
        """Raises `Malformed`."""
        suite = self._client_end.suite
        if suite is not None:
            suite.verify(read_identity(certificate).public, signature, data)

    def seal_again(self, secret: bytes, algorithm: str, nonce: bytes) -> bytes:
        """OPC 10000-4, 7.41.2.2: a length, the secret, and the server's last nonce behind it.  Raises `Malformed`."""
        hashing, key = SECRETS.get(algorithm), self._own.private
        if hashing is None or key is None:
            raise Malformed("a secret under an algorithm that the gate has not (OPC 10000-7, 6.6)")
        plain = decrypt(key, hashing, secret, MAX_SECRET_BLOCKS)
        size = int.from_bytes(plain[:_LENGTH_BYTES], "little")
        held = plain[_LENGTH_BYTES : _LENGTH_BYTES + size]
        if len(held) != size or not held.endswith(nonce):
            raise Malformed("a secret without the server's last nonce (OPC 10000-4, 7.41.2.2)")
        return encrypt(self._trusted.public, hashing, plain[: _LENGTH_BYTES + size])
