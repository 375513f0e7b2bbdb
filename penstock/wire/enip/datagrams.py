"""EtherNet/IP over UDP: lists of what a device is (port 44818), and implicit data (port 2222).

Pure.  ODVA CIP Volume 2, 2-4 (which commands go over UDP) and 2-6.3 (class 0 and 1 data).  Implicit data name a number
of a connection and nothing else: what they may do was judged when it was opened, over TCP.  So both decoders of two
ends share one `Connections`; data of a connection that nobody opened there are `unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from penstock.model import Malformed, Reason
from penstock.wire.decoder import NO_ANSWER, Answer, Frame, Role, Side
from penstock.wire.enip.answers import answer
from penstock.wire.enip.connections import Connections
from penstock.wire.enip.decoder import EnipDecoder, EnipFrame
from penstock.wire.enip.operations import IMPLICIT
from penstock.wire.enip.packets import (
    CONNECTED_DATA,
    IMPLICIT_HEAD,
    RR_DATA,
    SEQUENCED_ADDRESS,
    UNIT_DATA,
    end_of_frame,
)
from penstock.wire.enip.refusals import refusal

_layout = Struct("<HHHIIHH").unpack_from
_LAYOUT_BYTES: Final = 18
_ADDRESS_BYTES: Final = 8
#: A sequence count.
_HEARTBEAT_BYTES: Final = 2
_CLIENT: Final = Side.CLIENT
_REQUEST: Final = Role.REQUEST
_NOTICE: Final = Role.NOTICE


def implicit_frame(side: Side, data: bytes, connections: Connections) -> EnipFrame:
    """The frame of one datagram of implicit data.  Raises `Malformed`."""
    if len(data) < _LAYOUT_BYTES:
        raise Malformed("implicit data end within their address (2-6.3)")
    count, kind, size, number, _, data_kind, data_size = _layout(data)
    is_right = count == 2 and kind == SEQUENCED_ADDRESS and size == _ADDRESS_BYTES and data_kind == CONNECTED_DATA  # noqa: PLR2004
    if not is_right or len(data) != _LAYOUT_BYTES + data_size:
        raise Malformed("implicit data without the items of a connected message (2-6.3)")
    is_client = side is _CLIENT
    known = (connections.to_target if is_client else connections.from_target).get(number)
    if known is None or not known.opening.is_implicit:
        return EnipFrame(data, side, bytes((IMPLICIT,)), NO_ANSWER, False, _REQUEST if is_client else _NOTICE)
    names = "\n".join(known.opening.consumed if is_client else known.opening.produced).encode()
    if is_client and not names:
        if data_size > _HEARTBEAT_BYTES:
            raise Malformed("more data than a heartbeat has, on a connection that was opened to send nothing (3-4.4)")
        return EnipFrame(data, side, bytes((IMPLICIT,)), NO_ANSWER, False, Role.LINK)
    what = bytes((IMPLICIT,)) + (b"w" if is_client else b"r") + names
    return EnipFrame(data, side, what, NO_ANSWER, False, _REQUEST if is_client else _NOTICE)


class EnipDatagrams:
    """The datagrams of one UDP flow.  Nothing is held: what is not whole is broken."""

    __slots__ = ("_stream", "connections")
    rewrites = False

    def __init__(self, connections: Connections | None = None) -> None:
        self.connections = Connections() if connections is None else connections
        self._stream = EnipDecoder(self.connections)

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`: one datagram."""
        if data[:4] == IMPLICIT_HEAD:
            return (implicit_frame(side, data, self.connections),)
        if end_of_frame(data, 0) != len(data) or not data:
            raise Malformed("a datagram that is no whole message (2-4)")
        if data[0] in (RR_DATA, UNIT_DATA):
            raise Malformed("requests go over TCP, not in datagrams (2-4)")
        return (self._stream.frame(side, data),)

    def pending(self, side: Side) -> int:  # noqa: ARG002 - the contract's
        """Nothing is held."""
        return 0

    def forward(self, frame: Frame) -> bytes:
        """The datagram as it came."""
        return frame.data

    def due(self, side: Side) -> bytes:  # noqa: ARG002 - the contract's
        """Nothing is counted."""
        return b""

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """The encapsulation's status; nothing for implicit data, which nobody answers."""
        return b"" if frame.what[0] == IMPLICIT else refusal(frame, reason, self.connections)

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """The status of a list."""
        return answer(request, reply)
