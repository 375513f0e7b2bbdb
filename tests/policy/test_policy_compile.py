"""What a policy is compiled to: paths between machines, the kernel's ruleset, and what a subject can reach."""

from __future__ import annotations

from dataclasses import replace
from timeit import timeit

import pytest
from policy_cases import asking, bare_site, machine, person, policy_of, read, write

from penstock.model import (
    Binding,
    Conduit,
    Factor,
    GatePlace,
    Grant,
    Inspected,
    Invalid,
    OperationClass,
    Permission,
    PortPermission,
    Reason,
    Selector,
    Service,
    SessionLimits,
    Standing,
    Translation,
)
from penstock.policy import Judge, compile_policy, compile_ruleset, decide, machine_paths, reach, reach_service

PLACE = GatePlace(interface="eth0", address="10.20.0.2")
POLLING = """\
Polling:
  from: {role: scada, zone: control}
  to: {role: plc}
  allow: {modbus: [read]}
  on_failure: open
  approved_by: safety@plant
Tuning:
  from: {asset: scada-1}
  to: {asset: plc-1}
  allow: {modbus: [write], tcp/443: any}
Operators:
  from: {group: operators}
  to: {asset: plc-2}
  allow: {modbus: [read, {write: {holding_registers: 10-12, values: 0-550, at_most: 6/min}}]}
  require: {factors: two}
  session: {length: 2h, idle: 5m}
Vendors:
  from: {group: vendors}
  to: {asset: plc-2}
  allow: {tcp/102: any}
"""


def grant(number: int, *, is_safety_critical: bool, source: str | None = "10.20.0.12") -> Grant:
    return Grant(
        number=number,
        subject=machine(),
        asset="plc-1",
        service="modbus",
        protocol="modbus",
        transport="tcp",
        port=502,
        overlay="100.64.10.11",
        underlay="10.20.10.11",
        conduits=("Polling",),
        binding=Binding.ADDRESS,
        revision=7,
        opened_at_us=0,
        expires_at_us=None,
        idle_s=900,
        is_inspected=True,
        is_safety_critical=is_safety_critical,
        source=source,
    )


def test_there_is_one_machine_path_for_each_source_target_and_service() -> None:
    found = [
        (path.source.name, path.target.name, path.service.name, path.conduits)
        for path in machine_paths(policy_of(POLLING))
    ]
    assert found == [
        ("scada-1", "plc-1", "modbus", ("Polling", "Tuning")),
        ("scada-1", "plc-1", "web", ("Tuning",)),
        ("scada-1", "plc-2", "modbus", ("Polling",)),
    ]


def test_a_path_with_an_open_and_a_closed_conduit_is_safety_critical_as_a_whole() -> None:
    found = [(path.is_safety_critical, path.is_inspected) for path in machine_paths(policy_of(POLLING))]
    assert found == [(True, True), (False, False), (True, True)]


def test_a_machine_has_no_path_to_itself() -> None:
    policy = policy_of("A:\n  from: {zone: cell}\n  to: {zone: cell}\n  allow: {modbus: [read]}\n")
    assert [(path.source.name, path.target.name) for path in machine_paths(policy)] == [
        ("plc-1", "plc-2"),
        ("plc-2", "plc-1"),
    ]


def test_each_machine_path_is_one_that_decide_allows_a_session_on() -> None:
    policy = policy_of(POLLING)
    for path in machine_paths(policy):
        subject = machine(path.source.name, path.source.role, path.source.zone)
        assert decide(policy, asking(subject, None, path.target.name, path.service.name)).is_allowed


def test_the_ruleset_inspects_services_whose_operations_are_named_and_no_others() -> None:
    ruleset = compile_ruleset(policy_of(POLLING), PLACE, ())
    assert ruleset.inspected == (
        Inspected(overlay="100.64.10.11", transport="tcp", port=502),
        Inspected(overlay="100.64.10.12", transport="tcp", port=502),
    )


def test_the_ruleset_translates_every_asset_and_knows_the_gate() -> None:
    ruleset = compile_ruleset(policy_of(POLLING), PLACE, ())
    assert (ruleset.revision, ruleset.overlay, ruleset.place) == (7, "100.64.0.0/16", PLACE)
    assert [item.overlay for item in ruleset.assets] == ["100.64.0.13", "100.64.10.11", "100.64.10.12", "100.64.0.12"]
    assert ruleset.assets[3] == Translation(overlay="100.64.0.12", underlay="10.20.0.12", mac="00:1d:9c:00:00:12")


def test_hardware_addresses_are_held_for_sources_of_machine_conduits_only() -> None:
    assert compile_ruleset(policy_of(POLLING), PLACE, ()).hardware == (("10.20.0.12", "00:1d:9c:00:00:12"),)
    people = "A:\n  from: {group: a}\n  to: {asset: plc-1}\n  allow: {modbus: [read]}\n"
    assert compile_ruleset(policy_of(people), PLACE, ()).hardware == ()


