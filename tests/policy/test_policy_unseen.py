"""Encrypted channels in the language: with an endpoint only, never beside what they would make void."""

from __future__ import annotations

import json

import pytest
from policy_cases import (
    AUTHORITY,
    CLASSES,
    INVENTORY,
    NO_AUTHORITY,
    SERVER,
    SHORT_SERVER,
    asking,
    machine,
    person,
)

from penstock.model import Invalid, Operation, Reason, Request, Subject, Target
from penstock.policy import Policy, accept, decide, parse
from penstock.wire.opcua.opaque import Ends

SITE = INVENTORY.replace("modbus: 502, web", "opcua: 4840, web")
URL, POLICY = "opc.tcp://plc-1:4840/line", "Basic256Sha256"
MINE, THEIRS = "1a" * 20, "2b" * 20
WRITE = Operation(
    "opcua", (CLASSES.WRITE,), "673", "Write", None, (Target(CLASSES.WRITE, "Value", 5, 1, "ns=2;i=5", (1,)),)
)


def policy_of(*conduits: str) -> Policy:
    ways = "".join(f"  Way {number}: {{{text}}}\n" for number, text in enumerate(conduits))
    return accept(parse({"site.yaml": f"{SITE}conduits:\n{ways}"}), 7)


def way(allow: str, source: str = "group: ops", target: str = "asset: plc-1") -> str:
    return f"from: {{{source}}}, to: {{{target}}}, allow: {{opcua: [{allow}]}}"


def asked(operation: Operation, subject: Subject | None = None) -> Request:
    found = asking(subject or person("ops"), operation)
    return Request(subject=found.subject, asset="plc-1", protocol="opcua", operation=operation, binding=found.binding)


def reason(allow: str, ends: Ends) -> Reason:
    return decide(policy_of(way(allow)), asked(ends.operation)).reason


def ends(endpoint: str = URL, policy: str = POLICY, client: str = MINE, server: str = THEIRS) -> Ends:
    return Ends(policy, endpoint, client, server)


