"""What an S7comm reply says to its request: the error, or the values that were read.

Pure.  Errors stand in the header of an answer to a job, in the parameters of an answer to userdata, and per item in
front of its data.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Malformed, OperationClass, Target
from penstock.wire.decoder import Answer, Frame
from penstock.wire.s7comm.codes import READ_VAR, USERDATA, WRITE_VAR
from penstock.wire.s7comm.items import SUCCESS, Item, item_values, read_entries, read_items
from penstock.wire.s7comm.operations import MARK, PARAMETERS_AT
from penstock.wire.s7comm.userdata import LONG_BYTES

#: Errors by their code; else the class says what it is about.
ERRORS: Final = {
    0x8104: "service not implemented, or frame error",
    0x8302: "too few resources",
    0x8402: "not possible in the state of the object",
    0x8500: "wrong frames",
    0x8701: "object addressed wrongly",
    0x8702: "service not supported",
    0x8703: "access to object refused",
    0xD002: "illegal job variant",
    0xD041: "illegal status list",
    0xD044: "illegal value",
    0xD0A1: "not permitted in the current protection level",
    0xD201: "syntax error in block name",
    0xD209: "block not found",
    0xD20C: "priority class does not exist",
    0xD20E: "no block available",
    0xD210: "invalid block number",
    0xD240: "coordination rules violated",
    0xD241: "not permitted in the current protection level",
    0xD602: "incorrect password",
    0xDC01: "date or time invalid",
}
CLASSES: Final = {
    0x81: "application relationship",
    0x82: "object definition",
    0x83: "no resources available",
    0x84: "error on service processing",
    0x85: "error on supplies",
    0x87: "access error",
}
#: Codes of items.
ITEM_CODES: Final = {
    0x00: "reserved",
    0x01: "hardware error",
    0x03: "access not allowed",
    0x05: "invalid address",
    0x06: "data type not supported",
    0x07: "data type inconsistent",
    0x0A: "object does not exist",
}
UNREADABLE: Final = Answer("unreadable")
_ERROR_AT: Final = 4
_ACK_PARAMETERS_AT: Final = 6
_USERDATA_ERROR_AT: Final = 14


def answer(request: Frame, reply: Frame) -> Answer:
    """See `Decoder.answer`."""
    if not request.what or not reply.what:
        return Answer("refused" if reply.is_refusal else "")
    try:
        return _answer(request.what, reply.what[reply.what[0] >= MARK :])
    except (Malformed, IndexError):
        return UNREADABLE


def _answer(what: bytes, body: bytes) -> Answer:
    is_userdata = what[0] >= MARK and what[0] & 0x0F == USERDATA
    error_at = _USERDATA_ERROR_AT if is_userdata else _ERROR_AT
    code = 0 if is_userdata and body[1] != LONG_BYTES else int.from_bytes(body[error_at : error_at + 2])
    if code or what[0] >= MARK:
        return Answer(_error(code))
    size = body[0] << 8 | body[1]
    function = what[PARAMETERS_AT]
    data = body[_ACK_PARAMETERS_AT + size :]
    if function != READ_VAR:
        is_write = function == WRITE_VAR
        return Answer(_item_errors(list(data[: what[PARAMETERS_AT + 1]]) if is_write else []))
    return _read(what, data)


def _read(what: bytes, data: bytes) -> Answer:
    end = PARAMETERS_AT + (what[0] << 8 | what[1])
    items = read_items(what, PARAMETERS_AT + 2, end, what[PARAMETERS_AT + 1])
    entries = read_entries(data, len(items))
    if entries is None:
        return UNREADABLE
    shown = [_shown(item, code, found) for item, (code, found) in zip(items, entries, strict=True)]
    if None in shown:
        return UNREADABLE
    return Answer(_item_errors([code for code, _ in entries]), tuple(each for each in shown if each is not None))


def _error(code: int) -> str:
    if not code:
        return ""
    return f"0x{code:04x} {ERRORS.get(code) or CLASSES.get(code >> 8, 'unknown error')}"


def _item_errors(codes: list[int]) -> str:
    """The first item that failed, and how many more did."""
    failed = [code for code in codes if code != SUCCESS]
    if not failed:
        return ""
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"0x{failed[0]:02x} {ITEM_CODES.get(failed[0], 'unknown code')}{more}"


def _shown(item: Item, code: int, data: bytes) -> Target | None:
    """The item with what was read, without values where it failed; ``None`` where its data do not belong to it."""
    if code != SUCCESS:
        return Target(OperationClass.READ, item.table, item.first, item.count, item.name)
    if item.byte_count < 0:
        return Target(OperationClass.READ, item.table, item.first, item.count, item.name, (f"0x{data.hex()}",))
    if len(data) != item.byte_count:
        return None
    memory = data if item.count > 1 else None
    return Target(OperationClass.READ, item.table, item.first, item.count, "", item_values(item.size, data), memory)
