"""The administrator's API for conduits and metrics, on a gate in memory."""

from __future__ import annotations

import httpx2
import pytest
from control_world import DOCUMENTS, World, play
from measuring import BUDGETED, POLLS, latency, second
from prometheus_client.parser import text_string_to_metric_families

from penstock.web.admin import admin_app


@pytest.fixture
def budgeted(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setitem(DOCUMENTS, "site.yaml", BUDGETED)
    return world


def client(world: World) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=admin_app(world.gate), client=("uid 0", 0))
    return httpx2.AsyncClient(transport=transport, base_url="http://gate")


def test_a_conduit_that_stepped_aside_is_shown_so_and_returns_once_when_told(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        await second(world, latency(slow=50))
        async with client(world) as http:
            answer = (await http.get("/admin/conduits")).json()
            assert answer["lag"]["ten_seconds"]["count"] == answer["lag"]["start"]["count"] == 40
            shown = answer["conduits"]
            polls = next(each for each in shown if each["conduit"] == POLLS)
            assert (polls["path"], polls["mode"], polls["budget_us"], polls["steps_aside"]) == (
                "aside",
                "open",
                5000,
                True,
            )
            assert polls["measured"]["inspected"]["minute"]["own"]["count"] == 50
            assert polls["aside_since"]
            assert "50 of 50" in polls["why"]
            assert (await http.post("/admin/conduits/return", json={"conduit": POLLS})).status_code == 204
            again = await http.post("/admin/conduits/return", json={"conduit": POLLS})
            assert again.status_code == 422
            assert again.json()["problems"][0]["why"] == f"“{POLLS}” does not stand aside"
            shown = (await http.get("/admin/conduits")).json()["conduits"]
            assert next(each for each in shown if each["conduit"] == POLLS)["path"] == "inspected"

    play(budgeted, scenario)


def test_metrics_come_as_the_text_format_that_monitoring_systems_ask_for(budgeted: World) -> None:
    async def scenario(world: World) -> None:
        await second(world, latency(fast=50))
        async with client(world) as http:
            answer = await http.get("/admin/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert {family.name for family in text_string_to_metric_families(answer.text)} >= {
            "penstock_own_seconds",
            "penstock_revision",
        }

    play(budgeted, scenario)
