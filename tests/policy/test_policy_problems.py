"""Every kind of problem of a site document: where it is, why it is one, and the hint.

In each case the mark » stands where the problem must be reported.
"""

from __future__ import annotations

import pytest
from policy_cases import INVENTORY

from penstock.model import Invalid, Problem
from penstock.policy import accept, parse


def problems_of(text: str, **more: str) -> tuple[Problem, ...]:
    """The problems of a document; a test fails that finds none."""
    with pytest.raises(Invalid) as caught:
        accept(parse({"site.yaml": text} | {f"{name}.yaml": other for name, other in more.items()}), 1)
    return caught.value.problems


def assert_problem(marked: str, why: str, hint: str) -> None:
    """Exactly one problem with this reason, at the mark, with this hint."""
    before = marked[: marked.index("»")]
    where = f"site.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    found = [item for item in problems_of(marked.replace("»", "")) if why in item.why]
    assert [item.where for item in found] == [where]
    assert hint in found[0].hint


HEAD = "site: p\noverlay: 100.64.0.0/16\n"

#: What follows the head of a document, why it is a problem, and the hint.
TOP = [
    ('zones: {»"a ": {networks: [10.1.0.0/24]}, a: {networks: [10.2.0.0/24]}}', "ends with a space", "write 'a'"),
    ("»agreements: {}", "'agreements' is not supported by this version", "does not enforce"),
    ("»conduit: {}", "unknown key 'conduit' in the document", "did you mean 'conduits'?"),
    ("»site: q", "the key 'site' stands here twice", "already at site.yaml:1:1"),
    ("»1: q", "the key '1' must be text, it is a whole number", "quotes"),
    ("»true: q", "the key 'true' must be text, it is true or false", "quotes"),
    ("? »[a]\n: q", "a key must be text", "remove the brackets"),
    ("zones: »&a {}", "the anchor &a is not allowed", "write the value out"),
    ("zones: »*a", "the alias *a is not allowed", "write the value out"),
    ("zones: »!!python/object:os.system {}", "the tag tag:yaml.org,2002:python/object:os.system", "remove it"),
    ("»---\nsite: q", "a second YAML document begins here", "a file of its own"),
    ("zones: »]", "not readable as YAML", "check quotes"),
    ("zones: »\x07", "a character that YAML does not allow", "check quotes"),
    ("zones: [[[[[[[[[[[[[[[»[[[[[[[[[[[[[[[[[[[[[[[[[", "nested deeper than 16 levels", "no more than seven"),
    ("zones: »5", "'zones' must be a table of keys and values", ""),
    ("tests: »{}", "'tests' must be a list", "[…]"),
    ("domain: »Plant.OT", "'Plant.OT' is no domain name", "small letters"),
    ("zones: {»A b: {networks: [10.0.0.0/24]}}", "small letters, digits and hyphens", "'a-b'"),
    ("zones: {a: »{}}", "zone 'a' needs 'networks'", "add `networks: …`"),
    ("zones: {a: {networks: »10.0.0.0/24}}", "'networks' must be a list", "[…]"),
    ("zones: {a: {networks: [»10.0.0.1/24]}}", "'10.0.0.1/24' is no IPv4 network", "'10.0.0.0/24'"),
    ("zones: {a: {networks: [»'fd00::/64']}}", "is no IPv4 network", "IPv6 is not supported by this version"),
    ("zones: {a: {networks: [10.0.0.0/24], security_level: »5}}", "'security_level' must be from 0 to 4, it is 5", ""),
    ("zones: {a: {networks: [10.0.0.0/24], security_level: »two}}", "'security_level' must be a whole number", ""),
    (
        "zones: {a: {networks: [10.0.0.0/24], »security_levle: 2}}",
        "unknown key 'security_levle' in zone 'a'",
        "did you mean 'security_level'?",
    ),
    (
        "zones: {a: {networks: [10.0.0.0/16]}, b: {networks: [»10.0.1.0/24]}}",
        "network 10.0.1.0/24 overlaps 10.0.0.0/16 of zone 'a'",
        "split the larger network",
    ),
    ("zones: {a: {networks: »[]}}", "zone 'a' has no network", "add one"),
]


