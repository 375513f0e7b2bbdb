"""What requests of OPC UA ask for, object by object, in the bytes of asyncua; what breaks the standard is malformed."""

from __future__ import annotations

import math
import struct
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from opcua_talk import SECRET, Talk, calling, encoded, reading, writing
from taxonomy import many, taxonomy

from penstock.model import Malformed, Operation, OperationClass, Target, Value
from penstock.wire import Answer, Side
from penstock.wire.opcua import codes
from penstock.wire.opcua.schema import FIELDS

Is = OperationClass
Kind = ua.VariantType


def asked(message: Any) -> Operation:
    return Talk().operation(message)


def only(message: Any) -> Target:
    (target,) = asked(message).targets
    return target


def test_the_table_of_services_is_the_taxonomy() -> None:
    """Number for number and class for class as in the project's taxonomy, neither more nor less."""
    wanted: dict[int, str] = {}
    for entry in taxonomy("opcua")["services"]:
        wanted |= dict.fromkeys(many(entry["id"]), entry["class"])
    assert {number: str(found) for number, (_, found) in codes.SERVICES.items()} == wanted


def test_numbers_and_names_are_those_that_asyncua_has() -> None:
    for number, name in codes.MESSAGE_NAMES.items():
        if not name.startswith("TestStack"):
            assert getattr(ua.ObjectIds, f"{name}_Encoding_DefaultBinary") == number, name
    for number, name in codes.STATUS_NAMES.items():
        assert getattr(ua.StatusCodes, name.replace("_", "")) == number, name
    assert {each.value: each.name for each in ua.AttributeIds} == dict(codes.ATTRIBUTES)
    by_number: dict[int, set[str]] = {}
    for name, number in vars(ua.ObjectIds).items():
        if isinstance(number, int):
            by_number.setdefault(number, set()).add(name.replace("DeleteFileSystemObject", "Delete"))
    for number, name in codes.STANDARD_METHODS.items():
        assert any(each.endswith(f"_{name}") for each in by_number[number]), (number, name)


def test_every_service_but_one_is_read_to_its_last_byte() -> None:
    """TestStackEx stands in no edition that is still in force."""
    missing = {name for name in codes.MESSAGE_NAMES.values() if name not in FIELDS}
    assert missing == {"TestStackExRequest", "TestStackExResponse"}


@pytest.mark.parametrize(
    ("node", "name", "number"),
    [
        ("ns=0;i=85", "i=85", 85),
        ("i=2253", "i=2253", 2253),
        ("ns=2;i=5", "ns=2;i=5", 5),
        ("ns=300;i=5", "ns=300;i=5", 5),
        ("ns=3;i=70000", "ns=3;i=70000", 70000),
        ("ns=2;s=Line1.Speed", "ns=2;s=Line1.Speed", 0),
        ('ns=3;s="DB1"."Speed"', 'ns=3;s="DB1"."Speed"', 0),
        ("ns=4;s=|var|CODESYS.Application.PLC_PRG.x", "ns=4;s=|var|CODESYS.Application.PLC_PRG.x", 0),
        ("ns=1;g=12345678-1234-5678-1234-567812345678", "ns=1;g=12345678-1234-5678-1234-567812345678", 0),
        ("ns=4;b=qrvM", "ns=4;b=71a9baf", 0),
    ],
)
def test_every_kind_of_node_id_is_named_in_the_standard_s_text(node: str, name: str, number: int) -> None:
    if ";b=" in node:
        identifier, name = bytes.fromhex("aabbcc"), "ns=4;b=aabbcc"
        request = ua.ReadRequest()
        item = ua.ReadValueId(ua.NodeId(identifier, 4), ua.AttributeIds.Value)
        request.Parameters.NodesToRead.append(item)
    else:
        request = reading(node)
    assert only(request) == Target(Is.READ, "Value", number, 1, name)


def test_a_node_id_in_a_longer_form_than_it_needs_is_the_same_node() -> None:
    """A server reads all forms, so the verdict on one must be the verdict on every other."""
    forms = [b"\x00\x07", b"\x01\x00\x07\x00", b"\x02\x00\x00\x07\x00\x00\x00"]
    rest = struct.pack("<Iiii", 13, -1, 0, -1)[:4] + b"\xff\xff\xff\xff\x00\x00\xff\xff\xff\xff"
    body = encoded(ua.ReadRequest())[:-4] + struct.pack("<i", 3) + b"".join(form + rest for form in forms)
    talk = Talk()
    (frame,) = talk.feed(Side.CLIENT, talk.sealed(body, Side.CLIENT, 5))
    assert [target.name for target in frame.operation.targets] == ["i=7"] * 3


