"""The JSON Schema for editors against the parser itself: it refuses no document that the parser accepts."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from policy_cases import AUTHORITY, INVENTORY, SERVER
from test_policy_document import REFERENCE, SEED
from test_policy_kernel_keys import PLANT

from penstock.model import Invalid
from penstock.policy import parse, site_schema
from penstock.wire import PROTOCOLS, SPOKEN

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "site.schema.json"
LAB = Path(__file__).parents[2] / "penstock" / "lab" / "site.yaml"
VALIDATOR = Draft202012Validator(site_schema())
EXAMPLE = re.search(r"```yaml\n(site: .*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL)
assert EXAMPLE is not None
CLAIMS = (
    "conduits: {X: {from: {user: eve}, to: {asset: plc-1}, "
    "allow: {modbus: [{read: {discrete_inputs: 1, input_registers: [2, 3-4]}}]}}}\n"
    "tests:\n"
    "  - {may: read, on: plc-1, over: modbus, as: {user: eve}, input_register: 2}\n"
    "  - {may_not: write, on: plc-1, over: tcp/502, "
    "as: {user: eve, factors: two, tls: false, bound_to: address}, coil: 1-3, value: [1]}\n"
    "  - {may_not: session, on: plc-1, over: modbus, as: {asset: hmi-1}}\n"
    "  - {may_not: read, on: plc-1, over: modbus, as: {role: hmi, zone: control}, discrete_input: 7}\n"
)
IDENTITY = """
identity:
  sources:
    keycloak:
      kind: oidc
      title: Plant sign-in
      issuer: https://idp.plant.example/realms/plant
      client: penstock
      secret: keycloak
      authorities: "-----BEGIN CERTIFICATE-----"
      groups: {/operators: operators}
      scopes: [profile, offline_access]
      name_claim: preferred_username
      groups_claim: groups
      factors:
        one: [{acr: pwd}]
        two: [{acr: [mfa, silver]}, {amr: [pwd, otp]}, {two_of: [pwd, otp, hwk]}]
        phishing-resistant: [{amr: hwk}]
      unproved: none
      ask: {one: pwd, two: mfa, phishing-resistant: hardware}
      amr: {password: pwd}
      auth_time: untrusted
      max_age: 5m
      refresh: 30s
      skew: 1m
    directory:
      kind: ldap
      title: Plant directory
      directory: active-directory
      url: ["ldaps://dc1.plant.example", "ldaps://dc2.plant.example:3269"]
      start_tls: false
      bind: penstock@plant.example
      secret: directory
      authorities: "-----BEGIN CERTIFICATE-----"
      people: {base: "ou=people,dc=plant", filter: (objectClass=user), name: sAMAccountName, key: objectGUID}
      membership: {base: "ou=groups,dc=plant", way: in-chain, nested: true}
      groups: {"cn=Operators,ou=groups,dc=plant": operators}
      refresh: 45s
      timeout: 5s
    cards:
      kind: smart-card
      title: Smart card
      authorities: AUTHORITY
      subject: upn
      fold_case: true
      policies: ["2.16.840.1.101.2.1.11.42"]
      smart_card_logon: true
      crls: [riverside-cards.crl]
      crl: http://pki.plant.example/cards.crl
      ocsp: certificate
      nonce: false
      when_silent: {last-known: 24h}
      zones: {control: refuse, cell: "last-known 8h"}
      groups: {Operations: operators, "*": card-holders}
      refresh: 5m
    dod: {kind: smart-card, authorities: AUTHORITY, subject: edipi, policies: any, when_silent: accept}
    local:
      kind: local
      title: Account of this gate
      break_glass: {approval: sealed}
      passkeys:
        allow_synced: false
        aaguids: [2fc0579f-8113-47ea-b116-bb5a8db9202a]
        attestation: required
        authorities: "-----BEGIN CERTIFICATE-----"
  banner: {title: Notice, text: Only for those who may.}
  sign_in: {length: 8h, idle: 10m, at_once: 3, device: false}
