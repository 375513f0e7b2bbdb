"""The keys of a document that the kernel path and its faults are about, and what they are compiled to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_cases import INVENTORY, asking, machine, operation, person

from penstock.model import (
    ECHO,
    Binding,
    Conduit,
    DrillPlan,
    FailureMode,
    GatePlace,
    Grant,
    Inspected,
    LatencyBudget,
    Limits,
    OperationClass,
    PortPermission,
    PortRange,
    PortTranslation,
    Rate,
    Reason,
    Ruleset,
    Segment,
    Service,
    Site,
    Standing,
    Window,
)
from penstock.policy import Policy, accept, compile_ruleset, decide, machine_paths, needs_kernel, parse, reach_service

PLACE = GatePlace(interface="eth0", address="10.20.0.2")
ZONES = """\
site: plant
overlay: 100.64.0.0/16
zones:
  control: {networks: [10.20.0.0/24]}
  cell: {networks: [10.20.10.0/24, 10.20.11.0/24], routers: ["00-1D-9C-00-00-01", "00:1d:9c:00:00:02"]}
  near: {networks: [10.20.20.0/24], keep_client_address: true}
"""
PLANT = (
    ZONES
    + """\
assets:
  scada-1: {zone: control, role: scada, address: 10.20.0.12}
  plc-1:
    zone: cell
    role: plc
    address: 10.20.10.11
    overlay: 100.64.1.1
    services: {modbus: 502, media: {port: 49152-49160, transport: udp}}
    limits: {connections: 4, opens: 20/min, queue: 5s}
  plc-2:
    zone: cell
    role: plc
    address: 10.20.10.12
    overlay: 100.64.1.1
    services:
      modbus: {port: 502, overlay_port: 10502}
      files: {protocol: ftp, port: 5000-5002, overlay_port: 6000}
  drive-1:
    {zone: near, role: drive, address: 10.20.20.5, services: {telemetry: {port: 47808, transport: udp}, s: 80-90}}
conduits:
  Polling:
    from: {role: scada}
    to: {zone: cell}
    allow: {modbus: [read], udp/49000-50000: any, tcp/5000-5002: any}
    on_failure: open
    approved_by: safety@plant
    failure_reason: losing sight of the filters is a hazard
    latency_budget: 5ms
    on_overload: step-aside
    drill: {window: saturday, every: 90d}
  Telemetry:
    from: {asset: scada-1}
    to: {role: drive}
    allow: {udp/47808: any, tcp/80-90: any, icmp: [discovery]}
    latency_budget: 800us
    record: payload
  Discovery:
    from: {group: operators}
    to: {role: plc}
    allow: {modbus: [discovery]}
    record: operations
windows:
  saturday: {days: [sat, mon], from: "22:00", to: "06:30", timezone: Europe/Berlin}
