"""The secure channel of one connection: what its opening showed of its policy, its mode and its number.

Pure.  The mode of a channel with a policy stands in an encrypted message, so it is learnt from the first request: a
signed message is clear text with a signature behind it, an encrypted one makes no sense as one.  What was learnt once
holds for the connection; a channel that is opened again with another policy is `Malformed`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from penstock.model import Malformed
from penstock.wire.decoder import Side
from penstock.wire.opcua import transport as t
from penstock.wire.opcua.binary import printable
from penstock.wire.opcua.codes import MESSAGE_NAMES, OPEN_CHANNEL, POLICY_PREFIX, RESPONSES, SIGNATURE_BYTES
from penstock.wire.opcua.headers import read_request, read_response
from penstock.wire.opcua.opaque import Ends, Tokens, thumbprint
from penstock.wire.opcua.schema import Fields, read_message

#: OPC 10000-4, 7.20: the mode of a channel without security.
_MODE_NONE: Final = 1
_RENEW: Final = 1
_CLIENT: Final = Side.CLIENT


class Mode(Enum):
    """What can be read in a channel."""

    UNOPENED = auto()
    CLEAR = auto()
    """Policy None: everything."""
    UNDECIDED = auto()
    """A policy, and no request yet."""
    SIGNED = auto()
    """Everything, with a signature behind each chunk."""
    ENCRYPTED = auto()
    """Nothing but lengths."""


class Channel:
    """The state of one connection's handshake and channel."""

    __slots__ = (
        "_is_acknowledged",
        "_is_asked",
        "_is_greeted",
        "_is_reversed",
        "_thumbprints",
        "endpoint",
        "is_closed",
        "mode",
        "number",
        "policy",
        "tokens",
    )

    def __init__(self) -> None:
        self.endpoint = self.policy = ""
        self.mode = Mode.UNOPENED
        #: The channel's number; ``None`` before the server gave one.
        self.number: int | None = None
        #: The client has closed it; what the server still answers may come.
        self.is_closed = False
        self.tokens = Tokens()
        self._thumbprints: dict[Side, str] = {}
        self._is_greeted = self._is_acknowledged = self._is_asked = self._is_reversed = False

    @property
    def ends(self) -> Ends:
        """Between whom the channel is, as far as its opening showed it."""
        client, server = (self._thumbprints.get(side, "") for side in (_CLIENT, Side.ASSET))
        return Ends(self.policy, self.endpoint, client, server)

    @property
    def cut(self) -> int:
        """Bytes of the signature behind each chunk; 0 where there is none, or the policy is none that is known."""
        return SIGNATURE_BYTES.get(self.policy, 0) if self.mode is Mode.SIGNED else 0

    def greet(self, side: Side, chunk: bytes) -> None:
        """HEL, ACK, ERR and RHE, in the order that the standard has (OPC 10000-6, 7.1.3).  Raises `Malformed`."""
        kind = chunk[:3]
        if kind == t.FAILURE:
            t.read_failure(chunk)
        elif kind == t.HELLO and side is _CLIENT and not self._is_greeted:
            self.endpoint, self._is_greeted = printable(t.read_hello(chunk)), True
        elif kind == t.ACKNOWLEDGE and side is not _CLIENT and self._is_greeted and not self._is_acknowledged:
            t.check_acknowledge(chunk)
            self._is_acknowledged = True
        elif kind == t.REVERSE and side is not _CLIENT and not (self._is_greeted or self._is_reversed):
            t.check_reverse_hello(chunk)
            self._is_reversed = True
        else:
            raise Malformed(f"{kind.decode()} from the {side.value} does not belong here (OPC 10000-6, 7.1.3)")

    def open(self, side: Side, chunk: bytes) -> int | None:
        """OPN, request or response; the sequence number where it can be read.  Raises `Malformed`."""
        head = t.read_asymmetric(chunk)
        if not self._is_greeted or (self.is_closed if side is _CLIENT else not self._is_asked):
            raise Malformed(f"OPN from the {side.value} does not belong here (OPC 10000-6, 6.7.4)")
        policy = printable(head.policy.removeprefix(POLICY_PREFIX))
        if self.policy not in {"", policy}:
            raise Malformed(f"a channel of policy {self.policy} is opened again with {policy} (OPC 10000-4, 5.6.2)")
        if not policy:
            raise Malformed("a channel without a policy (OPC 10000-6, 6.7.2.3)")
        self.policy = policy
        if self._thumbprints.setdefault(side, shown := thumbprint(head.certificate)) != shown:
            raise Malformed(f"the {side.value} opens the channel again with another certificate (OPC 10000-4, 5.6.2)")
        sequence, number = self._look_inside(side, chunk, head)
        if side is _CLIENT:
            self._is_asked = True
            return sequence
        if self.number not in {None, number}:
            raise Malformed(f"channel {self.number} is opened again as {number} (OPC 10000-4, 5.6.2)")
        self.number = number
        self.tokens.opened()
        if self.mode is Mode.UNOPENED:
            self.mode = Mode.CLEAR if policy == "None" else Mode.UNDECIDED
        return sequence

    def _look_inside(self, side: Side, chunk: bytes, head: t.Asymmetric) -> tuple[int | None, int]:
        """The sequence number, ``None`` where the policy encrypts it, and the channel's number."""
        if self.policy != "None":
            return None, head.channel
        fields = read_open(side, chunk, head)
        if side is _CLIENT:
            known = self.number if self.number is not None else 0
            if fields["SecurityMode"] != _MODE_NONE or (fields["RequestType"] == _RENEW and head.channel != known):
                raise Malformed("the policy None with a mode, or a renewal of another channel (OPC 10000-4, 5.6.2)")
        number = fields["SecurityToken"]["ChannelId"] if side is not _CLIENT else head.channel
        if side is not _CLIENT and number != head.channel:
            raise Malformed(f"OPN of channel {head.channel} gives channel {number} (OPC 10000-6, 6.7.2.3)")
        return int.from_bytes(chunk[head.end : head.end + 4], "little"), number


def read_open(side: Side, chunk: bytes, head: t.Asymmetric) -> Fields:
    """The fields of an OPN message with the policy None.  Raises `Malformed`."""
    at = head.end + 8
    message = read_request(chunk, at) if side is _CLIENT else read_response(chunk, at)
    wanted = OPEN_CHANNEL if side is _CLIENT else OPEN_RESPONSE
    if message.service != wanted:
        raise Malformed(f"OPN holds {message.type_id.text}, not {MESSAGE_NAMES[wanted]} (OPC 10000-6, 6.7.4)")
    return read_message(MESSAGE_NAMES[wanted], chunk[message.body :])


#: The response to OpenSecureChannel.
OPEN_RESPONSE: Final = next(code for code, request in RESPONSES.items() if request == OPEN_CHANNEL)
