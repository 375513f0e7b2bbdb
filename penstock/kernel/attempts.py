"""Pure: refused attempts, counted so that a scan leaves a handful of records and no attempt goes uncounted.

Stands between the copies of refused packets (`refusals`) and what control is told: `FlowsRefused` for who tried what,
`SourceScanned` for a source that tries ever new things.  Whoever repeats the same attempt is told of less and less
often.  It must never drop a count: what does not fit is told as one number, of nobody in particular.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from penstock.model import FlowsRefused, Reason, SourceScanned

#: Records in one second, of all sources together.
MAX_TOLD: Final = 20
#: A source that tries more than so many destinations and ports within the period scans.
MAX_TARGETS: Final = 10
PERIOD_US: Final = 10_000_000
#: The longest period of a scan that goes on, and of an attempt that is repeated for ever.
LONGEST_US: Final = 60_000_000
#: Attempts that wait to be told (20 s of records), and sources that are told apart.
MAX_WAITING: Final = 400
MAX_SOURCES: Final = 1024
#: Distinct destinations and distinct ports of one scan; more count as so many.
MAX_DISTINCT: Final = 1024
#: What a scan's record shows of what was tried.
MAX_EXAMPLES: Final = 5
#: The source of whatever did not fit, or was not told apart by the kernel.
OTHERS: Final = "0.0.0.0"  # noqa: S104 - a value in a record, nothing listens there
_SECOND_US: Final = 1_000_000

_Target: TypeAlias = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who tried what, and why it was refused (a value of `Reason`)."""

    source: str
    destination: str
    transport: str
    port: int
    reason: str = Reason.GRANT_UNKNOWN.value

    @property
    def target(self) -> _Target:
        """What was tried, whoever tried it."""
        return self.destination, self.transport, self.port


@dataclass(slots=True)
class _Waiting:
    count: int = 0
    due_us: int = 0
    period_us: int = _SECOND_US
    """How long it then waits until it is told again."""


@dataclass(slots=True)
class _Source:
    since_us: int
    targets: set[_Target] = field(default_factory=set)
    scan: _Scan | None = None


@dataclass(slots=True)
class _Scan:
    since_us: int
    due_us: int
    period_us: int
    count: int = 0
    destinations: set[str] = field(default_factory=set)
    ports: set[tuple[str, int]] = field(default_factory=set)
    examples: list[_Target] = field(default_factory=list)

    def add(self, target: _Target, count: int) -> None:
        """Count attempts on one target."""
        self.count += count
        destination, transport, port = target
        if len(self.destinations) < MAX_DISTINCT:
            self.destinations.add(destination)
        if len(self.ports) < MAX_DISTINCT:
            self.ports.add((transport, port))
        if len(self.examples) < MAX_EXAMPLES and target not in self.examples:
            self.examples.append(target)

    @property
    def is_over(self) -> bool:
        """Whether this period was not a scan's any more."""
        return len(self.destinations) * len(self.ports) <= MAX_TARGETS


