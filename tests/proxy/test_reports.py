"""What a worker tells control each second, and what it knows of its own event loop."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import uvloop
from loopback import doors
from proxying import READ, T0, message

from penstock.bus import Link, Message, connect, listen
from penstock.bus.histogram import Histogram, total_of, worst_us
from penstock.model import Hello, LatencyMeasured, WorkerMeasured
from penstock.proxy import reports
from penstock.proxy.lag import PERIOD_NS, LagProbe
from penstock.proxy.reports import MAX_BACKLOG_BYTES, Line, measured


def test_a_report_holds_transactions_live_flows_and_the_loop_and_what_was_told_is_not_told_again(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with doors(tmp_path) as site:
            site.grant()
            reader, writer = await site.connect()
            writer.write(message(1, READ))
            await reader.readexactly(13)
            lag = Histogram()
            lag.add(40)
            latency, worker = measured(site.hall, lag, T0)
            assert isinstance(latency, LatencyMeasured)
            assert (latency.conduit, total_of(latency.total), latency.at_us) == ("polls", 1, T0)
            assert worker == WorkerMeasured(
                mark=0x1000_0001, pid=os.getpid(), lag={40: 1}, flows={12: 1}, queues={}, at_us=T0
            )
            (silent,) = measured(site.hall, lag, T0)
            assert silent == replace(worker, lag={})  # type: ignore[type-var]  # both are WorkerMeasured

    asyncio.run(main())


def test_what_control_does_not_take_is_counted_on_and_told_later(tmp_path: Path) -> None:
    heard: list[Message] = []

    async def receive(_: Link, said: Message) -> None:
        heard.append(said)

    async def main() -> None:
        line = Line()
        assert not line.is_free
        async with asyncio.timeout(20), doors(tmp_path) as site:
            lag = Histogram()
            lag.add(7)
            reporting = asyncio.create_task(reports.report(line, site.hall, lag, site.clock))
            for _ in range(3):
                await asyncio.sleep(0)
            assert lag.counts[7] == 1, "without a link nothing is taken away"
            server = await listen(tmp_path / "control.sock", receive)
            line.link = await connect(tmp_path / "control.sock", receive)
            assert line.is_free
            line.send(*measured(site.hall, lag, T0))  # type: ignore[arg-type]  # of both kinds
            while not heard:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)
            reporting.cancel()
            line.link.close()
            assert not line.is_free
            server.close()
        (told,) = heard
        assert isinstance(told, WorkerMeasured)
        assert told.lag == {7: 1}

    asyncio.run(main())


def test_a_control_that_hangs_is_sent_no_more_than_a_bounded_backlog(tmp_path: Path) -> None:
    async def hang(_: Link, said: Message) -> None:
        assert isinstance(said, Hello)
        await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.timeout(20):
            server = await listen(tmp_path / "control.sock", hang)
            line = Line()
            line.link = await connect(tmp_path / "control.sock", hang)
            line.link.send(Hello(role="worker"))
            large = LatencyMeasured(conduit="c" * 5000, path="inspected", total={}, own={}, at_us=T0)
            sent = 0
            while line.is_free:
                line.send(large)
                sent += 1
                await asyncio.sleep(0)
            assert MAX_BACKLOG_BYTES / 5000 / 2 < sent < 4 * MAX_BACKLOG_BYTES / 5000
            line.link.close()
            server.close()

    asyncio.run(main())


def test_a_loop_that_stands_still_is_seen_as_long_as_it_did_in_samples_of_every_moment_that_waited() -> None:
    """Each moment of the timer that fell into the stall has waited to its end."""

    async def main() -> None:
        probe = LagProbe()
        while not total_of(probe.lag.take()):  # noqa: ASYNC110 - the timer is the event
            await asyncio.sleep(0.001)
        began_ns = time.monotonic_ns()
        while time.monotonic_ns() - began_ns < 10 * PERIOD_NS:
            pass
        stood_ns = time.monotonic_ns() - began_ns
        lag: dict[int, int] = {}
        async with asyncio.timeout(10):
            while not lag:
                await asyncio.sleep(0.001)
                lag = probe.lag.take()
        probe.close()
        worst = worst_us(lag)
        assert worst is not None
        assert worst * 1000 >= stood_ns - 2 * PERIOD_NS
        assert total_of(lag) >= stood_ns // PERIOD_NS - 1
        halves = [sum(n for bucket, n in lag.items() if bucket < b) for b in (max(lag), max(lag) + 1)]
        assert halves[0] > 0, "later moments have waited less"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