@pytest.mark.parametrize(("text", "why", "hint"), TOP)
def test_a_problem_of_the_document_says_where_why_and_what_to_do(text: str, why: str, hint: str) -> None:
    assert_problem(f"{HEAD}{text}\n", why, hint)


#: One more asset of the shared plant, why it is a problem, and the hint.
ASSETS = [
    ("»{zone: cell, role: plc}", "asset 'plc-3' needs 'address'", "add `address: …`"),
    ("{zone: »cel, role: plc, address: 10.20.10.13}", "unknown zone 'cel'", "did you mean 'cell'?"),
    (
        "{zone: cell, role: plc, address: »10.20.0.99}",
        "is not in zone 'cell' (10.20.10.0/24)",
        "lies in zone 'control'",
    ),
    ("{zone: cell, role: plc, address: »10.9.9.9}", "is not in zone 'cell'", "add its network to the zone"),
    ("{zone: cell, role: plc, address: »10.20.10.255}", "network or broadcast address", ""),
    ("{zone: cell, role: plc, address: »plc.local}", "'plc.local' is no IPv4 address", "IPv6 is not supported"),
    ("{zone: cell, role: plc, address: »10.20.10.11}", "address 10.20.10.11 of asset 'plc-3' is already", "share"),
    ("{zone: cell, role: plc, address: 10.20.10.13, mac: »00:1d:9c:00:00:12}", "mac 00:1d:9c:00:00:12", "share"),
    ("{zone: cell, role: plc, address: 10.20.10.13, mac: »00:1d}", "is no hardware address", "00:1d:9c:00:00:12"),
    ("{zone: cell, role: plc, address: 10.20.10.13, mac: »01:00:5e:00:00:01}", "is a group address", ""),
    (
        "{zone: cell, role: plc, address: 10.20.10.13, overlay: »100.64.10.12}",
        "overlay 100.64.10.12 of asset 'plc-3' is already that of 'plc-2'",
        "set `overlay: …`",
    ),
    (
        "{zone: cell, role: plc, address: 10.20.10.13, overlay: »100.65.0.1}",
        "100.65.0.1 is not an address of the overlay 100.64.0.0/16",
        "",
    ),
    ("{zone: cell, role: plc, address: 10.20.10.13, handles_cui: »'yes'}", "must be true or false", "quotes"),
    ("{zone: cell, role: plc, address: 10.20.10.13, »color: red}", "unknown key 'color' in asset 'plc-3'", "one of:"),
    ("{zone: cell, role: plc, address: 10.20.10.13, services: {m: »0}}", "the port of 'm' must be from 1 to 65535", ""),
    ("{zone: cell, role: plc, address: 10.20.10.13, services: {m: »{protocol: x}}}", "needs 'port'", "add"),
    ("{zone: cell, role: plc, address: 10.20.10.13, services: {m: »[]}}", "must be a port or a table", "502"),
    (
        "{zone: cell, role: a, address: 10.20.10.13, services: {m: {port: 1, transport: »sctp}}}",
        "unknown value of 'transport': 'sctp'",
        "one of: tcp, udp",
    ),
    ("{zone: cell, role: plc, address: 10.20.10.13, services: {a: 1, b: »1}}", "'a' and 'b' share tcp/1", "keep"),
    (
        "{zone: cell, role: a, address: 10.20.10.9, services: {m: {protocol: x, port: 1}, »y: {protocol: m, port: 2}}}",
        "the name of service 'm' is the protocol of service 'y'",
        "another name",
    ),
]


@pytest.mark.parametrize(("asset", "why", "hint"), ASSETS)
def test_a_problem_of_an_asset_says_where_why_and_what_to_do(asset: str, why: str, hint: str) -> None:
    assert_problem(f"{INVENTORY}  plc-3: {asset}\n", why, hint)


def test_assets_whose_derived_overlay_addresses_collide_are_told_to_set_one() -> None:
    text = INVENTORY.replace("[10.20.10.0/24]", "[10.20.10.0/24, 10.21.10.0/24]")
    (found,) = problems_of(f"{text}  plc-3: {{zone: cell, role: plc, address: 10.21.10.12}}\n")
    assert (found.where, found.hint) == (
        "site.yaml:16:3",
        "set `overlay: …` of one of them to a free address, or write it there if they are to share this one",
    )
    assert "overlay 100.64.10.12 of asset 'plc-3' is already that of 'plc-2'" in found.why


