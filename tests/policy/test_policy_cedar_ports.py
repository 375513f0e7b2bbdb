"""`decide` against Cedar, for what the kernel carries: ports, ranges, echo, and what a binding can carry."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import cedarpy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from policy_cases import bare_site
from test_policy_cedar import either, every, often

from penstock.model import (
    ECHO,
    Binding,
    Conduit,
    Factor,
    Invalid,
    Operation,
    OperationClass,
    Permission,
    PortPermission,
    Rate,
    Reason,
    Request,
    Requirements,
    Selector,
    Service,
    Site,
    Subject,
    SubjectKind,
)
from penstock.policy import compile_policy, decide
from penstock.policy.echo import with_echo

SERVICES = (
    Service(name="modbus", protocol="modbus", port=502),
    Service(name="web", protocol="https", port=443),
    Service(name="media", protocol="media", port=5000, last_port=5009),
    Service(name="bacnet", protocol="bacnet", port=47808, transport="udp"),
    Service(name="tftp", protocol="tftp", port=5000, transport="udp", last_port=5003),
    Service(name="odd", protocol="iec104", port=502, transport="udp"),
)
CLASSES = (OperationClass.SESSION, OperationClass.DISCOVERY, OperationClass.READ, OperationClass.WRITE)
Case = tuple[tuple[Conduit, ...], Request]


def cedar_conduit(conduit: Conduit) -> str:
    """Which services it leads to, by numbers alone; echo where discovery is allowed without a rate and without TLS."""
    source = conduit.source
    fits = f'principal.groups.contains("{source.group}")' if source.group else f'principal.role == "{source.role}"'
    ports = [
        f'(context.transport == "{port.transport}" && context.first >= {port.port}'
        f" && context.last <= {port.last_port or port.port})"
        for port in conduit.ports
        if port.transport != ECHO
    ]
    classes = [f'context.class == "{each.operation_class}"' for each in conduit.permissions]
    asked = either(['context.class == ""', 'context.class == "session"', *classes])
    if conduit.permissions:
        ports.append(f'(context.transport == "tcp" && context.speaks == "modbus" && {asked} && context.is_own)')
    is_asked_for = any(port.transport == ECHO for port in conduit.ports)
    is_implied = any(p.operation_class is OperationClass.DISCOVERY and p.rate is None for p in conduit.permissions)
    if (is_asked_for or is_implied) and not conduit.require.tls:
        echoes = either([f'context.class == "{word}"' for word in ("", "session", "discovery")])
        ports.append(f'(context.transport == "icmp" && {echoes} && context.is_own)')
    terms = [fits, f"principal.is_person == {str(source.group is not None).lower()}", either(ports)]
    terms.append(
        '(context.binding == "address" || (context.binding == "certificate" && context.transport != "icmp")'
        ' || (context.transport == "tcp" && context.first == context.last))'
    )
    terms += ["context.has_tls"] if conduit.require.tls else []
    return f"permit(principal, action, resource) when {{ {every(terms)} }};"


def cedar_allows(site: Site, request: Request) -> bool:
    asset = next(each for each in site.assets if each.name == request.asset)
    service = next((each for each in asset.services if each.name == request.protocol), None)
    if service is None:
        return False
    subject, operation = request.subject, request.operation
    who = {
        "is_person": subject.kind is SubjectKind.PERSON,
        "groups": sorted(subject.groups),
        "role": subject.role or "",
    }
    context = {
        "transport": service.transport,
        "first": service.port,
        "last": service.last_port or service.port,
        "speaks": service.protocol,
        "class": "" if operation is None else str(operation.classes[0]),
        "is_own": operation is None or operation.protocol == service.protocol,
        "binding": str(request.binding),
        "has_tls": request.has_tls or request.binding is Binding.CERTIFICATE,
    }
    entities = [
        {"uid": {"type": "Subject", "id": "s"}, "attrs": who, "parents": []},
        {"uid": {"type": "Asset", "id": "a"}, "attrs": {}, "parents": []},
    ]
    asked = {"principal": 'Subject::"s"', "action": 'Action::"do"', "resource": 'Asset::"a"', "context": context}
    result = cedarpy.is_authorized(asked, "\n".join(cedar_conduit(each) for each in site.conduits), entities)
    assert not result.diagnostics.errors
    return bool(result.allowed)


@st.composite
def port_permissions(draw: st.DrawFn, service: Service) -> PortPermission:
    """Often just the service, sometimes a little more or less."""
    if service.transport == ECHO or draw(st.integers(0, 5)) == 0:
        return PortPermission(transport=ECHO, port=0)
    first = service.port + draw(st.sampled_from([0, 0, 0, -1, 1]))
    last = (service.last_port or service.port) + draw(st.sampled_from([0, 0, 0, 1, -1]))
    transport = often(draw, service.transport, st.sampled_from(["tcp", "udp"]))
    return PortPermission(transport=transport, port=min(first, last), last_port=max(first, last))


def permissions_of(classes: tuple[OperationClass, ...]) -> st.SearchStrategy[Permission]:
    """Permissions of these classes, half of them with a rate."""
    rates = st.sampled_from([None, Rate(count=5, period_s=60)])
    return st.builds(Permission, protocol=st.just("modbus"), operation_class=st.sampled_from(classes), rate=rates)


@st.composite
def conduits(draw: st.DrawFn, name: str, wanted: Service, *, is_person: bool) -> Conduit:
    source = Selector(group="g1") if is_person else Selector(role="scada")
    permissions, ports = (
        draw(st.lists(permissions_of(CLASSES), max_size=2)),
        draw(st.lists(port_permissions(wanted), max_size=2)),
    )
    if wanted.transport == ECHO:  # by name, by `discovery`, by `discovery` with a rate, by another class, or not at all
        discovering = draw(st.lists(permissions_of(CLASSES[1:3]), min_size=1, max_size=1))
        permissions, ports = draw(
            st.sampled_from([([], ports), (discovering, []), (discovering, []), (permissions, ports)])
        )
    return Conduit(
        name=name,
        source=often(draw, source, st.sampled_from([Selector(group="g2"), Selector(role="hmi")])),
        target=Selector(asset="plc-1"),
        permissions=tuple(permissions),
        ports=tuple(ports),
        require=Requirements(tls=draw(st.sampled_from([False, False, True]))),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    echo = Service(name=ECHO, protocol=ECHO, transport=ECHO, port=0)
    service = draw(st.sampled_from([*SERVICES, echo, echo]))
    is_person = draw(st.booleans())
    if is_person:
        factors = frozenset({Factor.PASSWORD})
        subject = Subject(name="ada", kind=SubjectKind.PERSON, groups=frozenset({"g1"}), factors=factors)
    else:
        subject = Subject(name="scada-1", kind=SubjectKind.MACHINE, role="scada", factors=frozenset({Factor.ADDRESS}))
    operation = None
    if draw(st.booleans()):
        protocol = often(draw, service.protocol, st.just("s7comm"))
        operation = Operation(protocol=protocol, classes=(draw(st.sampled_from(CLASSES)),), code="1", name="x")
    request = Request(
        subject=subject,
        asset="plc-1",
        protocol=service.name,
        operation=operation,
        binding=draw(st.sampled_from([Binding.ADDRESS, Binding.ADDRESS, *Binding])),
        has_tls=draw(st.booleans()),
    )
    found = [draw(conduits(name, service, is_person=is_person)) for name in "ABC"[: draw(st.integers(0, 3))]]
    return tuple(found), request


def site_of(found: tuple[Conduit, ...]) -> Site:
    """As the parser leaves it: with echo where it is."""
    site = bare_site()
    assets = [replace(each, services=SERVICES) if each.name == "plc-1" else each for each in site.assets]
    return replace(site, assets=with_echo(assets, found), conduits=found)


def judged(case: Case) -> tuple[bool, Reason, Site]:
    site = site_of(case[0])
    try:
        decision = decide(compile_policy(site, 1), case[1])
    except Invalid:  # one conduit inspects what another permits as a whole: no such policy exists
        assume(False)
        raise
    return decision.is_allowed, decision.reason, site


@settings(max_examples=800, deadline=None)
@given(cases())
def test_cedar_and_penstock_judge_ports_ranges_echo_and_bindings_alike(case: Case) -> None:
    is_allowed, _, site = judged(case)
    assert cedar_allows(site, case[1]) == is_allowed


def test_the_cases_that_are_compared_are_often_allowed_and_denied_for_every_reason() -> None:
    seen: Counter[Any] = Counter()

    @settings(max_examples=800, deadline=None, database=None, derandomize=True)
    @given(cases())
    def count(case: Case) -> None:
        is_allowed, reason, _ = judged(case)
        seen[reason] += 1
        if is_allowed:
            seen[case[1].protocol] += 1

    count()
    assert {service.name for service in SERVICES} | {ECHO} <= seen.keys(), seen
    assert seen[Reason.ALLOWED] > 60, seen
    assert min(seen[each] for each in (Reason.NOT_CARRIED, Reason.OPERATION_NOT_ALLOWED, Reason.TLS_REQUIRED)) > 5, seen
