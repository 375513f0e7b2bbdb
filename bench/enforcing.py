"""I/O: a real enforcer process in a node of the benchmark, commanded as control commands it.

It times the kernel's side alone: rulesets, grants and their ends, without policy, database and evidence.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from penstock.bus import Message, decode, encode
from penstock.lab.netns import Node
from penstock.model import Binding, Done, Failed, GatePlace, GateSettings, Grant, Subject, SubjectKind, Unavailable

READY_WITHIN_S = 20.0
ANSWER_WITHIN_S = 120.0


class Enforcer:
    """One enforcer, and the link to it.  It tells events as it would to control; they are read and dropped."""

    def __init__(self, node: Node, folder: Path, place: GatePlace) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        settings = GateSettings(
            state_dir=str(folder), run_dir=str(folder), site_path="", names=("gate",), place=place, portal=(), tunnel=()
        )
        path = folder / "settings.json"
        path.write_bytes(msgspec.json.encode(settings))
        with (folder / "enforcer.out").open("wb") as output:
            command = (sys.executable, "-m", "penstock", "process", "enforcer", "--settings", str(path))
            self.process: subprocess.Popen[bytes] = node.popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._link = self._connected(folder / "enforcer.sock")
        self.events = 0

    def do(self, message: Message) -> float:
        """Give a command; how long until its answer, in seconds.  Raises `Unavailable` when it failed."""
        began = time.perf_counter()
        self._link.sendall(encode(message))
        while True:
            answer = decode(self._exactly(int.from_bytes(self._exactly(4), "big")))
            if isinstance(answer, Done):
                return time.perf_counter() - began
            if isinstance(answer, Failed):
                raise Unavailable(answer.why)
            self.events += 1

    def event(self) -> Message:
        """The next event; for who gives no commands meanwhile."""
        return decode(self._exactly(int.from_bytes(self._exactly(4), "big")))

    def close(self) -> None:
        """Let go of the link; the process ends with its node."""
        self._link.close()

    def _connected(self, path: Path) -> socket.socket:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            link = socket.socket(socket.AF_UNIX)
            try:
                link.connect(str(path))
            except OSError as error:
                link.close()
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise Unavailable(f"the enforcer does not listen: {error}") from error
                time.sleep(0.05)
            else:
                link.settimeout(ANSWER_WITHIN_S)
                return link

    def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            part = self._link.recv(min(1 << 20, count - len(found)))
            if not part:
                raise Unavailable("the enforcer closed the link")
            found += part
        return bytes(found)


def grant(number: int, source: str, overlay: str, underlay: str, transport: str, port: int) -> Grant:
    """A person's grant for one service on the kernel path, bound to the address `source`."""
    return Grant(
        number=number,
        subject=Subject(name=f"person-{number}", kind=SubjectKind.PERSON),
        asset="asset",
        service="s",
        protocol="raw",
        transport=transport,
        port=port,
        overlay=overlay,
        underlay=underlay,
        conduits=("c",),
        binding=Binding.ADDRESS,
        revision=1,
        opened_at_us=0,
        expires_at_us=None,
        idle_s=3600,
        is_inspected=False,
        source=source,
    )
