"""The fields of an S7comm PDU as the reference decode names them.

Pure.  For passive use only.  The keys are those of the reference decode, the names of codes tshark's own.
"""

from __future__ import annotations

from typing import Any, Final

from penstock.wire.decoder import Side
from penstock.wire.s7comm import codes
from penstock.wire.s7comm.addresses import BLOCK_KINDS
from penstock.wire.s7comm.codes import KINDS
from penstock.wire.s7comm.programmer import AREA_NAMES, VARIABLE

__all__ = ["KINDS", "pdu_fields"]

_Fields = dict[str, Any]

AREAS: Final = {
    0x01: "Data record",
    0x03: "System info of 200 family",
    0x05: "System flags of 200 family",
    0x06: "Analog inputs of 200 family",
    0x07: "Analog outputs of 200 family",
    0x80: "Direct peripheral access (P)",
    0x81: "Inputs (I)",
    0x82: "Outputs (Q)",
    0x83: "Flags (M)",
    0x84: "Data blocks (DB)",
    0x85: "Instance data blocks (DI)",
    0x86: "Local data (L)",
    0x87: "Unknown yet (V)",
    0x1C: "S7 counters (C)",
    0x1D: "S7 timers (T)",
    0x1E: "IEC counters (200 family)",
    0x1F: "IEC timers (200 family)",
}
FUNCTION_NAMES: Final = {code: name for code, name, _, _ in codes.FUNCTIONS} | {codes.PI_SERVICE: "PI-Service"}
TYPES: Final = {0: "Push", 4: "Request", 8: "Response", 3: "NC Push", 7: "NC Request", 11: "NC Response"}
_UNKNOWN: Final = "Unknown"
_ACKS: Final = frozenset({codes.ACK, codes.ACK_DATA})
_VARS: Final = frozenset({codes.READ_VAR, codes.WRITE_VAR})
_NAMED_TRANSFERS: Final = frozenset(
    {codes.REQUEST_DOWNLOAD, codes.DOWNLOAD_BLOCK, codes.DOWNLOAD_ENDED, codes.START_UPLOAD}
)
_ANY: Final = 0x10
_PUSHED, _REQUESTED, _RESPONSE = 0, 4, 8
_NC_REQUEST: Final = 7
_LONG_BYTES: Final = 12
#: Answers that are put together for a side at a time.
_MAX_PARTIAL: Final = 16
_ON_BLOCKS: Final = frozenset({"_INSE", "_INS2", "_DELE"})


def pdu_fields(fields: _Fields, pdu: bytes, side: Side, parts: dict[tuple[Side, bytes], bytes]) -> bool:
    """Put the fields of a PDU into `fields`; false where it ends before its fields do.

    `parts` keeps the data of answers that come in parts.
    """
    kind = pdu[1]
    size, data_size = pdu[6] << 8 | pdu[7], pdu[8] << 8 | pdu[9]
    fields |= {"rosctr": kind, "rosctr_name": KINDS[kind], "ref": pdu[4] << 8 | pdu[5]}
    fields |= {"parlen": size, "datlen": data_size}
    at = 10
    try:
        if kind in _ACKS:
            fields["errcls"], fields["errcod"] = pdu[10], pdu[11]
            at = 12
            if pdu[10] or pdu[11]:
                fields["param_err"] = pdu[10] << 8 | pdu[11]
        if kind == codes.USERDATA:
            _userdata(fields, pdu, at, side, parts)
        elif size:
            _parameters(fields, pdu, at, is_job=kind == codes.JOB)
    except IndexError:
        return False
    return True


def _parameters(fields: _Fields, pdu: bytes, at: int, *, is_job: bool) -> None:
    function = pdu[at]
    fields |= {"func": function, "func_name": FUNCTION_NAMES.get(function, _UNKNOWN)}
    if function in _VARS:
        fields["items"] = pdu[at + 1]
        if is_job:
            _items(fields, pdu, at + 2, pdu[at + 1])
    elif function == codes.SETUP:
        fields["pdu_len"] = pdu[at + 6] << 8 | pdu[at + 7]
    elif not is_job:
        return
    elif function in _NAMED_TRANSFERS:
        end = at + 9 + pdu[at + 8]
        _file(fields, pdu[at + 9 : end])
    elif function == codes.PI_SERVICE:
        _pi_service(fields, pdu, at)
    elif function == codes.PLC_STOP:
        fields["pi"] = _text(pdu[at + 7 : at + 7 + pdu[at + 6]])


