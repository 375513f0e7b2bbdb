"""I/O: the worker's process: takes policy and grants from control, beats, and opens its doors once there is a policy.

When control is gone it goes on deciding by the last revision, and tries to reach control for ever.  It must never
beat without a revision, for a beat says "send flows to me", nor after it stood still so long that the kernel's switch
has tripped: then it ends, by itself or because control says so, and a fresh worker is armed.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final

from penstock.bus import Capability, Journal, Link, Message, RingWriter, connect, keep_only
from penstock.model import (
    FIRST_WORKER_MARK,
    BarSources,
    Done,
    EndWorker,
    Failed,
    GateSettings,
    Hello,
    HoldDecided,
    Malformed,
    PenstockError,
    PublishGrant,
    PublishRevision,
    ReplaceGrants,
    Site,
    Unavailable,
    WithdrawGrant,
    WithdrawGrants,
)
from penstock.proxy.datagram_door import open_transparent_datagrams, serve_datagrams
from penstock.proxy.doors import (
    TunnelDoor,
    keep_fresh,
    open_transparent,
    open_tunnel,
    serve_transparent,
    tunnel_context,
)
from penstock.proxy.hall import Hall, Judge, Terminate, ended_channels
from penstock.proxy.lag import LagProbe
from penstock.proxy.office import SO_MARK, Clock, Office, connected_datagrams
from penstock.proxy.relay import Relay
from penstock.proxy.reports import Line, report
from penstock.proxy.unmarked import FencedClock, dial_unmarked

JOURNAL_NAME: Final = "worker-1.ring"
#: The kernel's dead-man switch waits for a second (docs: data plane), so four beats may be lost.
BEAT_S: Final = 0.2
#: A little less than that second: whoever stood still for longer may be switched off, and nobody would ever tell.
STALL_S: Final = 0.95
#: The exit status of a worker that stood still (sysexits.h: EX_TEMPFAIL).
STALLED_STATUS: Final = os.EX_TEMPFAIL
_RECONNECT_S: Final = 0.2
_KEYS: Final = "penstock.proxy.opcua.keys"
_PUBLISHED: Final = PublishRevision | PublishGrant | WithdrawGrant | WithdrawGrants | ReplaceGrants | BarSources
#: Frames hold no references and rows are integers, so hardly anything of a flow needs the collector; the default
#: thresholds would walk the policy again and again.
_GC_THRESHOLDS: Final = (20_000, 50, 100)


async def run(settings: GateSettings, compile: Callable[[Site, int], Judge]) -> None:  # noqa: A002 - what it does
    """Be the worker until cancelled.  `compile` makes a judge out of a site and its revision."""
    _raise_descriptor_limit()
    _drop_privileges(settings)
    clock = Clock() if settings.has_kernel else FencedClock(STALL_S)
    ring = RingWriter(Path(settings.run_dir) / JOURNAL_NAME)
    hall = Hall(Journal(ring, clock.now_us()), compile, terminator_of(Path(settings.state_dir) / "keys"))

    def end(why: str) -> None:
        _end_at_once(hall, why, clock.now_us())

    if isinstance(clock, FencedClock):
        clock.end = end
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        async with asyncio.TaskGroup() as group:
            office = Office(hall=hall, clock=clock, group=group)
            if not settings.has_kernel:
                office = replace(office, dial=dial_unmarked, dial_datagrams=connected_datagrams)
            has_revision, line = asyncio.Event(), Line()
            hall.holds.tell = line.send
            path = Path(settings.run_dir) / "control.sock"
            group.create_task(_follow_control(path, hall, has_revision, end, line))
            group.create_task(_beat(settings, hall, clock, end))
            group.create_task(report(line, hall, LagProbe().lag, clock))
            await has_revision.wait()
            if settings.has_kernel:
                group.create_task(serve_transparent(office, open_transparent(settings.place)))
                _serve_datagrams(group, office, settings)
            if settings.tunnel:
                tls = tunnel_context(settings)
                group.create_task(keep_fresh(tls))
                door = TunnelDoor(office, tls.context)
                for listener in settings.tunnel:
                    group.create_task(door.serve(open_tunnel(listener)))
    finally:
        hall.end_all("the worker stopped", clock.now_us())


def terminator_of(keys: Path) -> Terminate:
    """What ends secured channels.  It is loaded with the first revision that needs it: few workers need X.509."""
    made: list[Terminate] = []

    def terminate(inner: Relay, server_pem: str, subject: str) -> Relay:
        if not made:
            made.append(import_module(_KEYS).Terminator(keys))
        return made[0](inner, server_pem, subject)

    return terminate


def _drop_privileges(settings: GateSettings) -> None:
    """Keep what transparent sockets take; one that answers in the name of Modbus over UDP stands at a port below 1024.

    Where the gate itself may not do that, such datagrams are refused, with that reason.
    """
    if not settings.has_kernel:
        keep_only()
        return
    try:
        keep_only(Capability.NET_ADMIN, Capability.NET_BIND_SERVICE)
    except Unavailable:
        keep_only(Capability.NET_ADMIN)


def _serve_datagrams(group: asyncio.TaskGroup, office: Office, settings: GateSettings) -> None:
    """Open the door for datagrams.  Before Linux 5.19 there is none, and inspected services over UDP are refused.

    Raises `OSError` for any other reason: the worker ends then, and what is safety-critical goes on without it.
    """
    try:
        listening = open_transparent_datagrams(settings.place)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        sys.stderr.write(f"penstock: worker-1: no datagrams can be inspected: {error}\n")
        return
    group.create_task(serve_datagrams(office, listening))


def _end_at_once(hall: Hall, why: str, now_us: int) -> None:
    """Drop every flow, with a reset and a record, and be gone.

    Not by an exception: the tasks that it would have to wait for go on reading, and what they hold may be stale.
    The journal is shared memory, so its records outlive the process.
    """
    try:
        hall.drop_all(why, now_us)
        sys.stderr.write(f"penstock: worker-1: {why}\n")
    finally:
        os._exit(STALLED_STATUS)


async def _follow_control(
    path: Path, hall: Hall, has_revision: asyncio.Event, end: Callable[[str], None], line: Line
) -> None:
    """Take over what control publishes, for ever; `end` is called when control says that this worker is over."""

    async def receive(_: Link, message: Message) -> Done | Failed | None:
        if isinstance(message, EndWorker):
            end(message.why)
            return None
        if isinstance(message, HoldDecided):
            return Done() if hall.decide(message) else Failed(why="nothing of that name waits any more")
        if not isinstance(message, _PUBLISHED):
            return Failed(why=f"a worker does not take {type(message).__name__}")
        if isinstance(message, PublishRevision) and ended_channels(message.site):
            await asyncio.to_thread(import_module, _KEYS)  # takes so long that the loop would miss its heartbeat
        try:
            hall.publish(message)
        except PenstockError as error:  # the revision in force stays in force
            return Failed(why=str(error))
        if hall.revision is not None:
            has_revision.set()
        return Done()

    while True:
        with suppress(Unavailable, Malformed, OSError):
            link = await connect(path, receive)
            link.send(Hello(role="worker", mark=FIRST_WORKER_MARK, pid=os.getpid()))
            line.link = link
            line.send(*hall.holds.pending)
            await link.run()
        await asyncio.sleep(_RECONNECT_S)


async def _beat(settings: GateSettings, hall: Hall, clock: Clock, end: Callable[[str], None]) -> None:
    """Beat in the journal always, and towards the kernel while there is a revision.

    Calls `end` after a stall.  The supervisor cannot see all of them: it may have stood still as well.  The enforcer
    sees them all, a moment later: this only is the sooner way.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as beating:
        beating.setblocking(False)
        if settings.has_kernel:
            beating.setsockopt(socket.SOL_SOCKET, SO_MARK, FIRST_WORKER_MARK)
        beaten_s: float | None = None
        while True:
            hall.stepped(clock.set())
            if hall.revision is not None:
                try:
                    beaten_s = _next_beat_s(beaten_s, time.monotonic())
                except Unavailable as stalled:
                    end(str(stalled))
                    return
                if isinstance(clock, FencedClock):
                    clock.beaten()
                else:
                    with suppress(OSError):  # the kernel's rule drops the beat after counting it: EPERM
                        beating.sendto(b"", ("127.0.0.1", settings.place.beat_port))
            hall.tick(clock.now_us())
            await asyncio.sleep(BEAT_S)


def _next_beat_s(last_s: float | None, now_s: float) -> float:
    """The time of this beat.  Raises `Unavailable` when the last one is too long ago."""
    if last_s is not None and now_s - last_s >= STALL_S:
        raise Unavailable(f"the worker stood still for {now_s - last_s:.1f} s, so what it holds may be stale")
    return now_s


def _raise_descriptor_limit() -> None:
    """Every flow has two connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
