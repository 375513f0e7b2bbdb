"""The contract that every protocol of the gate fulfils: bytes of a flow in, judged units out.

Pure.  A `Decoder` belongs to one flow and sees both of its directions.  It finds the protocol's frames, says what a
request means, says which reply belongs to which request, and can refuse a request in the protocol's own words.  It
must never change a byte: what was judged is what is forwarded.  `penstock.proxy` is its only user.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import msgspec

from penstock.model import Malformed, Operation, Reason


class Side(Enum):
    """Which end of a flow sent the bytes."""

    CLIENT = "client"
    ASSET = "asset"


class WrongProtocol(Malformed):
    """The bytes are another protocol's: a port is not a protocol.  Recorded as `Reason.WRONG_PROTOCOL`."""


class Frame(msgspec.Struct, gc=False):
    """One message of the protocol.

    `data` are its exact bytes.  `what` is everything in it that matters for the decision: two requests of one flow
    with the same `what` mean the same (Modbus: all but the transaction number).  `exchange` is equal in a request
    and in its reply, and in nothing else that is under way.  `is_refusal` is true of a reply that says no.
    """

    data: bytes
    side: Side
    what: bytes
    exchange: int
    is_refusal: bool

    @property
    def operation(self) -> Operation:
        """What a request asks for.  Raises `Malformed` when it is well framed but breaks its protocol inside."""
        raise NotImplementedError


class Decoder(Protocol):
    """The frames of one flow."""

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """The frames that `data` completes, in order; what is left of a frame is kept for the next call.

        Raises `Malformed` (or `WrongProtocol`) when the bytes cannot be framed.  Frames in front of the break are
        returned first, then the next call raises, with whatever data (so the result does not depend on how the
        network cut the bytes).  After that the flow is lost.
        """

    def pending(self, side: Side) -> int:
        """How many bytes of an incomplete (or broken) frame are held for this side."""

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """The protocol's own answer to a request that is not forwarded."""
