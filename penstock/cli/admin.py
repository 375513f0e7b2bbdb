"""What the administrator's verbs share: the socket they speak to, and rows of the gate's answers as text."""

from __future__ import annotations

import argparse
from pathlib import Path

from penstock.cli import output, profile
from penstock.cli.answers import clock
from penstock.cli.client import Admin, SignedInAt, admin_socket
from penstock.model import Json

EXIT_NOT_YET = 4


def add_socket(parser: argparse.ArgumentParser) -> None:
    """``--socket``: where the gate's administrator is let in."""
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="the gate's admin socket; else $PENSTOCK_RUN/admin.sock; else by your roles",
    )


def opened(arguments: argparse.Namespace) -> Admin:
    """The admin API of the gate that is meant: on its socket where there is one, else with the roles of a sign-in."""
    path = admin_socket(arguments.socket)
    if arguments.socket is None and not _is_ours(path):
        place = profile.of_this_person()
        if place.sign_in() is not None:
            (gate, ca_pem), sign_in = place.known_gate(), place.live_sign_in()
            return Admin(None, SignedInAt(url=gate.url, ca_pem=ca_pem, token=sign_in.token))
    return Admin(path)


def _is_ours(path: Path) -> bool:
    """Whether the socket is there, and in a folder that this user may look into."""
    try:
        return path.exists()
    except OSError:
        return False


def rows_of(answer: dict[str, Json], noun: str) -> list[dict[str, Json]]:
    """The list under `noun` of an answer, as far as it is one."""
    rows = answer.get(noun)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def not_yet(answer: dict[str, Json]) -> int:
    """Say what the gate has not done yet; the exit status of a verb that has this answer."""
    problems = answer.get("not_yet")
    texts = [cell(each) for each in problems] if isinstance(problems, list) else []
    for text in texts:
        output.say(f"NOT YET: {text}")
    return EXIT_NOT_YET if texts else 0


def cell(value: Json) -> str:
    """A value as people read it in a table."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(cell(item) for item in value)
        case dict():
            return ", ".join(f"{key} {cell(item)}" for key, item in value.items())
    return str(value)


def time_cell(value: Json) -> str:
    """An ISO 8601 text in this computer's time; anything else as it is."""
    if isinstance(value, str):
        try:
            return clock(value)
        except ValueError:
            return value
    return cell(value)
