"""The parts of one request, read by the rules of its service.

Pure.  What a vendor puts into a private transfer is the vendor's: some put bytes there that have no tags, so only
its frame is read (ANSI/ASHRAE 135-2020, 16.2).
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed
from penstock.wire.bacnet import codes
from penstock.wire.bacnet.grammar import Found, read_parts
from penstock.wire.bacnet.services import REQUESTS, UNCONFIRMED_REQUESTS
from penstock.wire.bacnet.tags import read_tag

#: unconfirmedPrivateTransfer.
_UNCONFIRMED_PRIVATE: Final = 4
#: 20.2.1.3.2: opening and closing tag 2, around the vendor's parameters.
_OPENING, _CLOSING = 0x2E, 0x2F


def read_confirmed(service: int, data: bytes, at: int, end: int) -> Found:
    """The parts of a confirmed request that the standard knows, from behind the service choice.  Raises `Malformed`."""
    if service == codes.PRIVATE_TRANSFER:
        end = _end_of_numbers(data, at, end)
    return read_parts(REQUESTS[service], data, at, end)


def read_unconfirmed(service: int, data: bytes, at: int, end: int) -> Found:
    """The same of an unconfirmed request."""
    if service == _UNCONFIRMED_PRIVATE:
        end = _end_of_numbers(data, at, end)
    return read_parts(UNCONFIRMED_REQUESTS[service], data, at, end)


def _end_of_numbers(data: bytes, at: int, end: int) -> int:
    """Where vendor and service number end; behind them is nothing, or what stands between the two tags."""
    at = read_tag(data, read_tag(data, at, end)[3], end)[3]
    if at < end and (end - at < 2 or data[at] != _OPENING or data[end - 1] != _CLOSING):  # noqa: PLR2004 - two tags
        raise Malformed("the parameters of a private transfer are not between their tags (135 16.2)")
    return at
