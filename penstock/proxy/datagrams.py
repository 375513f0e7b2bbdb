"""Datagrams in a tunnel's stream: each with its length before it, so that none runs into the next.

Pure.  After the first lines of a tunnel for a UDP service (`penstock.proxy.tunnel`) both directions carry frames: two
bytes of length, the higher first, then as many bytes of one datagram, 0 to 65,507 (what IPv4 leaves of 65,535 after its
own header and UDP's, RFC 768).  A frame that says more is no frame, and the stream ends.  Order is kept, loss is
allowed: where a side cannot take a datagram at once it is dropped and counted, never kept for later.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed

MAX_DATAGRAM_BYTES: Final = 65_507
_LENGTH_BYTES: Final = 2


def framed(datagram: bytes) -> bytes:
    """One datagram as it stands in the stream; at most `MAX_DATAGRAM_BYTES`, as no socket gives more."""
    return len(datagram).to_bytes(_LENGTH_BYTES, "big") + datagram


def split_datagrams(received: bytes, most: int) -> tuple[list[bytes], bytes]:
    """The first whole datagrams, `most` at most, and the bytes after them.  Raises `Malformed`.

    What is left is less than one frame where fewer than `most` were found.
    """
    found: list[bytes] = []
    at, end = 0, len(received)
    while len(found) < most and at + _LENGTH_BYTES <= end:
        length = int.from_bytes(received[at : at + _LENGTH_BYTES], "big")
        if length > MAX_DATAGRAM_BYTES:
            raise Malformed(f"a datagram of {length} bytes; {MAX_DATAGRAM_BYTES} is the most")
        if at + _LENGTH_BYTES + length > end:
            break
        at += _LENGTH_BYTES
        found.append(received[at : at + length])
        at += length
    return found, received[at:]