def test_control_characters_are_written_out_and_never_make_two_nodes_one() -> None:
    plain, hidden = only(reading("ns=2;s=a\\x0a")), only(reading("ns=2;s=a\n"))
    assert plain.name == "ns=2;s=a\\x0a"
    assert hidden.name == "ns=2;s~a\\x0a"
    assert hidden.name.isprintable()


@pytest.mark.parametrize(
    ("attribute", "table", "read", "written"),
    [
        (13, "Value", Is.READ, Is.WRITE),
        (4, "DisplayName", Is.READ, Is.CONFIG),
        (17, "AccessLevel", Is.READ, Is.CONFIG),
        (27, "AccessLevelEx", Is.READ, Is.CONFIG),
    ],
)
def test_the_value_is_process_data_and_every_other_attribute_is_configuration(
    attribute: int, table: str, read: OperationClass, written: OperationClass
) -> None:
    got, put = only(reading("ns=2;i=5", attribute=attribute)), asked(writing(("ns=2;i=5", 1), attribute=attribute))
    assert (got.operation_class, got.table) == (read, table)
    assert (put.classes, put.targets[0].table) == ((written,), table)


def test_an_attribute_that_the_standard_has_not_is_unknown() -> None:
    body = encoded(reading("ns=2;i=5"))
    at = body.index(struct.pack("<I", 13), len(body) - 16)
    for number in (0, 28, 99):
        talk = Talk()
        changed = body[:at] + struct.pack("<I", number) + body[at + 4 :]
        (frame,) = talk.feed(Side.CLIENT, talk.sealed(changed, Side.CLIENT, 5))
        assert frame.operation.classes == (Is.UNKNOWN,)
        assert frame.operation.targets[0].table == f"attribute {number}"


def test_reading_and_writing_of_several_nodes_is_one_operation_with_all_of_them() -> None:
    operation = asked(reading("ns=2;i=5", "ns=2;s=x", "i=2259"))
    assert [target.name for target in operation.targets] == ["ns=2;i=5", "ns=2;s=x", "i=2259"]
    assert operation.title == "opcua.read"
    mixed = writing(("ns=2;i=5", 1.5))
    mixed.Parameters.NodesToWrite += writing(("ns=2;i=6", "new"), attribute=4).Parameters.NodesToWrite
    operation = asked(mixed)
    assert operation.title == "opcua.write+config"
    assert [(t.table, t.name, t.values) for t in operation.targets] == [
        ("Value", "ns=2;i=5", (1.5,)),
        ("DisplayName", "ns=2;i=6", ("new",)),
    ]


def test_an_index_range_is_part_of_what_is_touched() -> None:
    assert only(reading("ns=2;i=5", index_range="0:3")).table == "Value[0:3]"
    assert only(writing(("ns=2;i=5", [1, 2]), index_range="1,0:1")).table == "Value[1,0:1]"
    for broken in ("x", "0:", "1;2", "0:3]", "-1"):
        with pytest.raises(Malformed):
            asked(reading("ns=2;i=5", index_range=broken))


NODE = ua.NodeId("a", 1)
VALUES: list[tuple[ua.Variant, tuple[Value, ...]]] = [
    (ua.Variant(True, Kind.Boolean), (True,)),
    (ua.Variant(-5, Kind.SByte), (-5,)),
    (ua.Variant(250, Kind.Byte), (250,)),
    (ua.Variant(-300, Kind.Int16), (-300,)),
    (ua.Variant(60000, Kind.UInt16), (60000,)),
    (ua.Variant(-(2**31), Kind.Int32), (-(2**31),)),
    (ua.Variant(2**32 - 1, Kind.UInt32), (2**32 - 1,)),
    (ua.Variant(-(2**63), Kind.Int64), (-(2**63),)),
    (ua.Variant(2**64 - 1, Kind.UInt64), (2**64 - 1,)),
    (ua.Variant(0.5, Kind.Float), (0.5,)),
    (ua.Variant(2.25, Kind.Double), (2.25,)),
    (ua.Variant("on", Kind.String), ("on",)),
    (ua.Variant(datetime(2026, 11, 23, 14, tzinfo=UTC), Kind.DateTime), ("2026-11-23T14:00:00Z",)),
    (ua.Variant(uuid.UUID(int=9), Kind.Guid), ("00000000-0000-0000-0000-000000000009",)),
    (ua.Variant(b"\x1a\x2b", Kind.ByteString), ("0x1a2b",)),
    (ua.Variant(ua.XmlElement("<a/>"), Kind.XmlElement), ("<a/>",)),
    (ua.Variant(NODE, Kind.NodeId), ("ns=1;s=a",)),
    (ua.Variant(ua.ExpandedNodeId("a", 1), Kind.ExpandedNodeId), ("ns=1;s=a",)),
    (ua.Variant(ua.StatusCode(0x80340000), Kind.StatusCode), (0x80340000,)),
    (ua.Variant(ua.QualifiedName("q", 2), Kind.QualifiedName), ("2:q",)),
    (ua.Variant(ua.LocalizedText("t", "en"), Kind.LocalizedText), ("t",)),
    (ua.Variant([1, 2, 3], Kind.Int32), (1, 2, 3)),
    (ua.Variant([True, False], Kind.Boolean), (True, False)),
    (ua.Variant(["a", "b"], Kind.String), ("a", "b")),
    (ua.Variant([[1.5, 2.5], [3.5, 4.5]], Kind.Double), (1.5, 2.5, 3.5, 4.5)),
    (ua.Variant([], Kind.Int16), ()),
    (ua.Variant(None, Kind.Null), ()),
    (ua.Variant([ua.Variant(1, Kind.Byte), ua.Variant("x", Kind.String)], Kind.Variant), (1, "x")),
    (ua.Variant([ua.DataValue(ua.Variant(7, Kind.Byte))], Kind.DataValue), (7,)),
]


