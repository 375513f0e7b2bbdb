"""``penstock failures``: the failure-mode register, the intervals of one conduit, and bringing it back.

A conduit that goes on uninspected is what this is read for, so it says so first and in capitals.
"""

from __future__ import annotations

import argparse

from penstock.cli import admin, output
from penstock.cli.answers import moment
from penstock.model import Invalid, Json, Problem

_DAY_S, _US = 86_400, 1_000_000
_USAGE = "penstock failures [--json] [CONDUIT]\n       penstock failures restore CONDUIT"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``failures``."""
    parser = subparsers.add_parser(
        "failures", help="failure modes, last drills and what goes on uninspected; restore brings it back", usage=_USAGE
    )
    parser.add_argument("words", nargs="*", metavar="CONDUIT", help="its intervals and drills; else every conduit")
    parser.add_argument("--json", action="store_true")
    admin.add_socket(parser)
    parser.set_defaults(run=failures)


def failures(arguments: argparse.Namespace) -> int:
    """Find out which of the three is meant."""
    match arguments.words:
        case []:
            return _show(arguments)
        case ["restore", str(conduit)]:
            return _restore(arguments, conduit)
        case [str(conduit)]:
            return _show_conduit(arguments, conduit)
    hint = "put the conduit's name in quotes"
    raise Invalid(Problem(where="conduit", why=f"not one name: {' '.join(arguments.words)}", hint=hint))


def _show(arguments: argparse.Namespace) -> int:
    with admin.opened(arguments) as http:
        answer = http.look("failures")
    if arguments.json:
        output.data_json(answer)
        return 0
    rows = admin.rows_of(answer, "conduits")
    output.show_table(
        ("CONDUIT", "FAILS", "REASON", "APPROVED BY", "DRILL", "LAST DRILL", "NOW"),
        [
            (
                admin.cell(row.get("conduit")),
                admin.cell(row.get("mode")),
                admin.cell(row.get("reason")) or "none given",
                admin.cell(row.get("approved_by")) or "not needed",
                _plan(row),
                _last_drill(row),
                _now(row),
            )
            for row in rows
        ],
        nothing="no conduit is declared",
    )
    _say_if_old(answer)
    for row in rows:
        interval = row.get("interval")
        if isinstance(interval, dict) and interval.get("mode") == "open" and interval.get("inspected_again_at"):
            output.hint(f"penstock failures restore '{admin.cell(row.get('conduit'))}' brings its flows back")
    return 0


def _show_conduit(arguments: argparse.Namespace, conduit: str) -> int:
    with admin.opened(arguments) as http:
        answer = http.failures_of(conduit)
    if arguments.json:
        output.data_json(answer)
        return 0
    output.show_table(
        ("BEGAN", "ENDED", "CAUSE", "FLOWS", "PACKETS", "BYTES", "WHY", "ENDED BY"),
        [
            (
                ("" if row.get("is_certain") else "before ") + _second(row.get("began_at")),
                _second(row.get("ended_at")) or _open_still(row),
                spoken(row.get("cause")),
                admin.cell(row.get("flows")),
                admin.cell(row.get("packets")),
                admin.cell(row.get("bytes")),
                admin.cell(row.get("why")) + (f"; {row['unrecorded']} unrecorded" if row.get("unrecorded") else ""),
                admin.cell(row.get("ended_by")),
            )
            for row in admin.rows_of(answer, "intervals")
        ],
        nothing=f"“{conduit}” has been inspected without a pause",
    )
    drills = admin.rows_of(answer, "drills")
    if drills:
        output.data("")
        output.show_table(
            ("DRILL", "BEGAN", "BY", "RESULT", "FAILOVER", "RETURN", "REFUSED", "WHY"),
            [drill_cells(row) for row in drills],
            nothing="",
        )
    _say_if_old(answer)
    return 0


def _say_if_old(answer: dict[str, Json]) -> None:
    if answer.get("is_current") is False:
        output.say("NOT CURRENT: the kernel could not be asked; flows may pass uninspected that are not told here")
        output.hint("penstock status tells whether the enforcer is there")


def _restore(arguments: argparse.Namespace, conduit: str) -> int:
    with admin.opened(arguments) as http:
        answer = http.restore(conduit)
    if arguments.json:
        output.data_json(answer)
        return 0
    if answer.get("stood_aside"):
        output.say(f"“{conduit}” stands aside no more")
    for row in admin.rows_of(answer, "reset"):
        way = f"{admin.cell(row.get('machine'))} to {admin.cell(row.get('asset'))}"
        output.say(f"reset {counted(row.get('flows'))} of {way}, to be dialled anew")
    output.hint("penstock evidence search FOLDER --kind conduit.inspected_again tells when the first was inspected")
    return 0


def drill_cells(row: dict[str, Json]) -> tuple[str, ...]:
    """One drill as a row."""
    return (
        admin.cell(row.get("number")),
        _second(row.get("began_at")),
        admin.cell(row.get("by")),
        admin.cell(row.get("result")) or "running",
        span(row.get("failover_us")),
        span(row.get("return_us")),
        admin.cell(row.get("refused")),
        admin.cell(row.get("why")),
    )


def span(value: Json) -> str:
    """Microseconds as people read them."""
    return f"{value / 1000:.0f} ms" if isinstance(value, int) else ""


def counted(value: Json) -> str:
    """``1 flow``, ``2 flows``."""
    return f"{admin.cell(value)} flow{'' if value == 1 else 's'}"


def spoken(value: Json) -> str:
    """A member of a closed set as people say it."""
    return admin.cell(value).replace("_", " ")


def _second(value: Json) -> str:
    """An ISO 8601 text in this computer's time, to the second."""
    return moment(value).astimezone().strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, str) else ""


def _plan(row: dict[str, Json]) -> str:
    every_s = row.get("drill_every_s")
    if not isinstance(every_s, int):
        return "no plan"
    return f"every {every_s // _DAY_S} d, {admin.cell(row.get('drill_window'))}"


def _last_drill(row: dict[str, Json]) -> str:
    drill, overdue = row.get("last_drill"), "OVERDUE" if row.get("is_drill_overdue") else ""
    if not isinstance(drill, dict):
        return "OVERDUE, never drilled" if overdue else "never"
    said = f"{admin.cell(drill.get('result')) or 'running'} {admin.time_cell(drill.get('began_at'))}"
    return f"{overdue}, {said}" if overdue else said


def _now(row: dict[str, Json]) -> str:
    interval = row.get("interval")
    if not row.get("is_inspected_at_all"):
        return "not inspected at all"
    if not isinstance(interval, dict):
        return "inspected"
    since = f"since {admin.time_cell(interval.get('began_at'))}, {spoken(interval.get('cause'))}"
    if interval.get("mode") == "open":
        return f"OPEN {since}, {counted(interval.get('live_flows'))} uninspected"
    return f"CLOSED {since}"


def _open_still(row: dict[str, Json]) -> str:
    if row.get("mode") != "open":
        return "closed still"
    return f"OPEN, {counted(row.get('live_flows'))}"
