"""Modbus over TCP and UDP: what a site document may say of it, and what reads it.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from penstock.model import OperationClass, Span
from penstock.wire.modbus.decoder import (
    MAX_FRAME_BYTES,
    MAX_HELD_BYTES,
    ModbusDatagramDecoder,
    ModbusDecoder,
    ModbusFrame,
    fits,
)
from penstock.wire.modbus.dissector import ModbusDissector
from penstock.wire.protocol import Limit, UnreadableError, WireProtocol
from penstock.wire.words import read_range

__all__ = ["MAX_FRAME_BYTES", "MODBUS", "ModbusDatagramDecoder", "ModbusDecoder", "ModbusDissector", "ModbusFrame"]

#: MODBUS Application Protocol V1.1b3, section 4.4: data addresses are 16 bits wide.
_MAX_ADDRESS: Final = 0xFFFF
_READ: Final = frozenset({OperationClass.READ})
_BOTH: Final = frozenset({OperationClass.READ, OperationClass.WRITE})
#: Section 4.3: two of the four tables are read-only.
_TABLES: Final = {
    "coils": _BOTH,
    "discrete_inputs": _READ,
    "holding_registers": _BOTH,
    "input_registers": _READ,
}


def _span_of(table: str) -> Callable[[str], Sequence[Span]]:
    def read(text: str) -> Sequence[Span]:
        found = read_range(text)
        if found is None:
            why = f"{text!r} is no range"
            raise UnreadableError(why, "write it as 10-12, 5 or [1-3, 9], the smaller number first")
        first, last = found
        if first < 0 or last > _MAX_ADDRESS:
            why = f"{table!r} must be from 0 to {_MAX_ADDRESS}, it is {first} to {last}"
            raise UnreadableError(why, "addresses are those of the wire, counted from 0")
        return (Span(table=table, first=first, last=last),)

    return read


MODBUS: Final = WireProtocol(
    name="modbus",
    title="Modbus/TCP",
    refusal="exception reply (codes 1, 2, 3, 4, 6)",
    unseen=(
        "what UMAS (function 90) reads and writes",
        "what a masked write leaves behind",
        "the serial line behind a gateway",
    ),
    ports=("tcp/502", "udp/502"),
    max_held_bytes=MAX_HELD_BYTES,
    # A request has 8 bytes at least, 260 at most.
    portion_bytes=512,
    limits=tuple(
        Limit(
            key=table,
            about=f"{table.replace('_', ' ')} by their address, counted from 0",
            example=f"{table}: 10-12",
            classes=classes,
            read=_span_of(table),
        )
        for table, classes in _TABLES.items()
    ),
    fits=fits,
    dissectors={"tcp": ModbusDissector, "udp": lambda: ModbusDissector(ModbusDatagramDecoder)},
    column="Modbus/TCP",
    streams=ModbusDecoder,
    datagrams=ModbusDatagramDecoder,
    wraps_at=0x1_0000,
)
