"""Every kind of problem of the keys about the kernel path: where it is, why it is one, and the hint.

In each case the mark » stands where the problem must be reported.
"""

from __future__ import annotations

import pytest
from policy_cases import INVENTORY
from test_policy_problems import HEAD, assert_problem, problems_of

from penstock.policy import accept, parse, timezones

SATURDAY = "days: [sat], from: '06:00', to: '14:00', timezone: Europe/Berlin"
ROUTED = "networks: [10.1.0.0/24], routers"

#: What follows the head of a document, why it is a problem, and the hint.
TOP = [
    ("zones: {a: {networks: [10.1.0.0/24], keep_client_address: »'yes'}}", "must be true or false", "quotes"),
    (f"zones: {{a: {{{ROUTED}: »'00:1d:9c:00:00:01'}}}}", "'routers' must be a list", "[…]"),
    (f"zones: {{a: {{{ROUTED}: »[]}}}}", "'routers' names no hardware address", "remove it"),
    (f"zones: {{a: {{{ROUTED}: [»'00:1d']}}}}", "'00:1d' is no hardware address", "00:1d:9c"),
    (f"zones: {{a: {{{ROUTED}: [»'01:00:5e:00:00:01']}}}}", "is a group address", ""),
    (
        f"zones: {{a: {{{ROUTED}: ['00:1d:9c:00:00:01', »'00-1D-9C-00-00-01']}}}}",
        "router 00:1d:9c:00:00:01 stands here twice",
        "already at site.yaml:3:",
    ),
    (
        (
            f"zones: {{a: {{{ROUTED}: ['00:1d:9c:00:00:01']}}}}\n"
            "assets: {b: {zone: a, role: plc, address: 10.1.0.5, mac: »'00:1d:9c:00:00:05'}}"
        ),
        "zone 'a' lies behind routers, so no packet comes from 00:1d:9c:00:00:05",
        "remove `mac`",
    ),
    ("windows: {»A b: {}}", "small letters, digits and hyphens", "'a-b'"),
    ("windows: {a: »5}", "window 'a' must be a table", ""),
    ("windows: {a: »{days: [sat], from: '06:00', to: '07:00'}}", "window 'a' needs 'timezone'", "add"),
    (f"windows: {{a: {{{SATURDAY}, »holidays: x}}}}", "unknown key 'holidays' in window 'a'", "days"),
    (f"windows: {{a: {{{SATURDAY.replace('[sat]', '»sat')}}}}}", "'days' must be a list", "[…]"),
    (f"windows: {{a: {{{SATURDAY.replace('[sat]', '»[]')}}}}}", "'days' names no day", "of: mon, tue"),
    (f"windows: {{a: {{{SATURDAY.replace('sat', '»saturday')}}}}}", "unknown day 'saturday'", "one of: fri, mon, sat"),
    (f"windows: {{a: {{{SATURDAY.replace('[sat]', '[sat, »sat]')}}}}}", "the day 'sat' stands here twice", "remove"),
    (
        f"windows: {{a: {{{SATURDAY.replace(chr(39) + '14:00', '»' + chr(39) + '24:00')}}}}}",
        "'24:00' is no time",
        "midnight",
    ),
    (
        f"windows: {{a: {{{SATURDAY.replace(chr(39) + '06:00', '»' + chr(39) + '6:00')}}}}}",
        "'6:00' is no time of the day",
        '"06:00"',
    ),
    (
        f"windows: {{a: {{{SATURDAY.replace('Europe/Berlin', '»Europe/Berlim')}}}}}",
        "unknown time zone 'Europe/Berlim'",
        "did you mean 'Europe/Berlin'?",
    ),
    (f"windows: {{a: {{{SATURDAY.replace('Europe/Berlin', '»../../etc/passwd')}}}}}", "unknown time zone", "one of"),
    ("names: »[]", "'names' must be a table", ""),
    ("names: {»asker: []}", "unknown key 'asker' in 'names'", "did you mean 'askers'?"),
    ("names: {askers: »[]}", "'askers' names no network", "10.20.0.0/24"),
    ("names: {askers: [»10.20.0.1/24]}", "'10.20.0.1/24' is no IPv4 network", "'10.20.0.0/24'"),
    ("names: {askers: [10.20.0.0/16, »10.20.1.0/24]}", "overlaps 10.20.0.0/16 of the same list", "larger"),
]


@pytest.mark.parametrize(("text", "why", "hint"), TOP)
def test_a_problem_of_the_document_says_where_why_and_what_to_do(text: str, why: str, hint: str) -> None:
    assert_problem(f"{HEAD}{text}\n", why, hint)


CELL = "zone: cell, role: plc, address: 10.20.10.13"

