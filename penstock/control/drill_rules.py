"""When a drill may begin: everything that speaks against it, at once.

Pure.  There is no override: a drill cuts flows of a live plant, so what is not permitted now does not happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from penstock.model import Conduit, GrantFlows, Invalid, Problem, Site, Window
from penstock.policy import is_open, next_opening

#: A drill lasts at least so long (a dead-man switch takes a second), and at most so long.
SHORTEST_S, LONGEST_S = 2, 60
_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The gate as it is when somebody wants to begin a drill.  `shared`: the other conduits of the same grants."""

    site: Site | None
    shared: tuple[str, ...]
    running: str | None
    is_inspected: bool
    is_interval_open: bool
    flows: tuple[GrantFlows, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """A drill that may begin: of this conduit, and which others it exercises as well."""

    conduit: Conduit
    also: tuple[str, ...]


def check(readiness: Readiness, name: str, length_s: int, at_us: int) -> Permitted:
    """Raises `Invalid` with everything that speaks against it.  `at_us` is now, microseconds since the epoch."""
    site = readiness.site
    conduit = None if site is None else _conduit(site, name)
    if site is None or conduit is None:
        raise Invalid(_problem(f"there is no conduit “{name}”", "penstock failures lists every conduit"))
    problems = [
        *_of_plan(site, conduit, length_s, at_us),
        *_of_shared(site, conduit, readiness.shared, at_us + length_s * _US),
        *_of_state(readiness, conduit),
    ]
    if not SHORTEST_S <= length_s <= LONGEST_S:
        problems.append(_problem(f"a drill lasts {SHORTEST_S} to {LONGEST_S} s", "--for 10s", "for"))
    if problems:
        raise Invalid(*problems)
    return Permitted(conduit=conduit, also=readiness.shared)


def window_of(site: Site, conduit: Conduit) -> Window | None:
    """The window in which this conduit may be drilled."""
    name = None if conduit.drill is None else conduit.drill.window
    return next((window for window in site.windows if window.name == name), None)


def _of_plan(site: Site, conduit: Conduit, length_s: int, at_us: int) -> list[Problem]:
    if not conduit.permissions:
        return [_problem(f"nothing inspects “{conduit.name}”", "only the failing of inspection can be drilled")]
    window = window_of(site, conduit)
    if window is None:
        hint = "add drill: {window: NAME, every: 90d} to the conduit"
        return [_problem(f"“{conduit.name}” names no window for drills", hint)]
    if is_open(window, at_us) and is_open(window, at_us + length_s * _US):
        return []
    opens_us = next_opening(window, at_us if not is_open(window, at_us) else at_us + length_s * _US)
    when = "not within three weeks" if opens_us is None else f"next at {opening_text(opens_us, window)}"
    state = "closes before the drill would end" if is_open(window, at_us) else "is closed"
    return [_problem(f"the window “{window.name}” {state}; it opens {when}", "a drill runs inside its window only")]


def _of_shared(site: Site, conduit: Conduit, shared: tuple[str, ...], until_us: int) -> list[Problem]:
    found = []
    for name in shared:
        other = _conduit(site, name)
        if other is None or not other.permissions:
            continue
        window = window_of(site, other)
        if other.on_failure is not conduit.on_failure:
            why = f"its flows also belong to “{name}”, which fails {other.on_failure.value}"
            found.append(_problem(why, "a flow has one failure mode: separate the two by service or by source"))
        elif window is None or not is_open(window, until_us):
            why = f"its flows also belong to “{name}”, which may not be drilled now"
            found.append(_problem(why, f"give “{name}” the same window, or wait for its own"))
    return found


def _of_state(readiness: Readiness, conduit: Conduit) -> list[Problem]:
    found = []
    if readiness.running is not None:
        found.append(_problem(f"“{readiness.running}” is being drilled", "one drill at a time"))
    if not readiness.is_inspected:
        found.append(_problem("inspection is not alive", "what has failed already cannot be drilled"))
    elif readiness.is_interval_open or any(each.uninspected for each in readiness.flows):
        hint = f"penstock failures restore '{conduit.name}' brings its flows back"
        found.append(_problem(f"“{conduit.name}” is not wholly inspected now", hint))
    elif not any(each.inspected for each in readiness.flows):
        found.append(_problem(f"nothing flows through “{conduit.name}” now", "a drill of nothing would prove nothing"))
    return found


def opening_text(at_us: int, window: Window) -> str:
    """A moment as a clock in the window's own time zone shows it."""
    local = datetime.fromtimestamp(at_us // _US, ZoneInfo(window.timezone))
    return f"{local:%a %d %b %H:%M} ({window.timezone})"


def _conduit(site: Site, name: str) -> Conduit | None:
    return next((each for each in site.conduits if each.name == name), None)


def _problem(why: str, hint: str, where: str = "conduit") -> Problem:
    return Problem(where=where, why=why, hint=hint)
