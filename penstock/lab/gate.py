"""I/O: a real gate in the simulated plant, driven as its people drive it: the command line and the portal's API.

Stands beside the plant; serves the demo, the journeys and the benchmarks.  It must never reach into the gate's
packages: what it knows of the gate is what any user can know.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp

from penstock.lab.machine import Machine, free_port
from penstock.lab.netns import Node
from penstock.model import PenstockError

READY_WITHIN_S = 30.0
TOTP_STEP_S = 30


class LabFailure(PenstockError):
    """Something in the lab did not happen as it should have; the text says what."""


@dataclass(slots=True)
class LabGate:
    """One gate with its folders below `folder`, its leg on `node`, and the people who use it."""

    node: Node | Machine
    folder: Path
    site: Path
    address: str
    interface: str = "eth0"
    portal: Sequence[str] = ()
    tunnel: Sequence[str] = ()
    descriptors: Sequence[int] = ()
    responders: Sequence[str] = ()
    cards: Sequence[str] = ()
    portal_port: int = 8443
    has_kernel: bool = True
    process: subprocess.Popen[bytes] | None = None
    people: dict[str, Person] = field(default_factory=dict)

    @classmethod
    def on_loopback(cls, machine: Machine, folder: Path, site: Path, *, has_cards: bool = False) -> LabGate:
        """A gate on this machine, without the kernel, on free ports of 127.0.0.1."""
        portal, tunnel, cards = free_port(), free_port(), (free_port(),) if has_cards else ()
        return cls(
            node=machine,
            folder=folder,
            site=site,
            address="127.0.0.1",
            portal=(f"127.0.0.1:{portal}",),
            tunnel=(f"127.0.0.1:{tunnel}",),
            cards=tuple(f"127.0.0.1:{port}" for port in cards),
            portal_port=portal,
            has_kernel=False,
        )

    @property
    def run_dir(self) -> Path:
        """Local sockets and journals."""
        return self.folder / "run"

    @property
    def state_dir(self) -> Path:
        """Keys, state and evidence."""
        return self.folder / "state"

    @property
    def evidence(self) -> Path:
        """The folder of the evidence log."""
        return self.state_dir / "evidence"

    @property
    def url(self) -> str:
        """Where the plant network finds the portal."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"https://{host}:{self.portal_port}"

    def start(self) -> None:
        """Start the gate and wait until its worker judges.  Raises `LabFailure` with the gate's own words."""
        log = (self.folder / "gate.log").open("ab")
        words = ["--state", str(self.state_dir), "--run", str(self.run_dir), "--site", str(self.site)]
        words += ["--interface", self.interface] if self.has_kernel else ["--no-kernel"]
        words += ["--address", self.address]
        words += ["--name", self.address, "--name", "localhost", "--name", "127.0.0.1"]
        for option, addresses in (
            ("--portal", self.portal),
            ("--tunnel", self.tunnel),
            ("--names", self.responders),
            ("--cards", self.cards),
        ):
            words += [word for address in addresses for word in (option, address)]
        self.process = self.node.popen(
            [sys.executable, "-m", "penstock", "serve", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=self.descriptors,
        )
        log.close()
        self.wait(self.is_ready, "the gate to be ready", READY_WITHIN_S)

    def stop(self) -> None:
        """Stop the gate in order; it gets ten seconds."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the gate printed."""
        with suppress(OSError):
            return "\n".join((self.folder / "gate.log").read_text().splitlines()[-lines:])
        return ""

    def wait(self, is_true: Callable[[], bool], what: str, within_s: float = 10.0) -> float:
        """Wait until something is so; returns how long it took, in seconds.  Raises `LabFailure`."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            if self.process is not None and self.process.poll() is not None:
                raise LabFailure(f"the gate ended while waiting for {what}:\n{self.log_tail()}")
            if is_true():
                return time.monotonic() - began
            time.sleep(0.02)
        raise LabFailure(f"waited {within_s:g} s for {what}; the gate's last words:\n{self.log_tail()}")

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the administrator's API on the gate's local socket; ``{}`` while nobody listens there."""
        connection = _UnixConnection(str(self.run_dir / "admin.sock"))
        try:
            return _call(connection, method, path, body)
        except OSError:
            return {}
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """What the gate says of itself."""
        answer = self.admin("GET", "/admin/status")
        return answer if isinstance(answer, dict) else {}

    def is_ready(self) -> bool:
        """Whether it enforces, inspects and records."""
        status = self.status()
        enforcer = "in force" if self.has_kernel else "none (--no-kernel)"
        is_whole = status.get("enforcer") == enforcer and status.get("inspection") == "alive"
        return bool(status.get("revision")) and is_whole and bool(status.get("evidence", {}).get("is_healthy"))

    def pid(self, name: str) -> int | None:
        """The process number of one of the gate's processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children") if self.process else None
        for child in children.read_text().split() if children else ():
            with suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if b"process" in words and words[words.index(b"process") + 1] == name.encode():
                    return int(child)
        return None

    def kernel(self) -> str:
        """The gate's table, as the kernel has it."""
        return self.node.run(["nft", "list", "table", "inet", "penstock"])

    def enrol(self, name: str, group: str, password: str, station: Node | Machine) -> Person:
        """Add a person and enrol her second factor from `station`, as she would at the portal."""
        code = self.admin("POST", "/admin/subjects", {"name": name, "groups": [group]})["code"]
        uri = self.api(station, "POST", "/api/enrolments", {"code": code})["otpauth_uri"]
        person = Person(name=name, password=password, totp=pyotp.parse_uri(uri), home=self.folder / f"home-{name}")
        body = {"code": code, "password": password, "totp": person.code()}
        self.api(station, "POST", "/api/enrolments/confirm", body)
        self.people[name] = person
        return person

    def api(self, station: Node | Machine, method: str, path: str, body: Any = None, bearer: str = "") -> Any:
        """One call of the portal's API from a station on the plant network."""
        context = ssl.create_default_context(cafile=str(self.state_dir / "keys" / "ca.pem"))
        with station.entered():
            connection = http.client.HTTPSConnection(self.address, self.portal_port, context=context, timeout=10)
            try:
                return _call(connection, method, path, body, bearer)
            finally:
                connection.close()

    def command(self, *words: str, station: Node | Machine, person: Person | None = None, typed: str = "") -> Done:
        """Run ``penstock …`` at a station and wait for its end."""
        with station.entered():
            done = subprocess.run(
                [sys.executable, "-m", "penstock", *words],
                input=typed,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env=self.environment(person),
            )
        return Done(status=done.returncode, printed=done.stdout, said=done.stderr)

    def search(self, *words: str) -> list[dict[str, Any]]:
        """All entries of the evidence that fit, the oldest first, as the command line finds them."""
        found = self.command(
            "evidence", "search", str(self.evidence), "--json", "--limit", "0", *words, station=self.node
        )
        return [json.loads(line) for line in found.printed.splitlines() if line.startswith("{")]

    def records(self, kind: str) -> list[dict[str, Any]]:
        """All records of a kind."""
        return self.search("--kind", kind)

    def environment(self, person: Person | None) -> Mapping[str, str]:
        """The environment of a person's shell, or of the administrator's."""
        environment = {**os.environ, "PENSTOCK_RUN": str(self.run_dir), "PENSTOCK_STATE": str(self.state_dir)}
        if person is not None:
            environment["PENSTOCK_HOME"] = str(person.home)
            environment["PENSTOCK_KEYS"] = "files"  # the lab's people have no place in the visitor's own key store
        return environment

    def login(self, person: Person, station: Node | Machine) -> Done:
        """``penstock login`` with password and a fresh code."""
        words = ("login", "--gate", self.url, "--ca", str(self.state_dir / "keys" / "ca.pem"), "--as", person.name)
        return self.command(
            *words, "--password-stdin", station=station, person=person, typed=f"{person.password}\n{person.code()}\n"
        )

    def connect(self, person: Person, asset: str, station: Node | Machine, *words: str) -> subprocess.Popen[Any]:
        """``penstock connect`` as a running program; it prints a local address a line."""
        return station.popen(
            [sys.executable, "-m", "penstock", "connect", asset, *words],
            environment=self.environment(person),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended: exit status, what it printed (data), what it said (everything else)."""

    status: int
    printed: str
    said: str


@dataclass(slots=True, kw_only=True)
class Person:
    """Somebody with a password and an authenticator, and a home folder for the client's profile."""

    name: str
    password: str = field(repr=False)
    totp: Any = field(repr=False)
    home: Path
    last_step: int = 0

    def code(self) -> str:
        """A code that the gate has not seen yet: waits for the next half minute where the present one is used up."""
        step = int(time.time()) // TOTP_STEP_S
        if step <= self.last_step:
            step = self.last_step + 1  # the gate accepts one step ahead
            while int(time.time()) // TOTP_STEP_S < step - 1:
                time.sleep(0.2)
        self.last_step = step
        return str(self.totp.at(step * TOTP_STEP_S))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("gate", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _call(connection: http.client.HTTPConnection, method: str, path: str, body: Any, bearer: str = "") -> Any:
    headers = {"Content-Type": "application/json"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= http.HTTPStatus.BAD_REQUEST:
        raise LabFailure(f"{method} {path}: HTTP {answer.status} {content[:300].decode(errors='replace')}")
    return json.loads(content) if content else {}