#: One more asset of the shared plant, why it is a problem, and the hint.
ASSETS = [
    (f"{{{CELL}, services: {{m: 1}}, limits: »{{}}}}", "'limits' names no limit", "connections"),
    (f"{{{CELL}, limits: »{{connections: 4}}}}", "nothing to limit", "add `services"),
    (f"{{{CELL}, services: {{m: 1}}, limits: {{connections: »0}}}}", "'connections' must be from 1 to 65535", ""),
    (f"{{{CELL}, services: {{m: 1}}, limits: {{opens: »fast}}}}", "'fast' is no rate", "20/min"),
    (f"{{{CELL}, services: {{m: 1}}, limits: {{opens: »1/10s}}}}", "not by 10 s", "20/min"),
    (f"{{{CELL}, services: {{m: 1}}, limits: {{connections: 1, queue: »2m}}}}", "'queue' must be from 1 s to 60 s", ""),
    (f"{{{CELL}, services: {{m: 1}}, limits: {{queue: »5s}}}}", "'queue' without a limit", "connections"),
    (f"{{{CELL}, services: {{m: 1}}, limits: {{»burst: 5}}}}", "unknown key 'burst' in 'limits'", "one of: conn"),
    (f"{{{CELL}, services: {{m: »5010-5000}}}}", "ends before it begins", "5000-5010"),
    (f"{{{CELL}, services: {{m: {{port: »0-5}}}}}}", "'port' must be from 1 to 65535, it is 0 to 5", ""),
    (f"{{{CELL}, services: {{m: {{port: »5000-}}}}}}", "'port' must be a whole number", ""),
    (f"{{{CELL}, services: {{modbus: »502-510}}}}", "modbus is inspected, and an inspected service", "uninspected"),
    (f"{{{CELL}, services: {{m: {{port: 5, overlay_port: »0}}}}}}", "'overlay_port' must be from 1 to 65535", ""),
    (
        f"{{{CELL}, services: {{m: {{port: 10-20, overlay_port: »65530}}}}}}",
        "would end at port 65540 of the overlay address",
        "65525 or below",
    ),
    (f"{{{CELL}, services: {{»icmp: 8}}}}", "'icmp' is the name of echo (ping)", "icmp: [discovery]"),
    (f"{{{CELL}, services: {{m: {{protocol: »icmp, port: 8}}}}}}", "'icmp' has no ports", "icmp: [discovery]"),
    (f"{{{CELL}, services: {{a: 10-20, b: »20}}}}", "services 'a' and 'b' share tcp/20", "keep one"),
    (f"{{{CELL}, services: {{a: 20, b: »10-30}}}}", "services 'a' and 'b' share tcp/20", "keep one"),
    (
        f"{{{CELL}, services: {{a: 10502, b: »{{port: 502, overlay_port: 10502}}}}}}",
        "services 'a' and 'b' share tcp/10502 of the overlay address",
        "another `overlay_port`",
    ),
    (
        f"{{{CELL}, services: {{a: »{{port: 1000-2500, overlay_port: 3000}}}}}}",
        "service 'a' has 1501 ports; at another port, or behind a shared address, at most 1024",
        "leave out `overlay_port`",
    ),
    (
        f"{{{CELL}, overlay: »100.64.10.12, services: {{x: 102}}}}",
        "is already that of 'plc-2' (site.yaml:15:3), and both offer tcp/102 there ('s7comm' and 'x')",
        "or `overlay_port: …` of the service",
    ),
    (
        f"{{{CELL}, overlay: »100.64.0.12, services: {{x: 102}}}}",
        "is already that of 'scada-1' (site.yaml:8:3), and 'scada-1' has no service that would tell them apart",
        "set `overlay: …`",
    ),
    (
        f"{{{CELL}, overlay: »100.64.10.12}}",
        "is already that of 'plc-2' (site.yaml:15:3), and 'plc-3' has no service that would tell them apart",
        "set `overlay: …`",
    ),
]


@pytest.mark.parametrize(("asset", "why", "hint"), ASSETS)
def test_a_problem_of_an_asset_says_where_why_and_what_to_do(asset: str, why: str, hint: str) -> None:
    assert_problem(f"{INVENTORY}  plc-3: {asset}\n", why, hint)


def test_derived_overlay_addresses_are_not_shared_by_accident_even_where_the_ports_differ() -> None:
    text = INVENTORY.replace("[10.20.10.0/24]", "[10.20.10.0/24, 10.21.10.0/24]")
    other = "  plc-3: {zone: cell, role: plc, address: 10.21.10.12, services: {x: 1}}\n"
    (only,) = problems_of(text + other)
    assert (only.where, "to share this one" in only.hint) == ("site.yaml:16:3", True)


