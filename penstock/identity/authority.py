"""I/O: key files.  The gate's own certificate authority and its keys, in ``state_dir/keys``.

Made at the first start: ``ca.pem ca.key gate.pem gate.key totp.key``, keys readable by the gate's own user only;
``opcua.key opcua.der`` when a site document first wants them.
What is signed is `certificates`' business.  It must never overwrite an authority that exists, nor use a key file that
others can read.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from penstock.identity import certificates
from penstock.identity.certificates import ClientCertificate
from penstock.identity.sealing import KEY_BYTES
from penstock.model import Tampered

RENEW_AHEAD = timedelta(days=7)
_OTHERS = 0o077
#: OPC 10000-7, 6.6: all policies of today take this length, and each use of a longer key costs the workers more.
_RSA_BITS, _RSA_EXPONENT = 2048, 65_537
_MAX_SECRET = 4096


class Authority:
    """The authority of one gate."""

    def __init__(self, folder: Path, gate: str, names: tuple[str, ...], now_us: int) -> None:
        self._folder, self._names = folder, names
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._key = _private_key(folder / "ca.key")
        path = folder / "ca.pem"
        if not path.exists():
            _write(path, certificates.make_authority(gate, self._key, now_us).public_bytes(Encoding.PEM), 0o644)
        self._certificate = x509.load_pem_x509_certificate(path.read_bytes())
        if self._certificate.public_key() != self._key.public_key():
            raise Tampered("ca.key is not the key of ca.pem")
        self.renew(now_us)

    @property
    def pem(self) -> str:
        """The authority's certificate: what clients trust."""
        return self._certificate.public_bytes(Encoding.PEM).decode()

    def read(self, path: str) -> str:
        """The last certificate (PEM) of another file: the top of a chain."""
        found = x509.load_pem_x509_certificates(Path(path).read_bytes())
        return found[-1].public_bytes(Encoding.PEM).decode()

    def renew(self, now_us: int) -> bool:
        """Make the gate's certificate anew where it is missing, ends within `RENEW_AHEAD`, or names change."""
        key = _private_key(self._folder / "gate.key")
        path = self._folder / "gate.pem"
        if path.exists():
            present = x509.load_pem_x509_certificate(path.read_bytes())
            is_ours = present.issuer == self._certificate.subject and present.public_key() == key.public_key()
            if is_ours and not certificates.is_due(present, self._names, now_us, RENEW_AHEAD):
                return False
        made = certificates.make_server(self._certificate, self._key, key, self._names, now_us)
        _write(path, made.public_bytes(Encoding.PEM), 0o644)
        return True

    def make_application(self, now_us: int) -> bytes | None:
        """A certificate (DER) for OPC UA where the gate has none, ``None`` where it has one; its key is kept at once.

        `keep_application` puts it in place.  It is never made anew by itself: other applications trust this very one.
        Takes up to a second.  Raises `Tampered` where others may read the key, or it is another's.
        """
        path, certificate = self._folder / "opcua.key", self._folder / "opcua.der"
        if not path.exists():
            made = rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)
            _write(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
        key = load_pem_private_key(_read_private(path), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise Tampered(f"{path.name} is not an RSA key")
        if certificate.exists():
            present = x509.load_der_x509_certificate(certificate.read_bytes())
            if present.public_key() != key.public_key():
                raise Tampered("opcua.key is not the key of opcua.der")
            return None
        return certificates.make_application(key, self._names[0], self._names, now_us).public_bytes(Encoding.DER)

    def keep_application(self, certificate: bytes) -> None:
        """From now on this is the gate's certificate for OPC UA."""
        _write(self._folder / "opcua.der", certificate, 0o644)

    def check(self, csr_pem: str) -> None:
        """Whether this request could be signed, before anybody's proof is used up on it.  Raises `Invalid`."""
        certificates.key_of_request(csr_pem)

    def issue(self, csr_pem: str, subject: str, expires_at_us: int, now_us: int) -> ClientCertificate:
        """A client certificate for the key of this request.  Raises `Invalid`."""
        key = certificates.key_of_request(csr_pem)
        return certificates.make_client(self._certificate, self._key, key, subject, expires_at_us, now_us)


def read_or_make_secret(path: Path, length_bytes: int = KEY_BYTES) -> bytes:
    """The secret in this file; made at the first start.  Raises `Tampered` when others may read it or it is cut."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, secrets.token_bytes(length_bytes), 0o600)
    secret = _read_private(path)
    if len(secret) != length_bytes:
        raise Tampered(f"{path.name} is not {length_bytes} bytes long")
    return secret


def read_secret(path: Path) -> str:
    """The text in a file that nobody but the gate's user may read.  Raises `OSError` and `Tampered`."""
    text = _read_private(path).decode(errors="replace").strip()
    if not text or len(text) > _MAX_SECRET:
        raise Tampered(f"{path.name} is empty or longer than {_MAX_SECRET} characters")
    return text


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        _write(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    key = load_pem_private_key(_read_private(path), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Tampered(f"{path.name} is not an ECDSA key")
    return key


def _read_private(path: Path) -> bytes:
    if path.stat().st_mode & _OTHERS:
        raise Tampered(f"{path.name} can be read by others; set its mode to 0600 and replace the key")
    return path.read_bytes()


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write durably and whole: a power cut leaves the old file or the new one."""
    part = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
