"""The plant of the namespace tests: one flat network, two clients, a rogue, a controller, and a gate."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from penstock.bus import Message, decode, encode
from penstock.kernel.conntrack import Connections, Entry
from penstock.lab.netns import Lan, Node
from penstock.model import (
    FIRST_WORKER_MARK,
    ApplyRuleset,
    ArmWorker,
    Binding,
    CloseGrant,
    Done,
    Event,
    GatePlace,
    Grant,
    Inspected,
    OpenGrant,
    Reply,
    Ruleset,
    Standing,
    Subject,
    SubjectKind,
    Translation,
)

GATE, USER, SCADA, ROGUE = "192.168.10.2", "192.168.10.11", "192.168.10.12", "192.168.10.66"
SCADA_MAC = "02:00:00:00:00:12"
#: Overlay addresses: not inspected; inspected; inspected and safety-critical.
PLAIN, INSPECTED, SAFETY = "100.64.0.50", "100.64.0.51", "100.64.0.60"
SAFETY_GRANT = 7
MODBUS, BACNET = 502, 47808
RULESET = Ruleset(
    revision=1,
    overlay="100.64.0.0/16",
    place=GatePlace(interface="eth0", address=GATE),
    assets=tuple(
        Translation(overlay=overlay, underlay=overlay.replace("100.64.0.", "192.168.10."))
        for overlay in (PLAIN, INSPECTED, SAFETY)
    ),
    inspected=tuple(Inspected(overlay=overlay, transport="tcp", port=MODBUS) for overlay in (INSPECTED, SAFETY)),
    standing=(Standing(source=SCADA, overlay=SAFETY, transport="tcp", port=MODBUS, grant=SAFETY_GRANT),),
    hardware=((SCADA, SCADA_MAC),),
)

_ENFORCER = """
import asyncio, sys
from penstock.kernel import run_enforcer
from penstock.model import GatePlace, GateSettings
place = GatePlace(interface="eth0", address=sys.argv[2])
settings = GateSettings(
    state_dir=sys.argv[1], run_dir=sys.argv[1], site_path="", names=(), place=place, portal=(), tunnel=()
)
asyncio.run(run_enforcer(settings))
"""
Found = TypeVar("Found")


def eventually(look: Callable[[], Found], deadline_s: float = 20.0) -> Found:
    """The first true value of `look`; fails when there is none in time."""
    end = time.monotonic() + deadline_s
    while not (found := look()):
        assert time.monotonic() < end, f"did not happen in {deadline_s} s"
        time.sleep(0.002)
    return found


def grant(number: int, overlay: str = PLAIN, source: str | None = USER, **fields: Any) -> Grant:
    """A grant for the user; without a source it is bound to a certificate."""
    values: dict[str, Any] = {
        "number": number,
        "subject": Subject(name="ada", kind=SubjectKind.PERSON),
        "asset": "plc",
        "service": "modbus",
        "protocol": "modbus",
        "transport": "tcp",
        "port": MODBUS,
        "overlay": overlay,
        "underlay": overlay.replace("100.64.0.", "192.168.10."),
        "conduits": ("c",),
        "binding": Binding.ADDRESS if source else Binding.CERTIFICATE,
        "revision": 1,
        "opened_at_us": 0,
        "expires_at_us": None,
        "idle_s": 60,
        "is_inspected": overlay != PLAIN,
        "source": source,
    }
    return Grant(**values | fields)


class Control:
    """Control's end of the link to the enforcer, for one thread."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._socket.settimeout(10)
        self.events: list[Event] = []

    def ask(self, message: Message) -> Reply:
        """The answer to one command."""
        self._socket.sendall(encode(message))
        while True:
            answer = self._receive()
            if isinstance(answer, Reply):
                return answer
            self.events.append(answer)  # type: ignore[arg-type]

    def do(self, message: Message) -> None:
        """Give a command that must succeed."""
        assert self.ask(message) == Done()

    def event(self, kind: type[Found], deadline_s: float = 20.0, **fields: Any) -> Found:
        """The first event of that kind and with those fields, waiting for it if need be; it is taken out."""
        end = time.monotonic() + deadline_s
        while True:
            for event in self.events:
                if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items()):
                    self.events.remove(event)
                    return event
            self._socket.settimeout(max(0.01, end - time.monotonic()))
            self.events.append(self._receive())  # type: ignore[arg-type]

    def drain(self) -> None:
        """Take in what has been told already."""
        while select.select([self._socket], [], [], 0)[0]:
            self.events.append(self._receive())  # type: ignore[arg-type]

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> Message:
        return decode(self._exactly(int.from_bytes(self._exactly(4), "big")))

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            assert part, "the enforcer closed the link"
            data += part
        return data


class Echo:
    """A controller: answers every byte it gets, and remembers who sent what when."""

    def __init__(self, node: Node, address: str, port: int = MODBUS) -> None:
        self.peers: list[str] = []
        self.received: list[bytes] = []
        self.ended = 0
        self._listener = node.listen(address, port)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def open(self) -> int:
        """Connections that are held open: the slots of a small controller."""
        return len(self.peers) - self.ended

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return  # the node is closed
            self.peers.append(peer[0])
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(4096):
                self.received.append(data)
                connection.sendall(data)
        except OSError:
            pass
        self.ended += 1
        connection.close()