def test_more_moved_ports_than_the_kernel_should_hold_are_refused() -> None:
    plants = "".join(
        f"  p{number}: {{zone: cell, role: plc, address: 10.20.10.{number}, services: "
        f"{{a: {{port: 1-1024, overlay_port: 2}}, b: {{port: 1-1024, transport: udp, overlay_port: 2}}}}}}\n"
        for number in range(20, 53)
    )
    (only,) = problems_of(INVENTORY + plants)
    assert only.why == "67584 ports are reached at another port or behind a shared address; 65536 can be"


PEOPLE = "from: {group: operators}\nto: {asset: plc-1}\n"
MACHINES = "from: {role: scada}\nto: {asset: plc-1}\n"
READ = "allow: {modbus: [read]}\n"
WEB = "allow: {tcp/443: any}\n"

#: The body of conduit X, why it is a problem, and the hint.
CONDUITS = [
    (PEOPLE + "allow: {»tcp/443-: any}", "'tcp/443-' is no port", "tcp/5000-5010"),
    (PEOPLE + "allow: {»tcp/450-443: any}", "ends before it begins", "tcp/443-450"),
    (PEOPLE + "allow: {»udp/1-65536: any}", "the port must be from 1 to 65535, it is 65536", ""),
    (PEOPLE + "allow: »{udp/443: any}", "asset 'plc-1' offers no service at udp/443", "port: 443"),
    (PEOPLE + "allow: »{tcp/600-700: any}", "asset 'plc-1' offers no service at tcp/600-700", "port: 600-700"),
    (PEOPLE + "allow: {icmp: »any}", "of 'icmp' a conduit allows echo (ping) only", "`icmp: [discovery]`"),
    (PEOPLE + "allow: {icmp: »[discovery, read]}", "of 'icmp' a conduit allows echo (ping) only", "discovery"),
    (PEOPLE + "allow: {»icmp/8: any}", "'icmp/8' is no port", "tcp/5432"),
    (PEOPLE + READ + "latency_budget: »5", "'5' is no budget", "5ms"),
    (PEOPLE + READ + "latency_budget: »0ms", "'0ms' is no budget", "5ms"),
    (PEOPLE + READ + "latency_budget: »49us", "'latency_budget' must be from 50us to 10s, it is 49us", ""),
    (PEOPLE + READ + "on_overload: »carry-on", "'on_overload' without a budget", "latency_budget"),
    (PEOPLE + READ + "latency_budget: 5ms\non_overload: »stop", "unknown value of 'on_overload': 'stop'", "step-aside"),
    (
        MACHINES + READ + "latency_budget: 5ms\non_overload: »step-aside",
        "'step-aside' leaves inspection, and this conduit does not fail open",
        "on_failure: open",
    ),
    (PEOPLE + READ + "failure_reason: »[]", "'failure_reason' must be text", ""),
    (PEOPLE + READ + f"failure_reason: »{'x' * 121}", "at most 120 printable characters", ""),
    (PEOPLE + READ + "drill: »{window: saturday}", "'drill' needs 'every'", "add"),
    (PEOPLE + READ + "drill: {window: saturday, every: »1h}", "'every' must be from 86400 s", ""),
    (PEOPLE + READ + "drill: {window: saturday, every: »often}", "'every' is no duration", "8h"),
    (PEOPLE + READ + "drill: {window: saturday, every: 1d, »who: x}", "unknown key 'who' in 'drill'", "every"),
    (PEOPLE + READ + "drill: »{window: saturday, every: 90d}", "unknown window 'saturday'", "under `windows:`"),
    (
        PEOPLE + READ + "record: »everything",
        "unknown value of 'record'",
        "one of: operations, payload, session, writes",
    ),
    (PEOPLE + WEB + "record: »session", "`record: session`: nothing that passes here is inspected", "operations"),
    (PEOPLE + WEB + "record: »writes", "`record: writes`: nothing that passes here is inspected", "`allow:`"),
    (PEOPLE + "allow: {icmp: [discovery]}\nrecord: »payload", "echo has no payload to record", "operations"),
]


@pytest.mark.parametrize(("body", "why", "hint"), CONDUITS)
def test_a_problem_of_a_conduit_says_where_why_and_what_to_do(body: str, why: str, hint: str) -> None:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    assert_problem(f"{INVENTORY}conduits:\n  X:\n{lines}", why, hint)


