"""What the gate knows of a protocol beside its bytes: one `WireProtocol` for each, in the tuple `PROTOCOLS`.

Pure.  A protocol's own file (or small package) makes it.  The policy reads the words in which a site document speaks
of the protocol's objects from here, the workers make decoders with it, `penstock decode` shows captures with it; so
a new protocol is one file, its vectors, and a line in the tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec

from penstock.model import Operation, OperationClass, Span, Target, Value
from penstock.wire.decoder import Decoder, Frame, Side
from penstock.wire.objects import PLAIN, Objects

#: What an engineer may do who looks, and changes nothing (`allow: {s7comm: [read-only engineering]}`).
READ_ONLY_ENGINEERING: Final = frozenset(
    {
        OperationClass.DISCOVERY,
        OperationClass.READ,
        OperationClass.DIAGNOSTICS,
        OperationClass.FILE_READ,
        OperationClass.PROGRAM_FROM_DEVICE,
    }
)


class UnreadableError(ValueError):
    """Words of a site document that name no object of the protocol: `why`, and a `hint` what to write."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.why, self.hint = why, hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One key with which a conduit narrows operations: ``holding_registers: 10-12``, ``address: DB10.DBX4.0``.

    `read` makes spans of one scalar (the document may list several) and raises `UnreadableError`.  All spans of one
    `axis` are alternatives; a target must fit one of each axis that the permission names (BACnet: an object and a
    property).  `classes` are those whose operations have such objects; elsewhere the key is an error.  `is_required`:
    these classes are allowed with this key only.
    """

    key: str
    about: str
    example: str
    classes: frozenset[OperationClass]
    read: Callable[[str], Sequence[Span]]
    axis: str = "object"
    is_required: bool = False


class Shown(msgspec.Struct, gc=False):
    """One unit as `penstock decode` shows it.

    `pdu` has the keys and values of the reference decode (tshark by way of its oracle: ``p``, then the protocol's own,
    with ``NAME_name`` for the names of codes).  `frame` is the frame that it completes, where it does and it can be
    judged; its operation gives ``class``, ``operation`` and ``object``.  `column` is what Wireshark's protocol column
    says of it (``COTP``), empty where the protocol's own says so.  `operation` is what it means where no frame tells
    (a protocol that is only recognised).  `is_malformed` where the reference calls the bytes
    malformed, `errors` what else it finds wrong with them.
    """

    pdu: dict[str, Any]
    frame: Frame | None = None
    column: str = ""
    is_malformed: bool = False
    errors: tuple[str, ...] = ()
    operation: Operation | None = None


class Dissector(Protocol):
    """Reads one flow passively, also one that starts in the middle, and stops at nothing."""

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """The units that `data` completes.  Bytes that are not this protocol's give nothing and are given up.

        `data` is what one packet made readable; over UDP it is one datagram, and nothing of it is kept for the next.
        Whatever the bytes are, nothing is raised.
        """

    def lost(self, side: Side) -> None:
        """Bytes of this side were never captured: what is held is given up, what comes next may be the middle of it."""


class Known(Protocol):
    """A protocol that can be told from its bytes: one whose operations are judged, or one that is only recognised."""

    @property
    def name(self) -> str:
        """As a site document writes it (``s7comm``)."""

    @property
    def column(self) -> str:
        """What Wireshark's protocol column says of it (``S7COMM``)."""

    @property
    def ports(self) -> tuple[str, ...]:
        """Where assets usually listen (``tcp/102``).  It tells who asked whom, never which protocol it is."""

    @property
    def fits(self) -> Callable[[bytes, Side], bool | None]:
        """Whether what a side sent first (at least one byte, at most `FITS_BYTES`) begins this protocol.

        ``True``: these bytes are it, and no other protocol's that we know.  ``False``: they cannot be.  ``None``: not
        to be told yet (too few bytes, or a head that several share, as the connect of COTP).
        """

    @property
    def dissectors(self) -> Mapping[str, Callable[[], Dissector]]:
        """What reads a flow passively, by what carries it: ``tcp``, ``udp``, ``ether/8892``, ``llc/82``."""