def test_a_derived_overlay_address_at_the_edge_of_the_overlay_is_a_problem() -> None:
    text = INVENTORY.replace("[10.20.10.0/24]", "[10.20.10.0/24, 10.22.0.0/15]")
    (only,) = problems_of(f"{text}  plc-3: {{zone: cell, role: plc, address: 10.23.0.0}}\n")
    assert only.why == "the overlay address derived from 10.23.0.0 is 100.64.0.0, the edge of 100.64.0.0/16"
    assert only.hint == "set `overlay: …` of 'plc-3' to a free address"


PEOPLE = "from: {group: operators}\nto: {asset: plc-1}\n"
MACHINES = "from: {role: scada}\nto: {asset: plc-1}\n"
READ = "allow: {modbus: [read]}\n"

#: The body of conduit X (and conduit Y, where it is there), why it is a problem, and the hint.
CONDUITS = [
    ("»to: {asset: plc-1}\nallow: {modbus: [read]}", "needs 'from'", "add `from: …`"),
    ("»from: {group: operators}\nto: {asset: plc-1}", "needs 'allow'", "add `allow: …`"),
    ("from: »{}\nto: {asset: plc-1}\nallow: {modbus: [read]}", "'from' names nothing", "name one or more of: group"),
    ("from: {group: a}\nto: »{}\nallow: {modbus: [read]}", "'to' names nothing", "name one or more of: role"),
    (
        "from: »{group: a, zone: cell}\nto: {asset: plc-1}\nallow: {modbus: [read]}",
        "names people (group) and machines",
        "make two",
    ),
    ("from: {group: »a b}\nto: {asset: plc-1}\nallow: {modbus: [read]}", "'a b' is no name", ""),
    (
        "from: {»gruop: a}\nto: {asset: plc-1}\nallow: {modbus: [read]}",
        "unknown key 'gruop' in 'from'",
        "did you mean 'group'?",
    ),
    (
        "from: {group: a}\nto: {»group: b}\nallow: {modbus: [read]}",
        "unknown key 'group' in 'to'",
        "one of: asset, role, zone",
    ),
    (
        "from: {group: a}\nto: »{asset: plc-l}\nallow: {modbus: [read]}",
        "unknown asset 'plc-l' in 'to'",
        "did you mean 'plc-",
    ),
    (
        "from: »{role: skada}\nto: {asset: plc-1}\nallow: {modbus: [read]}",
        "unknown role 'skada'",
        "did you mean 'scada'?",
    ),
    ("from: {role: scada}\nto: »{zone: sell}\nallow: {modbus: [read]}", "unknown zone 'sell'", "did you mean 'cell'?"),
    (
        "from: {role: scada}\nto: »{role: plc, zone: control}\nallow: {modbus: [read]}",
        "no asset fits 'role plc in zone control'",
        "lead",
    ),
    (
        "from: »{role: plc, zone: control}\nto: {asset: plc-1}\nallow: {modbus: [read]}",
        "no asset fits 'role plc in zone",
        "lead from",
    ),
    (
        "from: {asset: plc-1}\nto: »{asset: plc-1}\nallow: {modbus: [read]}",
        "leads from 'plc-1' to itself",
        "another target",
    ),
    (
        "from: {group: a}\nto: {asset: hmi-1}\nallow: »{modbus: [read]}",
        "asset 'hmi-1' offers no service of protocol 'modbus'",
        "add",
    ),
    (PEOPLE + "allow: »{tcp/444: any}", "asset 'plc-1' offers no service at tcp/444", "port: 444"),
    (PEOPLE + "allow: »{}", "'allow' names nothing", "allow: {modbus: [read]}"),
    (PEOPLE + "allow: {modbus: »[]}", "'modbus' names no operation class", "[read]"),
    (PEOPLE + "allow: {modbus: [»{}]}", "'modbus' names no operation class here", "[read]"),
    (PEOPLE + "allow: {modbus: »any}", "'modbus' needs a list of operation classes", "`tcp/502: any`"),
    (PEOPLE + "allow: {modbus: [»any]}", "'any' is no operation class", "by name only"),
    (PEOPLE + "allow: {modbus: [»raed]}", "unknown operation class 'raed'", "did you mean 'read'?"),
    (PEOPLE + "allow: {»modbuss: [read]}", "unknown protocol 'modbuss'", "did you mean 'modbus'?"),
    (PEOPLE + "allow: {»mqtt: [read]}", "this version cannot inspect mqtt", "`tcp/1883: any`"),
    (PEOPLE + "allow: »{profinet: any}", "offers no service of protocol 'profinet' over udp", "services: {profinet"),
    (PEOPLE + "allow: {»s7comm_plus: any}", "unknown protocol 's7comm_plus'", "`s7comm-plus: any`"),
    (PEOPLE + "allow: {»shh: any}", "unknown protocol 'shh'", "ssh"),
    (PEOPLE + "allow: {https: »[read]}", "operations of https cannot all be seen", "`https: any`"),
    (PEOPLE + "allow: {mms: »read}", "'mms' needs a list of operation classes", "`mms: any`"),
    (PEOPLE + "allow: {mms: »[]}", "'mms' names no operation class", "`mms: [read]`"),
    (PEOPLE + "allow: {mms: [»any]}", "'any' stands alone", "`mms: any`"),
    (PEOPLE + "allow: {mms: [»reed]}", "unknown operation class 'reed'", "read"),
    (PEOPLE + "allow: {mms: [»{write: {values: 1}}]}", "a class cannot be narrowed", "`mms: [write]`"),
    (PEOPLE + "allow: »{ssh: any}", "asset 'plc-1' offers no service of protocol 'ssh' over tcp", "services: {ssh"),
    (PEOPLE + "hold: »[write]\nallow: {mms: any}", "nothing of mms waits", "a conduit of its own"),
    (PEOPLE + "record: »payload\nallow: {mms: any}", "recognises mms and reads no answers", "record: operations"),
    (PEOPLE + "allow: {mms: [»encrypted]}", "unknown operation class 'encrypted'", ""),
    (PEOPLE + "latency_budget: »5ms\nallow: {mms: any}", "nothing of mms is measured", "a conduit of its own"),
    (PEOPLE + "allow: {»snmp: [read]}", "this version cannot inspect snmp", "`udp/161: any`"),
    (PEOPLE + "allow: {tcp/443: »[read]}", "tcp/443 is not inspected", "`tcp/443: any`"),
    (PEOPLE + "allow: {»tcp/70000: any}", "the port must be from 1 to 65535, it is 70000", ""),
    (PEOPLE + "allow: {»icmp/8: any}", "'icmp/8' is no port", "tcp/5432"),
    (PEOPLE + "allow: {modbus: [{write: »{}}]}", "'write' has no limits", "alone"),
    (PEOPLE + "allow: {modbus: [{write: {»coil: 1}}]}", "unknown key 'coil'", "did you mean 'coils'?"),
    (PEOPLE + "allow: {modbus: [{write: {»hold: 1}}]}", "'hold' is not supported by this version", "remove"),
    (PEOPLE + "allow: {modbus: [{write: {input_registers: »1}}]}", "input_registers cannot be written", "read"),
    (PEOPLE + "allow: {modbus: [{read: {values: »1}}]}", "values limit what is written, not 'read'", "remove"),
    (PEOPLE + "allow: {modbus: [{config: {coils: »1}}]}", "class 'config' name no coils", "remove"),
    (PEOPLE + "allow: {modbus: [{write: {coils: »5-3}}]}", "'5-3' is no range", "the smaller number first"),
    (PEOPLE + "allow: {modbus: [{write: {coils: »[]}}]}", "'coils' names no range", "10-12"),
    (PEOPLE + "allow: {modbus: [{write: {coils: [»{}]}}]}", "'coils' must be text or a list of texts", "10-12"),
    (PEOPLE + "allow: {modbus: [{write: {coils: »0-65536}}]}", "must be from 0 to 65535", ""),
    (PEOPLE + "allow: {modbus: [{write: {values: »0-70000}}]}", "must be from -32768 to 65535", ""),
    (PEOPLE + "allow: {modbus: [{write: {values: »-1..40000}}]}", "a register is signed or unsigned", "32767"),
    (PEOPLE + "allow: {modbus: [{write: {at_most: »often}}]}", "'often' is no rate", "6/min"),
    (PEOPLE + "allow: {modbus: [{write: {at_most: »0/min}}]}", "'0/min' is no rate", "6/min"),
    (PEOPLE + READ + "require: {factors: »three}", "unknown value of 'factors': 'three'", "one of: none"),
    (PEOPLE + READ + "require: {tls: »1}", "'tls' must be true or false", "quotes"),
    (PEOPLE + READ + "session: {length: »8 hours}", "'length' is no duration", "8h"),
    (PEOPLE + READ + "session: {length: »8d}", "'length' must be from 1 s to 604800 s", ""),
    (PEOPLE + READ + "session: {length: 1h, idle: »2h}", "'idle' (7200 s) is longer than 'length'", "shorten"),
    (PEOPLE + READ + "on_failure: »opened", "unknown value of 'on_failure'", "did you mean 'open'?"),
    (PEOPLE + READ + "on_failure: »open\napproved_by: eve", "only machines' conduits may fail open", "remove"),
    (MACHINES + READ + "on_failure: »open", "fails open, and nobody approved it", "approved_by"),
    (MACHINES + READ + "require: »{tls: true}", "a machine cannot meet `tls: true`", "remove `tls`"),
    (MACHINES + READ + "require: »{factors: one}", "a machine cannot meet `factors: one`", "remove `factors`"),
    (
        "from: {group: a}\nto: {zone: cell}\nallow: {modbus: [read]}\nrequire: »{tls: false}",
        "`tls: false` contradicts `handles_cui: true` of asset 'plc-2'",
        "over TLS only",
    ),
    (
        PEOPLE + READ + "Y: {from: {role: scada}, to: {role: plc}, allow: »{tcp/502: any}}",
        "`tcp/502: any` contradicts conduit 'X' (site.yaml:17:3): it inspects tcp/502 of 'plc-1'",
        "name the operations of modbus here too",
    ),
    *[
        (PEOPLE + READ + f"require: {{»{key}: x}}", f"'{key}' is not supported by this version", "not accepted")
        for key in ("approval", "reason", "agreement", "window")
    ],
    *[
        (PEOPLE + READ + f"»{key}: x", f"'{key}' is not supported by this version", "not accepted")
        for key in ("pattern", "approval", "reason", "agreement", "window")
    ],
]


