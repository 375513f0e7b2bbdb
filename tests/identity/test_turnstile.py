"""Nobody can guess for long, and nobody can keep anybody out of their own station."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from penstock.identity import Attempts, Turns, Turnstile
from penstock.identity.turnstile import KNOWN_FOR_US, MAX_STATIONS_OF_AN_ACCOUNT

S = 1_000_000
NOW_US = 1_800_000_000 * S
HOME = "10.20.0.50"


class Counters:
    """The store in memory."""

    def __init__(self) -> None:
        self.counters: dict[str, Attempts] = {}
        self.known: dict[tuple[str, str], int] = {}
        self.asked = 0

    async def change_attempts(
        self, key: str, change: Callable[[Attempts], Attempts | None]
    ) -> tuple[Attempts, Attempts | None]:
        self.asked += 1
        before = self.counters.pop(key, Attempts())
        after = change(before)
        if after is not None:
            self.counters[key] = after
        return before, after

    async def stations(self) -> list[tuple[str, str, int]]:
        return [(*key, at_us) for key, at_us in self.known.items()]

    async def put_station(self, name: str, address: str, at_us: int, forgotten: tuple[str, ...]) -> None:
        self.known[name, address] = at_us
        for each in forgotten:
            del self.known[name, each]

    async def drop_stations(self, name: str) -> None:
        self.known = {key: at_us for key, at_us in self.known.items() if key[0] != name}


class World:
    """A turnstile, its store and a clock."""

    def __init__(self, store: Counters | None = None) -> None:
        self.store, self.now_us = store or Counters(), NOW_US
        self.turnstile = Turnstile(self.store, Turns())

    async def attempt(self, name: str, source: str, *, is_right: bool = False) -> int:
        """One attempt; answers the wait, 0 where it was looked at."""
        async with self.turnstile.enter(name, source, self.now_us) as entry:
            if entry.wait_s == 0 and is_right:
                await self.turnstile.passed(name, source, self.now_us)
            return entry.wait_s

    async def seconds(self, count: int, per_s: int, source: Callable[[int], str], name: str) -> int:
        """So many attempts a second for `count` seconds; answers how many were looked at."""
        seen = 0
        for n in range(count * per_s):
            seen += await self.attempt(name, source(n)) == 0
            self.now_us += S // per_s
        return seen


@pytest.mark.parametrize("addresses", [1, 250, 60_000])
def test_a_thousand_attempts_a_second_do_not_keep_the_owner_out_of_a_known_station(addresses: int) -> None:
    async def scenario() -> None:
        world = World()
        assert await world.attempt("ada", HOME, is_right=True) == 0
        for _ in range(5):
            seen = await world.seconds(1, 1000, lambda n: f"10.{n % addresses // 250}.7.{n % 250}", "ada")
            assert seen <= 30, "the flood is not looked at"
            assert await world.attempt("ada", HOME, is_right=True) == 0, "the owner is"
        unseen = world.turnstile.take_unseen()
        assert unseen is not None
        assert unseen.attempts > 4800
        assert len(unseen.sources) <= 10
        assert world.turnstile.take_unseen() is None

    asyncio.run(scenario())


def test_an_account_bears_a_hundred_wrong_guesses_of_strangers_in_a_row_and_no_more() -> None:
    async def scenario() -> None:
        world, seen = World(), 0
        for n in range(5000):
            world.now_us += 901 * S
            seen += await world.attempt("ada", f"10.{n // 250}.0.{n % 250}") == 0
        assert seen == 100
        world.now_us += 400 * 86_400 * S
        assert await world.attempt("ada", "10.99.0.1") == 900
        await world.turnstile.release("ada")
        assert await world.attempt("ada", "10.99.0.1") == 0

    asyncio.run(scenario())


def test_the_owners_right_proof_ends_what_strangers_did() -> None:
    async def scenario() -> None:
        world = World()
        await world.attempt("ada", HOME, is_right=True)
        for n in range(12):
            world.now_us += 901 * S
            await world.attempt("ada", f"10.66.0.{n}")
        assert await world.attempt("ada", "10.66.1.1") > 0
        assert await world.attempt("ada", HOME, is_right=True) == 0
        assert await world.attempt("ada", "10.66.1.1") == 0

    asyncio.run(scenario())


def test_whoever_guesses_at_a_known_station_waits_there_and_nowhere_else() -> None:
    async def scenario() -> None:
        world = World()
        for source in (HOME, "10.20.0.51"):
            await world.attempt("ada", source, is_right=True)
        waits = [await world.attempt("ada", HOME) for _ in range(6)]
        assert waits == [0, 0, 0, 0, 0, 30]
        assert await world.attempt("ada", "10.20.0.51", is_right=True) == 0

    asyncio.run(scenario())


def test_names_that_do_not_exist_wait_exactly_like_those_that_do() -> None:
    async def scenario() -> None:
        real, made_up = World(), World()
        await real.attempt("ada", HOME, is_right=True)
        for n in range(300):
            source = f"10.66.{n % 7}.{n % 5}"
            assert await real.attempt("ada", source) == await made_up.attempt("nobody", source)
            for world in (real, made_up):
                world.now_us += 20 * S

    asyncio.run(scenario())


def test_a_station_is_known_for_thirty_days_after_a_restart_too_and_sixteen_at_most() -> None:
    async def scenario() -> None:
        world = World()
        for n in range(MAX_STATIONS_OF_AN_ACCOUNT + 1):
            world.now_us += S
            await world.attempt("ada", f"10.20.1.{n}", is_right=True)
        again = World(world.store)
        again.now_us = world.now_us
        assert not await again.turnstile.knows("ada", "10.20.1.0", again.now_us)
        assert await again.turnstile.knows("ada", "10.20.1.1", again.now_us)
        assert not await again.turnstile.knows("ada", "10.20.1.1", again.now_us + KNOWN_FOR_US)
        assert len(world.store.known) == MAX_STATIONS_OF_AN_ACCOUNT
        await again.turnstile.forget("ada")
        assert not await again.turnstile.knows("ada", "10.20.1.5", again.now_us)
        assert world.store.known == {}

    asyncio.run(scenario())


def test_a_wait_that_runs_is_answered_without_the_store() -> None:
    async def scenario() -> None:
        world = World()
        await world.attempt("ada", HOME, is_right=True)
        for _ in range(5):
            await world.attempt("ada", HOME)
        asked = world.store.asked
        for _ in range(1000):
            assert await world.attempt("ada", HOME) == 30
        assert world.store.asked == asked

    asyncio.run(scenario())


def test_what_is_quickly_looked_at_stands_in_no_line_with_passwords() -> None:
    async def scenario() -> None:
        turns, world = Turns(), World()
        world.turnstile = Turnstile(world.store, turns)
        async with AsyncExitStack() as slow:
            await slow.enter_async_context(turns.of("10.9.0.1", is_known=False))
            line = [asyncio.create_task(world.attempt("ada", f"10.9.1.{n}")) for n in range(40)]
            await asyncio.sleep(0)
            assert turns.waiting == 16, "strangers' passwords wait, as many as may"
            assert await world.attempt("ada", "10.9.2.1") > 0
            async with world.turnstile.enter("", "10.20.0.9", world.now_us, is_quick=True) as entry:
                assert entry.wait_s == 0
        await asyncio.gather(*line)

    asyncio.run(scenario())
