"""The contract that every protocol of the gate fulfils: bytes of a flow in, judged units out.

Pure.  A `Decoder` belongs to one flow and sees both of its directions.  It finds the protocol's frames, says what a
request means, says which reply belongs to which request, and can refuse a request in the protocol's own words.  It
must never change what was judged: the bytes that mean something are forwarded as they came.  `penstock.proxy` and
`penstock.observe` are its users.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol, runtime_checkable

import msgspec

from penstock.model import Malformed, Operation, Reason, Target

#: The exchange of a request that nobody answers, and of everything that is no request and no reply.
NO_ANSWER: Final = -1


class Side(Enum):
    """Which end of a flow sent the bytes."""

    CLIENT = "client"
    ASSET = "asset"

    __hash__ = object.__hash__
    """There is one of each; the hash of an `Enum` is made of its name, in Python, at every look-up."""


class Role(Enum):
    """What a frame is in the conversation, whichever side sent it."""

    REQUEST = "request"
    """Asks the other side for something, and is judged.  An asset may ask as well (S7 fetches blocks)."""
    REPLY = "reply"
    """Answers a request of the other side that has the same `exchange`."""
    NOTICE = "notice"
    """Information that nobody asked for at this moment (spontaneous values, alarms).  Judged like a request: what is
    not allowed is kept back.  Nobody answers it, or its acknowledgement is a `LINK` frame."""
    LINK = "link"
    """Keeps the connection itself going (connect, negotiate, keep alive, acknowledge), and asks the asset for nothing.
    Passes inside a grant and is not on record one by one."""


class WrongProtocol(Malformed):
    """The bytes are another protocol's: a port is not a protocol.  Recorded as `Reason.WRONG_PROTOCOL`."""


class Frame(msgspec.Struct, gc=False):
    """One message of the protocol, put together where it came in parts.

    `data` are its exact bytes, with those of the layers that carried it.  `what` is everything that matters for the
    decision: two requests of one flow with the same `what` mean the same and get the same verdict (Modbus: all but the
    transaction number), also when the decoder's own state decides what they mean (a CIP connection: then that state is
    part of it).  `exchange` is equal in a request and in its reply, and in nothing else that is under way in that
    direction.  `is_refusal` is true of a reply that says no.  `is_last` is false of a reply that more replies follow.
    """

    data: bytes
    side: Side
    what: bytes
    exchange: int
    is_refusal: bool
    role: Role = Role.REQUEST
    is_last: bool = True

    @property
    def operation(self) -> Operation:
        """What a request or a notice is about.  Raises `Malformed` when it is well framed but breaks its protocol."""
        raise NotImplementedError

    @property
    def recorded(self) -> bytes:
        """The bytes that may go on record: `data`, with every secret in it (a password) overwritten by ``*``."""
        return self.data


class Answer(msgspec.Struct, frozen=True):
    """What a reply says.

    `status` is the protocol's own code with its name (``2 illegal data address``), empty where all went well.
    `targets` are the objects of the request with the values that the reply shows.
    """

    status: str = ""
    targets: tuple[Target, ...] = ()


class Decoder(Protocol):
    """The frames of one flow."""

    rewrites: bool
    """Whether `forward` may give anything but the frame's own bytes; while it may not, it need not be called.

    It may become true while the gate forwards, refuses or drops a frame, and stays true then.  Where it is true, a flow
    takes the short way only as long as nothing was refused in it.
    """

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """The frames that `data` completes, in order; what is left of a frame is kept for the next call.

        Raises `Malformed` (or `WrongProtocol`) when the bytes cannot be framed.  Frames in front of the break are
        returned first, then the next call raises, with whatever data (so the result does not depend on how the
        network cut the bytes).  After that the flow is lost.  Over UDP each call gets one datagram, and what is not
        whole then is `Malformed`.
        """

    def pending(self, side: Side) -> int:
        """How many bytes of an incomplete (or broken) frame are held for this side.

        Never more than the bound that the protocol's `WireProtocol.max_held_bytes` states.
        """

    def forward(self, frame: Frame) -> bytes:
        """What goes on to the other side for a frame that may pass.

        It is `frame.data`, but where the gate has said something itself in a link that counts its frames (IEC 104):
        there the counters of the link are made right, and nothing else.  Called once for each frame that passes, in
        order.
        """

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """The protocol's own answer to a request that is not forwarded, to the side that sent it.

        Its sender shows an error and stays connected.  Empty where the protocol has no such answer (an
        unconfirmed request, a notice): then it is dropped.
        """

    def due(self, side: Side) -> bytes:
        """What the gate itself owes to `side` now: in a link that counts its frames (IEC 104), an acknowledgement.

        A frame that was refused may have carried one to the other side.  Asked for both sides, in a flow in which
        something was refused, after the frames of one `feed` were all forwarded or refused; it goes out behind what
        those gave.  Empty in a protocol without such counters.
        """

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """What `reply` says to `request`.  Never raises: what it cannot read has the status ``unreadable``.

        Not called on the hot path: for what is on record one by one, and for reads whose values somebody asks for.
        """


@runtime_checkable
class CountsFrames(Protocol):
    """A decoder whose protocol numbers what a side sends, so that its receiver misses what does not come in order."""

    def is_counted(self, frame: Frame) -> bool:
        """Whether this frame has its place in such a count.

        It can be neither passed on nor refused before those in front of it were, whatever its role.
        """


@runtime_checkable
class KeepsWaiting(Protocol):
    """A decoder whose protocol can tell the sender of a held request that it arrived, so that it does not give up."""

    def keep_waiting(self, frame: Frame) -> bytes:
        """What goes to the side that sent `frame` when it is held, and for each request that waits behind it.

        It says that the request arrived (IEC 104: an acknowledgement), never what becomes of it.  What the other side
        must not wait for (IEC 104: what the request acknowledges) is given by `Decoder.due`, which is asked next.
        """