@pytest.mark.parametrize(("body", "why", "hint"), CONDUITS)
def test_a_problem_of_a_conduit_says_where_why_and_what_to_do(body: str, why: str, hint: str) -> None:
    lines = "".join(f"  {line}\n" if line.startswith("Y:") else f"    {line}\n" for line in body.splitlines())
    assert_problem(f"{INVENTORY}conduits:\n  X:\n{lines}", why, hint)


#: One test of the document, why it is a problem, and the hint.
TESTS = [
    ("»{on: plc-1, over: modbus, as: {group: a}}", "a test needs 'may' or 'may_not'", ""),
    ("»{may: read, may_not: read, on: plc-1, over: modbus, as: {group: a}}", "and not both", ""),
    ("{may: »raed, on: plc-1, over: modbus, as: {group: a}}", "unknown value of 'may': 'raed'", "'read'?"),
    ("»{may: read, over: modbus, as: {group: a}}", "the test needs 'on'", "add"),
    ("{may: read, on: »plc-9, over: modbus, as: {group: a}}", "unknown asset 'plc-9'", "did you mean"),
    ("{may: read, on: plc-1, over: »s7comm, as: {group: a}}", "unknown service of asset 'plc-1': 's7comm'", "web"),
    ("{may: read, on: plc-1, over: modbus, as: »{}}", "'as' must name a person", ""),
    ("{may: read, on: plc-1, over: modbus, as: »{group: a, role: b}}", "and not both", ""),
    ("{may: read, on: plc-1, over: modbus, as: »{role: b, tls: true}}", "a machine has no factors", "remove"),
    ("{may: read, on: plc-1, over: modbus, as: {zone: »sell}}", "unknown zone 'sell'", "'cell'?"),
    ("{may: write, on: plc-1, over: modbus, as: {group: a}, value: »1}", "'value' needs an object", "register"),
    ("{may: read, on: plc-1, over: modbus, as: {group: a}, coil: »1, register: 1}", "names one object", ""),
    ("{may: config, on: plc-1, over: modbus, as: {group: a}, coil: »1}", "class 'config' name no coil", ""),
    (
        "{may: read, on: plc-1, over: modbus, as: {group: a}, coil: »70000}",
        "'coils' must be from 0 to 65535",
        "counted from 0",
    ),
    ("{may: write, on: plc-1, over: modbus, as: {group: a}, coil: 1, value: »[]}", "names no value", "300"),
    ("{may: write, on: plc-1, over: modbus, as: {group: a}, coil: 1, value: »x}", "'x' is no value", "write a number"),
    ("{may: read, on: plc-1, over: modbus, as: {group: a}, »colour: red}", "unknown key 'colour' in the test", ""),
    ("»{may: read, on: plc-1, over: modbus, as: {group: a}}", "it says may, but modbus.read on plc-1", "no conduit"),
]