@pytest.mark.parametrize(("variant", "values"), VALUES, ids=[str(each.VariantType) + str(v) for each, v in VALUES])
def test_a_value_of_every_built_in_type_is_told(variant: ua.Variant, values: tuple[Value, ...]) -> None:
    """Written alone, written with its time and status, and as the argument of a method."""
    assert only(writing(("ns=2;i=5", variant))).values == values
    stamped = ua.DataValue(
        variant, ua.StatusCode(0), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert only(writing(("ns=2;i=5", stamped))).values == values
    assert only(calling("ns=2;i=1", "ns=2;i=2", variant)).values == values


def test_what_is_no_number_meets_no_range() -> None:
    (value,) = only(writing(("ns=2;i=5", ua.Variant(math.nan, Kind.Double)))).values or ()
    assert isinstance(value, float)
    assert math.isnan(value)


def test_a_longer_array_than_is_told_has_no_values_and_so_meets_no_limit() -> None:
    assert only(writing(("ns=2;i=5", ua.Variant([1] * 5000, Kind.Byte)))).values is None


def test_a_call_names_its_object_its_method_and_its_arguments() -> None:
    operation = asked(calling("ns=2;s=Line1", "ns=2;i=7010", ua.Variant(5, Kind.Int32), ua.Variant("go", Kind.String)))
    assert operation.title == "opcua.execute"
    assert operation.targets == (Target(Is.EXECUTE, "ns=2;i=7010", 0, 1, "ns=2;s=Line1", (5, "go")),)


@pytest.mark.parametrize(
    ("method", "arguments", "found"),
    [
        (11580, [ua.Variant(1, Kind.Byte)], Is.FILE_READ),
        (11580, [ua.Variant(3, Kind.Byte)], Is.FILE_WRITE),
        (11580, [ua.Variant(6, Kind.Byte)], Is.FILE_WRITE),
        (11580, [], Is.FILE_WRITE),
        (11585, [ua.Variant(1, Kind.UInt32), ua.Variant(64, Kind.Int32)], Is.FILE_READ),
        (11588, [ua.Variant(1, Kind.UInt32), ua.Variant(b"x", Kind.ByteString)], Is.FILE_WRITE),
        (13393, [ua.Variant(NODE, Kind.NodeId)], Is.FILE_WRITE),
        (12655, [ua.Variant(1, Kind.UInt32), ua.Variant(b"x", Kind.ByteString)], Is.FILE_WRITE),
        (12548, [ua.Variant(b"x", Kind.ByteString), ua.Variant(True, Kind.Boolean)], Is.CONFIG),
        (2426, [], Is.EXECUTE),
        (11492, [ua.Variant(1, Kind.UInt32)], Is.EXECUTE),
    ],
)
def test_methods_of_files_are_file_operations(method: int, arguments: list[Any], found: OperationClass) -> None:
    assert asked(calling("ns=2;s=File", f"i={method}", *arguments)).classes == (found,)


def test_the_same_number_in_another_namespace_is_another_method() -> None:
    assert asked(calling("ns=2;s=File", "ns=2;i=11585")).classes == (Is.EXECUTE,)


def test_subscriptions_tell_the_nodes_that_they_watch() -> None:
    request = ua.CreateMonitoredItemsRequest()
    request.Parameters.SubscriptionId = 4
    request.Parameters.ItemsToCreate.append(
        ua.MonitoredItemCreateRequest(ua.ReadValueId(ua.NodeId("Line1.Speed", 2), ua.AttributeIds.Value))
    )
    operation = asked(request)
    assert operation.classes == (Is.READ,)
    assert [(t.table, t.name, t.first) for t in operation.targets] == [
        ("service", "subscription", 4),
        ("Value", "ns=2;s=Line1.Speed", 0),
    ]
    taken = ua.TransferSubscriptionsRequest()
    taken.Parameters.SubscriptionIds.append(4)
    assert only(taken) == Target(Is.READ, "Transfer", 4, 1, "subscription")
    assert only(ua.PublishRequest()) == Target(Is.READ, "service", 0, 1, "subscription")


def test_a_query_for_values_or_by_values_is_reading_as_well() -> None:
    """Else whoever may look around could read everything."""
    plain, values, filtered = ua.QueryFirstRequest(), ua.QueryFirstRequest(), ua.QueryFirstRequest()
    plain.Parameters.NodeTypes = [ua.NodeTypeDescription(ua.ExpandedNodeId(63))]
    wanted = ua.QueryDataDescription(AttributeId=13)
    values.Parameters.NodeTypes = [ua.NodeTypeDescription(ua.ExpandedNodeId(63), True, [wanted])]
    filtered.Parameters.Filter.Elements = [ua.ContentFilterElement()]
    assert asked(plain).classes == (Is.DISCOVERY,)
    assert asked(values).classes == asked(filtered).classes == (Is.DISCOVERY, Is.READ)


def test_new_and_deleted_nodes_and_references_are_a_program_to_the_device() -> None:
    request = ua.AddNodesRequest()
    item = ua.AddNodesItem(ParentNodeId=ua.ExpandedNodeId(85), RequestedNewNodeId=ua.ExpandedNodeId("New", 2))
    request.Parameters.NodesToAdd.append(item)
    assert [(str(t.operation_class), t.name) for t in asked(request).targets] == [
        ("program_to_device", "i=85"),
        ("program_to_device", "ns=2;s=New"),
    ]
    deleted = ua.DeleteNodesRequest()
    deleted.Parameters.NodesToDelete.append(ua.DeleteNodesItem(ua.NodeId("Old", 2)))
    assert only(deleted) == Target(Is.PROGRAM_TO_DEVICE, "Nodes", 0, 1, "ns=2;s=Old")
    gone = ua.DeleteReferencesRequest()
    gone.Parameters.ReferencesToDelete.append(
        ua.DeleteReferencesItem(ua.NodeId(5, 2), TargetNodeId=ua.ExpandedNodeId(6, 2))
    )
    assert [t.name for t in asked(gone).targets] == ["ns=2;i=5", "ns=2;i=6"]


def test_history_is_read_and_changed_node_by_node() -> None:
    request = ua.HistoryReadRequest()
    request.Parameters.HistoryReadDetails = ua.ReadRawModifiedDetails()
    request.Parameters.NodesToRead.append(ua.HistoryReadValueId(ua.NodeId("Line1.Speed", 2)))
    assert only(request) == Target(Is.READ, "History", 0, 1, "ns=2;s=Line1.Speed")
    changed = ua.HistoryUpdateRequest()
    changed.Parameters.HistoryUpdateDetails = [
        ua.UpdateDataDetails(ua.NodeId(5, 2), UpdateValues=[ua.DataValue(ua.Variant(9, Kind.Byte))]),
        ua.DeleteRawModifiedDetails(ua.NodeId(6, 2)),
        ua.Argument(),
    ]
    operation = asked(changed)
    assert [(str(t.operation_class), t.name, t.values) for t in operation.targets] == [
        ("write", "ns=2;i=5", (9,)),
        ("write", "ns=2;i=6", None),
        ("unknown", "", None),
    ]
    assert operation.title == "opcua.write+unknown"


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (ua.AnonymousIdentityToken("anonymous"), "anonymous"),
        (ua.UserNameIdentityToken("name", "alice", b"secret-password"), "user name"),
        (ua.X509IdentityToken("cert", b"der-bytes"), "certificate"),
        (ua.IssuedIdentityToken("issued", b"secret-ticket"), "issued"),
    ],
)
def test_who_signs_in_how_is_told_and_the_secret_is_not(token: Any, kind: str) -> None:
    request = ua.ActivateSessionRequest()
    request.Parameters.UserIdentityToken = token
    frame = Talk().ask(request)
    assert frame.operation.classes == (Is.AUTH,)
    assert frame.operation.targets == (Target(Is.AUTH, "user token", 0, 1, kind),)
    shown = repr(frame.operation).encode() + frame.recorded
    for secret in (b"secret", b"alice", b"der-bytes", SECRET.encode()):
        assert secret not in shown
    assert len(frame.recorded) == len(frame.data)