class UdpEcho:
    """A controller that answers datagrams."""

    def __init__(self, node: Node, address: str, port: int = BACNET) -> None:
        self.peers: list[str] = []
        self._socket = node.listen(address, port, socket.SOCK_DGRAM)
        threading.Thread(target=self._echo, daemon=True).start()

    def _echo(self) -> None:
        with suppress(OSError):  # until the node is closed
            while True:
                data, peer = self._socket.recvfrom(4096)
                self.peers.append(peer[0])
                self._socket.sendto(data, peer)


class Proxy:
    """Stands in for the worker: a process that relays transparently, beats, and can be killed or stopped."""

    def __init__(self, gate: Node) -> None:
        script = Path(__file__).with_name("transparent_relay.py")
        self.process = gate.popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self.sessions: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.sessions.append(json.loads(line))


class Plant:
    """Everything on one switch; the ruleset is loaded and the enforcer runs."""

    def __init__(self, folder: Path, ruleset: Ruleset = RULESET) -> None:
        self._folder = folder
        self.prelude = ""
        self.lan = Lan("lan")
        self.gate = self.lan.add("gate", f"{GATE}/24")
        self.user = self.lan.add("user", f"{USER}/24")
        self.scada = self.lan.add("scada", f"{SCADA}/24", mac=SCADA_MAC)
        self.rogue = self.lan.add("rogue", f"{ROGUE}/24")
        self.plc = self.lan.add("plc", *(f"192.168.10.{number}/24" for number in (50, 51, 60)))
        for node in (self.user, self.scada, self.rogue):
            node.route("100.64.0.0/16", GATE)
        self.plain = Echo(self.plc, "192.168.10.50")
        self.inspected = Echo(self.plc, "192.168.10.51")
        self.safety = Echo(self.plc, "192.168.10.60")
        self.ruleset = ruleset
        self.start_enforcer()
        self.control.do(ApplyRuleset(ruleset=ruleset))

    def kill_enforcer(self) -> None:
        """What the kernel holds goes on."""
        self.enforcer.kill()
        self.enforcer.wait()
        self.control.close()

    def start_enforcer(self, code: str = "") -> None:
        """Start the enforcer, behind the lines of `prelude`, and be its control.

        It is this version, or the one in the folder `code`.
        """
        path = self._folder / "enforcer.sock"
        path.unlink(missing_ok=True)
        words = [sys.executable, "-c", self.prelude + _ENFORCER, str(self._folder), GATE]
        environment = {**os.environ, "PYTHONPATH": code} if code else None
        self.enforcer = self.gate.popen(words, environment, cwd=code or None)
        eventually(lambda: path.exists() or self.enforcer.poll() is not None, 10)
        assert self.enforcer.poll() is None, "the enforcer ended"
        self.control = eventually(self.connected)

    def connected(self) -> Control | None:
        """A further control, where the enforcer listens."""
        try:
            return Control(self._folder / "enforcer.sock")
        except OSError:
            return None

    def proxy(self) -> Proxy:
        """Start a worker and arm its dead-man switch."""
        started = Proxy(self.gate)
        self.control.do(ArmWorker(mark=FIRST_WORKER_MARK))
        return started

    def open(self, number: int, ttl_ms: int = 60_000, **fields: Any) -> Grant:
        """Open a grant for the user."""
        opened = grant(number, **fields)
        self.control.do(OpenGrant(grant=opened, ttl_ms=ttl_ms))
        return opened

    def cut(self, opened: Grant) -> None:
        """Close a grant."""
        self.control.do(CloseGrant(grant=opened))

    def apply(self, **changes: Any) -> None:
        """Replace the ruleset by one with these changes."""
        self.ruleset = replace(self.ruleset, revision=self.ruleset.revision + 1, **changes)
        self.control.do(ApplyRuleset(ruleset=self.ruleset))

    def let_standing_begin(self) -> None:
        """Wait until the first ruleset's safety-critical flows are let in: without a worker that is after 3 s."""
        eventually(lambda: "elements" in self.gate.run(["nft", "list", "map", "inet", "penstock", "safety"]), 6.0)

    def counter(self, name: str) -> int:
        """The packets that a named counter of the table has seen."""
        listed = json.loads(self.gate.run(["nft", "-j", "list", "counter", "inet", "penstock", name]))
        return int(listed["nftables"][1]["counter"]["packets"])

    def dial(self, mark: int, address: str, port: int = MODBUS) -> str:
        """How an attempt of the worker to reach an asset under a mark goes."""
        script = str(Path(__file__).with_name("transparent_relay.py"))
        return self.gate.run([sys.executable, script, "dial", str(mark), address, str(port)]).strip()

    def connections(self) -> list[Entry]:
        """The gate's connection table."""
        with self.gate.entered():
            table = Connections()
        try:
            return table.marked(0, 0)
        finally:
            table.close()

    def close(self) -> None:
        self.control.close()
        self.lan.close()


def exchange(client: socket.socket, data: bytes) -> bytes:
    """What comes back for `data`; empty at the end of the connection."""
    client.sendall(data)
    return client.recv(4096)


def is_cut(client: socket.socket, data: bytes = b"write") -> bool:
    """Whether a request on this connection meets its end instead of an answer."""
    try:
        return exchange(client, data) == b""
    except ConnectionError:
        return True


def is_reset(client: socket.socket, timeout_s: float = 2.0) -> bool:
    """Whether the other end resets this idle connection in time."""
    client.settimeout(timeout_s)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
