"""From the parts of a BACnet service to what it means: code, name, classes and targets.

Pure.  ANSI/ASHRAE 135-2020, clauses 13 to 16.  Every service comes through here but the four of `properties` in their
usual shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from penstock.model import Malformed, Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire.bacnet import codes
from penstock.wire.bacnet import services as s
from penstock.wire.bacnet.grammar import Found
from penstock.wire.bacnet.properties import DEFAULT_PRIORITY, Targets, property_name, written
from penstock.wire.bacnet.tags import INSTANCE_BITS, MAX_INSTANCE, type_name

#: 13.1: what a notification of a changed value shows, whatever the object.
_REPORTED: Final = ("present-value", "status-flags")
_HEX: Final = 2
_MAX_MINUTES: Final = 0xFFFF


def of_confirmed(service: int, found: Found, unit: int, procedure: int = 0) -> Operation:
    """The operation of a confirmed service that consists of these parts.  Raises `Malformed`."""
    name, classes = codes.CONFIRMED[service]
    code = f"confirmed/{service}"
    if service in {codes.ATOMIC_READ_FILE, codes.ATOMIC_WRITE_FILE}:
        classes = FILE_CLASSES.get((service, procedure), classes)
    elif service == codes.REINITIALIZE_DEVICE:
        state = _first(found, s.STATE)
        code = f"{code}/{state}"
        word, classes = codes.STATES.get(state, (f"unknown state {state}", (Is.UNKNOWN,)))
        name = f"{name} {word}"
    elif service == codes.DEVICE_COMMUNICATION_CONTROL:
        code, name, classes = _communication(code, name, classes, found)
    return _operation(service, (code, name, classes), found, unit, _CONFIRMED_TARGETS)


def of_unconfirmed(service: int, found: Found, unit: int) -> Operation:
    """The same of an unconfirmed one."""
    name, classes = codes.UNCONFIRMED[service]
    return _operation(service, (f"unconfirmed/{service}", name, classes), found, unit, _UNCONFIRMED_TARGETS)


def _operation(
    service: int,
    meaning: tuple[str, str, tuple[Is, ...]],
    found: Found,
    unit: int,
    builders: dict[int, Callable[[Is, Found], Targets]],
) -> Operation:
    code, name, classes = meaning
    build = builders.get(service)
    targets = () if build is None else build(classes[0], found)
    if classes == (Is.WRITE,) and targets:
        classes = tuple(dict.fromkeys(target.operation_class for target in targets))
    elif classes == (Is.VENDOR,) and (numbers := _all(found, s.CODE)):
        name = f"{name} vendor {numbers[0]} service {numbers[1]}"
    return Operation("bacnet", classes, code, name, unit, targets)


#: 19.1: files that are read in a backup and written in a restore are the program.
FILE_CLASSES: Final = {
    (codes.ATOMIC_READ_FILE, codes.START_BACKUP): (Is.PROGRAM_FROM_DEVICE,),
    (codes.ATOMIC_WRITE_FILE, codes.START_RESTORE): (Is.PROGRAM_TO_DEVICE,),
}


def _communication(code: str, name: str, classes: tuple[Is, ...], found: Found) -> tuple[str, str, tuple[Is, ...]]:
    """16.1: a state that the standard does not define is unknown."""
    state, minutes = _first(found, s.STATE), _all(found, s.DURATION)
    word = codes.COMMUNICATION.get(state)
    if minutes and minutes[0] > _MAX_MINUTES:
        raise Malformed(f"a duration of {minutes[0]} minutes (135 16.1.1.1.1)")
    name = f"{name} {word or f'unknown state {state}'}" + (f" for {minutes[0]} min" if minutes else "")
    return f"{code}/{state}", name, classes if word else (Is.UNKNOWN,)


def _all(found: Found, label: str) -> list[Any]:
    return [value for each, value in found if each == label]


def _first(found: Found, label: str) -> Any:
    return next(value for each, value in found if each == label)


def _things(operation_class: Is, found: Found) -> Targets:
    """The objects that are named, as they are."""
    return tuple(Target(operation_class, type_name(kind), number) for kind, number in _all(found, s.THING))


def _items(found: Found) -> list[tuple[tuple[int, int], dict[str, Any]]]:
    """Each property with its object, and with index, values and priority where they are named."""
    items: list[tuple[tuple[int, int], dict[str, Any]]] = []
    thing = (0, 0)
    for label, value in found:
        if label == s.THING:
            thing = value
        elif label == s.PROPERTY:
            items.append((thing, {s.PROPERTY: value}))
        elif items and label in {s.INDEX, s.VALUES, s.PRIORITY}:
            items[-1][1][label] = value
    return items


def _properties(operation_class: Is, found: Found) -> Targets:
    """The properties that are named, with the values that are shown."""
    return tuple(
        Target(
            operation_class,
            type_name(kind),
            number,
            1,
            property_name(item[s.PROPERTY], item.get(s.INDEX)),
            item.get(s.VALUES),
        )
        for (kind, number), item in _items(found)
    )


def _written(_: Is, found: Found) -> Targets:
    return tuple(
        written(
            kind << INSTANCE_BITS | number,
            item[s.PROPERTY],
            item.get(s.INDEX),
            item.get(s.PRIORITY, DEFAULT_PRIORITY),
            item[s.VALUES],
        )
        for (kind, number), item in _items(found)
    )


def _subscribed(operation_class: Is, found: Found) -> Targets:
    """13.14: a subscription to an object shows what its notifications show."""
    ((kind, number),) = _all(found, s.THING)
    return tuple(Target(operation_class, type_name(kind), number, 1, name) for name in _REPORTED)


def _reported(operation_class: Is, found: Found) -> Targets:
    """An event of an object: the state that it is in now."""
    ((kind, number),) = _all(found, s.THING)
    return (Target(operation_class, type_name(kind), number, 1, "event-state", tuple(_all(found, s.VALUE))),)


def _created(operation_class: Is, found: Found) -> Targets:
    """15.3: the object, or some object of a type; and its first values."""
    if kinds := _all(found, s.KIND):
        thing = Target(operation_class, type_name(kinds[0]), 0, MAX_INSTANCE + 1)
        kind, number, count = kinds[0], 0, MAX_INSTANCE + 1
    else:
        kind, number = _first(found, s.THING)
        count = 1
        thing = Target(operation_class, type_name(kind), number)
    values = [
        Target(
            operation_class,
            type_name(kind),
            number,
            count,
            property_name(item[s.PROPERTY], item.get(s.INDEX)),
            item[s.VALUES],
        )
        for _, item in _items(found)
    ]
    return (thing, *values)


def _file(operation_class: Is, found: Found) -> Targets:
    """14.1, 14.2: which part of which file.  The content of a file is not a value."""
    kind, number = _first(found, s.THING)
    contents = _all(found, s.VALUE)
    records, starts = _all(found, s.RECORD), _all(found, s.START)
    counts = _all(found, s.COUNT)
    if records and contents and counts != [len(contents)]:
        raise Malformed(f"{len(contents)} records, and {counts[0]} are announced (135 14.2.1)")
    count = counts[0] if counts else sum(len(each) // 2 - 1 for each in contents)
    name = f"records {records[0]}+{count}" if records else f"octets {starts[0]}+{count}"
    return (Target(operation_class, type_name(kind), number, 1, name),)


def _operated(operation_class: Is, found: Found) -> Targets:
    """13.13, 13.1: one object with what is to be done or was acknowledged there.  Without an object: all there are."""
    things, values = _all(found, s.THING), tuple(_all(found, s.VALUE))
    if not things:
        return (Target(operation_class, "life-safety", 0, MAX_INSTANCE + 1, "operation", values),)
    kind, number = things[0]
    return (Target(operation_class, type_name(kind), number, 1, "operation", values),)


def _acknowledged(operation_class: Is, found: Found) -> Targets:
    """13.5: the alarm of an object, with the state that is acknowledged."""
    kind, number = _first(found, s.THING)
    return (Target(operation_class, type_name(kind), number, 1, "alarm", tuple(_all(found, s.VALUE))),)


def _asked_devices(operation_class: Is, found: Found) -> Targets:
    """16.10: devices by a range of instances, without one all."""
    limits = _all(found, s.NUMBER)
    low, high = limits or (0, MAX_INSTANCE)
    if not low <= high <= MAX_INSTANCE:
        raise Malformed(f"devices from {low} to {high} (135 16.10.1.1)")
    return (Target(operation_class, "device", low, high - low + 1),)


def _asked_object(operation_class: Is, found: Found) -> Targets:
    """16.9: an object by its number or by its name."""
    names = _all(found, s.VALUE)
    return (Target(operation_class, "object", 0, 1, str(names[0])),) if names else _things(operation_class, found)


def _clock(operation_class: Is, found: Found) -> Targets:
    return (Target(operation_class, "clock", 0, 1, "", (" ".join(map(str, _all(found, s.VALUE))),)),)


def _group(operation_class: Is, found: Found) -> Targets:
    """15.11: channels of a group, each with a value, at the priority of the group or at its own."""
    number, priority = _first(found, s.NUMBER), _first(found, s.PRIORITY)
    if not 1 <= number < 1 << 32:
        raise Malformed(f"{number} is no group (135 15.11.1.1)")
    targets: list[Target] = []
    channel, own, values = -1, priority, list[Any]()
    for label, value in [*found[2:], (s.INDEX, -1)]:
        if label == s.INDEX:
            if channel >= 0:
                targets.append(_channel(operation_class, number, (channel, own), tuple(values)))
            channel, own, values = value, priority, []
        elif label == s.PRIORITY:
            own = value
        else:
            values.append(value)
    return tuple(targets)


def _channel(operation_class: Is, group: int, where: tuple[int, int], values: tuple[Any, ...]) -> Target:
    channel, priority = where
    if not 1 <= priority <= DEFAULT_PRIORITY:
        raise Malformed(f"{priority} is no priority (135 15.11.1.1)")
    return Target(operation_class, "channel-group", group, 1, f"channel-{channel}@{priority}", values)


_CONFIRMED_TARGETS: Final[dict[int, Callable[[Is, Found], Targets]]] = {
    0: _acknowledged,
    1: _properties,
    2: _reported,
    5: _subscribed,
    codes.ATOMIC_READ_FILE: _file,
    codes.ATOMIC_WRITE_FILE: _file,
    codes.ADD_LIST_ELEMENT: _properties,
    codes.REMOVE_LIST_ELEMENT: _properties,
    codes.CREATE_OBJECT: _created,
    codes.DELETE_OBJECT: _things,
    codes.READ_PROPERTY: _properties,
    codes.READ_PROPERTY_MULTIPLE: _properties,
    codes.WRITE_PROPERTY: _written,
    codes.WRITE_PROPERTY_MULTIPLE: _written,
    codes.READ_RANGE: _properties,
    27: _operated,
    28: _properties,
    codes.SUBSCRIBE_COV_PROPERTY_MULTIPLE: _properties,
    31: _properties,
}
_UNCONFIRMED_TARGETS: Final[dict[int, Callable[[Is, Found], Targets]]] = {
    0: _things,
    1: _things,
    2: _properties,
    3: _reported,
    6: _clock,
    7: _asked_object,
    8: _asked_devices,
    9: _clock,
    10: _group,
    11: _properties,
    14: _things,
}
