"""What a document may say and how it is read; and that nothing but `Document` or `Invalid` ever comes out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import INVENTORY
from test_policy_kernel_keys import PLANT

from penstock.model import (
    Conduit,
    FactorStrength,
    FailureMode,
    Interval,
    Invalid,
    OperationClass,
    Permission,
    PortPermission,
    Problem,
    Rate,
    Requirements,
    Selector,
    Service,
    SessionLimits,
    Span,
)
from penstock.policy import Document, accept, parse

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "site-document.md"


def conduit_of(body: str) -> Conduit:
    return parse(
        {"site.yaml": f"{INVENTORY}conduits:\n  X: {{from: {{group: a}}, to: {{asset: plc-1}}, {body}}}\n"}
    ).site.conduits[0]


def test_the_example_of_the_reference_is_accepted_with_its_tests() -> None:
    example = re.search(r"```yaml\n(site: .*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    document = parse({"site.yaml": example[1]})
    assert accept(document, 3).revision == 3
    assert [item.is_allowed for item in document.assertions] == [True, False, False]


def test_the_inventory_is_read_with_every_default_filled_in() -> None:
    site = parse({"site.yaml": INVENTORY.replace("domain: plant.ot\n", "")}).site
    assert (site.name, site.domain, site.overlay) == ("plant", "plant.ot", "100.64.0.0/16")
    assert [(zone.name, zone.networks, zone.security_level) for zone in site.zones] == [
        ("control", ("10.20.0.0/24",), 2),
        ("cell", ("10.20.10.0/24",), None),
    ]
    plc = site.asset("plc-1")
    assert plc is not None
    assert plc.services == (
        Service(name="modbus", protocol="modbus", port=502),
        Service(name="web", protocol="https", port=443),
    )
    assert (plc.handles_cui, plc.mac) == (False, None)


def test_an_overlay_address_is_the_overlay_network_with_the_host_part_of_the_assets_own() -> None:
    for overlay, expected in (
        ("100.64.0.0/16", "100.64.10.11"),
        ("100.64.0.0/10", "100.84.10.11"),
        ("198.18.5.0/24", "198.18.5.11"),
    ):
        text = INVENTORY.replace("100.64.0.0/16", overlay)
        if overlay.endswith("/24"):
            text = text.replace("address: 10.20.10.12", "address: 10.20.10.22")
        plc = parse({"site.yaml": text}).site.asset("plc-1")
        assert plc is not None
        assert plc.overlay == expected


def test_a_written_overlay_address_is_kept() -> None:
    text = INVENTORY.replace("address: 10.20.10.12,", "address: 10.20.10.12, overlay: 100.64.200.1,")
    plc = parse({"site.yaml": text}).site.asset("plc-2")
    assert plc is not None
    assert plc.overlay == "100.64.200.1"


def test_a_hardware_address_is_text_however_it_is_written() -> None:
    for written in ("00:11:22:33:44:55", "00-11-22-33-44-55", '"00:11:22:33:44:55"'):
        scada = parse({"site.yaml": INVENTORY.replace('"00:1d:9c:00:00:12"', written)}).site.asset("scada-1")
        assert scada is not None
        assert scada.mac == "00:11:22:33:44:55"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("read", Permission(protocol="modbus", operation_class=OperationClass.READ)),
        (
            "{write: {holding_registers: 10-12, values: 0-550, at_most: 6/min}}",
            Permission(
                protocol="modbus",
                operation_class=OperationClass.WRITE,
                spans=(Span(table="holding_registers", first=10, last=12),),
                values=(Interval(low=0, high=550),),
                rate=Rate(count=6, period_s=60),
            ),
        ),
        (
            "{read: {coils: [1-3, 9], input_registers: 5, at_most: 1/10s}}",
            Permission(
                protocol="modbus",
                operation_class=OperationClass.READ,
                spans=(
                    Span(table="coils", first=1, last=3),
                    Span(table="coils", first=9, last=9),
                    Span(table="input_registers", first=5, last=5),
                ),
                rate=Rate(count=1, period_s=10),
            ),
        ),
        *[
            (
                f"{{write: {{values: {text}}}}}",
                Permission(
                    protocol="modbus",
                    operation_class=OperationClass.WRITE,
                    values=(Interval(low=low, high=high),),
                ),
            )
            for text, low, high in (
                ("-5-10", -5, 10),
                ("-5..10", -5, 10),
                ("-10--5", -10, -5),
                ("-10..-5", -10, -5),
                ("-5", -5, -5),
                ("'3 - 4'", 3, 4),
            )
        ],
    ],
)
def test_permissions_are_read_as_they_are_written(written: str, expected: Permission) -> None:
    assert conduit_of(f"allow: {{modbus: [{written}]}}").permissions == (expected,)


def test_a_whole_port_is_read_as_a_port_permission() -> None:
    conduit = conduit_of("allow: {tcp/443: any}")
    assert (conduit.ports, conduit.permissions) == ((PortPermission(transport="tcp", port=443),), ())


def test_conditions_of_a_conduit_are_read_and_have_defaults() -> None:
    usual = conduit_of("allow: {modbus: [read]}")
    assert usual.source == Selector(group="a")
    assert (usual.require, usual.session, usual.on_failure) == (Requirements(), SessionLimits(), FailureMode.CLOSED)
    given_all = conduit_of(
        "allow: {modbus: [read]}, require: {factors: two, tls: true}, session: {length: 1h30m, idle: 90s}"
    )
    assert given_all.require == Requirements(factors=FactorStrength.TWO, tls=True)
    assert given_all.session == SessionLimits(length_s=5400, idle_s=90)


def test_a_session_shorter_than_the_usual_idle_time_is_idle_no_longer_than_it_lives() -> None:
    assert conduit_of("allow: {modbus: [read]}, session: {length: 5m}").session == SessionLimits(
        length_s=300, idle_s=300
    )


def test_several_files_make_one_document() -> None:
    head, assets = INVENTORY.split("assets:")
    conduits = "conduits: {X: {from: {role: scada}, to: {asset: plc-1}, allow: {modbus: [read]}}}\n"
    claims = "tests:\n  - {may: read, on: plc-1, over: modbus, as: {asset: scada-1}}\n"
    parts = {"a.yaml": head + claims, "b.yaml": f"assets:{assets}", "c.yaml": conduits + claims}
    one = parse({"site.yaml": INVENTORY + conduits + claims})
    several = parse(parts)
    assert several.site == one.site
    assert [replace(item, where="") for item in several.assertions] == [replace(one.assertions[0], where="")] * 2


def test_a_may_not_without_factors_is_judged_with_the_strongest_and_a_may_with_none() -> None:
    conduits = (
        "conduits: {X: {from: {group: a}, to: {asset: plc-1}, allow: {modbus: [read]}, require: {factors: two}}}\n"
    )
    base = INVENTORY + conduits
    for claim, holds in (
        ("{may: read, on: plc-1, over: modbus, as: {group: a}}", False),
        ("{may: read, on: plc-1, over: modbus, as: {group: a, factors: two}}", True),
        ("{may_not: read, on: plc-1, over: modbus, as: {group: a}}", False),
        ("{may_not: read, on: plc-1, over: tcp/502, as: {group: a, factors: one}}", True),
        ("{may: session, on: plc-1, over: modbus, as: {group: a, factors: two}}", True),
    ):
        document = parse({"site.yaml": f"{base}tests:\n  - {claim}\n"})
        if holds:
            accept(document, 1)
        else:
            with pytest.raises(Invalid):
                accept(document, 1)


def test_tests_are_judged_with_tls_unless_they_say_otherwise() -> None:
    conduits = "conduits: {X: {from: {group: a}, to: {asset: plc-2}, allow: {modbus: [write]}}}\n"
    claims = (
        "tests:\n"
        "  - {may: write, on: plc-2, over: modbus, as: {group: a}, register: 3-4, value: [-1, 5]}\n"
        "  - {may_not: write, on: plc-2, over: modbus, as: {group: a, tls: false}, register: 3, value: 5}\n"
    )
    accept(parse({"site.yaml": INVENTORY + conduits + claims}), 1)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=True)
    | st.sampled_from(
        [
            "modbus",
            "plc-1",
            "10-12",
            "6/min",
            "any",
            "open",
            "read",
            "10.0.0.0/8",
            "tcp/502",
            "-",
            "8h",
            "é",
            "5000-5010",
            "65535-1",
            "06:00",
            "24:00",
            "Europe/Berlin",
            "sat",
            "5ms",
            "payload",
            "step-aside",
            "1d",
        ]
    )
    | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "site",
                    "overlay",
                    "domain",
                    "zones",
                    "assets",
                    "conduits",
                    "tests",
                    "from",
                    "to",
                    "allow",
                    "require",
                    "session",
                    "on_failure",
                    "approved_by",
                    "group",
                    "role",
                    "zone",
                    "asset",
                    "user",
                    "address",
                    "mac",
                    "services",
                    "port",
                    "protocol",
                    "networks",
                    "modbus",
                    "read",
                    "write",
                    "coils",
                    "values",
                    "at_most",
                    "factors",
                    "tls",
                    "length",
                    "may",
                    "on",
                    "over",
                    "as",
                    "register",
                    "value",
                    "windows",
                    "hold",
                    "hold_for",
                    "held",
                    "names",
                    "askers",
                    "routers",
                    "keep_client_address",
                    "limits",
                    "connections",
                    "opens",
                    "queue",
                    "overlay_port",
                    "transport",
                    "icmp",
                    "tcp/5000-5010",
                    "latency_budget",
                    "on_overload",
                    "failure_reason",
                    "drill",
                    "window",
                    "every",
                    "record",
                    "days",
                    "timezone",
                ]
            )
            | st.text(max_size=6),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def only_document_or_invalid(text: str) -> None:
    problems: tuple[Problem, ...] | None = None
    try:
        document = parse({"site.yaml": text})
        accept(document, 1)
    except Invalid as invalid:
        problems = invalid.problems
    if problems is None:
        assert isinstance(document, Document)
    else:
        assert problems
        assert all(item.where.startswith("site.yaml:") and item.why for item in problems)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_whatever_the_values_only_a_document_or_problems_come_out(value: object) -> None:
    only_document_or_invalid(yaml.safe_dump(value, allow_unicode=True))


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_whatever_the_text_only_a_document_or_problems_come_out(text: str) -> None:
    only_document_or_invalid(text)


SEED = (
    INVENTORY
    + "conduits:\n  X:\n    from: {role: scada}\n    to: {asset: plc-1}\n    allow:\n      modbus:\n        - read\n"
    + "        - write: {coils: [1-3, 9], values: 0-1, at_most: 6/min}\n    on_failure: open\n    approved_by: eve\n"
    + "  Y: {from: {group: a}, to: {role: plc}, allow: {tcp/443: any}, require: {factors: two, tls: true}}\n"
    + "tests:\n  - {may: write, on: plc-1, over: modbus, as: {role: scada}, coil: 2, value: 1}\n"
)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SEED)), st.integers(0, 12), st.text(max_size=5)), min_size=1, max_size=4))
def test_however_a_document_is_damaged_only_a_document_or_problems_come_out(
    damages: list[tuple[int, int, str]],
) -> None:
    text = SEED
    for place, length, fresh in damages:
        text = text[:place] + fresh + text[place + length :]
    only_document_or_invalid(text)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(PLANT)), st.integers(0, 12), st.text(max_size=5)), min_size=1, max_size=4))
def test_however_a_document_with_every_kernel_key_is_damaged_only_a_document_or_problems_come_out(
    damages: list[tuple[int, int, str]],
) -> None:
    text = PLANT
    for place, length, fresh in damages:
        text = text[:place] + fresh + text[place + length :]
    only_document_or_invalid(text)


def test_the_documents_that_are_damaged_are_themselves_accepted() -> None:
    accept(parse({"site.yaml": SEED}), 1)
    accept(parse({"site.yaml": PLANT}), 1)


@pytest.mark.parametrize(
    "text", ["[" * 500_000, "{a: " * 200_000, "- " * 300_000, "\ud800", "a: \x00", "&a [*a]", "\ufeff"]
)
def test_hostile_yaml_is_a_problem_and_costs_little(text: str) -> None:
    only_document_or_invalid(text)
