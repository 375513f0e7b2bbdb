"""How the processes of one gate talk: typed messages over local sockets, and the workers' journals in shared memory.

Stands between the packages that run in different processes.  It must never carry anything but the values of `model`.
"""

from penstock.bus.beat import Beat, beat_forever, last_beat_s
from penstock.bus.channel import Link, Receive, connect, listen
from penstock.bus.codec import Message, decode, encode
from penstock.bus.journal import FlowJournal, Journal, Outcome
from penstock.bus.journal_reader import JournalReader
from penstock.bus.privileges import Capability, keep_only
from penstock.bus.ring import RingWriter, beat_age_s

__all__ = [
    "Beat",
    "Capability",
    "FlowJournal",
    "Journal",
    "JournalReader",
    "Link",
    "Message",
    "Outcome",
    "Receive",
    "RingWriter",
    "beat_age_s",
    "beat_forever",
    "connect",
    "decode",
    "encode",
    "keep_only",
    "last_beat_s",
    "listen",
]
