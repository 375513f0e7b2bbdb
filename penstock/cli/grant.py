"""``penstock grant``: who may reach what right now, and end it."""

from __future__ import annotations

import argparse

from penstock.cli import admin, output
from penstock.model import Json

_COLUMNS = ("number", "subject", "asset", "service", "binding", "expires_at")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``grant``."""
    verbs = subparsers.add_parser("grant", help="list live grants, revoke one").add_subparsers(
        metavar="VERB", required=True
    )
    parser = verbs.add_parser("ls", help="list live grants")
    parser.add_argument("--json", action="store_true")
    admin.add_socket(parser)
    parser.set_defaults(run=ls)
    parser = verbs.add_parser("revoke", help="end a grant and its flows at once")
    parser.add_argument("number", type=int, metavar="N")
    admin.add_socket(parser)
    parser.set_defaults(run=revoke)


def ls(arguments: argparse.Namespace) -> int:
    """The live grants, a row each."""
    with admin.opened(arguments) as http:
        answer = http.look("grants")
    rows = admin.rows_of(answer, "grants")
    if arguments.json:
        output.data_json(list(rows))
        return 0
    output.show_table(
        ("NUMBER", "SUBJECT", "ASSET", "SERVICE", "BINDING", "UNTIL", "FLOWS", "KERNEL PATH"),
        [
            [
                *((admin.time_cell if column == "expires_at" else admin.cell)(row.get(column)) for column in _COLUMNS),
                *_traffic_cells(row.get("traffic")),
            ]
            for row in rows
        ],
        nothing="no grant is open",
    )
    if answer.get("traffic_is_current") is False:
        output.say("the enforcer did not count in time: what open flows carried on the kernel path is older")
    return 0


def _traffic_cells(traffic: Json) -> tuple[str, str]:
    """How many flows there were, and what the kernel carried of them; the worker tells of the others' operations."""
    if not isinstance(traffic, dict):
        return "", ""
    packets, carried = traffic.get("packets"), traffic.get("bytes")
    has_carried = isinstance(packets, int) and isinstance(carried, int) and packets > 0
    return admin.cell(traffic.get("flows")), f"{carried:,} bytes, {packets:,} packets" if has_carried else "-"


def revoke(arguments: argparse.Namespace) -> int:
    """Revoke one grant."""
    with admin.opened(arguments) as http:
        answer = http.revoke_grant(arguments.number)
    output.say(f"grant {arguments.number} is revoked")
    return admin.not_yet(answer)
