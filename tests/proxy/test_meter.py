"""What a transaction took: the whole, and the gate's share of it, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Doors, certificate, doors
from proxying import GRANT, READ, READ_REPLY, STOP, T0, WRITE, PlainJudge, message

from penstock.bus import Journal, RingWriter
from penstock.bus.histogram import Histogram, total_of, worst_us
from penstock.model import PublishRevision, Site
from penstock.proxy.hall import Hall
from penstock.proxy.meter import Meter
from penstock.proxy.office import Clock, Office
from penstock.proxy.server import ClientSide

NS = 1000


class Steady:
    """Nanoseconds that pass only when something is written, as the test says how long that takes."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def pass_us(self, us: int) -> None:
        self.now_ns += us * NS


class End(asyncio.Transport):
    """One end of a flow; each write takes its time."""

    def __init__(self, steady: Steady, write_us: int) -> None:
        super().__init__()
        self.steady, self.write_us, self.written = steady, write_us, b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.steady.pass_us(self.write_us)
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0


class Side(ClientSide):
    """A flow that has come about, between two such ends."""

    def __init__(self, office: Office, client: End, asset: End) -> None:
        super().__init__(office)
        self.grant = replace(GRANT, expires_at_us=None)
        self.relay, self._journal = office.hall.relay(self.grant, "192.168.10.12:40001", self._now(), self.way)
        self._client, self._asset, self._relay_client = client, asset, self.relay.from_client


class Scene:
    """A flow, its clock, and what its worker measured."""

    def __init__(self, folder: Path, to_asset_us: int = 7, to_client_us: int = 4) -> None:
        self.steady = Steady()
        clock = Clock(self.steady)
        self.hall = Hall(Journal(RingWriter(folder / "r", 1 << 14), T0), PlainJudge.of_site)
        self.hall.publish(PublishRevision(revision=3, site=Site(name="s", domain="s.ot", overlay="100.64.0.0/16")))
        office = Office(hall=self.hall, clock=clock, group=None)  # type: ignore[arg-type]  # nothing is dialled
        self.side = Side(office, End(self.steady, to_client_us), End(self.steady, to_asset_us))
        self.client, self.asset = self.side.data_received, self.side.pass_from_asset

    def measured(self) -> dict[str, tuple[dict[int, int], dict[int, int]]]:
        """Counts of the whole and of the gate's share, by conduit."""
        return {each.conduit: (each.total, each.own) for each in self.hall.meters.take(T0)}


def test_the_gate_s_share_is_both_ways_through_it_and_the_asset_s_time_is_only_in_the_whole(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.client(message(1, READ))
    scene.steady.pass_us(20)
    scene.asset(message(1, READ_REPLY))
    assert scene.measured() == {"polls": ({7 + 20 + 4: 1}, {7 + 4: 1})}


def test_a_request_that_was_judged_before_is_measured_like_the_first(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(5):
        scene.client(message(number, READ))
        scene.asset(message(number, READ_REPLY))
    assert scene.measured() == {"polls": ({11: 5}, {11: 5})}


def test_each_conduit_has_what_it_allowed_and_nothing_has_what_was_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.client(message(1, READ))
    scene.asset(message(1, READ_REPLY))
    scene.client(message(2, STOP))
    scene.client(message(3, WRITE))
    scene.asset(message(3, WRITE))
    assert {conduit: total_of(total) for conduit, (total, _) in scene.measured().items()} == {"polls": 1, "sets": 1}


def test_requests_under_way_together_have_each_their_own_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path, to_asset_us=0, to_client_us=0)
    scene.client(message(1, READ))
    scene.steady.pass_us(10)
    scene.client(message(2, READ) + message(3, READ))
    scene.steady.pass_us(20)
    scene.asset(message(3, READ_REPLY) + message(1, READ_REPLY))
    scene.steady.pass_us(5)
    scene.asset(message(2, READ_REPLY))
    assert scene.measured() == {"polls": ({20: 1, 25: 1, 30: 1}, {0: 3})}


def test_a_message_in_two_parts_is_measured_from_its_second(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.client(message(1, READ)[:5])
    scene.steady.pass_us(1000)
    scene.client(message(1, READ)[5:])
    scene.asset(message(1, READ_REPLY))
    assert scene.measured() == {"polls": ({11: 1}, {11: 1})}


def test_what_nobody_answers_is_no_transaction(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.client(message(1, READ))
    assert scene.measured() == {}


def test_a_wall_clock_that_is_set_changes_no_measurement(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.client(message(1, READ))
    scene.side._clock.offset_ns -= 3_600_000_000_000
    scene.asset(message(1, READ_REPLY))
    assert scene.measured() == {"polls": ({11: 1}, {11: 1})}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 70_000_000_000), st.integers(0, 70_000_000_000)), max_size=50))
def test_a_meter_counts_as_two_histograms_do(times: list[tuple[int, int]]) -> None:
    """Its short way and its long one."""
    meter, total, own = Meter("c"), Histogram(), Histogram()
    for asset_ns, own_ns in times:
        meter.add(asset_ns + own_ns, own_ns)
        total.add((asset_ns + own_ns) // NS)
        own.add(own_ns // NS)
    assert (meter.total.take(), meter.own.take()) == (total.take(), own.take())


def on_real_sockets(folder: Path, play: Callable[[Doors], Awaitable[None]]) -> None:
    async def main() -> None:
        async with doors(folder) as site:
            await play(site)

    asyncio.run(main())


def test_on_real_sockets_each_answer_is_one_transaction_and_the_gate_s_share_is_part_of_it(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        site.grant()
        reader, writer = await site.connect()
        for number in range(20):
            writer.write(message(number, READ))
            await reader.readexactly(13)
        (measured,) = site.hall.meters.take(T0)
        assert (measured.conduit, measured.path) == ("polls", "inspected")
        assert total_of(measured.total) == total_of(measured.own) == 20
        whole, share = worst_us(measured.total), worst_us(measured.own)
        assert whole is not None
        assert share is not None
        assert 0 < share <= whole

    on_real_sockets(tmp_path, scene)


def test_through_the_tunnel_it_is_measured_as_well(tmp_path: Path) -> None:
    async def scene(site: Doors) -> None:
        site.tunnel_grant(certificate(tmp_path, "client"))
        reader, writer = await site.tunnel()
        writer.write(b'{"grant": 12}\n')
        assert await reader.readline() == b'{"ok": true}\n'
        for number in range(5):
            writer.write(message(number, READ))
            await reader.readexactly(13)
        (measured,) = site.hall.meters.take(T0)
        assert total_of(measured.total) == total_of(measured.own) == 5
        assert worst_us(measured.own)

    on_real_sockets(tmp_path, scene)


def test_the_first_request_is_not_charged_to_the_gate_for_the_time_until_the_asset_was_there(tmp_path: Path) -> None:
    """It comes before there is a connection to the asset, and waits for it."""

    async def scene(site: Doors) -> None:
        site.may_dial.clear()
        site.grant()
        reader, writer = await site.connect()
        began_ns = site.clock.steady_ns()
        writer.write(message(1, READ))
        await site.until_flows(1)
        while site.clock.steady_ns() < began_ns + 300_000_000:  # noqa: ASYNC110 - time itself is waited for
            await asyncio.sleep(0)
        site.may_dial.set()
        await reader.readexactly(13)
        (measured,) = site.hall.meters.take(T0)
        share = worst_us(measured.own)
        assert share is not None
        assert share < 300_000

    on_real_sockets(tmp_path, scene)
