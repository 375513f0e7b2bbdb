from __future__ import annotations

from penstock.kernel.held import HeldKeys


def test_a_grant_gives_back_what_it_held_once() -> None:
    held = HeldKeys()
    held.hold(1, {"grants": [b"a"], "dials": [b"d"]})
    assert held.release(1) == {"grants": [b"a"], "dials": [b"d"]}
    assert held.release(1) is None


def test_a_later_grant_takes_a_service_over_and_keeps_it_when_the_earlier_ends() -> None:
    held = HeldKeys()
    held.hold(1, {"grants": [b"a"], "dials": [b"d1"]})
    held.hold(2, {"grants": [b"a"], "dials": [b"d2"]})
    assert held.release(1) == {"grants": [], "dials": [b"d1"]}
    assert held.release(2) == {"grants": [b"a"], "dials": [b"d2"]}


def test_opening_again_changes_nothing() -> None:
    held = HeldKeys()
    for _ in range(2):
        held.hold(1, {"grants": [b"a"], "dials": []})
    assert held.release(1) == {"grants": [b"a"], "dials": []}


def test_what_is_found_in_the_kernel_is_held_too() -> None:
    held = HeldKeys()
    held.add(1, "grants", b"a")
    held.add(1, "dials", b"d")
    held.hold(2, {"grants": [b"a"], "dials": []})
    assert held.release(1) == {"grants": [], "dials": [b"d"]}