def problems(*conduits: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        policy_of(*conduits)
    return [each.why for each in caught.value.problems]


def test_an_encrypted_channel_is_denied_unless_it_is_named() -> None:
    classes = ", ".join(each for each in CLASSES if each is not CLASSES.ENCRYPTED)
    assert reason(classes, ends()) is Reason.OPERATION_NOT_ALLOWED


def test_an_encrypted_channel_is_allowed_to_its_endpoint_and_no_other() -> None:
    allow = "{encrypted: {endpoints: [opc.tcp://plc-1:4840/line, 'opc.tcp://plc-2:*']}}"
    assert reason(allow, ends()) is Reason.ALLOWED
    assert reason(allow, ends("opc.tcp://plc-2:4841/x")) is Reason.ALLOWED
    for other in ("opc.tcp://plc-1:4840/lin", "opc.tcp://plc-1:4840/line2", "", "x opc.tcp://plc-1:4840/line"):
        assert reason(allow, ends(other)) is Reason.OBJECT_OUT_OF_RANGE


def test_policy_and_certificates_narrow_each_for_itself() -> None:
    limits = {"security": f"[{POLICY}, Aes256_Sha256_RsaPss]", "clients": f"'{MINE.upper()}'", "servers": f"'{THEIRS}'"}
    for key, text in limits.items():
        allow = f"{{encrypted: {{endpoints: '{URL}', {key}: {text}}}}}"
        assert reason(allow, ends()) is Reason.ALLOWED
    every = ", ".join(f"{key}: {text}" for key, text in limits.items())
    allow = f"{{encrypted: {{endpoints: '{URL}', {every}}}}}"
    assert reason(allow, ends()) is Reason.ALLOWED
    assert reason(allow, ends(policy="Aes256_Sha256_RsaPss")) is Reason.ALLOWED
    others = (ends(policy="Basic256"), ends(client=THEIRS), ends(server=MINE), ends(client=""), ends("opc.tcp://x"))
    for other in others:
        assert reason(allow, other) is Reason.OBJECT_OUT_OF_RANGE


def test_what_the_client_says_of_its_endpoint_stands_for_nothing_else() -> None:
    allow = f"{{encrypted: {{endpoints: 'opc.tcp://*', clients: '{MINE}', security: {POLICY}}}}}"
    assert reason(allow, ends()) is Reason.ALLOWED
    assert reason(allow, ends(f"client {MINE}", client=THEIRS)) is Reason.OBJECT_OUT_OF_RANGE
    assert reason(allow, ends(f"policy {POLICY}", policy="Basic256")) is Reason.OBJECT_OUT_OF_RANGE


def test_encrypted_channels_do_not_allow_what_is_read() -> None:
    policy = policy_of(way(f"discovery, {{encrypted: {{endpoints: '{URL}'}}}}"))
    assert decide(policy, asked(WRITE)).reason is Reason.OPERATION_NOT_ALLOWED


@pytest.mark.parametrize(
    ("allow", "why"),
    [
        ("encrypted", "'encrypted' is allowed with 'endpoints' only"),
        ("{encrypted: {security: Basic256Sha256}}", "'encrypted' is allowed with 'endpoints' only"),
        ("{encrypted: {at_most: 6/min}}", "'encrypted' is allowed with 'endpoints' only"),
        ("{encrypted: {endpoints: plc-1}}", "'plc-1' is no endpoint"),
        ("{encrypted: {endpoints: '*'}}", "'*' is no endpoint"),
        ("{encrypted: {endpoints: 'opc.tcp://x', security: None}}", "'None' is no security policy that encrypts"),
        ("{encrypted: {endpoints: 'opc.tcp://x', clients: 12ab}}", "'12ab' is no thumbprint of a certificate"),
        ("{unknown: {endpoints: 'opc.tcp://x'}}", "operations of class 'unknown' name no endpoints"),
        ("{read: {clients: '" + MINE + "'}}", "operations of class 'read' name no clients"),
    ],
)
def test_a_channel_that_nobody_sees_into_is_named_exactly(allow: str, why: str) -> None:
    assert problems(way(allow)) == [why]


def test_a_protocol_without_encrypted_channels_cannot_allow_them() -> None:
    with pytest.raises(Invalid, match="unknown operation class 'encrypted'"):
        parse(
            {
                "site.yaml": INVENTORY
                + "conduits:\n  W: {from: {group: o}, to: {asset: plc-1}, allow: {modbus: [encrypted]}}"
            }
        )


ENCRYPTED = f"{{encrypted: {{endpoints: '{URL}'}}}}"


@pytest.mark.parametrize("beside", ["read", "{write: {values: 0-5}}", "unknown", "read-only engineering", "execute"])
def test_operations_beside_encrypted_channels_would_hold_nobody(beside: str) -> None:
    (why,) = problems(way(f"{beside}, {ENCRYPTED}"))
    assert why == "conduit 'Way 0' names operations beside `encrypted`, where nobody can see them"


@pytest.mark.parametrize("source", ["group: ops", "user: eve", "role: scada", "zone: control"])
def test_two_conduits_for_the_same_subjects_do_not_differ_about_it(source: str) -> None:
    (why,) = problems(way(ENCRYPTED, source), way("{write: {values: 0-5}}", source, "role: plc"))
    assert why.startswith("conduit 'Way 0' lets the same subjects pass `encrypted` to the same service")
    problems(way("read", "asset: scada-1"), way(ENCRYPTED, "role: scada"))


def test_other_subjects_and_other_assets_may_have_encrypted_channels() -> None:
    policy = policy_of(
        way(ENCRYPTED, "asset: scada-1"), way("{write: {values: 0-5}}", "asset: hmi-1"), way("discovery", "role: scada")
    )
    assert decide(policy, asked(ends().operation, machine())).is_allowed
    assert not decide(policy, asked(ends().operation, machine("hmi-1", "hmi"))).is_allowed


def test_nobody_is_asked_about_what_he_cannot_see() -> None:
    assert problems(f"{way(ENCRYPTED)}, hold: [encrypted]") == [
        "nobody could say what he approves: encrypted messages cannot be shown"
    ]


def service(text: str, more: str = "") -> str:
    made = f"{{port: 4840, server_certificate: {text}{more}}}"
    ways = f"conduits:\n  Way: {{{way('read')}}}\n"
    return INVENTORY.replace("modbus: 502, web", f"opcua: {made}, web") + ways


def test_a_service_names_the_server_whose_channels_the_gate_ends() -> None:
    (asset,) = (each for each in parse({"s.yaml": service(json.dumps(SERVER))}).site.assets if each.name == "plc-1")
    found = asset.service("opcua")
    assert found is not None
    assert found.server_certificate == SERVER.strip()


@pytest.mark.parametrize(
    ("text", "more", "why"),
    [
        ("x", "", "'server_certificate' cannot be read"),
        (json.dumps(SERVER + SERVER), "", "'server_certificate' has 2 certificates, not one"),
        (json.dumps(AUTHORITY), "", "'server_certificate' has no RSA key of 2048 to 4096 bits"),
        (json.dumps(NO_AUTHORITY), "", "'server_certificate' has no RSA key of 2048 to 4096 bits"),
        (json.dumps(SHORT_SERVER), "", "'server_certificate' has no RSA key of 2048 to 4096 bits"),
        ("null", "", "'server_certificate' must be text"),
        (json.dumps(SERVER), ", protocol: modbus", "the gate ends channels of opcua over TCP only"),
    ],
)
def test_a_certificate_that_no_server_can_have_is_a_problem(text: str, more: str, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse({"s.yaml": service(text, more)})
    assert why in [each.why for each in caught.value.problems]


def test_a_port_is_not_permitted_as_a_whole_where_channels_are_to_end() -> None:
    document = service(json.dumps(SERVER)).replace("opcua: [read]", "tcp/4840: any")
    with pytest.raises(Invalid, match="passes uninspected, and 'plc-1' has a `server_certificate` there"):
        parse({"s.yaml": document})
