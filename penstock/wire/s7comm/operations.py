"""What an S7comm job asks for: its parameters and data in, `Operation` out.

Pure.  The input is the frame's `what` (see `penstock.wire.s7comm.decoder`): the lengths of parameters and data, both of
them, and behind them the request on which this one depends, where it continues one.  Layouts of parameters are those of
public dissectors, checked against captures.  What does not add up is `Malformed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.s7comm.blocks import BLOCK_NAME_BYTES, block_target, counted_text, file_target, text_of
from penstock.wire.s7comm.codes import (
    DOWNLOAD_BLOCK,
    DOWNLOAD_ENDED,
    END_UPLOAD,
    FUNCTION_MEANINGS,
    PI_MEANINGS,
    PI_SERVICE,
    PLC_STOP,
    READ_VAR,
    REQUEST_DOWNLOAD,
    SETUP,
    START_UPLOAD,
    UPLOAD,
    USERDATA,
    WRITE_VAR,
    Origin,
)
from penstock.wire.s7comm.items import read_items, read_targets, write_targets
from penstock.wire.s7comm.userdata import userdata_operation

Targets = tuple[Target, ...]

#: In front of the `what` of everything but a client's job: this, the side of an asset, and the kind of PDU.
MARK: Final = 0x80
FROM_ASSET: Final = 0x10
#: A connection request to a place that is not simply a module in the rack.
CONNECT: Final = 0xFF
#: Where parameters begin, behind the two lengths.
PARAMETERS_AT: Final = 4
#: The identifier of a transfer ends here, counted from the function.
TRANSFER_HEAD: Final = 8
_SETUP_BYTES: Final = 8
_PI_HEAD: Final = 10
_STOP_HEAD: Final = 6

_READ: Final = OperationClass.READ
_READ_CLASSES: Final = (OperationClass.READ,)
_WRITE_CLASSES: Final = (OperationClass.WRITE,)
_UNKNOWN: Final = (OperationClass.UNKNOWN,)
_CODES: Final = {code: f"0x{code:02X}" for code in range(256)}
#: Services whose argument is a list of blocks.
_ON_BLOCKS: Final = frozenset({"_INSE", "_INS2", "_DELE"})


def operation(what: bytes, unit: int | None) -> Operation:
    """The operation that a request or a notice is about.  Raises `Malformed`."""
    if what[0] < MARK:
        return _job(what, unit, is_from_asset=False)
    if what[0] == CONNECT:
        return Operation("s7comm", _UNKNOWN, "connect", f"connect to {what[1:].hex()}", None)
    is_from_asset = bool(what[0] & FROM_ASSET)
    if what[0] & 0x0F == USERDATA:
        return userdata_operation(what[1:], unit, is_from_asset=is_from_asset)
    return _job(what[1:], unit, is_from_asset=is_from_asset)


def _job(body: bytes, unit: int | None, *, is_from_asset: bool) -> Operation:
    end = PARAMETERS_AT + (body[0] << 8 | body[1])
    stop = end + (body[2] << 8 | body[3])
    if end == PARAMETERS_AT:
        raise Malformed("a job without a function")
    function = body[PARAMETERS_AT]
    if function == READ_VAR and not is_from_asset:
        return _read_var(body, end, stop, unit)
    if function == WRITE_VAR and not is_from_asset:
        return _write_var(body, end, stop, unit)
    if function == PI_SERVICE:
        return _pi_service(body, end, stop, unit)
    name, classes, origin = FUNCTION_MEANINGS.get(function, ("", _UNKNOWN, Origin.CLIENT))
    if (origin is Origin.DEVICE) is not is_from_asset:
        classes = _UNKNOWN
    parse = _PARSERS.get(function)
    if parse is None:
        targets: Targets = ()
    else:
        if function in _WITHOUT_DATA and stop != end:
            raise Malformed(f"{name} has no data")
        targets = parse(body, end, stop, classes[0])
    code = _CODES[function]
    return Operation("s7comm", classes, code, name or f"unknown function {code}", unit, targets)


def _read_var(body: bytes, end: int, stop: int, unit: int | None) -> Operation:
    if stop != end or end < PARAMETERS_AT + 2:
        raise Malformed("Read Var without items, or with data")
    items = read_items(body, PARAMETERS_AT + 2, end, body[PARAMETERS_AT + 1])
    targets = read_targets(_READ, items)
    for item in items:
        if item.extra is OperationClass.UNKNOWN:
            return Operation("s7comm", (OperationClass.READ, OperationClass.UNKNOWN), "0x04", "Read Var", unit, targets)
    return Operation("s7comm", _READ_CLASSES, "0x04", "Read Var", unit, targets)


def _write_var(body: bytes, end: int, stop: int, unit: int | None) -> Operation:
    if end < PARAMETERS_AT + 2:
        raise Malformed("Write Var without items")
    items = read_items(body, PARAMETERS_AT + 2, end, body[PARAMETERS_AT + 1])
    targets = write_targets(items, body, end, stop)
    for item in items:
        if item.extra is not None:
            extra = {each.extra for each in items if each.extra is not None}
            return Operation("s7comm", (OperationClass.WRITE, *sorted(extra)), "0x05", "Write Var", unit, targets)
    return Operation("s7comm", _WRITE_CLASSES, "0x05", "Write Var", unit, targets)


def _pi_service(body: bytes, end: int, stop: int, unit: int | None) -> Operation:
    """A program invocation: seven bytes, an argument behind its length of two bytes, and the name of the service."""
    at = PARAMETERS_AT + _PI_HEAD
    if at > end or stop != end:
        raise Malformed("a PI service that is too short, or with data")
    argument_end = at + (body[at - 2] << 8 | body[at - 1])
    if argument_end > end:
        raise Malformed("an argument of a PI service that goes past the end")
    argument = body[at:argument_end]
    service, last = counted_text(body, argument_end, end)
    if last != end:
        raise Malformed(f"{end - last} bytes behind the name of a PI service")
    name = text_of(service)
    text, classes = PI_MEANINGS.get(name, ("unknown", _UNKNOWN))
    targets: Targets = ()
    if name in _ON_BLOCKS:
        targets = _blocks(argument, classes[0])
    elif name == "P_PROGRAM" and argument:
        text = f"{text} ({text_of(argument)})"
    return Operation("s7comm", classes, f"0x28/{name}", f"PI service {name}: {text}", unit, targets)


def _blocks(argument: bytes, found: OperationClass) -> Targets:
    """How many blocks, a byte, and their names."""
    if not any(argument[:1]) or len(argument) != 2 + BLOCK_NAME_BYTES * argument[0]:
        raise Malformed("a list of blocks that does not add up")
    names = range(2, len(argument), BLOCK_NAME_BYTES)
    return tuple(block_target(found, argument[at : at + BLOCK_NAME_BYTES]) for at in names)


def _plc_stop(body: bytes, end: int, _stop: int, _found: OperationClass) -> Targets:
    """Five bytes, and the name of the service that is stopped."""
    _, last = counted_text(body, PARAMETERS_AT + _STOP_HEAD, end)
    if last != end:
        raise Malformed("bytes behind the name of what is stopped")
    return ()


def _setup(_body: bytes, end: int, _stop: int, _found: OperationClass) -> Targets:
    if end - PARAMETERS_AT != _SETUP_BYTES:
        raise Malformed("Setup communication has 8 bytes of parameters")
    return ()


def _named_transfer(body: bytes, end: int, _stop: int, found: OperationClass) -> Targets:
    """Status, two bytes, the identifier of the transfer, and the name; a download states lengths behind it."""
    name, last = counted_text(body, PARAMETERS_AT + TRANSFER_HEAD, end)
    if last < end and body[PARAMETERS_AT] == REQUEST_DOWNLOAD:
        _, last = counted_text(body, last, end)
    if last != end or not name:
        raise Malformed("a transfer without a name, or with bytes behind it")
    return (file_target(found, name),)


def _continued_upload(body: bytes, end: int, stop: int, _found: OperationClass) -> Targets:
    """The identifier of an upload: its name is in the request that began it, which the decoder puts behind this one."""
    if end - PARAMETERS_AT != TRANSFER_HEAD:
        raise Malformed("an upload is continued by its identifier, and nothing else")
    begun = body[stop:]
    return operation(begun, None).targets if begun else ()


_PARSERS: Final[dict[int, Callable[[bytes, int, int, OperationClass], Targets]]] = {
    SETUP: _setup,
    REQUEST_DOWNLOAD: _named_transfer,
    DOWNLOAD_BLOCK: _named_transfer,
    DOWNLOAD_ENDED: _named_transfer,
    START_UPLOAD: _named_transfer,
    UPLOAD: _continued_upload,
    END_UPLOAD: _continued_upload,
    PLC_STOP: _plc_stop,
}
_WITHOUT_DATA: Final = frozenset(_PARSERS)
