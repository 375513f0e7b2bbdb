"""I/O: starts and watches the processes of one gate (see `plan` for what it decides).

It holds no privileges over packets and no secrets.  When it is told to stop, it stops the processes; the kernel's
table stays, so that what is safety-critical goes on and everything else is closed.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from penstock.bus.beat import last_beat_s
from penstock.bus.codec import Message, encode
from penstock.model import Hello, ProcessEnded, ProcessStarted
from penstock.supervisor.plan import Charge, Kill, Plan, Start

#: How often the supervisor looks, and how long a process may take to stop when asked.
LOOK_EVERY_S = 0.1
STOP_WITHIN_S = 5.0
MAX_PENDING_REPORTS = 1000
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How a charge is run: its command, and the listening sockets that it inherits."""

    charge: Charge
    command: tuple[str, ...]
    descriptors: tuple[int, ...] = ()


def die_with_parent() -> None:
    """In a fresh child: be told to end when the parent ends, however it ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class Supervisor:
    """Runs `programs` until it is told to stop."""

    programs: Sequence[Program]
    run_dir: Path
    say: Callable[[str], None]
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _watched: dict[str, int] = field(default_factory=dict)
    _pending: list[Message] = field(default_factory=list)
    _link: socket.socket | None = None
    _is_stopping: bool = False

    def run(self) -> None:
        """Start everything, keep it running, stop it on SIGTERM or SIGINT, in the reverse order."""
        signal.signal(signal.SIGTERM, self._asked_to_stop)
        signal.signal(signal.SIGINT, self._asked_to_stop)
        plan = Plan(tuple(program.charge for program in self.programs))
        commands = {program.charge.name: program for program in self.programs}
        with selectors.DefaultSelector() as selector:
            while not self._is_stopping:
                beats = {name: last_beat_s(self.beat_path(name)) for name in self._running}
                for step in plan.steps(time.monotonic(), beats):
                    match step:
                        case Start(name):
                            self._start(commands[name], selector)
                        case Kill(name, why):
                            self.say(f"{name}: {why}; killing it")
                            self._running[name].kill()
                selector.select(LOOK_EVERY_S)
                self._reap(plan, selector)
                self._report()
        self._stop()

    def beat_path(self, name: str) -> Path:
        """Where the process of that name beats."""
        return self.run_dir / f"{name}.beat"

    def _asked_to_stop(self, _signal: int, _frame: object) -> None:
        self._is_stopping = True

    def _start(self, program: Program, selector: selectors.BaseSelector) -> None:
        name = program.charge.name
        self.beat_path(name).unlink(missing_ok=True)
        process = subprocess.Popen(
            program.command,
            pass_fds=program.descriptors,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509  one thread
        )
        self._running[name] = process
        self._watched[name] = os.pidfd_open(process.pid)
        selector.register(self._watched[name], selectors.EVENT_READ)
        self._tell(ProcessStarted(name=name, pid=process.pid, at_us=time.time_ns() // 1000))

    def _reap(self, plan: Plan, selector: selectors.BaseSelector) -> None:
        for name, process in list(self._running.items()):
            status = process.poll()
            if status is None:
                continue
            selector.unregister(self._watched[name])
            os.close(self._watched.pop(name))
            del self._running[name]
            why = plan.ended(name, time.monotonic())
            self.say(f"{name} (pid {process.pid}) ended with status {status}; starting it again")
            ended = ProcessEnded(name=name, pid=process.pid, status=status, why=why, at_us=time.time_ns() // 1000)
            self._tell(ended)

    def _tell(self, message: Message) -> None:
        if len(self._pending) < MAX_PENDING_REPORTS:
            self._pending.append(message)

    def _report(self) -> None:
        """Hand what happened to control; what cannot be handed over now waits."""
        if not self._pending or "control" not in self._running:
            return
        try:
            if self._link is None:
                link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                link.settimeout(LOOK_EVERY_S)
                link.connect(str(self.run_dir / "control.sock"))
                link.sendall(encode(Hello(role="supervisor")))
                self._link = link
            while self._pending:
                self._link.sendall(encode(self._pending[0]))
                self._pending.pop(0)
        except OSError:
            if self._link is not None:
                self._link.close()
            self._link = None

    def _stop(self) -> None:
        for name in reversed([program.charge.name for program in self.programs]):
            process = self._running.get(name)
            if process is None:
                continue
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_WITHIN_S)
            if process.poll() is None:
                self.say(f"{name} did not stop within {STOP_WITHIN_S:g} s; killing it")
                process.kill()
                process.wait()


def python(*words: str) -> tuple[str, ...]:
    """The command that runs this same program with other words."""
    return (sys.executable, "-m", "penstock", *words)
