"""Chunks of a secured channel: sealed and opened (OPC 10000-6, 6.7.2).

Pure.  A chunk is opened only when its signature holds; what is returned then is its sequence number, its request id and
its part of the message.  Padding is looked at behind the signature's check alone.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from penstock.model import Malformed
from penstock.proxy.opcua.suites import (
    BLOCK_BYTES,
    MAC_BYTES,
    Identity,
    Keys,
    Suite,
    decrypt,
    encrypt,
    first_certificate,
    plain_block_bytes,
    read_identity,
)

HEAD_BYTES: Final = 16
_SEQUENCE_BYTES: Final = 8
_PART_HEAD = Struct("<4sIII")
_SEQUENCE = Struct("<II")
_LENGTH = Struct("<i")
#: An OPN message is a few hundred bytes; each block of it takes a millisecond to decrypt.
MAX_OPEN_BLOCKS: Final = 8
_LONG_KEY_BYTES: Final = 256
_NONE_URI: Final = "http://opcfoundation.org/UA/SecurityPolicy#None"


class Opened(NamedTuple):
    """What a chunk holds."""

    sequence: int
    request: int
    body: bytes


def seal(kind: bytes, channel: int, token: int, keys: Keys | None, opened: Opened, *, is_encrypted: bool) -> bytes:
    """A MSG or CLO chunk (`kind` with its last letter) out of its plain content."""
    plain = _SEQUENCE.pack(opened.sequence, opened.request) + opened.body
    if keys is None:
        return _PART_HEAD.pack(kind, HEAD_BYTES + len(plain), channel, token) + plain
    if is_encrypted:
        pad = -(len(plain) + 1 + MAC_BYTES) % BLOCK_BYTES
        plain += bytes((pad,)) * (pad + 1)
    data = _PART_HEAD.pack(kind, HEAD_BYTES + len(plain) + MAC_BYTES, channel, token) + plain
    data += keys.mac(data)
    return data[:HEAD_BYTES] + keys.encrypt(data[HEAD_BYTES:]) if is_encrypted else data


def unseal(chunk: bytes, keys: Keys | None, *, is_encrypted: bool) -> Opened:
    """The plain content of a MSG or CLO chunk.  Raises `Malformed`."""
    if keys is not None:
        if is_encrypted:
            chunk = chunk[:HEAD_BYTES] + keys.decrypt(chunk[HEAD_BYTES:])
        end = len(chunk) - MAC_BYTES
        if end < HEAD_BYTES + _SEQUENCE_BYTES:
            raise Malformed("a chunk is too short for its signature (OPC 10000-6, 6.7.2.5)")
        keys.check(chunk[:end], chunk[end:])
        chunk = chunk[:end]
        if is_encrypted:
            chunk = _without_padding(chunk, chunk[-1], 1)
    if len(chunk) < HEAD_BYTES + _SEQUENCE_BYTES:
        raise Malformed("a chunk is too short (OPC 10000-6, 6.7.2)")
    sequence, request = _SEQUENCE.unpack_from(chunk, HEAD_BYTES)
    return Opened(sequence, request, chunk[HEAD_BYTES + _SEQUENCE_BYTES :])


def seal_open(channel: int, suite: Suite | None, own: Identity, other: Identity | None, opened: Opened) -> bytes:
    """An OPN chunk: signed with the gate's own key, encrypted for the other one.  Without a suite in the clear."""
    plain = _SEQUENCE.pack(opened.sequence, opened.request) + opened.body
    if suite is None or other is None or own.private is None:
        rest = _text(_NONE_URI.encode()) + _LENGTH.pack(-1) * 2 + plain
        return _PART_HEAD.pack(b"OPNF", 12 + len(rest), channel, 0)[:12] + rest
    head = _text(suite.uri.encode()) + _text(own.der) + _text(other.thumbprint)
    block, cipher = plain_block_bytes(other.public, suite.oaep), other.public.key_size // 8
    signature_bytes, extra = own.private.key_size // 8, int(cipher > _LONG_KEY_BYTES)
    pad = -(len(plain) + 1 + extra + signature_bytes) % block
    plain += bytes((pad & 0xFF,)) * (pad + 1) + (bytes((pad >> 8,)) if extra else b"")
    size = 12 + len(head) + (len(plain) + signature_bytes) // block * cipher
    head = _PART_HEAD.pack(b"OPNF", size, channel, 0)[:12] + head
    signed = plain + suite.sign(own.private, head + plain)
    return head + encrypt(other.public, suite.oaep, signed)


def unseal_open(chunk: bytes, suite: Suite, own: Identity, end: int) -> tuple[Identity, Opened]:
    """Who sent an OPN chunk with a policy, and its content; its clear head ends at `end`.  Raises `Malformed`."""
    certificate, at = _bytes(chunk, 12 + 4 + len(suite.uri))
    thumbprint, at = _bytes(chunk, at)
    if thumbprint != own.thumbprint or at != end or own.private is None:
        raise Malformed("OPN is for another certificate than the gate's (OPC 10000-6, 6.7.2.3)")
    sender = read_identity(first_certificate(certificate))
    plain = chunk[:end] + decrypt(own.private, suite.oaep, chunk[end:], MAX_OPEN_BLOCKS)
    cut = len(plain) - sender.public.key_size // 8
    if cut < end + _SEQUENCE_BYTES:
        raise Malformed("OPN is too short for its signature (OPC 10000-6, 6.7.2.5)")
    suite.verify(sender.public, plain[cut:], plain[:cut])
    plain = plain[:cut]
    # The receiver's key decides whether the padding's size has a second byte: here it is the gate's own.
    if own.private.key_size // 8 > _LONG_KEY_BYTES:
        pad = plain[-1] << 8 | plain[-2]
        plain = _without_padding(plain[:-1], pad, 1)
    else:
        plain = _without_padding(plain, plain[-1], 1)
    sequence, request = _SEQUENCE.unpack_from(plain, end)
    return sender, Opened(sequence, request, plain[end + _SEQUENCE_BYTES :])


def _without_padding(chunk: bytes, pad: int, size_bytes: int) -> bytes:
    end = len(chunk) - pad - size_bytes
    if end < HEAD_BYTES + _SEQUENCE_BYTES or chunk[end:].strip(bytes((pad & 0xFF,))):
        raise Malformed("padding that is none (OPC 10000-6, 6.7.2.5)")
    return chunk[:end]


def _text(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """A length and so many bytes; the head was read before, so they are there."""
    length = _LENGTH.unpack_from(data, at)[0]
    end = at + 4 + max(length, 0)
    return data[at + 4 : end], end
