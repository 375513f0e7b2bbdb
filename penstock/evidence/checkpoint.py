"""Checkpoints: a signed statement of how many entries a log has and what its root is.

Pure.  The text is that of C2SP tlog-checkpoint in the envelope of C2SP signed-note, signed with Ed25519 (RFC 8032), so
that any transparency-log tool can read, compare and cosign it.  It must never read a clock or a file.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from penstock.evidence.tree import HASH_BYTES
from penstock.model import Malformed, Tampered

#: The signature type byte of Ed25519 (C2SP signed-note, "Signature types").
_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_PUBLIC_KEY_BYTES = 32
#: Longer than any checkpoint with a few cosignatures, small enough to read at once.
MAX_CHECKPOINT_BYTES = 16 << 10
#: C2SP signed-note: a key name is not empty and has neither white space nor a plus sign.
_NAME = re.compile(r"[^\s+]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log states of itself: `size` entries under the Merkle root `root` (32 bytes), in the log `origin`."""

    origin: str
    size: int
    root: bytes

    def body(self) -> bytes:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyingKey:
    """The public half of a log's key: `name` is the log's origin, `public` the 32 bytes of an Ed25519 key."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before every signature (C2SP signed-note, "Verifier keys")."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the public key in groups of four, to be compared aloud or on paper."""
        digest = sha256(self.public).hexdigest()
        return " ".join(digest[start : start + 4] for start in range(0, len(digest), 4))

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def of(cls, key: Ed25519PrivateKey, name: str) -> VerifyingKey:
        """The public half of `key`.  Raises `ValueError` when `name` cannot name a key."""
        if not _NAME.fullmatch(name):
            raise ValueError("the origin of a log has neither white space nor a plus sign")
        return cls(name=name, public=key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> VerifyingKey:
        """The key written as ``name+hash+base64``.  Raises `Malformed`."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not _NAME.fullmatch(parts[0]):  # noqa: PLR2004  three fields, as the format says
            raise Malformed("a verifier key is written name+hash+base64")
        material = _base64(parts[2], "the verifier key")
        if material[:1] != _ED25519 or len(material) != 1 + _PUBLIC_KEY_BYTES:
            raise Malformed("the verifier key is not an Ed25519 key")
        key = cls(name=parts[0], public=material[1:])
        if key.key_id.hex() != parts[1]:
            raise Malformed("the verifier key does not match its own hash: it was mistyped or altered")
        return key


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    """The checkpoint as a signed note, under the name of its origin."""
    return sign_note(checkpoint.body(), key, checkpoint.origin)


def sign_note(text: bytes, key: Ed25519PrivateKey, name: str) -> bytes:
    """`text` (whole lines) as a signed note with one signature of `key` under `name`."""
    key_id = VerifyingKey.of(key, name).key_id
    return b"%s\n\xe2\x80\x94 %s %s\n" % (text, name.encode(), b64encode(key_id + key.sign(text)))


def open_note(note: bytes, key: VerifyingKey) -> bytes:
    """The text of a signed note, once a signature of `key` holds.

    Signatures of other keys are passed over, as the format asks.  Raises `Malformed` when it is not a signed note, and
    `Tampered` when no signature of `key` is on it or one does not hold.
    """
    text, signatures = _split_note(note)
    mine = [value for name, key_id, value in signatures if (name, key_id) == (key.name, key.key_id)]
    if not mine:
        raise Tampered(f"no signature by the key {key.name}+{key.key_id.hex()}")
    for value in mine:
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(value, text)
        except InvalidSignature:
            raise Tampered(f"the signature by {key.name}+{key.key_id.hex()} does not hold") from None
    return text


def verify(note: bytes, key: VerifyingKey) -> Checkpoint:
    """The checkpoint in a signed note.  Raises as `open_note`, and `Tampered` for the origin of another log."""
    checkpoint = parse_body(open_note(note, key))
    if checkpoint.origin != key.name:
        raise Tampered(f"a checkpoint of the log {checkpoint.origin!r}, not of {key.name!r}")
    return checkpoint


def parse_body(text: bytes) -> Checkpoint:
    """The checkpoint in the text of a note; extension lines are allowed and ignored.  Raises `Malformed`."""
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        raise Malformed("a checkpoint is UTF-8 text") from None
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):  # noqa: PLR2004  three lines and the end of the last
        raise Malformed("a checkpoint has an origin, a size and a root, each on its own line")
    if not _SIZE.fullmatch(lines[1]):
        raise Malformed("the size of a checkpoint is a decimal number without leading zeros")
    root = _base64(lines[2], "the root of a checkpoint")
    if len(root) != HASH_BYTES:
        raise Malformed(f"the root of a checkpoint has {HASH_BYTES} bytes")
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=root)


def _split_note(note: bytes) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    """The signed text, and of each signature its name, key id and value."""
    try:
        decoded = note.decode()
    except UnicodeDecodeError:
        raise Malformed("a signed note is UTF-8 text") from None
    if any(character < " " and character != "\n" for character in decoded):
        raise Malformed("a signed note has no control characters")
    text, separator, tail = decoded.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise Malformed("a signed note is a text, an empty line and signature lines")
    signatures = []
    for line in tail[:-1].split("\n"):
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise Malformed("a signature line is a dash, a key name and base64")
        value = _base64(match[2], "a signature")
        if len(value) <= _KEY_ID_BYTES:
            raise Malformed("a signature is a key hash and more")
        signatures.append((match[1], value[:_KEY_ID_BYTES], value[_KEY_ID_BYTES:]))
    return f"{text}\n".encode(), signatures


def _base64(text: str, what: str) -> bytes:
    """Strict base64: the one spelling that encoding gives, so that no two texts mean the same."""
    try:
        value = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise Malformed(f"{what} is not base64") from None
    if b64encode(value).decode() != text:
        raise Malformed(f"{what} is not canonical base64")
    return value
