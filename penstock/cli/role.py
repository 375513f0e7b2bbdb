"""``penstock role``: who may operate, approve, write policy, audit and administer this gate."""

from __future__ import annotations

import argparse

from penstock.cli import admin, output
from penstock.cli.client import quoted
from penstock.model import Role


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``role``."""
    verbs = subparsers.add_parser("role", help="who may do what to the gate itself").add_subparsers(
        metavar="VERB", required=True
    )
    parser = verbs.add_parser("ls", help="who has which role")
    parser.add_argument("--json", action="store_true")
    _finish(parser, ls)
    for verb, run, what in (("give", give, "give somebody a role"), ("take", take, "take a role away")):
        parser = verbs.add_parser(verb, help=what)
        parser.add_argument("subject", metavar="SUBJECT")
        parser.add_argument("role", metavar="ROLE", choices=[role.value for role in Role], help=", ".join(Role))
        _finish(parser, run)


def ls(arguments: argparse.Namespace) -> int:
    """A row for everybody who has one."""
    with admin.opened(arguments) as http:
        rows = admin.rows_of(http.look("roles"), "roles")
    if arguments.json:
        output.data_json(list(rows))
        return 0
    output.show_table(
        ("SUBJECT", "ROLES"),
        [(admin.cell(row.get("subject")), admin.cell(row.get("roles"))) for row in rows],
        nothing="nobody has a role; whoever may open the admin socket administers this gate",
    )
    return 0


def give(arguments: argparse.Namespace) -> int:
    """From now on."""
    with admin.opened(arguments) as http:
        http.tell("POST", f"roles/{quoted(arguments.subject)}/{arguments.role}")
    output.say(f"{arguments.subject} is {arguments.role}")
    return 0


def take(arguments: argparse.Namespace) -> int:
    """From now on no more."""
    with admin.opened(arguments) as http:
        http.tell("DELETE", f"roles/{quoted(arguments.subject)}/{arguments.role}")
    output.say(f"{arguments.subject} is {arguments.role} no more")
    return 0


def _finish(parser: argparse.ArgumentParser, run: object) -> None:
    admin.add_socket(parser)
    parser.set_defaults(run=run)