def _items(fields: _Fields, pdu: bytes, at: int, count: int) -> None:
    for number in range(count):
        length = pdu[at + 1]
        _append(fields, "syntax", pdu[at + 2])
        if pdu[at + 2] == _ANY and length == 10:  # noqa: PLR2004 - what an S7ANY item has
            _append(fields, "tsize", pdu[at + 3])
            _append(fields, "count", pdu[at + 4] << 8 | pdu[at + 5])
            _append(fields, "db", pdu[at + 6] << 8 | pdu[at + 7])
            _append(fields, "area", pdu[at + 8])
            _append(fields, "area_name", AREAS.get(pdu[at + 8], _UNKNOWN))
            _append(fields, "addr", pdu[at + 9] << 16 | pdu[at + 10] << 8 | pdu[at + 11])
        at += 2 + length
        if length % 2 and number < count - 1:
            at += 1


def _append(fields: _Fields, key: str, value: object) -> None:
    fields.setdefault(key, []).append(value)


def _text(data: bytes) -> str:
    return data.decode("ascii", "replace")


def _file(fields: _Fields, name: bytes) -> None:
    fields["filename"] = _text(name)
    if len(name) == 9 and name[:1] == b"_" and name[1:3] in BLOCK_KINDS:  # noqa: PLR2004 - mark, kind, number, place
        fields["block_type"] = _text(name[1:3])


def _pi_service(fields: _Fields, pdu: bytes, at: int) -> None:
    argument_end = at + 10 + (pdu[at + 8] << 8 | pdu[at + 9])
    argument = pdu[at + 10 : argument_end]
    name = _text(pdu[argument_end + 1 : argument_end + 1 + pdu[argument_end]])
    fields["pi"] = name
    if name in _ON_BLOCKS and len(argument) >= 10:  # noqa: PLR2004 - how many, a byte, the first name
        fields |= {"filename": _text(argument[2:10]), "block_type": _text(argument[2:4])}


def _userdata(fields: _Fields, pdu: bytes, at: int, side: Side, parts: dict[tuple[Side, bytes], bytes]) -> None:
    size = pdu[6] << 8 | pdu[7]
    kind, group, sub = pdu[at + 5] >> 4, pdu[at + 5] & 0x0F, pdu[at + 6]
    fields |= {"ud_type": kind, "ud_type_name": TYPES.get(kind, _UNKNOWN)}
    fields |= {"ud_group": group, "ud_group_name": codes.GROUPS.get(group, _UNKNOWN)}
    names = codes.SUBFUNCTIONS.get(group)
    if group != codes.MODE_TRANSITION:
        fields["ud_sub"] = sub
    if names is not None:
        fields["ud_sub_name"] = names.get(sub, _UNKNOWN)
    is_last = True
    if size == _LONG_BYTES:
        fields["param_err"] = pdu[at + 10] << 8 | pdu[at + 11]
        is_last = not pdu[at + 9]
    data = pdu[at + size + 4 : at + size + (pdu[8] << 8 | pdu[9])]
    if kind == _RESPONSE and size == _LONG_BYTES:
        key = (side, pdu[at + 5 : at + 9])
        data = parts.pop(key, b"") + data
        if not is_last:
            if len(parts) >= _MAX_PARTIAL:
                del parts[next(iter(parts))]
            parts[key] = data
            return
    if data:
        _data(fields, kind, group, sub, data)


def _data(fields: _Fields, kind: int, group: int, sub: int, data: bytes) -> None:
    if group == codes.CPU and sub == codes.READ_SZL and kind in {_REQUESTED, _RESPONSE}:
        fields |= {"szl_id": data[0] << 8 | data[1], "szl_index": data[2] << 8 | data[3]}
    elif group == codes.PROGRAMMER and kind == _REQUESTED and sub in {2, 8, 9}:
        _variables(fields, data)
    elif group == codes.CYCLIC and sub in {1, 5, 7}:
        fields["items"] = data[1]
        if kind == _REQUESTED:
            _items(fields, data, 4, data[1])
    elif group == codes.BSEND:
        fields["syntax"] = [data[2]]
    elif group == codes.NC and sub == 1 and kind == _NC_REQUEST:
        fields["filename"] = _text(data)


def _variables(fields: _Fields, data: bytes) -> None:
    at = 4 + (data[0] << 8 | data[1])
    count = data[at] << 8 | data[at + 1]
    for each in range(count):
        place = at + 2 + VARIABLE.size * each
        area, _, block, first = data[place], data[place + 1], data[place + 2 : place + 4], data[place + 4 : place + 6]
        if len(first) < 2:  # noqa: PLR2004 - a number of two bytes
            raise IndexError
        _append(fields, "vs_area", area)
        _append(fields, "vs_area_name", AREA_NAMES.get(area, _UNKNOWN))
        _append(fields, "vs_db", int.from_bytes(block))
        _append(fields, "vs_addr", int.from_bytes(first))
