"""Host routes of this machine that lead to the gate, by `ip` (iproute2); marked, so that they are known as ours.

Stands behind ``penstock routes``.  It must never change or remove a route that it did not add, nor add any where one of
them would take the place of somebody else's.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Address

from penstock.model import Invalid, Problem, Unavailable

#: The origin of a route (rtnetlink(7), ``rtm_protocol``): a number that no routing daemon of iproute2's list uses.
ORIGIN = 80
_TIMEOUT_S = 10.0


def ours() -> frozenset[IPv4Address]:
    """Where the routes lead that were added here."""
    shown = (str(each["dst"]) for each in _shown("proto", str(ORIGIN)))
    return frozenset(IPv4Address(target) for target in shown if "/" not in target)


def add(targets: AbstractSet[IPv4Address], gateway: IPv4Address) -> None:
    """Make our routes lead to these targets and nowhere else.  Raises `Invalid` where another is in the way."""
    foreign = [
        Problem(
            where=f"route to {target}",
            why=f"there is one already, which penstock did not add: {_text(each)}",
            hint="remove that one first, or leave it if it leads to the gate",
        )
        for target in sorted(targets)
        for each in _shown("exact", f"{target}/32")
        if each.get("protocol") != str(ORIGIN)
    ]
    if foreign:
        raise Invalid(*foreign)
    stale = ours() - targets
    _change(
        [*(f"route del {each}/32 proto {ORIGIN}" for each in sorted(stale))]
        + [f"route replace {each}/32 via {gateway} proto {ORIGIN}" for each in sorted(targets)],
        gateway,
    )


def remove() -> frozenset[IPv4Address]:
    """Remove every route that was added here, and no other; where they led."""
    found = ours()
    _change([f"route del {each}/32 proto {ORIGIN}" for each in sorted(found)], None)
    return found


def _shown(*words: str) -> list[dict[str, object]]:
    text = _run(["ip", "-4", "-j", "route", "show", *words])
    return json.loads(text) if text.strip() else []


def _text(route: dict[str, object]) -> str:
    via = f" via {route['gateway']}" if "gateway" in route else ""
    return f"{route['dst']}{via} dev {route.get('dev', '?')}"


def _change(commands: Iterable[str], gateway: IPv4Address | None) -> None:
    text = "\n".join(commands)
    if not text:
        return
    try:
        _run(["ip", "-4", "-batch", "-"], text)
    except Unavailable as error:
        if "not permitted" in str(error):
            error.add_note("changing routes needs root: penstock routes | sudo sh")
        elif gateway is not None and ("invalid gateway" in str(error) or "unreachable" in str(error)):
            error.add_note(f"{gateway} is in no network of this machine: let a router or DHCP lead there")
        raise


def _run(arguments: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(arguments, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError:
        hint = "run what is printed without --apply"
        raise Invalid(Problem(where="ip", why="the program is not installed", hint=hint)) from None
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{arguments[0]} did not end") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
