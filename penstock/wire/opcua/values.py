"""Values of OPC UA as the policy compares them and as people read them.

Pure.  Numbers stay numbers, states stay words; what has no meaning of its own is text.  An array gives each element.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from penstock.model import Value
from penstock.wire.opcua.binary import DataValue, NodeId, Opaque, Variant, printable

#: Elements of one value: of a longer array none is told, so no limit of values is met by it.
MAX_VALUES: Final = 4096
#: Characters of one text, bytes of one byte string, that are told; the length says that there were more.
MAX_TEXT: Final = 256
MAX_SHOWN_BYTES: Final = 64


def values_of(variants: tuple[Variant, ...]) -> tuple[Value, ...] | None:
    """Every element of these variants; ``None`` where they are more than `MAX_VALUES`."""
    found: list[Value] = []
    for variant in variants:
        for value in _flat(variant):
            if len(found) >= MAX_VALUES:
                return None
            found.append(value)
    return tuple(found)


def data_values(value: DataValue) -> tuple[Value, ...] | None:
    """Every element of a DataValue; nothing where it has no value."""
    return () if value.value is None else values_of((value.value,))


def _flat(variant: Variant) -> Iterator[Value]:
    for value in variant.values:
        if isinstance(value, Variant):
            yield from _flat(value)
        elif isinstance(value, DataValue):
            if value.value is not None:
                yield from _flat(value.value)
        else:
            yield _plain(value)


def _plain(value: Any) -> Value:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return bytes_text(value)
    if isinstance(value, NodeId):
        return value.text
    if isinstance(value, Opaque):
        return f"{value.type_id.text} {bytes_text(value.body)}"
    text = "" if value is None else str(value)
    return printable(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)")


def bytes_text(data: bytes) -> str:
    """``0x1a2b``; of many bytes the first ones and how many there are."""
    shown = f"0x{data[:MAX_SHOWN_BYTES].hex()}"
    return shown if len(data) <= MAX_SHOWN_BYTES else f"{shown}… ({len(data)} bytes)"
