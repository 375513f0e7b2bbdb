"""``penstock isolate``, ``release`` and ``isolated``: emergencies.

What they print is read in a hurry: what is cut, what still passes, and what is not done yet, a line each.
"""

from __future__ import annotations

import argparse

from penstock.cli import admin, output
from penstock.model import Invalid, Json, Problem

_KINDS = {
    "asset": "one asset: nothing reaches it, and it reaches nothing",
    "zone": "every asset of one zone",
    "site": "everything: lockdown",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``isolate``, ``release`` and ``isolated``."""
    _register_isolate(subparsers)
    kinds = subparsers.add_parser("release", help="end an isolation; machines reach it again at once").add_subparsers(
        metavar="asset|zone|site", required=True
    )
    for kind in _KINDS:
        parser = kinds.add_parser(kind, help=f"release {'the' if kind == 'site' else 'one'} {kind}")
        _add_name(parser, kind)
        admin.add_socket(parser)
        parser.set_defaults(run=release, kind=kind)
    parser = subparsers.add_parser("isolated", help="list what is isolated, and what still passes")
    parser.add_argument("--json", action="store_true")
    admin.add_socket(parser)
    parser.set_defaults(run=isolated)


def _register_isolate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    kinds = subparsers.add_parser(
        "isolate", help="emergency: cut an asset, a zone or the whole site off at once"
    ).add_subparsers(metavar="asset|zone|site", required=True)
    for kind, what in _KINDS.items():
        parser = kinds.add_parser(kind, help=what)
        _add_name(parser, kind)
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it is recorded and shown")
        parser.add_argument(
            "--even-safety-critical",
            action="store_true",
            help="cut the safety-critical flows as well, which otherwise go on",
        )
        if kind == "site":
            parser.add_argument("--yes", action="store_true", help="do not ask first")
        admin.add_socket(parser)
        parser.set_defaults(run=isolate, kind=kind, **({} if kind == "site" else {"yes": True}))


def _add_name(parser: argparse.ArgumentParser, kind: str) -> None:
    if kind == "site":
        parser.add_argument("name", metavar="NAME", nargs="?", default="", help="the site's name, to be sure")
    else:
        parser.add_argument("name", metavar="NAME")


def isolate(arguments: argparse.Namespace) -> int:
    """Cut it off; 4 where something is not done yet."""
    if not arguments.yes and not _is_sure(arguments):
        output.say("nothing was isolated")
        return 1
    with admin.opened(arguments) as http:
        answer = http.isolate(arguments.kind, arguments.name, arguments.reason, arguments.even_safety_critical)
    what = _title(answer)
    closed = answer.get("grants_closed")
    output.say(f"{what} is isolated since {admin.time_cell(answer.get('since'))}, grants ended now: {closed}")
    if answer.get("reason") != arguments.reason.strip():
        output.say(f"it was isolated already by {answer.get('by')}: {answer.get('reason')}")
    for row in admin.rows_of(answer, "goes_on"):
        output.say(f"still passes, safety-critical: {_flow(row)}")
    if admin.rows_of(answer, "goes_on"):
        output.hint("--even-safety-critical cuts these as well")
    return admin.not_yet(answer)


def release(arguments: argparse.Namespace) -> int:
    """Let it be reached again; 4 where something is not done yet."""
    with admin.opened(arguments) as http:
        answer = http.release(arguments.kind, arguments.name)
    output.say(f"{_title(answer)} is released, machine paths open again: {answer.get('reopened')}")
    return admin.not_yet(answer)


def isolated(arguments: argparse.Namespace) -> int:
    """What is isolated, a row each; 4 where something is not done yet."""
    with admin.opened(arguments) as http:
        answer = http.look("isolations")
    if arguments.json:
        output.data_json(answer)
        return admin.EXIT_NOT_YET if answer.get("not_yet") else 0
    rows = admin.rows_of(answer, "isolated")
    output.show_table(
        ("WHAT", "SINCE", "BY", "REASON", "STILL PASSES"),
        [
            (
                _title(row),
                admin.time_cell(row.get("since")),
                admin.cell(row.get("by")),
                admin.cell(row.get("reason")),
                ", ".join(_flow(flow) for flow in admin.rows_of(row, "goes_on")) or "nothing",
            )
            for row in rows
        ],
        nothing="nothing is isolated",
    )
    return admin.not_yet(answer)


def _is_sure(arguments: argparse.Namespace) -> bool:
    """Raises `Invalid` where nobody can be asked."""
    if not output.is_interactive():
        raise Invalid(Problem(where="terminal", why="a lockdown asks first, and nobody is here", hint="add --yes"))
    even = " and its safety-critical flows" if arguments.even_safety_critical else ""
    return output.confirm(f"cut off the whole site{even}?")


def _title(row: dict[str, Json]) -> str:
    return f"{admin.cell(row.get('kind'))} {admin.cell(row.get('name'))}"


def _flow(row: dict[str, Json]) -> str:
    return f"{admin.cell(row.get('subject'))} to {admin.cell(row.get('asset'))} {admin.cell(row.get('service'))}"
