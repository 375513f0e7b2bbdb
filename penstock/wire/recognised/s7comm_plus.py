"""S7comm-plus: what newer S7 controllers speak, by its function code where it is not encrypted.

Pure.  There is no public specification: the head as public dissectors know it (protocol 0x72, version, length; from
version 3 on a check value in front of the content; then opcode and function).  Newer firmware wraps all of it in TLS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.model import Malformed, Operation
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import RecognisedProtocol, asking
from penstock.wire.tpkt import TransportUnit, carried
from penstock.wire.tpkt_dissector import TransportDissector

#: (functions, name, classes): the taxonomy.
CODES: Final[tuple[tuple[tuple[int, ...], str, tuple[Is, ...]], ...]] = (
    ((0x04BB,), "Explore", (Is.DISCOVERY,)),
    ((0x04CA,), "Create Object", (Is.SESSION,)),
    ((0x04D4,), "Delete Object", (Is.VENDOR,)),
    ((0x04F2, 0x0542), "Set (Multi) Variable", (Is.WRITE,)),
    ((0x054C, 0x0586, 0x0524), "Get Multi Variables, Get Variable Sub Streamed, Get Link", (Is.READ,)),
    ((0x0556, 0x0560), "Begin, End Sequence", (Is.PROGRAM_TO_DEVICE,)),
    ((0x056B,), "Invoke", (Is.EXECUTE,)),
)
MEANINGS: Final = {code: (name, classes) for codes, name, classes in CODES for code in codes}
PROTOCOL: Final = 0x72
_KEEP_ALIVE: Final = 0xFE
#: Up to version 2 the content follows the head at once; in version 3 a check value of a stated length comes first.
_WITH_CHECK: Final = 3
_VERSIONS: Final = frozenset({1, 2, 3, _KEEP_ALIVE})
_REQUEST: Final = 0x31
_HEAD_BYTES: Final = 4
#: What goes on record: the head and the function.  Behind them may stand the answer to a password's challenge.
RECORDED_BYTES: Final = 24


def fits(data: bytes, side: Side) -> bool | None:  # noqa: ARG001 - both sides begin alike
    """See `Known.fits`: the protocol's number and a version behind the transport header."""
    try:
        payload = carried(data)
    except Malformed:
        return False
    if payload is None or payload == b"\x72":
        return None
    return payload[0] == PROTOCOL and payload[1] in _VERSIONS


class S7PlusDissector(TransportDissector):
    """The messages of one flow.  The reference decode does not know them: it shows bytes."""

    __slots__ = ()

    def message(self, side: Side, unit: TransportUnit) -> Sequence[Shown]:
        """A message of S7comm-plus."""
        payload = unit.payload
        if payload[:1] != b"\x72":
            return ()
        pdu = {"p": "data", "len": len(payload), "head": payload[:24].hex()}
        asked = operation(payload)
        return (Shown(pdu, asking(unit.data, side, asked) if asked else None, "COTP"),)


def begins_tls(payload: bytes) -> bool:
    """Whether the two ends go on in TLS within the transport from here on (RFC 8446 section 5.1: a handshake)."""
    return payload.startswith(b"\x16\x03")


def is_keep_alive(payload: bytes) -> bool:
    """Whether it only keeps the connection going."""
    return payload[1:2] == bytes((_KEEP_ALIVE,))


def is_one_message(payload: bytes) -> bool:
    """Whether it holds one message or a fragment of one, and nothing else."""
    if len(payload) < _HEAD_BYTES:
        return False
    behind = payload[_HEAD_BYTES + (payload[2] << 8 | payload[3]) :]
    trailer = payload[:2] + b"\0\0"
    return behind in {b"", trailer} and len(payload) >= _HEAD_BYTES + (payload[2] << 8 | payload[3])


def operation(payload: bytes) -> Operation | None:
    """What a request asks for; ``None`` where the bytes are no request."""
    if len(payload) < _HEAD_BYTES or payload[0] != PROTOCOL or payload[1] not in _VERSIONS:
        return None
    if payload[1] == _KEEP_ALIVE:
        return None
    at = _HEAD_BYTES
    if payload[1] == _WITH_CHECK:
        at += 1 + (payload[at] if len(payload) > at else 0)
    if len(payload) < at + 5 or payload[at] != _REQUEST:
        return None
    code = payload[at + 3] << 8 | payload[at + 4]
    name, classes = MEANINGS.get(code, (f"unknown 0x{code:04X}", (Is.UNKNOWN,)))
    return Operation("s7comm_plus", classes, f"0x{code:04X}", name)


S7COMM_PLUS: Final = RecognisedProtocol(
    name="s7comm_plus",
    title="S7comm-plus",
    column="COTP",
    ports=("tcp/102",),
    fits=fits,
    dissectors={"tcp": S7PlusDissector},
)
