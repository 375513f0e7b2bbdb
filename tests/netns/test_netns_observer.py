"""The observer under real copies: packets kept as they were, operations read, losses told, flows untouched by it."""

from __future__ import annotations

import io
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import dpkt
import pytest
from gate_plant import BACNET, MODBUS, PLAIN, USER, Plant, UdpEcho, eventually, exchange

from penstock.bus import JournalReader, Message, decode, encode
from penstock.model import (
    Done,
    Grant,
    Hello,
    LatencyMeasured,
    ObserveGrants,
    PayloadLost,
    PayloadRemoved,
    PayloadStored,
    Record,
    RecordKind,
)
from penstock.observe.spool import NEW, PART, WHOLE

_OBSERVER = """
import asyncio, signal, sys
from penstock.observe import run_observer
from penstock.model import GatePlace, GateSettings
place = GatePlace(interface="eth0", address="192.168.10.2")
settings = GateSettings(
    state_dir=sys.argv[1], run_dir=sys.argv[1], site_path="", names=(), place=place, portal=(), tunnel=()
)
async def main():
    task = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run_observer(settings)
try:
    asyncio.run(main())
except asyncio.CancelledError:
    pass
"""
#: The kernel holds a few dozen packets for such a reader, and a file is closed after a second.
SMALL_BUFFER = "import penstock.kernel.copies\npenstock.kernel.copies.BUFFER_BYTES = 4096\n"
SMALL_STORE = "import penstock.observe.observer\npenstock.observe.observer.STORE_BYTES = 6000\n"
QUICK_FILES = "import penstock.observe.spool\npenstock.observe.spool.FILE_US = 1_000_000\n"


def poll(number: int) -> bytes:
    return struct.pack(">HHHBBHH", number, 0, 6, 1, 3, 0, 2)


class Watch:
    """Control's end for one observer at a time, in a thread, and the reader of its journal."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self._plant, self._folder = plant, folder
        self.store = folder / "evidence" / "payload"
        self.grants: tuple[Grant, ...] = ()
        self.stored: tuple[int, ...] = ()
        self.reports: list[Message] = []
        self.hellos: list[Hello] = []
        self._journal = JournalReader(folder / "observer.ring")
        self._records: list[Record] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "control.sock"))
        self._listener.listen()
        self._link: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def start(self, prelude: str = "") -> subprocess.Popen[Any]:
        """Start an observer; it listens on return."""
        count = len(self.hellos)
        self.process = self._plant.gate.popen([sys.executable, "-c", prelude + _OBSERVER, str(self._folder)])
        eventually(lambda: len(self.hellos) > count or self.process.poll() is not None, 10)
        assert self.process.poll() is None, "the observer ended"
        return self.process

    def tell(self, *grants: Grant, stored: bool = True) -> None:
        """These grants are copied."""
        self.grants, self.stored = grants, tuple(grant.number for grant in grants) if stored else ()
        assert self._link is not None
        self._link.sendall(encode(ObserveGrants(grants=self.grants, stored=self.stored)))

    def of(self, kind: type) -> list[Any]:
        return [report for report in list(self.reports) if isinstance(report, kind)]

    def records(self) -> list[Record]:
        """All that the journal has said so far."""
        self._records += self._journal.read(time.time_ns() // 1000, is_last=True)
        return self._records

    def packets(self) -> list[bytes]:
        """Every packet of every file that the store has, by time, with an independent reader."""
        files: dict[str, bytes] = {}
        for suffix in (NEW, WHOLE):  # in this order: the observer renames a new one at any moment
            for path in self.store.glob(f"*{suffix}"):
                with suppress(FileNotFoundError):
                    files[path.name.removesuffix(suffix)] = path.read_bytes()
        found: list[tuple[float, bytes]] = []
        for data in files.values():
            found += dpkt.pcapng.Reader(io.BytesIO(data))
        return [bytes(data) for _, data in sorted(found, key=lambda each: each[0])]

    def _serve(self) -> None:
        while True:
            self._link, _ = self._listener.accept()
            with self._link, suppress(OSError):  # until the observer ends, however it ends
                self._answer(self._link)

    def _answer(self, link: socket.socket) -> None:
        with link.makefile("rb") as stream:
            while head := stream.read(4):
                message = decode(stream.read(int.from_bytes(head, "big")))
                match message:
                    case Hello():
                        self.hellos.append(message)
                        link.sendall(encode(ObserveGrants(grants=self.grants, stored=self.stored)))
                    case PayloadStored() | PayloadLost() | PayloadRemoved():
                        self.reports.append(message)
                        link.sendall(encode(Done()))
                    case LatencyMeasured():
                        self.reports.append(message)


@pytest.fixture
def watch(plant: Plant, tmp_path: Path) -> Watch:
    plant.apply(has_copies=True)
    folder = tmp_path / "gate"
    folder.mkdir()
    return Watch(plant, folder)


def test_packets_of_a_copied_grant_are_kept_as_they_were(plant: Plant, watch: Watch) -> None:
    """Both directions, whole, in order, under the grant's name; the file is closed when the grant ends."""
    watch.start()
    opened = plant.open(42, is_copied=True)
    watch.tell(opened)
    client = plant.user.connect(PLAIN, MODBUS)
    for number in range(50):
        data = b"%04d" % number + b"q" * 1000
        assert exchange(client, data) == data
    client.close()
    eventually(lambda: list(watch.store.glob(f"*{PART}")))
    watch.tell()
    (stored,) = eventually(lambda: watch.of(PayloadStored), 20)
    assert (stored.grant, stored.subject, stored.asset, stored.was_recovered) == (42, "ada", "plc", False)
    packets = [dpkt.ip.IP(data) for data in watch.packets()]
    assert len(packets) == stored.packets
    assert sum(len(bytes(packet)) for packet in packets) == stored.bytes
    sent = [bytes(packet.data.data) for packet in packets if packet.data.dport == MODBUS and packet.data.data]
    returned = [bytes(packet.data.data) for packet in packets if packet.data.sport == MODBUS and packet.data.data]
    assert sent == returned == [b"%04d" % number + b"q" * 1000 for number in range(50)]
    assert {socket.inet_ntoa(packet.src) for packet in packets} == {USER, "192.168.10.50"}
    assert eventually((watch.store / (stored.sha256 + WHOLE)).exists)
    assert watch.of(PayloadLost) == []


