"""Messages between processes as bytes: those about held operations, which carry what a decoder made."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.bus.codec import LENGTH_BYTES, decode, encode
from penstock.model import (
    HoldDecided,
    HoldEnded,
    HoldEnding,
    Malformed,
    OperationClass,
    OperationHeld,
    ShownBefore,
    Target,
    Value,
)

values: st.SearchStrategy[Value] = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(max_size=8)
)
targets = st.builds(
    Target,
    operation_class=st.sampled_from(OperationClass),
    table=st.text(max_size=8),
    first=st.integers(0, 2**32),
    count=st.integers(0, 2**16),
    name=st.text(max_size=8),
    values=st.none() | st.lists(values, max_size=4).map(tuple),
    memory=st.none() | st.binary(max_size=8),
    aliases=st.lists(st.text(max_size=8), max_size=2).map(tuple),
)
helds = st.builds(
    OperationHeld,
    flow=st.integers(0, 2**63 - 1),
    hold=st.integers(1, 2**31),
    grant=st.integers(1, 2**20),
    conduit=st.text(max_size=8),
    operation=st.text(max_size=8),
    code=st.text(max_size=8),
    name=st.text(max_size=8),
    unit=st.none() | st.integers(0, 2**16),
    targets=st.lists(targets, max_size=3).map(tuple),
    data=st.binary(max_size=300).map(bytes.hex),
    source=st.just("192.0.2.7:50000"),
    at_us=st.integers(0, 2**62),
    until_us=st.integers(0, 2**62),
    behind=st.integers(0, 64),
    before=st.lists(
        st.builds(
            ShownBefore,
            target=st.integers(0, 3),
            first=st.integers(0, 2**32),
            values=st.lists(values, max_size=4).map(tuple),
            age_us=st.integers(0, 2**62),
        ),
        max_size=2,
    ).map(tuple),
)


@given(held=helds)
def test_a_held_operation_arrives_as_it_was_told_with_the_types_of_its_values(held: OperationHeld) -> None:
    wire = encode(held)
    assert int.from_bytes(wire[:LENGTH_BYTES], "big") == len(wire) - LENGTH_BYTES
    found = decode(wire[LENGTH_BYTES:])
    assert found == held
    assert isinstance(found, OperationHeld)
    kinds = [[type(value) for value in target.values or ()] for target in found.targets]
    assert kinds == [[type(value) for value in target.values or ()] for target in held.targets]


@pytest.mark.parametrize("ending", HoldEnding)
def test_each_way_in_which_a_hold_ends_arrives(ending: HoldEnding) -> None:
    ended = HoldEnded(flow=1042, hold=1, ending=ending, at_us=7, reason="hold_timed_out")
    assert decode(encode(ended)[LENGTH_BYTES:]) == ended


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_decision_arrives_with_who_and_why(*, is_approved: bool) -> None:
    decided = HoldDecided(flow=1042, hold=1, is_approved=is_approved, decided_by="jan@local", why="wie besprochen ✓")
    assert decode(encode(decided)[LENGTH_BYTES:]) == decided


@pytest.mark.parametrize(
    "body",
    [
        ("HoldDecided", {"flow": 1042, "hold": 1, "decided_by": "jan@local", "why": ""}),
        ("HoldDecided", {"flow": "1042", "hold": 1, "is_approved": True, "decided_by": "jan@local", "why": ""}),
        ("HoldDecided", {"flow": 1042, "hold": 1, "is_approved": 1, "decided_by": "jan@local", "why": ""}),
        ("HoldEnded", {"flow": 1042, "hold": 1, "ending": "approved", "at_us": 7}),
        ("HoldForgotten", {"flow": 1042, "hold": 1}),
    ],
    ids=["no verdict", "a flow in words", "a verdict in numbers", "an ending that is none", "an unknown message"],
)
def test_what_is_no_message_about_a_hold_is_malformed(body: tuple[str, dict[str, object]]) -> None:
    with pytest.raises(Malformed):
        decode(msgspec.msgpack.encode(body))
