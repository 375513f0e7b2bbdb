"""The plant of the namespace tests with a real worker behind the kernel's rules, judging by a real site document."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gate_plant import GATE, INSPECTED, SAFETY, SAFETY_GRANT, SCADA, SCADA_MAC, USER, Plant, eventually, grant

from penstock.bus import JournalReader, Message, decode, encode
from penstock.lab.netns import Node
from penstock.model import (
    FIRST_WORKER_MARK,
    ArmWorker,
    Done,
    Factor,
    GatePlace,
    Grant,
    Hello,
    PublishGrant,
    PublishRevision,
    Record,
    Subject,
    SubjectKind,
    WithdrawGrant,
)
from penstock.policy import compile_policy, compile_ruleset, parse

SITE = f"""
site: works
overlay: 100.64.0.0/16
zones: {{plant: {{networks: [192.168.10.0/24], security_level: 2}}}}
assets:
  scada-1: {{zone: plant, role: scada, address: {SCADA}, mac: "{SCADA_MAC}"}}
  unit-1:
    zone: plant
    role: plc
    address: 192.168.10.51
    overlay: {INSPECTED}
    services:
      bacnet: udp/47808
      modbus: udp/502
      fins: udp/9600
      dnp3: udp/20000
      slmp: udp/5006
      profinet: 34964
      enip: 44818
      enip-io: {{protocol: enip, port: 2222, transport: udp}}
  unit-2: {{zone: plant, role: plc, address: 192.168.10.60, overlay: {SAFETY}, services: {{modbus: udp/502}}}}
conduits:
  Operators run the unit:
    from: {{group: operators}}
    to: {{asset: unit-1}}
    allow:
      bacnet: [discovery, read, write: {{objects: "analog-value:1", properties: present-value, priorities: 16}}]
      modbus: [read, write: {{holding_registers: 10-12, values: 0-550}}]
      fins: [read]
      dnp3: [read]
      slmp: [read]
      profinet: any
      enip: [discovery, read, write]
  SCADA polls the safe unit:
    from: {{role: scada}}
    to: {{asset: unit-2}}
    allow: {{modbus: [read]}}
    on_failure: open
    approved_by: somebody@works
"""
_WORKER = """
import sys, uvloop
from penstock.policy import Judge
from penstock.proxy import run_worker
from penstock.model import GatePlace, GateSettings
place = GatePlace(interface="eth0", address=sys.argv[2])
settings = GateSettings(
    state_dir=sys.argv[1], run_dir=sys.argv[1], site_path="", names=(), place=place, portal=(), tunnel=()
)
uvloop.run(run_worker(settings, Judge.of_site))
"""
ADA = Subject(name="ada", kind=SubjectKind.PERSON, groups=frozenset({"operators"}), factors=frozenset({Factor.PASSKEY}))
MACHINE = Subject(
    name="scada-1", kind=SubjectKind.MACHINE, role="scada", zone="plant", factors=frozenset({Factor.ADDRESS})
)
STANDING = grant(
    SAFETY_GRANT, SAFETY, SCADA, transport="udp", asset="unit-2", subject=MACHINE, is_safety_critical=True,
    conduits=("SCADA polls the safe unit",),
)  # fmt: skip


def ada_s(number: int, protocol: str, port: int, transport: str = "udp", **fields: Any) -> Grant:
    """A grant of Ada's for one service of unit-1."""
    values = {"protocol": protocol, "service": protocol, "port": port, "transport": transport, "asset": "unit-1"}
    return grant(number, INSPECTED, USER, subject=ADA, **(values | fields))


