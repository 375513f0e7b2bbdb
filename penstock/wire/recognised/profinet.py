"""PROFINET context manager: how a controller takes a device, and reads and writes its records.

Pure.  IEC 61158-6-10 (blocks 5.2), on connectionless DCE/RPC (C706 section 12.5).  Blocks are walked as far as the
reference decode names their slots.  It must never raise: what ends too early has no more blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import error as TooShort  # noqa: N812 - reads as what it means here
from struct import unpack_from
from typing import Final
from uuid import UUID

from penstock.model import Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.profinet_dcp import show_frame
from penstock.wire.recognised.reading import DatagramDissector, Pdu, RecognisedProtocol, asking, named

#: (operation numbers, name, classes): the taxonomy.  Reads are refined by the index of the record.
CODES: Final[tuple[tuple[tuple[int, ...], str, tuple[Is, ...]], ...]] = (
    ((0,), "Connect", (Is.SESSION,)),
    ((1,), "Release", (Is.SESSION,)),
    ((2, 5), "Read, Read Implicit", (Is.READ,)),
    ((3,), "Write", (Is.CONFIG,)),
    ((4,), "Control", (Is.CONFIG,)),
)
OPERATIONS: Final = {0: "Connect", 1: "Release", 2: "Read", 3: "Write", 4: "Control", 5: "Read Implicit"}
MEANINGS: Final = {code: (OPERATIONS[code], classes) for codes, _, classes in CODES for code in codes}
IDENTIFICATION: Final = frozenset(range(0xAFF0, 0xAFF6))
DIAGNOSIS: Final = frozenset({0x800A, 0x800B, 0x800C})
_INTERFACES: Final = frozenset(UUID(f"dea0000{each}-6c97-11d1-8271-00a02442df7d").bytes for each in range(1, 5))
PACKETS: Final = {
    0: "Request",
    1: "Ping",
    2: "Response",
    3: "Fault",
    4: "Working",
    5: "Nocall",
    6: "Reject",
    7: "Ack",
    8: "Cl_cancel",
    9: "Fack",
    10: "Cancel_ack",
}
_VERSION: Final = 4
_REQUEST, _RESPONSE = 0, 2
_LITTLE: Final = 0x10
_FRAGMENT: Final = 0x04
_HEAD_BYTES: Final = 80
_INTERFACE_END: Final = 40
#: In front of the blocks: maximum or status, length, and the head of an array.
_ARGUMENTS_BYTES: Final = 20
ERRORS: Final = {
    0x00: "OK",
    0x81: "PNIO",
    0xCF: "RTA error",
    0xDA: "AlarmAck",
    0xDB: "IODConnectRes",
    0xDC: "IODReleaseRes",
    0xDD: "IODControlRes",
    0xDE: "IODReadRes",
    0xDF: "IODWriteRes",
}
BLOCKS: Final = {
    0x0001: "AlarmNotificationHigh",
    0x0002: "AlarmNotificationLow",
    0x0008: "IODWriteReqHeader",
    0x0009: "IODReadReqHeader",
    0x0010: "DiagnosisData",
    0x0012: "ExpectedIdentificationData",
    0x0013: "RealIdentificationData",
    0x0018: "ARData",
    0x0019: "LogData",
    0x001A: "APIData",
    0x0020: "I&M0",
    0x0021: "I&M1",
    0x0022: "I&M2",
    0x0023: "I&M3",
    0x0024: "I&M4",
    0x0025: "I&M5",
    0x0030: "I&M0FilterDataSubmodul",
    0x0031: "I&M0FilterDataModul",
    0x0032: "I&M0FilterDataDevice",
    0x0101: "ARBlockReq",
    0x0102: "IOCRBlockReq",
    0x0103: "AlarmCRBlockReq",
    0x0104: "ExpectedSubmoduleBlockReq",
    0x0105: "PrmServerBlockReq",
    0x0106: "MCRBlockReq",
    0x0107: "ARRPCBlockReq",
    0x0108: "ARVendorBlockReq",
    0x0110: "IODControlReq Prm End.req",
    0x0111: "IODControlReq Plug Prm End.req",
    0x0112: "IOXBlockReq Application Ready.req",
    0x0113: "IOXBlockReq Plug Application Ready.req",
    0x0114: "IODReleaseReq",
    0x020F: "PDPortDataReal",
    0x0240: "PDInterfaceDataReal",
    0x0400: "MultipleBlockHeader",
    0x8008: "IODWriteResHeader",
    0x8009: "IODReadResHeader",
    0x8101: "ARBlockRes",
    0x8102: "IOCRBlockRes",
    0x8103: "AlarmCRBlockRes",
    0x8104: "ModuleDiffBlock",
    0x8110: "IODControlRes Prm End.rsp",
    0x8111: "IODControlRes Plug Prm End.rsp",
    0x8112: "IOXBlockRes Application Ready.rsp",
    0x8113: "IOXBlockRes Plug Application Ready.rsp",
    0x8114: "IODReleaseRes",
}
INDEXES: Final = {
    0x8000: "ExpectedIdentificationData for one subslot",
    0x8001: "RealIdentificationData for one subslot",
    0x800A: "Diagnosis in channel coding for one subslot",
    0x800B: "Diagnosis in all codings for one subslot",
    0x800C: "Diagnosis, Maintenance, Qualified and Status for one subslot",
    0x802A: "PDPortDataReal for one subslot",
    **{0xAFF0 + each: f"I&M{each}" for each in range(16)},
    0xE002: "ModuleDiffBlock for one AR",
    0xE040: "MultipleWrite",
    0xF000: "RealIdentificationData for one API",
    0xF820: "APIData",
    0xF830: "LogData",
    0xF840: "I&M0FilterData",
    0xF841: "PDRealData",
    0xF842: "PDExpectedData",
}
_AR_TYPES: Final = {
    0x01: "IO Controller AR",
    0x03: "IOCARCIR",
    0x06: "IO Supervisor AR / DeviceAccess AR",
    0x10: "IO Controller AR (RT_CLASS_3)",
    0x20: "IO Controller AR (sysred/CiR)",
}
_MULTIPLE_WRITE: Final = 0xE040
#: Records from here on have blocks inside; below, they are the device's own bytes.
_FIRST_STANDARD_INDEX: Final = 0x8000
_RECORD_HEADERS: Final = frozenset({0x0008, 0x0009, 0x8008, 0x8009})
_CONTROLS: Final = frozenset({*range(0x0110, 0x0119), *range(0x8110, 0x8119)})
#: No packet nests blocks deeper than this: multiple writes of multiple blocks.
_MAX_DEPTH: Final = 4


def fits(data: bytes, side: Side) -> bool | None:  # noqa: ARG001 - a device sends requests as well
    """See `Known.fits`: DCE/RPC without connection, on one of the four interfaces of PROFINET IO."""
    if data[0] != _VERSION or (len(data) > 1 and data[1] not in PACKETS):
        return False
    if len(data) < _INTERFACE_END:
        return None
    return _interface(data) in _INTERFACES


def _interface(data: bytes) -> bytes:
    """The interface in the order of its text, whatever order the packet has (C706 section 14.1)."""
    found = data[24:_INTERFACE_END]
    return UUID(bytes_le=found).bytes if data[4] & _LITTLE else found


def show_packet(data: bytes, side: Side) -> Sequence[Shown]:
    """One packet of DCE/RPC."""
    if len(data) < _HEAD_BYTES or data[0] != _VERSION or data[1] not in PACKETS:
        return ()
    interface = _interface(data)
    pdu: Pdu = {"p": "dcerpc"}
    named(pdu, "pkt_type", data[1], PACKETS)
    number = int.from_bytes(data[68:70], "little" if data[4] & _LITTLE else "big")
    pdu |= {"if_id": str(UUID(bytes=interface)), "opnum": number}
    if interface not in _INTERFACES:
        return [Shown(pdu, column="DCERPC")]
    records = _Blocks(pdu)
    if data[1] in {_REQUEST, _RESPONSE}:
        named(pdu, "op", number, OPERATIONS)
        body = data[_HEAD_BYTES:]
        if data[1] == _RESPONSE and len(body) >= 4:  # noqa: PLR2004 - the status
            named(pdu, "err", body[3] if data[4] & _LITTLE else body[0], ERRORS)
        if not data[2] & _FRAGMENT:
            records.walk(body[_ARGUMENTS_BYTES:])
    asked = asking(data, side, _operation(number, records.touched)) if data[1] == _REQUEST else None
    return [Shown(pdu, asked)]


def _operation(number: int, touched: list[tuple[int, int, int, int]]) -> Operation:
    name, classes = MEANINGS.get(number, (f"unknown {number}", (Is.UNKNOWN,)))
    is_read = classes == (Is.READ,)
    if is_read and touched:
        classes = tuple(dict.fromkeys(_read_class(index) for *_, index in touched))
    targets = tuple(
        Target(
            _read_class(index) if is_read else classes[0],
            "record",
            index,
            1,
            f"{api}/{slot}/0x{subslot:04X}",
        )
        for api, slot, subslot, index in touched
    )
    return Operation("profinet", classes, str(number), name, None, targets)


def _read_class(index: int) -> Is:
    return Is.DISCOVERY if index in IDENTIFICATION else Is.DIAGNOSTICS if index in DIAGNOSIS else Is.READ


class _Blocks:
    """Walks the blocks of one packet into `pdu`; `touched` are the records (API, slot, subslot, index)."""

    def __init__(self, pdu: Pdu) -> None:
        self._pdu = pdu
        self.touched: list[tuple[int, int, int, int]] = []

    def walk(self, data: bytes, depth: int = 0) -> None:
        """All blocks of `data`, one behind the other."""
        at = 0
        while at + 6 <= len(data) and depth < _MAX_DEPTH:
            kind, length = unpack_from(">HH", data, at)
            end = at + 4 + length
            if length < 2 or end > len(data):  # noqa: PLR2004 - the block's version
                return
            self._named("blocks", kind, BLOCKS)
            try:
                at = self._block(kind, data, at + 6, end, depth)
            except TooShort:
                return

    def _block(self, kind: int, data: bytes, at: int, end: int, depth: int) -> int:
        """One block whose content begins at `at`; gives where the next one begins."""
        content = data[at:end]
        match kind:
            case _ if kind in _RECORD_HEADERS:
                return self._record(kind, data, at, end, depth)
            case _ if kind in _CONTROLS:
                self._pdu.setdefault("control", unpack_from(">H", content, 22)[0])
            case 0x8101 if "ar_type" not in self._pdu:
                named(self._pdu, "ar_type", unpack_from(">H", content)[0], _AR_TYPES, "reserved")
            case 0x0102:
                self._communication(content)
            case 0x0104:
                self._expected(content)
            case 0x8104:
                self._differences(content)
            case 0x0400:
                api, slot, subslot = unpack_from(">IHH", content, 2)
                self._place(api, slot, subslot)
                self.walk(content[10:], depth + 1)
            case 0x020F:
                self._slots(*unpack_from(">HH", content, 2))
        return end

    def _named(self, key: str, code: int, names: dict[int, str]) -> None:
        self._pdu.setdefault(key, []).append(code)
        self._pdu.setdefault(key + "_name", []).append(names.get(code, "Unknown"))

    def _slots(self, slot: int | None, subslot: int | None) -> None:
        if slot is not None:
            self._pdu.setdefault("slot", []).append(slot)
        if subslot is not None:
            self._pdu.setdefault("subslot", []).append(subslot)

    def _place(self, api: int, slot: int | None = None, subslot: int | None = None) -> None:
        self._pdu.setdefault("api", []).append(api)
        self._slots(slot, subslot)

    def _record(self, kind: int, data: bytes, at: int, end: int, depth: int) -> int:
        """The head of a record that is read or written, and the record behind it (padded to 4 in a multiple write)."""
        api, slot, subslot, index, length = (int(each) for each in unpack_from(">IHHxxHI", data, at + 18))
        self._place(api, slot, subslot)
        self._named("index", index, INDEXES)
        if index != _MULTIPLE_WRITE:
            self.touched.append((api, slot, subslot, index))
        has_data = kind in {0x0008, 0x8009}
        if index == _MULTIPLE_WRITE or not has_data:
            return end
        if index >= _FIRST_STANDARD_INDEX:
            self.walk(data[end : end + length], depth + 1)
        return end + length + -length % 4

    def _communication(self, content: bytes) -> None:
        """IOCRBlockReq (5.2.3.6): for each API the data objects and then their consumer states."""
        at = 38
        (count,) = unpack_from(">H", content, at)
        at += 2
        for _ in range(count):
            (api,) = unpack_from(">I", content, at)
            self._place(api)
            at += 4
            for _ in range(2):
                (objects,) = unpack_from(">H", content, at)
                at += 2
                for _ in range(objects):
                    self._slots(*unpack_from(">HH", content, at))
                    at += 6

    def _expected(self, content: bytes) -> None:
        """ExpectedSubmoduleBlockReq (5.2.3.8)."""
        (count,) = unpack_from(">H", content)
        at = 2
        for _ in range(count):
            api, slot, submodules = unpack_from(">IH6xH", content, at)
            self._place(api, slot)
            at += 14
            for _ in range(submodules):
                subslot, properties = unpack_from(">H4xH", content, at)
                self._slots(None, subslot)
                at += 8 + (12 if properties & 3 == 3 else 6)  # noqa: PLR2004 - input and output

    def _differences(self, content: bytes) -> None:
        """ModuleDiffBlock (5.2.3.13)."""
        (count,) = unpack_from(">H", content)
        at = 2
        for _ in range(count):
            api, modules = unpack_from(">IH", content, at)
            self._place(api)
            at += 6
            for _ in range(modules):
                slot, submodules = unpack_from(">H6xH", content, at)
                self._slots(slot, None)
                at += 10
                for _ in range(submodules):
                    self._slots(None, unpack_from(">H", content, at)[0])
                    at += 8


PROFINET: Final = RecognisedProtocol(
    name="profinet",
    title="PROFINET context manager and DCP",
    column="PNIO-CM",
    ports=("udp/34964",),
    fits=fits,
    dissectors={
        "udp": lambda: DatagramDissector(show_packet),
        "ether/8892": lambda: DatagramDissector(show_frame),
    },
)
