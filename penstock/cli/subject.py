"""``penstock subject``: people, vendors and break-glass accounts: added, changed, suspended, ended."""

from __future__ import annotations

import argparse

from penstock.cli import admin, output
from penstock.cli.client import quoted
from penstock.model import Invalid, Json, Problem

_COLUMNS = ("name", "kind", "groups", "roles", "state", "until")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``subject``."""
    verbs = subparsers.add_parser("subject", help="administer the people who may sign in").add_subparsers(
        metavar="VERB", required=True
    )
    _register_add(verbs)
    parser = verbs.add_parser("ls", help="list the people")
    parser.add_argument("--json", action="store_true")
    _finish(parser, ls)
    parser = _named(verbs, "change", "add groups or take them away; what a removed group allowed ends at once", change)
    parser.add_argument("--add-group", action="append", default=[], metavar="GROUP", help="repeatable")
    parser.add_argument("--remove-group", action="append", default=[], metavar="GROUP", help="repeatable")
    parser = _named(verbs, "extend", "move the end of a vendor's account", extend)
    _add_end(parser, is_required=True)
    _named(verbs, "invite", "a new code to enrol with, for a lost authenticator or an expired code", invite)
    _named(verbs, "suspend", "end what is under way, and sign nobody in", suspend)
    _named(verbs, "resume", "sign in again", resume)
    _named(verbs, "remove", "the end of a subject; its name is never given again", remove)


def _register_add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _named(verbs, "add", "add a person, and print the one-time code to enrol with", add)
    parser.add_argument("--group", action="append", default=[], metavar="GROUP", help="repeatable")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--vendor", action="store_true", help="a temporary account with a sponsor and an end")
    kinds.add_argument("--break-glass", action="store_true", help="an account that is shut until two people open it")
    _add_end(parser, is_required=False)


def _add_end(parser: argparse.ArgumentParser, *, is_required: bool) -> None:
    parser.add_argument("--sponsor", metavar="SUBJECT", default="", help="who answers for the vendor")
    parser.add_argument(
        "--until", metavar="DATE", default="", required=is_required, help="the last day, at most 90 days away"
    )


def add(arguments: argparse.Namespace) -> int:
    """The code goes to stdout, and nowhere else: it is shown once."""
    body: dict[str, Json] = {"name": arguments.name, "groups": list(arguments.group)}
    if arguments.vendor:
        body |= {"kind": "vendor", "sponsor": arguments.sponsor, "until": arguments.until}
    elif arguments.sponsor or arguments.until:
        raise Invalid(Problem(where="--sponsor, --until", why="only a vendor's account has them", hint="add --vendor"))
    elif arguments.break_glass:
        body["kind"] = "break-glass"
    with admin.opened(arguments) as http:
        _show_code(arguments.name, http.tell("POST", "subjects", body))
    if arguments.break_glass:
        output.hint(f"it stays shut until it is opened: penstock break-glass ask {arguments.name} --reason TEXT")
    return 0


def invite(arguments: argparse.Namespace) -> int:
    """The old factors go on until the new ones are there."""
    with admin.opened(arguments) as http:
        _show_code(arguments.name, http.tell("POST", f"subjects/{quoted(arguments.name)}/invite"))
    return 0


def ls(arguments: argparse.Namespace) -> int:
    """The people, a row each."""
    with admin.opened(arguments) as http:
        rows = admin.rows_of(http.look("subjects"), "subjects")
    if arguments.json:
        output.data_json(list(rows))
        return 0
    output.show_table(
        [column.upper() for column in _COLUMNS],
        [[_cell(row, column) for column in _COLUMNS] for row in rows],
        nothing="nobody has been added yet",
    )
    return 0


def change(arguments: argparse.Namespace) -> int:
    """Add and remove groups in one step."""
    body: dict[str, Json] = {"add": list(arguments.add_group), "remove": list(arguments.remove_group)}
    with admin.opened(arguments) as http:
        answer = http.tell("POST", f"subjects/{quoted(arguments.name)}/groups", body)
    output.say(f"{arguments.name} is in {admin.cell(answer.get('groups')) or 'no group'}{_ended(answer)}")
    return admin.not_yet(answer)


def extend(arguments: argparse.Namespace) -> int:
    """Move the end."""
    body: dict[str, Json] = {"until": arguments.until, "sponsor": arguments.sponsor}
    with admin.opened(arguments) as http:
        answer = http.tell("POST", f"subjects/{quoted(arguments.name)}/extend", body)
    output.say(f"{arguments.name} ends {admin.time_cell(answer.get('until'))}")
    return 0


def suspend(arguments: argparse.Namespace) -> int:
    """End what is under way, and sign nobody in under this name."""
    with admin.opened(arguments) as http:
        answer = http.suspend(arguments.name)
    output.say(f"{arguments.name} is suspended")
    return admin.not_yet(answer)


def resume(arguments: argparse.Namespace) -> int:
    """Let this person sign in again."""
    with admin.opened(arguments) as http:
        http.resume(arguments.name)
    output.say(f"{arguments.name} may sign in again")
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """End a subject for good."""
    with admin.opened(arguments) as http:
        answer = http.tell("POST", f"subjects/{quoted(arguments.name)}/remove")
    output.say(f"{arguments.name} is removed; the name is not given again{_ended(answer)}")
    return admin.not_yet(answer)


def _show_code(name: str, answer: dict[str, Json]) -> None:
    code = admin.cell(answer.get("code"))
    output.data(code)
    output.say(f"{name} enrols with this one-time code until {admin.time_cell(answer.get('expires_at'))}")
    output.hint(f"penstock enrol {code} --gate https://HOST:8443")


def _cell(row: dict[str, Json], column: str) -> str:
    value = row.get(column)
    return admin.time_cell(value) if column == "until" else admin.cell(value)


def _ended(answer: dict[str, Json]) -> str:
    ended = answer.get("grants_closed")
    return f"; grants ended: {ended}" if ended else ""


def _named(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], verb: str, what: str, run: object
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(verb, help=what)
    parser.add_argument("name", metavar="NAME")
    _finish(parser, run)
    return parser


def _finish(parser: argparse.ArgumentParser, run: object) -> None:
    admin.add_socket(parser)
    parser.set_defaults(run=run)
