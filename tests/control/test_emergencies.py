"""Emergencies: what is isolated is cut before the answer and stays cut, until somebody releases it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from control_world import DOCUMENTS, SITE, STATION, World, play

from penstock.control import IsolatedKind, LiveGrant
from penstock.control.emergencies import Isolated
from penstock.model import Binding, Decision, Invalid, Reason, RecordKind, Unavailable

ASSET, ZONE, SITE_KIND = IsolatedKind.ASSET, IsolatedKind.ZONE, IsolatedKind.SITE
WHY = "ransomware on the engineering station"
#: Everything that reaches or leaves something, by what is isolated: the names of the grants' subjects that are left.
EVERYBODY = {"ada", "historian", "scada-1"}


async def isolate(
    world: World, kind: IsolatedKind, name: str = "", reason: str = WHY, *, even: bool = False
) -> Isolated:
    return await world.gate.emergencies.isolate(kind, name, reason, "uid 0", even_safety_critical=even)


def passing(world: World) -> set[str]:
    """Whose packets the kernel lets pass, by the name of the subject."""
    standing = set(world.enforcer.standing.values())
    names = {live.grant.subject.name for n, live in world.gate.state.now.grants.items() if n in standing}
    return names | {grant.subject.name for grant in world.enforcer.open.values()}


@pytest.mark.parametrize(
    ("kind", "name", "left"),
    [
        (ASSET, "plc-filter-1", {"historian", "scada-1"}),
        (ASSET, "plc-dosing", {"ada", "scada-1"}),
        (ASSET, "historian", {"ada", "scada-1"}),
        (ASSET, "scada-1", EVERYBODY),
        (ASSET, "plc-secret", EVERYBODY),
        (ZONE, "filtration", {"scada-1"}),
        (ZONE, "control-room", {"scada-1"}),
        (SITE_KIND, "", {"scada-1"}),
        (SITE_KIND, "riverside-water", {"scada-1"}),
    ],
)
def test_isolating_ends_what_leads_there_and_what_comes_from_there_but_no_safety_critical_flow(
    world: World, kind: IsolatedKind, name: str, left: set[str]
) -> None:
    """Ada sits in the control room, and reads the filters from there."""

    async def scenario(world: World) -> None:
        await world.open(await world.signed_in())
        assert passing(world) == EVERYBODY
        done = await isolate(world, kind, name)
        assert passing(world) == left
        assert done.is_new
        assert done.closed == len(EVERYBODY - left)
        assert done.not_yet == ()
        is_named = kind is SITE_KIND or name in {"plc-filter-1", "scada-1", "filtration", "control-room"}
        assert [grant.subject.name for grant in done.goes_on] == (["scada-1"] if is_named else [])

    play(world, scenario)


def test_it_is_cut_first_and_then_recorded_with_who_why_and_what_goes_on(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.open(await world.signed_in())
        world.steps.clear()
        await isolate(world, SITE_KIND)
        assert world.steps == [
            "enforcer CloseGrants",
            "worker WithdrawGrants",
            "record grant.closed",
            "record grant.closed",
            "record isolated",
        ]
        assert {record.reason for record in world.recorder.of(RecordKind.GRANT_CLOSED)} == {Reason.ISOLATED}
        (record,) = world.recorder.of(RecordKind.ISOLATED)
        detail = record.detail
        assert (detail["kind"], detail["name"], detail["by"], detail["why"]) == (
            "site",
            "riverside-water",
            "uid 0",
            WHY,
        )
        assert (detail["grants_closed"], detail["goes_on_count"], detail["not_yet"]) == (2, 1, [])
        assert detail["goes_on"] == [
            {
                "grant": world.machine("scada-1").number,
                "subject": "scada-1",
                "asset": "plc-filter-1",
                "service": "modbus",
                "conduits": ["SCADA polls the filters"],
            }
        ]

    play(world, scenario)


def test_even_safety_critical_flows_leave_the_rules_when_that_is_said_and_come_back_at_release(world: World) -> None:
    async def scenario(world: World) -> None:
        assert set(world.enforcer.standing) == {"10.20.0.12"}
        done = await isolate(world, ASSET, "plc-filter-1", even=True)
        assert world.enforcer.standing == {}
        assert (done.closed, done.goes_on) == (1, ())
        await world.restart()
        assert world.enforcer.standing == {}
        released = await world.gate.emergencies.release(ASSET, "plc-filter-1", "uid 0")
        assert released.reopened == 1
        assert set(world.enforcer.standing) == {"10.20.0.12"}
        assert world.machine("scada-1").number in world.workers.grants

    play(world, scenario)


def test_what_people_ask_for_while_it_is_isolated_is_refused_recorded_and_explained(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        await isolate(world, ZONE, "filtration")
        refused = await world.ask(sign_in)
        assert isinstance(refused, Decision)
        assert refused.reason is Reason.ISOLATED
        (miss,) = refused.misses
        assert WHY in miss.found
        assert "filtration" in miss.found
        assert "administrator" in miss.remedy
        record = world.recorder.of(RecordKind.GRANT_REFUSED)[-1]
        assert (record.subject, record.asset, record.reason) == ("ada", "plc-filter-1", Reason.ISOLATED)
        rows = {way.asset.name: way.decision for way in world.gate.reach(sign_in, Binding.CERTIFICATE)}
        assert {name: decision.reason for name, decision in rows.items()} == {
            "plc-filter-1": Reason.ISOLATED,
            "plc-dosing": Reason.ISOLATED,
        }
        await world.gate.emergencies.release(ZONE, "filtration", "uid 0")
        assert isinstance(await world.ask(sign_in), LiveGrant)

    play(world, scenario)


def test_who_could_not_go_there_anyway_learns_nothing_of_an_isolation(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in("ada", "safety")
        before = [way.decision for way in world.gate.reach(sign_in, Binding.CERTIFICATE)]
        refused = await world.ask(sign_in, "plc-secret")
        await isolate(world, SITE_KIND)
        assert [way.decision for way in world.gate.reach(sign_in, Binding.CERTIFICATE)] == before
        assert await world.ask(sign_in, "plc-secret") == refused
        assert isinstance(refused, Decision)
        assert refused.reason is Reason.FACTORS_TOO_WEAK

    play(world, scenario)


def test_an_isolated_station_neither_keeps_nor_gets_anything_whoever_sits_there(world: World) -> None:
    """Also what is bound to a certificate: its owner signed in there."""
    with_station = SITE.replace(
        "  historian: {", "  eng-1: {zone: control-room, role: station, address: 10.20.0.50}\n  historian: {"
    )

    async def scenario(world: World) -> None:
        await world.gate.revisions.apply({"site.yaml": with_station}, "uid 0")
        await world.enrol()
        sign_in = await world.sign_in()
        grant = await world.open(sign_in)
        assert grant.source == STATION
        elsewhere = await world.open(sign_in, source="10.20.0.77")
        assert (await isolate(world, ASSET, "eng-1")).closed == 2
        assert not {grant.number, elsewhere.number} & world.enforcer.open.keys()
        refused = await world.ask(sign_in, source="10.20.0.77")
        assert isinstance(refused, Decision)
        assert refused.reason is Reason.ISOLATED

    play(world, scenario)


def test_machine_leases_come_back_at_release_and_not_before(world: World) -> None:
    async def scenario(world: World) -> None:
        await isolate(world, ASSET, "plc-dosing")
        for _ in range(3):
            world.clock.pass_s(3600)
            await world.gate.sweep()
        assert passing(world) == {"scada-1"}
        world.steps.clear()
        released = await world.gate.emergencies.release(ASSET, "plc-dosing", "uid 7")
        assert released.reopened == 1
        assert passing(world) == {"scada-1", "historian"}
        assert world.machine("historian").number in world.workers.grants
        assert world.steps.index("record released") < world.steps.index("enforcer OpenGrant")
        (record,) = world.recorder.of(RecordKind.RELEASED)
        assert (record.asset, record.detail["by"], record.detail["isolated_by"]) == ("plc-dosing", "uid 7", "uid 0")
        assert world.gate.emergencies.shown() == ()

    play(world, scenario)


def test_neither_a_restart_of_control_nor_of_the_machine_ends_an_isolation(world: World) -> None:
    async def scenario(world: World) -> None:
        await world.enrol()
        done = await isolate(world, ZONE, "filtration")
        await world.restart()
        assert [each for each, _ in world.gate.emergencies.shown()] == [done.isolation]
        assert passing(world) == {"scada-1"}
        await world.stop()
        world.clock.boot, world.clock.steady_us = "boot-2", 10
        world.enforcer.open.clear()
        world.workers.grants.clear()
        await world.start()
        assert passing(world) == {"scada-1"}
        assert {grant.subject.name for grant in world.workers.grants.values()} == {"scada-1"}
        refused = await world.ask(await world.sign_in())
        assert isinstance(refused, Decision)
        assert refused.reason is Reason.ISOLATED

    play(world, scenario)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("", ""), id="the same again"),
        pytest.param(("plc-dosing", "plc-d"), id="another name"),
        pytest.param(("filtration", "filters"), id="another name of its zone"),
        pytest.param(("10.20.10.12", "10.20.10.99"), id="another address, same name"),
    ],
)
@pytest.mark.parametrize(("kind", "name"), [(ASSET, "plc-dosing"), (ZONE, "filtration"), (SITE_KIND, "")])
def test_no_revision_opens_what_is_isolated(
    world: World, kind: IsolatedKind, name: str, change: tuple[str, str]
) -> None:
    old, new = change
    text = SITE.replace(old, new) if old else SITE + "\n"

    async def scenario(world: World) -> None:
        await isolate(world, kind, name)
        await world.gate.revisions.apply({"site.yaml": text}, "uid 0")
        assert passing(world) == {"scada-1"}
        assert {grant.subject.name for grant in world.workers.grants.values()} == {"scada-1"}
        await world.gate.emergencies.release(kind, name, "uid 0")
        assert passing(world) == {"scada-1", "historian"}

    play(world, scenario)


def test_isolating_twice_is_once_and_keeps_who_was_first(world: World) -> None:
    async def scenario(world: World) -> None:
        first = await isolate(world, ASSET, "plc-dosing")
        world.clock.pass_s(60)
        again = await isolate(world, ASSET, "plc-dosing", "somebody else saw it too")
        assert (again.is_new, again.closed, again.isolation) == (False, 0, first.isolation)
        assert len(world.recorder.of(RecordKind.ISOLATED)) == 1
        assert len(world.gate.emergencies.shown()) == 1

    play(world, scenario)


def test_an_isolation_can_be_made_harder_and_not_softer(world: World) -> None:
    async def scenario(world: World) -> None:
        await isolate(world, ASSET, "plc-filter-1")
        assert set(world.enforcer.standing) == {"10.20.0.12"}
        assert (await isolate(world, ASSET, "plc-filter-1", even=True)).closed == 1
        assert world.enforcer.standing == {}
        assert (await isolate(world, ASSET, "plc-filter-1")).isolation.even_safety_critical
        assert world.enforcer.standing == {}
        assert [r.detail["even_safety_critical"] for r in world.recorder.of(RecordKind.ISOLATED)] == [False, True]

    play(world, scenario)


def test_what_two_isolations_cover_opens_when_both_are_released(world: World) -> None:
    async def scenario(world: World) -> None:
        await isolate(world, ASSET, "plc-dosing")
        await isolate(world, SITE_KIND)
        await world.gate.emergencies.release(SITE_KIND, "", "uid 0")
        assert passing(world) == {"scada-1"}
        await world.gate.emergencies.release(ASSET, "plc-dosing", "uid 0")
        assert passing(world) == {"scada-1", "historian"}

    play(world, scenario)


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        (ASSET, "plc-dosin", "plc-dosing"),
        (ZONE, "plc-dosing", "filtration"),
        (SITE_KIND, "hillside", "riverside-water"),
    ],
)
def test_unknown_names_change_nothing_and_the_nearest_are_named(
    world: World, kind: IsolatedKind, name: str, hint: str
) -> None:
    async def scenario(world: World) -> None:
        world.steps.clear()
        with pytest.raises(Invalid) as refused:
            await isolate(world, kind, name)
        assert name in refused.value.problems[0].why
        assert hint in refused.value.problems[0].hint
        with pytest.raises(Invalid, match="is not isolated"):
            await world.gate.emergencies.release(kind, name, "uid 0")
        assert world.steps == []
        assert world.gate.emergencies.shown() == ()

    play(world, scenario)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_there_is_no_isolation_without_a_reason(world: World, reason: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(Invalid, match="reason"):
            await isolate(world, SITE_KIND, "", reason)
        assert passing(world) == {"scada-1", "historian"}

    play(world, scenario)


def test_a_full_disk_delays_no_cut_and_the_answer_says_what_is_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        def full(_: object) -> Any:
            raise Unavailable("the state database does not answer: disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(world.gate.store, "_run", full)
            world.recorder.is_healthy = False
            done = await isolate(world, SITE_KIND)
            assert passing(world) == {"scada-1"}
            assert len(done.not_yet) == 2
            assert "evidence" in done.not_yet[0]
            assert "not kept" in done.not_yet[1]
            await world.gate.sweep()
        world.recorder.is_healthy = True
        await world.gate.sweep()
        assert world.recorder.of(RecordKind.ISOLATED), "it waits in memory until the disk takes it"
        await world.restart()
        assert passing(world) == {"scada-1"}
        assert len(world.gate.emergencies.shown()) == 1

    play(world, scenario)


def test_a_disk_that_hangs_delays_the_answer_for_a_bounded_time_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        taken = asyncio.Event()

        async def hang(*_: object, **__: object) -> range:
            await taken.wait()
            return range(1)

        monkeypatch.setattr("penstock.control.emergencies.DISK_WITHIN_S", 0.001)
        monkeypatch.setattr(world.recorder, "write", hang)
        done = await isolate(world, SITE_KIND)
        assert passing(world) == {"scada-1"}
        assert [text for text in done.not_yet if "evidence" in text]
        taken.set()
        await asyncio.sleep(0)

    play(world, scenario)


def test_while_the_enforcer_is_away_the_answer_says_what_is_not_cut_and_it_is_cut_when_it_comes_back(
    world: World,
) -> None:
    async def scenario(world: World) -> None:
        await world.open(await world.signed_in())
        world.enforcer.failing = {"CloseGrants", "ApplyRuleset"}
        done = await isolate(world, SITE_KIND, even=True)
        assert passing(world) >= {"ada", "historian"}
        assert [text.split(":")[0] for text in done.not_yet] == [
            "the kernel has not confirmed the cut of 3 grants",
            "safety-critical flows are still in the kernel's rules",
        ]
        assert world.recorder.of(RecordKind.ISOLATED)[0].detail["not_yet"] == list(done.not_yet)
        assert world.gate.status().uncut == 3
        assert world.gate.status().isolated == ("the whole site riverside-water",)
        world.enforcer.failing = set()
        await world.gate.sweep()
        assert passing(world) == set()
        assert world.enforcer.standing == {}
        assert world.gate.status().uncut == 0

    play(world, scenario)


@pytest.mark.parametrize("failing", ["evidence", "state"])
def test_nothing_is_released_that_cannot_be_recorded_and_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    async def scenario(world: World) -> None:
        await isolate(world, SITE_KIND)
        with monkeypatch.context() as patch:
            if failing == "evidence":
                world.recorder.is_healthy = False
            else:

                async def full(_: object) -> None:
                    raise Unavailable("disk is full")

                patch.setattr(world.gate.store, "carry_out", full)
            with pytest.raises(Unavailable):
                await world.gate.emergencies.release(SITE_KIND, "", "uid 0")
        assert passing(world) == {"scada-1"}
        assert len(world.gate.emergencies.shown()) == 1
        if failing == "state":
            assert world.recorder.records[-1].kind is RecordKind.ISOLATED
            assert "undone" in world.recorder.records[-1].detail

    play(world, scenario)


def test_machine_paths_that_could_not_be_opened_at_release_open_as_soon_as_they_can(world: World) -> None:
    async def scenario(world: World) -> None:
        await isolate(world, SITE_KIND, even=True)
        world.enforcer.failing = {"OpenGrant", "ApplyRuleset"}
        released = await world.gate.emergencies.release(SITE_KIND, "", "uid 0")
        assert released.reopened == 0
        assert "not open again yet" in released.not_yet[0]
        assert passing(world) == set()
        world.enforcer.failing = set()
        await world.gate.sweep()
        assert passing(world) == {"scada-1", "historian"}

    play(world, scenario)


@pytest.mark.parametrize("step", ["OpenGrant", "PublishGrant", "record"])
def test_what_is_being_opened_while_it_is_isolated_is_cut_when_that_is_acknowledged(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        owner, name = {
            "OpenGrant": (world.enforcer, "command"),
            "PublishGrant": (world.workers, "publish"),
            "record": (world.recorder, "write"),
        }[step]
        carried_out = getattr(owner, name)
        left: list[set[str]] = []

        async def meanwhile(given: Any, **options: Any) -> Any:
            is_it = type(given).__name__ == step or (step == "record" and given[0].kind is RecordKind.GRANT_OPENED)
            if not is_it or left:
                return await carried_out(given, **options)
            left.append(set())
            isolating = asyncio.create_task(isolate(world, SITE_KIND))
            done = await carried_out(given, **options)
            await isolating
            left[0] |= passing(world)
            return done

        monkeypatch.setattr(owner, name, meanwhile)
        try:
            refused = await world.ask(sign_in)
        except Unavailable:
            refused = None
        assert left == [{"scada-1"}]
        assert passing(world) == {"scada-1"}
        assert not isinstance(refused, LiveGrant)
        assert {grant.subject.name for grant in world.workers.grants.values()} == {"scada-1"}
        closed = [r for r in world.recorder.of(RecordKind.GRANT_CLOSED) if r.subject == "ada"]
        assert [record.reason for record in closed] == [Reason.ISOLATED]

    play(world, scenario)


def test_an_isolation_outlives_what_it_names(world: World) -> None:
    """The inventory no longer has the asset; it can still be released."""

    async def scenario(world: World) -> None:
        await isolate(world, ASSET, "plc-secret")
        without = "\n".join(line for line in SITE.splitlines() if "plc-secret" not in line)
        without = without.replace("    to: {asset: plc-secret}\n", "")
        without = without[: without.index("  Safety engineers only:")] + without[without.index("tests:") :]
        await world.gate.revisions.apply({"site.yaml": without}, "uid 0")
        assert len(world.gate.emergencies.shown()) == 1
        await world.gate.emergencies.release(ASSET, "plc-secret", "uid 0")
        await world.gate.revisions.apply(DOCUMENTS, "uid 0")
        assert world.gate.emergencies.shown() == ()

    play(world, scenario)


def test_a_state_that_hangs_keeps_no_safety_critical_flow_in_the_rules_and_no_answer_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        await world.open(await world.signed_in())
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked = asyncio.Event()

        async def hang(*_: object) -> None:
            assert passing(world) == set(), "the disk was waited for before the cut was whole"
            asked.set()
            await written

        monkeypatch.setattr("penstock.control.closing.KEPT_WITHIN_S", 0.001)
        monkeypatch.setattr(world.gate.store, "close_grants", hang)
        done = await isolate(world, SITE_KIND, even=True)
        assert asked.is_set()
        assert not written.done()
        assert (done.closed, passing(world)) == (3, set())
        written.set_result(None)

    play(world, scenario)


def test_what_is_isolated_again_while_it_is_being_released_stays_isolated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people at two consoles: whoever cuts has the last word, in memory, on record and after a restart."""

    async def scenario(world: World) -> None:
        await isolate(world, ASSET, "plc-dosing")
        write, again = world.recorder.write, list[Isolated]()

        async def meanwhile(records: Any, **options: Any) -> range:
            done = await write(records, **options)
            if records[0].kind is RecordKind.RELEASED:
                again.append(await isolate(world, ASSET, "plc-dosing", "it still sends"))
            return done

        monkeypatch.setattr(world.recorder, "write", meanwhile)
        with pytest.raises(Unavailable, match="isolated again meanwhile"):
            await world.gate.emergencies.release(ASSET, "plc-dosing", "uid 1000")
        assert [done.not_yet for done in again] == [()]
        assert passing(world) == {"scada-1"}
        assert world.recorder.of(RecordKind.ISOLATED)[-1].detail["undone"]
        monkeypatch.undo()
        await world.restart()
        assert [isolation.name for isolation, _ in world.gate.emergencies.shown()] == ["plc-dosing"]
        assert passing(world) == {"scada-1"}
        await world.gate.emergencies.release(ASSET, "plc-dosing", "uid 1000")
        assert passing(world) == {"scada-1", "historian"}

    play(world, scenario)


