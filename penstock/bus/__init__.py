"""How the processes of one gate talk: typed messages over local sockets, and the workers' journals in shared memory.

Stands between the packages that run in different processes.  It must never carry anything but the values of `model`.
"""

from penstock.bus.beat import Beat, beat_forever, last_beat_s
from penstock.bus.channel import Link, Receive, connect, listen
from penstock.bus.codec import Message, decode, encode
from penstock.bus.privileges import Capability, keep_only

__all__ = [
    "Beat",
    "Capability",
    "Link",
    "Message",
    "Receive",
    "beat_forever",
    "connect",
    "decode",
    "encode",
    "keep_only",
    "last_beat_s",
    "listen",
]
