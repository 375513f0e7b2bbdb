"""Decisions about held operations at a whole gate: by a second person, on record first, once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from control_world import PASSWORD, STATION, World, play
from held_operations import CONTROL_ROOM, FLOW, WRITE, HoldingWorker, approving, asking, elsewhere

from penstock.control import ActiveSignIn, HoldState, NotSeen, ProofNeeded
from penstock.control import second_person as module
from penstock.control.break_glass import ENVELOPE
from penstock.model import (
    FactorStrength,
    HoldEnding,
    Invalid,
    OperationClass,
    Reason,
    RecordKind,
    Role,
    Target,
    Unavailable,
)

KEY = FLOW, 1
WHY = "work order 4711, agreed by phone"


def test_an_approval_is_on_record_before_the_worker_hears_of_it_and_says_what_who_and_why(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant)
        held = await world.gate.second_person.approve(KEY, bob, f"  {WHY}\n")
        assert held.state is HoldState.FORWARDED
        (decided,) = worker.decisions
        assert (decided.flow, decided.hold, decided.is_approved) == (FLOW, 1, True)
        assert (decided.decided_by, decided.why) == ("bob@local", WHY)
        assert world.steps[-2:] == ["record operation.approved", "worker HoldDecided"]
        (record,) = world.recorder.of(RecordKind.OPERATION_APPROVED)
        assert (record.subject, record.asset, record.operation) == ("ada", "plc-filter-1", "modbus.write")
        detail = record.detail
        assert (detail["hold"], detail["by"], detail["why"]) == ("1042.1", "bob@local", WHY)
        assert (detail["station"], detail["factors"]) == (CONTROL_ROOM, ["password", "totp"])
        assert (detail["data"], detail["data_bytes"]) == (WRITE.hex(), len(WRITE))
        assert detail["objects"] == [
            {"class": "write", "table": "holding_registers", "first": 10, "count": 1, "name": "", "values": [250]}
        ]
        assert world.gate.holds.decided == {True: 1}

    play(world, scenario)


def test_a_refusal_reaches_the_worker_and_the_evidence(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant)
        held = await world.gate.second_person.refuse(KEY, bob, WHY)
        assert held.state is HoldState.REFUSED
        assert [each.is_approved for each in worker.decisions] == [False]
        assert world.recorder.of(RecordKind.OPERATION_DISAPPROVED)[0].detail["by"] == "bob@local"

    play(world, scenario)


@pytest.mark.parametrize("role", [None, *(role for role in Role if role is not Role.APPROVER)])
def test_only_an_approver_decides_and_without_a_role_there_is_nothing_to_see(world: World, role: Role | None) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        eve = await approving(world, "eve", role)
        worker.hold(grant)
        second = world.gate.second_person
        for verb in (second.approve, second.refuse):
            with pytest.raises(NotSeen if role is None else Invalid):
                await verb(KEY, eve, WHY)
        assert len(second.seen_by(eve)) == (0 if role is None else 1)
        assert second.waiting_for(eve) == ()
        assert worker.decisions == []
        refused = world.recorder.of(RecordKind.ROLE_REFUSED)
        assert [each.detail["what"] for each in refused] == (
            [] if role is None else ["approve 1042.1", "refuse 1042.1"]
        )

    play(world, scenario)


def test_whoever_asks_sees_it_and_does_not_decide_it_also_as_an_approver(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        await world.gate.roles.give("ada", Role.APPROVER, "uid 0")
        ada = await elsewhere(world, "ada")
        worker.hold(grant)
        second = world.gate.second_person
        assert [held.name for held in second.own(ada)] == ["1042.1"]
        for verb in (second.approve, second.refuse):
            with pytest.raises(Invalid, match="second person"):
                await verb(KEY, ada, WHY)
        assert second.waiting_for(ada) == ()
        assert worker.decisions == []
        (first, *_) = world.recorder.of(RecordKind.ROLE_REFUSED)
        assert (first.subject, first.detail["what"]) == ("ada", "approve 1042.1")
        assert "second person" in str(first.detail["missing"])

    play(world, scenario)


def test_the_same_name_at_another_source_does_not_decide(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        await world.gate.roles.give("ada", Role.APPROVER, "uid 0")
        world.gate.roles._roles["Ada@corp"] = frozenset({Role.APPROVER})
        twin = replace(bob, token_hash="t", subject=replace(bob.subject, name="Ada@corp", source="corp"))
        world.gate.state.put_sign_in(twin)
        worker.hold(grant)
        with pytest.raises(Invalid, match="second person"):
            await world.gate.second_person.approve(KEY, twin, WHY)

    play(world, scenario)


async def break_glass(world: World, asked_by: str) -> ActiveSignIn:
    """An emergency account, opened, and signed in."""
    invitation = await world.gate.roster.add_break_glass("bg-1", ("operators",), "uid 0")
    world.secrets["bg-1"] = (await world.gate.subjects.prepare(invitation.code, STATION)).secret
    await world.gate.subjects.confirm(invitation.code, PASSWORD, world.code("bg-1"), STATION)
    world.clock.pass_s(30)
    asked = await world.gate.break_glass.ask("bg-1", "everything else is down", asked_by)
    await world.gate.break_glass.approve(asked.number, "uid 7")
    return await elsewhere(world, "bg-1")


def test_an_emergency_account_stands_for_whoever_asked_for_it_on_both_sides(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        account = await break_glass(world, asked_by="ada")
        await world.gate.roles.give("bg-1", Role.APPROVER, "uid 0")
        bob = await approving(world)
        worker.hold(grant)
        second = world.gate.second_person
        with pytest.raises(Invalid, match="second person"):
            await second.approve(KEY, account, WHY)
        emergency = await world.open(account)
        worker.hold(emergency, 2)
        await world.gate.roles.give("ada", Role.APPROVER, "uid 0")
        ada = await elsewhere(world, "ada")
        with pytest.raises(Invalid, match="second person"):
            await second.approve((FLOW, 2), ada, WHY)
        assert (await second.approve((FLOW, 2), bob, WHY)).state is HoldState.FORWARDED

    play(world, scenario)


def test_an_account_out_of_sealed_envelopes_decides_nothing(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        account = await break_glass(world, asked_by="eve")
        await world.gate.roles.give("bg-1", Role.APPROVER, "uid 0")
        (glass,) = world.gate.break_glass.open
        world.gate.break_glass._standing[glass.number] = replace(glass, opened_by=ENVELOPE)
        worker.hold(grant)
        with pytest.raises(Invalid, match="nobody knows whose"):
            await world.gate.second_person.approve(KEY, account, WHY)

    play(world, scenario)


def test_an_approval_takes_a_proof_of_the_last_quarter_of_an_hour_and_a_refusal_does_not(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        world.clock.pass_s(15 * 60)
        worker.hold(grant)
        with pytest.raises(ProofNeeded):
            await world.gate.second_person.approve(KEY, bob, WHY)
        assert worker.decisions == []
        assert (await world.gate.second_person.refuse(KEY, bob, WHY)).state is HoldState.REFUSED

    play(world, scenario)


def test_a_machine_s_operation_is_not_that_of_a_person_of_the_same_name(world: World) -> None:
    async def scenario(world: World) -> None:
        machine = world.machine("historian")
        worker = HoldingWorker(world)
        worker.hold(machine)
        twin, bob = await approving(world, "historian", role=None), await approving(world)
        worker.hold(machine, 2)
        second = world.gate.second_person
        assert (second.own(twin), second.seen_by(twin)) == ((), ())
        assert (await second.approve((FLOW, 2), bob, WHY)).state is HoldState.FORWARDED

    play(world, scenario)


def test_one_factor_is_too_weak_to_decide_or_to_look(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        weak = replace(bob, subject=replace(bob.subject, graded=FactorStrength.ONE))
        worker.hold(grant)
        with pytest.raises(NotSeen):
            await world.gate.second_person.approve(KEY, weak, WHY)

    play(world, scenario)


@pytest.mark.parametrize("why", ["", "  \n ", "x" * 201, "bell \x07"])
def test_without_a_reason_nothing_is_decided(world: World, why: str) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant)
        for verb in (world.gate.second_person.approve, world.gate.second_person.refuse):
            with pytest.raises(Invalid, match="reason"):
                await verb(KEY, bob, why)
        assert worker.decisions == []

    play(world, scenario)


def test_where_the_evidence_cannot_be_written_no_is_said_and_yes_is_not(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant, 1)
        worker.hold(grant, 2)
        world.recorder.is_healthy = False
        second = world.gate.second_person
        with pytest.raises(Unavailable, match="nothing was approved"):
            await second.approve(KEY, bob, WHY)
        assert worker.decisions == []
        found = world.gate.holds.of(KEY)
        assert found is not None
        assert found.is_undecided
        assert (await second.refuse((FLOW, 2), bob, WHY)).state is HoldState.REFUSED
        kinds = [each.kind for each in world.recorder.records[-2:]]
        assert kinds == [RecordKind.OPERATION_DISAPPROVED] * 2
        world.recorder.is_healthy = True
        assert (await second.approve(KEY, bob, WHY)).state is HoldState.FORWARDED

    play(world, scenario)


def test_an_approval_that_the_evidence_takes_too_late_is_not_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant)
        disk, written, write = asyncio.Event(), asyncio.Event(), world.recorder.write

        async def slow(*arguments: Any, **words: Any) -> range:
            await disk.wait()
            try:
                return await write(*arguments, **words)
            finally:
                written.set()

        monkeypatch.setattr(world.recorder, "write", slow)
        monkeypatch.setattr(module, "RECORDED_WITHIN_S", 0.01)
        with pytest.raises(Unavailable, match="nothing was approved"):
            await world.gate.second_person.approve(KEY, bob, WHY)
        disk.set()
        async with asyncio.timeout(5):
            await written.wait()
        assert len(world.recorder.of(RecordKind.OPERATION_APPROVED)) == 1
        assert worker.decisions == []
        (undone,) = world.recorder.of(RecordKind.OPERATION_DISAPPROVED)
        assert (undone.detail["by"], undone.detail["approved_by"]) == ("the gate", "bob@local")

    play(world, scenario)


async def outcomes(*decisions: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*decisions, return_exceptions=True)


def test_of_two_at_once_the_first_counts_and_the_other_hears_who_was_first(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob, eve = await approving(world), await approving(world, "eve")
        worker.hold(grant)
        second = world.gate.second_person
        first, other = await outcomes(second.approve(KEY, bob, WHY), second.refuse(KEY, eve, WHY))
        assert first.state is HoldState.FORWARDED
        assert isinstance(other, Invalid)
        assert "bob@local has approved it already" in str(other) or "forwarded" in str(other)
        assert [each.decided_by for each in worker.decisions] == ["bob@local"]
        assert world.recorder.of(RecordKind.OPERATION_DISAPPROVED) == []

    play(world, scenario)


def test_what_is_decided_and_not_ended_yet_is_not_decided_again(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob, eve = await approving(world), await approving(world, "eve")
        worker.hold(grant)

        async def meanwhile() -> None:
            with pytest.raises(Invalid, match="bob@local has approved it already"):
                await world.gate.second_person.refuse(KEY, eve, WHY)
            worker.end(1, HoldEnding.FORWARDED)

        started = asyncio.Event()
        worker.before_answer = started.set
        worker.end = lambda *_: None  # type: ignore[method-assign]
        deciding = asyncio.create_task(world.gate.second_person.approve(KEY, bob, WHY))
        await started.wait()
        del worker.end
        await meanwhile()
        assert (await deciding).state is HoldState.FORWARDED

    play(world, scenario)


def test_an_approval_at_the_moment_of_the_time_out_is_told_as_too_late_and_undone_on_record(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant, for_s=60)
        worker.is_late = True
        worker.before_answer = lambda: worker.end(1, HoldEnding.TIMED_OUT)
        held = await world.gate.second_person.approve(KEY, bob, WHY)
        assert held.state is HoldState.TIMED_OUT
        assert world.recorder.of(RecordKind.OPERATION_DISAPPROVED)[0].detail["by"] == "the gate"
        worker.hold(grant, 2, for_s=60)
        world.clock.pass_s(60)
        with pytest.raises(Invalid, match="time is over"):
            await world.gate.second_person.approve((FLOW, 2), bob, WHY)
        assert worker.decisions == []

    play(world, scenario)


@pytest.mark.parametrize("event", ["role", "sign-in", "grant", "end", "worker"])
def test_what_changes_while_the_evidence_is_written_keeps_the_approval_from_the_worker(
    world: World, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    async def change(world: World, worker: HoldingWorker, bob: ActiveSignIn, grant: int) -> None:
        match event:
            case "role":
                await world.gate.roles.take("bob", Role.APPROVER, "uid 0")
            case "sign-in":
                await world.gate.sign_ins.sign_out(bob, "an administrator")
            case "grant":
                await world.gate.grants.close(grant, Reason.GRANT_REVOKED, "uid 0")
            case "end":
                worker.end(1, HoldEnding.WITHDRAWN)
            case "worker":
                world.gate.holds.left(worker)

    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant)
        write = world.recorder.write

        async def meanwhile(records: Any, **words: Any) -> range:
            written = await write(records, **words)
            if records[0].kind is RecordKind.OPERATION_APPROVED:
                await change(world, worker, bob, grant.number)
            return written

        monkeypatch.setattr(world.recorder, "write", meanwhile)
        with pytest.raises((Invalid, Unavailable)):
            await world.gate.second_person.approve(KEY, bob, WHY)
        assert worker.decisions == []
        (undone,) = world.recorder.of(RecordKind.OPERATION_DISAPPROVED)
        assert undone.detail["approved_by"] == "bob@local"

    play(world, scenario)


def test_a_decision_that_is_on_record_is_not_sent_again_after_a_restart_of_control(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant)
        worker.is_silent = True
        with pytest.raises(Unavailable, match="not known what became"):
            await world.gate.second_person.approve(KEY, bob, WHY)
        await world.restart()
        again = HoldingWorker(world)
        again.hold(grant)
        assert [held.state for held in world.gate.holds.waiting] == [HoldState.WAITING]
        world.gate.holds.sweep()
        assert again.decisions == []
        bob = await elsewhere(world, "bob")
        assert (await world.gate.second_person.refuse(KEY, bob, WHY)).state is HoldState.REFUSED

    play(world, scenario)


def test_a_worker_that_dies_under_an_approval_is_told_and_undone_on_record(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant)
        worker.is_open = False
        with pytest.raises(Unavailable, match="gone"):
            await world.gate.second_person.approve(KEY, bob, WHY)
        world.gate.holds.left(worker)
        found = world.gate.holds.of(KEY)
        assert found is not None
        assert found.state is HoldState.WITHDRAWN
        assert "is gone" in str(world.recorder.of(RecordKind.OPERATION_DISAPPROVED)[0].detail["why"])

    play(world, scenario)


def test_what_the_policy_does_not_let_pass_any_more_is_told_to_whoever_approved(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant)
        worker.ending = HoldEnding.NOT_ALLOWED
        assert (await world.gate.second_person.approve(KEY, bob, WHY)).state is HoldState.NOT_ALLOWED

    play(world, scenario)


def test_an_outcome_that_does_not_come_is_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        worker.hold(grant)
        monkeypatch.setattr(module, "OUTCOME_WITHIN_S", 0.01)
        worker.end = lambda *_: None  # type: ignore[method-assign]
        assert (await world.gate.second_person.approve(KEY, bob, WHY)).state is HoldState.APPROVED

    play(world, scenario)


def test_a_record_of_the_largest_operation_fits_and_says_how_much_there_was(world: World) -> None:
    async def scenario(world: World) -> None:
        worker, grant = await asking(world)
        bob = await approving(world)
        targets = tuple(
            Target(operation_class=OperationClass.WRITE, table="tags", name="line1." + "x" * 200, values=("y" * 300,))
            for _ in range(500)
        )
        worker.hold(grant, targets=targets, data=bytes(200_000).hex())
        await world.gate.second_person.approve(KEY, bob, WHY)
        (record,) = world.recorder.of(RecordKind.OPERATION_APPROVED)
        import msgspec  # noqa: PLC0415

        assert len(msgspec.json.encode(record)) < 40_000
        assert (record.detail["data_bytes"], record.detail["object_count"]) == (200_000, 500)
        assert len(str(record.detail["data_sha256"])) == 64

    play(world, scenario)
