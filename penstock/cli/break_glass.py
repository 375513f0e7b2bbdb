"""``penstock break-glass``: open an account for an emergency, by two people and with a reason."""

from __future__ import annotations

import argparse

from penstock.cli import admin, output
from penstock.model import Json

_COLUMNS = ("number", "subject", "state", "asked_by", "opened_by", "until", "reason")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``break-glass``."""
    verbs = subparsers.add_parser("break-glass", help="accounts for emergencies, opened by two people").add_subparsers(
        metavar="VERB", required=True
    )
    parser = verbs.add_parser("ls", help="the accounts, and the requests with their reasons")
    parser.add_argument("--json", action="store_true")
    _finish(parser, ls)
    parser = verbs.add_parser("ask", help="ask for an account to be opened; a second person approves")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="goes into the evidence")
    parser.add_argument("--hours", type=int, default=4, metavar="N", help="for how long; 4 when left out, 24 at most")
    _finish(parser, ask)
    for verb, what in (
        ("approve", "open what somebody else asked for"),
        ("refuse", "do not open it"),
        ("close", "shut it before its time; everything that it holds ends"),
    ):
        parser = verbs.add_parser(verb, help=what)
        parser.add_argument("number", metavar="NUMBER", type=int)
        parser.set_defaults(verb=verb)
        _finish(parser, switch)
    parser = verbs.add_parser("seal", help="print two new halves of a code for two envelopes")
    parser.add_argument("name", metavar="NAME")
    _finish(parser, seal)


def ls(arguments: argparse.Namespace) -> int:
    """Both tables."""
    with admin.opened(arguments) as http:
        answer = http.look("break-glass")
    if arguments.json:
        output.data_json(answer)
        return 0
    output.show_table(
        ("ACCOUNT", "GROUPS", "STATE"),
        [
            (admin.cell(row.get("name")), admin.cell(row.get("groups")), admin.cell(row.get("state")))
            for row in admin.rows_of(answer, "accounts")
        ],
        nothing="there is no break-glass account; penstock subject add NAME --break-glass makes one",
    )
    output.show_table(
        [column.upper().replace("_", " ") for column in _COLUMNS],
        [
            [admin.time_cell(row.get(each)) if each == "until" else admin.cell(row.get(each)) for each in _COLUMNS]
            for row in admin.rows_of(answer, "requests")
        ],
        nothing="nobody has asked for one yet",
    )
    return 0


def ask(arguments: argparse.Namespace) -> int:
    """The number goes to stdout."""
    body: dict[str, Json] = {"subject": arguments.name, "reason": arguments.reason, "hours": arguments.hours}
    with admin.opened(arguments) as http:
        answer = http.tell("POST", "break-glass", body)
    number = admin.cell(answer.get("number"))
    output.data(number)
    output.say(f"request {number}: {arguments.name} stays shut until somebody else approves, within an hour")
    output.hint(f"penstock break-glass approve {number}, by another person than {admin.cell(answer.get('asked_by'))}")
    return 0


def switch(arguments: argparse.Namespace) -> int:
    """Approve, refuse or close."""
    with admin.opened(arguments) as http:
        answer = http.tell("POST", f"break-glass/{arguments.number}/{arguments.verb}")
    name, state = admin.cell(answer.get("subject")), admin.cell(answer.get("state"))
    until = f" until {admin.time_cell(answer.get('until'))}" if state == "open" else ""
    output.say(f"{name} is {state}{until}")
    if state == "open":
        output.hint(f"shut it when the work is done: penstock break-glass close {arguments.number}")
    return 0


def seal(arguments: argparse.Namespace) -> int:
    """The halves go to stdout, a line each; they are shown once, and earlier ones are void."""
    with admin.opened(arguments) as http:
        answer = http.tell("POST", "break-glass/seals", {"subject": arguments.name})
    halves = answer.get("halves")
    for half in halves if isinstance(halves, list) else ():
        output.data(admin.cell(half))
    output.say(f"a line each into two envelopes, for two people; together they open {arguments.name} once")
    return 0


def _finish(parser: argparse.ArgumentParser, run: object) -> None:
    admin.add_socket(parser)
    parser.set_defaults(run=run)