def test_a_token_of_an_unknown_kind_is_unknown() -> None:
    request = ua.ActivateSessionRequest()
    request.Parameters.UserIdentityToken = ua.Argument()
    assert asked(request).classes == (Is.UNKNOWN,)


def test_the_token_of_a_new_session_is_not_on_record() -> None:
    talk, told = Talk(), ua.CreateSessionResponse()
    talk.ask(ua.CreateSessionRequest())
    told.Parameters.AuthenticationToken = ua.NodeId(SECRET, 1)
    frame = talk.tell(told)
    assert SECRET.encode() in frame.data
    assert SECRET.encode() not in frame.recorded


def test_a_service_that_the_standard_has_not_is_unknown() -> None:
    body = encoded(reading("ns=2;i=5"))
    for kind in (b"\x01\x00\xff\xff", b"\x01\x00\x7a\x02", b"\x01\x02\x77\x02", b"\x03\x00\x00\x01\x00\x00\x00R"):
        talk = Talk()
        (frame,) = talk.feed(Side.CLIENT, talk.sealed(kind + body[4:], Side.CLIENT, 5))
        assert frame.operation.classes == (Is.UNKNOWN,)
        assert frame.operation.name.startswith("unknown service")


def test_a_response_says_the_values_that_were_read() -> None:
    talk = Talk()
    request = talk.ask(reading("ns=2;i=5", "ns=2;i=6"))
    told = ua.ReadResponse()
    told.Results = [
        ua.DataValue(ua.Variant(2.5, Kind.Double)),
        ua.DataValue(None, ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown)),
    ]
    reply = talk.tell(told)
    assert reply.exchange == request.exchange
    assert not reply.is_refusal
    answer = talk.decoder.answer(request, reply)
    assert answer.status == "0x80340000 Bad_NodeIdUnknown"
    assert [(t.name, t.values) for t in answer.targets] == [("ns=2;i=5", (2.5,)), ("ns=2;i=6", ())]


