"""The fields of a message that captures are shown with, in the order of the wire: node ids, attributes, security mode.

Pure.  For passive use only; what decides is in `operations`.  It follows the same table of structures, looks into
ExtensionObjects and Variants as the reference decode does, and keeps what it found where a message breaks off.
It must never show a session's authentication token.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from penstock.wire.opcua.binary import (
    DataValue,
    NodeId,
    Opaque,
    Variant,
    printable,
    read_data_value,
    read_extension,
    read_length,
    read_node,
    read_variant,
)
from penstock.wire.opcua.codes import EXTENSION_KIND, NODE_KIND
from penstock.wire.opcua.schema import BUILT_IN, FIELDS
from penstock.wire.opcua.structures import EXTENSIONS

#: What lies deeper in objects within objects is not looked for.
MAX_LEVELS: Final = 40
#: What stands for a secret.
HIDDEN: Final = "*"


class Trace(msgspec.Struct):
    """What was found so far."""

    nodes: list[list[Any]]
    attributes: list[int]
    mode: int | None = None


def trace_structure(name: str, data: bytes, at: int, trace: Trace, level: int = 0) -> int:
    """Follow one structure, and give the place behind it.  Raises `Malformed`; what was found stays in `trace`."""
    for label, kind, _ in FIELDS[name]:
        base = kind.removesuffix("[]")
        if base == kind:
            at = _trace_one(label, base, data, at, trace, level)
            continue
        count, at = read_length(data, at)
        for _ in range(count):
            at = _trace_one("", base, data, at, trace, level)
    return at


def _trace_one(label: str, kind: str, data: bytes, at: int, trace: Trace, level: int) -> int:
    if kind in FIELDS:
        return trace_structure(kind, data, at, trace, level)
    if kind == "NodeId":
        node, at = read_node(data, at)
        _note(label, node, trace)
    elif kind == "Variant":
        variant, at = read_variant(data, at)
        _trace_variant(variant, trace, level)
    elif kind == "DataValue":
        value, at = read_data_value(data, at)
        _trace_value(value, trace, level)
    elif kind == "ExtensionObject":
        held, at = read_extension(data, at)
        _trace_object(held, trace, level)
    else:
        value, at = BUILT_IN[kind](data, at)
        if label == "AttributeId":
            trace.attributes.append(value)
        elif label == "SecurityMode" and trace.mode is None:
            trace.mode = value
    return at


def _note(label: str, node: NodeId, trace: Trace) -> None:
    """Elements of an array of node ids have no name of their own, and are not shown."""
    if not label:
        return
    shown: int | str = node.identifier
    if label == "AuthenticationToken":
        shown = HIDDEN
    elif node.kind == "b":
        text = str(node.identifier)
        shown = ":".join(text[at : at + 2] for at in range(0, len(text), 2))
    trace.nodes.append([label, node.namespace, printable(shown) if isinstance(shown, str) else shown])


def _trace_value(value: DataValue, trace: Trace, level: int) -> None:
    if value.value is not None:
        _trace_variant(value.value, trace, level)


def _trace_variant(variant: Variant, trace: Trace, level: int) -> None:
    for value in variant.values:
        if isinstance(value, Variant):
            _trace_variant(value, trace, level)
        elif isinstance(value, DataValue):
            _trace_value(value, trace, level)
        elif variant.kind == NODE_KIND and not variant.is_array:
            _note("Value", value, trace)
        elif variant.kind == EXTENSION_KIND:
            _trace_object(value, trace, level)


def _trace_object(held: Opaque, trace: Trace, level: int) -> None:
    node = held.type_id
    name = EXTENSIONS.get(node.number) if node.kind == "i" and not node.namespace else None
    if name is not None and held.encoding == 1 and level < MAX_LEVELS:
        trace_structure(name, held.body, 0, trace, level + 1)
