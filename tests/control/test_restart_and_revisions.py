import asyncio

import pytest
from control_world import DOCUMENTS, SITE, S, World, play

from penstock.model import Command, Invalid, ProbeOverlay, Reason, RecordKind, Reply, Unavailable

WITHOUT_OPERATORS = {
    "site.yaml": SITE.replace("from: {group: operators}", "from: {group: engineers}").replace(
        "as: {group: operators", "as: {group: engineers"
    )
}
OTHER_ADDRESS = {"site.yaml": SITE.replace("10.20.10.11", "10.20.10.21")}
FAILS_ITS_TEST = {"site.yaml": SITE.replace("{may: read, on: plc-filter-1", "{may_not: read, on: plc-filter-1")}
NO_LONGER_SAFETY = {"site.yaml": SITE.replace("    on_failure: open\n    approved_by: safety.officer@riverside\n", "")}


def test_a_restart_takes_up_revision_sign_ins_and_grants_and_tells_kernel_and_workers(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        grant = await world.open(sign_in)
        before = dict(world.gate.state.now.grants)
        world.clock.pass_s(600)
        world.steps.clear()
        await world.restart()
        assert world.gate.state.now.revision == 1
        assert world.gate.state.now.grants.keys() == before.keys()
        assert sign_in.token_hash in world.gate.state.now.sign_ins
        assert world.steps.index("enforcer ApplyRuleset") < world.steps.index("enforcer KeepGrants")
        told = ["worker PublishRevision", "worker BarSources", "worker ReplaceGrants"]
        assert world.steps[-4:] == [*told, "enforcer ArmWorker"], "no grant before what is isolated is known"
        assert not [step for step in world.steps if step.startswith("record ")]
        assert world.enforcer.ttl_ms[grant.number] == (2 * 3600 - 600) * 1000
        assert set(world.workers.grants) == set(before)

    play(world, scenario)


def test_what_expired_while_control_was_away_ends_at_the_restart(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        await world.stop()
        world.clock.pass_s(2 * 3600)
        world.clock.set_wall_s(-3 * 3600)
        await world.start()
        assert grant.number not in world.gate.state.now.grants
        assert grant.number not in world.enforcer.open
        closed = world.recorder.of(RecordKind.GRANT_CLOSED)[-1]
        assert (closed.grant, closed.reason) == (grant.number, Reason.GRANT_EXPIRED)

    play(world, scenario)


def test_after_a_start_of_the_machine_a_clock_that_is_behind_cannot_lengthen_a_grant(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        await world.stop()
        world.clock.pass_s(600)
        world.clock.boot, world.clock.steady_us = "boot-2", 10 * S
        world.clock.set_wall_s(-590)
        await world.start()
        live = world.gate.state.now.grants.get(grant.number)
        assert live is not None
        assert live.ends_steady_us == world.clock.steady_us + (2 * 3600 - 10) * S

    play(world, scenario)


def test_the_kernel_loses_what_control_does_not_know(world: World) -> None:
    async def scenario(world: World) -> None:
        stray = world.machine("historian")
        world.enforcer.open[4711] = stray
        await world.restart()
        assert 4711 not in world.enforcer.open

    play(world, scenario)


def test_a_restart_on_a_full_disk_still_brings_up_what_was_in_force(world: World) -> None:
    async def scenario(world: World) -> None:
        safety = world.machine("scada-1")
        world.recorder.is_healthy = False
        await world.restart()
        assert world.enforcer.standing == {"10.20.0.12": safety.number}

    play(world, scenario)


def test_a_new_revision_is_recorded_and_kept_before_the_kernel_hears_of_it(world: World) -> None:
    async def scenario(world: World) -> None:
        world.steps.clear()
        number = await world.gate.revisions.apply(WITHOUT_OPERATORS, "uid 0")
        assert world.steps == [
            "record revision.applied",
            "enforcer ApplyRuleset",
            "worker PublishRevision",
            "worker ReplaceGrants",
        ]
        stored = await world.gate.store.last_revision()
        assert stored is not None
        assert (stored.number, stored.accepted_by) == (number, "uid 0") == (world.workers.revision, "uid 0")
        assert world.enforcer.ruleset is not None
        assert world.enforcer.ruleset.revision == number

    play(world, scenario)


def test_a_revision_whose_overlay_address_somebody_uses_is_refused_recorded_and_changes_nothing(world: World) -> None:
    async def scenario(world: World) -> None:
        before = world.gate.state.now
        ruleset = world.enforcer.ruleset
        world.enforcer.occupied = (("10.20.0.150", "02:00:00:00:00:66"),)
        with pytest.raises(Invalid, match=r"10\.20\.0\.150: somebody else uses this address: 02:00:00:00:00:66"):
            await world.gate.revisions.apply(WITHOUT_OPERATORS, "uid 0")
        assert world.gate.state.now.policy is before.policy
        assert world.enforcer.ruleset is ruleset
        (refused,) = world.recorder.of(RecordKind.REVISION_REFUSED)
        assert "10.20.0.150" in str(refused.detail["problems"])
        assert len(world.recorder.of(RecordKind.REVISION_APPLIED)) == 1, "the first one only"

    play(world, scenario)


@pytest.mark.parametrize("documents", [WITHOUT_OPERATORS, OTHER_ADDRESS], ids=["conduit gone", "other address"])
def test_a_revision_ends_the_grants_it_would_not_open_the_same_way(world: World, documents: dict[str, str]) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        number = await world.gate.revisions.apply(documents, "uid 0")
        assert grant.number not in world.gate.state.now.grants
        assert grant.number not in world.enforcer.open
        assert grant.number not in world.workers.grants
        closed = next(r for r in world.recorder.of(RecordKind.GRANT_CLOSED) if r.grant == grant.number)
        assert closed.detail["by"] == f"revision {number}"

    play(world, scenario)


def test_a_revision_keeps_the_grants_it_still_permits_under_their_numbers(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        before = set(world.gate.state.now.grants)
        number = await world.gate.revisions.apply(DOCUMENTS, "uid 0")
        assert set(world.gate.state.now.grants) == before
        assert world.workers.grants[grant.number].revision == number
        await world.restart()
        assert world.gate.state.now.grants[grant.number].grant.revision == number

    play(world, scenario)


def test_a_machine_that_is_no_longer_safety_critical_gets_a_lease_in_place_of_its_standing_grant(world: World) -> None:
    async def scenario(world: World) -> None:
        standing = world.machine("scada-1")
        await world.gate.revisions.apply(NO_LONGER_SAFETY, "uid 0")
        lease = world.machine("scada-1")
        assert lease.number != standing.number
        assert lease.expires_at_us is not None
        assert world.enforcer.standing == {}
        assert lease.number in world.enforcer.open
        closing = world.steps.index("enforcer CloseGrant")
        assert "enforcer OpenGrant" in world.steps[closing:]

    play(world, scenario)


def test_a_revision_that_breaks_its_own_tests_changes_nothing_and_is_recorded(world: World) -> None:
    async def scenario(world: World) -> None:
        world.steps.clear()
        with pytest.raises(Invalid, match="test failed"):
            await world.gate.revisions.apply(FAILS_ITS_TEST, "uid 0")
        assert world.steps == ["record revision.refused"]
        assert world.gate.state.now.revision == 1
        assert "test failed" in str(world.recorder.records[-1].detail["problems"])

    play(world, scenario)


def test_a_revision_that_the_kernel_does_not_take_leaves_the_old_one_in_force(world: World) -> None:
    async def scenario(world: World) -> None:
        before = set(world.gate.state.now.grants)
        world.enforcer.failing = {"ApplyRuleset"}
        with pytest.raises(Unavailable):
            await world.gate.revisions.apply(NO_LONGER_SAFETY, "uid 0")
        assert world.gate.state.now.revision == 1
        assert set(world.gate.state.now.grants) == before
        stored = await world.gate.store.last_revision()
        assert stored is not None
        assert stored.number == 1
        assert world.recorder.of(RecordKind.REVISION_REFUSED)[-1].reason == "undone"

    play(world, scenario)


def test_on_a_full_disk_no_revision_is_put_in_force(world: World) -> None:
    async def scenario(world: World) -> None:
        world.recorder.is_healthy = False
        world.steps.clear()
        with pytest.raises(Unavailable):
            await world.gate.revisions.apply(WITHOUT_OPERATORS, "uid 0")
        assert world.steps == []
        assert world.gate.state.now.revision == 1

    play(world, scenario)


def test_revoking_a_standing_grant_changes_the_rules_as_well_so_that_nothing_comes_back(world: World) -> None:
    """What dials anew between the two is closed by the enforcer when the rules change."""

    async def scenario(world: World) -> None:
        safety = world.machine("scada-1")
        world.steps.clear()
        assert await world.gate.revisions.revoke(safety.number, "uid 0")
        assert world.steps == [
            "enforcer CloseGrant",
            "worker WithdrawGrant",
            "enforcer ApplyRuleset",
            "record grant.closed",
        ]
        assert world.enforcer.standing == {}
        assert not await world.gate.revisions.revoke(safety.number, "uid 0")

    play(world, scenario)


def test_revoking_a_standing_grant_waits_for_no_change_of_policy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large revision is looked into for seconds; whoever revokes meanwhile has no time for that."""

    async def scenario(world: World) -> None:
        safety = world.machine("scada-1")
        revoked: list[bool] = []
        command = world.enforcer.command

        async def meanwhile(given: Command) -> Reply:
            if isinstance(given, ProbeOverlay):
                async with asyncio.timeout(60):
                    revoked.append(await world.gate.revisions.revoke(safety.number, "uid 0"))
                assert world.enforcer.standing == {}
            return await command(given)

        monkeypatch.setattr(world.enforcer, "command", meanwhile)
        await world.gate.revisions.apply(DOCUMENTS, "uid 0")
        assert revoked == [True]

    play(world, scenario)


def test_rules_that_the_kernel_did_not_take_at_a_revocation_are_told_and_sent_again(world: World) -> None:
    async def scenario(world: World) -> None:
        world.enforcer.failing.add("ApplyRuleset")
        assert await world.gate.revisions.revoke(world.machine("scada-1").number, "uid 0")
        assert set(world.enforcer.standing) == {"10.20.0.12"}
        assert world.gate.emergencies.not_cut == ("safety-critical flows are still in the kernel's rules",)
        world.enforcer.failing.clear()
        await world.gate.sweep()
        assert (world.enforcer.standing, world.gate.emergencies.not_cut) == ({}, ())

    play(world, scenario)