class Attempts:
    """Refused attempts that are counted and not told yet."""

    def __init__(self) -> None:
        self._waiting: dict[Refusal, _Waiting] = {}
        self._sources: dict[str, _Source] = {}
        self.told = 0
        """How many attempts all the events so far told of."""

    @property
    def pending(self) -> int:
        """How many attempts are counted and not told yet."""
        scans = (source.scan.count for source in self._sources.values() if source.scan is not None)
        return sum(waiting.count for waiting in self._waiting.values()) + sum(scans)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is remembered, so that `due` need not be asked."""
        return not self._waiting and not self._sources

    def add(self, refusal: Refusal, now_us: int, count: int = 1) -> None:
        """Count attempts."""
        if refusal.reason != Reason.GRANT_UNKNOWN:
            self._wait(refusal, now_us, count)
            return
        source = self._sources.get(refusal.source)
        if source is None:
            if len(self._sources) >= MAX_SOURCES:
                self.add_others(count, now_us)
                return
            source = self._sources[refusal.source] = _Source(since_us=now_us)
        if source.scan is not None:
            source.scan.add(refusal.target, count)
            return
        if not 0 <= now_us - source.since_us < PERIOD_US:
            source.since_us = now_us
            source.targets.clear()
        source.targets.add(refusal.target)
        if len(source.targets) > MAX_TARGETS:
            self._begin_scan(source, refusal, now_us, count)
        else:
            self._wait(refusal, now_us, count)

    def add_others(self, count: int, now_us: int, reason: str = Reason.GRANT_UNKNOWN.value) -> None:
        """Count attempts of nobody in particular."""
        self._wait(Refusal(OTHERS, OTHERS, "", 0, reason), now_us, count)

    def due(self, now_us: int) -> list[FlowsRefused | SourceScanned]:
        """What is to be told now, at most `MAX_TOLD` events; to be asked once a second until it `is_idle`."""
        events: list[FlowsRefused | SourceScanned] = []
        for address, source in list(self._sources.items()):
            if len(events) < MAX_TOLD and source.scan is not None and _is_due(source.scan.due_us, now_us):
                events += self._told_of_scan(address, source.scan, now_us)
            elif source.scan is None and not 0 <= now_us - source.since_us < PERIOD_US:
                del self._sources[address]
        for refusal, waiting in list(self._waiting.items()):
            if not _is_due(waiting.due_us, now_us) or len(events) >= MAX_TOLD:
                continue
            if waiting.count:
                events.append(_refused(refusal, waiting.count, now_us))
                self.told += waiting.count
                waiting.count, waiting.due_us = 0, now_us + waiting.period_us
                waiting.period_us = min(2 * waiting.period_us, LONGEST_US)
            else:
                del self._waiting[refusal]  # not repeated within its period: the next one is news again
        return events

    def _told_of_scan(self, address: str, scan: _Scan, now_us: int) -> list[FlowsRefused | SourceScanned]:
        if scan.is_over:
            del self._sources[address]
        else:
            period_us = min(2 * scan.period_us, LONGEST_US)
            self._sources[address].scan = _Scan(since_us=now_us, due_us=now_us + period_us, period_us=period_us)
        if not scan.count:
            return []
        self.told += scan.count
        return [_scanned(address, scan, now_us)]

    def _wait(self, refusal: Refusal, now_us: int, count: int) -> None:
        waiting = self._waiting.get(refusal)
        if waiting is None:
            if len(self._waiting) >= MAX_WAITING and refusal.source != OTHERS:
                self.add_others(count, now_us, refusal.reason)
                return
            waiting = self._waiting[refusal] = _Waiting(due_us=now_us)
        waiting.count += count

    def _begin_scan(self, source: _Source, latest: Refusal, now_us: int, count: int) -> None:
        """From now on this source is told of as a whole, at once and then per period; so is what waited of it."""
        scan = source.scan = _Scan(since_us=source.since_us, due_us=now_us, period_us=PERIOD_US // 2)
        for refusal in [one for one in self._waiting if one.source == latest.source]:
            if refusal.reason == Reason.GRANT_UNKNOWN:
                scan.add(refusal.target, self._waiting.pop(refusal).count)
        for target in source.targets:  # those that were told by themselves, too
            scan.add(target, 0)
        scan.add(latest.target, count)
        source.targets.clear()


def _is_due(due_us: int, now_us: int) -> bool:
    """Also when it lies further ahead than any period: the clock was set back."""
    return not 0 < due_us - now_us <= LONGEST_US


def _refused(refusal: Refusal, count: int, at_us: int) -> FlowsRefused:
    return FlowsRefused(
        source=refusal.source,
        destination=refusal.destination,
        transport=refusal.transport,
        port=refusal.port,
        count=count,
        at_us=at_us,
        reason=refusal.reason,
    )


def _scanned(address: str, scan: _Scan, at_us: int) -> SourceScanned:
    return SourceScanned(
        source=address,
        destinations=len(scan.destinations),
        ports=len(scan.ports),
        count=scan.count,
        at_us=at_us,
        since_us=scan.since_us,
        examples=tuple(f"{destination} {transport}/{port}" for destination, transport, port in scan.examples),
    )
