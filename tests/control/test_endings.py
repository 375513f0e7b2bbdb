"""What has ended stays ended: races, restarts, clocks that are set, and a disk that takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from control_world import DOCUMENTS, PASSWORD, SITE, STATION, S, World, play

from penstock.control import Asking, LiveGrant, NotSignedIn, SignInKind
from penstock.evidence import encode
from penstock.identity import Credentials
from penstock.model import Binding, Decision, Grant, Invalid, Reason, RecordKind, Unauthenticated, Unavailable

LENGTH_S = 2 * 3600


def _fail(world: World, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object, **__: object) -> None:
        raise Unavailable("the state database does not answer: disk is full")

    monkeypatch.setattr(world.gate.store, method, silent)


def _meanwhile(target: Any, name: str, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Let something else happen once, just before this step is carried out."""
    step, acts = getattr(target, name), [act]

    async def delayed(*arguments: Any, **named: Any) -> Any:
        if acts:
            await acts.pop()()
        return await step(*arguments, **named)

    monkeypatch.setattr(target, name, delayed)


async def _portal(world: World, name: str = "ada") -> Any:
    credentials = Credentials(subject=name, password=PASSWORD, code=world.code(name), source=STATION)
    return await world.gate.sign_ins.sign_in(credentials, SignInKind.PORTAL)


def test_a_grant_that_is_given_back_after_its_end_has_expired(world: World) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        world.clock.pass_s(LENGTH_S)
        assert await world.gate.grants.close(grant.number, Reason.GRANT_REVOKED, "ada")
        closed = world.recorder.of(RecordKind.GRANT_CLOSED)[-1]
        assert (closed.grant, closed.reason) == (grant.number, Reason.GRANT_EXPIRED)
        other = await world.open(await world.sign_in())
        assert await world.gate.grants.close(other.number, Reason.GRANT_REVOKED, "ada")
        assert world.recorder.of(RecordKind.GRANT_CLOSED)[-1].reason == Reason.GRANT_REVOKED

    play(world, scenario)