class Worker:
    """Control's end for one worker at a time, in a thread, the worker's process, and the reader of its journal."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._plant, self._folder = plant, folder
        self.site = parse({"site.yaml": SITE}).site
        self.grants: dict[int, Grant] = {STANDING.number: STANDING}
        self._records: list[Record] = []
        self._reader: JournalReader | None = None
        self._hellos = 0
        self._link: socket.socket | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "control.sock"))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        self.process: subprocess.Popen[Any]

    def start(self) -> None:
        """Start a worker and arm it, once it has a revision and its doors are open."""
        before = self._hellos
        self.process = self._plant.gate.popen([sys.executable, "-c", _WORKER, str(self._folder), GATE])
        eventually(lambda: self._hellos > before or self.process.poll() is not None, 20)
        assert self.process.poll() is None, "the worker ended"
        eventually(lambda: ":15002" in self._plant.gate.run(["ss", "-Huanl"]), 10)
        self._plant.control.do(ArmWorker(mark=FIRST_WORKER_MARK, pid=self.process.pid))
        time.sleep(0.5)  # it beats every 0.2 s, and finds that it stood still from its second beat on

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def open(self, opened: Grant) -> Grant:
        """Let the worker know of a grant, then the kernel."""
        self.grants[opened.number] = opened
        self._tell(PublishGrant(grant=opened))
        time.sleep(0.05)
        fields = {name: getattr(opened, name) for name in opened.__dataclass_fields__}
        self._plant.open(fields.pop("number"), **fields)
        return opened

    def withdraw(self, opened: Grant) -> None:
        """Let the worker know that a grant is gone."""
        del self.grants[opened.number]
        self._tell(WithdrawGrant(number=opened.number, reason="grant_revoked"))

    def records(self, kind: str = "") -> list[Record]:
        """All that the journal has said so far, of one kind."""
        path = self._folder / "worker-1.ring"
        if self._reader is None and path.exists():
            self._reader = JournalReader(path)
        if self._reader is not None:
            self._records += self._reader.read(time.time_ns() // 1000, is_last=True)
        return [record for record in self._records if record.kind == kind or not kind]

    def _tell(self, message: Message) -> None:
        if self._link is not None:
            self._link.sendall(encode(message))

    def _serve(self) -> None:
        while True:
            link, _ = self._listener.accept()
            with link, suppress(OSError):  # until the worker ends, however it ends
                self._talk(link)

    def _talk(self, link: socket.socket) -> None:
        with link.makefile("rb") as stream:
            while head := stream.read(4):
                message = decode(stream.read(int.from_bytes(head, "big")))
                if isinstance(message, Hello):
                    link.sendall(encode(PublishRevision(revision=1, site=self.site)))
                    for each in self.grants.values():
                        link.sendall(encode(PublishGrant(grant=each)))
                    self._link = link
                elif isinstance(message, Done):
                    self._hellos += self._hellos == 0 or self._link is link
                    continue


class Inspecting:
    """The plant, ruled by `SITE`, with a worker that is armed."""

    def __init__(self, folder: Path) -> None:
        site = parse({"site.yaml": SITE}).site
        place = GatePlace(interface="eth0", address=GATE)
        self.plant = Plant(folder, compile_ruleset(compile_policy(site, 1), place, (STANDING,)))
        self.worker = Worker(self.plant, folder / "worker")
        self.worker.start()

    def close(self) -> None:
        self.plant.close()


class UdpAsset:
    """An asset that answers datagrams with what `answer` makes of them, and remembers what it got from whom."""

    def __init__(self, node: Node, address: str, port: int, answer: Callable[[bytes], bytes]) -> None:
        self.received: list[bytes] = []
        self.peers: list[tuple[str, int]] = []
        self._answer = answer
        self.socket = node.listen(address, port, socket.SOCK_DGRAM)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # until the node is closed
            while True:
                data, peer = self.socket.recvfrom(1 << 16)
                self.received.append(data)
                self.peers.append(peer)
                if said := self._answer(data):
                    self.socket.sendto(said, peer)


class UdpClient:
    """A client's socket, connected to an overlay address: it hears answers from there, and nobody else's."""

    def __init__(self, node: Node, overlay: str, port: int, own_port: int = 0) -> None:
        self.socket = node.socket(kind=socket.SOCK_DGRAM)
        if own_port:
            self.socket.bind(("", own_port))
        self.socket.connect((overlay, port))

    def ask(self, data: bytes, timeout_s: float = 2.0) -> bytes | None:
        """What comes back, ``None`` for nothing."""
        self.socket.settimeout(timeout_s)
        try:
            self.socket.send(data)
            return self.socket.recv(1 << 16)
        except (TimeoutError, ConnectionError):
            return None
