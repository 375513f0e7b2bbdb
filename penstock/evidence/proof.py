"""Proving one record to someone who has only the public key, without showing any other.

Pure: reads from a `Source`.  A proof is a JSON document with the line, its audit path (RFC 9162 section 2.1.3) and the
signed checkpoint that the path leads to.  It must never be made from a log whose root does not match.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterator

import msgspec

from penstock.evidence.checkpoint import MAX_CHECKPOINT_BYTES, VerifyingKey, verify
from penstock.evidence.line import Entry, decode
from penstock.evidence.segment import Frame, Start, first_seq_of, read_segment
from penstock.evidence.source import CHECKPOINT_NAME, Source
from penstock.evidence.tree import inclusion_spans, is_included, leaf_hash, roots_of
from penstock.model import Invalid, Malformed, Problem, Tampered

FORMAT = "penstock-inclusion-proof/1"
#: 64 hashes and a line of 65,535 bytes, in JSON that escapes every character of the line.
MAX_PROOF_BYTES = 1 << 20


class _Proof(msgspec.Struct, forbid_unknown_fields=True):
    """The document: hashes are base64, `line` is the exact text of the record, `checkpoint` a signed note."""

    format: str
    seq: int
    line: str
    path: list[str]
    checkpoint: str


def prove(source: Source, seq: int, key: VerifyingKey) -> bytes:
    """A proof that record `seq` is in the log that the newest checkpoint signs, as JSON.

    Raises `Invalid` when the record is not here or not signed yet, `Tampered` when the files do not match what was
    signed.
    """
    with source.open(CHECKPOINT_NAME) as file:
        note = file.read(MAX_CHECKPOINT_BYTES)
    try:
        checkpoint = verify(note, key)
    except Malformed as error:
        raise Tampered(f"{CHECKPOINT_NAME}: {error}") from error
    if not 0 <= seq < checkpoint.size:
        why = f"the newest checkpoint signs the records 0 to {checkpoint.size - 1}"
        raise Invalid(Problem(where=f"record {seq}", why=why, hint="wait for the next checkpoint, or check the number"))
    leaves = _Leaves(source, seq)
    try:
        path = roots_of(inclusion_spans(seq, checkpoint.size), leaves.hashes(checkpoint.size))
    except ValueError as error:
        raise Tampered(f"the log does not hold what its checkpoint signs: {error}") from error
    line = leaves.line(checkpoint.size)
    if not is_included(leaf=leaf_hash(line), index=seq, size=checkpoint.size, path=path, root=checkpoint.root):
        raise Tampered("the records are not those that the newest checkpoint signs: verify the log to find where")
    proof = _Proof(
        format=FORMAT,
        seq=seq,
        line=line.decode(),
        path=[b64encode(value).decode() for value in path],
        checkpoint=note.decode(),
    )
    return msgspec.json.format(msgspec.json.encode(proof)) + b"\n"


def check_proof(document: bytes, key: VerifyingKey) -> Entry:
    """The record that a proof proves.  Raises `Malformed` when it is no proof, `Tampered` when it does not hold."""
    if len(document) > MAX_PROOF_BYTES:
        raise Malformed(f"not an inclusion proof: longer than {MAX_PROOF_BYTES} bytes")
    try:
        proof = msgspec.json.decode(document, type=_Proof)
        path = [b64decode(value, validate=True) for value in proof.path]
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"not an inclusion proof: {error}") from error
    if proof.format != FORMAT:
        raise Malformed(f"a proof in the format {proof.format!r}, not {FORMAT!r}")
    line, checkpoint = proof.line.encode(), verify(proof.checkpoint.encode(), key)
    entry = decode(line)
    if entry.seq != proof.seq or not is_included(
        leaf=leaf_hash(line), index=proof.seq, size=checkpoint.size, path=path, root=checkpoint.root
    ):
        raise Tampered(f"the proof does not lead from record {proof.seq} to the signed root")
    return entry


class _Leaves:
    """The leaf hashes of a log in one pass, holding on to one line."""

    def __init__(self, source: Source, seq: int) -> None:
        self._source, self._seq = source, seq
        self._line: bytes | None = None

    def hashes(self, size: int) -> Iterator[bytes]:
        expected = 0
        for frame in self._frames():
            if frame.first_seq != expected:
                raise Tampered(f"the records from {expected} on are not here: verify the log to find where")
            for line in frame.lines:
                if expected == self._seq:
                    self._line = line
                expected += 1
                yield leaf_hash(line)
                if expected == size:
                    return

    def line(self, size: int) -> bytes:
        """The one line; read on when the path needed nothing after it."""
        if self._line is None:
            deque(self.hashes(size), maxlen=0)
        line = self._line
        if line is None:
            raise Tampered(f"record {self._seq} is not here: verify the log to find where")
        return line

    def _frames(self) -> Iterator[Frame]:
        names = [name for name in self._source.names if first_seq_of(name) is not None]
        if names and first_seq_of(names[0]):
            why = "older records were removed, and their hashes are needed for a path"
            raise Invalid(Problem(where=names[0], why=why, hint="prove it from a copy that has all records"))
        for name, end in zip(names, [*map(first_seq_of, names[1:]), None], strict=True):
            with self._source.open(name) as file:
                for piece in read_segment(file):
                    if isinstance(piece, Frame) and (end is None or piece.first_seq < end):
                        yield piece
                    elif not isinstance(piece, Frame | Start):
                        break
