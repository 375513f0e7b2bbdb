"""Drift, the pure part: what counts as a difference, how elements are written, how fast corrections follow."""

from __future__ import annotations

import sys
from socket import inet_aton

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.kernel.chains import DYNAMIC_SETS
from penstock.kernel.element_text import element_text, filling, key_text
from penstock.kernel.elements import mark_bytes, service_key
from penstock.kernel.pace import LONGEST_DELAY_S, QUIET_S, Pace
from penstock.kernel.told import Element, Kept
from penstock.kernel.verify import TIME_TOLERANCE_S, of_dynamic, of_rules, of_static, rules_in

GRANT = inet_aton("192.168.10.11") + service_key("100.64.0.50", "tcp", 502)


def test_elements_are_written_with_the_time_that_they_have_left() -> None:
    text = element_text(DYNAMIC_SETS["grants"], GRANT, Kept(mark_bytes(42), 61.5), now_s=1.5)
    assert text == "192.168.10.11 . 100.64.0.50 . tcp . 502 timeout 60000ms : 0x0000002a"
    dials = service_key("192.168.10.50", "udp", 47808) + mark_bytes(7)
    assert key_text(DYNAMIC_SETS["dials"], dials) == "192.168.10.50 . udp . 47808 . 0x00000007"
    assert element_text(DYNAMIC_SETS["unattended"], mark_bytes(9), Kept(b"", None), now_s=0) == "0x00000009"


def test_what_is_over_or_does_not_fit_is_not_written() -> None:
    assert element_text(DYNAMIC_SETS["live"], mark_bytes(9), Kept(b"", 5.0), now_s=5.0) is None
    assert key_text(DYNAMIC_SETS["grants"], GRANT[:-1]) is None
    assert key_text(DYNAMIC_SETS["live"], GRANT) is None
    assert key_text("set type ifname . mark;", b"\0" * 20) is None
    assert list(filling("penstock", DYNAMIC_SETS, {"live": {mark_bytes(9): Kept(b"", 4.0)}}, 5.0)) == []


@given(st.dictionaries(st.integers(1, 9), st.none() | st.integers(0, 20)), st.sets(st.integers(1, 9)), st.data())
def test_a_set_that_holds_what_it_was_told_differs_in_nothing_and_any_other_does(
    told: dict[int, int | None], gone: set[int], data: st.DataObject
) -> None:
    """Told at 0 s and looked at 0 s: taking away, adding and changing are each seen, but for what is about to end."""
    expected = {mark_bytes(key): Kept(b"v", None if ends is None else float(ends)) for key, ends in told.items()}
    exact = [
        Element(key=key, data=b"v", left_ms=None if kept.ends_s is None else int(kept.ends_s * 1000))
        for key, kept in expected.items()
    ]
    assert of_dynamic(expected, exact, 0.0) == of_dynamic(expected, [*exact, *exact], 0.0) == ([], [], [])
    fewer = [element for element in exact if number(element) not in gone]
    lasting = {key for key, ends in told.items() if ends is None or ends > TIME_TOLERANCE_S}
    missing, unknown, changed = of_dynamic(expected, fewer, 0.0)
    assert ({int.from_bytes(key, sys.byteorder) for key in missing}, unknown, changed) == (gone & lasting, [], [])
    stranger = Element(key=mark_bytes(77), data=b"v", left_ms=data.draw(st.none() | st.integers(2_001, 90_000)))
    assert of_dynamic(expected, [*exact, stranger], 0.0) == ([], [stranger.key], [])
    for element in exact:
        other = Element(key=element.key, data=b"w", left_ms=element.left_ms)
        assert of_dynamic({element.key: expected[element.key]}, [other], 0.0) == ([], [], [element.key])


def test_a_grant_that_lives_longer_than_it_was_told_is_a_difference() -> None:
    expected = {mark_bytes(9): Kept(b"", 60.0)}
    for left_ms in (None, 63_000, 50_000):
        assert of_dynamic(expected, [Element(key=mark_bytes(9), left_ms=left_ms)], 0.0)[2] == [mark_bytes(9)]
    assert of_dynamic(expected, [Element(key=mark_bytes(9), left_ms=61_000)], 0.0) == ([], [], [])


def test_rules_are_told_by_their_text_and_order() -> None:
    listed = "table inet penstock {\n\tset s {\n\t\ttype mark\n\t}\n\n\tchain c {\n"
    listed += "\t\ttype filter hook input priority 0; policy drop;\n"
    listed += "\t\tip saddr 1.2.3.4   accept\n\t\tdrop\n\t}\n}\n"
    assert rules_in(listed) == {"c": ["ip saddr 1.2.3.4 accept", "drop"]}
    told = of_rules({"c": ["a", "b"]}, {"c": ["b", "a"]})
    assert [each.what for each in told] == ["chain c: the rules are in another order"]
    told = of_rules({"c": ["a", "a"]}, {"c": ["a", "x"]})
    assert [each.what for each in told] == ["chain c: rule that is not ours: x", "chain c: missing rule: a"]


def test_elements_of_a_static_set_are_counted() -> None:
    assert of_static("assets", frozenset({b"a"}), frozenset({b"a"})) == []
    (told,) = of_static("assets", frozenset({b"a", b"b"}), frozenset({b"c"}))
    assert told.what == "set assets: elements that are not ours: 1, elements that are missing: 2"


def number(element: Element) -> int:
    return int.from_bytes(element.key, sys.byteorder)


@given(st.lists(st.floats(0, 1), min_size=400, max_size=400))
def test_however_often_it_is_provoked_a_correction_comes_and_never_too_often(steps: list[float]) -> None:
    """Looking at random times for minutes: in the long run one in two seconds, and none is put off for longer."""
    pace, now_s, made, rounding = Pace(), 0.0, list[float](), 1e-9
    for step in steps:
        now_s += step
        wait_s = pace.wait_s(now_s)
        assert 0 <= wait_s <= LONGEST_DELAY_S + rounding
        if wait_s == 0:
            pace.corrected(now_s)
            made.append(now_s)
    assert len(made) <= 6 + now_s / LONGEST_DELAY_S
    assert pace.wait_s(now_s + LONGEST_DELAY_S + rounding) == 0


def test_after_a_quiet_time_the_next_correction_comes_at_once_and_the_one_after_soon() -> None:
    pace = Pace()
    for now_s in (0.0, 1.0, 3.0, 6.0, 10.0):
        pace.corrected(now_s)
    later_s = 10.0 + QUIET_S
    assert pace.wait_s(later_s) == 0
    pace.corrected(later_s)
    assert pace.wait_s(later_s) == pytest.approx(0.1)
