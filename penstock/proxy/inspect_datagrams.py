"""An inspected flow of datagrams: what breaks is one datagram, and never the flow.

Pure.  Over UDP nothing is in order and nothing arrives for certain; anybody on the plant's network may send a datagram
in another's name, and the network may deliver an answer twice.  So what cannot be read, or answers nothing, is kept
back alone, counted and on record, and the next datagram is another matter.  Everything else is as `inspect` does it:
each datagram is judged when it comes, and nothing of it waits for the rest of anything.
"""

from __future__ import annotations

from typing import Final

from penstock.model import Reason
from penstock.proxy.inspect import Inspection
from penstock.proxy.relay import Effect, Ending

#: The longest datagram that is inspected.  The largest message of any of the protocols has some 2,400 bytes (DNP3:
#: 2,048 octets of a fragment in its link frames); judging more at once would keep the heartbeat waiting.
MAX_INSPECTED_BYTES: Final = 4096
_OF_ONE_DATAGRAM: Final = frozenset({Reason.MALFORMED, Reason.WRONG_PROTOCOL})


class DatagramInspection(Inspection):
    """One inspected flow of datagrams; each call gets a whole one."""

    def from_client(self, data: bytes, now_us: int) -> Effect:
        """Judge a datagram of the client."""
        if len(data) > MAX_INSPECTED_BYTES:
            return self._too_long(data, now_us)
        effect = super().from_client(data, now_us)
        return effect if effect.ending is None else self._going_on(effect, effect.ending, data, now_us)

    def from_asset(self, data: bytes, now_us: int) -> Effect:
        """Match a datagram of the asset to what it was asked, or judge it."""
        if len(data) > MAX_INSPECTED_BYTES:
            return self._too_long(data, now_us)
        effect = super().from_asset(data, now_us)
        return effect if effect.ending is None else self._going_on(effect, effect.ending, data, now_us)

    def tick(self, now_us: int) -> Ending | None:
        """Expiry and what was counted.  Half a message whose rest was lost ends nothing: what is held is bounded."""
        ending = super().tick(now_us)
        return None if ending is not None and ending.reason in _OF_ONE_DATAGRAM else ending

    def _go_on(self, first: Effect, now_us: int) -> Effect:
        """See `Inspection`: what waited and cannot be read, or answers nothing, ends no flow either."""
        effect = super()._go_on(first, now_us)
        return effect if effect.ending is None else self._going_on(effect, effect.ending, b"", now_us)

    def _going_on(self, effect: Effect, ending: Ending, data: bytes, now_us: int) -> Effect:
        if ending.reason not in _OF_ONE_DATAGRAM:
            return effect
        self._refusals.add_broken(ending.reason or Reason.MALFORMED, ending.why, len(data), now_us)
        return Effect(effect.to_asset, effect.to_client, None, effect.transactions)

    def _too_long(self, data: bytes, now_us: int) -> Effect:
        why = f"a datagram of more than {MAX_INSPECTED_BYTES} bytes"
        self._refusals.add_broken(Reason.MALFORMED, why, len(data), now_us)
        return Effect()
