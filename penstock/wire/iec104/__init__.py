"""IEC 60870-5-104 (telecontrol over TCP): what a site document may say of it, and what reads it.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from penstock.model import Operation, OperationClass, Span, Target
from penstock.wire.iec104 import codes
from penstock.wire.iec104.decoder import MAX_HELD_BYTES, Iec104Decoder
from penstock.wire.iec104.dissector import Iec104Dissector
from penstock.wire.iec104.elements import HIGHER, LOWER, OFF, ON
from penstock.wire.iec104.frames import Iec104Frame, fits
from penstock.wire.objects import Left, Objects
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


#: Commands and what is told of the same kind of object, with and without time: one address means one object (7.2.5).
_KINDS: Final = {
    "single": ("C_SC_NA_1", "C_SC_TA_1", "M_SP_NA_1", "M_SP_TA_1", "M_SP_TB_1"),
    "double": ("C_DC_NA_1", "C_DC_TA_1", "M_DP_NA_1", "M_DP_TA_1", "M_DP_TB_1"),
    "step": ("C_RC_NA_1", "C_RC_TA_1", "M_ST_NA_1", "M_ST_TA_1", "M_ST_TB_1"),
    "normalised": ("C_SE_NA_1", "C_SE_TA_1", "M_ME_NA_1", "M_ME_TA_1", "M_ME_ND_1", "M_ME_TD_1"),
    "scaled": ("C_SE_NB_1", "C_SE_TB_1", "M_ME_NB_1", "M_ME_TB_1", "M_ME_TE_1"),
    "float": ("C_SE_NC_1", "C_SE_TC_1", "M_ME_NC_1", "M_ME_TC_1", "M_ME_TF_1"),
    "bitstring": ("C_BO_NA_1", "C_BO_TA_1", "M_BO_NA_1", "M_BO_TA_1", "M_BO_TB_1"),
}
_SAME: Final = MappingProxyType({mnemonic: kind for kind, found in _KINDS.items() for mnemonic in found})
#: A set point stays; a command is a pulse, a step or a state, and what it led to the station tells.
_STAYING: Final = frozenset({"normalised", "scaled", "float", "bitstring"})


def _left(operation: Operation, target: Target) -> Left:
    """A select only arms; a deactivation takes it back, or stops what was begun (7.2.6.26, 7.2.3)."""
    mode = operation.name.rpartition(": ")[2]
    if mode == "select":
        return Left.NOTHING_NEW
    is_kept = target.values is not None and _SAME.get(target.table, target.table) in _STAYING
    return Left.VALUES if is_kept and "deactivate" not in mode else Left.UNKNOWN


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
    objects=Objects(same=_SAME, wide=frozenset({"C_RD_NA_1"}), left=_left),
)
