"""What is pending while people are at an identity provider: bounded, tied, and used once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from control_world import World, play

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from oidc_forge import ISSUER, Forge

from penstock.control import Arrival, Departure, Returned, SignInKind, TooMany, Trouble
from penstock.control import detours as limits
from penstock.model import OidcPlan

DOCUMENT = f"""\
site: riverside-water
domain: riverside.ot
overlay: 100.64.0.0/16
zones: {{control-room: {{networks: [10.20.0.0/24]}}}}
assets: {{plc-1: {{zone: control-room, role: plc, address: 10.20.0.12, services: {{modbus: 502}}}}}}
identity: {{sources: {{keycloak: {{kind: oidc, issuer: "{ISSUER}", client: penstock}}}}}}
"""


def run(world: World, scenario: Any) -> None:
    """A scenario on a gate whose provider is in memory."""
    forge = Forge(clock=lambda: world.clock.wall_us)
    world.makers[OidcPlan] = forge.source

    async def started(world: World) -> None:
        await world.start({"site.yaml": DOCUMENT})
        await scenario(world, forge)

    play(world, started, is_started=False)


async def begin(world: World, address: str, browser: str = "b") -> str:
    begun = await world.gate.detours.begin(Departure(source="keycloak", address=address, browser=browser))
    assert isinstance(begun, str)
    return begun


def arrival(address: str = "10.20.0.50") -> Arrival:
    return Arrival(kind=SignInKind.PORTAL, source=address)


def test_a_full_table_costs_whoever_filled_it_and_nobody_else(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "MAX_PENDING", 20)

    async def scenario(world: World, forge: Forge) -> None:
        honest = forge.send_back(await begin(world, "10.20.0.50"), "honest")
        flood = [forge.send_back(await begin(world, "10.66.0.1"), f"c-{number}") for number in range(30)]
        assert len(world.gate.detours._pending) == 20
        oldest = await world.gate.detours.come_back("keycloak", flood[0], "b", arrival("10.66.0.1"))
        assert oldest is Trouble.NOT_BEGUN
        assert isinstance(await world.gate.detours.come_back("keycloak", honest, "b", arrival()), Returned)

    run(world, scenario)


def test_one_address_has_so_many_and_a_whole_ipv6_network_counts_as_one(world: World) -> None:
    async def scenario(world: World, forge: Forge) -> None:
        assert forge.plan.name == "keycloak"
        for number in range(limits.MAX_OF_AN_ADDRESS):
            await begin(world, f"fd00::{number:x}")
        over = await world.gate.detours.begin(Departure(source="keycloak", address="fd00::ffff", browser="b"))
        assert over == TooMany(retry_after_s=600)
        await begin(world, "fd01::1")

    run(world, scenario)


def test_of_two_answers_at_once_one_counts(world: World) -> None:
    async def scenario(world: World, forge: Forge) -> None:
        query = forge.send_back(await begin(world, "10.20.0.50"))
        come_back = world.gate.detours.come_back
        outcomes = await asyncio.gather(*(come_back("keycloak", query, "b", arrival()) for _ in range(5)))
        assert [isinstance(outcome, Returned) for outcome in outcomes].count(True) == 1
        assert outcomes.count(Trouble.NOT_BEGUN) == 4
        assert len(world.gate.state.now.sign_ins) == 1

    run(world, scenario)


def test_what_is_counted_of_forgers_is_bounded(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "_MAX_COUNTERS", 50)

    async def scenario(world: World, forge: Forge) -> None:
        del forge
        for number in range(200):
            await world.gate.detours.come_back("keycloak", "state=x&code=y", "b", arrival(f"10.66.{number}.1"))
        assert len(world.gate.detours._wrong) == 50

    run(world, scenario)


def test_a_restart_forgets_what_is_pending_and_a_set_clock_prolongs_nothing(world: World) -> None:
    async def scenario(world: World, forge: Forge) -> None:
        query = forge.send_back(await begin(world, "10.20.0.50"))
        world.clock.pass_s(599)
        world.clock.set_wall_s(-3600)
        world.clock.pass_s(1)
        assert await world.gate.detours.come_back("keycloak", query, "b", arrival()) is Trouble.NOT_BEGUN

    run(world, scenario)


def test_neither_a_departure_nor_a_detour_shows_its_secret(world: World) -> None:
    async def scenario(world: World, forge: Forge) -> None:
        departure = Departure(source="keycloak", address="10.20.0.50", browser="very-secret")
        await world.gate.detours.begin(departure)
        (detour,) = world.gate.detours._pending.values()
        for secret in ("very-secret", detour.pending.verifier, detour.pending.nonce):
            assert secret not in repr(detour)
            assert secret not in repr(departure)
        assert forge.asked["configuration"] == 1

    run(world, scenario)
