"""`decide` against an independent judge: the same conduits as Cedar policies, evaluated by Cedar itself.

Cedar has neither loops nor ranges, so the request has fixed places for two targets of up to three objects.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import cedarpy
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import bare_site

from penstock.model import (
    Binding,
    Conduit,
    Decision,
    Factor,
    FactorStrength,
    Interval,
    Operation,
    OperationClass,
    Permission,
    Rate,
    Reason,
    Request,
    Requirements,
    Selector,
    Site,
    Span,
    Subject,
    SubjectKind,
    Target,
)
from penstock.policy import compile_policy, decide

CLASSES = (OperationClass.READ, OperationClass.WRITE, OperationClass.EXECUTE, OperationClass.UNKNOWN)
TABLES = ("coils", "holding_registers")
RANK = {"none": 0, "one": 1, "two": 2, "phishing-resistant": 3}


def either(terms: list[str]) -> str:
    return "(" + (" || ".join(terms) or "false") + ")"


def every(terms: list[str]) -> str:
    return "(" + (" && ".join(terms) or "true") + ")"


def cedar_permission(permission: Permission, slot: str) -> str:
    """One permission for one place of the request: class, each object, each value, rate."""
    terms = [f'context.{slot}_class == "{permission.operation_class}"']
    if permission.spans:
        objects = [
            either(
                [
                    f'(context.{slot}_table == "{span.table}" && context.{slot}_o{n} >= {span.first}'
                    f" && context.{slot}_o{n} <= {span.last})"
                    for span in permission.spans
                ]
            )
            for n in range(3)
        ]
        terms += [f"context.{slot}_has_objects", *objects]
    if permission.values:
        terms.append(f"context.{slot}_has_values")
        terms += [
            either(
                [
                    f"(context.{slot}_v{n} >= {item.low} && context.{slot}_v{n} <= {item.high})"
                    for item in permission.values
                ]
            )
            for n in range(3)
        ]
    if permission.rate is not None:
        terms.append(f"context.spent < {permission.rate.count}")
    return every(terms)


def cedar_conduit(conduit: Conduit) -> str:
    source, to = conduit.source, conduit.target
    terms = ['context.protocol == "modbus"']
    if source.group is not None or source.user is not None:
        terms.append("principal.is_person")
        terms += [f'principal.groups.contains("{source.group}")'] if source.group else []
        terms += [f'principal.name == "{source.user}"'] if source.user else []
    else:
        terms.append("!principal.is_person")
        terms += [f'principal.name == "{source.asset}"'] if source.asset else []
        terms += [f'principal.role == "{source.role}"'] if source.role else []
        terms += [f'principal.zone == "{source.zone}"'] if source.zone else []
    terms += [f'resource.name == "{to.asset}"'] if to.asset else []
    terms += [f'resource.role == "{to.role}"'] if to.role else []
    terms += [f'resource.zone == "{to.zone}"'] if to.zone else []
    terms.append(f"principal.rank >= {RANK[conduit.require.factors.value]}")
    terms += ["context.has_tls"] if conduit.require.tls else []
    for slot in ("a", "b"):
        allowed = either([cedar_permission(permission, slot) for permission in conduit.permissions])
        terms.append(f"(!context.{slot}_is_there || {allowed})")
    return f"permit(principal, action, resource) when {{ {every(terms)} }};"


def cedar_slot(slot: str, demand: tuple[OperationClass, Target | None] | None) -> dict[str, object]:
    operation_class, target = demand if demand is not None else (None, None)
    objects = list(range(target.first, target.last + 1)) if target is not None else [0]
    values = list(target.values or (0,)) if target is not None else [0]
    filled = {f"{slot}_o{n}": objects[min(n, len(objects) - 1)] for n in range(3)}
    filled |= {f"{slot}_v{n}": values[min(n, len(values) - 1)] for n in range(3)}
    return filled | {
        f"{slot}_is_there": demand is not None,
        f"{slot}_class": str(operation_class or ""),
        f"{slot}_table": target.table if target is not None else "",
        f"{slot}_has_objects": target is not None,
        f"{slot}_has_values": target is not None and target.values is not None,
    }


def cedar_allows(site: Site, request: Request, spent: int) -> bool:
    asset = next(item for item in site.assets if item.name == request.asset)
    subject, operation = request.subject, request.operation
    assert operation is not None
    touched = [target.operation_class for target in operation.targets]
    demands: list[tuple[OperationClass, Target | None]] = [(item.operation_class, item) for item in operation.targets]
    demands += [(item, None) for item in operation.classes if item not in touched]
    proofs = subject.factors - {Factor.ADDRESS}
    rank = 3 if Factor.PASSKEY in proofs else min(len(proofs), 2)
    person = {
        "is_person": subject.kind is SubjectKind.PERSON,
        "name": subject.name,
        "groups": sorted(subject.groups),
        "role": subject.role or "",
        "zone": subject.zone or "",
        "rank": rank,
    }
    entities = [
        {"uid": {"type": "Subject", "id": "s"}, "attrs": person, "parents": []},
        {
            "uid": {"type": "Asset", "id": "a"},
            "attrs": {"name": asset.name, "role": asset.role, "zone": asset.zone},
            "parents": [],
        },
    ]
    context = {
        "protocol": operation.protocol,
        "has_tls": request.has_tls or request.binding is Binding.CERTIFICATE,
        "spent": spent,
        **cedar_slot("a", demands[0] if demands else None),
        **cedar_slot("b", demands[1] if len(demands) > 1 else None),
    }
    asked = {"principal": 'Subject::"s"', "action": 'Action::"do"', "resource": 'Asset::"a"', "context": context}
    result = cedarpy.is_authorized(asked, "\n".join(cedar_conduit(item) for item in site.conduits), entities)
    assert not result.diagnostics.errors
    return bool(result.allowed)


def often(draw: st.DrawFn, usual: Any, other: st.SearchStrategy[Any]) -> Any:
    """`usual` four times out of five: requests and conduits must meet often enough to be worth judging."""
    return draw(other) if draw(st.integers(0, 4)) == 0 else usual


@st.composite
def requests(draw: st.DrawFn) -> Request:
    if draw(st.booleans()):
        subject = Subject(
            name=draw(st.sampled_from(["alice", "scada-1"])),
            kind=SubjectKind.PERSON,
            groups=frozenset(draw(st.sampled_from([("g1",), ("g1", "g2"), ()]))),
            factors=frozenset(
                draw(st.sampled_from([(Factor.PASSKEY,), (Factor.PASSWORD, Factor.TOTP), (Factor.PASSWORD,)]))
            ),
        )
    else:
        role, zone = draw(st.sampled_from([("scada", "control"), ("plc", "cell")]))
        name = draw(st.sampled_from(["scada-1", "plc-1", "alice"]))
        subject = Subject(
            name=name, kind=SubjectKind.MACHINE, role=role, zone=zone, factors=frozenset({Factor.ADDRESS})
        )
    found = tuple(draw(st.lists(touched(), min_size=1, max_size=2))) if draw(st.integers(0, 3)) else ()
    classes = [item.operation_class for item in found]
    if (len(found) < 2 and draw(st.integers(0, 3)) == 0) or not found:
        classes.append(draw(st.sampled_from(CLASSES)))
    operation = Operation(
        protocol=often(draw, "modbus", st.just("s7comm")),
        classes=tuple(dict.fromkeys(classes)),
        code="1",
        name="x",
        targets=found,
    )
    return Request(
        subject=subject,
        asset=draw(st.sampled_from(["plc-1", "plc-2"])),
        protocol="modbus",
        operation=operation,
        binding=draw(st.sampled_from(Binding)),
        has_tls=draw(st.booleans()),
    )


@st.composite
def touched(draw: st.DrawFn) -> Target:
    values = tuple(draw(st.lists(st.integers(0, 9), min_size=1, max_size=3)))
    return Target(
        operation_class=draw(st.sampled_from(CLASSES[:2])),
        table=draw(st.sampled_from(TABLES)),
        first=draw(st.integers(0, 9)),
        count=len(values),
        values=often(draw, values, st.none()),
    )


@st.composite
def conduits_for(draw: st.DrawFn, request: Request) -> tuple[Conduit, ...]:
    return tuple(draw(conduit_for(request, name)) for name in "ABCD"[: draw(st.integers(0, 4))])


@st.composite
def conduit_for(draw: st.DrawFn, request: Request, name: str) -> Conduit:
    subject = request.subject
    fitting = [
        Selector(role=subject.role),
        Selector(zone=subject.zone),
        Selector(role=subject.role, zone=subject.zone),
        Selector(asset=subject.name),
    ]
    if subject.kind is SubjectKind.PERSON:
        fitting = [Selector(user=subject.name), *(Selector(group=group) for group in sorted(subject.groups))]
    strangers = [Selector(group="g2"), Selector(user="bob"), Selector(role="hmi"), Selector(asset="scada-1")]
    strangers += [
        Selector(group="g1", user="alice"),
        Selector(zone="control"),
        Selector(role=subject.role, zone="cell"),
    ]
    asset = next(item for item in bare_site().assets if item.name == request.asset)
    leading = [Selector(asset=asset.name), Selector(zone=asset.zone), Selector(role=asset.role, zone=asset.zone)]
    assert request.operation is not None
    needed = [draw(permission_for(request.operation, each)) for each in request.operation.classes]
    more = draw(st.lists(permission_for(request.operation, draw(st.sampled_from(CLASSES))), max_size=2))
    strengths = st.sampled_from(FactorStrength)
    return Conduit(
        name=name,
        source=often(draw, draw(st.sampled_from(fitting)), st.sampled_from(strangers)),
        target=often(draw, draw(st.sampled_from(leading)), st.just(Selector(asset="plc-1"))),
        permissions=(*needed[draw(st.integers(0, 4)) == 0 :], *more),
        require=Requirements(
            factors=often(draw, FactorStrength.NONE, strengths),
            tls=often(draw, False, st.booleans()),
        ),
    )


@st.composite
def permission_for(draw: st.DrawFn, operation: Operation, operation_class: OperationClass) -> Permission:
    """A permission that often just covers the operation, in spans that touch or almost touch, and often not."""
    spans: list[Span] = []
    values: list[Interval] = []
    target = next((item for item in operation.targets if item.operation_class is operation_class), None)
    if target is not None and draw(st.booleans()):
        first, last = target.first - draw(st.integers(-1, 1)), target.last + draw(st.integers(-1, 2))
        middle = draw(st.integers(min(first, last), max(first, last)))
        spans = [
            Span(table=target.table, first=first, last=middle),
            Span(
                table=often(draw, target.table, st.sampled_from(TABLES)),
                first=middle + draw(st.integers(1, 2)),
                last=last,
            ),
        ]
        spans = [item for item in spans if item.first <= item.last]
    if target is not None and draw(st.booleans()):
        low = draw(st.integers(0, 3))
        values = [Interval(low=0, high=low), Interval(low=low + draw(st.integers(0, 3)), high=9)]
    rate = Rate(count=draw(st.integers(1, 4)), period_s=60) if draw(st.integers(0, 2)) == 0 else None
    return Permission(
        protocol="modbus", operation_class=operation_class, spans=tuple(spans), values=tuple(values), rate=rate
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[Conduit, ...], Request, int]:
    """Conduits, a request, and how much of every rate is spent."""
    request = draw(requests())
    return draw(conduits_for(request)), request, draw(st.integers(0, 3))


def decided(found: tuple[Conduit, ...], request: Request, spent: int) -> Decision:
    policy = compile_policy(replace(bare_site(), conduits=found), 1)
    return decide(policy, request, lambda _key, _period_s: spent)


@settings(max_examples=400, deadline=None)
@given(cases())
def test_cedar_and_penstock_judge_alike(case: tuple[tuple[Conduit, ...], Request, int]) -> None:
    found, request, spent = case
    is_allowed = cedar_allows(replace(bare_site(), conduits=found), request, spent)
    assert decided(found, request, spent).is_allowed == is_allowed


def test_the_cases_that_are_compared_with_cedar_are_often_allowed_and_denied_for_every_reason() -> None:
    seen: Counter[Reason] = Counter()

    @settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @given(cases())
    def count(case: tuple[tuple[Conduit, ...], Request, int]) -> None:
        seen[decided(*case).reason] += 1

    count()
    assert seen[Reason.ALLOWED] > 40
    assert set(seen) >= {
        Reason.SUBJECT_NOT_NAMED,
        Reason.OPERATION_NOT_ALLOWED,
        Reason.OBJECT_OUT_OF_RANGE,
        Reason.VALUE_OUT_OF_RANGE,
        Reason.RATE_EXCEEDED,
        Reason.FACTORS_TOO_WEAK,
        Reason.TLS_REQUIRED,
    }, seen


@settings(max_examples=200, deadline=None)
@given(cases(), st.data())
def test_adding_a_conduit_only_widens_and_removing_only_narrows(
    case: tuple[tuple[Conduit, ...], Request, int], data: st.DataObject
) -> None:
    found, request, spent = case
    fewer = tuple(item for item in found if data.draw(st.booleans()))
    narrow, wide = decided(fewer, request, spent), decided(found, request, spent)
    assert wide.is_allowed or not narrow.is_allowed


@settings(max_examples=200, deadline=None)
@given(cases(), st.data())
def test_the_order_of_conduits_and_permissions_changes_nothing_of_a_decision(
    case: tuple[tuple[Conduit, ...], Request, int], data: st.DataObject
) -> None:
    found, request, spent = case
    shuffled = tuple(
        replace(item, permissions=tuple(data.draw(st.permutations(item.permissions))))
        for item in data.draw(st.permutations(found))
    )
    one, other = decided(found, request, spent), decided(shuffled, request, spent)
    assert (one.is_allowed, one.reason, one.conduit) == (other.is_allowed, other.reason, other.conduit)
    assert set(one.charges) == set(other.charges)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_every_denial_names_a_conduit_and_what_failed_on_it_unless_there_is_none(
    case: tuple[tuple[Conduit, ...], Request, int],
) -> None:
    decision = decided(*case)
    if decision.is_allowed:
        assert decision.misses == ()
    elif case[0]:
        assert decision.conduit in {item.name for item in case[0]}
        assert decision.misses
        assert all(miss.wanted and miss.found for miss in decision.misses)
    else:
        assert decision.conduit is None