def test_the_observer_holds_one_right_and_little_memory(watch: Watch) -> None:
    """CAP_NET_ADMIN, for the packet log; a process that mostly waits costs what its interpreter costs."""
    process = watch.start()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert {status[name].strip() for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0000000000001000"}
    assert status["NoNewPrivs"].strip() == "1"
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    own_kb = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    assert own_kb < 40_000


def test_operations_and_times_are_read_from_copies(plant: Plant, watch: Watch) -> None:
    """Under the grant, and said to be observed; what is not to be kept is not kept."""
    watch.start()
    opened = plant.open(42, is_copied=True)
    watch.tell(opened, stored=False)
    client = plant.user.connect(PLAIN, MODBUS)
    for number in range(20):
        time.sleep(0.002)
        assert exchange(client, poll(number)) == poll(number)  # the echo is an answer of the same exchange
    client.close()
    eventually(lambda: [r for r in watch.records() if r.kind is RecordKind.FLOW_CLOSED], 20)
    rows = [row for r in watch.records() if r.kind is RecordKind.OPERATIONS for row in r.detail["rows"]]  # type: ignore[union-attr]
    assert len(rows) == 20
    assert all(0 < row[2] < 1_000_000 and row[3] == 0 for row in rows)  # type: ignore[index,operator]
    (opening,) = [r for r in watch.records() if r.kind is RecordKind.FLOW_OPENED]
    assert (opening.grant, opening.subject, opening.detail["path"]) == (42, "ada", "kernel")
    measured = eventually(lambda: watch.of(LatencyMeasured), 20)
    assert {(each.conduit, each.path) for each in measured} == {("c", "kernel")}
    eventually(lambda: sum(sum(each.total.values()) for each in watch.of(LatencyMeasured)) == 20, 20)
    assert list(watch.store.iterdir()) == []


@pytest.mark.parametrize("protocol", ["modbus", "bacnet"])
def test_operations_and_times_are_read_from_copies_of_datagrams(plant: Plant, watch: Watch, protocol: str) -> None:
    """A datagram that breaks its protocol is counted, and hides nothing behind it."""
    watch.start()
    UdpEcho(plant.plc, "192.168.10.50", BACNET)
    opened = plant.open(43, transport="udp", port=BACNET, protocol=protocol, service=protocol, is_copied=True)
    watch.tell(opened, stored=False)
    client = plant.user.socket(kind=socket.SOCK_DGRAM)
    client.connect((PLAIN, BACNET))
    client.settimeout(2)
    who_is = bytes.fromhex("810a0008 0100 1008")
    for number in range(20):
        time.sleep(0.002)
        asked = poll(number) if protocol == "modbus" else who_is
        assert exchange(client, asked) == asked
        if number == 10:
            assert exchange(client, asked[:-1]) == asked[:-1]

    def rows() -> list[Any]:
        told = [r for r in watch.records() if r.kind is RecordKind.OPERATIONS and r.grant == 43]
        return [row for r in told for row in r.detail["rows"]]  # type: ignore[union-attr]

    wanted = 20 if protocol == "modbus" else 40  # the echo of a broadcast is one as well
    eventually(lambda: len(rows()) >= wanted, 20)
    assert len(rows()) == wanted
    told = [r for r in watch.records() if r.kind is RecordKind.OPERATIONS]
    names = {each["operation"] for r in told for each in r.detail["operations"]}  # type: ignore[union-attr,index,call-overload]
    assert names == {"modbus.read" if protocol == "modbus" else "bacnet.discovery"}
    if protocol == "modbus":
        assert all(0 < row[2] < 1_000_000 and row[3] == 0 for row in rows())
    (opening,) = [r for r in watch.records() if r.kind is RecordKind.FLOW_OPENED]
    assert (opening.grant, opening.subject, opening.detail["path"]) == (43, "ada", "kernel")
    assert list(watch.store.iterdir()) == []


def test_datagrams_are_kept_as_well(plant: Plant, watch: Watch) -> None:
    watch.start()
    UdpEcho(plant.plc, "192.168.10.50")
    opened = plant.open(43, transport="udp", port=BACNET, is_copied=True)
    watch.tell(opened)
    client = plant.user.socket(kind=socket.SOCK_DGRAM)
    client.connect((PLAIN, BACNET))
    client.settimeout(2)
    assert exchange(client, b"who-is") == b"who-is"
    eventually(lambda: list(watch.store.glob(f"*{PART}")))
    watch.tell()
    eventually(lambda: watch.of(PayloadStored), 20)
    assert [bytes(dpkt.ip.IP(data).data.data) for data in watch.packets()] == [b"who-is", b"who-is"]


def test_the_oldest_files_go_when_the_store_is_full_and_that_is_told_first(plant: Plant, watch: Watch) -> None:
    """Removal on record, the newest kept, and the flow does not notice."""
    watch.start(QUICK_FILES + SMALL_STORE)
    opened = plant.open(42, is_copied=True)
    watch.tell(opened)
    client = plant.user.connect(PLAIN, MODBUS)

    def has_removed() -> bool:
        assert exchange(client, b"q" * 900) == b"q" * 900
        time.sleep(0.1)
        return len(watch.of(PayloadRemoved)) >= 2

    eventually(has_removed, 40)
    removed = [each.sha256 for each in watch.of(PayloadRemoved)]
    stored = [each.sha256 for each in watch.of(PayloadStored)]
    assert removed == stored[: len(removed)], "in the order in which they came"
    eventually(lambda: not any((watch.store / (name + WHOLE)).exists() for name in removed))
    assert watch.of(PayloadLost) == []


def test_a_killed_observer_stops_no_flow_and_the_next_one_recovers_its_file(plant: Plant, watch: Watch) -> None:
    """What was written is stored with its record; that the rest is missing is told; then everything goes on."""
    watch.start()
    opened = plant.open(42, is_copied=True)
    watch.tell(opened)
    client = plant.user.connect(PLAIN, MODBUS)
    assert exchange(client, b"before") == b"before"
    (part,) = eventually(lambda: list(watch.store.glob(f"*{PART}")))
    eventually(lambda: b"before" in part.read_bytes())
    time.sleep(0.6)
    watch.process.send_signal(signal.SIGKILL)
    watch.process.wait()
    assert exchange(client, b"nobody") == b"nobody"
    watch.start()
    (stored,) = eventually(lambda: watch.of(PayloadStored), 20)
    assert stored.was_recovered
    (lost,) = eventually(lambda: watch.of(PayloadLost), 20)
    assert (lost.grant, lost.count, lost.from_us) == (42, None, stored.last_us)
    assert exchange(client, b"after") == b"after"
    watch.process.terminate()  # in order: what it has is on the disk, and told by the next one
    watch.process.wait()
    watch.start()
    eventually(lambda: len(watch.of(PayloadStored)) == 2, 20)
    assert len(watch.of(PayloadLost)) == 1
    carried = [bytes(dpkt.ip.IP(data).data.data) for data in watch.packets()]
    assert [data for data in carried if data] == [b"before", b"before", b"after", b"after"]


def test_copies_that_nobody_took_in_time_are_counted_exactly(plant: Plant, watch: Watch) -> None:
    """The observer stands still behind a small buffer; the flow does not notice, and every copy is kept or counted."""
    watch.start(SMALL_BUFFER + QUICK_FILES)
    UdpEcho(plant.plc, "192.168.10.50")
    opened = plant.open(43, transport="udp", port=BACNET, is_copied=True)
    watch.tell(opened)
    client = plant.user.socket(kind=socket.SOCK_DGRAM)
    client.connect((PLAIN, BACNET))
    client.settimeout(5)
    count = 3000
    for number in range(count):
        if number == 100:
            watch.process.send_signal(signal.SIGSTOP)
        if number == count - 100:
            watch.process.send_signal(signal.SIGCONT)
            time.sleep(0.5)
        assert exchange(client, b"%05d" % number + b"x" * 400) == b"%05d" % number + b"x" * 400
    eventually(lambda: len(watch.packets()) + sum(lost.count or 0 for lost in watch.of(PayloadLost)) == 2 * count, 20)
    losses = watch.of(PayloadLost)
    assert sum(lost.count for lost in losses) > 1000
    assert all(lost.from_us <= lost.until_us and not lost.is_stored for lost in losses)
    eventually(lambda: sum(stored.packets for stored in watch.of(PayloadStored)) == len(watch.packets()), 20)
