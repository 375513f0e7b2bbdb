"""``penstock status``: how the gate is, one line a thing."""

from __future__ import annotations

import argparse

from penstock.cli import admin, output


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``status``."""
    parser = subparsers.add_parser("status", help="how the gate is: revision, processes, grants, evidence")
    parser.add_argument("--json", action="store_true")
    admin.add_socket(parser)
    parser.set_defaults(run=status)


def status(arguments: argparse.Namespace) -> int:
    """Everything that the gate says of itself, in its order."""
    with admin.opened(arguments) as http:
        answer = http.look("status")
    if arguments.json:
        output.data_json(answer)
        return 0
    output.show_table(
        ("WHAT", "STATE"),
        [
            (key.replace("_", " "), admin.cell(value) or "none")
            for key, value in answer.items()
            if key != "not_enforced"
        ],
        nothing="the gate says nothing of itself",
    )
    missing = answer.get("not_enforced")
    for sentence in missing if isinstance(missing, list) else ():
        output.say(f"not enforced by this gate: {sentence}")
    return 0
