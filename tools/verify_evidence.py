#!/usr/bin/env python3
# ruff: noqa: T201  a script of one file, to be copied and read on its own
"""Verify a copy of an evidence log without Penstock: one file, the standard library and `cryptography`.

    python3 verify_evidence.py FOLDER PUBLIC_KEY_FILE

Written from docs/reference/evidence.md alone, so that whoever does not trust the gate's own code has a second opinion;
it shares no line with it.  It holds 64 bytes for each record in memory, and it wants the whole log: one whose older
files were removed is for `penstock evidence verify`.  Ends with 0 verified, 1 tampered, 2 unusable.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import zlib
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FIELDS = ["seq", "time", "kind", "grant", "subject", "asset", "protocol", "operation", "reason", "detail"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class Wrong(Exception):
    """The log is not what the key signed; the text tells where."""


class Tree:
    """All hashes of all complete subtrees, level by level: any earlier root can be told."""

    def __init__(self) -> None:
        self.levels: list[list[bytes]] = [[]]

    def add(self, line: bytes) -> None:
        """One more leaf."""
        self.levels[0].append(sha256(b"\x00" + line).digest())
        level = 0
        while len(self.levels[level]) % 2 == 0:
            if level + 1 == len(self.levels):
                self.levels.append([])
            self.levels[level + 1].append(sha256(b"\x01" + b"".join(self.levels[level][-2:])).digest())
            level += 1

    def peaks(self, size: int) -> list[bytes]:
        """The complete subtrees of the first `size` leaves, largest first."""
        found, taken = [], 0
        for level in reversed(range(len(self.levels))):
            if size >> level & 1:
                found.append(self.levels[level][taken >> level])
                taken += 1 << level
        return found

    def root(self, size: int) -> bytes:
        """The root over the first `size` leaves."""
        found = self.peaks(size)
        if not found:
            return sha256(b"").digest()
        value = found.pop()
        while found:
            value = sha256(b"\x01" + found.pop() + value).digest()
        return value


class Key:
    """The key in a text ``name+hash+base64``."""

    def __init__(self, text: str) -> None:
        self.name, hint, material = text.strip().split("+", 2)
        raw = base64.b64decode(material, validate=True)
        if raw[0] != 1 or len(raw) != 33 or sha256(self.name.encode() + b"\n" + raw).hexdigest()[:8] != hint:  # noqa: PLR2004
            raise ValueError("not an Ed25519 verifier key")
        self.hint, self.key = bytes.fromhex(hint), Ed25519PublicKey.from_public_bytes(raw[1:])

    def open(self, note: bytes, where: str) -> tuple[int, bytes]:
        """Size and root in a signed checkpoint."""
        try:
            text, _, signatures = note.decode().partition("\n\n")
            prefix = f"\u2014 {self.name} "
            for line in signatures.splitlines():
                value = base64.b64decode(line.removeprefix(prefix), validate=True) if line.startswith(prefix) else b""
                if value[:4] == self.hint:
                    self.key.verify(value[4:], f"{text}\n".encode())
                    origin, size, root, *_ = text.split("\n")
                    if origin == self.name and note.endswith(b"\n"):
                        return int(size), base64.b64decode(root, validate=True)
        except (InvalidSignature, ValueError) as error:
            raise Wrong(f"{where}: the signature does not hold") from error
        raise Wrong(f"{where}: no signature of {self.name}")


def read_segment(path: Path, tree: Tree, *, is_last: bool, signed: int) -> None:
    """Take in every record of a segment."""
    data, at = path.read_bytes(), 0
    head, _, _ = data.partition(b"\n")
    size = len(tree.levels[0])
    state = base64.b64encode(b"".join(tree.peaks(size))) or b"-"
    expected = b"#segment 1 %d %s " % (size, state)
    if head != expected + b"%08x" % zlib.crc32(expected):
        raise Wrong(f"{path.name}, record {size}: the first line does not go on from the records before")
    at = len(head) + 1
    while at < len(data):
        size, end = len(tree.levels[0]), data.find(b"\n", at)
        where = f"{path.name}, byte {at}, record {size}"
        words = data[at:end].split(b" ") if end >= 0 else []
        if is_last and size >= signed and is_unfinished(data[at:], words):
            print(f"note: {where}: an unfinished frame at the end")
            return
        if len(words) != 5 or words[0] != b"#frame" or not all(word.isdigit() for word in words[1:4]):  # noqa: PLR2004
            raise Wrong(f"{where}: no frame")
        body = data[end + 1 : end + 1 + int(words[3])]
        lines = body.split(b"\n")
        if b"%08x" % zlib.crc32(body, zlib.crc32(data[at : end - 8])) != words[4]:
            raise Wrong(f"{where}: the checksum is wrong")
        if int(words[2]) != size or len(lines) != int(words[1]) + 1 or lines.pop() or len(body) != int(words[3]):
            raise Wrong(f"{where}: the frame does not follow")
        for line in lines:
            check_line(line, len(tree.levels[0]), where)
            tree.add(line)
        at = end + 1 + len(body)


def is_unfinished(rest: bytes, words: list[bytes]) -> bool:
    """Whether the rest of the last file is what a crash leaves."""
    if not rest.strip(b"\0"):
        return True
    if not words:
        return b"#frame ".startswith(rest[:7]) and re.fullmatch(rb"[0-9 ]*[0-9a-f]{0,8}", rest[7:]) is not None
    whole = len(words) == 5 and all(word.isdigit() for word in words[1:4])  # noqa: PLR2004
    body = rest.partition(b"\n")[2]
    return whole and len(body) < int(words[3]) and body.count(b"\n") < int(words[1])


def check_line(line: bytes, seq: int, where: str) -> None:
    """One record: JSON, its number, its fields in their order."""
    try:
        record = json.loads(line)
        names = list(record)
        in_order = names == [name for name in FIELDS if name in names]
    except (ValueError, TypeError) as error:
        raise Wrong(f"{where}: record {seq} is not JSON") from error
    if not in_order or record["seq"] != seq or TIME.fullmatch(record.get("time", "")) is None or "kind" not in record:
        raise Wrong(f"{where}: record {seq} is not one")


def verify(folder: Path, key: Key) -> tuple[int, int]:
    """How many records there are and how many are signed.  Raises `Wrong`."""
    newest, newest_root = key.open((folder / "checkpoint").read_bytes(), "checkpoint")
    notes = (folder / "checkpoints").read_bytes()
    parts = notes.split(b"\n\n")
    if len(parts) % 2 == 0 or parts[-1]:
        raise Wrong("checkpoints: the last one is not whole")
    signed = [
        key.open(parts[i] + b"\n\n" + parts[i + 1] + b"\n", f"checkpoints, number {i // 2}")
        for i in range(0, len(parts) - 1, 2)
    ]
    tree, paths = Tree(), sorted(folder.glob("records-*.log"))
    for path in paths:
        read_segment(path, tree, is_last=path == paths[-1], signed=newest)
    size, before = len(tree.levels[0]), 0
    for number, (count, root) in enumerate([*signed, (newest, newest_root)]):
        if not before <= count <= size or tree.root(count) != root:
            raise Wrong(f"checkpoint {number}: the records from {before} to {count - 1} are not those it signs")
        before = count
    return size, newest


def main(folder: str, key_file: str) -> int:
    """Verify, and say so."""
    try:
        key = Key(Path(key_file).read_text("utf-8"))
        size, signed = verify(Path(folder), key)
    except Wrong as wrong:
        print(f"TAMPERED: {wrong}")
        return 1
    except (OSError, ValueError) as error:
        print(f"unusable: {error}", file=sys.stderr)
        return 2
    print(f"verified: {size} records of {key.name}, {signed} of them signed")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        print("usage: verify_evidence.py FOLDER PUBLIC_KEY_FILE", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1], sys.argv[2]))
