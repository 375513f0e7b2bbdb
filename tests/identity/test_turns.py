import asyncio

import pytest

from penstock.identity import Busy, Turns
from penstock.identity.turns import MAX_WAITING, MAX_WAITING_OF_A_STRANGER


async def hold(turns: Turns, source: str, order: list[str], release: asyncio.Event, *, is_known: bool = False) -> None:
    async with turns.of(source, is_known=is_known):
        order.append(source)
        await release.wait()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_one_who_asks_a_thousand_times_is_one_among_many() -> None:
    async def scenario() -> None:
        turns, order, release = Turns(at_once=1, kept_for_known=0), list[str](), asyncio.Event()
        sources = ["flood"] * 1000 + ["b", "c"]
        tasks = [asyncio.create_task(hold(turns, source, order, release)) for source in sources]
        await settle()
        assert turns.waiting == MAX_WAITING_OF_A_STRANGER + 2
        release.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(each, Busy) for each in outcomes) == 1000 - 1 - MAX_WAITING_OF_A_STRANGER
        assert order == ["flood", "flood", "b", "c", "flood"]

    asyncio.run(scenario())


def test_however_many_strangers_come_few_wait_and_one_who_is_known_has_a_turn_at_once() -> None:
    async def scenario() -> None:
        turns, order, release = Turns(), list[str](), asyncio.Event()
        strangers = [asyncio.create_task(hold(turns, f"s{n}", order, release)) for n in range(1000)]
        await settle()
        assert order == ["s0"], "strangers never have all the places"
        assert turns.waiting == MAX_WAITING
        known = asyncio.create_task(hold(turns, "home", order, release, is_known=True))
        await settle()
        assert order == ["s0", "home"]
        release.set()
        outcomes = await asyncio.gather(known, *strangers, return_exceptions=True)
        assert sum(isinstance(each, Busy) for each in outcomes) == 1000 - 1 - MAX_WAITING

    asyncio.run(scenario())


def test_those_who_are_known_go_before_strangers_who_waited_longer() -> None:
    async def scenario() -> None:
        turns, order, release = Turns(at_once=1, kept_for_known=0), list[str](), asyncio.Event()
        tasks = [asyncio.create_task(hold(turns, source, order, release)) for source in ("first", "stranger")]
        await settle()
        tasks.append(asyncio.create_task(hold(turns, "home", order, release, is_known=True)))
        await settle()
        release.set()
        await asyncio.gather(*tasks)
        assert order == ["first", "home", "stranger"]

    asyncio.run(scenario())


@pytest.mark.parametrize("when", ["waiting", "its turn"])
def test_whoever_goes_away_leaves_the_place_to_the_next(when: str) -> None:
    async def scenario() -> None:
        turns, order, release = Turns(at_once=1, kept_for_known=0), list[str](), asyncio.Event()
        first, second, third = (asyncio.create_task(hold(turns, each, order, release)) for each in "abc")
        await settle()
        if when == "its turn":
            release.set()
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        release.set()
        await asyncio.wait_for(asyncio.gather(first, third), 5)
        assert "c" in order
        async with turns.of("d", is_known=False):
            assert turns.waiting == 0

    asyncio.run(scenario())
