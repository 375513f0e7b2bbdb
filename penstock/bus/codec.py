"""Messages to bytes and back: a 4-byte big-endian length, then a msgpack pair of the type's name and its fields.

Pure.  Only the dataclasses of `penstock.model.message` can be sent; whatever else arrives is `Malformed`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from penstock.model import Command, Event, Hello, Malformed, Publication, Reply

Message: TypeAlias = Command | Event | Hello | Publication | Reply

#: The largest message: a site of some 10,000 assets fits several times over.
MAX_MESSAGE_BYTES = 64 << 20
LENGTH_BYTES = 4

_TYPES = {kind.__name__: kind for kind in Message.__args__}
_encode = msgspec.msgpack.Encoder().encode
_decode_pair = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw]).decode
_DECODERS = {name: msgspec.msgpack.Decoder(kind) for name, kind in _TYPES.items()}


def encode(message: Message) -> bytes:
    """The message as bytes, its length in front."""
    body = _encode((type(message).__name__, message))
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode(body: bytes) -> Message:
    """The message in `body` (without its length).  Raises `Malformed`."""
    try:
        name, fields = _decode_pair(body)
        message: Message = _DECODERS[name].decode(fields)
    except (msgspec.MsgspecError, KeyError) as error:
        raise Malformed(f"not a message of the gate: {error}") from error
    return message
