"""An authenticator for passkeys in memory, with what it says and signs in the hands of the test (WebAuthn Level 3)."""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40
MODEL = bytes.fromhex("2fc0579f811347eab116bb5a8db9202a")
MODEL_TEXT = "2fc0579f-8113-47ea-b116-bb5a8db9202a"


def b64(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class SoftAuthenticator:
    """One device with one passkey; every lie it can tell is a field."""

    origin: str
    flags: int = PRESENT | VERIFIED
    counter: int = 1
    model: bytes = MODEL
    rp_id: str | None = None
    client: dict[str, Any] = field(default_factory=dict)
    maker: MakersAuthority | None = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes | None = None

    def register(self, options: str) -> str:
        """What `navigator.credentials.create` would give, as JSON."""
        asked = json.loads(options)
        self.user_handle = unb64(asked["user"]["id"])
        client = self._client("webauthn.create", asked["challenge"])
        data = self._data(self.rp_id or asked["rp"]["id"], ATTESTED)
        data += self.model + struct.pack(">H", len(self.credential_id)) + self.credential_id + self._cose()
        statement: dict[str, Any] = {}
        if self.maker is not None:
            signature = self.maker.device_key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
            statement = {"alg": -7, "sig": signature, "x5c": [self.maker.device_der(self.model)]}
        attestation = {"fmt": "packed" if statement else "none", "attStmt": statement, "authData": data}
        return self._answer({"clientDataJSON": b64(client), "attestationObject": b64(cbor2.dumps(attestation))})

    def sign_in(self, options: str, *, names_user: bool = True) -> str:
        """What `navigator.credentials.get` would give, as JSON."""
        asked = json.loads(options)
        self.counter += 1
        client = self._client("webauthn.get", asked["challenge"])
        data = self._data(self.rp_id or asked["rpId"], 0)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
        if names_user and self.user_handle is not None:
            response["userHandle"] = b64(self.user_handle)
        return self._answer(response)

    def _answer(self, response: dict[str, str]) -> str:
        name = b64(self.credential_id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps({**said, **self.client}).encode()

    def _data(self, rp_id: str, more_flags: int) -> bytes:
        head = hashlib.sha256(rp_id.encode()).digest()
        return head + bytes([self.flags | more_flags]) + struct.pack(">I", self.counter)

    def _cose(self) -> bytes:
        """RFC 9053 section 7.1.1: an ES256 key."""
        point = self.key.public_key().public_numbers()
        coordinates = {-2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
        return cbor2.dumps({1: 2, 3: -7, -1: 1, **coordinates})


class MakersAuthority:
    """The maker of authenticators: a root, and the certificate of a batch of devices."""

    def __init__(self) -> None:
        self.name = f"maker {secrets.token_hex(4)}"
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.device_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._certificate(self.name, self.root_key, self.root_key, is_authority=True)

    @property
    def pem(self) -> str:
        return self.root.public_bytes(Encoding.PEM).decode()

    def device_der(self, model: bytes) -> bytes:
        made = self._certificate("device", self.device_key, self.root_key, is_authority=False, model=model)
        return made.public_bytes(Encoding.DER)

    def _certificate(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        signer: ec.EllipticCurvePrivateKey,
        *,
        is_authority: bool,
        model: bytes | None = None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if model is not None:
            named = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4"), b"\x04\x10" + model)
            builder = builder.add_extension(named, critical=False)
        return builder.sign(signer, hashes.SHA256())
