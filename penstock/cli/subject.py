"""``penstock subject``: add people, list them, suspend one and let it in again."""

from __future__ import annotations

import argparse

from penstock.cli import admin, output

_COLUMNS = ("name", "groups", "state")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``subject``."""
    verbs = subparsers.add_parser("subject", help="administer the people who may sign in").add_subparsers(
        metavar="VERB", required=True
    )
    parser = verbs.add_parser("add", help="add a person, and print the one-time code to enrol with")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--group", action="append", default=[], metavar="GROUP", help="repeatable")
    _finish(parser, add)
    parser = verbs.add_parser("invite", help="print the one-time code to add an authenticator to a directory's person")
    parser.add_argument("name", metavar="NAME@SOURCE")
    _finish(parser, invite)
    parser = verbs.add_parser("ls", help="list the people")
    parser.add_argument("--json", action="store_true")
    _finish(parser, ls)
    for verb, what in (("suspend", "end what is under way, and sign nobody in"), ("resume", "sign in again")):
        parser = verbs.add_parser(verb, help=what)
        parser.add_argument("name", metavar="NAME")
        _finish(parser, suspend if verb == "suspend" else resume)


def add(arguments: argparse.Namespace) -> int:
    """The code goes to stdout, and nowhere else: it is shown once."""
    with admin.opened(arguments) as http:
        added = http.add_subject(arguments.name, arguments.group)
    output.data(added.code)
    output.say(f"{arguments.name} enrols with this one-time code until {admin.time_cell(added.expires_at)}")
    output.hint(f"penstock enrol {added.code} --gate https://HOST:8443")
    return 0


def invite(arguments: argparse.Namespace) -> int:
    """The code goes to stdout, and nowhere else: it is shown once."""
    with admin.opened(arguments) as http:
        invited = http.invite(arguments.name)
    output.data(invited.code)
    output.say(
        f"{arguments.name} adds an authenticator with this one-time code until {admin.time_cell(invited.expires_at)}"
    )
    output.hint(f"penstock enrol {invited.code} --gate https://HOST:8443, or /enrol at the portal")
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
        [[admin.cell(row.get(column)) for column in _COLUMNS] for row in rows],
        nothing="nobody has been added yet",
    )
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


def _finish(parser: argparse.ArgumentParser, run: object) -> None:
    admin.add_socket(parser)
    parser.set_defaults(run=run)