def test_one_thing_is_released_once_at_a_time(world: World) -> None:
    async def scenario(world: World) -> None:
        await isolate(world, ASSET, "plc-dosing")
        release = world.gate.emergencies.release
        both = await asyncio.gather(
            release(ASSET, "plc-dosing", "uid 0"), release(ASSET, "plc-dosing", "uid 1"), return_exceptions=True
        )
        assert [type(each).__name__ for each in both] == ["Released", "Unavailable"]
        assert len(world.recorder.of(RecordKind.RELEASED)) == 1

    play(world, scenario)


def test_whoever_looks_is_told_what_is_not_done_yet_for_as_long_as_it_is_so(world: World) -> None:
    """The cut itself succeeded, so no grant is waited for; the rules did not follow."""

    async def scenario(world: World) -> None:
        world.enforcer.failing.add("ApplyRuleset")
        done = await isolate(world, SITE_KIND, even=True)
        assert [text.startswith("safety-critical flows are still") for text in done.not_yet] == [True]
        assert world.gate.grants.uncut == frozenset()
        assert world.gate.emergencies.not_yet == ("safety-critical flows are still in the kernel's rules",)
        world.enforcer.failing.clear()
        await world.gate.sweep()
        assert (world.gate.emergencies.not_yet, passing(world)) == ((), set())

    play(world, scenario)


