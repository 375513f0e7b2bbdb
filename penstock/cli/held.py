"""``penstock held``: operations that wait for a second person; look at one, approve it, refuse it.

Always as whoever is signed in: a second person is a person, so the administrator's socket decides nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.cli import output, profile
from penstock.cli.admin import cell, rows_of, time_cell
from penstock.cli.held_gate import HeldGate
from penstock.model import Json, Unavailable

DONE, EXIT_OTHERWISE, EXIT_UNKNOWN = 0, 1, 4
_LOOK_EVERY_S = 1.0
_LINE_BYTES = 16
_WANTED = {"approve": "forwarded", "refuse": "refused"}
_STATES = {
    "waiting": "waits",
    "approved": "approved, not forwarded yet",
    "disapproved": "refused, not told yet",
    "forwarded": "forwarded",
    "refused": "refused",
    "timed_out": "nobody decided in time",
    "withdrawn": "given up",
    "not_allowed": "not allowed any more",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``held``."""
    parser = subparsers.add_parser("held", help="operations that wait for a second person: show, approve, refuse")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=ls)
    verbs = parser.add_subparsers(metavar="VERB")
    listing = verbs.add_parser("ls", help="the same as without a verb")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=ls)
    one = verbs.add_parser("show", help="one of them: every object with its value, and the exact bytes")
    one.add_argument("hold", metavar="HOLD", help="1042.1, as the list names it")
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=show)
    for verb, what in (("approve", "let it pass, exactly as it is shown"), ("refuse", "have it refused")):
        deciding = verbs.add_parser(verb, help=what)
        deciding.add_argument("hold", metavar="HOLD")
        deciding.add_argument("--why", required=True, metavar="TEXT", help="goes into the evidence")
        deciding.add_argument("--json", action="store_true")
        deciding.set_defaults(run=decide, verb=verb)
    following = verbs.add_parser("watch", help="follow the list, a line each change, until Ctrl-C")
    following.add_argument("--json", action="store_true", help="a JSON document a line")
    following.set_defaults(run=watch)


def ls(arguments: argparse.Namespace) -> int:
    """What waits, what times out first in front."""
    with _gate() as http:
        answer = http.waiting()
    if arguments.json:
        output.data_json(answer)
        return DONE
    rows = rows_of(answer, "waiting")
    output.show_table(
        ("HOLD", "LEFT", "WHO", "FROM", "ASSET", "WHAT", "STATE", "BEHIND"),
        [
            (
                *(_left(row) if key == "left_s" else cell(row.get(key)) for key in _COLUMNS),
                _state(row),
                cell(row.get("behind")),
            )
            for row in rows
        ],
        nothing="no operation waits",
    )
    first = next((row for row in rows if row.get("may_decide") is True), None)
    if first is not None:
        output.hint(f"penstock held show {cell(first.get('hold'))}; then approve or refuse it, with --why")
    return DONE


_COLUMNS = ("hold", "left_s", "subject", "source", "asset", "what")


def show(arguments: argparse.Namespace) -> int:
    """Everything that is known of one."""
    with _gate() as http:
        row = http.one(arguments.hold)
    if arguments.json:
        output.data_json(row)
        return DONE
    for name, value in _facts(row):
        if value:
            output.data(f"{name:<12}{value}")
    output.data("")
    output.show_table(
        ("CLASS", "OBJECT", "NEW VALUE", "IT HELD"),
        [
            [*(cell(each.get(key)) for key in ("class", "object", "value")), _was(each)]
            for each in rows_of(row, "objects")
        ],
        nothing="the message names no object",
    )
    more = row.get("more_objects")
    if isinstance(more, int) and more:
        output.data(f"and {more} more objects: see the bytes")
    output.data("")
    for line in _hex_lines(cell(row.get("data"))):
        output.data(line)
    return DONE


def decide(arguments: argparse.Namespace) -> int:
    """0: as decided; 1: something else became of it; 4: not known yet."""
    with _gate() as http:
        row = http.decide(arguments.hold, arguments.verb, arguments.why)
    if arguments.json:
        output.data_json(row)
    state = cell(row.get("state"))
    if state == _WANTED[arguments.verb]:
        output.say(f"{arguments.hold} {state}: {cell(row.get('what'))} on {cell(row.get('asset'))}")
        return DONE
    if state in {"approved", "disapproved"}:
        output.say(f"{arguments.hold}: decided and on record, but what became of it is not known yet")
        output.hint(f"penstock held show {arguments.hold}")
        return EXIT_UNKNOWN
    reason = cell(row.get("reason"))
    output.say(f"{arguments.hold}: {cell(row.get('outcome'))}{f' ({reason})' if reason else ''}")
    return EXIT_OTHERWISE


