"""Inspected protocols over UDP in a site document: several transports, clear problems, one verdict for all services."""

from __future__ import annotations

import jsonschema
import pytest
from policy_cases import INVENTORY

from penstock.model import GatePlace, Inspected, Invalid
from penstock.policy import compile_policy, compile_ruleset, machine_paths, parse, site_schema

POLLS = """
conduits:
  SCADA polls:
    from: {role: scada}
    to: {asset: plc-1}
    allow: {%s}
"""


def document(services: str, allow: str) -> str:
    text = INVENTORY.replace("services: {modbus: 502, web: {protocol: https, port: 443}}", f"services: {{{services}}}")
    assert text != INVENTORY
    return text + POLLS % allow


def inspected(services: str, allow: str) -> list[tuple[str, int]]:
    """Where the kernel steers the flows of plc-1 to the worker."""
    site = parse({"site.yaml": document(services, allow)}).site
    ruleset = compile_ruleset(compile_policy(site, 1), GatePlace(interface="eth0", address="10.20.0.2"), ())
    assert all(isinstance(each, Inspected) for each in ruleset.inspected)
    return [(each.transport, each.port) for each in ruleset.inspected]


@pytest.mark.parametrize(
    ("services", "allow", "wanted"),
    [
        ("modbus: udp/502", "modbus: [read]", [("udp", 502)]),
        ("modbus: tcp/502", "modbus: [read]", [("tcp", 502)]),
        ("modbus: 502, m2: {protocol: modbus, port: 1502, transport: udp}", "modbus: [read]",
         [("tcp", 502), ("udp", 1502)]),
        ("bacnet: 47808", "bacnet: [read]", [("udp", 47808)]),
        ("bacnet: udp/47808", "bacnet: [read]", [("udp", 47808)]),
        ("dnp3: udp/20000", "dnp3: [read]", [("udp", 20000)]),
        ("fins: udp/9600", "fins: [read]", [("udp", 9600)]),
        ("fins: 9600", "fins: [read]", [("tcp", 9600)]),
        (("enip: 44818, enip-list: {protocol: enip, port: 44818, transport: udp}, "
         "enip-io: {protocol: enip, port: 2222, transport: udp}"), "enip: [read, write]",
         [("tcp", 44818), ("udp", 2222), ("udp", 44818)]),
        ("modbus: udp/502, m2: {protocol: modbus, port: 1502}", "tcp/1502: any", []),
    ],
)  # fmt: skip
def test_a_protocol_is_inspected_over_whatever_it_is_spoken_over(
    services: str, allow: str, wanted: list[tuple[str, int]]
) -> None:
    assert inspected(services, allow) == wanted


def test_a_machine_s_paths_are_one_for_each_transport() -> None:
    services = "modbus: 502, m2: {protocol: modbus, port: 502, transport: udp}"
    site = parse({"site.yaml": document(services, "modbus: [read]")}).site
    paths = [each for each in machine_paths(compile_policy(site, 1)) if each.service.transport != "icmp"]
    assert sorted((path.service.at, path.is_inspected) for path in paths) == [("tcp/502", True), ("udp/502", True)]


@pytest.mark.parametrize(
    ("services", "allow", "why"),
    [
        ("s7comm: udp/102", "s7comm: [read]", "offers no service of protocol 's7comm' over tcp"),
        ("web: 80", "modbus: [read]", "offers no service of protocol 'modbus' over tcp or udp"),
        ("web: 80", "bacnet: [read]", "offers no service of protocol 'bacnet' over udp"),
        ("modbus: udp/502-505", "modbus: [read]", "modbus is inspected, and an inspected service has one port"),
        ("modbus: udp/0", "modbus: [read]", "the port of 'modbus' must be from 1 to 65535, it is 0 to 0"),
        ("modbus: sctp/502", "modbus: [read]", "the port of 'modbus' is 'sctp/502', which is none"),
        ("modbus: udp/502/1", "modbus: [read]", "the port of 'modbus' is 'udp/502/1', which is none"),
        ("media: udp/9-5", "udp/5: any", "the port of 'media' ends before it begins"),
        ("modbus: 502, m2: {protocol: modbus, port: 502, transport: udp}", "modbus: [read], udp/502: any",
         "`udp/502: any` contradicts conduit"),
    ],
)  # fmt: skip
def test_what_is_not_carried_is_refused_with_its_reason(services: str, allow: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse({"site.yaml": document(services, allow)})
    assert any(why in problem.why for problem in refused.value.problems), refused.value.problems
    assert all(problem.where.startswith("site.yaml:") for problem in refused.value.problems)


@pytest.mark.parametrize("port", ["udp/502", "tcp/5000-5010", 502, "5000-5010"])
def test_the_schema_takes_what_the_parser_takes(port: object) -> None:
    _validate(port)


@pytest.mark.parametrize("port", ["sctp/502", "udp/", "udp/x", 0])
def test_the_schema_refuses_what_no_port_is(port: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        _validate(port)


def _validate(port: object) -> None:
    asset = {"zone": "cell", "role": "plc", "address": "10.20.10.11", "services": {"one": port}}
    site = {"site": "s", "overlay": "100.64.0.0/16", "assets": {"plc-1": asset}}
    jsonschema.validate(site, site_schema())
