"""I/O: the key that signs a log, and its public half beside the log.

The private key is one PEM file (PKCS #8, not encrypted) that only its owner can read.  It must never lie in the folder
of the log: that folder is copied to auditors.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from penstock.evidence.checkpoint import VerifyingKey
from penstock.evidence.disk import Disk
from penstock.evidence.durable import replace, write_all
from penstock.model import Invalid, Malformed, Problem, Tampered, Unavailable

PUBLIC_KEY_NAME = "evidence.pub"
#: Others than the owner may do nothing with the private key.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`; a new one is made there when the file does not exist.  Raises `Invalid` and `Unavailable`."""
    return load_key(path) if path.exists() else make_key(path)


def make_key(path: Path) -> Ed25519PrivateKey:
    """Make a key in a new file of mode 0600.  Raises `Invalid` when there is a file, `Unavailable` when it fails."""
    key, disk = Ed25519PrivateKey.generate(), Disk()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(disk, descriptor, pem)
            disk.sync_data(descriptor)
        finally:
            os.close(descriptor)
        disk.sync_folder(path.parent)
    except FileExistsError:
        raise Invalid(Problem(where=str(path), why="there is a key already", hint="load it instead")) from None
    except OSError as error:
        raise Unavailable(f"the key of the evidence cannot be made in {path}: {error.strerror}") from error
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`.  Raises `Invalid` when it is missing, readable for others, or no Ed25519 key."""
    try:
        mode, pem = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise Invalid(Problem(where=str(path), why=f"the key cannot be read: {error.strerror}")) from error
    if mode & _OTHERS:
        raise Invalid(
            Problem(where=str(path), why="others than its owner can read the key", hint=f"run: chmod 600 {path}")
        )
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise Invalid(Problem(where=str(path), why="this is no PEM file with a private key")) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Invalid(Problem(where=str(path), why="this is no Ed25519 key"))
    return key


def publish_key(folder: Path, key: Ed25519PrivateKey, origin: str) -> VerifyingKey:
    """Write the public half as `evidence.pub` into the folder of the log.

    Raises `Unavailable`, and `Tampered` when the key of another log stands there.
    """
    public, disk = VerifyingKey.of(key, origin), Disk()
    path = folder / PUBLIC_KEY_NAME
    if path.exists() and (known := load_verifying_key(path)) != public:
        error = Tampered(f"{folder} holds the log of the key {known}, not of {public}")
        error.add_note("bring the key back, or keep the folder and start a new log in an empty one")
        raise error
    try:
        disk.make_folder(folder)
        replace(disk, path, f"{public}\n".encode())
    except OSError as error:
        raise Unavailable(f"the public key of the evidence cannot be written: {error.strerror}") from error
    return public


def load_verifying_key(path: Path) -> VerifyingKey:
    """The public key in a file like `evidence.pub`.  Raises `Invalid`."""
    try:
        return VerifyingKey.parse(path.read_text("utf-8"))
    except OSError as error:
        hint = "give the key of the log with --key"
        raise Invalid(Problem(where=str(path), why=f"the key cannot be read: {error.strerror}", hint=hint)) from error
    except (Malformed, UnicodeDecodeError) as error:
        raise Invalid(Problem(where=str(path), why=str(error))) from error
