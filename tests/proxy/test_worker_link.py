"""A worker takes what control publishes, and finds control again when it comes back."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import uvloop
from proxying import GRANT, T0, PlainJudge

from penstock.bus import Journal, Link, Message, RingWriter, listen
from penstock.model import (
    ApplyRuleset,
    Done,
    EndWorker,
    Failed,
    GatePlace,
    Hello,
    HoldDecided,
    HoldEnded,
    HoldEnding,
    OperationHeld,
    PublishGrant,
    PublishRevision,
    ReplaceGrants,
    Ruleset,
    Site,
    WithdrawGrant,
)
from penstock.proxy.hall import Hall
from penstock.proxy.reports import Line
from penstock.proxy.worker import _follow_control

SITE = Site(name="s", domain="s.ot", overlay="100.64.0.0/16")


class Control:
    """The other end of the link."""

    def __init__(self) -> None:
        self.links: asyncio.Queue[Link] = asyncio.Queue()

    async def receive(self, link: Link, message: Message) -> Done | None:
        assert isinstance(message, Hello)
        assert (message.role, message.pid) == ("worker", os.getpid())
        self.links.put_nowait(link)
        return None


def make_hall(folder: Path) -> Hall:
    return Hall(Journal(RingWriter(folder / "r", 1 << 14), T0), PlainJudge.of_site)


def test_a_worker_answers_every_publication_and_reconnects_for_ever(tmp_path: Path) -> None:
    """It keeps its last revision and its grants while control is gone."""
    hall, path = make_hall(tmp_path), tmp_path / "control.sock"

    async def main() -> None:
        has_revision = asyncio.Event()
        ends: list[str] = []
        following = asyncio.ensure_future(_follow_control(path, hall, has_revision, ends.append, Line()))
        control = Control()
        server = await listen(path, control.receive)
        link = await control.links.get()
        assert await link.ask(PublishGrant(grant=GRANT)) == Done()
        assert not has_revision.is_set()
        assert await link.ask(PublishRevision(revision=4, site=SITE)) == Done()
        assert has_revision.is_set()
        refused = await link.ask(
            ApplyRuleset(ruleset=Ruleset(revision=1, overlay="", place=GatePlace(interface="e", address="a")))
        )
        assert isinstance(refused, Failed)
        link.close()
        server.close()
        assert (hall.revision, set(hall.grants)) == (4, {12})
        async with await listen(path, control.receive):
            link = await control.links.get()
            assert await link.ask(WithdrawGrant(number=12, reason="grant_revoked")) == Done()
            assert hall.grants == {}
            assert ends == []
            link.send(EndWorker(why="tripped"))
            assert await link.ask(WithdrawGrant(number=13, reason="grant_revoked")) == Done()
            assert ends == ["tripped"]
            link.close()
            following.cancel()

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


def test_the_list_of_all_grants_replaces_what_the_worker_had(tmp_path: Path) -> None:
    """What is not on it is withdrawn."""
    hall = make_hall(tmp_path)
    hall.publish(PublishGrant(grant=GRANT))
    hall.publish(ReplaceGrants(grants=()))
    assert hall.grants == {}
    assert set(hall.withdrawn) == {12}
    hall.publish(ReplaceGrants(grants=(GRANT,)))
    assert set(hall.grants) == {12}
    assert hall.withdrawn == {}


def test_a_clock_that_is_set_neither_ends_a_grant_early_nor_extends_it_nor_ages_a_proof(tmp_path: Path) -> None:
    hall = make_hall(tmp_path)
    hall.publish(PublishGrant(grant=GRANT))
    for step_us in (86_400_000_000, -3_600_000_000):
        before = hall.grants[GRANT.number]
        hall.stepped(step_us)
        after = hall.grants[GRANT.number]
        assert before.expires_at_us is not None
        assert after.expires_at_us == before.expires_at_us + step_us
        assert after.subject.proved_at_us == before.subject.proved_at_us + step_us


def test_a_clock_that_is_only_steered_changes_nothing(tmp_path: Path) -> None:
    hall = make_hall(tmp_path)
    hall.publish(PublishGrant(grant=GRANT))
    hall.stepped(1_000)
    assert hall.grants[GRANT.number] == GRANT


HELD = OperationHeld(
    flow=1042,
    hold=1,
    grant=12,
    conduit="sets",
    operation="modbus.write",
    code="6",
    name="Write Single Register",
    unit=1,
    targets=(),
    data="0007",
    source="192.168.10.12:40001",
    at_us=T0,
    until_us=T0 + 60_000_000,
)


class HoldingFlow:
    """A flow of which the hall knows no more than that it holds something."""

    relay = SimpleNamespace(is_holding=True)

    def __init__(self) -> None:
        self.decided: list[HoldDecided] = []

    def decide(self, decided: HoldDecided) -> bool:
        if decided.flow != HELD.flow:
            return False
        self.decided.append(decided)
        return True


def test_control_hears_of_what_waits_whenever_it_comes_back_and_its_decisions_arrive(tmp_path: Path) -> None:
    hall, path, flow = make_hall(tmp_path), tmp_path / "control.sock", HoldingFlow()
    hall.flows.add(flow)  # type: ignore[arg-type]  # as much of a flow as a decision needs
    heard: asyncio.Queue[tuple[Link, Message]] = asyncio.Queue()

    async def receive(link: Link, message: Message) -> None:
        heard.put_nowait((link, message))

    async def main() -> None:
        line = Line()
        hall.holds.tell = line.send
        hall.holds.held(HELD)  # while nobody listens
        following = asyncio.ensure_future(_follow_control(path, hall, asyncio.Event(), lambda _: None, line))
        for _ in range(2):
            async with await listen(path, receive):
                link, first = await heard.get()
                assert isinstance(first, Hello)
                assert (await heard.get())[1] == HELD
                link.close()
        async with await listen(path, receive):
            link, _ = await heard.get()
            await heard.get()
            decided = HoldDecided(flow=1042, hold=1, is_approved=True, decided_by="otto@local", why="seen")
            assert await link.ask(decided) == Done()
            assert flow.decided == [decided]
            assert isinstance(await link.ask(replace(decided, flow=1043)), Failed)
            ended = HoldEnded(flow=1042, hold=1, ending=HoldEnding.FORWARDED, at_us=T0)
            hall.holds.ended(ended)
            assert (await heard.get())[1] == ended
            assert hall.holds.pending == ()
            link.close()
            following.cancel()

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())
