"""S7comm over TCP: what a site document may say of it, and what reads it.  Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from penstock.model import OperationClass
from penstock.wire.objects import Objects
from penstock.wire.protocol import Limit, WireProtocol
from penstock.wire.s7comm.addresses import read_address, read_blocks, read_memory
from penstock.wire.s7comm.decoder import MAX_MESSAGE_BYTES, S7Decoder, S7Frame, fits
from penstock.wire.s7comm.dissector import S7Dissector
from penstock.wire.s7comm.leaving import left, reread
from penstock.wire.s7comm.spelling import spell

__all__ = ["MAX_MESSAGE_BYTES", "S7COMM", "S7Decoder", "S7Dissector", "S7Frame"]

S7COMM: Final = WireProtocol(
    name="s7comm",
    title="S7comm",
    refusal="error class and code in the answer; a disconnect for a connection",
    unseen=(
        "symbols of an S7-1200, NC and drive variables have no address",
        "what a block does when it runs",
        "which memory instance blocks alias",
    ),
    ports=("tcp/102",),
    max_held_bytes=MAX_MESSAGE_BYTES,
    # A job has 18 bytes at least; the longest PDU that controllers agree on is one of 960, with its head.
    portion_bytes=967,
    limits=(
        Limit(
            key="address",
            about="memory, timers and counters; the letter or a type says how values are read",
            example="address: DB10.DBD4:REAL",
            classes=frozenset({OperationClass.READ, OperationClass.WRITE}),
            read=read_address,
        ),
        Limit(
            key="blocks",
            about="blocks of the program by kind and number",
            example="blocks: FC1-FC9",
            classes=frozenset({OperationClass.PROGRAM_TO_DEVICE, OperationClass.PROGRAM_FROM_DEVICE}),
            read=read_blocks,
        ),
    ),
    fits=fits,
    dissectors=MappingProxyType({"tcp": S7Dissector}),
    column="S7COMM",
    streams=S7Decoder,
    words=MappingProxyType({"on": 1, "off": 0}),
    read_memory=read_memory,
    spell=spell,
    objects=Objects(left=left, reread=reread),
)
