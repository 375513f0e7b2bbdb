"""``penstock connect``: the services of assets on local ports, until it is ended; native tools stay as they are."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from penstock.cli import host_tun, local, opening, output, profile, station
from penstock.cli.answers import Reachable, clock
from penstock.cli.client import Gate, verifying
from penstock.cli.door import Door
from penstock.cli.holding import Ending, Held, Holding
from penstock.cli.opening import Opened, Opener, Wish
from penstock.cli.shared_grants import SharedGrants
from penstock.cli.tunnel import TunnelPlace, client_context
from penstock.model import Invalid, Json, Problem, Unauthenticated, Unavailable

EXIT_REFUSED = 1
#: How a native tool is pointed at a local port, by protocol; anything else is told the address.
_NATIVE = {
    "modbus": "mbpoll -m tcp -p {port} -a 1 -0 -r 0 -c 4 -1 {host}",
    "opcua": "opc.tcp://{host}:{port}",
    "ssh": "ssh -p {port} {host}",
    "http": "http://{host}:{port}/",
    "https": "https://{host}:{port}/",
    "vnc": "vncviewer {host}::{port}",
    "rdp": "xfreerdp /v:{host}:{port}",
    "telnet": "telnet {host} {port}",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``connect``."""
    parser = subparsers.add_parser(
        "connect",
        help="open local ports to the services of assets, and keep them until Ctrl-C",
        usage="penstock connect ASSET… [--service NAME]… [--port N | --tun] [--json] [--ready-file FILE] [-- COMMAND]",
        epilog="after --, a command to run with the first {host} and {port} filled in; its end disconnects",
    )
    parser.add_argument("assets", nargs="+", metavar="ASSET")
    parser.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="NAME",
        dest="services",
        help="this service or protocol only; may be given again; all that you may reach when left out",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, metavar="N", help="local port for this once; 0 takes any free one")
    where.add_argument(
        "--tun", action="store_true", help="listen on the overlay addresses themselves (Linux; needs the right to)"
    )
    parser.add_argument("--json", action="store_true", help="what was opened, and what was not, as JSON")
    parser.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="write every HOST:PORT there once they are open; for scripts"
    )
    parser.set_defaults(run=connect, takes_command=True)


def connect(arguments: argparse.Namespace) -> int:
    """Get grants, listen, relay, and give the grants back; the exit status says how it ended."""
    place = profile.of_this_person()
    sign_in = place.live_sign_in()
    gate, ca_pem = place.known_gate()
    with place.credential() as path:
        context = client_context(verifying(ca_pem), path, path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_terminated_as_interrupted())
        http = stack.enter_context(Gate(gate.url, ca_pem, sign_in.token))
        grants = SharedGrants(http, place)
        opened = _opened(arguments, http, grants, place, stack)
        if not opened.doors:
            return _nothing(arguments, opened)
        doors = tuple(opened.doors)
        host = urlsplit(gate.url).hostname or ""
        first = doors[0].openings[0].address
        held = Held(
            doors=doors,
            place=TunnelPlace(host=host, port=doors[0].grant.tunnel_port, context=context),
            portal=Asking(http, grants),
            command=_filled(arguments.command, first),
            ready=lambda: _announce(opened, is_json=arguments.json),
        )
        stack.enter_context(_ready_file(arguments.ready_file, doors))
        with asyncio.Runner(loop_factory=station.event_loop_factory()) as runner:
            ending = runner.run(Holding(held).run())
    return _report(ending)


class Asking:
    """The gate as `holding` asks it."""

    def __init__(self, http: Gate, grants: SharedGrants) -> None:
        self.grants, self.reconnect = http.grants, http.reconnect
        self.open_grant, self.close_grant = grants.open_grant, grants.close_grant


def _opened(
    arguments: argparse.Namespace,
    http: Gate,
    grants: SharedGrants,
    place: profile.Profile,
    stack: contextlib.ExitStack,
) -> Opened:
    """Everything that could be opened.  Raises `Invalid` or `Unavailable` for what nothing can be opened without."""
    rows = http.reach().reach
    wished = opening.wishes(rows, arguments.assets, arguments.services)
    if arguments.port is not None and len(wished) > 1:
        names = ", ".join(f"{wish.asset} {wish.service}" for wish in wished)
        raise Invalid(Problem(where="--port", why=f"it is for one service: {names}", hint="add --service NAME"))
    if arguments.tun:
        stack.enter_context(host_tun.addresses(_overlays(wished)))
    opener = Opener(grants, place, stack, arguments.port, on_overlay=arguments.tun)
    stack.callback(_give_back, grants, opener.opened.doors)
    for wish in wished:
        opener.open(wish)
    for row in opening.left_out(rows, arguments.assets, arguments.services):
        opening.say_left_out(row)
    for wish, refusal in opener.opened.refused:
        opening.say_refused(wish, refusal)
    if opener.opened.doors:
        for error in opener.opened.failed:
            output.complain(error)
    return opener.opened