@pytest.mark.parametrize(("test", "why", "hint"), TESTS)
def test_a_problem_of_a_test_says_where_why_and_what_to_do(test: str, why: str, hint: str) -> None:
    assert_problem(f"{INVENTORY}tests:\n  - {test}\n", why, hint)


def test_a_failed_test_names_the_nearest_conduit_or_the_one_that_allows() -> None:
    conduits = "conduits: {X: {from: {group: a}, to: {asset: plc-1}, allow: {modbus: [{write: {coils: 1-5}}]}}}\n"
    claims = (
        "tests:\n"
        "  - {may: write, on: plc-1, over: modbus, as: {group: a}, coil: 6, value: 1}\n"
        "  - {may_not: write, on: plc-1, over: modbus, as: {group: a}, coil: 5, value: 1}\n"
    )
    denied, allowed = problems_of(INVENTORY + conduits + claims)
    assert denied.why.endswith("modbus.write on plc-1 as somebody (groups: a), coils 6 is denied")
    assert denied.hint.startswith("nearest conduit 'X': objects: wanted write coils 1-5, found coils 6")
    assert (allowed.where, allowed.hint) == ("site.yaml:19:5", "conduit 'X' allows it")


def test_every_problem_is_told_at_once_in_the_order_of_the_document() -> None:
    found = problems_of(
        "site: 'X y'\noverlai: 1\nzones: {a: {network: []}}\nconduits: {x: {to: {role: plx}, agreement: 1}}\n"
    )
    assert [item.where.split(":")[1] for item in found] == ["1", "1", "2", "3", "3", "4", "4", "4", "4"]


