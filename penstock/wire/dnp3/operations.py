"""What a DNP3 message asks for: bytes in, `Operation` out.

Pure.  `what` is the outstation's address (two octets, low first), a state (`NORMAL`, ...), the application control
without its sequence number, and the fragment from the function code on; with the state `NAMED` the name of the file
behind the message's handle comes in front of it.  Facts: IEEE 1815-2012, clause 4 and annex A.  Whatever follows an
object of unknown length cannot be read, so it makes the whole message `unknown` as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.dnp3.codes import (
    ACTIVATE_CONFIGURATION,
    APPLICATIONS,
    ASSIGN_CLASS,
    AUTHENTICATION_NO_ACK,
    AUTHENTICATION_REQUEST,
    CLASSES,
    CONFIRM,
    DELAY_MEASUREMENT,
    DISABLE_UNSOLICITED,
    ENABLE_UNSOLICITED,
    FREEZES,
    FREEZES_AT_TIME,
    INITIALIZE_DATA,
    NAMES,
    OPEN_FILE,
    OPERATE,
    READ,
    READ_OTHERWISE,
    RECORD_TIME,
    RESTARTS,
    SAVE_CONFIGURATION,
    SELECT,
    SELF_ADDRESS,
    WRITE,
    WRITTEN,
)
from penstock.wire.dnp3.controls import RELAYS, controls
from penstock.wire.dnp3.files import file_target
from penstock.wire.dnp3.objects import ALL_POINTS, KNOWN, TABLES
from penstock.wire.dnp3.walk import HEAD_BYTES, Kind, Piece, runs, values, walk

#: States: nothing to say, an operate that follows its select, one that does not, a file whose name is known.
NORMAL: Final = 0
SELECTED: Final = 1
UNSELECTED: Final = 2
NAMED: Final = 3
STATE_AT: Final = 2
CONTROL_AT: Final = 3
CODE_AT: Final = 4
#: Application control (4.2.2.4): first, final, confirm, unsolicited; in the high four bits.
_WHOLE: Final = 0xC0
_UNSOLICITED: Final = 0x10
_ASKED: Final = _WHOLE | _UNSOLICITED
_UNKNOWN: Final = OperationClass.UNKNOWN
_READ: Final = OperationClass.READ
_WRITE: Final = OperationClass.WRITE
_CONFIG: Final = OperationClass.CONFIG
_ONLY: Final = {found: (found,) for found in OperationClass}
_AUTHENTICATION: Final = 120
_TIME: Final = 50
_CLASS_DATA: Final = 60
_FILES: Final = 70
_INDICATIONS: Final = 80
#: Objects of secure authentication go with any function (clause 7).
_AUTHENTICATED: Final = frozenset({_AUTHENTICATION})
_TIMED: Final = frozenset({_AUTHENTICATION, _TIME})
#: What may be frozen (annex A.11 and A.16).
_FREEZABLE: Final = frozenset({20, 30})
#: The only internal indication that a master may write: device restart, to 0 (A.30.1).
_RESTART_BIT: Final = 7
_HEADS: Final[dict[bytes, Target]] = {}
_ALL_QUALIFIER: Final = 6
#: From the function code on: object header, count, size of the object, and the fields in front of the mode (A.28.3).
_MODE_AT: Final = 27
#: Groups whose objects have no index, so that a count may stand alone.
_UNINDEXED: Final = frozenset({50, 51, 52, 120})

Targets = list[Target]


def operation(what: bytes) -> Operation:
    """The operation that a request asks for.  Raises `Malformed`."""
    at, name = CODE_AT, ""
    if what[STATE_AT] == NAMED:
        at = code_at(what)
        name = what[CODE_AT + 2 : at].decode()
    unit = what[0] | what[1] << 8
    if what[CONTROL_AT] & _ASKED != _WHOLE or what[STATE_AT] == UNSELECTED or unit == SELF_ADDRESS:
        _tell(what, unit)
    code = what[at]
    parse = _PARSERS.get(code)
    if parse is None:
        return Operation("dnp3", (_UNKNOWN,), str(code), f"unknown function {code}", unit)
    targets = parse(what, at + 1, code, name)
    classes: tuple[OperationClass, ...]
    if len(targets) == 1:
        classes = _ONLY[targets[0].operation_class]
    elif targets:
        classes = tuple(dict.fromkeys([target.operation_class for target in targets]))
    else:
        classes = _ONLY[CLASSES[code]]
    text = _code_text(code, what, at) if code in _REFINED else _TEXTS[code]
    return Operation("dnp3", classes, text, NAMES[code], unit, tuple(targets))


def code_at(what: bytes) -> int:
    """Where the function code of a request stands in its `what`."""
    if what[STATE_AT] != NAMED:
        return CODE_AT
    return CODE_AT + 2 + int.from_bytes(what[CODE_AT : CODE_AT + 2], "little")


def notice(unit: int, body: bytes) -> Operation:
    """What an unsolicited response reports: `body` is what follows its internal indications.  Raises `Malformed`."""
    targets = reported(body, 0)
    classes = tuple(dict.fromkeys((OperationClass.SESSION, *(target.operation_class for target in targets))))
    return Operation("dnp3", classes, "130", NAMES[130], unit, tuple(targets))


def reported(body: bytes, at: int) -> Targets:
    """The points and values that a response shows.  Raises `Malformed`."""
    targets: Targets = []
    for piece in walk(body, at, None):
        if not piece.is_known:
            targets.append(_unknown(piece))
        elif piece.group == _FILES:
            targets.append(Target(OperationClass.FILE_READ, "files"))
        else:
            shown = values(body, piece) if piece.spots else None
            targets += _points(piece, READ_OTHERWISE.get(piece.group, _READ), shown)
    return targets


def _tell(what: bytes, unit: int) -> NoReturn:
    """Why this is no request: each is one fragment, and asks a known outstation (4.2.2.4, 8.2.1.3)."""
    control = what[CONTROL_AT]
    if control & _WHOLE != _WHOLE:
        raise Malformed("a request of several fragments (4.2.2.4.1)")
    if control & _UNSOLICITED:
        raise Malformed("a request with the unsolicited bit (4.2.2.4.5)")
    if unit == SELF_ADDRESS:
        raise Malformed("the self-address hides which outstation is asked (8.2.1.3)")
    raise Malformed("an operate that does not follow a select of the same objects (4.4.3)")


def _code_text(code: int, what: bytes, at: int) -> str:
    """``2/50`` by the object groups; ``25/2`` by the mode of the file."""
    if code == OPEN_FILE:
        return f"{code}/{int.from_bytes(what[at + _MODE_AT : at + _MODE_AT + 2], 'little')}"
    return f"{code}/{'+'.join(dict.fromkeys(str(piece.group) for piece in walk(what, at + 1, None)))}"


def _unknown(piece: Piece) -> Target:
    return Target(_UNKNOWN, TABLES.get(piece.group, f"group_{piece.group}"), 0, ALL_POINTS)


def _points(
    piece: Piece, found: OperationClass, shown: tuple[int | float | str, ...] | None, name: str = ""
) -> Targets:
    table = TABLES.get(piece.group)
    if table is None:
        return [Target(_UNKNOWN, f"group_{piece.group}", piece.first, piece.count, name)]
    if piece.group == 0:
        name = f"attribute {piece.variation}"
    return [
        Target(found, table, first, count, name, None if shown is None else shown[at : at + count])
        for first, count, at in runs(piece)
    ]


def _named(piece: Piece, found: OperationClass, name: str = "") -> Targets:
    """The points of a header without objects; what has a size has objects, which stations may not expect here."""
    if piece.kind is Kind.SIZED or (piece.group << 8 | piece.variation) not in KNOWN or piece.group not in TABLES:
        return [_unknown(piece)]
    if piece.group == _CLASS_DATA:
        return [Target(found, "event_classes", piece.variation - 1)]
    if piece.kind is Kind.COUNT:
        return [Target(found, TABLES[piece.group], 0, ALL_POINTS, name)]
    return _points(piece, found, None, name)


def _need(targets: Targets, code: int) -> Targets:
    if not targets:
        raise Malformed(f"function {code} without objects (4.4)")
    return targets


def _read(what: bytes, at: int, code: int, name: str) -> Targets:
    """Function 1.  Most requests name whole types or classes: one known header after another."""
    targets: Targets = []
    end = len(what)
    while at < end:
        target = _HEADS.get(what[at : at + HEAD_BYTES])
        if target is None:
            break
        targets.append(target)
        at += HEAD_BYTES
    if at < end:
        _read_others(what, at, name, targets)
    return _need(targets, code)


def _read_others(what: bytes, at: int, name: str, targets: Targets) -> None:
    for piece in walk(what, at, _AUTHENTICATED):
        found = READ_OTHERWISE.get(piece.group, _READ)
        if not piece.is_known:
            targets.append(_unknown(piece))
        elif piece.group == _FILES and piece.spots:
            targets += _files(what, READ, piece, name, found)
        elif piece.group == _AUTHENTICATION and piece.spots:
            targets.append(Target(OperationClass.AUTH, "authentication"))
        else:
            targets += _named(piece, found)


def _write(what: bytes, at: int, code: int, name: str) -> Targets:
    """Function 2: the object group says what is written."""
    targets: Targets = []
    for piece in walk(what, at, None):
        found = WRITTEN.get(piece.group, _UNKNOWN)
        if not _is_written(piece):
            targets.append(_unknown(piece))
        elif piece.group == _FILES:
            targets += _files(what, code, piece, name, found)
        elif piece.group == _INDICATIONS:
            targets.append(_indication(what, piece))
        elif piece.group == _AUTHENTICATION:
            targets.append(Target(found, "authentication"))
        else:
            targets += _points(piece, found, values(what, piece))
    return _need(targets, code)


def _is_written(piece: Piece) -> bool:
    """Whether it is clear what this piece of a write writes, and where."""
    if not piece.is_known or piece.group not in WRITTEN or piece.kind is Kind.ALL:
        return False
    if piece.kind is Kind.COUNT and piece.group not in _UNINDEXED:
        return False
    return piece.group != RELAYS or piece.variation == 1


def _indication(what: bytes, piece: Piece) -> Target:
    """Clearing the restart bit is part of a session; no other indication may be written (A.30.1)."""
    written = values(what, piece)
    is_clear = piece.first == _RESTART_BIT and written == ("off",)
    found = OperationClass.SESSION if is_clear else _UNKNOWN
    return Target(found, "internal_indications", piece.first, piece.count, "", written)


def _files(what: bytes, code: int, piece: Piece, name: str, found: OperationClass) -> Targets:
    if piece.kind is not Kind.SIZED:
        return [_unknown(piece)]
    if piece.count != 1:
        raise Malformed("several files in one request (A.28)")
    ((at, size),) = piece.spots
    target = file_target(code, what[at : at + size], piece.variation, found, name)
    return [_unknown(piece) if target is None else target]


def _file(what: bytes, at: int, code: int, name: str) -> Targets:
    """Functions 25 to 31 (4.4.20 to 4.4.26)."""
    targets: Targets = []
    found = CLASSES[code]
    for piece in walk(what, at, None):
        if piece.group == _FILES:
            targets += _files(what, code, piece, name, found)
        elif piece.is_known and piece.group == _AUTHENTICATION:
            targets.append(Target(OperationClass.AUTH, "authentication"))
        elif piece.is_known and piece.group == 110 and code == ACTIVATE_CONFIGURATION:  # noqa: PLR2004 - octet string
            targets += _points(piece, found, values(what, piece))
        else:
            targets.append(_unknown(piece))
    if sum(target.table == "files" for target in targets) > 1 and code != ACTIVATE_CONFIGURATION:
        raise Malformed("several files in one request (A.28)")
    return _need(targets, code)


def _freeze(what: bytes, at: int, code: int, name: str) -> Targets:
    """Functions 7 to 12: counters and analog inputs; at a time it comes first, as an object."""
    del name
    targets: Targets = []
    for piece in walk(what, at, _TIMED if code in FREEZES_AT_TIME else _AUTHENTICATED):
        if piece.group == _TIME and piece.spots:
            targets += _points(piece, _WRITE, values(what, piece))
        else:
            targets += _headed(piece, _WRITE, _FREEZABLE)
    return _need(targets, code)


def _headed(piece: Piece, found: OperationClass, groups: frozenset[int] | None, name: str = "") -> Targets:
    if piece.is_known and piece.group == _AUTHENTICATION:
        return [Target(OperationClass.AUTH, "authentication")]
    if not piece.is_known or (groups is not None and piece.group not in groups):
        return [_unknown(piece)]
    return _named(piece, found, name)


def _unsolicited(what: bytes, at: int, code: int, name: str) -> Targets:
    """Functions 20 and 21: of which event classes the outstation reports by itself."""
    del name
    groups = frozenset({_CLASS_DATA})
    return _need([each for p in walk(what, at, _AUTHENTICATED) for each in _headed(p, _CONFIG, groups)], code)


def _assign(what: bytes, at: int, code: int, name: str) -> Targets:
    """Function 22: a class, and then the points that belong to it from now on."""
    targets: Targets = []
    name = ""
    for piece in walk(what, at, _AUTHENTICATED):
        if piece.group == _CLASS_DATA and 1 <= piece.variation <= 4:  # noqa: PLR2004 - classes 0 to 3
            name = f"class {piece.variation - 1}"
            targets.append(Target(_CONFIG, "event_classes", piece.variation - 1))
        elif not name and piece.group != _AUTHENTICATION:
            raise Malformed("points are assigned to no class (4.4.17)")
        else:
            targets += _headed(piece, _CONFIG, None, name)
    return _need(targets, code)


def _applications(what: bytes, at: int, code: int, name: str) -> Targets:
    """Functions 16 to 18: application identifiers (A.34)."""
    del name
    found = CLASSES[code]
    targets: Targets = []
    for piece in walk(what, at, None):
        if piece.is_known and piece.group == 90 and piece.kind in {Kind.SIZED, Kind.ALL}:  # noqa: PLR2004 - A.34
            named = [what[start : start + size].decode("utf-8", "backslashreplace") for start, size in piece.spots]
            targets += [Target(found, "applications", 0, 1, each) for each in named or ["*"]]
        elif piece.is_known and piece.group == _AUTHENTICATION:
            targets.append(Target(OperationClass.AUTH, "authentication"))
        else:
            targets.append(_unknown(piece))
    return targets or [Target(found, "applications", 0, 1, "*")]


def _bare(what: bytes, at: int, code: int, name: str) -> Targets:
    """Functions that take no object, but for those that authenticate."""
    del name
    found: Targets = []
    for piece in walk(what, at, _AUTHENTICATED):
        if not (piece.is_known and piece.group == _AUTHENTICATION):
            raise Malformed(f"function {code} with objects (4.4)")
        found.append(Target(OperationClass.AUTH, "authentication"))
    table = _CLOCKS.get(code)
    own = [Target(CLASSES[code], table)] if table else [Target(CLASSES[code], "device")]
    return own + found


def _odd(what: bytes, at: int, code: int, name: str) -> Targets:
    """Functions 15 and 19 (obsolete): which objects they take is not agreed on."""
    del name
    own = [Target(CLASSES[code], "device")]
    return own if at == len(what) else [*own, Target(_UNKNOWN, "device")]


def _authenticate(what: bytes, at: int, code: int, name: str) -> Targets:
    """Functions 32 and 33 (clause 7)."""
    del name, code
    targets: Targets = []
    for piece in walk(what, at, None):
        is_mine = piece.is_known and piece.group == _AUTHENTICATION
        targets.append(Target(OperationClass.AUTH, "authentication") if is_mine else _unknown(piece))
    return targets


def _controls(what: bytes, at: int, code: int, name: str) -> Targets:
    del name
    return _need(controls(what, at), code)


def _confirm(what: bytes, at: int, code: int, name: str) -> Targets:
    """A confirmation that is more than its two octets, or in parts."""
    del what, at, code, name
    raise Malformed("a confirmation with something behind it (4.2.2.4)")


_CLOCKS: Final = {RECORD_TIME: "clock", DELAY_MEASUREMENT: "clock"}
_TEXTS: Final = {code: str(code) for code in NAMES}
_REFINED: Final = frozenset({WRITE, OPEN_FILE})
_PARSERS: Final[dict[int, Callable[[bytes, int, int, str], Targets]]] = {
    CONFIRM: _confirm,
    READ: _read,
    WRITE: _write,
    **dict.fromkeys(range(SELECT, OPERATE + 3), _controls),
    **dict.fromkeys((*FREEZES, *FREEZES_AT_TIME), _freeze),
    **dict.fromkeys(RESTARTS, _bare),
    INITIALIZE_DATA: _odd,
    **dict.fromkeys(APPLICATIONS, _applications),
    SAVE_CONFIGURATION: _odd,
    ENABLE_UNSOLICITED: _unsolicited,
    DISABLE_UNSOLICITED: _unsolicited,
    ASSIGN_CLASS: _assign,
    DELAY_MEASUREMENT: _bare,
    RECORD_TIME: _bare,
    **dict.fromkeys(range(OPEN_FILE, ACTIVATE_CONFIGURATION + 1), _file),
    AUTHENTICATION_REQUEST: _authenticate,
    AUTHENTICATION_NO_ACK: _authenticate,
}


def _fill_heads() -> None:
    for key in KNOWN:
        group, variation = key >> 8, key & 0xFF
        if group in TABLES:
            piece = Piece(group, variation, Kind.ALL, 0, ALL_POINTS)
            (target,) = _named(piece, READ_OTHERWISE.get(group, _READ))
            _HEADS[bytes((group, variation, _ALL_QUALIFIER))] = target


_fill_heads()
