"""S7comm framing: TPKT and COTP, the header of a PDU, pairs of request and reply, who asks whom, and refusals.

Pure.  Facts: RFC 1006 and ISO 8073 for the carrier (`penstock.wire.tpkt`), public dissectors and captures for the rest.
What a request means is in `penstock.wire.s7comm.operations`; this file must stay small, for every byte of every
inspected flow goes through it.  A controller asks as well: it fetches the blocks of a download with jobs of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from penstock.model import Malformed, Operation, Reason
from penstock.wire.decoder import NO_ANSWER, Answer, Frame, Role, Side, WrongProtocol
from penstock.wire.s7comm.answers import answer
from penstock.wire.s7comm.codes import (
    ACK,
    ACK_DATA,
    CONTROLS_JOBS,
    END_UPLOAD,
    JOB,
    PROGRAMMER,
    READ_VAR,
    SETUP,
    START_UPLOAD,
    UPLOAD,
    USERDATA,
    WRITE_VAR,
)
from penstock.wire.s7comm.items import read_entries
from penstock.wire.s7comm.operations import (
    CONNECT,
    FROM_ASSET,
    MARK,
    PARAMETERS_AT,
    TRANSFER_HEAD,
    operation,
)
from penstock.wire.s7comm.programmer import job_reference
from penstock.wire.s7comm.refusals import refuse_job, refuse_userdata
from penstock.wire.s7comm.secrets import without_secrets
from penstock.wire.s7comm.standing import Standing
from penstock.wire.s7comm.userdata import (
    KIND_AT,
    LONG_BYTES,
    SEQUENCE_AT,
    SHORT_BYTES,
    SUB_AT,
    data_of,
    kind_of,
)
from penstock.wire.tpkt import (
    CALLED_TSAP,
    Tpdu,
    TransportReader,
    TransportUnit,
    carried,
    disconnect,
    parameters,
)

#: No controller negotiates more than 960 bytes for a PDU; soft controllers go higher.  With all packets around it.
MAX_MESSAGE_BYTES: Final = 8192
_PROTOCOL: Final = 0x32
_PROTOCOL_PLUS: Final = 0x72
#: A packet with one data unit that ends its data, and the protocol's first byte behind it.
_WHOLE: Final = 0x02F0_8032
_PACKET: Final = 0x0300_0000
_packet_head = Struct(">IIBHHHH").unpack_from
#: What STEP 7 sends behind an answer.
_EMPTY: Final = b"\x03\0\0\x07\x02\xf0\0"
_PDU_AT: Final = 7
_PDU_HEAD: Final = 10
_ACK_HEAD: Final = 12
_LENGTHS_AT: Final = 6
_BODY_AT: Final = _PDU_AT + _LENGTHS_AT
_JOB_HEAD_END: Final = _PDU_AT + _PDU_HEAD
_ACK_HEAD_END: Final = _PDU_AT + _ACK_HEAD
_SUCCESS: Final = 0xFF
_ACKS: Final = frozenset({ACK, ACK_DATA})
_KINDS: Final = frozenset({JOB, ACK, ACK_DATA, USERDATA})
_VARS: Final = frozenset({READ_VAR, WRITE_VAR})
_SETUP_BYTES: Final = 8
#: `exchange`: the reference, and whether the asset asked; and the one of a connection request that is judged.
_ASSET_ASKED: Final = 1 << 16
_CONNECTING: Final = 1 << 17
_REFERENCE: Final = 0xFFFF
#: Parameters of userdata begin so; then their length, and whether they are the short or the long form.
_USERDATA_HEAD: Final = b"\0\x01\x12"
#: Userdata that tells the mode of the controller begin so.
_MODE_HEAD: Final = b"\x01\0\x10"
_USERDATA_LENGTHS: Final = frozenset({SHORT_BYTES, LONG_BYTES})
_PUSH, _REQUESTED, _RESPONSE = range(3)
#: A called TSAP of two bytes is a kind of connection, and a place in the rack (rack times 32 plus slot).
_TSAP_BYTES: Final = 2

#: In front of the `what` of a client's reply, so that it is no request's.
_CLIENT_REPLY: Final = b"\xfe"

_CLIENT: Final = Side.CLIENT
_ASSET: Final = Side.ASSET
_REQUEST: Final = Role.REQUEST
_REPLY: Final = Role.REPLY
_NOTICE: Final = Role.NOTICE
_LINK: Final = Role.LINK
_DATA: Final = Tpdu.DATA


class S7Frame(Frame, gc=False):
    """One S7comm message.

    `what` is the PDU from its two lengths on, without its reference.  In front of it stands a mark where it is no
    client's job, and behind it the earlier request that it goes on with.
    """

    unit: int | None = None

    @property
    def operation(self) -> Operation:
        """What the request or the notice is about.  Raises `Malformed`."""
        return operation(self.what, self.unit)

    @property
    def recorded(self) -> bytes:
        """The bytes without passwords."""
        return without_secrets(self.data, self.what)


class S7Decoder:
    """The S7comm messages of one flow."""

    __slots__ = ("_connecting", "_from_asset", "_from_client", "_setup", "_standing", "_unit")

    rewrites = False

    def __init__(self) -> None:
        self._from_client, self._from_asset = TransportReader(MAX_MESSAGE_BYTES), TransportReader(MAX_MESSAGE_BYTES)
        self._standing = Standing()
        self._unit: int | None = None
        #: Role of the connection request once there was one; reference of a setup that is not answered.
        self._connecting: Role | None = None
        self._setup = NO_ANSWER

    def feed(self, side: Side, data: bytes) -> Sequence[Frame]:
        """See `Decoder.feed`.  One whole message in one packet, the usual case, takes the short way."""
        reader = self._from_client if side is _CLIENT else self._from_asset
        if not reader.is_busy:
            if _JOB_HEAD_END < len(data) <= MAX_MESSAGE_BYTES:
                packet, whole, kind, redundancy, reference, size, data_size = _packet_head(data)
                if whole == _WHOLE and packet == _PACKET + len(data) and not redundancy:
                    head = len(data) - size - data_size
                    if head == _JOB_HEAD_END and size:
                        if kind == JOB:
                            if side is _CLIENT and (data[17] == READ_VAR or data[17] == WRITE_VAR):
                                what = data[_BODY_AT:]
                                return (S7Frame(data, side, what, reference, False, _REQUEST, True, self._unit),)
                            return (self._job(side, data, reference, data[_BODY_AT:]),)
                        if kind == USERDATA:
                            return self._whole_userdata(reader, side, data, reference)
                    elif head == _ACK_HEAD_END and kind in _ACKS:
                        return (self._ack(side, data, reference, data[_BODY_AT:]),)
            elif data == _EMPTY:
                return (S7Frame(data, side, b"", NO_ANSWER, False, _LINK),)
        return self._feed_units(reader, side, data)

    def pending(self, side: Side) -> int:
        """How many bytes of an incomplete (or broken) message are held for this side."""
        return (self._from_client if side is _CLIENT else self._from_asset).held_bytes

    def forward(self, frame: Frame) -> bytes:
        """The message as it came."""
        return frame.data

    def due(self, side: Side) -> bytes:  # noqa: ARG002 - the contract's
        """Nothing: S7comm does not count its messages."""
        return b""

    def answer(self, request: Frame, reply: Frame) -> Answer:
        """The error, or the values that were read."""
        return answer(request, reply)

    def refuse(self, frame: Frame, reason: Reason) -> bytes:
        """An error in the name of the other side; a disconnect where a connection is refused; nothing for a push."""
        if frame.role is not _REQUEST:
            return b""
        what, reference = frame.what, frame.exchange & _REFERENCE
        if frame.exchange == _CONNECTING:
            return disconnect(frame.data[4:])
        if frame.side is _CLIENT:
            self._standing.answered(reference)
        if what[0] < MARK:
            return refuse_job(what, reference, reason)
        refuse = refuse_userdata if what[0] & 0x0F == USERDATA else refuse_job
        return refuse(what[1:], reference, reason)

    def frame(self, side: Side, unit: TransportUnit) -> Frame:
        """The frame of one unit of the transport.  Raises `Malformed`."""
        if unit.kind is not _DATA:
            return self._link(side, unit)
        pdu = unit.payload
        if not pdu:
            return S7Frame(unit.data, side, b"", NO_ANSWER, False, _LINK)
        if len(unit.data) != len(pdu) + _PDU_AT:
            _expect_one_pdu(unit.data)
        if pdu[0] != _PROTOCOL:
            name = "S7comm-plus" if pdu[0] == _PROTOCOL_PLUS else f"0x{pdu[0]:02x}"
            raise WrongProtocol(f"{name} behind the transport header, not S7comm")
        kind = pdu[1] if len(pdu) >= _PDU_HEAD else 0
        head = _ACK_HEAD if kind in _ACKS else _PDU_HEAD
        if kind not in _KINDS or len(pdu) < head or pdu[2] or pdu[3]:
            raise Malformed(f"a PDU of {len(pdu)} bytes and kind {kind} is none of S7comm")
        size, data_size = pdu[6] << 8 | pdu[7], pdu[8] << 8 | pdu[9]
        if head + size + data_size != len(pdu):
            raise Malformed(f"a PDU of {len(pdu)} bytes states {size} of parameters and {data_size} of data")
        reference, body = pdu[4] << 8 | pdu[5], pdu[_LENGTHS_AT:]
        if kind == JOB:
            return self._job(side, unit.data, reference, body)
        if kind == USERDATA:
            return self._userdata(side, unit.data, reference, body)
        return self._ack(side, unit.data, reference, body)

    def _whole_userdata(self, reader: TransportReader, side: Side, data: bytes, reference: int) -> Sequence[Frame]:
        try:
            return (self._userdata(side, data, reference, data[_BODY_AT:]),)
        except Malformed as error:
            reader.give_up(error)
            raise

    def _feed_units(self, reader: TransportReader, side: Side, data: bytes) -> Sequence[Frame]:
        frames: list[Frame] = []
        for unit in reader.feed(data):
            try:
                frames.append(self.frame(side, unit))
            except Malformed as error:
                reader.give_up(error)
                if not frames:
                    raise
                break
        return frames

    def _link(self, side: Side, unit: TransportUnit) -> Frame:
        if unit.kind is Tpdu.CONNECT_REQUEST:
            return self._connect(side, unit)
        parameters(unit.payload)
        if unit.kind is Tpdu.CONNECT_CONFIRM and side is _CLIENT:
            raise Malformed("a client confirms a connection that it asked for itself")
        if side is _ASSET and self._connecting is _REQUEST:
            self._connecting = _LINK
            is_refusal = unit.kind is not Tpdu.CONNECT_CONFIRM
            return S7Frame(unit.data, side, b"", _CONNECTING, is_refusal, _REPLY)
        return S7Frame(unit.data, side, b"", NO_ANSWER, False, _LINK)

    def _connect(self, side: Side, unit: TransportUnit) -> Frame:
        """A connection to a module in the rack is a link; one that may lead further on (S7 routing) is judged."""
        if side is _ASSET or self._connecting is not None:
            raise Malformed("a connection request within a connection")
        called = parameters(unit.payload).get(CALLED_TSAP, b"")
        if len(called) == _TSAP_BYTES:
            self._unit, self._connecting = called[1], _LINK
            return S7Frame(unit.data, side, b"", NO_ANSWER, False, _LINK)
        self._connecting = _REQUEST
        return S7Frame(unit.data, side, bytes((CONNECT,)) + called, _CONNECTING, False)

    def _job(self, side: Side, data: bytes, reference: int, body: bytes) -> Frame:
        if side is _ASSET:
            what = bytes((MARK | FROM_ASSET | JOB,)) + body
            return S7Frame(data, side, what, reference | _ASSET_ASKED, False, _REQUEST, True, self._unit)
        function = body[PARAMETERS_AT] if body[0] or body[1] else 0
        if function == SETUP and body[:PARAMETERS_AT] == b"\0\x08\0\0":
            self._setup = reference
            return S7Frame(data, side, b"", NO_ANSWER, False, _LINK)
        if function in {UPLOAD, END_UPLOAD}:
            body += self._standing.upload(body[PARAMETERS_AT + 4 : PARAMETERS_AT + TRANSFER_HEAD])
        elif function == START_UPLOAD:
            self._standing.ask(reference, body)
        return S7Frame(data, side, body, reference, False, _REQUEST, True, self._unit)

    def _ack(self, side: Side, data: bytes, reference: int, body: bytes) -> Frame:
        """Errors of class and code stand between the lengths and the parameters."""
        is_refusal = bool(body[4] or body[5])
        size = body[0] << 8 | body[1]
        function = body[6] if size else 0
        if side is _CLIENT:
            return S7Frame(data, side, _CLIENT_REPLY + body, reference | _ASSET_ASKED, is_refusal, _REPLY)
        if function in _VARS and reference != self._setup:
            return S7Frame(data, side, body, reference, is_refusal or _says_no(body, size), _REPLY)
        if reference == self._setup or (function == SETUP and not is_refusal):
            self._setup = NO_ANSWER
            return S7Frame(data, side, b"", NO_ANSWER, False, _LINK)
        begun = self._standing.answered(reference)
        is_upload = function == START_UPLOAD and begun is not None and begun[PARAMETERS_AT] == START_UPLOAD
        if begun is not None and is_upload and size >= TRANSFER_HEAD and not is_refusal:
            self._standing.begin_upload(body[10:14], begun)
        return S7Frame(data, side, body, reference, is_refusal, _REPLY)

    def _userdata(self, side: Side, data: bytes, reference: int, body: bytes) -> Frame:
        size = body[0] << 8 | body[1]
        if side is _ASSET and size == SHORT_BYTES and body[4:7] == _MODE_HEAD and not body[KIND_AT]:
            what = bytes((MARK | FROM_ASSET | USERDATA,)) + body
            return S7Frame(data, side, what, NO_ANSWER, False, _NOTICE, True, self._unit)
        if size not in _USERDATA_LENGTHS or body[4:7] != _USERDATA_HEAD or body[7] != size - PARAMETERS_AT:
            raise Malformed(f"userdata with {size} bytes of parameters {body[4:8].hex()}")
        kind, group = kind_of(body[KIND_AT])
        mark = MARK | USERDATA if side is _CLIENT else MARK | FROM_ASSET | USERDATA
        exchange = reference if side is _CLIENT else reference | _ASSET_ASKED
        if kind == _PUSH:
            what = bytes((mark,)) + body + self._earlier(side, kind, group, body)
            return S7Frame(data, side, what, NO_ANSWER, False, _NOTICE, True, self._unit)
        if kind == _REQUESTED:
            earlier = self._earlier(side, kind, group, body)
            if not earlier and side is _CLIENT:
                self._standing.ask(reference, body)
            what = bytes((mark,)) + body + earlier
            return S7Frame(data, side, what, exchange, False, _REQUEST, True, self._unit)
        if kind != _RESPONSE:
            raise Malformed(f"userdata of kind {kind}")
        return self._response(side, data, reference, body, group)

    def _response(self, side: Side, data: bytes, reference: int, body: bytes, group: int) -> Frame:
        is_long = body[1] == LONG_BYTES
        is_refusal = is_long and bool(body[14] or body[15])
        if side is _CLIENT:
            return S7Frame(data, side, _CLIENT_REPLY + body, reference | _ASSET_ASKED, is_refusal, _REPLY)
        begun = self._standing.answered(reference)
        if begun is not None and body[SEQUENCE_AT] and not is_refusal and _sets_up(begun, group, body[SUB_AT]):
            self._standing.begin_job(group, body[SEQUENCE_AT], begun)
        return S7Frame(data, side, body, reference, is_refusal, _REPLY)

    def _earlier(self, side: Side, kind: int, group: int, body: bytes) -> bytes:
        """The request that this one goes on with, empty where it stands for itself or the earlier one is not known."""
        sub, number = body[SUB_AT], body[SEQUENCE_AT]
        if side is _CLIENT and kind == _REQUESTED and group == PROGRAMMER and sub in CONTROLS_JOBS:
            try:
                named = job_reference(data_of(body))
            except Malformed:
                return b""
            return self._standing.job(group, named[1]) if named is not None else b""
        if not number or (side is _CLIENT and body[1] != LONG_BYTES):
            return b""
        earlier = self._standing.job(group, number)
        return earlier if earlier and earlier[SUB_AT] == sub else b""


def fits(data: bytes, _side: Side) -> bool | None:
    """See `Known.fits`: the protocol's number and a kind of PDU behind the transport header."""
    try:
        payload = carried(data)
    except Malformed:
        return False
    if payload is None:
        return None
    if payload[0] != _PROTOCOL or not payload[1:2]:
        return None if payload[0] == _PROTOCOL else False
    return payload[1] in _KINDS


