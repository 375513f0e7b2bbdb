"""The failure-mode register over the administrator's socket, and the page of it in the portal."""

from __future__ import annotations

import asyncio
from typing import Any

from browser import Browser, admin
from control_world import SITE, S, World, play

from penstock.control import Cause
from penstock.model import GrantFlows, KernelFlowOpened

SAFETY, OPERATORS = "SCADA polls the filters", "Operators set the dosing rate"
WINDOWS = 'windows:\n  fridays: {days: [fri], from: "06:00", to: "14:00", timezone: UTC}\ntests:\n'
PLANNED = SITE.replace(
    "    on_failure: open\n",
    "    on_failure: open\n    failure_reason: a blind operator floods\n    drill: {window: fridays, every: 90d}\n",
    1,
).replace("tests:\n", WINDOWS)
PATH = "/admin/failures/SCADA%20polls%20the%20filters"


async def planned(world: World) -> None:
    await world.gate.revisions.apply({"site.yaml": PLANNED}, "uid 0")
    world.gate.failures.restored()


async def goes_on(world: World) -> int:
    """A flow of SCADA goes on uninspected though a fresh worker is armed."""
    number = world.machine("scada-1").number
    world.gate.failures.lost(Cause.WORKER_ENDED, "the last worker left", world.clock.wall_us)
    opened = KernelFlowOpened(
        grant=number,
        source="10.20.0.12",
        source_port=40000,
        overlay="100.64.10.11",
        port=502,
        at_us=world.clock.wall_us,
        has_failed_open=True,
    )
    world.gate.events.records_of(opened)
    world.gate.failures.restored()
    world.enforcer.flows = [GrantFlows(grant=number, inspected=0, uninspected=1, packets=9, bytes=600)]
    return number


async def row_of(world: World, conduit: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = (await admin(world).get("/admin/failures")).json()["conduits"]
    return next(row for row in rows if row["conduit"] == conduit)


def test_the_register_has_every_conduit_and_what_goes_on_uninspected_at_this_moment(world: World) -> None:
    async def scenario(world: World) -> None:
        await planned(world)
        row = await row_of(world, SAFETY)
        assert (row["mode"], row["reason"], row["approved_by"]) == (
            "open",
            "a blind operator floods",
            "safety.officer@riverside",
        )
        assert (row["drill_every_s"], row["is_drill_overdue"], row["last_drill"]) == (90 * 86_400, True, None)
        assert (await admin(world).get("/admin/status")).json()["uninspected"] == {}
        await goes_on(world)
        interval = (await row_of(world, SAFETY))["interval"]
        assert (interval["flows"], interval["packets"], interval["live_flows"]) == (1, 9, 1)
        assert "1 flow (worker ended)" in (await admin(world).get("/admin/status")).json()["uninspected"][SAFETY]
        assert (await row_of(world, OPERATORS))["interval"] is None

    play(world, scenario)


def test_the_intervals_of_one_conduit_and_its_restoring(world: World) -> None:
    async def scenario(world: World) -> None:
        await planned(world)
        refused = await admin(world).post(PATH + "/restore")
        assert (refused.status_code, refused.json()["problems"][0]["hint"]) == (
            422,
            "penstock failures shows what does",
        )
        number = await goes_on(world)
        done = (await admin(world).post(PATH + "/restore")).json()
        assert done["reset"] == [{"machine": "scada-1", "asset": "plc-filter-1", "grant": number, "flows": 1}]
        world.enforcer.flows = []
        world.clock.pass_s(11)
        await world.gate.sweep()
        answer = (await admin(world).get(PATH)).json()
        assert [each["ended_by"] for each in answer["intervals"]] == ["the last of its flows ended"]
        assert answer["drills"] == []
        assert (await admin(world).get("/admin/failures/nothing")).status_code == 422

    play(world, scenario)


def test_a_drill_is_begun_followed_and_stopped(world: World) -> None:
    async def scenario(world: World) -> None:
        await planned(world)
        number = world.machine("scada-1").number
        assert (await admin(world).delete("/admin/drills/running")).status_code == 404
        assert (await admin(world).get("/admin/drills/1")).status_code == 404
        assert (await admin(world).get("/admin/drills/x")).status_code == 404
        world.enforcer.flows = [GrantFlows(grant=number, inspected=1, uninspected=0)]
        begun = await admin(world).post("/admin/drills", json={"conduit": SAFETY, "length_s": 5})
        assert (begun.status_code, begun.json()["phase"], begun.json()["by"]) == (201, "exercising", "uid 0")
        again = await admin(world).post("/admin/drills", json={"conduit": SAFETY})
        assert again.json()["problems"][0]["why"] == f"“{SAFETY}” is being drilled"
        assert (await admin(world).delete("/admin/drills/running")).json() == {"is_stopping": True}

        async def pause(seconds: float) -> None:
            world.clock.pass_s(seconds)
            await asyncio.sleep(0)

        world.gate.drills.pause = pause
        running = asyncio.create_task(world.gate.drills.run())
        while (seen := (await admin(world).get("/admin/drills/1")).json())["phase"] != "ended":  # noqa: ASYNC110
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert (seen["result"], seen["why"]) == ("aborted", "stopped by uid 0")
        assert (await row_of(world, SAFETY))["last_drill"]["result"] == "aborted"

    play(world, scenario)


def test_a_drill_outside_of_its_window_is_refused_with_when_it_opens(world: World) -> None:
    async def scenario(world: World) -> None:
        await planned(world)
        world.clock.pass_s(7 * 3600)
        refused = await admin(world).post("/admin/drills", json={"conduit": SAFETY})
        assert refused.status_code == 422
        assert "it opens next at Fri 22 Jan 06:00 (UTC)" in refused.json()["problems"][0]["why"]

    play(world, scenario)


def test_the_page_shows_the_conduits_that_lead_me_somewhere_and_no_others(world: World) -> None:
    async def scenario(world: World) -> None:
        await planned(world)
        await world.enrol("ada", "operators")
        browser = Browser(world)
        assert (await browser.get("/failures")).headers["location"] == "/sign-in"
        await browser.sign_in()
        page = (await browser.get("/failures")).text
        assert OPERATORS in page
        assert "fails closed" in page
        assert SAFETY not in page, "what names nobody of hers stays unseen"
        assert "Inspection is alive" in page
        world.workers.is_alive = False
        world.gate.failures.lost(Cause.WORKER_KILLED, "the last worker left", world.clock.wall_us - 2 * S)
        page = (await browser.get("/failures")).text
        assert "Inspection is not alive now" in page
        assert "worker killed" in page
        assert 'href="/failures"' in (await browser.get("/")).text

    play(world, scenario)


def test_while_the_kernel_cannot_be_asked_the_register_says_so(world: World) -> None:
    async def scenario(world: World) -> None:
        await planned(world)
        http = admin(world)
        assert (await http.get("/admin/failures")).json()["is_current"] is True
        world.enforcer.is_synchronised = False
        assert (await http.get("/admin/failures")).json()["is_current"] is False
        assert (await http.get(PATH)).json()["is_current"] is False
        world.enforcer.is_synchronised = True
        await goes_on(world)
        world.enforcer.failing.add("CountFlows")
        assert (await http.get(PATH)).json()["is_current"] is False
        world.enforcer.failing.clear()
        assert (await http.get(PATH)).json()["is_current"] is True

    play(world, scenario)
