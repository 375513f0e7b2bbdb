"""Back-off after failed sign-ins, counted per account at one source address, per address, and per account.

Pure: the counters and the time come in, the new counters go out.  An attempt is counted *before* its proof is checked
and forgiven afterwards, so that many attempts at once cannot slip past the limit.  Names that do not exist are counted
exactly like those that do: a lock-out must never tell which is which.  `turnstile` says whom which counter concerns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv6Network

_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`free` failures cost nothing; each later one doubles the wait, from `first_wait_s` up to `longest_wait_s`.

    Counters are forgotten `forget_s` after the last failure; with `most`, never, and after so many nothing is accepted
    any more until somebody takes the counter away.
    """

    free: int
    first_wait_s: int
    longest_wait_s: int
    forget_s: int
    most: int | None = None


#: One account at one source address.
PAIR_LIMIT = Limit(free=4, first_wait_s=30, longest_wait_s=900, forget_s=24 * 3600)
#: One account at all addresses that it is not known from.  SP 800-63B section 5.2.2: at most 100 consecutive failures.
ACCOUNT_LIMIT = Limit(free=9, first_wait_s=30, longest_wait_s=900, forget_s=0, most=100)
#: A source may be a whole shift behind one address, so it has more room.
SOURCE_LIMIT = Limit(free=19, first_wait_s=30, longest_wait_s=900, forget_s=3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Failures in a row, the time of the last one, and until when nothing is accepted (microseconds, wall clock)."""

    failures: int = 0
    last_at_us: int = 0
    until_us: int = 0


def wait_s(attempts: Attempts, now_us: int, limit: Limit = PAIR_LIMIT) -> int:
    """How many whole seconds must still pass, rounded up; 0 when an attempt is accepted.

    A clock that was set back must not lock anyone out for longer than the longest wait, so the wait is capped by it.
    """
    if limit.most is not None and attempts.failures >= limit.most:
        return limit.longest_wait_s
    left = -(-(attempts.until_us - now_us) // _US_PER_S)
    return max(0, min(left, limit.longest_wait_s))


def counted(attempts: Attempts, now_us: int, limit: Limit) -> Attempts:
    """The counters with one more failure; unchanged while a wait is running.

    Where the clock was set back, what is kept is brought to the new time: or its wait would begin anew at each look.
    """
    if now_us < attempts.last_at_us:
        latest_us = now_us + limit.longest_wait_s * _US_PER_S
        attempts = replace(attempts, last_at_us=now_us, until_us=min(attempts.until_us, latest_us))
    if wait_s(attempts, now_us, limit):
        return attempts
    is_old = limit.most is None and now_us - attempts.last_at_us > limit.forget_s * _US_PER_S
    failures = 1 if is_old else attempts.failures + 1
    over = failures - limit.free
    wait = 0 if over <= 0 else min(limit.first_wait_s << min(over - 1, 20), limit.longest_wait_s)
    return Attempts(failures=failures, last_at_us=now_us, until_us=now_us + wait * _US_PER_S if wait else 0)


def forgiven(attempts: Attempts) -> Attempts:
    """The counters without the last failure and without its wait: what a source gets back after a right proof."""
    return Attempts(failures=max(0, attempts.failures - 1), last_at_us=attempts.last_at_us)


def account_key(name: str) -> str:
    """The counter of an account, whether or not it exists."""
    return f"account:{name}"


def pair_key(name: str, address: str) -> str:
    """The counter of an account at one source address."""
    return f"account_here:{counted_as(address)} {name}"


def source_key(address: str) -> str:
    """The counter of a source address."""
    return f"source:{counted_as(address)}"


def counted_as(address: str) -> str:
    """What a limit for each source counts: an address, or the /64 of an IPv6 one.

    Every station on a link may take any address of its /64 (RFC 4291 section 2.5.4), so counting addresses counts
    nothing.
    """
    try:
        return str(IPv6Network((address, 64), strict=False)) if ":" in address else address
    except ValueError:
        return address
