"""Pure: elements of a set as nft writes them, from the bytes that the kernel holds.

Stands beside `told`: it makes the text that puts elements back together with their table, and the words that tell a
person which element is meant.  It must never guess: a key that does not fit its set's declaration is not written.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import TypeAlias

from penstock.kernel.told import Kept

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}
#: Type of nft -> its length in bytes, and how it is written.  A concatenation pads each to 4 bytes.
_FIELDS: dict[str, tuple[int, Callable[[bytes], str]]] = {
    "ipv4_addr": (4, lambda data: str(IPv4Address(data))),
    "ether_addr": (6, lambda data: data.hex(":")),
    "inet_proto": (1, lambda data: _PROTOCOLS.get(data[0], str(data[0]))),
    "inet_service": (2, lambda data: str(struct.unpack("!H", data)[0])),
    "mark": (4, lambda data: f"{int.from_bytes(data, sys.byteorder):#010x}"),
}
_SHORTEST_MS = 1

Elements: TypeAlias = Mapping[str, Mapping[bytes, Kept]]


def key_text(declaration: str, key: bytes) -> str | None:
    """A key of the set with this declaration (of `chains`); ``None`` where it does not fit it."""
    return _values(_types(declaration)[0], key)


def element_text(declaration: str, key: bytes, kept: Kept, now_s: float) -> str | None:
    """One element with the time that it has left; ``None`` where it does not fit, or is over."""
    text = key_text(declaration, key)
    if text is None:
        return None
    if kept.ends_s is not None:
        left_ms = int((kept.ends_s - now_s) * 1000)
        if left_ms < _SHORTEST_MS:
            return None
        text += f" timeout {left_ms}ms"
    if not kept.data:
        return text
    target = _values(_types(declaration)[1], kept.data)
    return None if target is None else f"{text} : {target}"


def filling(table: str, declarations: Mapping[str, str], elements: Elements, now_s: float) -> Iterator[str]:
    """The lines that fill these sets of a table, as far as something is left of their elements."""
    for name, held in elements.items():
        texts = (element_text(declarations[name], key, kept, now_s) for key, kept in held.items())
        lines = [f"  {text}," for text in texts if text is not None]
        if lines:
            yield f"add element inet {table} {name} {{"
            yield from lines
            yield "}"


def _types(declaration: str) -> tuple[str, str]:
    """The types of the key and of what it maps to, of ``map type A . B : C; flags timeout;``."""
    types = declaration.partition(";")[0].partition("type ")[2]
    key, _, target = types.partition(" : ")
    return key, target


def _values(types: str, data: bytes) -> str | None:
    names = [name.strip() for name in types.split(" . ")]
    values, offset = [], 0
    for name in names:
        if name not in _FIELDS:
            return None
        length, write = _FIELDS[name]
        if len(data) < offset + length:
            return None
        values.append(write(data[offset : offset + length]))
        offset += length if len(names) == 1 else (length + 3) & ~3
    return " . ".join(values) if offset == len(data) else None
