"""What a response says to its request: a status with its name, and the values that were read.

Pure.  Never raises: what it cannot read has the status ``unreadable``.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any, Final

from penstock.model import Target, Value
from penstock.wire.decoder import Answer
from penstock.wire.opcua.binary import BROKEN
from penstock.wire.opcua.codes import BAD, CALL, MESSAGE_NAMES, READ, RESPONSES, WRITE, status_text
from penstock.wire.opcua.headers import PLAIN_END, read_response
from penstock.wire.opcua.schema import Fields, read_message
from penstock.wire.opcua.transport import SECURED_HEAD_BYTES
from penstock.wire.opcua.values import data_values, values_of

UNREADABLE: Final = Answer("unreadable")
_HEAD_END: Final = 44
_one_status = Struct("<iI").unpack_from
_int32 = Struct("<i").unpack_from

_WRITE_RESPONSE: Final = 676
_STATUS_BYTES: Final = 4


def says_no(data: bytes) -> bool:
    """Whether a response to Write or Call, in one chunk and with a good status, says no to one of its parts.

    Called for each of them: the usual header has nothing behind its status, and its first result is looked at in place.
    """
    start = _HEAD_END + len(PLAIN_END)
    try:
        if data[_HEAD_END:start] != PLAIN_END:
            return _has_bad_result(data)
        count, status = _one_status(data, start)
        if count == 1 or status >= BAD:
            return status >= BAD  # type: ignore[no-any-return]  # a number
        return _has_bad_result(data)
    except BROKEN:
        return False


def _has_bad_result(data: bytes) -> bool:
    message = read_response(data, SECURED_HEAD_BYTES)
    if message.service == _WRITE_RESPONSE:
        count = max(_int32(data, message.body)[0], 0)
        first = message.body + _STATUS_BYTES
        return any(each >= BAD for each in Struct(f"<{count}I").unpack_from(data, first))
    return bool(_bad(read_message(MESSAGE_NAMES[message.service], data[message.body :])["Results"]))


def answer(targets: tuple[Target, ...], service: int, body: bytes) -> Answer:
    """What a response says that begins at its type; `targets` and `service` are the request's."""
    try:
        message = read_response(body, 0)
        if message.status >= BAD or RESPONSES.get(message.service) != service:
            return Answer(status_text(message.status)) if message.status >= BAD else UNREADABLE
        if MESSAGE_NAMES[message.service].startswith("TestStackEx"):
            return Answer()
        fields = read_message(MESSAGE_NAMES[message.service], body[message.body :])
    except (*BROKEN, KeyError):
        return UNREADABLE
    return _answered(targets, service, fields)


def _answered(targets: tuple[Target, ...], service: int, fields: Fields) -> Answer:
    results = fields.get("Results", ())
    if service == WRITE:
        return Answer(_bad(results))
    if service == READ:
        values = [data_values(each) for each in results]
        statuses = [each.status for each in results]
    elif service == CALL:
        values = [values_of(tuple(each["OutputArguments"])) for each in results]
        statuses = [each["StatusCode"] for each in results]
    else:
        return Answer(_bad(results))
    if len(values) != len(targets):
        return UNREADABLE
    return Answer(_bad(statuses), tuple(map(_with_values, targets, values)))


def _with_values(target: Target, values: tuple[Value, ...] | None) -> Target:
    return Target(target.operation_class, target.table, target.first, 1, target.name, values, None, target.aliases)


def _bad(results: Iterable[Any]) -> str:
    """The first status among these results that says no, with its name."""
    for each in results:
        status = each.get("StatusCode", 0) if isinstance(each, dict) else each
        if isinstance(status, int) and status >= BAD:
            return status_text(status)
    return ""
