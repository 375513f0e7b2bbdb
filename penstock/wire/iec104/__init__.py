"""IEC 60870-5-104 (telecontrol over TCP): what a site document may say of it, and what reads it.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from penstock.model import OperationClass, Span
from penstock.wire.iec104 import codes
from penstock.wire.iec104.decoder import MAX_HELD_BYTES, Iec104Decoder
from penstock.wire.iec104.dissector import Iec104Dissector
from penstock.wire.iec104.elements import HIGHER, LOWER, OFF, ON
from penstock.wire.iec104.frames import Iec104Frame, fits
from penstock.wire.protocol import Limit, UnreadableError, WireProtocol
from penstock.wire.words import read_range

__all__ = ["IEC104", "Iec104Decoder", "Iec104Dissector", "Iec104Frame"]

#: -101, 7.2.5: three octets.
_MAX_ADDRESS: Final = 0xFF_FFFF
_NUMBERS: Final = {mnemonic: number for number, (mnemonic, _, _) in codes.TYPES.items()}
_WITH_ADDRESS: Final = frozenset(
    {
        OperationClass.READ,
        OperationClass.WRITE,
        OperationClass.CONFIG,
        OperationClass.FILE_READ,
        OperationClass.FILE_WRITE,
    }
)
_WITH_TYPE: Final = frozenset(
    {OperationClass.UNKNOWN, *(each for found in codes.CLASS_OF.values() for each in found)}
) - {OperationClass.SESSION}


def _addresses(text: str) -> Sequence[Span]:
    found = read_range(text)
    if found is None:
        raise UnreadableError(
            f"{text!r} is no range of object addresses", "write it as 100-110, 5 or [1-3, 9], the smaller number first"
        )
    first, last = found
    if first < 0 or last > _MAX_ADDRESS:
        raise UnreadableError(
            f"object addresses are from 0 to {_MAX_ADDRESS}, these are {first} to {last}",
            "three octets as one number, the first octet the lowest",
        )
    return (Span(table="", first=first, last=last),)


def _types(text: str) -> Sequence[Span]:
    """A mnemonic, the beginning of some (``C_SE_*``), or a number."""
    word = text.strip().upper()
    if word.endswith("*"):
        names = [name for name in _NUMBERS if name.startswith(word[:-1])]
    elif word.isascii() and word.isdigit():
        names = [codes.TYPES[int(word)][0]] if int(word) in codes.TYPES else []
    else:
        names = [word] if word in _NUMBERS else []
    if not names:
        raise UnreadableError(
            f"{text!r} is no type of IEC 60870-5-104", "write it as C_SC_NA_1, C_SE_* or 45 (-101, 7.2.1)"
        )
    return tuple(Span(table=name, axis="type") for name in names)


IEC104: Final = WireProtocol(
    name="iec104",
    title="IEC 60870-5-104",
    refusal="mirror of the request with a negative confirmation (cause 7, 9, 44, 45 or 47)",
    unseen=(
        "TLS (port 19998)",
        "how a command ended, beyond its confirmation",
        "segments of authenticated requests",
    ),
    ports=("tcp/2404",),
    max_held_bytes=MAX_HELD_BYTES,
    # A request has 15 bytes at least, a frame 255 at most.
    portion_bytes=768,
    limits=(
        Limit(
            key="ioa",
            about="information objects by their address, 0 where an interrogation speaks of the station",
            example="ioa: 100-110",
            classes=_WITH_ADDRESS,
            read=_addresses,
        ),
        Limit(
            key="types",
            about="types of messages by mnemonic or number",
            example="types: [C_SC_NA_1, 45]",
            classes=_WITH_TYPE,
            read=_types,
            axis="type",
        ),
    ),
    streams=Iec104Decoder,
    fits=fits,
    dissectors=MappingProxyType({"tcp": Iec104Dissector}),
    column="IEC 60870-5-104",
    words=MappingProxyType({word: word for word in (OFF, ON, LOWER, HIGHER)}),
)
