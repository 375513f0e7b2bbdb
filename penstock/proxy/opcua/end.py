"""One of the two channels of a terminated connection: its keys, its counters, its chunks and messages.

Pure.  A message comes out only whole, with every chunk's signature checked and every sequence number in its place; it
goes in as it is to be sent.  It must never keep more of a message than any message may have.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from penstock.model import Malformed
from penstock.proxy.opcua.chunks import HEAD_BYTES, Opened, seal, unseal
from penstock.proxy.opcua.suites import Identity, Keys, Suite
from penstock.wire import opcua_transport as t

#: OPC 10000-4, 7.20.
NONE, SIGN, ENCRYPT = 1, 2, 3
#: OPC 10000-6, 7.1.2.3: nobody may receive less; and what the gate itself takes.
MIN_CHUNK_BYTES, MAX_CHUNK_BYTES = 8192, 65_536
#: What a chunk may have beside its part of the message: heads, padding, signature.
_AROUND_BYTES: Final = 96
_KEPT_TOKENS: Final = 2
_head = Struct("<8xII").unpack_from


class Whole(NamedTuple):
    """A message: `kind` with the letter of its last chunk."""

    kind: bytes
    token: int
    request: int
    body: bytes


class SecuredEnd:
    """The gate's end of a channel with `other`; no suite: without security."""

    __slots__ = (
        "_keys",
        "_part_bytes",
        "_parts",
        "_sequence_out",
        "chunk_bytes",
        "mode",
        "number",
        "other",
        "stream",
        "suite",
        "token",
    )

    def __init__(self, max_bytes: int) -> None:
        self.stream = t.Stream(max_bytes)
        self.suite: Suite | None = None
        self.other: Identity | None = None
        self.mode = self.number = self.token = 0
        self.chunk_bytes = MIN_CHUNK_BYTES
        self._keys: dict[int, tuple[Keys | None, Keys | None]] = {}
        self._parts: list[Opened] = []
        self._part_bytes = 0
        self._sequence_out = 0

    @property
    def held(self) -> int:
        """Bytes of a message that is not whole."""
        return self.stream.held + self._part_bytes

    @property
    def is_open(self) -> bool:
        """Whether it has keys, or needs none."""
        return bool(self._keys)

    def chunks(self, data: bytes) -> list[bytes]:
        """The whole chunks that are there now.  Raises `Malformed`."""
        self.stream.buffer += data
        found = []
        while self.stream.buffer and (chunk := self.stream.next_chunk()) is not None:
            found.append(chunk)
        return found

    def install(self, token: int, own: Keys | None, other: Keys | None) -> None:
        """The keys of a token; those of the one before are kept for what is under way.

        What goes out has the token that it had, until that is forgotten: then the oldest that there is.
        """
        self._keys[token] = own, other
        while len(self._keys) > _KEPT_TOKENS:
            del self._keys[next(iter(self._keys))]
        if self.token not in self._keys:
            self.token = next(iter(self._keys))

    def next_number(self) -> int:
        """The sequence number of what goes out next."""
        self._sequence_out = t.next_number(self._sequence_out)
        return self._sequence_out

    def take(self, chunk: bytes) -> Whole | None:
        """The message that a MSG or CLO chunk completes.  Raises `Malformed`."""
        channel, token = _head(chunk)
        keys = self._keys.get(token)
        if keys is None or channel != self.number:
            raise Malformed(f"no token {token} of a channel {channel} (OPC 10000-6, 6.7.2.3)")
        opened = unseal(chunk, keys[1], is_encrypted=self.mode == ENCRYPT)
        self.stream.count(opened.sequence)
        parts, kind = self._parts, chunk[:4]
        if parts and parts[0].request != opened.request:
            raise Malformed("chunks of two messages are mixed (OPC 10000-6, 6.7.3)")
        if kind[3:] == t.ABORT:
            self._part_bytes = 0
            parts.clear()
            return Whole(kind, token, opened.request, opened.body)
        parts.append(opened)
        self._part_bytes = size = self._part_bytes + len(opened.body)
        if len(parts) > t.MAX_CHUNKS or size + HEAD_BYTES > self.stream.max_bytes - t.SECURED_HEAD_BYTES:
            raise Malformed(f"a message of more than {self.stream.max_bytes} bytes or {t.MAX_CHUNKS} chunks")
        if kind[3:] == t.PART:
            return None
        body = b"".join(each.body for each in parts)
        self._part_bytes = 0
        parts.clear()
        return Whole(kind, token, opened.request, body)

    def send(self, kind: bytes, request: int, body: bytes) -> bytes:
        """The chunks of a message."""
        step, keys = self.chunk_bytes - _AROUND_BYTES, self._keys[self.token][0]
        found, is_encrypted = [], self.mode == ENCRYPT
        for at in range(0, max(len(body), 1), step):
            name = kind if at + step >= len(body) else kind[:3] + t.PART
            opened = Opened(self.next_number(), request, body[at : at + step])
            found.append(seal(name, self.number, self.token, keys, opened, is_encrypted=is_encrypted))
        return b"".join(found)
