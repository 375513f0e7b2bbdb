"""``policy explain`` and the tests of a document ask about single objects in the words of every protocol's field."""

from __future__ import annotations

import pytest
from policy_cases import INVENTORY

from penstock.model import Invalid, OperationClass
from penstock.policy import accept, parse
from penstock.policy.asking import read_object
from penstock.wire import UnreadableError

PLANT = INVENTORY.replace(
    "services: {modbus: 502, s7comm: 102}", "services: {enip: 44818, opcua: 4840, fins: 9600, bacnet: 47808}"
)
ALLOW = """\
conduits:
  Line:
    from: {group: ops}
    to: {asset: plc-2}
    allow:
      enip: [{write: {tags: Line1.*}}, {write: {files: N7:0-10}}, {write: {objects: 0x8E/1/3}}]
      opcua: [{write: {nodes: ["ns=2;s=Line1.*", "ns=2;i=5-9", "/0:Objects/2:Line"]}}]
      fins: [{write: {areas: D100-D199}}]
"""
WHO = "{group: ops, factors: two}"
INSIDE = [
    ("enip", "tags: Line1.Speed"),
    ("enip", "files: N7:3"),
    ("enip", "objects: 0x8E/1/3"),
    ("opcua", 'nodes: "ns=2;s=Line1.Speed"'),
    ("opcua", 'nodes: "ns=2;i=7"'),
    ("opcua", 'nodes: "/0:Objects/2:Line"'),
    ("fins", "areas: D150"),
]
OUTSIDE = [
    ("enip", "tags: Line2.Speed"),
    ("enip", "files: N7:11"),
    ("enip", "objects: 0x8E/1/4"),
    ("opcua", 'nodes: "ns=2;s=Line2.Speed"'),
    ("opcua", 'nodes: "ns=2;i=10"'),
    ("fins", "areas: D200"),
]


def checked(verb: str, service: str, words: str) -> None:
    test = f"tests:\n  - {{{verb}: write, on: plc-2, over: {service}, as: {WHO}, {words}}}\n"
    accept(parse({"site.yaml": PLANT + ALLOW + test}), 7)


@pytest.mark.parametrize(("service", "words"), INSIDE)
def test_a_test_may_name_one_object_inside_of_the_limits(service: str, words: str) -> None:
    checked("may", service, words)
    with pytest.raises(Invalid, match="test failed"):
        checked("may_not", service, words)


@pytest.mark.parametrize(("service", "words"), OUTSIDE)
def test_a_test_may_name_one_object_outside_of_the_limits(service: str, words: str) -> None:
    checked("may_not", service, words)
    with pytest.raises(Invalid, match="test failed"):
        checked("may", service, words)


@pytest.mark.parametrize(
    ("protocol", "word", "text"),
    [
        ("enip", "tags", "Line1.*"),
        ("opcua", "nodes", "ns=2;i=5-9"),
        ("opcua", "nodes", "ns=2;s=Line1.*"),
        ("iec104", "types", "C_SE_*"),
        ("bacnet", "objects", "analog-value:*"),
    ],
)
def test_words_for_several_objects_are_no_single_one(protocol: str, word: str, text: str) -> None:
    with pytest.raises(UnreadableError, match="more than one object"):
        read_object(protocol, word, text, OperationClass.WRITE)