conduits:
  Y:
    from: {user: eve}
    to: {asset: plc-1}
    allow: {modbus: [read]}
    require: {binding: certificate, reauthenticate: 1h}
    hold: [read]
    hold_for: 5m
tests:
  - {may: read, on: plc-1, over: modbus, as: {user: eve, bound_to: certificate}, held: true}
"""


class Core(yaml.SafeLoader):
    """YAML 1.2 core schema, as editors read it: ``on`` is a word, and so is ``12:30``."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


Core.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))
Core.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("^[-+]?[0-9]+$"), list("-+0123456789"))


def protocols_seed() -> str:
    """An asset that speaks every protocol, and conduits to it with the example of every key that narrows a class.

    Each is for a group of its own: single operations and encrypted channels are not for the same subjects.
    """
    names = [*(protocol.name for protocol in PROTOCOLS), *SPOKEN]
    services = ", ".join(f"{name}: {1000 + number}" for number, name in enumerate(names))
    ended = f"{{protocol: opcua, port: 4841, server_certificate: {json.dumps(SERVER)}}}"
    speaks_all = (
        f"  speaks-all: {{zone: cell, role: plc, address: 10.20.10.77, services: {{{services}, ended: {ended}}}}}\n"
    )
    conduits = [
        f"  {protocol.name} {found}: {{from: {{group: {found.replace('_', '-')}}}, to: {{asset: speaks-all}}, "
        f"allow: {{{protocol.name}: [{{{found}: {{{', '.join(examples)}, units: [1, 3-4]}}}}]}}}}\n"
        for protocol in PROTOCOLS
        for found in sorted({each for limit in protocol.limits for each in limit.classes})
        if (examples := [limit.example for limit in protocol.limits if found in limit.classes])
    ]
    for number, wording in enumerate(("any", "[read, read-only engineering]")):
        words = [each.word for each in SPOKEN.values() if not number or each.classes]
        allowed = ", ".join(f"{word}: {wording}" for word in words)
        conduits.append(f"  spoken {number}: {{from: {{group: a}}, to: {{asset: speaks-all}}, allow: {{{allowed}}}}}\n")
    return INVENTORY + speaks_all + "conduits:\n" + "".join(conduits)


#: Documents that the parser accepts, and that have every key of the language between them.
SEEDS: dict[str, Any] = {
    name: yaml.load(text, Core)
    for name, text in {
        "inventory": INVENTORY,
        "seed": SEED,
        "plant": PLANT,
        "claims": INVENTORY + CLAIMS,
        "identity": INVENTORY + IDENTITY.replace("AUTHORITY", json.dumps(AUTHORITY)),
        "reference": EXAMPLE[1],
        "lab": LAB.read_text(encoding="utf-8"),
        "protocols": protocols_seed(),
    }.items()
}


def is_accepted(document: object) -> bool:
    try:
        parse({"site.yaml": yaml.safe_dump(document, allow_unicode=True)})
    except Invalid:
        return False
    return True


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every table and list, and of everything in them."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


PLACES = [(name, path) for name in sorted(SEEDS) for path in places(SEEDS[name])]


def test_the_published_schema_is_the_parsers_own() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == site_schema()


def test_the_schema_is_itself_a_schema() -> None:
    Draft202012Validator.check_schema(site_schema())


@pytest.mark.parametrize("name", SEEDS)
def test_documents_that_the_parser_accepts_are_valid(name: str) -> None:
    assert is_accepted(SEEDS[name])
    assert list(VALIDATOR.iter_errors(SEEDS[name])) == []


