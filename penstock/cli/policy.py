"""``penstock policy``: check a site document, and ask it who may do what, without a gate and without a network.

Stands on `penstock.policy` alone, so what it says is what the gate would decide.  It must never change anything.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from penstock.cli import output
from penstock.model import (
    ECHO,
    Binding,
    Conduit,
    Decision,
    FactorStrength,
    Invalid,
    Json,
    OperationClass,
    Problem,
    Request,
    Service,
    SessionLimits,
    Site,
    Value,
    Window,
)
from penstock.policy import (
    OBJECTS,
    Policy,
    UnreadableError,
    What,
    Who,
    accept,
    compile_policy,
    decide,
    duration_text,
    is_open,
    is_port_of,
    latency_text,
    moved_services,
    needs_kernel,
    next_opening,
    parse,
    read_documents,
    read_object,
    read_value,
    request_of,
    service_at,
    site_schema,
    window_text,
)

_WHO = ("group", "user", "asset", "role", "zone")
_ALLOWED, _DENIED = 0, 1


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``policy check`` and ``policy explain``."""
    verbs = subparsers.add_parser("policy", help="check a site document, or ask it").add_subparsers(
        metavar="VERB", required=True
    )
    check_parser = verbs.add_parser("check", help="read it, run its tests, and sum it up")
    check_parser.add_argument("path", type=Path, help="the document, or a folder of *.yaml files")
    check_parser.add_argument("--json", action="store_true", help="the summary as JSON")
    check_parser.add_argument("--no-kernel", action="store_true", help="refuse what `serve --no-kernel` would refuse")
    check_parser.set_defaults(run=check)
    explain_parser = verbs.add_parser("explain", help="is this allowed, and why not", allow_abbrev=False)
    _add_question(explain_parser)
    schema_parser = verbs.add_parser("schema", help="print the JSON Schema of site documents, for editors")
    schema_parser.set_defaults(run=print_schema)
    explain_parser.set_defaults(run=explain)


def print_schema(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every verb takes its arguments
    """Print what an editor needs to complete and check a document while it is written."""
    output.data_json(site_schema())
    return _ALLOWED


def _add_question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="the document, or a folder of *.yaml files")
    parser.add_argument(
        "--as",
        dest="who",
        action="append",
        required=True,
        metavar="KIND=NAME",
        help=f"who asks: {', '.join(_WHO)}; may be given more than once",
    )
    strengths = [strength.value for strength in FactorStrength]
    parser.add_argument("--factors", choices=strengths, default="none", help="how strongly the person signed in")
    parser.add_argument("--tls", action=argparse.BooleanOptionalAction, default=True, help="TLS up to the gate")
    bindings = [binding.value for binding in Binding]
    parser.add_argument("--bound-to", choices=bindings, default="address", help="what the flow is bound to (address)")
    parser.add_argument("--asset", required=True, help="what is reached")
    parser.add_argument("--over", required=True, metavar="SERVICE", help="service, protocol, tcp/PORT or icmp")
    classes = [each.value for each in OperationClass]
    parser.add_argument("operation", choices=classes, metavar="OPERATION", help=f"one of: {', '.join(classes)}")
    objects = parser.add_mutually_exclusive_group()
    for word in OBJECTS:
        objects.add_argument(f"--{word.replace('_', '-')}", metavar="N", help="an address, or a range such as 10-12")
    objects.add_argument("--object", metavar="KEY=WORDS", help="an object as a conduit names it: address=DB10.DBW4")
    parser.add_argument("--value", action="append", metavar="V", help="a value that is written")
    parser.add_argument("--json", action="store_true", help="the decision as JSON")


def check(arguments: argparse.Namespace) -> int:
    """Accept the document as a gate would, and print what it amounts to.  Raises `Invalid`."""
    document = parse(read_documents(arguments.path))
    accept(document, 0)
    site = document.site
    if arguments.no_kernel and (problems := needs_kernel(site)):
        raise Invalid(*problems)
    if arguments.json:
        output.data_json(_summary(site, len(document.assertions)))
        return _ALLOWED
    counts = (
        _counted(len(site.zones), "zone"),
        _counted(len(site.assets), "asset"),
        _counted(len(site.conduits), "conduit"),
        _counted(len(document.assertions), "test") + " passed",
    )
    output.data(f"{site.name}: OK, {', '.join(counts)}")
    critical = [conduit for conduit in site.conduits if conduit.is_safety_critical]
    output.data("")
    output.data("Failure-mode register: these conduits fail open, all others fail closed")
    output.show_table(
        ("CONDUIT", "APPROVED BY", "REASON", "DRILL"),
        [(each.name, each.approved_by or "", each.failure_reason or "", _drill_text(each)) for each in critical],
        nothing="none: every conduit fails closed",
    )
    for title, columns, rows in _sections(site):
        if rows:
            output.data("")
            output.data(title)
            output.show_table(columns, rows, nothing="")
    return _ALLOWED


