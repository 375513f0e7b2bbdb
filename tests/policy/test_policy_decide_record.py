"""How fully an allowed operation is told: as the fullest conduit that allows it says."""

from __future__ import annotations

import pytest

from penstock.model import (
    Asset,
    Conduit,
    Operation,
    OperationClass,
    Permission,
    RecordMode,
    Request,
    Selector,
    Service,
    Site,
    Subject,
    SubjectKind,
    Zone,
)
from penstock.policy import Judge

ADA = Subject(name="ada", kind=SubjectKind.PERSON, groups=frozenset({"operators"}))
PLC = Asset(
    name="plc",
    zone="cell",
    role="plc",
    address="10.0.0.11",
    overlay="100.64.0.11",
    services=(Service(name="modbus", protocol="modbus", port=502),),
)


def conduit(name: str, record: RecordMode, *classes: OperationClass) -> Conduit:
    return Conduit(
        name=name,
        source=Selector(group="operators"),
        target=Selector(asset="plc"),
        permissions=tuple(Permission(protocol="modbus", operation_class=each) for each in classes),
        record=record,
    )


READ, WRITE = OperationClass.READ, OperationClass.WRITE


@pytest.mark.parametrize(
    ("operation", "expected"), [(READ, RecordMode.PAYLOAD), (WRITE, RecordMode.WRITES)], ids=["both", "one of them"]
)
def test_the_fullest_of_the_conduits_that_allow_it_counts(operation: OperationClass, expected: RecordMode) -> None:
    conduits = (
        conduit("a", RecordMode.SESSION, READ),
        conduit("b", RecordMode.PAYLOAD, READ),
        conduit("c", RecordMode.WRITES, READ, WRITE),
    )
    zone = Zone(name="cell", networks=("10.0.0.0/24",))
    site = Site(name="s", domain="s.ot", overlay="100.64.0.0/16", zones=(zone,), assets=(PLC,), conduits=conduits)
    asked = Operation("modbus", (operation,), "3", "Read", 1)
    decision = Judge.of_site(site, 1).judge(Request(subject=ADA, asset="plc", protocol="modbus", operation=asked))
    assert (decision.is_allowed, decision.record) == (True, expected)
    assert decision.conduit == ("a" if operation is READ else "c")
