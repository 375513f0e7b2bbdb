"""Pure: the statements of the table that only some rulesets need, and how many connections an asset can bear.

Stands beside `chains`, whose text has a place for each.  A packet must never pay for what its site does not use.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.model import COPIED_BIT

_SEGMENTS = "iifname $leg ip saddr @behind ip saddr . ether saddr != @routed counter name forged goto refuse"
_FIND_RANGE = "meta mark set ip daddr . meta l4proto . th dport map @ranges    # scratch: the first port of its range"
_SAFETY_RANGE = "ct mark set ip saddr . ip daddr . meta l4proto . meta mark map @ranged_safety meta mark set 0 return"
_GRANT_RANGE = "ct mark & $grant == 0 ct mark set ip saddr . ip daddr . meta l4proto . meta mark map @ranged"
_RANGE_KEY = "ip daddr . meta l4proto . meta mark . ct mark"
_FIRST = "meta l4proto tcp ct status & confirmed == 0"  # not what is sent again, which would count twice
_TO_PORT = (
    "iifname $leg ip daddr $overlay ct mark & $grant != 0 meta l4proto { tcp, udp } "
    "dnat ip to ip daddr . meta l4proto . th dport map @mapped"
)
_UNTRACKED = "iifname $leg meta l4proto udp ip daddr . meta l4proto . th dport @inspect goto datagram"
_ANSWER_UNTRACKED = "meta l4proto udp ip saddr . meta l4proto . th sport @inspect notrack"
_ANSWERED = "ct state untracked ip saddr . meta l4proto . th sport @inspect goto answered"
#: Seconds of the units that nft knows, the smallest first.
_UNITS = (("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400), ("week", 604_800))


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a ruleset needs of the optional statements.

    `datagrams`: some service over UDP is inspected.  `slots`: the limits on connections that assets have.
    """

    copies: bool = False
    ranges: bool = False
    ports: bool = False
    shown: bool = False
    segments: bool = False
    datagrams: bool = False
    slots: tuple[int, ...] = ()
    paces: tuple[Pace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Pace:
    """So many new connections in so many seconds: a bucket that holds `count` and is refilled evenly."""

    count: int
    period_s: int

    @property
    def key(self) -> int:
        """What tells this pace from others, the same in every ruleset."""
        return zlib.crc32(f"{self.count}/{self.period_s}".encode())

    @property
    def rate(self) -> str:
        """In nft's own units, which are the only ones it takes; a week's where no smaller one divides evenly."""
        for name, unit_s in _UNITS:
            if self.count * unit_s % self.period_s == 0:
                return f"{self.count * unit_s // self.period_s}/{name}"
        return f"{max(1, self.count * _UNITS[-1][1] // self.period_s)}/{_UNITS[-1][0]}"


def statements(needs: Needs) -> dict[str, str]:
    """Statements by their place in the body; empty where the ruleset does not need them."""
    is_limited = bool(needs.slots or needs.paces)
    parts = (
        (needs.segments, "segments", _SEGMENTS),
        (needs.ranges, "find_range", _FIND_RANGE),
        (needs.ranges, "safety_range", _SAFETY_RANGE),
        (needs.ranges, "grant_range", _GRANT_RANGE),
        (needs.ranges, "range_done", "meta mark set 0"),
        (needs.ranges, "range_dials", f"{_RANGE_KEY} @ranged_dials return"),
        (needs.ranges, "standing_range_dials", f"{_RANGE_KEY} @standing_ranged_dials return"),
        (needs.ports, "to_port", _TO_PORT),
        (needs.shown, "show", "oifname $leg ip daddr @shown return    # the asset has a way back to its clients"),
        (needs.copies, "copies", f"ct mark & {COPIED_BIT:#010x} != 0 jump copy"),
        (needs.datagrams, "untracked", _UNTRACKED),
        (needs.datagrams, "deliver", "ct state untracked goto delivered"),
        (needs.datagrams, "answer_untracked", _ANSWER_UNTRACKED),
        (needs.datagrams, "answered", _ANSWERED),
        (is_limited, "room", f"{_FIRST} ct status dnat jump room"),
        (is_limited, "own_room", f"{_FIRST} jump room"),
        (is_limited, "rooms", "\n    ".join(_rooms(needs))),
    )
    return {place: text if is_needed else "" for is_needed, place, text in parts}


def _rooms(needs: Needs) -> Iterator[str]:
    """The key holds the limit: a count that was begun under one limit is never held against another."""
    if needs.slots:
        yield "meta mark set ip daddr map @slots"
    for count in needs.slots:
        yield (
            f"meta mark {count} add @taken {{ ip daddr . meta mark ct count over {count} }} "
            "ct mark & $safety == 0 goto crowd"
        )
    if needs.slots and needs.paces:
        yield "meta mark set 0"
    if needs.paces:
        yield "meta mark set ip daddr map @paces"
    for pace in needs.paces:
        yield (
            f"meta mark {pace.key:#010x} update @paced {{ ip daddr . meta mark timeout {2 * pace.period_s}s "
            f"limit rate over {pace.rate} burst {pace.count} packets }} ct mark & $safety == 0 goto crowd"
        )
    yield "meta mark set 0"