def test_whoever_asks_between_the_end_and_the_sweep_does_not_get_the_grant_that_has_ended(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        grant = await world.open(sign_in)
        world.clock.pass_s(LENGTH_S)
        fresh = await world.open(sign_in)
        assert fresh.number != grant.number
        assert grant.number not in world.enforcer.open
        assert fresh.number in world.enforcer.open

    play(world, scenario)


@pytest.mark.parametrize("ending", ["out", "expired"])
def test_a_sign_in_that_ended_while_it_waited_for_its_turn_opens_nothing_not_even_shortly(
    world: World, ending: str
) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        if ending == "out":
            await world.gate.sign_ins.sign_out(sign_in)
        else:
            world.clock.pass_s(10 * 3600)
        world.steps.clear()
        with pytest.raises(Unauthenticated):
            await world.ask(sign_in)
        assert world.steps == []

    play(world, scenario)


def test_who_is_suspended_while_signing_in_is_not_signed_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        _meanwhile(world.recorder, "write", monkeypatch, lambda: world.gate.subjects.suspend("ada", "uid 0"))
        assert await _portal(world) == NotSignedIn()
        assert world.gate.state.now.sign_ins == {}
        assert world.recorder.of(RecordKind.SIGNED_OUT)[-1].reason == "suspended"
        await world.gate.subjects.resume("ada", "uid 0")
        await world.restart()
        assert world.gate.state.now.sign_ins == {}

    play(world, scenario)


def test_what_was_revoked_while_the_state_took_nothing_does_not_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        one, two = await world.open(sign_in), await world.open(sign_in, source="10.20.0.51")
        with monkeypatch.context() as patch:
            _fail(world, "close_grants", patch)
            assert await world.gate.grants.close_all((one.number, two.number), Reason.GRANT_REVOKED) == 2
            await world.gate.sweep()
        assert not {one.number, two.number} & world.enforcer.open.keys()
        await world.gate.sweep()
        await world.restart()
        assert not {one.number, two.number} & world.gate.state.now.grants.keys()

    play(world, scenario)


def test_who_signed_out_while_the_state_took_nothing_is_signed_out_after_a_restart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        with monkeypatch.context() as patch:
            _fail(world, "remove_sign_ins", patch)
            await world.gate.sign_ins.sign_out(sign_in)
        assert world.recorder.of(RecordKind.SIGNED_OUT)
        await world.gate.sweep()
        await world.restart()
        assert world.gate.state.now.sign_ins == {}

    play(world, scenario)


def test_an_emergency_cuts_first_and_waits_for_no_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        grant = await world.open(await world.signed_in())
        _fail(world, "set_suspended", monkeypatch)
        with pytest.raises(Unavailable):
            await world.gate.subjects.suspend("ada", "uid 0")
        assert grant.number not in world.enforcer.open
        assert world.gate.state.now.sign_ins == {}

    play(world, scenario)


@pytest.mark.parametrize(("target", "step"), [("store", "put_grants"), ("enforcer", "command"), ("workers", "publish")])
def test_a_lease_that_is_revoked_while_it_is_renewed_stays_revoked(
    world: World, monkeypatch: pytest.MonkeyPatch, target: str, step: str
) -> None:
    async def scenario(world: World) -> None:
        lease: Grant = world.machine("historian")
        world.clock.pass_s(3600)
        owner = {"store": world.gate.store, "enforcer": world.enforcer, "workers": world.workers}[target]
        _meanwhile(owner, step, monkeypatch, lambda: world.gate.revisions.revoke(lease.number, "uid 0"))
        await world.gate.sweep()
        assert lease.number not in world.enforcer.open
        assert lease.number not in world.workers.grants
        assert lease.number not in world.gate.state.now.grants

    play(world, scenario)


def test_after_a_start_of_the_machine_a_clock_before_the_opening_brings_nothing_back(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        grant = await world.open(sign_in)
        await world.stop()
        world.clock.boot, world.clock.steady_us = "boot-2", 10 * S
        world.clock.set_wall_s(-86_400)
        await world.start()
        assert grant.number not in world.gate.state.now.grants
        assert sign_in.token_hash not in world.gate.state.now.sign_ins
        assert world.machine("historian").number in world.enforcer.open

    play(world, scenario)


def test_the_grants_of_a_portal_that_was_left_alone_go_on_over_a_restart(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        signed_in = await _portal(world)
        grant = await world.open(signed_in.sign_in)
        world.clock.pass_s(15 * 60)
        await world.gate.sweep()
        assert [record.reason for record in world.recorder.of(RecordKind.SIGNED_OUT)] == ["idle"]
        await world.restart()
        assert grant.number in world.enforcer.open
        assert world.gate.sign_ins.current(signed_in.token, SignInKind.PORTAL) is None
        assert world.gate.status().sign_ins == 0
        with pytest.raises(Unauthenticated):
            await world.ask(signed_in.sign_in)
        world.clock.pass_s(LENGTH_S)
        await world.gate.sweep()
        assert grant.number not in world.enforcer.open
        world.clock.pass_s(10 * 3600)
        await world.gate.sweep()
        assert world.gate.state.now.sign_ins == {}
        assert len(world.recorder.of(RecordKind.SIGNED_OUT)) == 1

    play(world, scenario)


@pytest.mark.parametrize("field", ["asset", "service"])
def test_a_refusal_is_recorded_however_long_the_name_is_that_was_asked_for(world: World, field: str) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        names = {"asset": "plc-dosing", "service": None, field: "\x01é" * 20_000}
        asking = Asking(sign_in=sign_in, binding=Binding.ADDRESS, source=STATION, **names)  # type: ignore[arg-type]
        assert isinstance(await world.gate.grants.open(asking), Decision)
        assert len(encode(world.recorder.of(RecordKind.GRANT_REFUSED)[-1])) < 10_000

    play(world, scenario)


def test_a_refused_revision_is_recorded_however_long_its_problems_are(world: World) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(Invalid):
            await world.gate.revisions.apply({"site.yaml": f"site: *{'a' * 100_000}"}, "uid 0")
        assert len(encode(world.recorder.of(RecordKind.REVISION_REFUSED)[-1])) < 60_000

    play(world, scenario)


def test_a_revision_that_could_not_be_kept_is_recorded_as_undone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        _fail(world, "add_revision", monkeypatch)
        with pytest.raises(Unavailable):
            await world.gate.revisions.apply(DOCUMENTS, "uid 0")
        assert world.gate.state.now.revision == 1
        assert world.recorder.of(RecordKind.REVISION_REFUSED)[-1].reason == "undone"

    play(world, scenario)


def test_when_the_kernel_answers_too_late_the_old_rules_are_sent_after_the_new_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that was not answered in time may still be carried out; commands are carried out in order."""

    async def scenario(world: World) -> None:
        command, late = world.enforcer.command, [True]

        async def slow(given: Any) -> None:
            await command(given)
            if type(given).__name__ == "ApplyRuleset" and late:
                late.pop()
                raise Unavailable("the other process did not answer in time")

        monkeypatch.setattr(world.enforcer, "command", slow)
        with pytest.raises(Unavailable):
            await world.gate.revisions.apply({"site.yaml": SITE.replace("    on_failure: open\n", "")}, "uid 0")
        assert world.enforcer.ruleset is not None
        assert world.enforcer.ruleset.revision == 1
        assert world.enforcer.standing == {"10.20.0.12": world.machine("scada-1").number}

    play(world, scenario)


def test_a_subject_that_could_not_be_recorded_is_not_there_and_can_be_added_later(world: World) -> None:
    async def scenario(world: World) -> None:
        world.recorder.is_healthy = False
        with pytest.raises(Unavailable):
            await world.gate.subjects.add("ada", ("operators",), "uid 0")
        world.recorder.is_healthy = True
        assert (await world.gate.subjects.add("ada", ("operators",), "uid 0")).subject == "ada"
        with pytest.raises(Invalid):
            await world.gate.subjects.add("ada", ("operators",), "uid 0")
        assert len(world.recorder.of(RecordKind.SUBJECT_ADDED)) == 1

    play(world, scenario)


def test_every_refused_proof_is_recorded_with_its_reason(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.gate.sign_ins.sign_in(
            Credentials(subject="ada", password="x", code="123456", source=STATION), SignInKind.PORTAL
        )
        assert world.recorder.of(RecordKind.SIGN_IN_REFUSED)[-1].reason == Reason.NOT_SIGNED_IN
        with pytest.raises(Unauthenticated):
            await world.gate.subjects.prepare("AAAAA-AAAAA-AAAAA-AAAAA", "10.20.0.66")
        refused = world.recorder.of(RecordKind.SIGN_IN_REFUSED)[-1]
        assert (refused.reason, refused.detail["source"]) == (Reason.NOT_SIGNED_IN, "10.20.0.66")

    play(world, scenario)


def test_two_openings_at_once_make_one_grant(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        found = await asyncio.gather(world.ask(sign_in), world.ask(sign_in))
        numbers = {live.grant.number for live in found if isinstance(live, LiveGrant)}
        assert len(numbers) == 1
        assert len(world.recorder.of(RecordKind.GRANT_OPENED)) == 3

    play(world, scenario)


def test_a_portal_that_is_left_alone_on_a_full_disk_stays_shut_and_holds_up_no_other_ending(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        signed_in = await _portal(world)
        grant = await world.open(signed_in.sign_in)
        world.clock.pass_s(LENGTH_S)
        with monkeypatch.context() as patch:
            _fail(world, "leave_sign_in", patch)
            await world.gate.sweep()
        assert grant.number not in world.enforcer.open
        assert world.gate.sign_ins.current(signed_in.token, SignInKind.PORTAL) is None
        await world.gate.sweep()
        await world.restart()
        assert world.gate.sign_ins.current(signed_in.token, SignInKind.PORTAL) is None
        assert [record.reason for record in world.recorder.of(RecordKind.SIGNED_OUT)] == ["idle"]

    play(world, scenario)


def test_a_sign_in_that_could_not_be_kept_is_recorded_as_undone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        _fail(world, "add_sign_in", monkeypatch)
        with pytest.raises(Unavailable):
            await _portal(world)
        assert world.recorder.of(RecordKind.SIGNED_OUT)[-1].reason == "undone"
        assert world.gate.state.now.sign_ins == {}

    play(world, scenario)


def test_a_grant_of_less_than_a_millisecond_is_no_grant_for_ever(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        world.clock.steady_us = sign_in.ends_steady_us - 500
        grant = await world.open(sign_in)
        assert world.enforcer.ttl_ms[grant.number] == 1

    play(world, scenario)
