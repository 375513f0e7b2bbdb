from __future__ import annotations

from penstock.names import RefusedAskers, Speed, SpeedLimit
from penstock.names.limits import MAX_SOURCES, MAX_TOLD, OTHERS


def test_a_source_may_ask_in_a_burst_and_then_at_its_rate() -> None:
    limit = SpeedLimit(per_s=8, burst=20)
    first = [limit.ask("a", 100.0) for _ in range(30)]
    assert first == [Speed.ANSWER] * 20 + [Speed.TRUNCATE, Speed.DROP] * 5
    later = [limit.ask("a", 100.0 + step / 8) for step in range(1, 11)]
    assert later == [Speed.ANSWER] * 10


def test_one_loud_source_takes_nothing_from_another() -> None:
    limit = SpeedLimit(per_s=1, burst=1)
    for _ in range(100):
        limit.ask("loud", 5.0)
    assert limit.ask("quiet", 5.0) is Speed.ANSWER


def test_a_clock_that_stands_still_gives_nothing_away() -> None:
    limit = SpeedLimit(per_s=1000, burst=1)
    assert [limit.ask("a", 5.0) for _ in range(3)] == [Speed.ANSWER, Speed.TRUNCATE, Speed.DROP]
    assert limit.ask("a", 4.0) is Speed.TRUNCATE


def test_forged_sources_do_not_fill_the_memory() -> None:
    limit = SpeedLimit()
    for number in range(3 * MAX_SOURCES):
        limit.ask(str(number), 1.0)
    assert len(limit._left) == MAX_SOURCES


def test_refused_askers_are_counted_and_beyond_a_number_told_together() -> None:
    refused = RefusedAskers()
    assert not refused
    for number in range(MAX_TOLD + 30):
        refused.add(f"10.0.0.{number}")
    refused.add("10.0.0.0")
    told = {event.source: event.count for event in refused.drained(9)}
    assert len(told) == MAX_TOLD + 1
    assert (told["10.0.0.0"], told["10.0.0.1"], told[OTHERS]) == (2, 1, 30)
    assert refused.drained(10) == []
