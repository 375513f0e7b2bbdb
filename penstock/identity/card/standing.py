"""What is known of a certificate's revocation, and until when it counts.

Pure.  Times are microseconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from penstock.model import CardPlan

#: A list or an answer may be dated so far ahead of the gate's clock.
SKEW_US = 300 * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One certificate: revoked, or good until then (``None``: nothing ever said so).  `why` is for records.

    `said_us`: the date of the responder's answer that says so, 0 where it was none.
    """

    is_revoked: bool = False
    good_until_us: int | None = None
    why: str = ""
    said_us: int = 0

    def is_confirmed(self, now_us: int) -> bool:
        """Whether somebody who must know says that it is good, and still stands by it."""
        return not self.is_revoked and self.good_until_us is not None and now_us < self.good_until_us


UNKNOWN = Standing(why="nothing says whether it is revoked")


def joined(found: Iterable[Standing]) -> Standing:
    """What several say of one certificate: one that says *revoked* is believed, else who vouches the longest."""
    known = list(found)
    revoked = next((each for each in known if each.is_revoked), None)
    if revoked is not None:
        return revoked
    good = max((each for each in known if each.good_until_us is not None), key=_until, default=None)
    return good or next(iter(known), UNKNOWN)


def _until(standing: Standing) -> int:
    return standing.good_until_us or 0


def is_tolerated(standing: Standing, tolerated_s: int | None, now_us: int) -> bool:
    """Whether a standing that is not confirmed any more counts under this tolerance (see `CardPlan.tolerated_s`)."""
    if standing.is_revoked or tolerated_s is None or standing.is_confirmed(now_us):
        return not standing.is_revoked
    return standing.good_until_us is not None and now_us < standing.good_until_us + tolerated_s * 1_000_000


def barred_zones(plan: CardPlan, standing: Standing, now_us: int) -> frozenset[str]:
    """The zones in which a card of this standing does not count now."""
    return frozenset(zone for zone, tolerated_s in plan.zones if not is_tolerated(standing, tolerated_s, now_us))


def counts_somewhere(plan: CardPlan, standing: Standing, now_us: int) -> bool:
    """Whether it is worth anything: in some zone, or, for a site without any, by the plan's own tolerance."""
    ways = [tolerated_s for _, tolerated_s in plan.zones] or [plan.tolerated_s]
    return any(is_tolerated(standing, tolerated_s, now_us) for tolerated_s in ways)
