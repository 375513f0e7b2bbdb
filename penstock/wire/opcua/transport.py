"""The transport of OPC UA over TCP: messages cut out of a stream, and their heads (OPC 10000-6, 6.7 and 7.1).

Pure.  A `Stream` holds one direction, bounded: a size that no message may have ends it before its bytes are kept.
What is cut out is a chunk: one whole message, or a part of one.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from penstock.model import Malformed
from penstock.wire.decoder import WrongProtocol
from penstock.wire.opcua.binary import need, read_bytes, read_string, read_uint32

#: 7.1.2.2: type, kind of chunk, size.
HEAD_BYTES: Final = 8
#: 6.7.2: the head of MSG and CLO: channel, token; then sequence number and request id.
CHANNEL_HEAD_BYTES: Final = 16
SECURED_HEAD_BYTES: Final = 24
#: 7.1.2.3: no URL may be longer.
MAX_URL: Final = 4096
#: A message with all its chunks.  Servers state such bounds as well (7.1.2.4); more is asked for in portions.
MAX_MESSAGE_BYTES: Final = 4 << 20
#: A request: ten thousand nodes fit into it, and reading it holds nobody up.
MAX_REQUEST_BYTES: Final = 1 << 20
MAX_CHUNKS: Final = 1024
#: 6.7.2.4: a sequence number starts again below 1024 when fewer than 1024 are left.
WRAP_BELOW: Final = 1024
LAST_NUMBER: Final = 0xFFFF_FFFF
#: Kinds of message, and whether a message of the kind may come in parts (7.1.2.2).
HELLO, ACKNOWLEDGE, FAILURE, REVERSE, OPEN, CLOSE, MESSAGE = b"HEL", b"ACK", b"ERR", b"RHE", b"OPN", b"CLO", b"MSG"
KINDS: Final = (HELLO, ACKNOWLEDGE, FAILURE, REVERSE, OPEN, CLOSE, MESSAGE)
FINAL, PART, ABORT = b"F", b"C", b"A"

#: What the head of a message takes, by its kind.
_LEAST: Final = {kind: SECURED_HEAD_BYTES if kind in {MESSAGE, CLOSE} else HEAD_BYTES for kind in KINDS}

_size_at = Struct("<4xI").unpack_from
_secured = Struct("<8xIIII").unpack_from
_failure = Struct("<4sIIi")
_limits = Struct("<IIIII")


class Secured(msgspec.Struct, frozen=True, gc=False):
    """The head of a MSG or CLO chunk; in an encrypted channel the last two are not what they seem."""

    channel: int
    token: int
    sequence: int
    request: int


class Asymmetric(msgspec.Struct, frozen=True, gc=False):
    """The head of an OPN chunk: the policy's URI, the sender's certificate (its issuers may follow), where it ends."""

    channel: int
    policy: str
    certificate: bytes
    end: int


class Stream:
    """One direction of a connection: bytes that make no whole chunk yet, and chunks that make no whole message yet."""

    __slots__ = ("broken", "buffer", "max_bytes", "part_bytes", "parts", "sequence")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.max_bytes = max_bytes
        self.buffer = bytearray()
        self.parts: list[bytes] = []
        self.part_bytes = 0
        self.broken: Malformed | None = None
        #: The last sequence number; ``None`` before the first one that could be read.
        self.sequence: int | None = None

    @property
    def held(self) -> int:
        """Bytes of an incomplete message; at least one where the stream is broken."""
        return len(self.buffer) + self.part_bytes or int(self.broken is not None)

    @property
    def first_unsent(self) -> int:
        """The sequence number of what comes next out of this stream: parts of a message are not out yet."""
        if self.parts:
            return read_secured(self.parts[0]).sequence
        return next_number(self.sequence or 0)

    def whole_chunk(self, data: bytes) -> bytes | None:
        """`data` itself where nothing is held and it is one whole chunk; ``None``, and nothing has happened, else."""
        if self.buffer or chunk_size(data[:HEAD_BYTES]) != len(data) or len(data) + self.part_bytes > self.max_bytes:
            return None
        return data

    def next_chunk(self) -> bytes | None:
        """The next whole chunk, taken out; ``None`` while it is incomplete.  Raises `Malformed` as soon as it can."""
        head = bytes(self.buffer[:HEAD_BYTES])
        if not head:
            return None
        size = chunk_size(head)
        if size is None:
            return None
        if size + self.part_bytes > self.max_bytes:
            raise Malformed(f"a message of more than {self.max_bytes} bytes")
        if len(self.buffer) < size:
            return None
        chunk = bytes(self.buffer[:size])
        del self.buffer[:size]
        return chunk

    def keep_part(self, chunk: bytes) -> None:
        """Keep a chunk that more follow.  Raises `Malformed` where they are too many."""
        if len(self.parts) >= MAX_CHUNKS:
            raise Malformed(f"a message of more than {MAX_CHUNKS} chunks")
        self.parts.append(chunk)
        self.part_bytes += len(chunk)

    def take_parts(self, last: bytes) -> list[bytes]:
        """All chunks of a message, of which `last` is the last."""
        chunks = [*self.parts, last]
        self.parts.clear()
        self.part_bytes = 0
        return chunks

    def count(self, sequence: int) -> None:
        """Note a sequence number.  Raises `Malformed` where it does not follow the last one (6.7.2.4)."""
        last = self.sequence
        if last is not None and not follows(last, sequence):
            raise Malformed(f"sequence number {sequence} does not follow {last} (OPC 10000-6, 6.7.2.4)")
        self.sequence = sequence

    def give_up(self, error: Malformed) -> None:
        """Nothing more comes out of this stream; nothing of it is kept."""
        self.broken = error
        self.buffer.clear()
        self.take_parts(b"")


def follows(last: int, sequence: int) -> bool:
    """Whether a sequence number is the next one; it may start again when it has nearly run out."""
    return sequence == last + 1 or (last > LAST_NUMBER - WRAP_BELOW and sequence < WRAP_BELOW)


def chunk_size(head: bytes) -> int | None:
    """The size that the head of a chunk says, ``None`` where the head is not whole.  Raises `Malformed`."""
    kind = head[:3]
    least = _LEAST.get(kind)
    if least is not None and len(head) >= HEAD_BYTES and head[3:4] == FINAL:  # nearly all
        size: int = _size_at(head)[0]
        if least <= size <= MAX_MESSAGE_BYTES:
            return size
    if least is None and not (len(head) < 3 and any(each.startswith(head) for each in KINDS)):  # noqa: PLR2004
        raise WrongProtocol("the message is of no kind that OPC UA has, so this is another protocol (7.1.2.2)")
    chunk = head[3:4]
    if chunk and chunk != FINAL and not (kind == MESSAGE and chunk in {PART, ABORT}):
        raise Malformed(f"a {kind.decode()} message cannot be {chunk!r} (OPC 10000-6, 7.1.2.2)")
    if len(head) < HEAD_BYTES:
        return None
    size = _size_at(head)[0]
    least = _LEAST[kind]
    if not least <= size <= MAX_MESSAGE_BYTES:
        raise Malformed(f"a {kind.decode()} chunk of {size} bytes is not within {least} and {MAX_MESSAGE_BYTES}")
    return size


def last_chunk(chunks: bytes) -> bytes:
    """The last of the chunks of one message."""
    start = 0
    while (end := start + said_size(chunks, start)) < len(chunks):
        start = end
    return chunks[start:]


def joined(chunks: bytes, cut: int) -> bytes:
    """What the chunks of one message hold, without the `cut` bytes of signature behind each."""
    if said_size(chunks, 0) == len(chunks):
        return chunks[SECURED_HEAD_BYTES : len(chunks) - cut]
    bodies, start = [], 0
    while start < len(chunks):
        end = start + said_size(chunks, start)
        bodies.append(chunks[start + SECURED_HEAD_BYTES : end - cut])
        start = end
    return b"".join(bodies)


def said_size(chunks: bytes, start: int) -> int:
    """The size that the chunk says which begins at `start`, of chunks that were cut out of a stream."""
    size: int = _size_at(chunks, start)[0]
    return size


def read_secured(chunk: bytes) -> Secured:
    """The head of a MSG or CLO chunk (6.7.2.2 to 6.7.2.4)."""
    return Secured(*_secured(chunk))


def read_asymmetric(chunk: bytes) -> Asymmetric:
    """The head of an OPN chunk (6.7.2.3): channel, policy, the sender's certificate, the receiver's thumbprint."""
    channel, at = read_uint32(chunk, HEAD_BYTES)
    policy, at = read_string(chunk, at)
    certificate, at = read_bytes(chunk, at)
    _, at = read_bytes(chunk, at)
    need(chunk, at, 8)
    return Asymmetric(channel, policy or "", certificate or b"", at)


def read_hello(chunk: bytes) -> str:
    """7.1.2.3: version, four limits, and the URL that the client means, which is returned."""
    at = need(chunk, HEAD_BYTES, _limits.size)
    url, at = read_string(chunk, at)
    if at != len(chunk) or len(url or "") > MAX_URL:
        raise Malformed("a Hello with something behind it, or with too long a URL (OPC 10000-6, 7.1.2.3)")
    return url or ""


def check_acknowledge(chunk: bytes) -> None:
    """7.1.2.4: version and four limits."""
    if len(chunk) != HEAD_BYTES + _limits.size:
        raise Malformed(f"an Acknowledge of {len(chunk)} bytes (OPC 10000-6, 7.1.2.4)")


def read_failure(chunk: bytes) -> int:
    """7.1.2.5: a status, which is returned, and a reason."""
    status, at = read_uint32(chunk, HEAD_BYTES)
    _, at = read_string(chunk, at)
    if at != len(chunk):
        raise Malformed("an Error with something behind it (OPC 10000-6, 7.1.2.5)")
    return status  # type: ignore[no-any-return]  # readers of numbers give numbers


def check_reverse_hello(chunk: bytes) -> None:
    """7.1.2.6: the server's URI and the URL of its endpoint."""
    _, at = read_string(chunk, HEAD_BYTES)
    _, at = read_string(chunk, at)
    if at != len(chunk):
        raise Malformed("a ReverseHello with something behind it (OPC 10000-6, 7.1.2.6)")


def failure(status: int, why: str) -> bytes:
    """An Error message (7.1.2.5): whoever gets it closes the connection."""
    text = why.encode()
    return _failure.pack(b"ERRF", _failure.size + len(text), status, len(text)) + text


def renumbered(chunks: bytes, first: int) -> tuple[bytes, int]:
    """`chunks` with sequence numbers from `first` on and nothing else changed, and the number behind the last."""
    data, start, number = bytearray(chunks), 0, first
    while start < len(data):
        size = _size_at(data, start)[0]
        at = start + CHANNEL_HEAD_BYTES
        if data[start : start + 3] == OPEN:
            at = start + read_asymmetric(chunks[start : start + size]).end
        data[at : at + 4] = number.to_bytes(4, "little")
        number, start = next_number(number), start + size
    return bytes(data), number


def next_number(number: int) -> int:
    """The sequence number behind `number`; it starts again at 1 before it runs out (6.7.2.4)."""
    return 1 if number > LAST_NUMBER - WRAP_BELOW else number + 1