@pytest.mark.parametrize(
    ("statuses", "is_refusal"), [([0], False), ([0x803B0000], True), ([0, 0, 0x803B0000], True), ([0, 0], False)]
)
def test_a_write_that_a_server_turned_down_is_a_refusal(statuses: list[int], is_refusal: bool) -> None:  # noqa: FBT001
    talk = Talk()
    request = talk.ask(writing(*((f"ns=2;i={at}", 1) for at in range(len(statuses)))))
    told = ua.WriteResponse()
    told.Results = [ua.StatusCode(each) for each in statuses]
    reply = talk.tell(told)
    assert reply.is_refusal is is_refusal
    assert talk.decoder.answer(request, reply) == Answer("0x803B0000 Bad_NotWritable" if is_refusal else "")


def test_a_fault_is_a_refusal_with_its_status() -> None:
    talk, told = Talk(), ua.ServiceFault()
    request = talk.ask(reading("ns=2;i=5"))
    told.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadSessionIdInvalid)
    reply = talk.tell(told)
    assert reply.is_refusal
    assert talk.decoder.answer(request, reply) == Answer("0x80250000 Bad_SessionIdInvalid")


def test_a_call_gives_what_its_method_returned() -> None:
    talk, told = Talk(), ua.CallResponse()
    request = talk.ask(calling("ns=2;i=1", "ns=2;i=2"))
    told.Results = [ua.CallMethodResult(OutputArguments=[ua.Variant(42, Kind.Int32)])]
    reply = talk.tell(told)
    assert not reply.is_refusal
    (target,) = talk.decoder.answer(request, reply).targets
    assert target.values == (42,)


def test_an_answer_that_does_not_fit_its_request_is_unreadable() -> None:
    talk = Talk()
    request = talk.ask(reading("ns=2;i=5"))
    reply = talk.tell(ua.WriteResponse())
    assert talk.decoder.answer(request, reply).status == "unreadable"


def test_requests_that_differ_in_time_and_handle_only_mean_the_same() -> None:
    talk = Talk()
    first, second = talk.ask(reading("ns=2;i=5")), talk.ask(reading("ns=2;i=5"))
    assert first.data != second.data
    assert first.what == second.what
    assert first.exchange != second.exchange
    assert talk.ask(reading("ns=2;i=6")).what != first.what
