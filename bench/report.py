"""What the figures say, as values: medians over rounds, ratios, targets, and the table that a person reads.

Pure.  It stands behind `run`, which measures.  It must never drop a figure because of what it says.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

#: One line of ``bench/out/latest.json``; its ``bench`` says what kind of line it is.
Row: TypeAlias = dict[str, Any]

MEASURES = ("p50_us", "p99_us", "p999_us", "per_s")
DIRECT, HAPROXY = "direct", "haproxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a path is loaded: `paced` sends one request per `interval_us`, `closed` the next when the reply is in."""

    mode: str
    connections: int
    seconds: float
    interval_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measurement: `figures` as the load generator printed them; `cpu_us` of the path's processes per request."""

    variant: str
    load: Load
    figures: Mapping[str, float]
    cpu_us: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure of one row that must not exceed (or, `at_least`, not fall below) `limit`."""

    name: str
    variant: str
    mode: str
    connections: int
    figure: str
    limit: float
    is_at_least: bool = False

    def is_met(self, measured: float) -> bool:
        """Whether `measured` keeps to the limit."""
        return measured >= self.limit if self.is_at_least else measured <= self.limit


TARGETS = (
    Target(
        name="kernel path, paced: p50 at most 1.5 x direct",
        variant="kernel",
        mode="paced",
        connections=1,
        figure="p50_to_direct",
        limit=1.5,
    ),
    Target(
        name="inspected, paced: p50 at most 1.2 x HAProxy",
        variant="inspected",
        mode="paced",
        connections=1,
        figure="p50_to_haproxy",
        limit=1.2,
    ),
    Target(
        name="inspected, paced: p99 at most 1.3 x HAProxy",
        variant="inspected",
        mode="paced",
        connections=1,
        figure="p99_to_haproxy",
        limit=1.3,
    ),
    Target(
        name="inspected, paced: p99.9 below 2 ms",
        variant="inspected",
        mode="paced",
        connections=1,
        figure="p999_us",
        limit=2000.0,
    ),
    Target(
        name="inspected over TLS, paced: p50 at most 1.2 x HAProxy with TLS",
        variant="inspected-tls",
        mode="paced",
        connections=1,
        figure="p50_to_haproxy",
        limit=1.2,
    ),
    Target(
        name="inspected, 50 connections: requests/s at least 0.7 x HAProxy",
        variant="inspected",
        mode="closed",
        connections=50,
        figure="per_s_to_haproxy",
        limit=0.7,
        is_at_least=True,
    ),
    Target(
        name="idle gate: below 150 MB",
        variant="idle gate",
        mode="idle",
        connections=0,
        figure="pss_mb",
        limit=150.0,
    ),
)


def rows_of(runs: Iterable[Run]) -> list[Row]:
    """One row per variant and load, in the order of their first run: medians over the rounds, then the ratios."""
    groups: dict[tuple[str, int, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.load.mode, run.load.connections, run.variant), []).append(run)
    rows = [_row(group) for group in groups.values()]
    for row in rows:
        _compare(row, rows, "to_direct", DIRECT)
        _compare(row, rows, "to_haproxy", HAPROXY + ("-tls" if is_tls(row["variant"]) else ""))
    return rows


def is_tls(variant: str) -> bool:
    """Whether the client's side of this path is TLS; such a path is compared with HAProxy's TLS."""
    return variant.endswith("-tls") or variant == "stunnel"


def _row(group: Sequence[Run]) -> Row:
    first = group[0]
    row: Row = {
        "bench": "path",
        "variant": first.variant,
        "mode": first.load.mode,
        "connections": first.load.connections,
        "rounds": len(group),
        "seconds": first.load.seconds,
    }
    for measure in MEASURES:
        row[measure] = round(statistics.median(run.figures[measure] for run in group), 1)
    row["max_us"] = max(run.figures["max_us"] for run in group)
    spent = [run.cpu_us for run in group if run.cpu_us is not None]
    row["cpu_us_per_request"] = round(statistics.median(spent), 1) if spent else None
    return row


def _compare(row: Row, rows: Sequence[Row], suffix: str, reference: str) -> None:
    same = (row["mode"], row["connections"], reference)
    found = next((other for other in rows if (other["mode"], other["connections"], other["variant"]) == same), None)
    for measure in MEASURES:
        name = f"{measure.removesuffix('_us')}_{suffix}"
        row[name] = round(row[measure] / found[measure], 3) if found is not None and found[measure] else None


def judged(rows: Sequence[Row], targets: Sequence[Target] = TARGETS) -> list[Row]:
    """One row per target whose figure was measured."""
    found = []
    for target in targets:
        wanted = (target.variant, target.mode, target.connections)
        row = next((r for r in rows if (r["variant"], r.get("mode"), r.get("connections")) == wanted), None)
        if row is not None and row.get(target.figure) is not None:
            measured = row[target.figure]
            found.append({"bench": "target", **asdict(target), "measured": measured, "is_met": target.is_met(measured)})
    return found


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("variant", lambda row: str(row["variant"])),
    ("p50 us", lambda row: f"{row['p50_us']:.1f}"),
    ("p99 us", lambda row: f"{row['p99_us']:.1f}"),
    ("p99.9 us", lambda row: f"{row['p999_us']:.1f}"),
    ("req/s", lambda row: f"{row['per_s']:,.0f}"),
    ("CPU us/req", lambda row: _or_dash(row["cpu_us_per_request"], ".1f")),
    ("p50/direct", lambda row: _or_dash(row["p50_to_direct"], ".2f")),
    ("p50/HAProxy", lambda row: _or_dash(row["p50_to_haproxy"], ".2f")),
    ("p99/HAProxy", lambda row: _or_dash(row["p99_to_haproxy"], ".2f")),
    ("req/s/HAProxy", lambda row: _or_dash(row["per_s_to_haproxy"], ".2f")),
)


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def text(rows: Sequence[Row]) -> str:
    """The whole result for a person."""
    parts = [table_of(title, found) for title, found in _by_load(rows)]
    for row in rows:
        if row["bench"] == "memory":
            shares = ", ".join(f"{name} {size} MB" for name, size in row["processes"].items())
            parts.append(f"{row['variant']}: {row['pss_mb']} MB (PSS; RSS {row['rss_mb']} MB): {shares}")
    own = [row for row in rows if row["bench"] == "own"]
    if own:
        parts.append("\n".join(["what the gate measured itself, all loads together", *map(_own, own)]))
    met = [row for row in rows if row["bench"] == "target"]
    if met:
        verdicts = (f"  {'met   ' if r['is_met'] else 'MISSED'}  {r['name']}: {r['measured']:g}" for r in met)
        parts.append("\n".join(["targets", *verdicts]))
    return "\n\n".join(parts)


def _own(row: Row) -> str:
    """One conduit's gate share and whole, or the event loop's lag."""
    shares = (("gate's share", row.get("own")), ("whole", row.get("total")), ("lag", row.get("lag")))
    told = [
        f"{name} p50 {of['p50_us']} us, p99 {of['p99_us']} us, p99.9 {of['p999_us']} us ({of['count']:,})"
        for name, of in shares
        if of is not None
    ]
    return f"  {row['variant']}: {'; '.join(told)}"


def _by_load(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["bench"] == "path":
            how = "1,000 requests/s" if row["mode"] == "paced" else "closed loop"
            plural = "" if row["connections"] == 1 else "s"
            title = f"{how}, {row['connections']} connection{plural} ({_rounds(row['rounds'])})"
            groups.setdefault(title, []).append(row)
    return list(groups.items())


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"medians of {count} rounds"


def table_of(title: str, rows: Sequence[Row]) -> str:
    """Paths under one load, a line each."""
    cells = [[heading for heading, _ in _COLUMNS], *([cell(row) for _, cell in _COLUMNS] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_COLUMNS))]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in cells
    ]
    return "\n".join([title, *(f"  {line}" for line in lines)])
