"""One BACnet/IP message as the gate sees it.

Pure.  It knows where its parts are, and opens them when it is asked what it means.  It must never let a password out.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from penstock.model import Malformed, Operation
from penstock.wire.bacnet import codes, operations
from penstock.wire.bacnet.network import ASSET, Envelope, Scope, envelope
from penstock.wire.bacnet.tags import CONTEXT, read_tags
from penstock.wire.decoder import Frame, Side

#: 20.1.2: in front of the service choice of a request stand flags, sizes and invoke id; two more where it is segmented.
SEGMENTED: Final = 0x08
MORE: Final = 0x04
ACCEPTS_SEGMENTS: Final = 0x02
#: Which context tag of which service is a password (16.1, 16.4, and 24.6 of older editions).
_SECRETS: Final = {codes.DEVICE_COMMUNICATION_CONTROL: 2, codes.REINITIALIZE_DEVICE: 1, codes.AUTHENTICATE: 3}


class Kind(IntEnum):
    """What a frame is made of."""

    CONFIRMED = 0
    UNCONFIRMED = 1
    UNKNOWN = 2
    """An APDU of a type that the standard does not define."""
    MESSAGE = 3
    """A network message."""
    FUNCTION = 4
    """A function of the BVLL."""
    BROKEN = 5
    """A segment that does not fit to those before it, or for which there is no room: `what` says why."""
    STRAY = 6
    """A segment, or what keeps a transaction going, for more than one device."""
    OTHER = 7
    """A reply, or what keeps a transaction going."""


_CLIENT: Final = Side.CLIENT
_CONFIRMED: Final = Kind.CONFIRMED
_UNCONFIRMED: Final = Kind.UNCONFIRMED


class BacnetFrame(Frame, gc=False):
    """One BACnet/IP datagram; where it makes a segmented message whole, `what` is that message.

    `what` is the datagram without the invoke id; in front of it stands one byte where the meaning of a request depends
    on more than its bytes: 0 from the asset, else the backup (2) or restore (4) that is under way.  Of a reply it is
    the whole APDU.  `at` is where in `what` the service choice (or the APDU's type) is.  `transaction` is what the
    segments of one message have in common.  `sealed` is the envelope where it is not a plain one.
    """

    kind: Kind = Kind.OTHER
    at: int = 0
    transaction: int = -1
    sealed: Envelope | None = None

    @property
    def operation(self) -> Operation:
        """What the message asks for.  Raises `Malformed`."""
        what, at, kind, sealed = self.what, self.at, self.kind, self.sealed
        scope = ASSET
        if sealed is not None:
            scope = sealed.from_client if self.side is _CLIENT else sealed.from_asset
        if kind is _CONFIRMED:
            return operations.confirmed(scope, what, at, what[0] if what[0] <= codes.ABORT_RESTORE else 0)
        if kind is _UNCONFIRMED:
            return operations.unconfirmed(scope, what, at)
        return self._rarer_operation(scope, sealed or envelope(self.data))

    def _rarer_operation(self, scope: Scope, sealed: Envelope) -> Operation:
        match self.kind:
            case Kind.MESSAGE:
                return operations.network_message(scope, sealed.message, self.data[sealed.at :])
            case Kind.FUNCTION:
                return operations.link_function(sealed.function, self.data[sealed.at :])
            case Kind.UNKNOWN:
                return operations.unknown_message(scope, self.what, self.at)
            case Kind.BROKEN:
                raise Malformed(self.what.decode())
            case _:
                raise Malformed("a part of a transaction for more than one device (135 5.4.5.1)")

    @property
    def recorded(self) -> bytes:
        """The datagram, with a password in it overwritten; with all of the service where it is not where it belongs."""
        if self.kind is Kind.BROKEN or self.transaction != -1:
            return self._recorded_segment()
        if self.kind is not Kind.CONFIRMED or self.what[self.at] not in _SECRETS:
            return self.data
        end = len(self.what)
        start = len(self.data) - (end - self.at - 1)
        try:
            tags = read_tags(self.data, start, len(self.data))
        except Malformed:
            return _hidden(self.data, start, len(self.data))
        data = self.data
        for kind, number, first, last in tags:
            if kind == CONTEXT and number == _SECRETS[self.what[self.at]]:
                data = _hidden(data, first, last)
        return data

    def _recorded_segment(self) -> bytes:
        """A part of a message: a password may begin or end anywhere in it."""
        start = envelope(self.data).at + 6
        is_secret = len(self.data) >= start and self.data[start - 1] in _SECRETS
        return _hidden(self.data, start, len(self.data)) if is_secret else self.data


def _hidden(data: bytes, start: int, end: int) -> bytes:
    return data[:start] + b"*" * (end - start) + data[end:]
