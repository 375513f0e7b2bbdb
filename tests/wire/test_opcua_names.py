"""Paths and registered names are learnt from what the asset answers; the words of a site document meet them."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from opcua_talk import SECRET, Talk, calling, chunk, encoded, reading, writing

from penstock.model import Operation, OperationClass, Permission, Reason, Target
from penstock.policy.permits import Permit
from penstock.wire import Side, UnreadableError
from penstock.wire.opcua import OPCUA
from penstock.wire.opcua.names import MAX_LEARNT

Is = OperationClass
LEVEL = "/0:Objects/2:Boiler/2:Level"
READERS = {limit.key: limit.read for limit in OPCUA.limits}


def path_request(*steps: str, start: int = 84, inverse: bool = False, reference: int = 33) -> Any:
    elements = []
    for step in steps:
        namespace, _, name = step.partition(":")
        elements.append(
            ua.RelativePathElement(ua.NodeId(reference), inverse, True, ua.QualifiedName(name, int(namespace)))
        )
    asked = ua.TranslateBrowsePathsToNodeIdsRequest()
    asked.Parameters.BrowsePaths.append(ua.BrowsePath(ua.NodeId(start), ua.RelativePath(elements)))
    return asked


def path_response(*nodes: ua.NodeId, rest: int = 0xFFFFFFFF, status: int = 0) -> Any:
    targets = [ua.BrowsePathTarget(ua.ExpandedNodeId(n.Identifier, n.NamespaceIndex), rest) for n in nodes]
    told = ua.TranslateBrowsePathsToNodeIdsResponse()
    told.Results = [ua.BrowsePathResult(ua.StatusCode(status), targets)]
    return told


def translated(talk: Talk, *nodes: ua.NodeId, **how: Any) -> None:
    steps = how.pop("steps", ("0:Objects", "2:Boiler", "2:Level"))
    told = {key: how.pop(key) for key in ("rest", "status") if key in how}
    talk.ask(path_request(*steps, **how))
    talk.tell(path_response(*nodes, **told))


def aliases(talk: Talk, node: str = "ns=2;i=7") -> tuple[str, ...]:
    return talk.operation(reading(node)).targets[0].aliases


def test_a_path_that_the_asset_translated_is_a_name_of_its_node() -> None:
    talk = Talk()
    assert aliases(talk) == ()
    translated(talk, ua.NodeId(7, 2))
    assert aliases(talk) == (LEVEL,)
    assert talk.operation(writing(("ns=2;i=7", 1))).targets[0].aliases == (LEVEL,)
    assert talk.operation(calling("ns=2;i=7", "ns=2;i=8")).targets[0].aliases == (LEVEL,)
    assert aliases(talk, "ns=2;i=8") == ()


def test_what_is_learnt_changes_what_a_request_means() -> None:
    """A verdict from before must not hold for it."""
    talk = Talk()
    before = talk.ask(reading("ns=2;i=7"))
    translated(talk, ua.NodeId(7, 2))
    after = talk.ask(reading("ns=2;i=7"))
    assert before.what != after.what
    assert before.operation.targets[0].aliases == ()
    assert talk.ask(reading("ns=2;i=7")).what == after.what


def test_a_path_from_a_node_whose_path_is_known_goes_on_behind_it() -> None:
    talk = Talk()
    translated(talk, ua.NodeId(5000), steps=("0:Objects", "2:Boiler"))
    translated(talk, ua.NodeId(7, 2), steps=("2:Level",), start=5000)
    translated(talk, ua.NodeId(8, 2), steps=("2:Level",), start=6000)
    assert aliases(talk) == (LEVEL,)
    assert aliases(talk, "ns=2;i=8") == ()


@pytest.mark.parametrize(
    "how",
    [
        {"status": 0x806F0000},
        {"rest": 1},
        {"inverse": True},
        {"reference": 40},
        {"start": 4711},
        {"steps": ("0:Objects", "2:")},
    ],
)
def test_a_path_is_learnt_only_where_it_is_plain(how: dict[str, Any]) -> None:
    """Not one that was not found, not followed to its end, backwards, by other references, or from nowhere."""
    talk = Talk()
    translated(talk, ua.NodeId(7, 2), **how)
    assert aliases(talk) == ()


def test_nothing_is_learnt_from_a_request_alone_nor_from_what_the_gate_answered() -> None:
    talk = Talk()
    request = talk.ask(path_request("0:Objects", "2:Boiler", "2:Level"))
    assert talk.decoder.refuse(request, Reason.OPERATION_NOT_ALLOWED)
    assert aliases(talk) == ()


def test_an_answer_of_another_kind_teaches_nothing() -> None:
    talk = Talk()
    talk.ask(path_request("0:Objects", "2:Boiler", "2:Level"))
    talk.tell(ua.RegisterNodesResponse())
    assert aliases(talk) == ()


def test_a_path_that_leads_elsewhere_later_is_the_name_of_the_later_node_only() -> None:
    talk = Talk()
    translated(talk, ua.NodeId(7, 2))
    translated(talk, ua.NodeId(8, 2))
    assert aliases(talk) == ()
    assert aliases(talk, "ns=2;i=8") == (LEVEL,)


def test_what_a_browse_showed_has_its_path() -> None:
    asked, told, talk = ua.BrowseRequest(), ua.BrowseResponse(), Talk()
    asked.Parameters.NodesToBrowse.append(ua.BrowseDescription(ua.NodeId(85)))
    part = ua.ReferenceDescription(
        ua.NodeId(35), True, ua.ExpandedNodeId(5, 2), ua.QualifiedName("Boiler", 2), ua.LocalizedText("Boiler")
    )
    part.TypeDefinition = ua.ExpandedNodeId(58)
    back = ua.ReferenceDescription(
        ua.NodeId(35), False, ua.ExpandedNodeId(84), ua.QualifiedName("Root", 0), ua.LocalizedText("Root")
    )
    back.TypeDefinition = ua.ExpandedNodeId(61)
    told.Results = [ua.BrowseResult(References=[part, back])]
    talk.ask(asked)
    talk.tell(told)
    assert aliases(talk, "ns=2;i=5") == ("/0:Objects/2:Boiler",)
    assert aliases(talk, "i=84") == ()


def test_a_registered_name_is_the_node_that_was_registered() -> None:
    """Else a permission for the short names would be one for every node."""
    talk, asked, told = Talk(), ua.RegisterNodesRequest(), ua.RegisterNodesResponse()
    asked.Parameters.NodesToRegister.append(ua.NodeId("Interlock", 2))
    told.Parameters.RegisteredNodeIds.append(ua.NodeId(1, 9))
    assert talk.operation(writing(("ns=9;i=1", 1))).targets[0].name == "ns=9;i=1"
    talk.ask(asked)
    talk.tell(told)
    for message in (reading("ns=9;i=1"), writing(("ns=9;i=1", 1)), calling("ns=9;i=1", "ns=2;i=5")):
        target = talk.operation(message).targets[0]
        assert (target.name, target.first) == ("ns=2;s=Interlock", 0)


def in_session(talk: Talk, token: bytes, message: Any) -> Any:
    """A request of another session in the same connection."""
    talk.request += 1
    plain = encoded(message)
    usual = struct_to_binary(ua.RequestHeader(ua.NodeId(SECRET, 1)))[: 7 + len(SECRET)]
    assert usual in plain
    (frame,) = talk.feed(Side.CLIENT, talk.sealed(plain.replace(usual, token), Side.CLIENT, talk.request))
    return frame


def test_a_registered_name_is_one_of_its_session_and_another_node_in_another() -> None:
    """A server may give sessions the same short names, and a client may have several sessions."""
    talk, first, second, third = Talk(), b"\x01\x05\x01\0", b"\x01\x05\x02\0", b"\x01\x05\x03\0"
    for session, node in ((first, "Interlock"), (second, "Lamp")):
        asked, told = ua.RegisterNodesRequest(), ua.RegisterNodesResponse()
        asked.Parameters.NodesToRegister.append(ua.NodeId(node, 2))
        told.Parameters.RegisteredNodeIds.append(ua.NodeId(1, 9))
        in_session(talk, session, asked)
        talk.tell(told)
    wanted = {first: "ns=2;s=Interlock", second: "ns=2;s=Lamp", third: "ns=9;i=1"}
    meanings: dict[bytes, set[bytes]] = {}
    for session in (first, first, second, third, third, first, second, second):
        frame = in_session(talk, session, writing(("ns=9;i=1", 1)))
        assert frame.operation.targets[0].name == wanted[session]
        meanings.setdefault(session, set()).add(frame.what)
    assert [len(each) for each in meanings.values()] == [1, 1, 1]
    assert len(set.union(*meanings.values())) == 3, "what was judged of one session is not taken for another"


def test_methods_whose_path_was_shown_are_what_the_standard_says_of_their_name() -> None:
    """Of namespace 0 only, but for those that bring a program: these count in every namespace."""
    talk = Talk()
    for number, step in ((1, "0:Read"), (2, "0:Write"), (3, "2:Read"), (4, "3:InstallSoftwarePackage")):
        translated(talk, ua.NodeId(number, 2), steps=("0:Objects", "2:File", step))
    found = [str(talk.operation(calling("ns=2;i=9", f"ns=2;i={number}")).classes[0]) for number in range(1, 6)]
    assert found == ["file_read", "file_write", "execute", "firmware", "execute"]


def test_what_is_learnt_is_bounded() -> None:
    """What comes later has no path, and so does not fit one."""
    asked, told, talk = ua.BrowseRequest(), ua.BrowseResponse(), Talk()
    asked.Parameters.NodesToBrowse.append(ua.BrowseDescription(ua.NodeId(85)))
    part = ua.ReferenceDescription(ua.NodeId(35), True, ua.ExpandedNodeId(5, 2), ua.QualifiedName("N", 2))
    part.DisplayName, part.TypeDefinition = ua.LocalizedText("N"), ua.ExpandedNodeId(58)
    references = []
    for number in range(MAX_LEARNT + 10):
        one = ua.ReferenceDescription(
            ua.NodeId(35), True, ua.ExpandedNodeId(number, 2), ua.QualifiedName(f"{number}", 2)
        )
        one.DisplayName, one.TypeDefinition = part.DisplayName, part.TypeDefinition
        references.append(one)
    told.Results = [ua.BrowseResult(References=references)]
    request = talk.ask(asked)
    body = encoded(told)
    parts = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
    for piece in parts[:-1]:
        data = chunk(piece, talk.number(Side.ASSET), request.exchange, kind=b"MSGC")
        assert not talk.feed(Side.ASSET, data)
    assert talk.feed(Side.ASSET, chunk(parts[-1], talk.number(Side.ASSET), request.exchange))
    assert aliases(talk, f"ns=2;i={MAX_LEARNT - 1}")
    assert not aliases(talk, f"ns=2;i={MAX_LEARNT + 1}")


def admits(limits: dict[str, list[str]], operation: Operation) -> bool:
    """Whether every object of the operation fits a permission that is narrowed so."""
    spans = tuple(span for key, texts in limits.items() for text in texts for span in READERS[key](text))
    found = operation.targets[0].operation_class
    permit = Permit.of(Permission(protocol="opcua", operation_class=found, spans=spans), "key")
    return all(permit.covers(target, None) for target in operation.targets)


def read(node: str) -> Operation:
    return Talk().operation(reading(node))


@pytest.mark.parametrize(
    ("text", "fits", "misses"),
    [
        ("ns=2;s=Line1.Speed", ["ns=2;s=Line1.Speed"], ["ns=2;s=Line1.Speed2", "ns=3;s=Line1.Speed", "ns=2;i=5"]),
        ("ns=2;i=5-9", ["ns=2;i=5", "ns=2;i=9"], ["ns=2;i=4", "ns=2;i=10", "i=7", "ns=2;s=7", "ns=2;s=x"]),
        ("ns=2;i=0-9", ["ns=2;i=1"], ["ns=2;s=Line1.Speed", "ns=2;b=YQ==", "i=5"]),
        ("ns=2;s=Line1.*", ["ns=2;s=Line1.Speed", "ns=2;s=Line1."], ["ns=2;s=Line2.Speed", "ns=22;s=Line1.x"]),
        ("i=2253-2260", ["i=2259"], ["ns=1;i=2259"]),
        ("ns=0;i=2259", ["i=2259"], ["i=2258"]),
        ("ns=2;i=*", ["ns=2;i=123456"], ["ns=2;s=a", "ns=1;i=5"]),
        ("ns=1;g=12345678-1234-5678-1234-567812345678", ["ns=1;g=12345678-1234-5678-1234-567812345678"], ["ns=1;i=5"]),
    ],
)
def test_nodes_in_a_site_document_are_these_nodes_and_no_others(text: str, fits: list[str], misses: list[str]) -> None:
    assert [admits({"nodes": [text]}, read(node)) for node in fits] == [True] * len(fits)
    assert [admits({"nodes": [text]}, read(node)) for node in misses] == [False] * len(misses)


def test_a_path_in_a_site_document_means_the_node_that_was_shown_under_it() -> None:
    talk = Talk()
    assert not admits({"nodes": [LEVEL]}, talk.operation(reading("ns=2;i=7")))
    translated(talk, ua.NodeId(7, 2))
    operation = talk.operation(reading("ns=2;i=7"))
    assert admits({"nodes": [LEVEL]}, operation)
    assert admits({"nodes": ["/0:Objects/2:Boiler/*"]}, operation)
    assert not admits({"nodes": ["/0:Objects/2:Boiler"]}, operation)
    assert not admits({"nodes": ["/0:Objects/2:Tank/2:Level"]}, operation)
    assert not admits({"nodes": [LEVEL]}, talk.operation(reading("ns=2;i=7", "ns=2;i=8"))), "all nodes must fit"


def test_names_with_slashes_are_one_step() -> None:
    talk = Talk()
    translated(talk, ua.NodeId(7, 2), steps=("0:Objects", "2:a/b&c"))
    operation = talk.operation(reading("ns=2;i=7"))
    assert operation.targets[0].aliases == ("/0:Objects/2:a&/b&&c",)
    assert admits({"nodes": ["/0:Objects/2:a&/b&&c"]}, operation)
    assert not admits({"nodes": ["/0:Objects/2:a/*:b&&c"]}, operation)


def test_attributes_narrow_beside_nodes() -> None:
    limits = {"nodes": ["ns=2;i=5"], "attributes": ["Value", "DisplayName"]}
    talk = Talk()
    assert admits(limits, talk.operation(reading("ns=2;i=5")))
    assert admits(limits, talk.operation(reading("ns=2;i=5", attribute=4)))
    assert not admits(limits, talk.operation(reading("ns=2;i=5", attribute=17)))
    assert not admits(limits, talk.operation(reading("ns=2;i=6")))
    ranged = talk.operation(reading("ns=2;i=5", index_range="0:3"))
    assert not admits(limits, ranged)
    assert admits({"attributes": ["Value[0:3]"]}, ranged)


def test_methods_narrow_beside_their_objects() -> None:
    limits = {"nodes": ["ns=2;s=Line1.*"], "methods": ["ns=2;i=7010-7012", "ns=2;s=Reset"]}
    assert admits(limits, Talk().operation(calling("ns=2;s=Line1.Motor", "ns=2;i=7011")))
    assert admits(limits, Talk().operation(calling("ns=2;s=Line1.Motor", "ns=2;s=Reset")))
    assert not admits(limits, Talk().operation(calling("ns=2;s=Line1.Motor", "ns=2;i=7013")))
    assert not admits(limits, Talk().operation(calling("ns=2;s=Line2.Motor", "ns=2;i=7011")))


def test_what_names_no_node_passes_beside_nodes_but_for_a_subscription_of_another_session() -> None:
    subscribe, publish, take = ua.CreateSubscriptionRequest(), ua.PublishRequest(), ua.TransferSubscriptionsRequest()
    take.Parameters.SubscriptionIds.append(4)
    limits = {"nodes": ["ns=2;i=5"], "attributes": ["Value"]}
    assert admits(limits, Talk().operation(subscribe))
    assert admits(limits, Talk().operation(publish))
    assert not admits(limits, Talk().operation(take))
    assert admits({"nodes": ["ns=2;i=5"]}, Talk().operation(ua.GetEndpointsRequest()))


def test_an_endpoint_may_be_named_for_what_nobody_can_read() -> None:
    spans = READERS["endpoints"]("opc.tcp://plc-1:*")
    permit = Permit.of(Permission(protocol="opcua", operation_class=Is.UNKNOWN, spans=tuple(spans)), "key")
    assert permit.covers(Target(Is.UNKNOWN, "endpoint", 0, 1, "opc.tcp://plc-1:4840"), None)
    assert not permit.covers(Target(Is.UNKNOWN, "endpoint", 0, 1, "opc.tcp://plc-2:4840"), None)
    assert not permit.covers(Target(Is.UNKNOWN, "unknown service"), None)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("nodes", "Line1.Speed"),
        ("nodes", "ns=2"),
        ("nodes", "ns=70000;i=5"),
        ("nodes", "ns=2;i=9-5"),
        ("nodes", "ns=2;i=5000000000"),
        ("nodes", "ns=2;i=-1"),
        ("nodes", "ns=2;s="),
        ("nodes", "ns=2;s=a\nb"),
        ("nodes", "ns=2;b=xyz"),
        ("nodes", "/Objects/Boiler"),
        ("nodes", "/0:Objects//2:Level"),
        ("nodes", "/"),
        ("methods", "ns=2;s=*"),
        ("methods", "ns=2;i=1-1000"),
        ("methods", "/0:Objects/2:Start"),
        ("attributes", "value"),
        ("attributes", "Value[x]"),
        ("attributes", "13"),
        ("endpoints", "plc-1:4840"),
    ],
)
def test_words_that_name_nothing_are_refused_with_a_hint(key: str, text: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        READERS[key](text)
    assert caught.value.hint


def test_every_example_of_a_limit_can_be_read() -> None:
    for limit in OPCUA.limits:
        text = limit.example.removeprefix(f"{limit.key}: ").strip('"')
        assert {span.axis for span in limit.read(text)} == {limit.axis}
