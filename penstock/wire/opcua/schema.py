"""Readers of whole structures, made of the table in `penstock.wire.opcua.structures`.

Pure.  A structure is read into a dictionary, field by field in the order of the wire.  Every byte is accounted for:
what is left behind the last field makes a message `Malformed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from struct import Struct
from typing import Any, Final

from penstock.model import Malformed
from penstock.wire.opcua.binary import (
    ENDS_EARLY,
    Opaque,
    Reader,
    charge,
    ends_early,
    fixed,
    read_boolean,
    read_bytes,
    read_data_value,
    read_diagnostic,
    read_expanded_node,
    read_extension,
    read_guid,
    read_length,
    read_localized,
    read_node,
    read_qualified,
    read_string,
    read_variant,
)
from penstock.wire.opcua.structures import EXTENSIONS, MESSAGES, STRUCTURES

Fields = dict[str, Any]
_int32 = Struct("<i").unpack_from
#: A field of a structure: its name, its type as the table has it, its reader.
Field = tuple[str, str, Reader]

#: A part of a structure: the name and the reader of one field; or names, what unpacks them, and their size.
_Step = tuple[str, tuple[str, ...], Callable[[bytes, int], tuple[Any, ...]], int]

#: Types of one size, as `struct` writes them; a DateTime among the fields of a structure is a number (100 ns).
FIXED: Final = {
    "Boolean": "?",
    "SByte": "b",
    "Byte": "B",
    "Int16": "h",
    "UInt16": "H",
    "Int32": "i",
    "UInt32": "I",
    "Int64": "q",
    "UInt64": "Q",
    "Float": "f",
    "Double": "d",
    "StatusCode": "I",
    "DateTime": "q",
}
#: Table 1 of OPC 10000-6, by the names that structures use.
BUILT_IN: Final[dict[str, Reader]] = {
    **{kind: fixed(form) for kind, form in FIXED.items()},
    "Boolean": read_boolean,
    "String": read_string,
    "Guid": read_guid,
    "ByteString": read_bytes,
    "NodeId": read_node,
    "ExpandedNodeId": read_expanded_node,
    "QualifiedName": read_qualified,
    "LocalizedText": read_localized,
    "ExtensionObject": read_extension,
    "DataValue": read_data_value,
    "Variant": read_variant,
    "DiagnosticInfo": read_diagnostic,
}


def _array(read: Reader) -> Reader:
    """5.2.5: a length, then the elements; a null array is an empty one."""

    def read_all(data: bytes, at: int) -> tuple[list[Any], int]:
        count, at = read_length(data, at)
        charge(data, count)
        found = []
        for _ in range(count):
            value, at = read(data, at)
            found.append(value)
        return found, at

    return read_all


def structure_reader(fields: tuple[Field, ...]) -> Reader:
    """A reader of a structure with these fields."""
    steps = tuple(_steps(fields))

    def read_fields(data: bytes, at: int) -> tuple[Fields, int]:
        found: Fields = {}
        for name, names, read, size in steps:
            if size:
                found.update(zip(names, read(data, at), strict=True))
                at += size
            else:
                found[name], at = read(data, at)
        return found, at

    return read_fields


def _steps(fields: tuple[Field, ...]) -> Iterator[_Step]:
    """One for each field, but for fields of one size in a row, which are read at once."""
    for form, several in groupby(fields, lambda field: field[1] in FIXED):
        run = tuple(several)
        if form and len(run) > 2:  # noqa: PLR2004 - two are read sooner one by one
            layout = Struct("<" + "".join(FIXED[kind] for _, kind, _ in run))
            yield "", tuple(label for label, _, _ in run), layout.unpack_from, layout.size
        else:
            yield from ((label, (), read, 0) for label, _, read in run)


def _lines(table: str) -> Iterator[list[str]]:
    """The structures of a table; a line that begins with blanks goes on with the one above."""
    for line in table.replace("\n    ", " ").split("\n"):
        if line:
            yield line.split(" ")


def _read_reference(data: bytes, at: int) -> tuple[Fields, int]:
    """A ReferenceDescription; an answer to a browse has hundreds of them."""
    kind, at = read_node(data, at)
    is_forward = data[at] != 0
    node, at = read_expanded_node(data, at + 1)
    name, at = read_qualified(data, at)
    shown, at = read_localized(data, at)
    node_class = _int32(data, at)[0]
    definition, at = read_expanded_node(data, at + 4)
    return {
        "ReferenceTypeId": kind,
        "IsForward": is_forward,
        "NodeId": node,
        "BrowseName": name,
        "DisplayName": shown,
        "NodeClass": node_class,
        "TypeDefinition": definition,
    }, at


def _read_step(data: bytes, at: int) -> tuple[Fields, int]:
    """A RelativePathElement."""
    kind, at = read_node(data, at)
    is_inverse, has_subtypes = data[at] != 0, data[at + 1] != 0
    name, at = read_qualified(data, at + 2)
    return {
        "ReferenceTypeId": kind,
        "IsInverse": is_inverse,
        "IncludeSubtypes": has_subtypes,
        "TargetName": name,
    }, at


#: Structures of which a message has many; a test holds them to the table.
UNROLLED: Final[dict[str, Reader]] = {
    "ReferenceDescription": _read_reference,
    "RelativePathElement": _read_step,
}


def _compile() -> tuple[dict[str, Reader], dict[str, tuple[Field, ...]]]:
    readers, structures = dict(BUILT_IN), {}
    for name, *fields in (*_lines(STRUCTURES), *_lines(MESSAGES)):
        typed = []
        for field in fields:
            label, _, kind = field.partition(":")
            read = readers[kind.removesuffix("[]")]
            typed.append((label, kind, _array(read) if kind.endswith("[]") else read))
        structures[name] = tuple(typed)
        readers[name] = UNROLLED.get(name) or structure_reader(structures[name])
    return readers, structures


#: A reader of every structure by its name, and the fields that it has.
READERS, FIELDS = _compile()


def read_message(name: str, body: bytes) -> Fields:
    """The fields of a request or response behind its header.  Raises `Malformed`."""
    try:
        found, end = READERS[name](body, 0)
    except ENDS_EARLY as error:
        raise ends_early(name) from error
    if end != len(body):
        raise Malformed(f"{len(body) - end} bytes are left behind {name} (OPC 10000-6, 5.2)")
    return found  # type: ignore[no-any-return]  # readers of structures give fields


def open_extension(held: Opaque) -> tuple[str, Fields] | None:
    """What an ExtensionObject holds, with its name, where the type is known here.  Raises `Malformed`."""
    node = held.type_id
    name = EXTENSIONS.get(node.number) if node.kind == "i" and not node.namespace else None
    if name is None or held.encoding != 1:
        return None
    return name, read_message(name, held.body)


def end_of(name: str, field: str, data: bytes, at: int) -> int:
    """The place behind one field of a structure that begins at `at`.  Raises `Malformed`."""
    try:
        for label, _, read in FIELDS[name]:
            _, at = read(data, at)
            if label == field:
                break
    except ENDS_EARLY as error:
        raise ends_early(name) from error
    return at
