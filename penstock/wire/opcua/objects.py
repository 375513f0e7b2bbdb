"""Whether the length that an ExtensionObject says is the length of what it holds (OPC 10000-6, 5.2.2.15).

Pure.  Some servers pass over the length of an object whose type they know and go on behind its last field.  Where the
length says something else, they find other nodes in a request than whoever believes it.  So an object of a known type
has to fill its length, and one of any other type stands in a request for one item only: nothing then comes behind it
that names something.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from penstock.model import Malformed
from penstock.wire.opcua.binary import DATA_VALUE, VARIANT, DataValue, Opaque, Variant
from penstock.wire.opcua.codes import EXTENSION_KIND
from penstock.wire.opcua.schema import open_extension

#: Objects within objects; clients have three or so.
MAX_LEVELS: Final = 16
#: 5.2.2.15: the body is a ByteString with the binary form; XML has no other end than its length.
BINARY: Final = 1
_HOLDING: Final = frozenset((EXTENSION_KIND, DATA_VALUE, VARIANT))


def check_objects(values: Iterable[Any], *, is_last: bool) -> None:
    """Raises `Malformed` where one of the objects in these values may end elsewhere than it says.

    `is_last`: nothing comes behind them that names something.
    """
    waiting: list[tuple[Any, int]] = [(value, 0) for value in values]
    while waiting:
        value, level = waiting.pop()
        if isinstance(value, Opaque):
            if value.encoding == BINARY:
                waiting += _opened(value, level, is_last=is_last)
        else:
            waiting += [(each, level) for each in _parts(value)]


def _opened(held: Opaque, level: int, *, is_last: bool) -> list[tuple[Any, int]]:
    inside = open_extension(held)
    if inside is not None:
        if level >= MAX_LEVELS:
            raise Malformed(f"more than {MAX_LEVELS} objects within objects (OPC 10000-6, 5.1.5)")
        return [(inside[1], level + 1)]
    if not is_last:
        raise Malformed(f"an object of the type {held.type_id.text} stands before others, and may end among them")
    return []


def _parts(value: Any) -> Iterable[Any]:
    match value:
        case Variant(kind=kind, values=values):
            return values if kind in _HOLDING else ()
        case DataValue(value=inner):
            return () if inner is None or inner.kind not in _HOLDING else (inner,)
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()