def test_the_seeds_have_every_key_that_the_schema_knows() -> None:
    """Or the comparison below would not reach it."""

    def known(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            named = schema.get("properties", {})  # a key of the language may itself be `properties`
            yield from named
            for value in (*named.values(), *(each for key, each in schema.items() if key != "properties")):
                yield from known(value)
        elif isinstance(schema, list):
            for value in schema:
                yield from known(value)

    used = {str(step) for seed in SEEDS.values() for path in places(seed) for step in path}
    classes = {"session", "file_read", "file_write", "program_from_device", "auth", "vendor", "firmware", "config"}
    classes |= {"execute", "program_to_device", "unknown", "diagnostics", "discovery", "read", "write"}
    assert set(known(site_schema())) - used - classes == set()


NAMED = {"zones", "assets", "services", "conduits", "windows", "sources", "groups", "amr"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (name, path)
        for name, seed in SEEDS.items()
        for path in ((), *places(seed))
        if isinstance(at(seed, path), dict) and (not path or path[-1] not in NAMED)
    ],
)
def test_a_key_that_the_parser_does_not_know_is_refused_by_both_in_every_table(
    name: str, path: tuple[Any, ...]
) -> None:
    document = copy.deepcopy(SEEDS[name])
    at(document, path)["zzz"] = "read"
    assert not is_accepted(document)
    assert list(VALIDATOR.iter_errors(document)) != []


WORDS = [
    *("read", "write", "discovery", "any", "open", "closed", "two", "tcp", "udp", "icmp", "plc-1", "plc", "cell"),
    *("10.20.0.0/24", "10.20.10.0/255.255.255.0", "10.20.10.7", "100.64.7.7", "00-1D-9C-00-00-99", "5", "1e3"),
    *("6/min", "1 / s", "8h", "1h30m", "2d", "5ms", "1s", "06:00", "23:59", "24:00", "mon", "Europe/Berlin", "UTC"),
    *("5000-5010", "1-3", "-5..10", "3 - 4", "step-aside", "payload", "operations", "a b", "é", "", "x" * 121),
]
RENAMED = ("a1", "open", "write", "read", "tcp/443", "udp/5000-5010", "icmp")
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-70_000, 70_000)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.sampled_from(WORDS)
    | st.text(max_size=6)
)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A seed with a few places of it taken out, replaced or renamed."""
    document = copy.deepcopy(SEEDS[draw(st.sampled_from(sorted(SEEDS)))])
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        path = draw(st.sampled_from(list(places(document))))
        parent, step = at(document, path[:-1]), path[-1]
        act = draw(st.sampled_from(["remove", "replace", "listed", "rename", "borrow", "alike", "alike"]))
        if act == "remove":
            del parent[step]
        elif act == "replace":
            parent[step] = draw(ATOMS)
        elif act == "listed":
            parent[step] = [parent[step]]
        elif act == "rename" and isinstance(parent, dict):
            parent[draw(st.sampled_from(["a1", "open", "write", "read", "tcp/443", "udp/5000-5010", "icmp"]))] = (
                parent.pop(step)
            )
        elif act in {"borrow", "alike"}:
            # what stands in another place, or in a place of the same name: that is often accepted
            found = [item for item in PLACES if act == "borrow" or item[1][-1] == step]
            if found:
                name, lent = draw(st.sampled_from(found))
                parent[step] = copy.deepcopy(at(SEEDS[name], lent))
        if not list(places(document)):
            break
    return document


@settings(max_examples=600, deadline=None)
@given(documents())
def test_the_schema_refuses_nothing_that_the_parser_accepts(document: object) -> None:
    if is_accepted(document):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_the_schema_takes_what_the_parser_takes_in_any_place(name: str) -> None:
    """An empty value, a number, a truth value, an empty table: one after the other in each place of each document."""
    refused = []
    for path in places(SEEDS[name]):
        for odd in (None, 0, True, {}):
            document = copy.deepcopy(SEEDS[name])
            at(document, path[:-1])[path[-1]] = odd
            if is_accepted(document) and not VALIDATOR.is_valid(document):
                refused.append((path, odd))
    assert refused == []


def test_the_documents_that_are_compared_are_accepted_and_refused_often_enough_to_say_something() -> None:
    seen: Counter[tuple[bool, bool]] = Counter()

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(documents())
    def count(document: object) -> None:
        seen[is_accepted(document), VALIDATOR.is_valid(document)] += 1

    count()
    assert seen[True, True] > 20, seen
    assert seen[False, False] > 60, seen
