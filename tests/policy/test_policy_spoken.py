"""Recognised protocols in a site document: ``ssh: any`` and ``mms: [read]``, and what follows for the flow."""

from __future__ import annotations

import pytest
from policy_cases import INVENTORY, asking, person

from penstock.model import Binding, Decision, Invalid, Operation, OperationClass, Reason
from penstock.policy import Policy, accept, compile_policy, decide, machine_paths, parse
from penstock.policy.reach import reach_service

SERVICES = (
    "services: {ssh: 22, mms: 102, media: {protocol: vnc, port: 5900-5910}, "
    "web: {protocol: https, port: 443}, hmi: {protocol: http, port: 80}}"
)
PLANT = INVENTORY.replace("services: {modbus: 502, web: {protocol: https, port: 443}}", SERVICES)
Is = OperationClass


def policy_of(*conduits: str) -> Policy:
    """Conduits of people to the asset; each is what it allows."""
    written = "".join(
        f"  C{number}: {{from: {{group: ops}}, to: {{asset: plc-1}}, allow: {{{allow}}}}}\n"
        for number, allow in enumerate(conduits)
    )
    return accept(parse({"site.yaml": f"{PLANT}conduits:\n{written}"}), 7)


def judged(policy: Policy, protocol: str, *classes: OperationClass) -> Decision:
    operation = Operation(protocol, classes, "1", "something")
    return decide(policy, asking(person("ops"), operation, "plc-1", protocol, has_tls=True))


@pytest.mark.parametrize("found", sorted(set(OperationClass) - {Is.DISCOVERY, Is.ENCRYPTED}))
def test_any_permits_whatever_the_protocol_says(found: OperationClass) -> None:
    assert judged(policy_of("ssh: any"), "ssh", found).is_allowed
    assert not judged(policy_of("ssh: any"), "https", found).is_allowed


def test_any_permits_echo_only_of_protocols_that_know_discovery() -> None:
    assert [
        each.protocol for each in policy_of("ssh: any, https: any").assets["plc-1"].services if each.port == 0
    ] == []
    assert [each.protocol for each in policy_of("mms: any").assets["plc-1"].services if each.port == 0] == ["icmp"]


def test_classes_permit_themselves_and_a_denial_names_what_was_wanted() -> None:
    policy = policy_of("mms: [read, read-only engineering], ssh: any")
    for found in (Is.READ, Is.DISCOVERY, Is.FILE_READ, Is.SESSION):
        assert judged(policy, "mms", found).is_allowed
    denied = judged(policy, "mms", Is.READ, Is.WRITE)
    assert denied.reason is Reason.OPERATION_NOT_ALLOWED
    assert denied.misses[0].found == "mms.write"
    assert "ssh: any" in denied.misses[0].wanted
    assert "mms.read" in denied.misses[0].wanted
    assert judged(policy, "mms", Is.UNKNOWN).reason is Reason.UNKNOWN_OPERATION


def test_such_a_service_goes_through_the_worker_and_says_what_it_is() -> None:
    policy = policy_of("https: any, ssh: any, tcp/80: any")
    found = {
        name: reach_service(policy, person("ops"), "plc-1", name, Binding.CERTIFICATE, has_tls=True)
        for name in ("web", "ssh", "hmi", "mms")
    }
    assert found["mms"] is None
    told = {name: (each.is_inspected, each.summary) for name, each in found.items() if each is not None}
    assert told == {
        "web": (True, ("anything, as long as it is https",)),
        "ssh": (True, ("anything, as long as it is ssh",)),
        "hmi": (False, ("anything on tcp/80, not inspected",)),
    }


def test_machines_reach_it_through_the_worker_too() -> None:
    conduit = "  M: {from: {role: hmi}, to: {asset: plc-1}, allow: {mms: [read]}, on_failure: open, approved_by: a@b}\n"
    (path,) = machine_paths(compile_policy(parse({"site.yaml": f"{PLANT}conduits:\n{conduit}"}).site, 1))
    assert (path.service.name, path.is_inspected, path.is_safety_critical) == ("mms", True, True)


def test_one_conduit_cannot_permit_as_a_whole_what_another_holds_to_its_protocol() -> None:
    with pytest.raises(Invalid, match="contradicts"):
        policy_of("ssh: any", "tcp/22: any")
    assert judged(policy_of("ssh: any", "tcp/443: any"), "ssh", Is.EXECUTE).is_allowed


def test_a_range_is_permitted_by_its_ports_alone() -> None:
    assert policy_of("tcp/5900-5910: any").ways
    with pytest.raises(Invalid, match="a flow is held to vnc at one port") as caught:
        policy_of("vnc: any")
    assert caught.value.problems[0].hint == "make each port a service, or write `tcp/5900-5910: any`"


def test_claims_of_a_document_speak_of_it() -> None:
    claims = (
        "tests:\n  - {may: execute, on: plc-1, over: ssh, as: {group: ops, factors: two}}\n"
        "  - {may_not: write, on: plc-1, over: mms, as: {group: ops, factors: two}}\n"
    )
    conduit = "conduits:\n  C: {from: {group: ops}, to: {asset: plc-1}, allow: {ssh: any, mms: [read]}}\n"
    assert accept(parse({"site.yaml": PLANT + conduit + claims}), 1).revision == 1
    with pytest.raises(Invalid):
        accept(parse({"site.yaml": PLANT + conduit + claims.replace("may_not: write", "may_not: read")}), 1)
