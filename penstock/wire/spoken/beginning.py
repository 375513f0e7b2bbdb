"""What both sides of a flow say first, held back until it is the protocol that the service declares.

Pure.  A port is not a protocol: bytes that are another's are never given on.  What cannot be told yet is held, up to
`FITS_BYTES` of each side.  The connect of COTP, which several protocols share and which asks for nothing, goes on
before.
"""

from __future__ import annotations

from collections.abc import Callable

from penstock.wire.decoder import Side, WrongProtocol
from penstock.wire.protocol import FITS_BYTES, Known
from penstock.wire.recognition import recognise

#: As `Known.fits`, of a flow that is seen from its first byte on.
Opens = Callable[[bytes, Side], bool | None]
#: How many of the first bytes of a side may go on while it is not known yet what they begin.
Prelude = Callable[[bytes, Side], int]


class Beginning:
    """The first bytes of one flow of the protocol called `name`; `known` are those that it may be instead."""

    __slots__ = ("_held", "_is_known", "_known", "_name", "_opens", "_prelude", "_seen")

    def __init__(self, name: str, opens: Opens, prelude: Prelude, known: tuple[Known, ...]) -> None:
        self._name, self._opens, self._prelude, self._known = name, opens, prelude, known
        self._seen = {side: bytearray() for side in Side}
        self._held = {side: bytearray() for side in Side}
        self._is_known = dict.fromkeys(Side, False)

    @property
    def is_over(self) -> bool:
        """Whether both sides have begun as they should."""
        return all(self._is_known.values())

    def pending(self, side: Side) -> int:
        """How many bytes of this side are held."""
        return len(self._held[side])

    def take(self, side: Side, data: bytes) -> bytes:
        """What may go on of `data` and of what is held.  Raises `WrongProtocol`."""
        if self._is_known[side] or not data:
            return data
        seen, held = self._seen[side], self._held[side]
        seen += data[: FITS_BYTES - len(seen)]
        held += data
        fits = self._opens(bytes(seen), side)
        if fits is False or (fits is None and len(seen) >= FITS_BYTES):
            raise WrongProtocol(self._what_it_is(side))
        if fits:
            self._is_known[side] = True
            end = len(held)
        else:
            end = self._prelude(bytes(held), side) if len(seen) == len(held) else 0
        passed = bytes(held[:end])
        del held[:end]
        return passed

    def _what_it_is(self, side: Side) -> str:
        data = bytes(self._seen[side])
        sides = (data, b"") if side is Side.CLIENT else (b"", data)
        found = recognise(self._known, *sides)
        like = f"; it begins as {found.protocol.name} does" if found is not None and found.is_certain else ""
        return f"what the {side.value} sent first is no {self._name}{like}"
