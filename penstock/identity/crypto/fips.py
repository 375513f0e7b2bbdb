"""I/O: the loaded libraries.  Is this process in FIPS mode?  Asked by doing what FIPS mode must refuse.

FIPS mode is the system's: an OpenSSL provider that the site installs and configures (``OPENSSL_CONF``).  Penstock uses
it and is no validated module itself.  What a claim rests on is the module that the site installed, and its certificate.

It must never say that FIPS mode is on because a setting says so.
"""

from __future__ import annotations

import _hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

#: `InternalError`: what `cryptography` makes of an algorithm that its OpenSSL has no provider for.
_REFUSALS = (ValueError, UnsupportedAlgorithm, InternalError, ssl.SSLError, RuntimeError)
_MOST_TURNS = 10
_MAPS = Path("/proc/self/maps")


@dataclass(frozen=True, slots=True, kw_only=True)
class FipsFinding:
    """One thing that was tried: what, what FIPS mode must answer, and what came."""

    what: str
    wanted: str
    found: str

    @property
    def is_right(self) -> bool:
        """Whether it is as FIPS mode has it."""
        return self.wanted == self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class FipsCheck:
    """All findings; `module` is the provider's file, empty where none is loaded."""

    findings: tuple[FipsFinding, ...]
    module: str

    @property
    def is_on(self) -> bool:
        """Whether every finding is as FIPS mode has it."""
        return all(each.is_right for each in self.findings)


def fips_mode() -> bool:
    """What the OpenSSL behind Python says of itself (``EVP_default_properties_is_fips_enabled``)."""
    return bool(_hashlib.get_fips_mode())


def check_fips() -> FipsCheck:
    """Try, in both libraries, what must be refused and what must work."""
    trials: tuple[tuple[str, bool, Callable[[], object]], ...] = (
        ("ssl: MD5", False, lambda: _hashlib.new("md5", b"")),
        ("ssl: SHA-256", True, lambda: _hashlib.new("sha256", b"")),
        ("ssl: handshake over X25519", False, lambda: _shake_hands("X25519")),
        ("ssl: handshake over P-256", True, lambda: _shake_hands("prime256v1")),
        ("ssl: suite ChaCha20-Poly1305", False, lambda: _context().set_ciphers("ECDHE+CHACHA20")),
        ("cryptography: MD5", False, lambda: hashes.Hash(hashes.MD5())),  # noqa: S303
        ("cryptography: X25519", False, x25519.X25519PrivateKey.generate),
        ("cryptography: ChaCha20-Poly1305", False, lambda: ChaCha20Poly1305(bytes(32)).encrypt(bytes(12), b"", None)),
        ("cryptography: P-256", True, lambda: ec.generate_private_key(ec.SECP256R1())),
        ("cryptography: AES-256-GCM", True, lambda: AESGCM(bytes(32)).encrypt(bytes(12), b"", None)),
    )
    findings = [
        FipsFinding(what="ssl: FIPS properties by default", wanted="on", found="on" if fips_mode() else "off"),
        FipsFinding(
            what="cryptography: FIPS mode",
            wanted="on",
            found="on" if backend._fips_enabled else "off",  # noqa: SLF001  there is no other way to ask
        ),
        *(_tried(what, trial, works=works) for what, works, trial in trials),
    ]
    module = _loaded_module()
    findings.append(FipsFinding(what="a FIPS provider is loaded", wanted="yes", found="yes" if module else "no"))
    return FipsCheck(findings=tuple(findings), module=module)


def _tried(what: str, trial: Callable[[], object], *, works: bool) -> FipsFinding:
    try:
        trial()
    except _REFUSALS:
        found = "refused"
    else:
        found = "works"
    return FipsFinding(what=what, wanted="works" if works else "refused", found=found)


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def _shake_hands(group: str) -> None:
    """TLS 1.3 in memory, over this group alone.  Raises `ssl.SSLError` where it cannot be had."""
    server, client = _context(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _give_certificate(server)
    server.set_ecdh_curve(group)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    for _ in range(_MOST_TURNS):
        waiting = 0
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting += 1
        if not waiting:
            return
    raise ssl.SSLError(f"no handshake over {group}")


def _give_certificate(context: ssl.SSLContext) -> None:
    """A certificate for a minute, that nobody sees."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "check")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(minutes=1))
        .sign(key, hashes.SHA256())
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "check.pem"
        path.touch(mode=0o600)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(made.public_bytes(Encoding.PEM) + pem)
        context.load_cert_chain(path)


def _loaded_module() -> str:
    """The file of the provider in this process, by what the kernel has mapped."""
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    files = (line.partition("/")[2] for line in lines if "/" in line)
    return next((f"/{name}" for name in files if name.rpartition("/")[2] == "fips.so"), "")