def _drill_text(conduit: Conduit) -> str:
    return "" if conduit.drill is None else f"every {duration_text(conduit.drill.every_s)} in {conduit.drill.window}"


def _sections(site: Site) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """What a document may have besides, each as a title, its columns and its rows."""
    yield (
        "Not inspected: the kernel enforces addresses and ports",
        ("CONDUIT", "PORTS", "RECORDED"),
        [
            (each.name, ", ".join(port.at for port in each.ports), "payload" if each.records_payload else "flows")
            for each in site.conduits
            if each.ports
        ],
    )
    yield (
        "Latency budgets: what the gate itself may take for a request and its answer",
        ("CONDUIT", "BUDGET", "WHEN IT IS OVER"),
        [
            (each.name, latency_text(each.latency.limit_us), "step aside" if each.latency.steps_aside else "carry on")
            for each in site.conduits
            if each.latency is not None
        ],
    )
    yield (
        "Held: these operations wait until a second person approves them",
        ("CONDUIT", "OPERATIONS", "FOR AT MOST"),
        [(each.name, ", ".join(each.hold), duration_text(each.hold_s)) for each in site.conduits if each.hold],
    )
    yield (
        "Reached at another port, or at a shared address",
        ("ASSET", "SERVICE", "OFFERED AT", "REACHED AT"),
        [
            (asset.name, service.name, f"{asset.address} {service.at}", f"{asset.overlay} {service.overlay_at}")
            for asset, service in moved_services(site)
        ],
    )
    yield (
        "Windows",
        ("NAME", "OPEN", "NEXT OPENING"),
        [(each.name, window_text(each), _next_opening(each)) for each in site.windows],
    )


def _next_opening(window: Window) -> str:
    now_us = time.time_ns() // 1000
    if is_open(window, now_us):
        return "open now"
    opens_us = next_opening(window, now_us)
    if opens_us is None:
        return "not in the next three weeks"
    return datetime.fromtimestamp(opens_us / 1_000_000, ZoneInfo(window.timezone)).strftime("%Y-%m-%d %H:%M %Z")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _summary(site: Site, tests: int) -> Json:
    return {
        "site": site.name,
        "zones": len(site.zones),
        "assets": len(site.assets),
        "conduits": len(site.conduits),
        "tests_passed": tests,
        "fails_open": [
            {
                "conduit": conduit.name,
                "approved_by": conduit.approved_by,
                "reason": conduit.failure_reason,
                "drill": _drill_json(conduit),
            }
            for conduit in site.conduits
            if conduit.is_safety_critical
        ],
        "not_inspected": [
            {"conduit": each.name, "ports": [port.at for port in each.ports], "records_payload": each.records_payload}
            for each in site.conduits
            if each.ports
        ],
        "latency_budgets": [
            {"conduit": each.name, "limit_us": each.latency.limit_us, "steps_aside": each.latency.steps_aside}
            for each in site.conduits
            if each.latency is not None
        ],
        "held": [
            {"conduit": each.name, "operations": [item.value for item in each.hold], "hold_s": each.hold_s}
            for each in site.conduits
            if each.hold
        ],
        "needs_kernel": [{"where": each.where, "why": each.why, "hint": each.hint} for each in needs_kernel(site)],
    }


def _drill_json(conduit: Conduit) -> Json:
    return None if conduit.drill is None else {"window": conduit.drill.window, "every_s": conduit.drill.every_s}


def explain(arguments: argparse.Namespace) -> int:
    """Judge one request, and print the decision.  Raises `Invalid` where the question makes no sense."""
    policy = compile_policy(parse(read_documents(arguments.path)).site, 0)
    request = _request(policy, arguments)
    decision = decide(policy, request)
    if arguments.json:
        output.data_json(_as_json(decision))
    else:
        _print(policy, request, decision)
    return _ALLOWED if decision.is_allowed else _DENIED


def _request(policy: Policy, arguments: argparse.Namespace) -> Request:
    problems: list[Problem] = []
    who = _who(policy, arguments, problems)
    service = _service(policy, arguments, problems)
    what = None if service is None else _what(service.protocol, arguments, problems)
    if problems or service is None or what is None:
        raise Invalid(*problems)
    request = request_of(who, what, arguments.asset, service.name, service.protocol)
    return replace(request, binding=Binding(arguments.bound_to))


def _who(policy: Policy, arguments: argparse.Namespace, problems: list[Problem]) -> Who:
    parts: dict[str, str] = {}
    for word in arguments.who:
        kind, equals, name = word.partition("=")
        if kind not in _WHO or not equals or not name or kind in parts:
            hint = f"write KIND=NAME, each of {', '.join(_WHO)} at most once"
            problems.append(Problem(where="--as", why=f"{word!r} does not say who", hint=hint))
        parts[kind] = name
    if {"group", "user"} & set(parts) and {"asset", "role", "zone"} & set(parts):
        problems.append(Problem(where="--as", why="a subject is a person or a machine, not both"))
    asset = policy.site.asset(parts["asset"]) if "asset" in parts else None
    if "asset" in parts and asset is None:
        problems.append(Problem(where="--as", why=f"unknown asset {parts['asset']!r}", hint=_known(policy)))
    return Who(
        group=parts.get("group"),
        user=parts.get("user"),
        role=parts.get("role"),
        zone=parts.get("zone"),
        asset=asset,
        factors=FactorStrength(arguments.factors),
        has_tls=arguments.tls,
    )


