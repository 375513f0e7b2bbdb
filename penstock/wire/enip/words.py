"""The words in which a site document narrows EtherNet/IP: tags, objects, files of a PLC, and routes.

Pure.  Text in, spans out, in the one spelling that `path` and `pccc` give to objects.  Whatever names no object is an
error with a hint: half-understood text must never widen a permission.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from penstock.model import OperationClass, Span
from penstock.wire.protocol import Limit, UnreadableError
from penstock.wire.words import read_range

_WITH_OBJECTS: Final = frozenset(OperationClass) - {
    OperationClass.SESSION,
    OperationClass.UNKNOWN,
    OperationClass.ENCRYPTED,
    OperationClass.VENDOR,
}
_WITH_TAGS: Final = frozenset({OperationClass.READ, OperationClass.WRITE, OperationClass.DISCOVERY})
_WITH_FILES: Final = frozenset({OperationClass.READ, OperationClass.WRITE})
_MAX_INDEX: Final = 0xFFFF_FFFF
_MAX_ELEMENT: Final = 0xFFFF

#: A name in which dots part the members; a program's tags are ``Program:NAME.TAG``.
_TAG: Final = re.compile(r"(?P<name>[^\[\]\s](?:[^\[\]]|\[[0-9,*]+\](?=[.\[]))*)(?:\[(?P<index>[^\[\]]+)\])?\Z")
#: What YAML writes for nothing: a key without a value must not become a tag of that name.
_NOTHING: Final = frozenset({"null", "~"})
_INDEXES: Final = re.compile(r"(?:[0-9]{1,10}|\*)(?:,(?:[0-9]{1,10}|\*))+\Z")
_OBJECT_PART: Final = re.compile(r"(?:0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10}|\*)\Z")
_SYMBOLS: Final = "0x6b"
_FILE: Final = re.compile(r"(?P<letters>[A-Za-z]{1,2})(?P<file>[0-9]{1,4})(?::(?P<elements>[0-9 .-]+))?\Z")
_ROUTE: Final = re.compile(r"[0-9]{1,5}/[^/\s]+(?:/[0-9]{1,5}/[^/\s]+)*\Z")


def read_tags(text: str) -> Sequence[Span]:
    """``Speed``, ``Line1.*``, ``Program:Main.Speed``, ``Recipe[0-9]``, ``Matrix[1,2]``."""
    found = _TAG.match(text.strip())
    if found is None or found["name"].lower() in _NOTHING:
        raise UnreadableError(f"{text!r} is no tag", "write it as Speed, Line1.*, Recipe[0-9] or Program:Main.Speed")
    # ASCII letters only, as in the path of a message.
    name = found["name"].encode().lower().decode()
    index = found["index"]
    if index is None:
        return (Span(table="tags", name=name), Span(table="tags", name=f"{name}[*,*]"))
    if index == "*":
        return (Span(table="tags", name=name),)
    if _INDEXES.match(index):
        return (Span(table="tags", name=f"{name}[{index}]", first=0, last=0),)
    elements = read_range(index)
    if elements is None or elements[0] < 0 or elements[1] > _MAX_INDEX:
        raise UnreadableError(f"{index!r} is no range of elements", "write it as Recipe[3], Recipe[0-9] or Matrix[1,2]")
    return (Span(table="tags", name=name, first=elements[0], last=elements[1]),)


def read_objects(text: str) -> Sequence[Span]:
    """``0x8E/1/3``: class, instance, attribute.  What is left out at the end means everything below."""
    parts = text.strip().split("/")
    if not all(_OBJECT_PART.match(part) for part in parts) or parts == ["*"]:
        raise UnreadableError(
            f"{text!r} is no object", "write class, instance and attribute as 0x8E/1/3, 0x04/100 or 0x8E/1/*"
        )
    numbers = [part if part == "*" else str(int(part, 0)) if part[:2].lower() == "0x" else part for part in parts]
    number = parts[0] if parts[0] == "*" else f"0x{int(numbers[0]):x}"
    name = "/".join([number, *(each if each == "*" else str(int(each)) for each in numbers[1:])])
    # A symbol whose name was told on the flow is a tag of that name, and still the object of its number.
    tables = ("objects", "tags") if number == _SYMBOLS else ("objects",)
    return tuple(Span(table=table, name=each) for table in tables for each in (name, f"{name}/*"))


def read_files(text: str) -> Sequence[Span]:
    """``N7:0-10``: a file of a PLC and its elements; ``N7`` is the whole file.

    A PLC-5 may be asked for a file by its number alone.
    """
    found = _FILE.match(text.strip())
    elements = (0, _MAX_ELEMENT) if found is not None and found["elements"] is None else None
    if found is not None and found["elements"] is not None:
        elements = read_range(found["elements"])
    if found is None or elements is None or elements[0] < 0 or elements[1] > _MAX_ELEMENT:
        raise UnreadableError(f"{text!r} is no file of a PLC", "write it as N7:0-10, F8:3 or B3")
    number = str(int(found["file"]))
    names = (found["letters"].lower() + number, number)
    return tuple(Span(table="files", name=name, first=elements[0], last=elements[1]) for name in names)


def read_routes(text: str) -> Sequence[Span]:
    """``1/0/2/10.0.0.5``: ports and link addresses, as the route that leads out of the rack has them."""
    if not _ROUTE.match(text.strip()):
        raise UnreadableError(f"{text!r} is no route", "write ports and addresses in turn, as 1/0/2/10.0.0.5")
    return (Span(table="routes", name=text.strip()),)


def _limit(
    key: str, about: str, example: str, classes: frozenset[OperationClass], read: Callable[[str], Sequence[Span]]
) -> Limit:
    return Limit(key=key, about=about, example=example, classes=classes, read=read)


LIMITS: Final = (
    _limit(
        "tags",
        "tags by name, whatever the case of its letters; `*` stands for any text, `[0-9]` for elements of an array",
        'tags: [Speed, Line1.*, "Recipe[0-9]", "Program:Main.Speed"]',
        _WITH_TAGS,
        read_tags,
    ),
    _limit(
        "objects",
        "CIP objects by class, instance and attribute; `*` is any number, what is left out is everything below",
        "objects: [0x8E/1/3, 0x04/100]",
        _WITH_OBJECTS,
        read_objects,
    ),
    _limit(
        "files",
        "data files of SLC 500, MicroLogix and PLC-5 (PCCC) with their elements",
        "files: N7:0-10",
        _WITH_FILES,
        read_files,
    ),
    _limit(
        "routes",
        "routes out of the rack to other devices, as ports and addresses in turn",
        "routes: 1/0/2/10.0.0.5",
        frozenset({OperationClass.VENDOR}),
        read_routes,
    ),
)