#: How much of each side `Known.fits` is shown at most.
FITS_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """What reads the flows between the same two ends, where one flow says what another one means.

    CIP opens connections over TCP and sends their data over UDP.  The makers are those of `WireProtocol`, but what they
    make shares what it learns.  One `Between` is for one client and one asset, and lives as long as any of their flows.
    """

    streams: Callable[[], Decoder]
    datagrams: Callable[[], Decoder]
    dissectors: Mapping[str, Callable[[], Dissector]]


#: `WireProtocol.portion_bytes` where a protocol does not say it, as those over UDP: a datagram is judged as a whole.
LEAST_PORTION_BYTES: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class WireProtocol:
    """One protocol whose single operations are judged.

    `streams` and `datagrams` make the decoder of one flow over TCP or UDP, ``None`` where the protocol is not spoken
    so.  `between` makes both for two ends whose flows belong together, ``None`` where each flow stands for itself.
    `refusal` says in a few words in which of its messages a refusal comes, `unseen` what the decoder cannot see: the
    table of the documents tells both.
    `dissectors` and `fits`: see `Known`; what a link names by its own number (``llc/82``) needs no `fits`.
    `max_held_bytes` bounds what a decoder keeps of each direction.  `portion_bytes` is what a worker gives it of a
    stream in one turn of the event loop, so that nobody who floods the gate delays the others, or the heartbeat: some
    40 of the shortest requests that are judged (refusing one costs up to 50 microseconds), and at least one of the
    long requests that are usual, which would take several turns otherwise (`bench/inspect_protocols.py`).
    `ports` are the usual ones (``tcp/502``).
    `words` are the words for values in a site document (``on``) beside numbers.  `wraps_at` is the modulus of
    numbers that stand unsigned on the wire and may be meant as signed (Modbus registers: 65,536).
    `read_memory` reads what a target would leave in the objects of a span as the span's `element`: one value for each
    object of the span that it touches, none where it touches none, ``None`` where it would leave part of one as it is.
    `spell` says objects (a table, the first and the last number, and an element or nothing) as its people write them
    (``DB10.DBX4.0``), empty where they have no other words than the table and the numbers.
    `objects` says which of them are the same, and what operations leave in them.
    """

    name: str
    title: str
    refusal: str
    unseen: tuple[str, ...]
    ports: tuple[str, ...]
    max_held_bytes: int
    portion_bytes: int = LEAST_PORTION_BYTES
    limits: tuple[Limit, ...]
    fits: Callable[[bytes, Side], bool | None]
    dissectors: Mapping[str, Callable[[], Dissector]]
    column: str
    streams: Callable[[], Decoder] | None = None
    datagrams: Callable[[], Decoder] | None = None
    between: Callable[[], Between] | None = None
    words: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    wraps_at: int | None = None
    read_memory: Callable[[Target, Span], tuple[Value, ...] | None] | None = None
    spell: Callable[[str, int, int, str], str] = field(default=lambda _table, _first, _last, _element: "")
    read_only_engineering: frozenset[OperationClass] = READ_ONLY_ENGINEERING
    objects: Objects = PLAIN

    @property
    def classes(self) -> tuple[OperationClass, ...]:
        """The classes that a conduit may name: `ENCRYPTED` only where the protocol says what of it can be named."""
        named = {each for limit in self.limits for each in limit.classes}
        return tuple(each for each in OperationClass if each is not OperationClass.ENCRYPTED or each in named)

    def required(self, operation_class: OperationClass) -> tuple[Limit, ...]:
        """The limits without which a conduit must not allow this class."""
        return tuple(limit for limit in self.limits if limit.is_required and operation_class in limit.classes)

    @property
    def transports(self) -> tuple[str, ...]:
        """What it is spoken over: ``tcp``, ``udp``, or both in this order."""
        return ("tcp",) * (self.streams is not None) + ("udp",) * (self.datagrams is not None)

    def decoder(self, transport: str) -> Callable[[], Decoder] | None:
        """What makes the decoder of one flow over `transport`, ``None`` where the protocol is not spoken so."""
        return {"tcp": self.streams, "udp": self.datagrams}.get(transport)
