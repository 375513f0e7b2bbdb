"""What each service touches: the fields of a request in, targets out (OPC 10000-4, 5).

Pure.  One function for each service whose request names objects; a service that is not here names none.  What a
function does not understand (a detail of history, an attribute) is of class `unknown`, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Final

from penstock.model import Malformed, OperationClass, Target, Value
from penstock.wire.opcua.binary import NodeId, Opaque, Variant
from penstock.wire.opcua.codes import (
    ATTRIBUTES,
    FILE_METHODS,
    FIRMWARE_METHODS,
    OPEN_FOR_READ,
    STANDARD_METHODS,
    USER_TOKENS,
    VALUE_ATTRIBUTE,
)
from penstock.wire.opcua.names import Names
from penstock.wire.opcua.objects import check_objects
from penstock.wire.opcua.schema import Fields, open_extension
from penstock.wire.opcua.values import data_values, values_of

Builder = Callable[[Fields, Names], Iterator[Target]]

#: Tables of what is not a node, or is touched otherwise than by an attribute.
#: `SERVICE` is what names no node and gives none away that was not judged: endpoints, a subscription, more of a browse.
SERVICE, TRANSFER, QUERY = "service", "Transfer", "Query"
BROWSE, REGISTER, HISTORY, NODES, USER, SERVER = "Browse", "Register", "History", "Nodes", "user token", "server"
_UNKNOWN: Final = OperationClass.UNKNOWN
_READ: Final = OperationClass.READ
_DISCOVERY: Final = OperationClass.DISCOVERY
#: OPC 10000-4, 7.27: an index or a range for each dimension.
_RANGE: Final = re.compile(r"[0-9]{1,10}(:[0-9]{1,10})?(,[0-9]{1,10}(:[0-9]{1,10})?)*\Z", re.ASCII)


def attribute_table(attribute: int, index_range: str | None) -> str:
    """``Value``, ``Value[0:3]`` or ``attribute 99``.  Raises `Malformed` where a range is none."""
    name = ATTRIBUTES.get(attribute, f"attribute {attribute}")
    if not index_range:
        return name
    if not _RANGE.match(index_range):
        raise Malformed("an index range that is none (OPC 10000-4, 7.27)")
    return f"{name}[{index_range}]"


def read_class(attribute: int) -> OperationClass:
    """Reading is reading, of every attribute that the standard has."""
    return _READ if attribute in ATTRIBUTES else _UNKNOWN


def write_class(attribute: int) -> OperationClass:
    """The attribute Value is process data, every other one is configuration."""
    if attribute == VALUE_ATTRIBUTE:
        return OperationClass.WRITE
    return OperationClass.CONFIG if attribute in ATTRIBUTES else _UNKNOWN


def node_target(
    operation_class: OperationClass,
    table: str,
    node: NodeId,
    names: Names,
    values: tuple[Value, ...] | None = None,
) -> Target:
    """The node that is meant, with its paths."""
    meant = names.known(node)
    return Target(operation_class, table, meant.number, 1, meant.text, values, None, names.paths_of(meant))


def read_target(item: Fields, names: Names) -> Target:
    """A ReadValueId (OPC 10000-4, 7.29)."""
    attribute = item["AttributeId"]
    table = attribute_table(attribute, item["IndexRange"])
    return node_target(read_class(attribute), table, item["NodeId"], names)


def _monitored(fields: Fields, names: Names) -> Iterator[Target]:
    yield Target(_READ, SERVICE, fields["SubscriptionId"], 1, "subscription")
    items = fields["ItemsToCreate"]
    check_objects([each["RequestedParameters"]["Filter"] for each in items], is_last=len(items) == 1)
    for item in items:
        yield read_target(item["ItemToMonitor"], names)


def _subscription(fields: Fields, names: Names) -> Iterator[Target]:  # noqa: ARG001 - a builder
    yield Target(_READ, SERVICE, fields.get("SubscriptionId", 0), 1, "subscription")


def _subscriptions(fields: Fields, names: Names) -> Iterator[Target]:  # noqa: ARG001 - a builder
    return (Target(_READ, SERVICE, number, 1, "subscription") for number in fields["SubscriptionIds"])


def _transfer(fields: Fields, names: Names) -> Iterator[Target]:  # noqa: ARG001 - a builder
    """A subscription of another session: what it holds was judged for that one, if at all."""
    return (Target(_READ, TRANSFER, number, 1, "subscription") for number in fields["SubscriptionIds"])


def _endpoints(fields: Fields, names: Names) -> Iterator[Target]:  # noqa: ARG001 - a builder
    yield Target(_DISCOVERY, SERVICE, 0, 1, "endpoints")


def _continuation(fields: Fields, names: Names) -> Iterator[Target]:  # noqa: ARG001 - a builder
    """More of what an earlier request asked for."""
    yield Target(_DISCOVERY, SERVICE, 0, 1, "continuation")


def _query(fields: Fields, names: Names) -> Iterator[Target]:  # noqa: ARG001 - a builder
    """OPC 10000-4, 5.10.3: attributes of whatever nodes there are, or nodes by what their attributes say: both read."""
    is_reading = fields["Filter"]["Elements"] or any(each["DataToReturn"] for each in fields["NodeTypes"])
    for found in (_DISCOVERY, _READ) if is_reading else ():
        yield Target(found, QUERY, 0, 1, "instances")


def _browse(fields: Fields, names: Names) -> Iterator[Target]:
    return (node_target(_DISCOVERY, BROWSE, each["NodeId"], names) for each in fields["NodesToBrowse"])


def _translate(fields: Fields, names: Names) -> Iterator[Target]:
    return (node_target(_DISCOVERY, BROWSE, each["StartingNode"], names) for each in fields["BrowsePaths"])


def _register(fields: Fields, names: Names) -> Iterator[Target]:
    nodes = fields.get("NodesToRegister") or fields.get("NodesToUnregister") or []
    return (node_target(_DISCOVERY, REGISTER, node, names) for node in nodes)


def _history_read(fields: Fields, names: Names) -> Iterator[Target]:
    check_objects((fields["HistoryReadDetails"],), is_last=False)
    for each in fields["NodesToRead"]:
        suffix = attribute_table(VALUE_ATTRIBUTE, each["IndexRange"]).removeprefix("Value")
        yield node_target(_READ, HISTORY + suffix, each["NodeId"], names)


def _history_update(fields: Fields, names: Names) -> Iterator[Target]:
    """Each of the details says its node itself (OPC 10000-11, 6.9)."""
    details = fields["HistoryUpdateDetails"]
    check_objects(details, is_last=len(details) == 1)
    for held in details:
        inside = open_extension(held)
        if inside is None or "NodeId" not in inside[1]:
            yield Target(_UNKNOWN, HISTORY)
            continue
        updates = inside[1].get("UpdateValues")
        found = None if updates is None else [data_values(each) for each in updates]
        values = None if found is None or None in found else tuple(value for each in found for value in each or ())
        yield node_target(OperationClass.WRITE, HISTORY, inside[1]["NodeId"], names, values)


def _call(fields: Fields, names: Names) -> Iterator[Target]:
    """OPC 10000-4, 5.12.2: an object, one of its methods, and arguments."""
    calls = fields["MethodsToCall"]
    for each in calls:
        method, arguments = names.known(each["MethodId"]), tuple(each["InputArguments"])
        check_objects(arguments, is_last=len(calls) == 1)
        found = method_class(method, arguments, names)
        yield node_target(found, method.text, each["ObjectId"], names, values_of(arguments))


def method_class(method: NodeId, arguments: tuple[Variant, ...], names: Names) -> OperationClass:
    """What a method does where the standard says it: by its id, or by the name under which the traffic showed it."""
    name = STANDARD_METHODS.get(method.number) if method.kind == "i" and not method.namespace else None
    for path in names.paths_of(method):
        namespace, _, step = path.rpartition("/")[2].partition(":")
        if step in FIRMWARE_METHODS:
            return OperationClass.FIRMWARE
        if name is None and namespace == "0":
            name = step
    if name == "Open" and not _opens_for_reading(arguments):
        return OperationClass.FILE_WRITE
    return FILE_METHODS.get(name or "", OperationClass.EXECUTE)


def _opens_for_reading(arguments: tuple[Variant, ...]) -> bool:
    """OPC 10000-20, 4.2.2: the mode is a mask, and its lowest bit alone is reading."""
    return len(arguments) == 1 and arguments[0].values == (OPEN_FOR_READ,)


def _add_nodes(fields: Fields, names: Names) -> Iterator[Target]:
    """A new node lies under its parent, and may ask for an id of its own."""
    added = fields["NodesToAdd"]
    check_objects([each["NodeAttributes"] for each in added], is_last=len(added) == 1)
    for each in added:
        wanted = each["RequestedNewNodeId"]
        nodes = [each["ParentNodeId"]] if wanted == _NULL_NODE else [each["ParentNodeId"], wanted]
        yield from (node_target(OperationClass.PROGRAM_TO_DEVICE, NODES, node, names) for node in nodes)


_NULL_NODE: Final = NodeId(0, "i", 0)


def _references(key: str) -> Builder:
    def build(fields: Fields, names: Names) -> Iterator[Target]:
        for each in fields[key]:
            for node in (each["SourceNodeId"], each["TargetNodeId"]):
                yield node_target(OperationClass.PROGRAM_TO_DEVICE, NODES, node, names)

    return build


def _delete_nodes(fields: Fields, names: Names) -> Iterator[Target]:
    found = OperationClass.PROGRAM_TO_DEVICE
    return (node_target(found, NODES, each["NodeId"], names) for each in fields["NodesToDelete"])


def _activate(fields: Fields, names: Names) -> Iterator[Target]:  # noqa: ARG001 - a builder
    """How a client says who it is; never the token itself."""
    held: Opaque = fields["UserIdentityToken"]
    node = held.type_id
    is_standard = node.kind == "i" and not node.namespace
    kind = USER_TOKENS.get(node.number) if is_standard else None
    yield Target(OperationClass.AUTH if kind else _UNKNOWN, USER, 0, 1, kind or f"unknown token {node.text}")


def _register_server(fields: Fields, names: Names) -> Iterator[Target]:  # noqa: ARG001 - a builder
    yield Target(OperationClass.CONFIG, SERVER, 0, 1, fields["Server"]["ServerUri"] or "")


#: By the number of the service.  Read and Write have a way of their own (`operations`).
BUILDERS: Final = MappingProxyType(
    {
        422: _endpoints,
        428: _endpoints,
        12208: _endpoints,
        437: _register_server,
        12211: _register_server,
        467: _activate,
        488: _add_nodes,
        494: _references("ReferencesToAdd"),
        500: _delete_nodes,
        506: _references("ReferencesToDelete"),
        527: _browse,
        533: _continuation,
        554: _translate,
        615: _query,
        560: _register,
        566: _register,
        664: _history_read,
        700: _history_update,
        712: _call,
        751: _monitored,
        763: _subscription,
        769: _subscription,
        775: _subscription,
        781: _subscription,
        787: _subscription,
        793: _subscription,
        799: _subscriptions,
        826: _subscription,
        832: _subscription,
        841: _transfer,
        847: _subscriptions,
    }
)
