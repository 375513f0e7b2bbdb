"""What the enforcer remembers of the elements that it wrote."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.kernel.elements import Elements, mark_bytes
from penstock.kernel.told import Element, Kept, Step, Told, Verb

NAMES, KEYS = ("grants", "live"), (b"a", b"b", b"c")
steps = st.builds(
    Step,
    st.sampled_from(Verb),
    st.sampled_from(NAMES),
    st.builds(Element, key=st.sampled_from(KEYS), left_ms=st.none() | st.integers(1, 9_000)),
)


@given(st.lists(st.tuples(st.integers(0, 20), st.lists(steps, max_size=5)), max_size=20), st.integers(0, 40))
def test_it_holds_what_was_written_last_and_has_not_expired(
    transactions: list[tuple[int, list[Step]]], at_s: int
) -> None:
    """Against a plain list of all that was ever written."""
    told, history = Told(), list[tuple[float, Step]]()
    for now_s, taken in sorted(transactions, key=lambda each: each[0]):
        told.note(taken, float(now_s))
        history += [(float(now_s), step) for step in taken]
    for name in NAMES:
        expected = {}
        for key in KEYS:
            last = [(when, step) for when, step in history if step.name == name and step.element.key == key][-1:]
            for when, step in last:
                left_ms = step.element.left_ms
                ends_s = None if left_ms is None else when + left_ms / 1000
                if step.verb is Verb.ADD and (ends_s is None or ends_s > at_s):
                    expected[key] = Kept(b"", ends_s)
        assert told.of(name, float(at_s)) == expected


def test_what_expired_does_not_stay_in_memory() -> None:
    """A gate that opens short grants for years holds the present ones only."""
    told = Told()
    for number in range(100_000):
        key = number.to_bytes(4, "big")
        told.note([Step(Verb.ADD, "live", Element(key=key, left_ms=1_000))], number / 100)
    assert len(told.of("live", 999.99)) == 100
    assert len(told._sets["live"]) <= 2048


def test_what_is_adopted_replaces_what_was_there() -> None:
    told = Told()
    told.note([Step(Verb.ADD, "live", Element(key=b"old"))], 0.0)
    told.adopt("live", [Element(key=b"new", data=b"d", left_ms=500)], 10.0)
    assert told.of("live", 10.0) == {b"new": Kept(b"d", 10.5)}
    assert told.of("live", 10.5) == {}


def test_a_grant_that_a_torn_look_at_the_kernel_misses_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would outlive a control that was started anew, and its flows be taken for those of nobody."""
    monkeypatch.setattr("penstock.kernel.elements.NetlinkSocket", object)
    elements = Elements()
    live = [Element(key=mark_bytes(number), left_ms=60_000) for number in (1, 2)]
    elements.told.note((Step(Verb.ADD, "live", each) for each in live), time.monotonic())
    monkeypatch.setattr(elements, "dump", lambda _: iter([live[0], Element(key=mark_bytes(3), left_ms=1)]))
    assert elements.numbers() == {1, 2, 3}
