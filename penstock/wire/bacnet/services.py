"""The parts of every BACnet service: requests, acknowledgements and errors.

Data only: ANSI/ASHRAE 135-2020, clause 21, as rules of `grammar`.  Labels name what a policy or a record needs; the
rest is read as well, so that nothing hides in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.wire.bacnet import codes, tags
from penstock.wire.bacnet.grammar import Anything, Choice, Group, Many, Maybe, Opaque, Plain, Rule

#: Labels of what was read.
THING: Final = "object"
PROPERTY: Final = "property"
INDEX: Final = "index"
VALUES: Final = "values"
PRIORITY: Final = "priority"
VALUE: Final = "value"
NUMBER: Final = "number"
STATE: Final = "state"
DURATION: Final = "duration"
START: Final = "start"
RECORD: Final = "record"
COUNT: Final = "count"
KIND: Final = "type"
CODE: Final = "code"
ERROR_CLASS: Final = "error class"
ERROR_CODE: Final = "error code"
INITIATOR: Final = "initiator"

Parts = tuple[Rule, ...]

_UNSIGNED, _SIGNED, _ENUMERATED, _BOOLEAN = tags.UNSIGNED, tags.SIGNED, tags.ENUMERATED, tags.BOOLEAN
_TEXT, _OCTETS, _BITS, _REAL, _DATE, _TIME = tags.TEXT, tags.OCTETS, tags.BITS, tags.REAL, tags.DATE, tags.TIME


def _thing(context: int | None = None, label: str = THING) -> Rule:
    return Plain(tags.OBJECT, context, label)


def _reference(context: int) -> Parts:
    """Property and array index, the index with the next tag."""
    return Plain(_ENUMERATED, context, PROPERTY), Maybe(Plain(_UNSIGNED, context + 1, INDEX))


def _property_value(context: int) -> Parts:
    """BACnetPropertyValue: property, index, value and priority."""
    return (
        *_reference(context),
        Anything(context + 2, VALUES),
        Maybe(Plain(_UNSIGNED, context + 3, PRIORITY)),
    )


_DATE_TIME: Final[Parts] = (Plain(_DATE, None, VALUE), Plain(_TIME, None, VALUE))
_STAMP: Final = Choice(Plain(_TIME, 0), Plain(_UNSIGNED, 1), Group(2, Plain(_DATE), Plain(_TIME)))
_RECIPIENT: Final = Choice(Plain(tags.OBJECT, 0), Group(1, Plain(_UNSIGNED), Plain(_OCTETS)))
_ERROR: Final[Parts] = (Plain(_ENUMERATED, None, ERROR_CLASS), Plain(_ENUMERATED, None, ERROR_CODE))
_LIGHTING: Final = Group(
    0,
    Plain(_ENUMERATED, 0, VALUE),
    Maybe(Plain(_REAL, 1)),
    Maybe(Plain(_REAL, 2)),
    Maybe(Plain(_REAL, 3)),
    Maybe(Plain(_UNSIGNED, 4)),
    Maybe(Plain(_UNSIGNED, 5)),
)
_CHANNEL_VALUE: Final = Choice(*(Plain(number, None, VALUE) for number in range(tags.OBJECT + 1)), _LIGHTING)

_COV: Final[Parts] = (
    Plain(_UNSIGNED, 0),
    _thing(1, INITIATOR),
    _thing(2),
    Plain(_UNSIGNED, 3),
    Group(4, Many(*_property_value(0))),
)
_COV_MULTIPLE: Final[Parts] = (
    Plain(_UNSIGNED, 0),
    _thing(1, INITIATOR),
    Plain(_UNSIGNED, 2),
    Maybe(Group(3, Plain(_DATE), Plain(_TIME))),
    Group(
        4,
        Many(_thing(0), Group(1, Many(*_reference(0), Anything(2, VALUES), Maybe(Plain(_TIME, 3)), least=1)), least=1),
    ),
)
_EVENT: Final[Parts] = (
    Plain(_UNSIGNED, 0),
    _thing(1, INITIATOR),
    _thing(2),
    Group(3, _STAMP),
    Plain(_UNSIGNED, 4),
    Plain(_UNSIGNED, 5),
    Plain(_ENUMERATED, 6),
    Maybe(Plain(_TEXT, 7)),
    Plain(_ENUMERATED, 8),
    Maybe(Plain(_BOOLEAN, 9)),
    Maybe(Plain(_ENUMERATED, 10)),
    Plain(_ENUMERATED, 11, VALUE),
    Maybe(Anything(12)),
)
_PRIVATE: Final[Parts] = (Plain(_UNSIGNED, 0, CODE), Plain(_UNSIGNED, 1, CODE), Maybe(Anything(2)))
_TEXT_MESSAGE: Final[Parts] = (
    _thing(0, INITIATOR),
    Maybe(Group(1, Choice(Plain(_UNSIGNED, 0), Plain(_TEXT, 1)))),
    Plain(_ENUMERATED, 2),
    Plain(_TEXT, 3),
)
_LIST_ELEMENT: Final[Parts] = (_thing(0), *_reference(1), Anything(3, VALUES))
#: 15.8: by position, by sequence number, by time; 4 and 5 are those of the standard's first editions.
_RANGE: Final = Choice(
    Group(3, Plain(_UNSIGNED), Plain(_SIGNED)),
    Anything(4),
    Anything(5),
    Group(6, Plain(_UNSIGNED), Plain(_SIGNED)),
    Group(7, Plain(_DATE), Plain(_TIME), Plain(_SIGNED)),
)

#: What a confirmed request consists of.
REQUESTS: Final[Mapping[int, Parts]] = {
    0: (
        Plain(_UNSIGNED, 0),
        _thing(1),
        Plain(_ENUMERATED, 2, VALUE),
        Group(3, _STAMP),
        Plain(_TEXT, 4),
        Group(5, _STAMP),
    ),
    1: _COV,
    2: _EVENT,
    3: (),
    4: (
        Plain(_ENUMERATED, 0),
        Maybe(Group(1, Group(0, _RECIPIENT), Plain(_UNSIGNED, 1))),
        Maybe(Plain(_ENUMERATED, 2)),
        Maybe(Plain(_ENUMERATED, 3)),
        Maybe(Group(4, Plain(_UNSIGNED, 0), Plain(_UNSIGNED, 1))),
        Maybe(Plain(_UNSIGNED, 5)),
    ),
    5: (Plain(_UNSIGNED, 0), _thing(1), Maybe(Plain(_BOOLEAN, 2)), Maybe(Plain(_UNSIGNED, 3))),
    codes.ATOMIC_READ_FILE: (
        _thing(),
        Choice(
            Group(0, Plain(_SIGNED, None, START), Plain(_UNSIGNED, None, COUNT)),
            Group(1, Plain(_SIGNED, None, RECORD), Plain(_UNSIGNED, None, COUNT)),
        ),
    ),
    codes.ATOMIC_WRITE_FILE: (
        _thing(),
        Choice(
            Group(0, Plain(_SIGNED, None, START), Plain(_OCTETS, None, VALUE)),
            Group(
                1,
                Plain(_SIGNED, None, RECORD),
                Plain(_UNSIGNED, None, COUNT),
                Many(Plain(_OCTETS, None, VALUE)),
            ),
        ),
    ),
    codes.ADD_LIST_ELEMENT: _LIST_ELEMENT,
    codes.REMOVE_LIST_ELEMENT: _LIST_ELEMENT,
    codes.CREATE_OBJECT: (
        Group(0, Choice(Plain(_ENUMERATED, 0, KIND), _thing(1))),
        Maybe(Group(1, Many(*_property_value(0)))),
    ),
    codes.DELETE_OBJECT: (_thing(),),
    codes.READ_PROPERTY: (_thing(0), *_reference(1)),
    13: (Opaque(),),
    codes.READ_PROPERTY_MULTIPLE: (Many(_thing(0), Group(1, Many(*_reference(0), least=1)), least=1),),
    codes.WRITE_PROPERTY: (
        _thing(0),
        *_reference(1),
        Anything(3, VALUES),
        Maybe(Plain(_UNSIGNED, 4, PRIORITY)),
    ),
    codes.WRITE_PROPERTY_MULTIPLE: (Many(_thing(0), Group(1, Many(*_property_value(0), least=1)), least=1),),
    codes.DEVICE_COMMUNICATION_CONTROL: (
        Maybe(Plain(_UNSIGNED, 0, DURATION)),
        Plain(_ENUMERATED, 1, STATE),
        Maybe(Plain(_TEXT, 2)),
    ),
    codes.PRIVATE_TRANSFER: _PRIVATE,
    19: _TEXT_MESSAGE,
    codes.REINITIALIZE_DEVICE: (Plain(_ENUMERATED, 0, STATE), Maybe(Plain(_TEXT, 1))),
    21: (Plain(_ENUMERATED), Plain(_UNSIGNED)),
    codes.VT_CLOSE: (Many(Plain(_UNSIGNED), least=1),),
    23: (Plain(_UNSIGNED), Plain(_OCTETS), Plain(_UNSIGNED)),
    codes.AUTHENTICATE: (Opaque(),),
    25: (Opaque(),),
    codes.READ_RANGE: (_thing(0), *_reference(1), Maybe(_RANGE)),
    27: (Plain(_UNSIGNED, 0), Plain(_TEXT, 1), Plain(_ENUMERATED, 2, VALUE), Maybe(_thing(3))),
    28: (
        Plain(_UNSIGNED, 0),
        _thing(1),
        Maybe(Plain(_BOOLEAN, 2)),
        Maybe(Plain(_UNSIGNED, 3)),
        Group(4, *_reference(0)),
        Maybe(Plain(_REAL, 5)),
    ),
    29: (Maybe(Plain(tags.OBJECT, 0)),),
    codes.SUBSCRIBE_COV_PROPERTY_MULTIPLE: (
        Plain(_UNSIGNED, 0),
        Maybe(Plain(_BOOLEAN, 1)),
        Maybe(Plain(_UNSIGNED, 2)),
        Maybe(Plain(_UNSIGNED, 3)),
        Group(
            4,
            Many(
                _thing(0),
                Group(1, Many(Group(0, *_reference(0)), Maybe(Plain(_REAL, 1)), Plain(_BOOLEAN, 2), least=1)),
                least=1,
            ),
        ),
    ),
    31: _COV_MULTIPLE,
    32: (Opaque(),),
    33: (Opaque(),),
}

#: What an unconfirmed request consists of.
UNCONFIRMED_REQUESTS: Final[Mapping[int, Parts]] = {
    0: (_thing(), Plain(_UNSIGNED), Plain(_ENUMERATED), Plain(_UNSIGNED, None, CODE)),
    1: (_thing(None, INITIATOR), _thing(), Plain(_TEXT, None, VALUE)),
    2: _COV,
    3: _EVENT,
    4: _PRIVATE,
    5: _TEXT_MESSAGE,
    6: _DATE_TIME,
    7: (
        Maybe(Plain(_UNSIGNED, 0), Plain(_UNSIGNED, 1)),
        Choice(_thing(2), Plain(_TEXT, 3, VALUE)),
    ),
    8: (Maybe(Plain(_UNSIGNED, 0, NUMBER), Plain(_UNSIGNED, 1, NUMBER)),),
    9: _DATE_TIME,
    10: (
        Plain(_UNSIGNED, 0, NUMBER),
        Plain(_UNSIGNED, 1, PRIORITY),
        Group(2, Many(Plain(_UNSIGNED, 0, INDEX), Maybe(Plain(_UNSIGNED, 1, PRIORITY)), _CHANNEL_VALUE, least=1)),
        Maybe(Plain(_BOOLEAN, 3)),
    ),
    11: _COV_MULTIPLE,
    12: (Opaque(),),
    13: (Plain(_UNSIGNED), Plain(_TEXT), Plain(_TEXT)),
    14: (
        Plain(_UNSIGNED),
        Plain(_TEXT),
        Plain(_TEXT),
        Maybe(_thing()),
        Maybe(Plain(_OCTETS)),
    ),
}

#: What a complex acknowledgement consists of.
ANSWERS: Final[Mapping[int, Parts]] = {
    3: (Many(_thing(), Plain(_ENUMERATED), Plain(_BITS)),),
    4: (
        Many(
            _thing(),
            Plain(_ENUMERATED),
            Plain(_ENUMERATED),
            Plain(_UNSIGNED),
            Maybe(Plain(_UNSIGNED)),
        ),
    ),
    codes.ATOMIC_READ_FILE: (
        Plain(_BOOLEAN),
        Choice(
            Group(0, Plain(_SIGNED, None, START), Plain(_OCTETS, None, VALUE)),
            Group(1, Plain(_SIGNED, None, RECORD), Plain(_UNSIGNED, None, COUNT), Many(Plain(_OCTETS, None, VALUE))),
        ),
    ),
    codes.ATOMIC_WRITE_FILE: (Choice(Plain(_SIGNED, 0, START), Plain(_SIGNED, 1, START)),),
    codes.CREATE_OBJECT: (_thing(),),
    codes.READ_PROPERTY: (_thing(0), *_reference(1), Anything(3, VALUES)),
    codes.READ_PROPERTY_MULTIPLE: (
        Many(
            _thing(0),
            Group(1, Many(*_reference(2), Choice(Anything(4, VALUES), Group(5, *_ERROR)))),
        ),
    ),
    codes.PRIVATE_TRANSFER: _PRIVATE,
    codes.READ_RANGE: (
        _thing(0),
        *_reference(1),
        Plain(_BITS, 3),
        Plain(_UNSIGNED, 4),
        Anything(5, VALUES),
        Maybe(Plain(_UNSIGNED, 6)),
    ),
    29: (
        Group(
            0,
            Many(
                _thing(0),
                Plain(_ENUMERATED, 1),
                Plain(_BITS, 2),
                Group(3, _STAMP, _STAMP, _STAMP),
                Plain(_ENUMERATED, 4),
                Plain(_BITS, 5),
                Group(6, Plain(_UNSIGNED), Plain(_UNSIGNED), Plain(_UNSIGNED)),
            ),
        ),
        Plain(_BOOLEAN, 1),
    ),
}

_TYPED_ERROR: Final = Group(0, *_ERROR)
#: What an error consists of, where it is more than class and code.
ERRORS: Final[Mapping[int, Parts]] = {
    codes.ADD_LIST_ELEMENT: (_TYPED_ERROR, Plain(_UNSIGNED, 1)),
    codes.REMOVE_LIST_ELEMENT: (_TYPED_ERROR, Plain(_UNSIGNED, 1)),
    codes.CREATE_OBJECT: (_TYPED_ERROR, Plain(_UNSIGNED, 1)),
    codes.WRITE_PROPERTY_MULTIPLE: (_TYPED_ERROR, Group(1, _thing(0), *_reference(1))),
    codes.PRIVATE_TRANSFER: (_TYPED_ERROR, Plain(_UNSIGNED, 1), Plain(_UNSIGNED, 2), Maybe(Anything(3))),
    codes.VT_CLOSE: (_TYPED_ERROR, Maybe(Group(1, Many(Plain(_UNSIGNED))))),
    codes.SUBSCRIBE_COV_PROPERTY_MULTIPLE: (
        Many(Choice(_TYPED_ERROR, Group(1, _thing(0), Group(1, *_reference(0)), Group(2, *_ERROR))), least=1),
    ),
}
ERROR: Final[Parts] = _ERROR
