"""Emergencies over HTTP: the administrator's socket, and what people see of them in the portal and the API."""

from __future__ import annotations

import pytest
from browser import Browser, Client, admin
from control_world import SITE, World, play

from penstock.control import IsolatedKind

_SITE = IsolatedKind.SITE
WHY = "ransomware <b>on</b> eng-1"


def test_the_administrator_isolates_looks_and_releases(world: World) -> None:
    async def scenario(world: World) -> None:
        async with admin(world) as http:
            first = await http.post("/admin/isolations", json={"kind": "zone", "name": "filtration", "reason": WHY})
            assert first.status_code == 201
            row = first.json()
            assert (row["kind"], row["name"], row["by"], row["reason"]) == ("zone", "filtration", "uid 0", WHY)
            assert (row["grants_closed"], row["not_yet"], row["even_safety_critical"]) == (1, [], False)
            assert [flow["subject"] for flow in row["goes_on"]] == ["scada-1"]
            again = await http.post("/admin/isolations", json={"kind": "zone", "name": "filtration", "reason": "too"})
            assert (again.status_code, again.json()["reason"]) == (200, WHY)
            site = await http.post("/admin/isolations", json={"kind": "site", "reason": "all of it"})
            assert site.json()["name"] == "riverside-water"
            shown = (await http.get("/admin/isolations")).json()
            assert [(each["kind"], each["name"]) for each in shown["isolated"]] == [
                ("zone", "filtration"),
                ("site", "riverside-water"),
            ]
            assert (shown["not_cut_yet"], shown["not_yet"]) == (0, [])
            status = (await http.get("/admin/status")).json()
            assert status["isolated"] == ["the zone filtration", "the whole site riverside-water"]
            assert (await http.delete("/admin/isolations/site")).json()["reopened"] == 0
            released = await http.delete("/admin/isolations/zone/filtration")
            assert released.json() == {"kind": "zone", "name": "filtration", "reopened": 1, "not_yet": []}
            assert (await http.get("/admin/isolations")).json()["isolated"] == []

    play(world, scenario)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "site"},
        {"kind": "conduit", "name": "x", "reason": "y"},
        {"kind": "asset", "name": "plc-none", "reason": "y"},
        {"kind": "asset", "name": "plc-dosing", "reason": " "},
    ],
)
def test_what_cannot_be_isolated_is_answered_with_what_is_wrong_and_changes_nothing(
    world: World, body: dict[str, str]
) -> None:
    async def scenario(world: World) -> None:
        async with admin(world) as http:
            answer = await http.post("/admin/isolations", json=body)
            assert answer.status_code == 422
            assert answer.json()["problems"][0]["why"]
            for path in ("site", "zone/filtration", "conduit/x"):
                assert (await http.delete(f"/admin/isolations/{path}")).status_code == 422
        assert world.gate.emergencies.shown() == ()

    play(world, scenario)


def test_an_isolated_asset_is_shown_with_its_reason_to_who_could_reach_it(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada")
        browser = Browser(world)
        await browser.sign_in("ada")
        before = await browser.get("/")
        assert "Isolated now" not in before.text
        async with admin(world) as http:
            await http.post("/admin/isolations", json={"kind": "asset", "name": "plc-filter-1", "reason": WHY})
        home = await browser.get("/")
        assert "Isolated now" in home.text
        assert "ransomware &lt;b&gt;on&lt;/b&gt; eng-1" in home.text
        assert "penstock connect plc-dosing" in home.text
        assert "penstock connect plc-filter-1" not in home.text
        refused = await browser.submit(before, "/grants", asset="plc-filter-1", service="modbus")
        assert refused.status_code == 403
        assert "plc-filter-1 is isolated" in refused.text

    play(world, scenario)


def test_whom_no_conduit_leads_there_sees_nothing_of_an_isolation(world: World) -> None:
    guests = SITE.replace("from: {group: safety}", "from: {group: guests}")

    async def scenario(world: World) -> None:
        await world.gate.revisions.apply({"site.yaml": guests}, "uid 0")
        await world.enrol("eve", "guests")
        browser = Browser(world)
        await browser.sign_in("eve")
        before = (await browser.get("/")).text
        await world.gate.emergencies.isolate(_SITE, "", WHY, "uid 0")
        after = (await browser.get("/")).text
        assert "solated" not in before + after
        assert "ransomware" not in after

    play(world, scenario)


def test_the_client_is_told_that_it_is_isolated_and_why(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol("ada")
        client = Client(world)
        await client.sign_in("ada")
        await world.gate.emergencies.isolate(_SITE, "", WHY, "uid 0")
        rows = (await client.ask("GET", "/api/reach")).json()["reach"]
        assert {row["is_allowed"] for row in rows} == {False}
        assert WHY in rows[0]["misses"][0]["found"]
        refused = await client.ask("POST", "/api/grants", {"asset": "plc-dosing"})
        assert (refused.status_code, refused.json()["reason"]) == (403, "isolated")
        assert WHY in refused.json()["misses"][0]["found"]

    play(world, scenario)


def test_what_is_listed_at_an_isolated_station_is_what_is_refused_there(world: World) -> None:
    """She signed in at her own station, and carries her session to the isolated one."""

    async def scenario(world: World) -> None:
        await world.enrol("ada")
        client, there = Client(world), Client(world, "10.20.0.13")
        await client.sign_in("ada")
        there.token = client.token
        await world.gate.emergencies.isolate(IsolatedKind.ASSET, "historian", WHY, "uid 0")
        for each, is_allowed in ((client, True), (there, False)):
            rows = (await each.ask("GET", "/api/reach")).json()["reach"]
            opened = await each.ask("POST", "/api/grants", {"asset": "plc-filter-1"})
            assert (any(row["is_allowed"] for row in rows), opened.status_code == 201) == (is_allowed, is_allowed)

    play(world, scenario)


@pytest.mark.parametrize("verb", ["revoke", "suspend"])
def test_what_was_ended_but_is_not_cut_yet_is_not_answered_as_done(world: World, verb: str) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        http = admin(world)
        world.enforcer.failing |= {"CloseGrant", "CloseGrants"}
        if verb == "revoke":
            answer = await http.delete(f"/admin/grants/{grant.number}")
            assert answer.status_code == 202
        else:
            answer = await http.post("/admin/subjects/ada/suspend")
        assert answer.json()["not_yet"] == ["the kernel has not confirmed the cut of 1 grants"]
        world.enforcer.failing.clear()
        await world.gate.sweep()
        assert (await http.get("/admin/isolations")).json()["not_yet"] == []

    play(world, scenario)
