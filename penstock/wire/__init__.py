"""Protocols on the wire: bytes to frames and operations.  Pure; imports `model` only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from penstock.wire.bacnet import BACNET
from penstock.wire.decoder import (
    NO_ANSWER,
    Answer,
    CountsFrames,
    Decoder,
    Frame,
    KeepsWaiting,
    Role,
    Side,
    WrongProtocol,
)
from penstock.wire.dnp3 import DNP3, Dnp3Decoder
from penstock.wire.enip import ENIP
from penstock.wire.fins import FINS
from penstock.wire.iec104 import IEC104, Iec104Decoder, Iec104Frame
from penstock.wire.modbus import MODBUS, ModbusDecoder, ModbusFrame
from penstock.wire.objects import PLAIN, Left, Objects
from penstock.wire.opcua import OPCUA, OpcUaDecoder, OpcUaFrame
from penstock.wire.opcua import terminating as opcua_terminating
from penstock.wire.opcua import transport as opcua_transport
from penstock.wire.protocol import (
    FITS_BYTES,
    READ_ONLY_ENGINEERING,
    Between,
    Dissector,
    Known,
    Limit,
    Shown,
    UnreadableError,
    WireProtocol,
)
from penstock.wire.recognised import RECOGNISED
from penstock.wire.recognition import Recognised, is_reversed, of_carrier, recognise
from penstock.wire.s7comm import S7COMM, S7Decoder
from penstock.wire.spoken import SPOKEN, Spoken
from penstock.wire.words import read_range

#: Every protocol whose single operations are judged.  A new one is a line here.
PROTOCOLS: Final[tuple[WireProtocol, ...]] = (MODBUS, S7COMM, DNP3, IEC104, ENIP, OPCUA, BACNET, FINS)

#: Every protocol that can be told from its bytes, in the order in which they are asked.
KNOWN: Final[tuple[Known, ...]] = (*PROTOCOLS, *RECOGNISED)
#: By name, and the decoder of one TCP flow of each that is spoken over TCP.
NAMED: Mapping[str, WireProtocol] = MappingProxyType({each.name: each for each in PROTOCOLS})
DECODERS: Mapping[str, Callable[[], Decoder]] = MappingProxyType(
    {each.name: each.streams for each in PROTOCOLS if each.streams is not None}
)
#: The transports over which each is inspected; the first one is meant where a service names none.
TRANSPORTS: Mapping[str, tuple[str, ...]] = MappingProxyType({each.name: each.transports for each in PROTOCOLS})

__all__ = [
    "DECODERS",
    "FITS_BYTES",
    "IEC104",
    "KNOWN",
    "NAMED",
    "NO_ANSWER",
    "OPCUA",
    "PLAIN",
    "PROTOCOLS",
    "READ_ONLY_ENGINEERING",
    "RECOGNISED",
    "SPOKEN",
    "TRANSPORTS",
    "Answer",
    "Between",
    "CountsFrames",
    "Decoder",
    "Dissector",
    "Dnp3Decoder",
    "Frame",
    "Iec104Decoder",
    "Iec104Frame",
    "KeepsWaiting",
    "Known",
    "Left",
    "Limit",
    "ModbusDecoder",
    "ModbusFrame",
    "Objects",
    "OpcUaDecoder",
    "OpcUaFrame",
    "Recognised",
    "Role",
    "S7Decoder",
    "Shown",
    "Side",
    "Spoken",
    "UnreadableError",
    "WireProtocol",
    "WrongProtocol",
    "is_reversed",
    "of_carrier",
    "opcua_terminating",
    "opcua_transport",
    "read_range",
    "recognise",
]
