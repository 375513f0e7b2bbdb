"""BER, as far as it takes to find one's way in messages of MMS and RDP.

Pure.  ITU-T X.690 (identifiers 8.1.2, lengths 8.1.3).  Every length is held to what is there; indefinite lengths, which
neither protocol uses, are `Malformed`.  It must never go deeper than it is told to.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.model import Malformed

_LONG_TAG: Final = 0x1F
_MORE: Final = 0x80
_MAX_LENGTH_BYTES: Final = 4
_MAX_TAG_BYTES: Final = 3


class Element(NamedTuple):
    """One element: its identifier's first byte, the number of its tag, and its content."""

    identifier: int
    tag: int
    content: bytes


def elements(data: bytes) -> list[Element]:
    """The elements that stand one behind the other in `data`.  Raises `Malformed`."""
    found: list[Element] = []
    at = 0
    while at < len(data):
        element, at = element_at(data, at)
        found.append(element)
    return found


def element_at(data: bytes, at: int) -> tuple[Element, int]:
    """The element that begins at `at`, and where it ends.  Raises `Malformed`."""
    identifier = _byte(data, at)
    tag = identifier & _LONG_TAG
    at += 1
    if tag == _LONG_TAG:
        tag, at = _long_tag(data, at)
    length = _byte(data, at)
    at += 1
    if length >= _MORE:
        size = length - _MORE
        if not 1 <= size <= _MAX_LENGTH_BYTES or at + size > len(data):
            raise Malformed("a length in a form that nobody uses (X.690 8.1.3)")
        length = int.from_bytes(data[at : at + size], "big")
        at += size
    if at + length > len(data):
        raise Malformed("an element is longer than what holds it (X.690 8.1.3)")
    return Element(identifier, tag, data[at : at + length]), at + length


def _long_tag(data: bytes, at: int) -> tuple[int, int]:
    tag = 0
    for _ in range(_MAX_TAG_BYTES):
        byte = _byte(data, at)
        at += 1
        tag = tag << 7 | byte & 0x7F
        if byte < _MORE:
            return tag, at
    raise Malformed("a tag that no standard has (X.690 8.1.2.4)")


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise Malformed("an element ends too early (X.690 8.1)")
    return data[at]
