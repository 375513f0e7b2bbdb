"""I/O: what stands around the table and could break it or lead past it: parameters, policy routing, foreign rules.

Stands beside `readback`.  What is ours is put right by `penstock.kernel.apply.prepare`.  What is somebody else's is
told and left alone: a machine's administrator may have reasons that a gate cannot know, but should hear of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock.kernel.apply import PARAMETERS, ROUTE_TABLE, RULE_PRIORITY, run_tool
from penstock.kernel.verify import Difference
from penstock.model import TPROXY_BIT, GatePlace

#: Tables of iptables-legacy, which no listing of nft shows; the files are there once its modules are loaded.
_LEGACY = ("ip_tables_names", "ip6_tables_names", "arp_tables_names")
#: The kernel's own first rule; whatever else comes before ours sees packets of inspected flows first.
_LOCAL_RULE = {"priority": 0, "src": "all", "table": "local"}


def parameters(place: GatePlace) -> list[Difference]:
    """Kernel parameters that are not as the gate needs them."""
    found = []
    for name, (wanted, why) in PARAMETERS.items():
        path = name.format(leg=place.interface)
        try:
            value = Path("/proc/sys", path).read_text(encoding="ascii").strip()
        except OSError as error:
            value = error.strerror or "unreadable"
        if value != wanted:
            found.append(Difference(what=f"parameter {path} is {value} instead of {wanted}: {why}"))
    return found


def routing(place: GatePlace) -> list[Difference]:
    """The rule and the route that bring packets to the worker, and foreign rules before them.  Raises `Unavailable`."""
    rules = json.loads(run_tool(["ip", "-j", "-4", "rule", "show"]) or "[]")
    routes = json.loads(run_tool(["ip", "-j", "-4", "route", "show", "table", "all", "type", "local"]) or "[]")
    found = []
    if not any(_is_our_rule(rule, place) for rule in rules):
        found.append(Difference(what=f"the routing rule of priority {RULE_PRIORITY} is missing"))
    if not any(_is_our_route(route) for route in routes):
        found.append(Difference(what=f"the route of table {ROUTE_TABLE} is missing"))
    return found + [
        Difference(what=f"foreign: routing rule {_rule_text(rule)}", is_ours=False)
        for rule in rules
        if rule != _LOCAL_RULE and rule.get("priority", 0) <= RULE_PRIORITY and not _is_our_rule(rule, place)
    ]


def legacy() -> list[Difference]:
    """Tables of iptables-legacy."""
    return [
        Difference(what=f"foreign: table {table} of iptables-legacy ({name})", is_ours=False)
        for name in _LEGACY
        for table in _lines(Path("/proc/net", name))
    ]


def count(place: GatePlace) -> int:
    """How many things these three look at."""
    return len({name.format(leg=place.interface) for name in PARAMETERS}) + 2 + len(_LEGACY)


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text(encoding="ascii").splitlines()
    except OSError:  # its module is not loaded
        return


def _is_our_rule(rule: dict[str, Any], place: GatePlace) -> bool:
    bit = f"{TPROXY_BIT:#x}"
    wanted = {"priority": RULE_PRIORITY, "iif": place.interface, "fwmark": bit, "fwmask": bit}
    return str(rule.get("table")) == str(ROUTE_TABLE) and all(rule.get(name) == value for name, value in wanted.items())


def _is_our_route(route: dict[str, Any]) -> bool:
    wanted = {"type": "local", "dst": "default", "dev": "lo"}
    return str(route.get("table")) == str(ROUTE_TABLE) and all(
        route.get(name) == value for name, value in wanted.items()
    )


def _rule_text(rule: dict[str, Any]) -> str:
    return " ".join(f"{name} {value}" for name, value in rule.items() if value not in (None, ""))
