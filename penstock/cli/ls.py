"""``penstock ls``: every asset, where to point the native tool, and what may be done; if not, why and what helps."""

from __future__ import annotations

import argparse

from penstock.cli import local, output, profile
from penstock.cli.answers import Reachable
from penstock.cli.client import Gate
from penstock.model import Json


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``ls``."""
    parser = subparsers.add_parser("ls", help="list assets, local ports, and what you may do")
    parser.add_argument("--json", action="store_true", help="everything that the gate said, as JSON")
    parser.set_defaults(run=ls)


def ls(arguments: argparse.Namespace) -> int:
    """Ask the gate, and print."""
    place = profile.of_this_person()
    sign_in = place.live_sign_in()
    gate, ca_pem = place.known_gate()
    with Gate(gate.url, ca_pem, sign_in.token) as http:
        answer = http.reach()
    rows = answer.reach
    ports = {row: place.port_of(row.asset, _own_name(row), local.is_free) for row in rows if row.is_allowed}
    if arguments.json:
        output.data_json([_as_json(row, ports.get(row)) for row in rows])
        return 0
    output.show_table(
        ("ASSET", "SERVICE", "LOCAL ADDRESS", "MAY I", "WHAT, OR WHY NOT"),
        [line for row in rows for line in lines_of(row, ports.get(row))],
        nothing="this gate protects no asset that it would show you",
    )
    for missing in answer.not_enforced:
        output.say(f"not enforced by this gate: {missing}")
    return 0


def lines_of(row: Reachable, port: int | None) -> list[tuple[str, str, str, str, str]]:
    """The lines of one service: the first says it, the others go into the reasons and what would help."""
    if row.is_allowed:
        what = "; ".join(row.allows) or f"by the conduit “{row.conduit}”"
        more = f" and {row.size - 1} more" if row.size > 1 else ""
        return [(row.asset, row.service, f"{local.HOST}:{port}{more}", "yes", what)]
    reasons = [
        line for miss in row.misses for line in (str(miss), f"hint: {miss.remedy}" if miss.remedy else "") if line
    ]
    first, *others = reasons or ["no conduit leads there for you"]
    return [(row.asset, row.service, "", "no", first), *(("", "", "", "", line) for line in others)]


def _own_name(row: Reachable) -> str:
    """What its local port is kept under; a range has one for each of its ports, this is the first."""
    return local.local_name(row.service, row.port, row.last_port)


def _as_json(row: Reachable, port: int | None) -> dict[str, Json]:
    return {
        "asset": row.asset,
        "service": row.service,
        "protocol": row.protocol,
        "zone": row.zone,
        "port": row.port,
        "local_address": f"{local.HOST}:{port}" if port else None,
        "is_allowed": row.is_allowed,
        "conduit": row.conduit,
        "allows": list(row.allows),
        "misses": [
            {"criterion": m.criterion, "wanted": m.wanted, "found": m.found, "remedy": m.remedy} for m in row.misses
        ],
    }