def test_a_broken_asset_does_not_make_problems_of_what_refers_to_it() -> None:
    text = INVENTORY.replace("address: 10.20.10.11", "address: nowhere")
    conduits = "conduits: {X: {from: {role: scada}, to: {asset: plc-1}, allow: {modbus: [read]}}}\n"
    claims = "tests:\n  - {may: read, on: plc-1, over: modbus, as: {role: scada}}\n"
    (only,) = problems_of(text + conduits + claims)
    assert only.why == "'nowhere' is no IPv4 address"


def test_what_stands_in_two_files_is_a_problem() -> None:
    found = problems_of(INVENTORY, z="site: q\nzones: {cell: {networks: [10.9.0.0/24]}}\n")
    assert [(item.where, item.hint) for item in found] == [
        ("z.yaml:1:1", "it is already at site.yaml:1:1"),
        ("z.yaml:2:9", "it is already at site.yaml:6:3"),
    ]


def test_an_empty_document_and_no_document_are_problems() -> None:
    assert problems_of("# nothing\n")[0].why == "the file is empty"
    with pytest.raises(Invalid) as caught:
        parse({})
    assert caught.value.problems[0].why == "there is no document"


def test_a_document_larger_than_one_mebibyte_is_refused_unread() -> None:
    (only,) = problems_of("#" * (1 << 20) + "x")
    assert only.why == "the file is larger than 1048576 bytes"


def test_a_very_long_list_of_problems_is_cut_and_says_so() -> None:
    found = problems_of(HEAD + "".join(f"x{number}: 1\n" for number in range(300)))
    assert len(found) == 201
    assert found[-1].why == "and 100 more problems from here on"
