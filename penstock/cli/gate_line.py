"""The gate's line at the beginning of a flow, read; and in words what it says about an asset that is full.

``{"ok": true}``, ``{"refused": REASON, …}``, or ``{"waiting": "asset_full", …}`` and later one of the two.
"""

from __future__ import annotations

import msgspec

from penstock.model import Reason, Unavailable

#: However long the gate says that one may have to wait.
MAX_QUEUE_S = 3600


class GateLine(msgspec.Struct):
    """What the gate said.  The numbers are what the asset can bear; nobody is told who is there."""

    ok: bool = False
    refused: str | None = None
    waiting: str | None = None
    shortage: str | None = None
    connections: int | None = None
    opens: int | None = None
    period_s: int | None = None
    queue_s: int = 0

    @property
    def may_take_s(self) -> int:
        """How long it may take until the asset has a place."""
        return min(max(0, self.queue_s), MAX_QUEUE_S)

    @property
    def reason(self) -> str:
        """Why there is no flow, as one word."""
        return self.refused or "no reason given"


def read(line: bytes) -> GateLine:
    """The line as a value.  Raises `Unavailable` where it is none of the gate's."""
    try:
        return msgspec.json.decode(line, type=GateLine)
    except msgspec.MsgspecError as error:
        raise Unavailable("the gate's tunnel answers with something else than a line of JSON") from error


def in_words(said: GateLine) -> str:
    """What an asset that is full can bear; empty where the line is about something else."""
    if Reason.ASSET_FULL not in {said.refused, said.waiting}:
        return ""
    if said.shortage == "opens" and said.opens is not None and said.period_s is not None:
        return f"the asset takes {said.opens} new connections in {said.period_s} s at most"
    if said.connections is None:
        return "the asset has no free connection"
    plural = "" if said.connections == 1 else "s"
    return f"the asset has {said.connections} connection{plural} at most, and no free one"