names: {askers: [10.20.0.0/24, 192.168.7.0/24]}
"""
)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return accept(parse({"site.yaml": PLANT}), 3)


@pytest.fixture(scope="module")
def site(policy: Policy) -> Site:
    return policy.site


@pytest.fixture(scope="module")
def ruleset(policy: Policy) -> Ruleset:
    return compile_ruleset(policy, PLACE, ())


def conduit(site: Site, name: str) -> Conduit:
    return next(each for each in site.conduits if each.name == name)


def services(site: Site, name: str) -> tuple[Service, ...]:
    asset = site.asset(name)
    assert asset is not None
    return asset.services


def test_a_zone_says_whether_clients_keep_their_address_and_behind_which_routers_it_lies(site: Site) -> None:
    assert [(zone.keeps_client_address, zone.routers) for zone in site.zones] == [
        (False, ()),
        (False, ("00:1d:9c:00:00:01", "00:1d:9c:00:00:02")),
        (True, ()),
    ]


def test_a_service_is_a_port_or_a_range_and_may_be_reached_at_another_port(site: Site) -> None:
    assert services(site, "plc-1") == (
        Service(name="modbus", protocol="modbus", port=502),
        Service(name="media", protocol="media", port=49152, last_port=49160, transport="udp"),
    )
    modbus, files = services(site, "plc-2")
    assert (modbus.at, modbus.overlay_at, modbus.reached_at, modbus.size) == ("tcp/502", "tcp/10502", 10502, 1)
    assert (files.at, files.overlay_at, files.last_port, files.size) == ("tcp/5000-5002", "tcp/6000-6002", 5002, 3)


def test_limits_of_an_asset_are_read_and_absent_limits_limit_nothing(site: Site) -> None:
    found = {asset.name: asset.limits for asset in site.assets}
    assert found["plc-1"] == Limits(connections=4, opens=Rate(count=20, period_s=60), queue_s=5)
    assert found["plc-2"] == Limits()


def test_a_conduit_says_how_it_fails_and_why_and_what_it_is_drilled_and_measured_by(site: Site) -> None:
    polling, telemetry = conduit(site, "Polling"), conduit(site, "Telemetry")
    assert (polling.on_failure, polling.failure_reason) == (
        FailureMode.OPEN,
        "losing sight of the filters is a hazard",
    )
    assert polling.drill == DrillPlan(window="saturday", every_s=90 * 86_400)
    assert polling.latency == LatencyBudget(limit_us=5000, steps_aside=True)
    assert telemetry.latency == LatencyBudget(limit_us=800, steps_aside=False)
    assert [each.records_payload for each in site.conduits] == [False, True, False]


def test_port_permissions_are_single_ports_ranges_and_echo(site: Site) -> None:
    assert conduit(site, "Polling").ports == (
        PortPermission(transport="udp", port=49000, last_port=50000),
        PortPermission(transport="tcp", port=5000, last_port=5002),
    )
    assert conduit(site, "Telemetry").ports[2] == PortPermission(transport=ECHO, port=0)


def test_windows_and_askers_are_read(site: Site) -> None:
    assert site.windows == (
        Window(name="saturday", days=(0, 5), from_minute=1320, until_minute=390, timezone="Europe/Berlin"),
    )
    assert site.askers == ("10.20.0.0/24", "192.168.7.0/24")


def test_echo_is_a_service_exactly_where_a_conduit_leads_with_discovery_and_nobody_shares_the_address(
    site: Site,
) -> None:
    echo = Service(name=ECHO, protocol=ECHO, transport=ECHO, port=0)
    assert [asset.name for asset in site.assets if echo in asset.services] == ["drive-1"]
    alone = parse({"site.yaml": PLANT.replace("overlay: 100.64.1.1\n    services:\n", "services:\n")}).site
    assert [asset.name for asset in alone.assets if echo in asset.services] == ["plc-1", "plc-2", "drive-1"]
    rated = PLANT.replace("overlay: 100.64.1.1\n    services:\n", "services:\n").replace(
        "[discovery]}\n    record: op", "[{discovery: {at_most: 1/h}}]}\n    record: op"
    )
    found = parse({"site.yaml": rated}).site
    assert [asset.name for asset in found.assets if echo in asset.services] == ["drive-1"]


def test_discovery_over_tls_admits_no_echo_for_that_has_none() -> None:
    text = PLANT.replace("overlay: 100.64.1.1\n    services:\n", "services:\n")
    text = text.replace("record: operations", "require: {tls: true}")
    found = parse({"site.yaml": text}).site
    assert [asset.name for asset in found.assets if asset.service(ECHO) is not None] == ["drive-1"]


def test_echo_is_judged_as_discovery_and_as_nothing_else(policy: Policy) -> None:
    for operation_class in OperationClass:
        asked = asking(machine(), operation(classes=(operation_class,), protocol=ECHO), "drive-1", ECHO)
        expected = operation_class in {OperationClass.DISCOVERY, OperationClass.SESSION}
        assert decide(policy, asked).is_allowed is expected, operation_class
    assert decide(policy, asking(machine(), None, "drive-1", ECHO)).is_allowed
    assert not decide(policy, asking(machine("plc-1", "plc", "cell"), None, "drive-1", ECHO)).is_allowed


def test_machines_have_a_path_for_each_service_ranges_and_echo_among_them(policy: Policy) -> None:
    found = [(each.target.name, each.service.at, each.is_inspected) for each in machine_paths(policy)]
    assert found == [
        ("drive-1", "icmp", False),
        ("drive-1", "tcp/80-90", False),
        ("drive-1", "udp/47808", False),
        ("plc-1", "udp/49152-49160", False),
        ("plc-1", "tcp/502", True),
        ("plc-2", "tcp/5000-5002", False),
        ("plc-2", "tcp/502", True),
    ]


def test_the_ruleset_inspects_by_the_port_on_the_overlay_address(ruleset: Ruleset) -> None:
    assert ruleset.inspected == (
        Inspected(overlay="100.64.1.1", transport="tcp", port=502),
        Inspected(overlay="100.64.1.1", transport="tcp", port=10502),
    )


def test_every_port_behind_a_shared_address_and_every_moved_port_is_translated_by_itself(ruleset: Ruleset) -> None:
    found = {(each.transport, each.overlay_port): (each.underlay, each.port) for each in ruleset.ports}
    expected = {("udp", port): ("10.20.10.11", port) for port in range(49152, 49161)}
    expected |= {("tcp", 6000 + offset): ("10.20.10.12", 5000 + offset) for offset in range(3)}
    assert found == expected | {("tcp", 502): ("10.20.10.11", 502), ("tcp", 10502): ("10.20.10.12", 502)}
    assert len(ruleset.ports) == len(found)
    assert all(isinstance(each, PortTranslation) and each.overlay == "100.64.1.1" for each in ruleset.ports)


def test_the_ruleset_has_the_ranges_as_they_stand_on_the_overlay_address(ruleset: Ruleset) -> None:
    assert ruleset.ranges == (
        PortRange(overlay="100.64.1.1", transport="tcp", first=6000, last=6002),
        PortRange(overlay="100.64.1.1", transport="udp", first=49152, last=49160),
        PortRange(overlay="100.64.20.5", transport="tcp", first=80, last=90),
    )


def test_the_ruleset_has_a_segment_for_each_network_behind_routers(ruleset: Ruleset) -> None:
    routers = ("00:1d:9c:00:00:01", "00:1d:9c:00:00:02")
    assert ruleset.segments == (
        Segment(network="10.20.10.0/24", routers=routers),
        Segment(network="10.20.11.0/24", routers=routers),
    )


def test_a_translation_says_what_the_asset_can_bear_and_whether_it_sees_its_clients(ruleset: Ruleset) -> None:
    found = {each.underlay: (each.keeps_client_address, each.limits) for each in ruleset.assets}
    assert found == {
        "10.20.0.12": (False, None),
        "10.20.10.11": (False, Limits(connections=4, opens=Rate(count=20, period_s=60), queue_s=5)),
        "10.20.10.12": (False, None),
        "10.20.20.5": (True, None),
    }


def test_a_standing_flow_is_told_by_the_overlay_side_and_where_it_leads(policy: Policy) -> None:
    files = next(each for each in services(policy.site, "plc-2") if each.name == "files")
    grant = Grant(
        number=9,
        subject=machine(),
        asset="plc-2",
        service=files.name,
        protocol=files.protocol,
        transport=files.transport,
        port=files.port,
        overlay="100.64.1.1",
        underlay="10.20.10.12",
        conduits=("Polling",),
        binding=Binding.ADDRESS,
        revision=3,
        opened_at_us=0,
        expires_at_us=None,
        idle_s=900,
        is_inspected=False,
        is_safety_critical=True,
        source="10.20.0.12",
        last_port=files.last_port,
        overlay_port=files.overlay_port,
        is_copied=True,
    )
    (only,) = compile_ruleset(policy, PLACE, (grant, replace(grant, number=8, is_safety_critical=False))).standing
    assert only == Standing(
        source="10.20.0.12",
        overlay="100.64.1.1",
        transport="tcp",
        port=6000,
        last_port=6002,
        to_port=5000,
        underlay="10.20.10.12",
        grant=9,
        is_copied=True,
    )


@pytest.mark.parametrize(
    ("asset", "service", "binding", "is_allowed"),
    [
        ("drive-1", ECHO, Binding.ADDRESS, True),
        ("drive-1", ECHO, Binding.CERTIFICATE, False),
        ("drive-1", "udp/47808", Binding.CERTIFICATE, True),
        ("drive-1", "udp/47808", Binding.BROWSER, False),
        ("drive-1", "tcp/80-90", Binding.CERTIFICATE, True),
        ("drive-1", "tcp/80-90", Binding.BROWSER, False),
        ("drive-1", "tcp/80-90", Binding.ADDRESS, True),
        ("drive-1", "tcp/443", Binding.CERTIFICATE, True),
    ],
)
def test_what_a_binding_does_not_carry_is_refused_and_says_what_to_use_instead(
    *, asset: str, service: str, binding: Binding, is_allowed: bool
) -> None:
    text = PLANT.replace("s: 80-90", "s: 80-90, web: 443").replace("tcp/80-90: any", "tcp/80-90: any, tcp/443: any")
    policy = accept(parse({"site.yaml": text.replace("from: {asset: scada-1}", "from: {group: operators}")}), 1)
    way = reach_service(policy, person("operators"), asset, service, binding, has_tls=True)
    assert way is not None
    assert way.decision.is_allowed is is_allowed
    assert way.conduits == (("Telemetry",) if is_allowed else ())
    if not is_allowed:
        (miss,) = way.decision.misses
        assert (miss.criterion, miss.reason) == ("binding", Reason.NOT_CARRIED)
        assert "100.64.20.5" in miss.remedy
        assert "station" in miss.wanted


def test_everything_that_only_the_kernel_can_enforce_is_told_and_nothing_else(site: Site) -> None:
    found = [(each.where, each.why.split("`")[1] if "`" in each.why else "machines") for each in needs_kernel(site)]
    assert found == [
        ("zone 'cell'", "routers"),
        ("zone 'near'", "keep_client_address"),
        ("asset 'plc-1'", "limits.opens"),
        ("conduit 'Polling'", "machines"),
        ("conduit 'Polling'", "on_failure: open"),
        ("conduit 'Polling'", "drill"),
        ("conduit 'Telemetry'", "machines"),
        ("conduit 'Telemetry'", "icmp"),
        ("conduit 'Telemetry'", "record: payload"),
        ("conduit 'Telemetry'", "latency_budget"),
    ]
    assert all(each.hint for each in needs_kernel(site))


def test_a_document_for_people_through_the_tunnel_needs_no_kernel() -> None:
    text = INVENTORY.replace(', mac: "00:1d:9c:00:00:12"', "") + (
        "conduits:\n"
        "  A: {from: {group: a}, to: {asset: plc-1}, allow: {modbus: [read, discovery]}, latency_budget: 5ms}\n"
        "  B: {from: {user: b}, to: {asset: plc-1}, allow: {tcp/443: any}, require: {factors: two, tls: true}}\n"
    )
    assert needs_kernel(accept(parse({"site.yaml": text}), 1).site) == ()
    (only,) = needs_kernel(parse({"site.yaml": INVENTORY}).site)
    assert (only.where, "`mac`" in only.why) == ("asset 'scada-1'", True)
