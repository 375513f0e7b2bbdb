"""FINS in a site document: what the wire brings is judged by the field's own words for memory."""

from __future__ import annotations

import pytest
from policy_cases import INVENTORY, asking, person

from penstock.model import Invalid, Reason
from penstock.policy import accept, decide, parse
from penstock.wire import NAMED, Side

PLANT = INVENTORY.replace("services: {modbus: 502, s7comm: 102}", "services: {fins: 9600}")
CONDUIT = """\
conduits:
  Line:
    from: {group: ops}
    to: {asset: plc-2}
    allow:
      fins:
        - read: {areas: [D0-D999, CIO 0-100]}
        - write: {areas: D100-D199, values: 0-550}
        - write: {areas: W0.0, values: [on, off]}
"""


def judged(body: str, destination: str = "00 05 00", conduit: str = CONDUIT) -> Reason:
    """The verdict on a command in a datagram."""
    make = NAMED["fins"].datagrams
    assert make is not None
    data = bytes.fromhex(f"80 00 02 {destination} 00 10 00 07 {body}")
    (frame,) = make().feed(Side.CLIENT, data)
    policy = accept(parse({"site.yaml": PLANT + conduit}), 7)
    return decide(policy, asking(person("ops"), frame.operation, "plc-2", "fins", has_tls=True)).reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("0101 82 0064 00 0002", Reason.ALLOWED),
        ("0101 82 03e7 00 0001", Reason.ALLOWED),
        ("0101 02 03e7 0f 0001", Reason.ALLOWED),
        ("0101 82 03e7 00 0002", Reason.OBJECT_OUT_OF_RANGE),
        ("0104 82 0064 00 b2 0000 00", Reason.OBJECT_OUT_OF_RANGE),
        ("0102 82 0064 00 0001 0226", Reason.ALLOWED),
        ("0102 82 0064 00 0001 0227", Reason.VALUE_OUT_OF_RANGE),
        ("0102 82 0064 00 0002 0001 0227", Reason.VALUE_OUT_OF_RANGE),
        ("0102 82 00c8 00 0001 0001", Reason.OBJECT_OUT_OF_RANGE),
        ("0103 82 0064 00 0064 0001", Reason.ALLOWED),
        ("0103 82 0064 00 0065 0001", Reason.OBJECT_OUT_OF_RANGE),
        ("0105 82 0000 00 82 0064 00 0001", Reason.VALUE_OUT_OF_RANGE),
        ("0102 31 0000 00 0001 01", Reason.ALLOWED),
        ("0102 31 0000 01 0001 01", Reason.OBJECT_OUT_OF_RANGE),
        ("0102 b1 0000 00 0001 0001", Reason.OBJECT_OUT_OF_RANGE),
        ("2301 0001 0001 31 0000 00", Reason.ALLOWED),
        ("2301 0001 8000 31 0000 00", Reason.VALUE_OUT_OF_RANGE),
        ("2302", Reason.OBJECT_OUT_OF_RANGE),
        ("0402", Reason.OPERATION_NOT_ALLOWED),
        ("9999", Reason.UNKNOWN_OPERATION),
    ],
)
def test_a_command_is_judged_by_its_memory_and_values(body: str, reason: Reason) -> None:
    assert judged(body) is reason


def test_memory_behind_the_controller_is_not_the_controllers() -> None:
    assert judged("0102 82 0064 00 0001 0001", "02 05 00") is Reason.OBJECT_OUT_OF_RANGE
    assert judged("0102 82 0064 00 0001 0001", "00 05 10") is Reason.OBJECT_OUT_OF_RANGE


def test_areas_with_commas_are_one_text() -> None:
    conduit = CONDUIT.replace("{areas: D100-D199, values: 0-550}", '{areas: "D100-D199, W0.0"}')
    assert judged("0102 31 0000 00 0001 01", conduit=conduit) is Reason.ALLOWED
    assert judged("0102 31 0000 02 0001 01", conduit=conduit) is Reason.OBJECT_OUT_OF_RANGE


def test_an_error_names_the_file_the_line_and_what_to_write() -> None:
    with pytest.raises(Invalid) as told:
        parse({"site.yaml": PLANT + CONDUIT.replace("D100-D199", "Q100")})
    text = str(told.value)
    assert "site.yaml:" in text
    assert "D100-D199" in text
