"""What a request of OPC UA asks for: its body in, `Operation` out.

Pure.  The object of an operation is a node: its id in the standard's text (``ns=2;s=Line1.Speed``), beside it the
browse paths that the traffic told.  `Target.table` is the attribute (``Value``, with an index range ``Value[0:3]``),
for a call the method's node id, for the rest what is touched of the node (``History``, ``Browse``).  `Target.first`
is the identifier where it is a number.  Reading and writing of values, which is nearly all of the traffic, has a way
of its own that remembers the nodes it met; every other service is read by its structure.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from penstock.model import Malformed, Operation, OperationClass, Target, Value
from penstock.wire.opcua.binary import (
    BROKEN,
    ENDS_EARLY,
    FORMS,
    Counted,
    NodeId,
    end_of_node,
    ends_early,
    need,
    read_data_value,
    read_node,
    read_qualified,
    read_string,
)
from penstock.wire.opcua.codes import MESSAGE_NAMES, READ, SERVICES, WRITE
from penstock.wire.opcua.names import Names
from penstock.wire.opcua.objects import check_objects
from penstock.wire.opcua.schema import FIELDS, read_message
from penstock.wire.opcua.services import BUILDERS, Builder, attribute_table, read_class, write_class
from penstock.wire.opcua.values import data_values

Targets = tuple[Target, ...]

#: Nodes that are remembered for a snapshot of names, and the bytes of the longest of them.
MAX_REMEMBERED: Final = 4096
MAX_REMEMBERED_BYTES: Final = 128
#: Items of one request: servers take fewer, and each is judged by itself.
MAX_ITEMS: Final = 10_000
_READ_CLASSES: Final[tuple[OperationClass, ...]] = (OperationClass.READ,)
_WRITE_CLASSES: Final[tuple[OperationClass, ...]] = (OperationClass.WRITE,)
_UNKNOWN: Final = OperationClass.UNKNOWN
#: Behind the attribute of a ReadValueId: no index range, no data encoding.
_NO_RANGE_NO_ENCODING: Final = b"\xff\xff\xff\xff\x00\x00\xff\xff\xff\xff"
#: The mask of a DataValue that is a value and nothing else (OPC 10000-6, 5.2.2.17).
_VALUE_ONLY: Final = 1
_count_of_read = Struct("<8x4xi").unpack_from
_int32 = Struct("<i").unpack_from
_uint32 = Struct("<I").unpack_from
_SCALARS: Final = {
    kind: (layout.unpack_from, layout.size)
    for kind, layout in ((k, Struct("<" + form)) for k, form in {**FORMS, 1: "?"}.items())
}


def operation(service: int, what: bytes, at: int, names: Names) -> Operation:
    """The operation of a request whose body begins at `at` of `what`.  Raises `Malformed`."""
    try:
        if service == READ:
            targets = _read(what, at, names)
            classes = _READ_CLASSES
        elif service == WRITE:
            targets = _write(what, at, names)
            classes = _WRITE_CLASSES
        elif service in SERVICES:
            return _by_structure(service, what[at:], names)
        else:
            return _unknown(what, at)
    except ENDS_EARLY as error:
        raise ends_early(SERVICES[service][0] if service in SERVICES else "a message") from error
    if len(targets) != 1 or targets[0].operation_class is not classes[0]:
        classes = _classes(classes[0], targets)
    return Operation("opcua", classes, "631" if service == READ else "673", SERVICES[service][0], None, targets)


def _classes(plain: OperationClass, targets: Targets) -> tuple[OperationClass, ...]:
    return tuple(dict.fromkeys(target.operation_class for target in targets)) or (plain,)


def _by_structure(service: int, body: bytes, names: Names) -> Operation:
    name, plain, classes, text, message, build = _PLANS[service]
    if not message:
        return Operation("opcua", classes, text, name)
    fields = read_message(message, Counted.of(body))
    targets = () if build is None else tuple(build(fields, names))
    _expect_few(len(targets) >> 1)  # a new node has two: where it lies, and its own id
    if targets and (len(targets) != 1 or targets[0].operation_class is not plain):
        classes = _classes(plain, targets)
    return Operation("opcua", classes, text, name, None, targets)


#: By service: its name, class (also as a tuple) and number, its structure, and what makes targets of that.  TestStackEx
#: has no structure: it is in no edition that is still in force.
_PLANS: Final[dict[int, tuple[str, OperationClass, tuple[OperationClass, ...], str, str, Builder | None]]] = {
    service: (
        name,
        plain,
        (plain,),
        str(service),
        MESSAGE_NAMES[service] if MESSAGE_NAMES[service] in FIELDS else "",
        BUILDERS.get(service),
    )
    for service, (name, plain) in SERVICES.items()
}


def _unknown(what: bytes, at: int) -> Operation:
    """A message of a type that is no request: its type is all that is told."""
    try:
        text = read_node(what, at)[0].text
    except BROKEN:
        text = "without a type"
    return Operation(
        "opcua", (_UNKNOWN,), text, f"unknown service {text}", None, (Target(_UNKNOWN, "unknown service", 0, 1, text),)
    )


def _read(what: bytes, at: int, names: Names) -> Targets:
    """OPC 10000-4, 5.11.2: the greatest age, which timestamps, then a ReadValueId for each value."""
    count, at = _count_of_read(what, at)[0], at + 16
    _expect_few(count)
    known, found = names.targets, []
    for _ in range(count):
        end = end_of_node(what, at) + 14
        target = known.get(what[at:end])
        if target is None:
            target, end = _read_item(what, at, names)
        found.append(target)
        at = end
    _expect_end(what, at, count)
    return tuple(found)


def _read_item(what: bytes, at: int, names: Names) -> tuple[Target, int]:
    node, behind = read_node(what, at)
    attribute: int = _uint32(what, behind)[0]
    index_range, end = read_string(what, behind + 4)
    encoding, end = read_qualified(what, end)
    target = _target(read_class(attribute), attribute_table(attribute, index_range), node, names)
    if index_range is None and not encoding and what[behind + 4 : end] == _NO_RANGE_NO_ENCODING:
        _remember(names.targets, what[at:end], target)
    return target, end


def _write(what: bytes, at: int, names: Names) -> Targets:
    """OPC 10000-4, 5.11.4: a WriteValue for each: node, attribute, index range, and the DataValue."""
    count, at = _int32(what, at)[0], at + 4
    _expect_few(count)
    known, found = names.places, []
    counted: Counted | None = None
    for _ in range(count):
        end = end_of_node(what, at) + 8
        place = known.get(what[at:end])
        if place is None:
            place, end = _written_place(what, at, names)
        scalar = _SCALARS.get(what[end + 1]) if what[end] == _VALUE_ONLY else None
        if scalar is not None:
            unpack, size = scalar
            values: tuple[Value, ...] | None = unpack(what, end + 2)
            at = end + 2 + size
        else:
            if counted is None:
                counted = Counted.of(what)
            value, at = read_data_value(counted, end)
            check_objects((value,), is_last=count == 1)
            values = data_values(value)
        operation_class, table, first, name, aliases = place
        found.append(Target(operation_class, table, first, 1, name, values, None, aliases))
    _expect_end(what, at, count)
    return tuple(found)


def _written_place(what: bytes, at: int, names: Names) -> tuple[tuple[Any, ...], int]:
    node, behind = read_node(what, at)
    attribute: int = _uint32(what, behind)[0]
    index_range, end = read_string(what, behind + 4)
    target = _target(write_class(attribute), attribute_table(attribute, index_range), node, names)
    place = (target.operation_class, target.table, target.first, target.name, target.aliases)
    if index_range is None:
        _remember(names.places, what[at:end], place)
    return place, end


def _target(operation_class: OperationClass, table: str, node: NodeId, names: Names) -> Target:
    meant = names.known(node)
    return Target(operation_class, table, meant.number, 1, meant.text, None, None, names.paths_of(meant))


def _remember(known: dict[bytes, Any], key: bytes, found: object) -> None:
    if len(key) <= MAX_REMEMBERED_BYTES:
        if len(known) >= MAX_REMEMBERED:
            known.clear()
        known[key] = found


def _expect_few(count: int) -> None:
    if count > MAX_ITEMS:
        raise Malformed(f"a request for {count} items, more than {MAX_ITEMS}")


def _expect_end(what: bytes, at: int, count: int) -> None:
    if count < -1:
        raise Malformed(f"a length of {count} (OPC 10000-6, 5.2.5)")
    if at != len(what):
        need(what, at, 0)
        raise Malformed(f"{len(what) - at} bytes are left behind a request (OPC 10000-6, 5.2)")
