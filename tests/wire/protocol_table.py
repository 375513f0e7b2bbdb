"""The tables of docs/reference/protocols/README.md, out of the protocols' own descriptions and of what real peers did.

Pure.  `peers` is docs/reference/protocols/peers.json, which tests/journeys/test_journey_protocols.py writes and holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from penstock.wire import PROTOCOLS, RECOGNISED, SPOKEN, WireProtocol
from penstock.wire.recognised import RecognisedProtocol

HEAD = (
    "| protocol | carried by | may be narrowed by | refused with | what a real client shows | not seen | held at most |"
)
RECOGNISED_HEAD = "| protocol | carried by | usual ports | Wireshark's protocol column | in a conduit |"


def enforced(peers: Mapping[str, Any]) -> str:
    """A row for each protocol whose single operations are judged."""
    return _table(HEAD, (_enforced(each, peers.get(each.name)) for each in PROTOCOLS))


def recognised() -> str:
    """A row for each protocol that is only told from others."""
    return _table(RECOGNISED_HEAD, map(_recognised, RECOGNISED))


def _table(head: str, rows: Iterable[Iterable[str]]) -> str:
    lines = [f"| {' | '.join(row)} |\n" for row in rows]
    return f"{head}\n|{' --- |' * (head.count('|') - 1)}\n{''.join(lines)}"


def _enforced(protocol: WireProtocol, peer: Mapping[str, Any] | None) -> tuple[str, ...]:
    carried = " and ".join(
        name for name, made in (("TCP", protocol.streams), ("UDP", protocol.datagrams)) if made is not None
    )
    return (
        f"[{protocol.title}]({protocol.name}.md) `{protocol.name}`",
        f"{carried} ({', '.join(protocol.ports)})",
        ", ".join(f"`{key}`" for key in dict.fromkeys(limit.key for limit in protocol.limits)),
        protocol.refusal,
        _shown(peer),
        "; ".join(protocol.unseen),
        f"{protocol.max_held_bytes:,} bytes each way",
    )


def _shown(peer: Mapping[str, Any] | None) -> str:
    if peer is None:
        return "no free client and server are at hand: the captures, and `tests/proxy`"
    ends = peer["client"] if peer["client"] == peer["asset"] else f"{peer['client']}, asset {peer['asset']}"
    shows = "; ".join(f"{kind}: `{words}`" for kind, words in peer["shows"].items())
    return f"{ends}: {shows}"


def _recognised(protocol: RecognisedProtocol) -> tuple[str, ...]:
    return (
        f"{protocol.title} `{protocol.name}`",
        ", ".join(f"`{each}`" for each in protocol.dissectors),
        ", ".join(protocol.ports) or "none",
        f"`{protocol.column}`",
        _permitted(protocol),
    )


def _permitted(protocol: RecognisedProtocol) -> str:
    """How a conduit names it."""
    spoken = [each for each in SPOKEN.values() if each.protocol is protocol]
    if not spoken:
        return "by port only"
    words = " or ".join(f"`{each.word}: any`" for each in spoken)
    return f"{words}, or operation classes" if spoken[0].classes else words
