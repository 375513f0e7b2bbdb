"""The file of all checkpoints: signed notes one after another, each followed by an empty line.

Pure.  Stands beside `segment`: that one frames records, this one the statements over them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from penstock.evidence.checkpoint import MAX_CHECKPOINT_BYTES, Checkpoint, VerifyingKey, verify
from penstock.evidence.segment import Readable
from penstock.model import Malformed, Tampered

_DASH = "\u2014 ".encode()
_READ_BYTES = 64 << 10
#: Base64 of a key hash of 4 bytes and a signature of 64.
_SIGNATURE_CHARACTERS = 92
#: What a note can look like when a crash cut it short: the signature is not whole.
_BEGUN = re.compile(
    rb"[^\n]*(\n[0-9]*(\n[A-Za-z0-9+/]{0,43}=?(\n(\n(\xe2(\x80(\x94( ([^\s+]*( [A-Za-z0-9+/]{0,%d})?)?)?)?)?)?)?)?)?)?"
    % (_SIGNATURE_CHARACTERS - 1)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAt:
    """A checkpoint that verifies, and where it stands in its file."""

    checkpoint: Checkpoint
    file: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BadNote:
    """What stands at `offset` and is no checkpoint of this log; `is_torn` tells the mark of a crash at the end."""

    file: str
    offset: int
    why: str
    is_torn: bool = False


def read_notes(file: Readable, name: str, key: VerifyingKey, limit_bytes: int) -> Iterator[SignedAt | BadNote]:
    """The checkpoints in the first `limit_bytes` of a file, in order.  Never raises for its content."""
    offset, text = 0, b""
    for at, piece, is_ended in _pieces(file, limit_bytes):
        if not is_ended:
            yield _read_tail(name, offset if text else at, text + piece, key)
        elif piece.startswith(_DASH):
            yield _read_note(name, offset if text else at, text + piece[:-1], key)
            text = b""
        else:
            if text:
                yield BadNote(file=name, offset=offset, why="a checkpoint without a signature")
            offset, text = at, piece
    if text and is_ended:
        yield _read_tail(name, offset, text, key)


def _pieces(file: Readable, limit_bytes: int) -> Iterator[tuple[int, bytes, bool]]:
    """What stands between empty lines, with its offset, the empty line, and whether that was there."""
    data, offset = b"", 0
    while more := file.read(min(_READ_BYTES, limit_bytes - offset - len(data))):
        data, start = data + more, 0
        while (at := data.find(b"\n\n", start)) >= 0:
            yield offset + start, data[start : at + 2], True
            start = at + 2
        data, offset = data[start:], offset + start
        if len(data) > MAX_CHECKPOINT_BYTES:
            break
    if data:
        yield offset, data, False


def _read_note(name: str, offset: int, note: bytes, key: VerifyingKey) -> SignedAt | BadNote:
    try:
        return SignedAt(checkpoint=verify(note, key), file=name, offset=offset)
    except (Malformed, Tampered) as error:
        return BadNote(file=name, offset=offset, why=str(error))


def _read_tail(name: str, offset: int, note: bytes, key: VerifyingKey) -> SignedAt | BadNote:
    """The end of a file without the empty line: a whole checkpoint, the beginning of one, or neither."""
    for whole in (note, note + b"\n"):
        with suppress(Malformed, Tampered):
            return SignedAt(checkpoint=verify(whole, key), file=name, offset=offset)
    is_torn = _BEGUN.fullmatch(note) is not None or not note.strip(b"\0")
    why = "a checkpoint is cut short" if is_torn else "no checkpoint"
    return BadNote(file=name, offset=offset, why=why, is_torn=is_torn)
