import pytest
from control_world import STATION, S, World, play

from penstock.control import LiveGrant
from penstock.model import Binding, Decision, Invalid, Reason, RecordKind, Unavailable

LENGTH_S = 2 * 3600


def test_evidence_comes_before_effect_and_the_answer_last(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        world.steps.clear()
        grant = await world.open(sign_in)
        assert world.steps == ["record grant.opened", "enforcer OpenGrant", "worker PublishGrant"]
        assert world.enforcer.open[grant.number] == grant == world.workers.grants[grant.number]
        assert world.enforcer.ttl_ms[grant.number] == LENGTH_S * 1000
        opened = world.recorder.of(RecordKind.GRANT_OPENED)[-1]
        assert (opened.grant, opened.subject, opened.asset) == (grant.number, "ada", "plc-filter-1")
        assert opened.detail["conduits"] == ["Operators look at the filters"]
        assert opened.detail["revision"] == 1
        assert opened.detail["source"] == STATION

    play(world, scenario)


def test_a_full_disk_opens_nothing_and_says_why(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        world.recorder.is_healthy = False
        world.steps.clear()
        decision = await world.ask(sign_in)
        assert isinstance(decision, Decision)
        assert decision.reason is Reason.EVIDENCE_UNAVAILABLE
        assert world.steps == []
        assert await world.gate.store.live_grants() == await _machines(world)

    play(world, scenario)


async def _machines(world: World) -> tuple[LiveGrant, ...]:
    return tuple(live for live in await world.gate.store.live_grants() if live.sign_in is None)


@pytest.mark.parametrize("failing", ["OpenGrant", "PublishGrant"])
def test_a_step_that_fails_undoes_the_ones_before_and_says_so(world: World, failing: str) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        world.enforcer.failing = world.workers.failing = {failing}
        with pytest.raises(Unavailable, match=failing):
            await world.ask(sign_in)
        opened, closed = world.recorder.of(RecordKind.GRANT_OPENED)[-1], world.recorder.of(RecordKind.GRANT_CLOSED)[-1]
        assert (closed.grant, closed.reason) == (opened.grant, "undone")
        assert failing in str(closed.detail["why"])
        assert opened.grant not in world.enforcer.open
        assert opened.grant not in world.workers.grants
        assert opened.grant not in world.gate.state.now.grants
        assert await world.gate.store.live_grants() == await _machines(world)

    play(world, scenario)


def test_an_inspected_path_is_not_opened_while_inspection_is_dead(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        world.workers.is_alive = False
        with pytest.raises(Unavailable, match="inspection"):
            await world.ask(sign_in)
        assert "enforcer OpenGrant" not in world.steps[-4:-2]
        assert not [n for n, g in world.enforcer.open.items() if g.subject.name == "ada"]

    play(world, scenario)


def test_unknown_and_unnamed_assets_get_the_same_answer_and_the_record_says_the_truth(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        answers = [await world.ask(sign_in, name) for name in ("plc-secret", "no-such-plc")]
        assert answers[0] == answers[1]
        assert isinstance(answers[0], Decision)
        assert (answers[0].conduit, answers[0].misses) == (None, ())
        forbidden, unknown = world.recorder.of(RecordKind.GRANT_REFUSED)
        assert (forbidden.asset, forbidden.detail["is_asset_known"]) == ("plc-secret", True)
        assert forbidden.detail["conduit"] is not None
        assert (unknown.asset, unknown.detail["is_asset_known"]) == ("no-such-plc", False)

    play(world, scenario)


def test_a_named_asset_is_refused_with_what_is_missing(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        decision = await world.ask(sign_in, "plc-dosing")
        assert isinstance(decision, Decision)
        assert decision.reason is Reason.TLS_REQUIRED
        assert decision.conduit == "Operators set the dosing rate"
        assert [miss.reason for miss in decision.misses] == [Reason.TLS_REQUIRED]

    play(world, scenario)


def test_a_certificate_grant_needs_a_sign_in_with_a_certificate(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        with pytest.raises(Invalid, match="no certificate"):
            await world.ask(sign_in, "plc-dosing", Binding.CERTIFICATE)

    play(world, scenario)


def test_asking_twice_gives_the_same_grant(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        assert await world.open(sign_in) == await world.open(sign_in)

    play(world, scenario)


def test_revoking_cuts_the_kernel_first_then_the_workers_then_records(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        world.steps.clear()
        assert await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED, "uid 0")
        assert world.steps == ["enforcer CloseGrant", "worker WithdrawGrant", "record grant.closed"]
        assert not await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED)
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].detail["by"] == "uid 0"

    play(world, scenario)


def test_a_cut_that_the_kernel_did_not_confirm_is_said_and_repeated_until_it_does(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        world.enforcer.failing = {"CloseGrant"}
        await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED)
        assert "not_cut_yet" in world.recorder.of(RecordKind.GRANT_CLOSED)[-1].detail
        await world.gate.sweep()
        assert grant.number in world.enforcer.open
        world.enforcer.failing = set()
        await world.gate.sweep()
        assert grant.number not in world.enforcer.open

    play(world, scenario)


def test_a_grant_ends_with_its_time_and_not_before(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        world.clock.pass_s(LENGTH_S - 1)
        await world.gate.sweep()
        assert grant.number in world.gate.state.now.grants
        world.clock.pass_s(1)
        await world.gate.sweep()
        assert grant.number not in world.gate.state.now.grants
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].reason == Reason.GRANT_EXPIRED

    play(world, scenario)


@pytest.mark.parametrize("step_s", [-7200, 7200])
def test_a_set_clock_neither_extends_nor_ends_a_grant(world: World, step_s: int) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        world.clock.set_wall_s(step_s)
        world.clock.pass_s(LENGTH_S - 60)
        await world.gate.sweep()
        assert grant.number in world.gate.state.now.grants
        world.clock.pass_s(60)
        await world.gate.sweep()
        assert grant.number not in world.gate.state.now.grants

    play(world, scenario)


def test_a_grant_never_outlives_the_sign_in_that_asked_for_it(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        world.clock.pass_s(9 * 3600)
        grant = await world.open(sign_in)
        assert grant.expires_at_us is not None
        assert grant.expires_at_us <= sign_in.expires_at_us

    play(world, scenario)


def test_a_second_subject_on_the_same_station_takes_the_path_over(world: World) -> None:
    async def scenario(world: World) -> None:
        first = await world.open(await world.signed_in("ada"))
        second = await world.open(await world.signed_in("bob"))
        mine = [n for n, g in world.enforcer.open.items() if g.source == STATION]
        assert mine == [second.number]
        closed = world.recorder.of(RecordKind.GRANT_CLOSED)[-1]
        assert (closed.grant, closed.detail["by"]) == (first.number, "bob")

    play(world, scenario)


def test_a_person_never_takes_the_path_of_a_machine(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        with pytest.raises(Invalid, match="as a machine"):
            await world.ask(sign_in, "plc-filter-1", source="10.20.0.12")
        assert world.machine("scada-1").number in world.gate.state.now.grants

    play(world, scenario)


def test_machines_have_grants_without_asking_and_only_the_safety_critical_ones_never_expire(world: World) -> None:
    async def scenario(world: World) -> None:
        safety, lease = world.machine("scada-1"), world.machine("historian")
        assert (safety.expires_at_us, safety.is_safety_critical, safety.source) == (None, True, "10.20.0.12")
        assert world.enforcer.standing == {"10.20.0.12": safety.number}
        assert safety.number not in world.enforcer.open
        assert lease.expires_at_us == world.clock.wall_us + 8 * 3600 * S
        assert world.enforcer.ttl_ms[lease.number] == 8 * 3600 * 1000
        assert set(world.workers.grants) == {safety.number, lease.number}

    play(world, scenario)


def test_control_renews_machines_leases_every_hour_under_the_same_number(world: World) -> None:
    async def scenario(world: World) -> None:
        lease = world.machine("historian")
        world.steps.clear()
        world.clock.pass_s(3599)
        await world.gate.sweep()
        assert world.steps == []
        world.clock.pass_s(1)
        await world.gate.sweep()
        assert world.steps == ["enforcer OpenGrant", "worker PublishGrant"]
        renewed = world.machine("historian")
        assert renewed.number == lease.number
        assert renewed.expires_at_us == world.clock.wall_us + 8 * 3600 * S

    play(world, scenario)


def test_numbers_are_not_used_again_while_flows_may_carry_them(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        numbers = []
        for _ in range(3):
            grant = await world.open(sign_in)
            numbers.append(grant.number)
            await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED)
        assert len(set(numbers)) == 3

    play(world, scenario)
