"""I/O: the gate's key and certificate for OPC UA, from ``state_dir/keys``, and random bytes.

Loaded only where a site lets the gate end channels: other workers never need X.509.  Control makes both files before a
policy needs them, and never changes them.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from penstock.model import Malformed, Unavailable
from penstock.proxy.opcua.effort import Effort
from penstock.proxy.opcua.suites import Identity, read_identity
from penstock.proxy.opcua.terminated import TerminatedRelay
from penstock.proxy.relay import Relay

_OTHERS = 0o077


class Terminator:
    """Ends channels with the key in `folder`; all flows share its effort, subject by subject."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._effort = folder, Effort()
        self._own: Identity | None = None
        self._servers: dict[str, Identity] = {}

    def __call__(self, inner: Relay, server_pem: str, subject: str) -> Relay:
        """The relay that ends the channels of a flow.  Raises `Unavailable` without a key that can be used."""
        try:
            if self._own is None:
                self._own = read_own(self._folder)
            server = self._servers.get(server_pem)
            if server is None:
                self._servers.clear()
                found = x509.load_pem_x509_certificate(server_pem.encode())
                server = self._servers[server_pem] = read_identity(found.public_bytes(Encoding.DER))
        except (OSError, ValueError, Malformed) as error:
            raise Unavailable(f"the gate cannot end channels of OPC UA: {type(error).__name__}") from error
        return TerminatedRelay(inner, self._own, server, self._effort.of(subject), os.urandom)


def read_own(folder: Path) -> Identity:
    """The gate's identity.  Raises `OSError`, `ValueError` and `Malformed`."""
    path = folder / "opcua.key"
    if path.stat().st_mode & _OTHERS:
        raise ValueError("opcua.key can be read by others")
    key = load_pem_private_key(path.read_bytes(), None)
    known = read_identity((folder / "opcua.der").read_bytes())
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != known.public:
        raise ValueError("opcua.key is not the key of opcua.der")
    return Identity(der=known.der, public=known.public, private=key)
