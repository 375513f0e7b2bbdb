"""Verification over the administrator's socket, and its last result in the status."""

from __future__ import annotations

from browser import admin
from control_world import FakeEnforcer, World, play

from penstock.model import KernelDrifted, KernelVerified
from penstock.web.asking import moment_text


def test_the_administrator_has_the_kernel_verified(world: World) -> None:
    async def scenario(world: World) -> None:
        async with admin(world) as http:
            answer = await http.post("/admin/kernel/verify")
            assert (answer.status_code, answer.json()) == (200, {"differences": [], "checked": 120})
            enforcer = world.gate.enforcer
            assert isinstance(enforcer, FakeEnforcer)
            enforcer.differences = ("chain refuse: missing rule: drop",)
            answer = await http.post("/admin/kernel/verify")
            assert answer.json()["differences"] == ["chain refuse: missing rule: drop"]

    play(world, scenario)


def test_the_status_says_when_the_kernel_was_verified_last_and_with_what_result(world: World) -> None:
    async def scenario(world: World) -> None:
        async with admin(world) as http:
            assert (await http.get("/admin/status")).json()["kernel"] == "not verified yet"
            events = world.gate.events
            assert events.records_of(KernelVerified(differences=0, checked=153, at_us=0)) == []
            text = (await http.get("/admin/status")).json()["kernel"]
            assert text == f"as it was told, 153 things compared at {moment_text(0)}"
            events.records_of(KernelVerified(differences=2, checked=153, at_us=0))
            assert (await http.get("/admin/status")).json()["kernel"].startswith("2 differences, ")

    play(world, scenario)


def test_a_foreign_change_and_its_correction_are_records(world: World) -> None:
    async def scenario(world: World) -> None:
        told = KernelDrifted(differences=("the table is gone",), by="nft (pid 7)", is_corrected=True, at_us=5)
        drifted, corrected = world.gate.events.records_of(told)
        assert (drifted.kind, drifted.detail) == (
            "kernel.drifted",
            {"differences": ["the table is gone"], "by": "nft (pid 7)"},
        )
        assert (corrected.kind, corrected.at_us) == ("kernel.corrected", 5)

    play(world, scenario)
