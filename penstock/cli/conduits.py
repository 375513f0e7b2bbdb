"""``penstock conduits``: how each conduit's flows go, how long they take, and back to inspection."""

from __future__ import annotations

import argparse

from penstock.cli import admin, output
from penstock.model import Json

_WINDOWS = {"1m": "minute", "10m": "ten_minutes", "start": "start"}
_HEADINGS = (
    "CONDUIT", "MODE", "PATH", "FLOWS", "TRANSACTIONS", "GATE P50", "P99", "P99.9", "TOTAL P50", "P99", "P99.9",
    "BUDGET", "OVER", "SINCE",
)  # fmt: skip
_LAG = (("p50_us", "p50"), ("p99_us", "p99"), ("worst_us", "worst"))
_US_PER_MS, _US_PER_S = 1_000, 1_000_000


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``conduits``."""
    parser = subparsers.add_parser(
        "conduits", help="how each conduit's flows go: mode, path, latency, budget; inspect one again"
    )
    _add_options(parser)
    parser.set_defaults(run=show)
    verbs = parser.add_subparsers(metavar="VERB")
    listing = verbs.add_parser("ls", help="the same as without a verb")
    _add_options(listing)
    listing.set_defaults(run=show)
    back = verbs.add_parser("return", help="inspect a conduit again that has stepped aside")
    back.add_argument("conduit", metavar="CONDUIT")
    admin.add_socket(back)
    back.set_defaults(run=return_conduit)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--window", choices=_WINDOWS, default="10m", help="what the figures are about (10m)")
    parser.add_argument("--json", action="store_true", help="all windows and paths, in microseconds")
    admin.add_socket(parser)


def show(arguments: argparse.Namespace) -> int:
    """A row for each conduit; why one stands aside follows on stderr."""
    with admin.opened(arguments) as http:
        answer = http.look("conduits")
    rows = admin.rows_of(answer, "conduits")
    if arguments.json:
        output.data_json(answer)
        return 0
    window = _WINDOWS[arguments.window]
    output.show_table(_HEADINGS, [_cells(row, window) for row in rows], nothing="the policy has no conduit")
    lag = _part(_part(answer, "lag"), "ten_seconds")
    if lag.get("count"):
        times = ", ".join(f"{duration(lag.get(key))} ({name})" for key, name in _LAG)
        output.say(f"before the worker reads what is ready it takes {times}; last 10 s")
    aside = [row for row in rows if row.get("path") == "aside"]
    for row in aside:
        output.say(f"“{row['conduit']}” stands aside, uninspected: {row.get('why')}")
    if aside:
        output.hint("penstock conduits return CONDUIT inspects it again; its flows are reset and dial anew")
    return 0


def return_conduit(arguments: argparse.Namespace) -> int:
    """Inspect a conduit again."""
    with admin.opened(arguments) as http:
        http.return_conduit(arguments.conduit)
    output.say(f"“{arguments.conduit}” is inspected again; flows that went on uninspected are reset and dial anew")
    return 0


def _cells(row: dict[str, Json], window: str) -> list[str]:
    path = "inspected" if row.get("path") == "inspected" else "kernel"
    flows, measured = _part(row, "flows"), _part(_part(_part(row, "measured"), path), window)
    total, own = _part(measured, "total"), _part(measured, "own")
    over = measured.get("over")
    return [
        admin.cell(row.get("conduit")),
        admin.cell(row.get("mode")),
        admin.cell(row.get("path")),
        admin.cell(sum(count for count in flows.values() if isinstance(count, int))),
        admin.cell(total.get("count")),
        *(duration(own.get(key)) for key in ("p50_us", "p99_us", "p999_us")),
        *(duration(total.get(key)) for key in ("p50_us", "p99_us", "p999_us")),
        duration(row.get("budget_us")),
        admin.cell(over),
        admin.time_cell(row.get("aside_since") or row.get("over_since")),
    ]


def duration(value: Json) -> str:
    """Microseconds in the unit in which people read them: three figures."""
    if not isinstance(value, int):
        return ""
    if value < _US_PER_MS:
        return f"{value} µs"
    if value < _US_PER_S - _US_PER_MS // 2:  # what would round to a second is one
        return f"{value / _US_PER_MS:.3g} ms"
    return f"{value / _US_PER_S:.3g} s"


def _part(value: dict[str, Json], key: str) -> dict[str, Json]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
