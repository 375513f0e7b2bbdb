"""``penstock routes``: host routes to the gate, for what this person may reach by its overlay address.

A route is a way, not a permission: what it leads to is still refused without a grant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address

from penstock.cli import host_routes, output, profile
from penstock.cli.answers import Reachable, ReachAnswer
from penstock.cli.client import Gate
from penstock.model import Invalid, Problem, Unavailable

#: How each system is told, by what `sys.platform` begins with.
_COMMANDS = {
    "linux": "ip route replace {target}/32 via {gateway} proto " + str(host_routes.ORIGIN),
    "windows": "route -p add {target} mask 255.255.255.255 {gateway}",
    "macos": "route -n add -host {target} {gateway}",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``routes``."""
    parser = subparsers.add_parser("routes", help="the routes that lead this computer to overlay addresses")
    parser.add_argument("--for", dest="system", choices=sorted(_COMMANDS), help="another system than this one")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--apply", action="store_true", help="set them on this machine (Linux; needs root)")
    doing.add_argument("--remove", action="store_true", help="remove those that --apply set, and no others")
    parser.set_defaults(run=routes)


def routes(arguments: argparse.Namespace) -> int:
    """Print the commands, or do it."""
    if arguments.apply or arguments.remove:
        _require_linux()
    if arguments.remove:
        _say_count("removed", host_routes.remove())
        return 0
    place = profile.of_this_person()
    sign_in = place.live_sign_in()
    gate, ca_pem = place.known_gate()
    with Gate(gate.url, ca_pem, sign_in.token) as http:
        answer = http.reach()
    gateway, targets = ways_of(answer)
    if arguments.apply:
        host_routes.add(targets, gateway)
        _say_count("in place", targets)
        return 0
    for line in commands(targets, gateway, arguments.system or _system()):
        output.data(line)
    if not targets:
        output.say("nothing that you may reach has an overlay address")
    return 0


def ways_of(answer: ReachAnswer) -> tuple[IPv4Address, frozenset[IPv4Address]]:
    """The gate's leg, and the overlay addresses of what may be reached.  Raises `Unavailable` for anything else.

    Only addresses pass: what is printed here is run by a shell.
    """
    if not answer.gateway:
        silent = Unavailable("this gate has no leg on a plant network, so nothing leads to overlay addresses")
        silent.add_note("use penstock connect")
        raise silent
    try:
        targets = frozenset(IPv4Address(row.overlay) for row in answer.reach if _leads(row) and row.overlay)
        return IPv4Address(answer.gateway), targets
    except ValueError as error:
        raise Unavailable(f"the gate names something that is no IPv4 address: {error}") from error


def _leads(row: Reachable) -> bool:
    """Whether it may be reached, be it only past the client: its tunnel does not carry echo."""
    return row.is_allowed or [miss.criterion for miss in row.misses] == ["binding"]


def commands(targets: Iterable[IPv4Address], gateway: IPv4Address, system: str) -> Sequence[str]:
    """One line a target, in the order of the addresses."""
    return [_COMMANDS[system].format(target=target, gateway=gateway) for target in sorted(targets)]


def _system() -> str:
    if sys.platform.startswith("win"):
        return "windows"
    return "macos" if sys.platform == "darwin" else "linux"


def _require_linux() -> None:
    if _system() != "linux":
        why = "routes are set on Linux only"
        raise Invalid(Problem(where="--apply", why=why, hint="run as administrator what penstock routes prints"))


def _say_count(what: str, targets: Iterable[IPv4Address]) -> None:
    shown = ", ".join(str(target) for target in sorted(targets))
    output.say(f"routes {what}: {shown or 'none'}")