def test_only_safety_critical_grants_with_a_source_stand_in_the_kernel() -> None:
    grants = [
        grant(9, is_safety_critical=True),
        grant(4, is_safety_critical=True),
        grant(5, is_safety_critical=False),
        grant(6, is_safety_critical=True, source=None),
    ]
    ruleset = compile_ruleset(policy_of(POLLING), PLACE, grants)
    assert [item.grant for item in ruleset.standing] == [4, 9]
    assert ruleset.standing[0] == Standing(
        source="10.20.0.12", overlay="100.64.10.11", transport="tcp", port=502, grant=4, underlay="10.20.10.11"
    )


def test_a_site_that_inspects_a_port_and_permits_it_as_a_whole_does_not_compile() -> None:
    source, to = Selector(group="a"), Selector(asset="plc-1")
    reading = Permission(protocol="modbus", operation_class=OperationClass.READ)
    one = Conduit(name="A", source=source, target=to, permissions=(reading,))
    other = Conduit(name="B", source=source, target=to, ports=(PortPermission(transport="tcp", port=502),))
    with pytest.raises(Invalid) as caught:
        compile_policy(replace(bare_site(), conduits=(one, other)), 1)
    assert [item.where for item in caught.value.problems] == ["conduit 'B'"]


def test_reach_shows_only_what_a_conduit_leads_the_subject_to() -> None:
    policy = policy_of(POLLING)
    found = reach(policy, person("operators", "vendors"), Binding.CERTIFICATE, has_tls=False)
    assert [(item.asset.name, item.service.name, item.decision.is_allowed, item.is_inspected) for item in found] == [
        ("plc-2", "modbus", True, True),
        ("plc-2", "s7comm", True, False),
    ]
    assert found[0].summary == ("read", "write holding_registers 10-12, values 0-550, at most 6/min")
    assert found[1].summary == ("anything on tcp/102, not inspected",)
    assert (found[0].conduits, found[0].session) == (("Operators",), SessionLimits(length_s=7200, idle_s=300))
    assert reach(policy, person("visitors"), Binding.CERTIFICATE, has_tls=True) == ()


def test_reach_says_what_is_missing_where_a_session_may_not_open_yet() -> None:
    weak = person("operators", factors=(Factor.PASSWORD,))
    (only,) = reach(policy_of(POLLING), weak, Binding.ADDRESS, has_tls=False)
    assert [miss.reason for miss in only.decision.misses] == [Reason.FACTORS_TOO_WEAK, Reason.TLS_REQUIRED]
    assert only.conduits == ()
    assert only.summary[0] == "read"


def test_reach_is_what_all_conduits_allow_whose_requirements_are_met() -> None:
    more = "More:\n  from: {group: operators}\n  to: {role: plc}\n  allow: {modbus: [discovery]}\n"
    found = reach_service(
        policy_of(POLLING + more), person("operators"), "plc-2", "tcp/502", Binding.BROWSER, has_tls=True
    )
    assert found is not None
    assert found.conduits == ("More", "Operators")
    assert found.summary[0] == "discovery"
    assert found.session == SessionLimits(length_s=8 * 3600, idle_s=15 * 60)
    assert reach_service(policy_of(POLLING), person("a"), "plc-9", "modbus", Binding.BROWSER, has_tls=True) is None


def test_a_service_is_found_by_its_own_name_before_anothers_protocol() -> None:
    spare = Service(name="spare", protocol="modbus", port=503)
    modbus = Service(name="modbus", protocol="modbus", port=502)
    site = bare_site()
    plc = replace(site.assets[1], services=(spare, modbus))
    policy = compile_policy(replace(site, assets=(plc,)), 1)
    for name, port in (("modbus", 502), ("spare", 503), ("tcp/503", 503)):
        assert policy.ways["plc-1", name].service.port == port
    assert plc.service("modbus") == modbus


def test_a_judge_decides_as_its_policy_does_and_leaves_rates_to_its_caller() -> None:
    policy = policy_of(POLLING)
    judge = Judge.of_site(policy.site, 7)
    request = asking(person("operators"), write(10, 5), "plc-2", has_tls=True)
    assert judge.judge(request) == decide(policy, request)
    assert len(judge.judge(request).charges) == 1
    assert judge.judge(request, lambda _key, _period_s: 6).reason is Reason.RATE_EXCEEDED


def test_a_selector_that_names_nothing_means_nothing() -> None:
    reading = Permission(protocol="modbus", operation_class=OperationClass.READ)
    nothing = Conduit(name="A", source=Selector(), target=Selector(), permissions=(reading,))
    policy = compile_policy(replace(bare_site(), conduits=(nothing,)), 1)
    assert machine_paths(policy) == ()
    assert not decide(policy, asking(machine(), read(1))).is_allowed


def test_a_typical_decision_is_a_matter_of_microseconds() -> None:
    """The goal is 5 µs on an idle machine; the bound leaves room for a busy one and still catches a missing index."""
    many = "".join(
        f"C{number}:\n  from: {{group: g{number}}}\n  to: {{role: plc}}\n  allow: {{modbus: [read]}}\n"
        for number in range(300)
    )
    policy, request = policy_of(POLLING + many), asking(machine(), read(3, 10))
    assert decide(policy, request).is_allowed
    assert min(timeit(lambda: decide(policy, request), number=200) / 200 for _ in range(10)) < 50e-6