def _what(protocol: str, arguments: argparse.Namespace, problems: list[Problem]) -> What:
    operation_class = OperationClass(arguments.operation)
    words = {word: getattr(arguments, word) for word in OBJECTS if getattr(arguments, word) is not None}
    where = "--object" if arguments.object is not None else "--" + "".join(words).replace("_", "-")
    if arguments.object is not None:
        key, _, text = arguments.object.partition("=")
        words = {key: text}
    values = [value for text in arguments.value or () if (value := _value(protocol, text, problems)) is not None]
    if values and not words:
        hint = f"add one of: --object, {', '.join('--' + each.replace('_', '-') for each in OBJECTS)}"
        problems.append(Problem(where="--value", why="a value needs an object", hint=hint))
    target = None
    for word, text in words.items():
        try:
            target = read_object(protocol, word, text, operation_class)
        except UnreadableError as error:
            problems.append(Problem(where=where, why=error.why, hint=error.hint))
    return What(operation_class=operation_class, target=target, values=tuple(values) or None)


def _value(protocol: str, text: str, problems: list[Problem]) -> Value | None:
    try:
        return read_value(protocol, text)
    except UnreadableError as error:
        problems.append(Problem(where="--value", why=error.why, hint=error.hint))
        return None


def _service(policy: Policy, arguments: argparse.Namespace, problems: list[Problem]) -> Service | None:
    if arguments.asset not in policy.assets:
        problems.append(Problem(where="--asset", why=f"unknown asset {arguments.asset!r}", hint=_known(policy)))
        return None
    service = service_at(policy.assets[arguments.asset], arguments.over)
    if service is None:
        names = ", ".join(service.name for service in policy.assets[arguments.asset].services)
        why = f"asset {arguments.asset!r} offers no {arguments.over!r}"
        problems.append(Problem(where="--over", why=why, hint=f"one of: {names}" if names else "it offers nothing"))
        return None
    return service


def _known(policy: Policy) -> str:
    names = sorted(policy.assets)
    few = 12
    return f"one of: {', '.join(names[:few])}" + (", …" if len(names) > few else "")


def _print(policy: Policy, request: Request, decision: Decision) -> None:
    if decision.is_allowed:
        output.data(f"allowed by conduit “{decision.conduit}”")
        conduit = policy.by_name[decision.conduit or ""]
        _print_way(policy, request, conduit)
        if request.operation is None and conduit.session != SessionLimits():
            output.data(f"a session of at most {conduit.session.length_s} s, idle at most {conduit.session.idle_s} s")
        for charge in decision.charges:
            output.data(f"it counts against a rate: at most {charge.count} in {charge.period_s} s")
        if decision.hold_s is not None:
            output.data(f"it is held until a second person approves it, for at most {duration_text(decision.hold_s)}")
        return
    if decision.conduit is None:
        output.data(f"denied ({decision.reason}): there are no conduits")
        return
    output.data(f"denied ({decision.reason}); closest is conduit “{decision.conduit}”")
    output.show_table(
        ("CRITERION", "WANTED", "FOUND", "WHAT HELPS"),
        [(miss.criterion, miss.wanted, miss.found, miss.remedy) for miss in decision.misses],
        nothing="",
    )


def _print_way(policy: Policy, request: Request, conduit: Conduit) -> None:
    """How a flow that is allowed goes, where that is not the usual way."""
    asset = policy.assets[request.asset]
    service = policy.ways[request.asset, request.protocol].service
    if service.overlay_at != service.at:
        output.data(f"it is reached at {asset.overlay} {service.overlay_at}, the asset offers it at {service.at}")
    if service.transport == ECHO or is_port_of(conduit, service):
        copied = ", and its packets are copied" if conduit.records_payload and service.transport != ECHO else ""
        output.data(f"{service.at} is not inspected: the kernel enforces addresses and ports{copied}")


def _as_json(decision: Decision) -> Json:
    return {
        "is_allowed": decision.is_allowed,
        "reason": decision.reason.value,
        "conduit": decision.conduit,
        "misses": [
            {
                "criterion": miss.criterion,
                "reason": miss.reason.value,
                "wanted": miss.wanted,
                "found": miss.found,
                "remedy": miss.remedy,
            }
            for miss in decision.misses
        ],
        "charges": [{"count": charge.count, "period_s": charge.period_s} for charge in decision.charges],
        "hold_s": decision.hold_s,
    }
