"""The connections that were opened between one client and one asset, and what each of them carries.

Pure.  A connected message names a number and nothing else; what it means was said in the Forward Open that the asset
accepted (ODVA CIP Volume 1, 3-5.5).  Only an opening that was forwarded, and that the asset then accepted, counts: what
was refused or only tried must never give a later message a meaning.  Implicit data go over UDP, so the decoders of both
transports of the same two ends share one table.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import msgspec

from penstock.wire.enip.opening import Opening, Triad
from penstock.wire.enip.operations import routed

#: Openings that wait for their answer, and connections that stand; assets accept some dozens.
MAX_PENDING: Final = 64
MAX_OPEN: Final = 256


class Connection(msgspec.Struct, gc=False):
    """A connection that stands: both of its numbers, and what was asked for when it was opened."""

    to_target: int
    to_originator: int
    opening: Opening
    #: What stands in front of its requests in their `what`.
    heading: bytes
    is_router: bool
    #: Sequence count and content of the last message that passed: a count that comes twice is not executed again.
    last_count: int = -1
    last: bytes = b""


class Connections:
    """The table.  At most `MAX_OPEN` connections; the oldest goes first, and its messages are unknown from then on."""

    __slots__ = ("_pending", "from_target", "to_target")

    def __init__(self) -> None:
        self._pending: dict[Hashable, Opening | Triad] = {}
        self.to_target: dict[int, Connection] = {}
        self.from_target: dict[int, Connection] = {}

    def __len__(self) -> int:
        return len(self.to_target)

    def ask(self, exchange: Hashable, wanted: Opening | Triad) -> None:
        """An opening, or the closing of a triad, was forwarded as `exchange`.

        Two under way with one number are not to be told apart, so neither gives a connection.
        """
        if exchange in self._pending:
            del self._pending[exchange]
            return
        if len(self._pending) >= MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        self._pending[exchange] = wanted

    def answered(self, exchange: Hashable, accepted: tuple[int, int, Triad] | None, *, is_success: bool) -> None:
        """The asset answered: with both numbers and the triad where it opened a connection."""
        wanted = self._pending.pop(exchange, None)
        if wanted is None or not is_success:
            return
        if isinstance(wanted, tuple):
            self._close(wanted)
        elif accepted is not None and accepted[2] == wanted.triad:
            self._open(Connection(accepted[0], accepted[1], wanted, routed(wanted.path), wanted.is_router))

    @property
    def waits(self) -> bool:
        """Whether any opening or closing waits for its answer."""
        return bool(self._pending)

    def is_pending(self, exchange: Hashable) -> bool:
        """Whether an opening or a closing waits under this number."""
        return exchange in self._pending

    def _open(self, connection: Connection) -> None:
        self._close(connection.opening.triad)
        self._drop(self.to_target.get(connection.to_target))
        if len(self.to_target) >= MAX_OPEN:
            self._drop(next(iter(self.to_target.values())))
        self.to_target[connection.to_target] = connection
        self.from_target[connection.to_originator] = connection

    def _close(self, triad: Triad) -> None:
        for each in [each for each in self.to_target.values() if each.opening.triad == triad]:
            self._drop(each)

    def _drop(self, connection: Connection | None) -> None:
        if connection is not None:
            self.to_target.pop(connection.to_target, None)
            if self.from_target.get(connection.to_originator) is connection:
                del self.from_target[connection.to_originator]
