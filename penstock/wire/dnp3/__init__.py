"""DNP3 (IEEE 1815) over TCP and UDP: what a site document may say of it, and what reads it.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final

from penstock.model import Operation, OperationClass, Span, Target
from penstock.wire.dnp3.codes import SELECT
from penstock.wire.dnp3.decoder import MAX_HELD_BYTES, Dnp3Datagrams, Dnp3Decoder, fits
from penstock.wire.dnp3.dissector import Dnp3DatagramDissector, Dnp3Dissector
from penstock.wire.dnp3.objects import ALL_POINTS, WORDS
from penstock.wire.objects import Left, Objects
from penstock.wire.protocol import Limit, UnreadableError, WireProtocol
from penstock.wire.words import read_range

__all__ = ["DNP3", "MAX_HELD_BYTES", "Dnp3Datagrams", "Dnp3Decoder", "Dnp3Dissector"]

_READ: Final = OperationClass.READ
_WRITE: Final = OperationClass.WRITE
_CONFIG: Final = OperationClass.CONFIG
#: Key, and the classes whose operations have such points.  Points of inputs are configured when they get a class.
_POINTS: Final = {
    "binary_inputs": frozenset({_READ, _CONFIG}),
    "double_bit_inputs": frozenset({_READ, _CONFIG}),
    "binary_outputs": frozenset({_READ, _WRITE, _CONFIG}),
    "counters": frozenset({_READ, _WRITE, _CONFIG}),
    "frozen_counters": frozenset({_READ, _CONFIG}),
    "analog_inputs": frozenset({_READ, _WRITE, _CONFIG}),
    "frozen_analog_inputs": frozenset({_READ, _CONFIG}),
    "analog_outputs": frozenset({_READ, _WRITE, _CONFIG}),
    "analog_deadbands": frozenset({_READ, _CONFIG}),
    "octet_strings": frozenset({_READ, _WRITE, _CONFIG}),
    "virtual_terminals": frozenset({_READ, _WRITE}),
    "data_sets": frozenset({_READ, _WRITE}),
}
_LAST_CLASS: Final = 3
_FILE_CLASSES: Final = frozenset(
    {OperationClass.FILE_READ, OperationClass.FILE_WRITE, OperationClass.PROGRAM_TO_DEVICE}
)


def _numbers(table: str, last_of_all: int, example: str) -> Callable[[str], Sequence[Span]]:
    def read(text: str) -> Sequence[Span]:
        found = read_range(text)
        if found is None:
            why = f"{text!r} is no range"
            raise UnreadableError(why, f"write it as {example} or [1-3, 9], the smaller number first")
        first, last = found
        if first < 0 or last > last_of_all:
            why = f"{table!r} must be from 0 to {last_of_all}, it is {first} to {last}"
            raise UnreadableError(why, "points are named by their index, counted from 0")
        return (Span(table=table, first=first, last=last),)

    return read


def _file(text: str) -> Sequence[Span]:
    if not text or not text.isprintable():
        why = f"{text!r} is no file name"
        raise UnreadableError(why, "write the name as the outstation knows it, * stands for any text")
    return (Span(table="files", name=text),)


#: Points that keep what is written to them.  A relay gets a pulse or a state: what it is then, only a read tells.
_KEPT: Final = frozenset({"analog_outputs", "analog_deadbands", "octet_strings"})


def _left(operation: Operation, target: Target) -> Left:
    """A select only arms (4.4.2)."""
    if operation.code == str(SELECT):
        return Left.NOTHING_NEW
    return Left.VALUES if target.table in _KEPT and target.values is not None else Left.UNKNOWN


DNP3: Final = WireProtocol(
    name="dnp3",
    title="DNP3",
    refusal="control status in each object, or internal indications (IIN2)",
    unseen=(
        "what a pattern or a freeze leaves behind, and what a class poll brings",
        "what objects of secure authentication hold",
        "virtual addresses",
    ),
    ports=("tcp/20000", "udp/20000"),
    max_held_bytes=MAX_HELD_BYTES,
    # A request has 15 bytes at least, a frame 292 at most.
    portion_bytes=600,
    limits=(
        *(
            Limit(
                key=table,
                about=f"{table.replace('_', ' ')} by their index, counted from 0",
                example=f"{table}: 0-3",
                classes=classes,
                read=_numbers(table, ALL_POINTS - 1, "0-3, 5"),
            )
            for table, classes in _POINTS.items()
        ),
        Limit(
            key="event_classes",
            about="the classes of points: 0 is all static data, 1 to 3 are events",
            example="event_classes: 1-3",
            classes=frozenset({_READ, _CONFIG}),
            read=_numbers("event_classes", _LAST_CLASS, "0, 1-3"),
        ),
        Limit(
            key="files",
            about="files by their name, * stands for any text",
            example="files: logs/*",
            classes=_FILE_CLASSES,
            read=_file,
        ),
    ),
    fits=fits,
    dissectors={"tcp": Dnp3Dissector, "udp": Dnp3DatagramDissector},
    column="DNP 3.0",
    streams=Dnp3Decoder,
    datagrams=Dnp3Datagrams,
    words=MappingProxyType({word: word for word in WORDS}),
    objects=Objects(wide=frozenset({"event_classes"}), bare=lambda _name: "", has_parts=False, left=_left),
)
