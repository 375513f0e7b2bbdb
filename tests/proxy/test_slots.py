"""Places on assets: never one too many, in order of arrival, and nobody waits longer than was promised."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from proxying import GRANT, SECOND, T0

from penstock.model import Asset, Grant, Json, Limits, Rate, Reason
from penstock.proxy.slots import MAX_WAITING, MAX_WAITING_OF_GRANT, Slots

NAME = GRANT.asset


class Caller:
    """A flow that wants a place, and what it was told."""

    def __init__(self, grant: Grant = GRANT) -> None:
        self.grant = grant
        self.told: list[str] = []
        self.waited_us = 0
        self.detail: dict[str, Json] = {}

    def take_place(self, waited_us: int) -> None:
        self.told.append("in")
        self.waited_us = waited_us

    def hold_on(self, detail: dict[str, Json]) -> None:
        self.told.append("wait")
        self.detail = detail

    def turn_away(self, reason: Reason, detail: dict[str, Json]) -> None:
        self.told.append(reason.value)
        self.detail = detail


def asset(limits: Limits) -> Asset:
    return Asset(name=NAME, zone="z", role="plc", address="192.168.10.50", overlay="100.64.0.50", limits=limits)


def slots(connections: int | None = None, opens: Rate | None = None, queue_s: int = 0) -> Slots:
    made = Slots()
    made.set_limits([asset(Limits(connections=connections, opens=opens, queue_s=queue_s))])
    return made


def ask(of: Slots, count: int, now_us: int = T0, grant: Grant = GRANT) -> list[Caller]:
    callers = [Caller(grant) for _ in range(count)]
    for caller in callers:
        of.ask(caller, now_us)
    return callers


def test_an_asset_without_limits_takes_everybody() -> None:
    assert [caller.told for caller in ask(Slots(), 1000)] == [["in"]] * 1000


def test_one_too_many_is_refused_at_once_where_there_is_no_queue() -> None:
    callers = ask(slots(connections=2), 3)
    assert [caller.told for caller in callers] == [["in"], ["in"], ["asset_full"]]
    assert callers[2].detail == {"shortage": "connections", "connections": 2}


def test_those_who_wait_get_free_places_in_order_of_arrival() -> None:
    places = slots(connections=1, queue_s=10)
    callers = ask(places, 3)
    places.leave(NAME, T0 + SECOND)
    assert [caller.told for caller in callers] == [["in"], ["wait", "in"], ["wait"]]
    assert callers[1].waited_us == SECOND
    places.leave(NAME, T0 + 2 * SECOND)
    assert callers[2].told == ["wait", "in"]


def test_who_has_waited_as_long_as_was_promised_is_refused_with_how_long_that_was() -> None:
    places = slots(connections=1, queue_s=10)
    _, late = ask(places, 2)
    places.tick(T0 + 10 * SECOND - 1)
    assert late.told == ["wait"]
    places.tick(T0 + 10 * SECOND)
    assert late.told == ["wait", "asset_full"]
    assert late.detail == {"shortage": "connections", "connections": 1, "queue_s": 10, "waited_us": 10 * SECOND}
    places.leave(NAME, T0 + 11 * SECOND)
    assert late.told == ["wait", "asset_full"]


def test_a_safety_critical_flow_is_counted_but_neither_waits_nor_is_refused() -> None:
    places = slots(connections=1, queue_s=10)
    safety = replace(GRANT, is_safety_critical=True)
    assert [caller.told for caller in ask(places, 1) + ask(places, 2, grant=safety)] == [["in"]] * 3
    assert places.held(NAME) == 3
    (waiting,) = ask(places, 1)
    places.leave(NAME, T0)
    places.leave(NAME, T0)
    assert waiting.told == ["wait"], "two safety-critical flows hold more than there is"
    places.leave(NAME, T0)
    assert waiting.told == ["wait", "in"]


def test_new_connections_are_limited_in_any_period_and_the_next_one_comes_when_the_oldest_is_over() -> None:
    places = slots(opens=Rate(count=2, period_s=5), queue_s=60)
    callers = ask(places, 2) + ask(places, 1, T0 + SECOND)
    assert callers[2].told == ["wait"]
    assert callers[2].detail == {"shortage": "opens", "opens": 2, "period_s": 5, "queue_s": 60}
    places.tick(T0 + 5 * SECOND - 1)
    assert callers[2].told == ["wait"]
    places.tick(T0 + 5 * SECOND)
    assert callers[2].told == ["wait", "in"]


def test_who_leaves_the_queue_makes_nobody_else_wait() -> None:
    places = slots(connections=1, queue_s=10)
    _, gone, next_one = ask(places, 3)
    places.forget(gone)
    places.leave(NAME, T0)
    assert (gone.told, next_one.told) == (["wait"], ["wait", "in"])


def test_a_queue_has_an_end_for_all_and_for_each_grant() -> None:
    places = slots(connections=1, queue_s=10)
    first = ask(places, 2 + MAX_WAITING_OF_GRANT)
    assert [caller.told[-1] for caller in first[1:]] == ["wait"] * MAX_WAITING_OF_GRANT + ["asset_full"]
    assert first[-1].detail["shortage"] == "queue"
    others = [ask(places, 1, grant=replace(GRANT, number=100 + number))[0] for number in range(MAX_WAITING)]
    assert sum(caller.told == ["wait"] for caller in others) == MAX_WAITING - MAX_WAITING_OF_GRANT
    assert places.waiting == MAX_WAITING


def test_a_revision_that_gives_more_lets_in_who_waits() -> None:
    places = slots(connections=1, queue_s=10)
    callers = ask(places, 3)
    places.set_limits([asset(Limits(connections=2, queue_s=10))])
    places.tick(T0 + SECOND)
    assert [caller.told[-1] for caller in callers] == ["in", "in", "wait"]
    places.set_limits([])
    places.tick(T0 + SECOND)
    assert callers[2].told == ["wait", "in"]


def test_a_clock_that_is_set_makes_nobody_wait_longer_or_shorter() -> None:
    places = slots(connections=1, opens=Rate(count=1, period_s=5), queue_s=10)
    _, waiting = ask(places, 2)
    places.stepped(-3600 * SECOND)
    now_us = T0 - 3600 * SECOND
    places.tick(now_us + 10 * SECOND - 1)
    assert waiting.told == ["wait"]
    places.tick(now_us + 10 * SECOND)
    assert waiting.told == ["wait", "asset_full"]


class Places(RuleBasedStateMachine):
    """Whatever happens: the limit holds, and arrival is the order."""

    CONNECTIONS, QUEUE_S = 3, 4

    def __init__(self) -> None:
        super().__init__()
        self.now_us = T0
        self.slots = slots(connections=self.CONNECTIONS, queue_s=self.QUEUE_S)
        self.arrived: list[tuple[Caller, int]] = []
        self.inside: list[Caller] = []
        self.left: list[Caller] = []

    @rule(is_safety_critical=st.booleans(), number=st.integers(1, 3))
    def arrive(self, *, is_safety_critical: bool, number: int) -> None:
        caller = Caller(replace(GRANT, number=number, is_safety_critical=is_safety_critical))
        self.arrived.append((caller, self.now_us))
        self.slots.ask(caller, self.now_us)

    @rule(which=st.integers(0, 99))
    def leave(self, which: int) -> None:
        inside = [caller for caller, _ in self.arrived if caller.told[-1] == "in" and caller not in self.left]
        if inside:
            self.left.append(inside[which % len(inside)])
            self.slots.leave(NAME, self.now_us)

    @rule(which=st.integers(0, 99))
    def give_up(self, which: int) -> None:
        waiting = [caller for caller, _ in self.arrived if caller.told == ["wait"]]
        if waiting:
            gone = waiting[which % len(waiting)]
            self.slots.forget(gone)
            gone.told.append("gone")

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.now_us += int(seconds * SECOND)
        self.slots.tick(self.now_us)

    @invariant()
    def holds_what_it_says(self) -> None:
        inside = [caller for caller, _ in self.arrived if caller.told[-1] == "in" and caller not in self.left]
        ordinary = [caller for caller in inside if not caller.grant.is_safety_critical]
        assert self.slots.held(NAME) == len(inside)
        assert len(ordinary) <= self.CONNECTIONS
        assert all(not c.grant.is_safety_critical or c.told == ["in"] for c, _ in self.arrived)

    @invariant()
    def keeps_the_order(self) -> None:
        waited = [(caller, at_us) for caller, at_us in self.arrived if caller.told[0] == "wait"]
        states = [caller.told[-1] for caller, _ in waited if caller.told[-1] in {"in", "wait"}]
        assert "wait" not in states or "in" not in states[states.index("wait") :]
        assert all(self.now_us - at_us < self.QUEUE_S * SECOND for c, at_us in waited if c.told[-1] == "wait")

    @invariant()
    def lets_nobody_wait_for_a_place_that_is_free(self) -> None:
        if any(caller.told == ["wait"] for caller, _ in self.arrived):
            assert self.slots.held(NAME) >= self.CONNECTIONS


TestPlaces = Places.TestCase
TestPlaces.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
