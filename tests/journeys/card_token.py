"""A smart card for tests: a token of SoftHSM2 in a folder of the test, whose key is made inside and never leaves."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "493817"


class Token:
    """One card, driven as any card is: through its PKCS #11 module."""

    def __init__(self, folder: Path, label: str) -> None:
        self.folder, self.label = folder, label
        (folder / "tokens").mkdir(parents=True)
        (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
        self._run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "87654321")

    @property
    def environment(self) -> Mapping[str, str]:
        """What a program needs to find this card."""
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf"), "PKCS11_MODULE_PATH": MODULE}

    def make_key(self, kind: str = "rsa:2048", number: str = "01") -> PublicKeyTypes:
        """A key made in the card; its public half."""
        self._tool(
            "--login", "--pin", PIN, "--keypairgen", "--key-type", kind, "--id", number, "--label", f"key {number}"
        )
        path = self.folder / "public.der"
        self._tool("--read-object", "--type", "pubkey", "--id", number, "--output-file", str(path))
        return load_der_public_key(path.read_bytes())

    def take(self, certificate: x509.Certificate, number: str = "01", label: str = "") -> None:
        """Put a certificate beside its key."""
        path = self.folder / "certificate.der"
        path.write_bytes(certificate.public_bytes(Encoding.DER))
        words = ["--login", "--pin", PIN, "--write-object", str(path), "--type", "cert", "--id", number]
        self._tool(*words, "--label", label or f"certificate {number}")

    def _tool(self, *words: str) -> None:
        self._run("pkcs11-tool", "--module", MODULE, "--token-label", self.label, *words)

    def _run(self, *words: str) -> None:
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{words[0]}: {done.stdout}{done.stderr}"
