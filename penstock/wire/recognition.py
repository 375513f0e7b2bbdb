"""Which protocol a flow speaks: from its bytes, never from its port.

Pure.  It asks each protocol whether the first bytes of both sides fit (`Known.fits`).  The gate holds a flow to what
its service declares with it, and passive decoding chooses a dissector.  It must never guess: what no protocol claims
is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from penstock.wire.decoder import Side
from penstock.wire.protocol import FITS_BYTES, Known


class Recognised(NamedTuple):
    """The protocol, and whether more bytes cannot change it."""

    protocol: Known
    is_certain: bool


def recognise(candidates: Iterable[Known], from_client: bytes, from_asset: bytes) -> Recognised | None:
    """What a flow speaks whose sides began so (either may be empty, not both); ``None`` if none of the candidates.

    The first one that is certain, else the first that is still possible.
    """
    sides = [(Side.CLIENT, from_client[:FITS_BYTES]), (Side.ASSET, from_asset[:FITS_BYTES])]
    said = [(side, data) for side, data in sides if data]
    possible: Known | None = None
    for each in candidates:
        answers = [each.fits(data, side) for side, data in said]
        if False in answers:
            continue
        if True in answers:
            return Recognised(each, True)
        possible = possible or each
    return None if possible is None else Recognised(possible, False)


def is_reversed(candidates: Iterable[Known], from_client: bytes, from_asset: bytes) -> bool:
    """Whether the flow is one protocol's for certain with its sides exchanged, and nobody's as they are.

    Who connects is the client, but captures hold flows whose handshake misleads or is missing.
    """
    known = tuple(candidates)
    if recognise(known, from_client, from_asset) is not None:
        return False
    turned = recognise(known, from_asset, from_client)
    return turned is not None and turned.is_certain


def of_carrier(candidates: Sequence[Known], carrier: str) -> tuple[Known, ...]:
    """Those that are spoken over ``tcp``, ``udp``, or the link protocol ``ether/8892``."""
    return tuple(each for each in candidates if carrier in each.dissectors)