def test_two_emergencies_at_once_leave_neither_s_flows_in_the_rules(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        more = SITE.replace(
            "  historian:", "  scada-2: {zone: control-room, role: scada, address: 10.20.0.14}\n  historian:"
        )
        await world.gate.revisions.apply({"site.yaml": more}, "uid 0")
        command, second = world.enforcer.command, list[asyncio.Task[Isolated]]()

        async def meanwhile(given: Any) -> Any:
            if type(given).__name__ == "ApplyRuleset" and not second:
                second.append(asyncio.create_task(isolate(world, ASSET, "scada-2", even=True)))
            return await command(given)

        monkeypatch.setattr(world.enforcer, "command", meanwhile)
        await isolate(world, ASSET, "scada-1", even=True)
        await second[0]
        assert world.enforcer.standing == {}
        assert world.gate.emergencies.not_yet == ()

    play(world, scenario)


def test_what_is_shown_at_an_isolated_station_is_what_is_refused_there(world: World) -> None:
    """Ada signed in elsewhere, and sits at the historian now."""

    async def scenario(world: World) -> None:
        sign_in = await world.signed_in()
        await isolate(world, ASSET, "historian")

        def allowed(source: str) -> list[bool]:
            return [way.decision.is_allowed for way in world.gate.reach(sign_in, Binding.ADDRESS, source)]

        assert any(allowed(STATION))
        assert not any(allowed("10.20.0.13"))
        refused = await world.ask(sign_in, source="10.20.0.13")
        assert isinstance(refused, Decision)
        assert refused.reason is Reason.ISOLATED

    play(world, scenario)


def test_workers_take_no_tunnel_from_what_is_isolated_until_it_is_released(world: World) -> None:
    """A grant that is bound to a certificate does not say where its owner sits by now."""

    async def scenario(world: World) -> None:
        await isolate(world, ASSET, "historian")
        await isolate(world, ZONE, "filtration")
        assert {"10.20.0.13", "10.20.10.0/24"} <= {*world.workers.barred}
        world.workers.barred = ()
        await world.restart()
        assert {"10.20.0.13", "10.20.10.0/24"} <= {*world.workers.barred}
        await world.gate.emergencies.release(ASSET, "historian", "uid 0")
        assert "10.20.0.13" not in world.workers.barred
        await world.gate.emergencies.release(ZONE, "filtration", "uid 0")
        assert world.workers.barred == ()

    play(world, scenario)


def test_a_worker_that_does_not_hear_what_is_isolated_undoes_nothing(world: World) -> None:
    """It is unlinked, and hears of it before it gets any grant again."""

    async def scenario(world: World) -> None:
        world.workers.failing.add("BarSources")
        done = await isolate(world, ASSET, "plc-dosing")
        assert done.not_yet == ()
        assert passing(world) == {"scada-1"}

    play(world, scenario)
