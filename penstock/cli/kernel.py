"""``penstock kernel``: whether the kernel holds what the policy says, and who changed it."""

from __future__ import annotations

import argparse

from penstock.cli import admin, output

_DIFFERENT = 1


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``kernel``."""
    verbs = subparsers.add_parser("kernel", help="compare what the kernel holds with the policy").add_subparsers(
        metavar="VERB", required=True
    )
    parser = verbs.add_parser("verify", help="read the kernel back; exit status 1 where anything differs")
    parser.add_argument("--json", action="store_true")
    admin.add_socket(parser)
    parser.set_defaults(run=verify)


def verify(arguments: argparse.Namespace) -> int:
    """Rules, elements, routing and parameters; what is the gate's own has been put right by the time of the answer."""
    with admin.opened(arguments) as http:
        answer = http.verify_kernel()
    if arguments.json:
        output.data_json(answer)
        return _DIFFERENT if answer.get("differences") else 0
    found = answer.get("differences")
    differences = [admin.cell(each) for each in found] if isinstance(found, list) else []
    output.say(f"{admin.cell(answer.get('checked'))} rules, elements, routes and parameters compared")
    rows = [("somebody else" if each.startswith("foreign: ") else "gate", each) for each in differences]
    output.show_table(("WHOSE", "DIFFERENCE"), rows, nothing="the kernel holds what it was told")
    if any(whose == "gate" for whose, _ in rows):
        output.hint("what is the gate's is put right; who changed it stands in the evidence, kind kernel.drifted")
    return _DIFFERENT if differences else 0
