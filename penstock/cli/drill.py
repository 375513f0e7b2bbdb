"""``penstock drill``: exercise a conduit's failure mode on the live gate, and see what happens.

It shows progress while the drill runs, ends it at Ctrl-C, and prints the result.  The drill itself is the gate's:
should this program die, it goes on to its planned end.
"""

from __future__ import annotations

import argparse
import re
import time

from penstock.cli import admin, output
from penstock.cli.client import Admin
from penstock.cli.failures import counted, span
from penstock.model import Json

EXIT_NOT_PASSED, EXIT_INTERRUPTED = 1, 130
_LOOK_EVERY_S = 0.25
_LENGTH = re.compile(r"([0-9]{1,3})s?")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``drill``."""
    parser = subparsers.add_parser(
        "drill", help="exercise a conduit's failure mode on the live gate, inside its maintenance window"
    )
    parser.add_argument("conduit", metavar="CONDUIT")
    parser.add_argument(
        "--for", dest="length_s", type=length, default=10, metavar="10s", help="how long, 2s to 60s (default 10s)"
    )
    parser.add_argument("--json", action="store_true")
    admin.add_socket(parser)
    parser.set_defaults(run=drill)


def length(text: str) -> int:
    """``10s`` or ``10``, in seconds."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text}")
    return int(found.group(1))


def drill(arguments: argparse.Namespace) -> int:
    """Begin it, follow it, and say how it ended: 0 passed, 1 not, 130 interrupted."""
    with admin.opened(arguments) as http:
        begun = http.begin_drill(arguments.conduit, arguments.length_s)
        output.say(f"drill {admin.cell(begun.get('number'))} of “{arguments.conduit}” has begun: {_what(begun)}")
        for row in admin.rows_of(begun, "exercised"):
            output.say(f"  {_way(row)}: {counted(row.get('flows'))} cut")
        for name in _texts(begun.get("also")):
            output.say(f"  also affected, because it shares these flows: “{name}”")
        is_interrupted, last = False, begun
        while last.get("phase") != "ended":
            try:
                last = _followed(http, last)
            except KeyboardInterrupt:
                output.say("ending the drill")
                http.stop_drill()
                is_interrupted = True
    if arguments.json:
        output.data_json(last)
    else:
        _tell(last)
    if is_interrupted:
        return EXIT_INTERRUPTED
    return 0 if last.get("result") == "passed" else EXIT_NOT_PASSED


def _followed(http: Admin, before: dict[str, Json]) -> dict[str, Json]:
    """The drill a moment later; what is new about it is said."""
    time.sleep(_LOOK_EVERY_S)
    number = before.get("number")
    now = http.drill(number if isinstance(number, int) else 0)
    if before.get("phase") == "exercising" != now.get("phase"):
        output.say("  inspection is back, waiting for the machines")
    for was, row in zip(admin.rows_of(before, "exercised"), admin.rows_of(now, "exercised"), strict=False):
        for key, what in (("failover_us", "on the kernel path after"), ("return_us", "inspected again after")):
            if was.get(key) is None and row.get(key) is not None:
                output.say(f"  {_way(row)}: {what} {span(row.get(key))}")
    return now


def _tell(drill: dict[str, Json]) -> None:
    output.data(f"result    {admin.cell(drill.get('result'))}")
    if drill.get("why"):
        output.data(f"why       {admin.cell(drill.get('why'))}")
    if drill.get("mode") == "open":
        output.data(f"failover  {span(drill.get('failover_us')) or 'not seen'}")
    else:
        leaked = sum(value for row in admin.rows_of(drill, "exercised") if isinstance(value := row.get("leaked"), int))
        output.data(f"passed    {leaked or 'nothing'}")
        output.data(f"refused   {admin.cell(drill.get('refused'))} attempts at the gate")
    output.data(f"return    {span(drill.get('return_us')) or 'not seen'}")


def _what(drill: dict[str, Json]) -> str:
    if drill.get("mode") == "open":
        return f"for {admin.cell(drill.get('length_s'))} s its flows go uninspected"
    return f"for {admin.cell(drill.get('length_s'))} s nothing passes, live sessions are cut"


def _way(row: dict[str, Json]) -> str:
    return f"{admin.cell(row.get('subject'))} to {admin.cell(row.get('asset'))}"


def _texts(value: Json) -> list[str]:
    return [admin.cell(each) for each in value] if isinstance(value, list) else []