@pytest.mark.parametrize(
    ("to", "allow", "require", "because"),
    [
        ("plc-1", "icmp: [discovery]", "tls: true", "nobody could use `icmp`: the conduit requires TLS"),
        ("plc-2", "icmp: [discovery]", "factors: two", "the conduit leads to an asset with `handles_cui: true`"),
    ],
)
def test_what_the_tunnel_cannot_carry_contradicts_tls(to: str, allow: str, require: str, because: str) -> None:
    head = f"conduits:\n  X: {{from: {{group: a}}, to: {{asset: {to}}}, require: {{{require}}}, "
    assert_problem(f"{INVENTORY}{head}allow: »{{{allow}}}}}\n", because, "without TLS")


@pytest.mark.parametrize(
    ("source", "to", "rest", "is_refused"),
    [
        ("{role: plc}", "{asset: plc-1}", "allow: {tcp/443: any}", True),
        ("{zone: cell}", "{zone: cell}", "allow: {modbus: [read]}, on_failure: open, approved_by: eve", True),
        ("{zone: cell}", "{zone: cell}", "allow: {modbus: [read]}", False),
        ("{role: scada}", "{asset: plc-1}", "allow: {tcp/443: any}", False),
        ("{group: a}", "{asset: plc-1}", "allow: {tcp/443: any}", False),
    ],
)
def test_neighbours_in_a_zone_that_keeps_client_addresses_would_answer_past_the_gate(
    *, source: str, to: str, rest: str, is_refused: bool
) -> None:
    text = INVENTORY.replace("[10.20.10.0/24]}", "[10.20.10.0/24], keep_client_address: true}")
    marked = f"{text}conduits:\n  X: {{from: {source}, to: »{to}, {rest}}}\n"
    if is_refused:
        assert_problem(marked, "zone 'cell' keeps the client's address, and 'plc-2' and 'plc-1'", "another network")
    else:
        accept(parse({"site.yaml": marked.replace("»", "")}), 1)


def test_a_range_that_permits_a_part_of_a_service_is_told_to_permit_the_whole() -> None:
    text = INVENTORY.replace("web: {protocol: https, port: 443}", "media: 5000-5020")
    conduits = "conduits:\n  X: {from: {group: a}, to: {asset: plc-1}, allow: »{tcp/5010-5030: any}}\n"
    assert_problem(
        text + conduits,
        "`tcp/5010-5030: any` is a part only of service 'media' of 'plc-1': tcp/5000-5020",
        "write `tcp/5000-5020: any`",
    )


def test_echo_towards_a_shared_overlay_address_is_a_problem_where_it_is_asked_for_by_name() -> None:
    shared = "  plc-3: {zone: cell, role: plc, address: 10.20.10.13, overlay: 100.64.10.12, services: {x: 1}}\n"
    named = "conduits:\n  X: {from: {group: a}, to: {asset: plc-3}, allow: »{icmp: [discovery]}}\n"
    assert_problem(INVENTORY + shared + named, "asset 'plc-3' shares its overlay address", "of its own")


SAME_SUBNET = """\
site: plant
overlay: 10.20.0.0/16
zones: {cell: {networks: [10.20.10.0/24]}}
assets:
  scada-1: {zone: cell, role: scada, address: 10.20.10.5}
  switch-1: {zone: cell, role: switch, address: 10.20.10.6}
  plc-1: {zone: cell, role: plc, address: 10.20.10.7, overlay: 10.20.10.107, services: {modbus: 502}}
conduits:
"""


def test_an_asset_without_overlay_address_answers_no_echo_and_says_so_where_it_is_asked_for_by_name() -> None:
    implied = "  X: {from: {role: scada}, to: {zone: cell}, allow: {modbus: [discovery]}}\n"
    site = accept(parse({"site.yaml": SAME_SUBNET + implied}), 1).site
    assert [asset.name for asset in site.assets if asset.service("icmp")] == ["plc-1"]
    named = "  X: {from: {role: scada}, to: {role: switch}, allow: »{icmp: [discovery]}}\n"
    assert_problem(SAME_SUBNET + named, "asset 'switch-1' has no overlay address", "set its `overlay: …`")


def test_a_port_range_contradicts_a_conduit_that_inspects_a_port_of_it() -> None:
    conduits = (
        "conduits:\n"
        "  X: {from: {group: a}, to: {asset: plc-1}, allow: {modbus: [read]}}\n"
        "  Y: {from: {group: b}, to: {asset: plc-1}, allow: »{tcp/400-600: any}}\n"
    )
    assert_problem(INVENTORY + conduits, "`tcp/502: any` contradicts conduit 'X'", "name the operations of modbus")


def test_a_machine_without_a_time_zone_database_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.policy.sections.windows.timezone_names", frozenset)
    window = SATURDAY.replace("Europe/Berlin", "»Europe/Berlin")
    assert_problem(f"{HEAD}windows: {{a: {{{window}}}}}\n", "no time zone database", "install the package tzdata")
    assert timezones.timezone_names() >= {"UTC", "Europe/Berlin"}