def _overlays(wished: Sequence[Wish]) -> frozenset[IPv4Address]:
    """The overlay addresses of what may be reached.  Raises `Invalid` where one has none."""
    rows: list[Reachable] = [wish.listed for wish in wished if wish.listed is not None and wish.listed.is_allowed]
    try:
        return frozenset(IPv4Address(row.overlay) for row in rows)
    except ValueError as error:
        raise Invalid(Problem(where="--tun", why=f"the gate names no overlay address: {error}")) from error


def _nothing(arguments: argparse.Namespace, opened: Opened) -> int:
    """Nothing is open: a refusal is an answer, anything else the error that it was."""
    if arguments.json:
        output.data_json(_as_json(opened))
    if opened.failed:
        raise opened.failed[0]
    return EXIT_REFUSED


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Other signals that end it unwind like Ctrl-C also while no event loop runs, so that no grant is left behind."""
    former = {number: signal.signal(number, signal.default_int_handler) for number in station.ending_signals()}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


def _announce(opened: Opened, *, is_json: bool) -> None:
    """The addresses on stdout, for scripts; what to do with them on stderr, for people."""
    if is_json:
        output.data_json(_as_json(opened))
    else:
        for door in opened.doors:
            for each in door.openings:
                output.data(each.address)
    rows = [row for door in opened.doors for row in _rows(door)]
    print(
        output.table(("ASSET", "SERVICE", "LOCAL ADDRESS", "GRANT", "UNTIL", "POINT YOUR TOOL AT IT"), rows),
        file=sys.stderr,
        flush=True,
    )
    if not local.knows_owners():
        output.say("this system does not tell whose connections come: other users of this computer can use the ports")
    output.say("Ctrl-C disconnects")


def _rows(door: Door) -> Iterator[tuple[str, str, str, str, str, str]]:
    grant = door.grant
    for each in door.openings:
        service = grant.service if each.port is None else f"{grant.service} {grant.transport}/{each.port}"
        tool = native(grant.protocol, each.address)
        until = clock(grant.expires_at)
        yield (grant.asset, service, each.address, str(grant.grant), until, "" if tool == each.address else tool)


def native(protocol: str, address: str) -> str:
    """How the protocol's usual tool is pointed at the local address."""
    host, _, port = address.rpartition(":")
    return _NATIVE.get(protocol, "{host}:{port}").format(host=host, port=port)


def _as_json(opened: Opened) -> Json:
    open_now: list[Json] = [
        {
            "asset": door.grant.asset,
            "service": door.grant.service,
            "protocol": door.grant.protocol,
            "transport": door.grant.transport,
            "grant": door.grant.grant,
            "expires_at": door.grant.expires_at,
            "addresses": [
                {"local": each.address, "port": door.grant.port if each.port is None else each.port}
                for each in door.openings
            ],
        }
        for door in opened.doors
    ]
    refused: list[Json] = [
        {
            "asset": wish.asset,
            "service": wish.service,
            "reason": refusal.reason,
            "conduit": refusal.conduit,
            "misses": [
                {"criterion": m.criterion, "wanted": m.wanted, "found": m.found, "remedy": m.remedy}
                for m in refusal.misses
            ],
        }
        for wish, refusal in opened.refused
    ]
    failed: list[Json] = [str(error) for error in opened.failed]
    return {"open": open_now, "refused": refused, "failed": failed}


def _filled(words: list[str], address: str) -> tuple[str, ...]:
    host, _, port = address.rpartition(":")
    return tuple(word.replace("{host}", host).replace("{port}", port) for word in words)


@contextlib.contextmanager
def _ready_file(path: Path | None, doors: Sequence[Door]) -> Iterator[None]:
    if path is None:
        yield
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("x", encoding="ascii") as file:  # a new one, never what a link of somebody else leads to
            file.writelines(f"{each.address}\n" for door in doors for each in door.openings)
        draft.replace(path)
    except OSError as error:
        raise Invalid(Problem(where=str(path), why=f"cannot be written: {error.strerror}")) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _give_back(grants: SharedGrants, doors: Sequence[Door]) -> None:
    """End the grants; where the gate cannot be told, or ended them itself, there is nothing left to do."""
    for at, door in enumerate(doors):
        if door.over:
            continue
        try:
            grants.close_grant(door.grant.grant)
        except Unavailable:
            left = [f"grant {each.grant.grant} ends by itself {clock(each.grant.expires_at)}" for each in doors[at:]]
            output.say(f"the gate does not answer; {', '.join(left)}".rstrip())
            return
        except (Invalid, Unauthenticated):
            continue


def _report(ending: Ending) -> int:
    if ending.text:
        output.say(f"penstock: {ending.text}")
    output.hint(ending.hint)
    return ending.status