def _expect_one_pdu(packets: bytes) -> None:
    """No later part of a message begins as a message: who does not put parts together would take it for one."""
    start, end = 0, packets[2] << 8 | packets[3]
    while end < len(packets):
        start, end = end, end + (packets[end + 2] << 8 | packets[end + 3])
        part = packets[start + _PDU_AT : end]
        if len(part) >= _PDU_HEAD and part[0] == _PROTOCOL and part[1] in _KINDS and not (part[2] or part[3]):
            raise Malformed("a part of a message begins as a message of its own")


def _sets_up(begun: bytes, group: int, sub: int) -> bool:
    """Whether the request `begun` is one of that group and sub-function, and not about another one's job."""
    if begun[PARAMETERS_AT : PARAMETERS_AT + 3] != _USERDATA_HEAD or begun[SUB_AT] != sub:
        return False
    return kind_of(begun[KIND_AT])[1] == group and not (group == PROGRAMMER and sub in CONTROLS_JOBS)


def _says_no(body: bytes, size: int) -> bool:
    """Whether no item of an answer succeeded: its codes stand in the data."""
    start = 6 + size
    if start >= len(body) or body[start] == _SUCCESS:
        return False
    data = body[start:]
    if body[6] == WRITE_VAR:
        return _SUCCESS not in data
    entries = read_entries(data, body[7] if size > 1 else 1)
    return entries is not None and all(code != _SUCCESS for code, _ in entries)
