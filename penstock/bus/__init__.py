"""How the processes of one gate talk: typed messages over local sockets, and the workers' journals in shared memory.

Stands between the packages that run in different processes.  It must never carry anything but the values of `model`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.bus.beat import Beat, beat_forever, last_beat_s
    from penstock.bus.channel import Link, Receive, connect, listen
    from penstock.bus.codec import Message, decode, encode
    from penstock.bus.journal import FlowJournal, Journal, Outcome
    from penstock.bus.journal_reader import JournalReader
    from penstock.bus.lines import QUIET, OldLine, ResultLine
    from penstock.bus.pauses import avoid_pauses
    from penstock.bus.privileges import Capability, keep_only
    from penstock.bus.ring import RingWriter

#: Where each name lives.  A process loads only what it uses: the supervisor, for one, does without asyncio.
_HOMES = {
    "Beat": "beat",
    "beat_forever": "beat",
    "last_beat_s": "beat",
    "Link": "channel",
    "Receive": "channel",
    "connect": "channel",
    "listen": "channel",
    "Message": "codec",
    "decode": "codec",
    "encode": "codec",
    "FlowJournal": "journal",
    "Journal": "journal",
    "Outcome": "journal",
    "JournalReader": "journal_reader",
    "QUIET": "lines",
    "OldLine": "lines",
    "ResultLine": "lines",
    "avoid_pauses": "pauses",
    "Capability": "privileges",
    "keep_only": "privileges",
    "RingWriter": "ring",
}


def __getattr__(name: str) -> object:
    """Load the name's own file when it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"penstock.bus.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


__all__ = [
    "QUIET",
    "Beat",
    "Capability",
    "FlowJournal",
    "Journal",
    "JournalReader",
    "Link",
    "Message",
    "OldLine",
    "Outcome",
    "Receive",
    "ResultLine",
    "RingWriter",
    "avoid_pauses",
    "beat_forever",
    "connect",
    "decode",
    "encode",
    "keep_only",
    "last_beat_s",
    "listen",
]
