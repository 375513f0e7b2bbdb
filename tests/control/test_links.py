import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.bus.channel import Link, connect, listen
from penstock.bus.codec import Message
from penstock.control.links import EnforcerLink, WorkerLinks
from penstock.model import (
    ArmWorker,
    Done,
    EndWorker,
    Failed,
    Hello,
    PublishRevision,
    Site,
    Unavailable,
    WithdrawGrant,
    WorkerTripped,
)

HELLO = Hello(role="worker", mark=7, pid=40)
REVISION = PublishRevision(revision=1, site=Site(name="s", domain="s.ot", overlay="100.64.0.0/16"))


async def nothing(_link: Link, _message: Message) -> None:
    return


def answering(answer: Done | Failed, heard: list[str]) -> Callable[[Link, Message], Any]:
    async def receive(_link: Link, message: Message) -> Done | Failed:
        heard.append(type(message).__name__)
        return answer

    return receive


async def ended(*tasks: "asyncio.Task[None]") -> None:
    """Cancel these and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Far:
    """The process at the other end: accepts links at `path`, answers, and tells when one came or went."""

    def __init__(self, answer: Done | Failed) -> None:
        self.answer, self.heard = answer, asyncio.Queue[tuple[Link, str]]()
        self.gone: asyncio.Queue[Link] = asyncio.Queue()

    async def receive(self, link: Link, message: Message) -> Done | Failed:
        self.heard.put_nowait((link, type(message).__name__))
        return self.answer


def test_the_enforcer_is_brought_up_to_date_before_it_counts_and_again_after_each_reconnect(tmp_path: Path) -> None:
    async def scenario() -> None:
        far, joined = Far(Done()), asyncio.Queue[bool]()

        async def synchronise() -> None:
            joined.put_nowait(enforcer.is_synchronised)
            await enforcer.command(ArmWorker(mark=7))

        server = await listen(tmp_path / "enforcer.sock", far.receive, far.gone.put_nowait)
        enforcer = EnforcerLink(tmp_path / "enforcer.sock", nothing, synchronise)
        running = asyncio.create_task(enforcer.run())
        for _ in range(2):
            assert not await asyncio.wait_for(joined.get(), 5)
            link, name = await asyncio.wait_for(far.heard.get(), 5)
            assert name == "ArmWorker"
            link.close()
            await asyncio.wait_for(far.gone.get(), 5)
        await ended(running)
        server.close()

    asyncio.run(scenario())


def test_a_command_that_the_enforcer_could_not_carry_out_is_unavailable(tmp_path: Path) -> None:
    async def scenario() -> None:
        far, trouble = Far(Failed(why="no netlink")), asyncio.Queue[str]()

        async def synchronise() -> None:
            try:
                await enforcer.command(ArmWorker(mark=7))
            except Unavailable as error:
                trouble.put_nowait(str(error))
                raise

        server = await listen(tmp_path / "enforcer.sock", far.receive, far.gone.put_nowait)
        enforcer = EnforcerLink(tmp_path / "enforcer.sock", nothing, synchronise)
        with pytest.raises(Unavailable, match="not there"):
            await enforcer.command(ArmWorker(mark=7))
        running = asyncio.create_task(enforcer.run())
        assert "no netlink" in await asyncio.wait_for(trouble.get(), 5)
        assert not enforcer.is_synchronised
        await asyncio.wait_for(far.gone.get(), 5)
        await ended(running)
        server.close()

    asyncio.run(scenario())


def test_every_worker_is_told_and_one_that_refuses_is_unlinked(tmp_path: Path) -> None:
    async def scenario() -> None:
        workers, heard = WorkerLinks(), list[str]()
        here, gone = asyncio.Queue[Link](), asyncio.Queue[Link]()

        async def hello(link: Link, _message: Message) -> None:
            here.put_nowait(link)

        def left(link: Link) -> None:
            workers.remove(link)
            gone.put_nowait(link)

        server, tasks = await listen(tmp_path / "control.sock", hello, left), []
        for answer in (Done(), Failed(why="too old")):
            far = await connect(tmp_path / "control.sock", answering(answer, heard))
            tasks.append(asyncio.create_task(far.run()))
            far.send(REVISION)
            near = await asyncio.wait_for(here.get(), 5)
            workers.add(near, HELLO)
            workers.arm(near)
        with pytest.raises(Unavailable, match="too old"):
            await workers.publish(WithdrawGrant(number=1, reason="test"))
        assert heard == ["WithdrawGrant", "WithdrawGrant"]
        await asyncio.wait_for(gone.get(), 5)
        assert (workers.count, workers.is_alive) == (1, True)
        await workers.publish(WithdrawGrant(number=2, reason="test"))
        await ended(*tasks)
        await asyncio.wait_for(gone.get(), 5)
        assert not workers.is_alive
        server.close()

    asyncio.run(scenario())


def test_a_worker_counts_as_alive_only_once_its_switch_is_armed() -> None:
    workers, link = WorkerLinks(), Link(None, None, nothing)  # type: ignore[arg-type]
    workers.add(link, HELLO)
    assert (workers.is_alive, workers.armed) == (False, ())
    workers.arm(link)
    assert (workers.is_alive, workers.armed) == (True, (ArmWorker(mark=7, pid=40, was_armed=True),))
    assert workers.remove(link)
    assert not workers.is_alive


@pytest.mark.parametrize(("pid", "is_told"), [(40, True), (39, False)])
def test_a_worker_whose_switch_has_tripped_is_told_to_end_and_its_successor_of_the_same_mark_is_not(
    tmp_path: Path, pid: int, *, is_told: bool
) -> None:
    """The mark belongs to the place of a worker, the process number to the worker."""

    async def scenario() -> None:
        workers = WorkerLinks()
        here, told = asyncio.Queue[Link](), asyncio.Queue[Message]()

        async def hello(link: Link, _message: Message) -> None:
            here.put_nowait(link)

        async def receive(_link: Link, message: Message) -> None:
            told.put_nowait(message)

        server = await listen(tmp_path / "control.sock", hello)
        far = await connect(tmp_path / "control.sock", receive)
        running = asyncio.create_task(far.run())
        far.send(HELLO)
        near = await asyncio.wait_for(here.get(), 5)
        workers.add(near, HELLO)
        workers.arm(near)
        workers.end(WorkerTripped(mark=7, pid=pid, at_us=1))
        assert (workers.count, workers.is_alive, near.is_open) == ((0, False, False) if is_told else (1, True, True))
        if is_told:
            assert isinstance(await asyncio.wait_for(told.get(), 5), EndWorker)
            await asyncio.wait_for(running, 5)
            assert not workers.remove(near), "its loss was told already"
        near.close()
        await ended(running)
        server.close()

    asyncio.run(scenario())
