"""Datagrams in the tunnel's stream, as the client frames them: two bytes of length (the higher first), then the bytes.

Pure.  It must never let a length that no datagram has pass for one.
"""

from __future__ import annotations

from penstock.model import Malformed

#: What IPv4 leaves of 65,535 bytes after its own header and UDP's (RFC 768).
MAX_DATAGRAM_BYTES = 65_507
_LENGTH_BYTES = 2


def framed(datagram: bytes) -> bytes:
    """One datagram as it stands in the stream."""
    return len(datagram).to_bytes(_LENGTH_BYTES, "big") + datagram


def split(received: bytes) -> tuple[list[bytes], bytes]:
    """The whole datagrams, and the beginning of the one that is still under way.  Raises `Malformed`."""
    found: list[bytes] = []
    at = 0
    while len(received) - at >= _LENGTH_BYTES:
        length = int.from_bytes(received[at : at + _LENGTH_BYTES], "big")
        if length > MAX_DATAGRAM_BYTES:
            raise Malformed(f"the gate sends a datagram of {length} bytes")
        end = at + _LENGTH_BYTES + length
        if end > len(received):
            break
        found.append(received[at + _LENGTH_BYTES : end])
        at = end
    return found, received[at:]