def watch(arguments: argparse.Namespace) -> int:
    """A line for each hold that begins, is decided or ends.  Ends with Ctrl-C, or with the sign-in."""
    told: dict[str, str] | None = None
    is_away = False
    output.say("each hold is told here; Ctrl-C ends")
    with _gate() as http:
        while True:
            try:
                answer = http.waiting()
            except Unavailable as error:
                if not is_away:
                    output.say(f"{error}; still asking")
                is_away = True
            else:
                if is_away:
                    output.say("the gate answers again")
                is_away, told = False, _tell_changes(answer, told, is_json=arguments.json)
            time.sleep(_LOOK_EVERY_S)


def _tell_changes(answer: dict[str, Json], told: dict[str, str] | None, *, is_json: bool) -> dict[str, str]:
    """Print what is new against `told` (state by hold; ``None``: nothing was told yet, so only what waits counts)."""
    rows = [*rows_of(answer, "waiting"), *(rows_of(answer, "ended") if told is not None else ())]
    now = {cell(row.get("hold")): cell(row.get("state")) for row in rows}
    for row in rows:
        hold = cell(row.get("hold"))
        if told is not None and told.get(hold) == now[hold]:
            continue
        output.data(json.dumps(row, sort_keys=True) if is_json else _line(row))
    ended = (
        {} if told is not None else {cell(row.get("hold")): cell(row.get("state")) for row in rows_of(answer, "ended")}
    )
    return now | ended


def _line(row: dict[str, Json]) -> str:
    by, why = cell(row.get("decided_by")), cell(row.get("why"))
    decided = f" by {by}: {why}" if by else ""
    left = f", {_left(row)} left" if row.get("state") == "waiting" else ""
    what = f"{cell(row.get('subject'))} on {cell(row.get('asset'))}: {cell(row.get('what'))}"
    return f"{time.strftime('%H:%M:%S')}  {cell(row.get('hold'))}  {_state(row)}{left}{decided}  {what}"


def _facts(row: dict[str, Json]) -> Iterator[tuple[str, str]]:
    unit = row.get("unit")
    yield "hold", cell(row.get("hold"))
    yield "state", _state(row) + (f", {_left(row)} left" if row.get("left_s") else "")
    yield "who", f"{cell(row.get('subject'))} from {cell(row.get('source'))}"
    yield "asset", f"{cell(row.get('asset'))}, {cell(row.get('service'))}" + ("" if unit is None else f", unit {unit}")
    yield "conduit", cell(row.get("conduit"))
    yield "allows", "; ".join(cell(each) for each in _list(row.get("conduit_allows")))
    yield "operation", f"{cell(row.get('operation'))}: {cell(row.get('name'))} ({cell(row.get('code'))})"
    yield "since", time_cell(row.get("held_at"))
    yield "behind it", f"{row.get('behind')} more requests wait" if row.get("behind") else ""
    yield "decided by", cell(row.get("decided_by"))
    yield "why", cell(row.get("why"))
    yield "outcome", cell(row.get("outcome"))


def _was(each: dict[str, Json]) -> str:
    """What an object held before, and how old that is."""
    was, age = cell(each.get("was")), each.get("was_age_s")
    return f"{was}, {_span(age)} before" if was and isinstance(age, int) else was


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _state(row: dict[str, Json]) -> str:
    state = cell(row.get("state"))
    return _STATES.get(state, state)


def _left(row: dict[str, Json]) -> str:
    left = row.get("left_s")
    return _span(left) if isinstance(left, int) else ""


def _span(whole_s: int) -> str:
    minutes, seconds = divmod(whole_s, 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _hex_lines(data: str) -> list[str]:
    """The exact bytes, sixteen a line, each line with its offset."""
    try:
        raw = bytes.fromhex(data)
    except ValueError:
        return [data]
    return [f"{at:04x}  {raw[at : at + _LINE_BYTES].hex(' ')}" for at in range(0, len(raw), _LINE_BYTES)]


@contextmanager
def _gate() -> Iterator[HeldGate]:
    place = profile.of_this_person()
    sign_in = place.live_sign_in()
    gate, ca_pem = place.known_gate()
    with HeldGate(gate.url, ca_pem, sign_in.token) as http:
        yield http
