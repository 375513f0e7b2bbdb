"""`decide` against an independent judge: the same conduits as Cedar policies, evaluated by Cedar itself.

Cedar has neither loops nor ranges, so the request has fixed places for two targets of up to three objects.
"""

from __future__ import annotations

from dataclasses import replace

import cedarpy
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import bare_site

from penstock.model import (
    Binding,
    Conduit,
    Factor,
    FactorStrength,
    Interval,
    Operation,
    OperationClass,
    Permission,
    Rate,
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


spans = st.builds(
    lambda table, first, size: Span(table=table, first=first, last=first + size),
    st.sampled_from(TABLES),
    st.integers(0, 8),
    st.integers(0, 3),
)
intervals = st.builds(lambda low, size: Interval(low=low, high=low + size), st.integers(0, 8), st.integers(0, 4))
permissions = st.builds(
    Permission,
    protocol=st.just("modbus"),
    operation_class=st.sampled_from(CLASSES),
    spans=st.lists(spans, max_size=3).map(tuple),
    values=st.lists(intervals, max_size=2).map(tuple),
    rate=st.none() | st.builds(Rate, count=st.integers(1, 4), period_s=st.just(60)),
)
sources = st.one_of(
    st.builds(Selector, group=st.sampled_from(["g1", "g2"]), user=st.none() | st.just("alice")),
    st.just(Selector(user="alice")),
    st.builds(Selector, role=st.just("scada"), zone=st.none() | st.sampled_from(["cell", "control"])),
    st.builds(Selector, asset=st.sampled_from(["scada-1", "plc-1"])),
    st.builds(Selector, zone=st.just("control")),
)
targets = st.one_of(
    st.builds(Selector, asset=st.sampled_from(["plc-1", "plc-2"])),
    st.builds(Selector, zone=st.just("cell"), role=st.none() | st.sampled_from(["plc", "drive"])),
)
conduits = st.lists(
    st.builds(
        Conduit,
        name=st.sampled_from(["A", "B", "C", "D", "E"]),
        source=sources,
        target=targets,
        permissions=st.lists(permissions, min_size=1, max_size=3).map(tuple),
        require=st.builds(Requirements, factors=st.sampled_from(FactorStrength), tls=st.booleans()),
    ),
    max_size=5,
    unique_by=lambda conduit: conduit.name,
).map(tuple)
touched = st.builds(
    lambda operation_class, table, first, values, is_said: Target(
        operation_class=operation_class,
        table=table,
        first=first,
        count=len(values),
        values=tuple(values) if is_said else None,
    ),
    st.sampled_from(CLASSES[:2]),
    st.sampled_from(TABLES),
    st.integers(0, 10),
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
    st.booleans(),
)
operations = st.builds(
    lambda found, bare, protocol: Operation(
        protocol=protocol,
        classes=tuple(dict.fromkeys([*(item.operation_class for item in found), *([] if len(found) > 1 else [bare])])),
        code="1",
        name="x",
        targets=tuple(found),
    ),
    st.lists(touched, max_size=2),
    st.sampled_from(CLASSES),
    st.sampled_from(["modbus", "modbus", "modbus", "s7comm"]),
) | st.builds(
    lambda item: Operation(protocol="modbus", classes=(item.operation_class,), code="1", name="x", targets=(item,)),
    touched,
)
subjects = st.one_of(
    st.builds(
        Subject,
        name=st.sampled_from(["alice", "bob", "scada-1"]),
        kind=st.just(SubjectKind.PERSON),
        groups=st.frozensets(st.sampled_from(["g1", "g2"])),
        factors=st.frozensets(st.sampled_from([Factor.PASSWORD, Factor.TOTP, Factor.PASSKEY])),
    ),
    st.builds(
        Subject,
        name=st.sampled_from(["scada-1", "plc-1", "alice"]),
        kind=st.just(SubjectKind.MACHINE),
        role=st.sampled_from(["scada", "plc"]),
        zone=st.sampled_from(["cell", "control"]),
        factors=st.just(frozenset({Factor.ADDRESS})),
    ),
)
requests = st.builds(
    Request,
    subject=subjects,
    asset=st.sampled_from(["plc-1", "plc-2"]),
    protocol=st.just("modbus"),
    operation=operations,
    binding=st.sampled_from(Binding),
    has_tls=st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(conduits, requests, st.integers(0, 4))
def test_cedar_and_penstock_judge_alike(found: tuple[Conduit, ...], request: Request, spent: int) -> None:
    site = replace(bare_site(), conduits=found)
    decision = decide(compile_policy(site, 1), request, lambda _key, _period_s: spent)
    assert decision.is_allowed == cedar_allows(site, request, spent)


@settings(max_examples=200, deadline=None)
@given(conduits, requests, st.integers(0, 4), st.data())
def test_adding_a_conduit_only_widens_and_removing_only_narrows(
    found: tuple[Conduit, ...], request: Request, spent: int, data: st.DataObject
) -> None:
    fewer = tuple(item for item in found if data.draw(st.booleans()))
    narrow, wide = (
        decide(compile_policy(replace(bare_site(), conduits=each), 1), request, lambda _key, _period_s: spent)
        for each in (fewer, found)
    )
    assert wide.is_allowed or not narrow.is_allowed


@settings(max_examples=200, deadline=None)
@given(conduits, requests, st.integers(0, 4), st.data())
def test_the_order_of_conduits_and_permissions_changes_nothing_of_a_decision(
    found: tuple[Conduit, ...], request: Request, spent: int, data: st.DataObject
) -> None:
    shuffled = tuple(
        replace(item, permissions=tuple(data.draw(st.permutations(item.permissions))))
        for item in data.draw(st.permutations(found))
    )
    one, other = (
        decide(compile_policy(replace(bare_site(), conduits=each), 1), request, lambda _key, _period_s: spent)
        for each in (found, shuffled)
    )
    assert (one.is_allowed, one.reason, one.conduit) == (other.is_allowed, other.reason, other.conduit)
    assert set(one.charges) == set(other.charges)


@settings(max_examples=200, deadline=None)
@given(conduits, requests, st.integers(0, 4))
def test_every_denial_names_a_conduit_and_what_failed_on_it_unless_there_is_none(
    found: tuple[Conduit, ...], request: Request, spent: int
) -> None:
    policy = compile_policy(replace(bare_site(), conduits=found), 1)
    decision = decide(policy, request, lambda _key, _period_s: spent)
    if decision.is_allowed:
        assert decision.misses == ()
    elif found:
        assert decision.conduit in {item.name for item in found}
        assert all(miss.wanted and miss.found for miss in decision.misses)
        assert decision.misses
    else:
        assert decision.conduit is None
