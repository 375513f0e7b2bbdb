"""I/O: the site's own certificate for the listeners, looked at before anything starts."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509

from penstock.model import GateSettings, Invalid, Problem

_OTHERS = 0o077


def check_own(settings: GateSettings, now: datetime) -> None:
    """The site's own certificate, before anything starts: readable, whole, in its time, made out to the gate's names.

    Raises `Invalid` with everything that is wrong.
    """
    own = settings.tls
    if own.certificate is None and own.key is None and own.authority is None:
        return
    if own.certificate is None or own.key is None:
        hint = "give --certificate and --key together"
        raise Invalid(Problem(where="--certificate", why="certificate and key belong together", hint=hint))
    problems = [
        Problem(where=option, why=f"{path} cannot be read", hint="the gate's user must be able to read it")
        for option, path in (("--certificate", own.certificate), ("--key", own.key), ("--authority", own.authority))
        if path is not None and not _is_readable(Path(path))
    ]
    problems = problems or _wrong(settings, Path(own.certificate), Path(own.key), now)
    if problems:
        raise Invalid(*problems)


def _wrong(settings: GateSettings, path: Path, key: Path, now: datetime) -> list[Problem]:
    authority = Path(settings.tls.authority or path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, key)
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
        x509.load_pem_x509_certificates(authority.read_bytes())
    except (OSError, ValueError, IndexError) as error:
        hint = "PEM files; the certificate first, its chain behind it; the key without a passphrase"
        return [Problem(where="--certificate", why=f"certificate and key cannot be used: {error}", hint=hint)]
    found = []
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        until = certificate.not_valid_after_utc.date()
        found.append(Problem(where="--certificate", why=f"it is not in its time (until {until})", hint="renew it"))
    missing = [name for name in settings.names if name not in _names(certificate)]
    if missing:
        why = f"it is not made out to {', '.join(missing)}"
        found.append(Problem(where="--certificate", why=why, hint="ask for these in the subject alternative names"))
    if key.stat().st_mode & _OTHERS:
        found.append(Problem(where="--key", why="others may read it", hint=f"chmod 600 {key}"))
    return found


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        stated = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in stated.get_values_for_type(x509.IPAddress)}
    return addresses | set(stated.get_values_for_type(x509.DNSName))


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
