"""I/O: key files.  The TLS contexts of listeners: 1.3 only, or 1.2 as well where the site says so.

No tickets anywhere: a resumed session would skip the look at a client certificate.  No compression, no renegotiation.
Groups are what OpenSSL prefers: from 3.5 on that begins with the hybrid X25519MLKEM768 (ML-KEM: FIPS 203).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from penstock.model import GateSettings

#: TLS 1.2 with forward secrecy and authenticated encryption only (RFC 9325 section 4.2).
TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """The certificate (with its chain) that listeners show, its key, and the authority that clients are to believe."""

    certificate: Path
    key: Path
    authority: Path
    is_own: bool
    """The site's own, not made by the gate's authority."""

    @property
    def made_at(self) -> tuple[int, int]:
        """Changes when the files do."""
        return self.certificate.stat().st_mtime_ns, self.key.stat().st_mtime_ns


def key_files(settings: GateSettings) -> KeyFiles:
    """What this gate shows."""
    keys, own = Path(settings.state_dir) / "keys", settings.tls
    if own.certificate is None or own.key is None:
        return KeyFiles(certificate=keys / "gate.pem", key=keys / "gate.key", authority=keys / "ca.pem", is_own=False)
    authority = Path(own.authority or own.certificate)
    return KeyFiles(certificate=Path(own.certificate), key=Path(own.key), authority=authority, is_own=True)


class Served:
    """A context and the files that it was made of; `refresh` takes up what was renewed, for handshakes to come."""

    def __init__(self, context: ssl.SSLContext, files: KeyFiles) -> None:
        self.context, self._files = context, files
        self._made_at = files.made_at

    def refresh(self) -> bool:
        """Whether there was something new.  A file that is not whole yet is left alone until the next time."""
        try:
            made_at = self._files.made_at
            if made_at == self._made_at:
                return False
            # A pair that does not match would leave the context without a key, so it is tried elsewhere first.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._files.certificate, self._files.key)
            self.context.load_cert_chain(self._files.certificate, self._files.key)
        except (OSError, ssl.SSLError):
            return False
        self._made_at = made_at
        return True


def served(
    settings: GateSettings, alpn: tuple[str, ...], client_authorities: Path | None = None, *, may_be_old: bool = False
) -> Served:
    """A context for a listener of this gate.  With `client_authorities` every client must show a certificate.

    `may_be_old`: TLS 1.2 is allowed where the settings allow it.  Raises `OSError` (`ssl.SSLError` is one).
    """
    files = key_files(settings)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    is_old = may_be_old and settings.tls.allows_1_2
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if is_old else ssl.TLSVersion.TLSv1_3
    if is_old:
        context.set_ciphers(TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols(list(alpn))
    context.load_cert_chain(files.certificate, files.key)
    if client_authorities is not None:
        context.load_verify_locations(client_authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return Served(context, files)
