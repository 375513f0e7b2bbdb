"""``penstock revision``: make a site document the policy of a running gate, and list what was applied."""

from __future__ import annotations

import argparse
from pathlib import Path

from penstock.cli import admin, output
from penstock.model import Invalid, Problem

_COLUMNS = ("revision", "applied_at", "by", "digest")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``revision``."""
    verbs = subparsers.add_parser("revision", help="apply a site document, list revisions").add_subparsers(
        metavar="VERB", required=True
    )
    parser = verbs.add_parser("apply", help="check a site document, run its tests, and make it the policy")
    parser.add_argument("path", type=Path, metavar="PATH", help="a YAML file, or a folder of them")
    admin.add_socket(parser)
    parser.set_defaults(run=apply)
    parser = verbs.add_parser("ls", help="list the revisions of this gate")
    parser.add_argument("--json", action="store_true")
    admin.add_socket(parser)
    parser.set_defaults(run=ls)


def apply(arguments: argparse.Namespace) -> int:
    """Send the documents; the gate checks them all and applies them in one step, or not at all."""
    documents = documents_at(arguments.path)
    with admin.opened(arguments) as http:
        answer = http.apply_revision(documents)
    output.say(f"revision {admin.cell(answer.get('revision'))} is applied")
    return 0


def ls(arguments: argparse.Namespace) -> int:
    """The revisions, a row each."""
    with admin.opened(arguments) as http:
        rows = admin.rows_of(http.look("revisions"), "revisions")
    if arguments.json:
        output.data_json(list(rows))
        return 0
    output.show_table(
        [column.upper().replace("_", " ") for column in _COLUMNS],
        [
            [(admin.time_cell if column == "applied_at" else admin.cell)(row.get(column)) for column in _COLUMNS]
            for row in rows
        ],
        nothing="no revision has been applied",
    )
    return 0


def documents_at(path: Path) -> dict[str, str]:
    """Name to text of the document, or of every ``*.yaml`` of the folder.  Raises `Invalid`."""
    paths = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not paths:
        raise Invalid(Problem(where=str(path), why="the folder holds no *.yaml"))
    try:
        return {one.name: one.read_text(encoding="utf-8") for one in paths}
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(Problem(where=str(path), why=f"cannot be read: {error}")) from error
