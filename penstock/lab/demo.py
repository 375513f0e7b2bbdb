"""I/O: brings up the simulated plant with a real gate in it, plays the story, stays up, and leaves nothing behind.

The portal's and the tunnel's listening sockets are opened before the private namespaces are entered, so the
machine's own browser and client reach the gate on loopback while everything else is out of reach.
"""

from __future__ import annotations

import fcntl
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pyotp

from penstock.lab.gate import TOTP_STEP_S, LabGate
from penstock.lab.narrator import Narrator
from penstock.lab.netns import enter
from penstock.lab.plant import Plant
from penstock.lab.story import PASSWORD, Scene, play
from penstock.model import Invalid, Problem, Unavailable

SITE = Path(__file__).with_name("site.yaml")
PREFIX = "penstock-demo-"
SECRET, USED = "maria.otpauth", "maria.used"
PICTURE = """
    control room              engineering                  filtration
    scada-1     10.20.0.12    eng-1    10.20.20.21         plc-filter-1  10.20.10.11  overlay 100.64.10.11
    historian-1 10.20.0.30    rogue-1  10.20.20.66 (!)     plc-dosing    10.20.10.12  overlay 100.64.10.12
         |                        |                             |
    -----+------------------------+---------+-------------------+-----   one flat switch, unchanged
                                            |
                                    gate 10.20.0.2, one leg: kernel rules, inspection, evidence
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """Where the demo listens on the machine's loopback, and what it does."""

    portal_port: int = 8443
    tunnel_port: int = 8444
    plays_story: bool = True
    stays_up: bool = True


def run_demo(settings: DemoSettings) -> bool:
    """Play the story; returns whether every step was as claimed.  Raises `Unavailable`, `Invalid`."""
    signal.signal(signal.SIGTERM, _interrupt)
    tell = Narrator(sys.stdout)
    with ExitStack() as stack:
        portal = stack.enter_context(_listening(settings.portal_port, "--portal-port"))
        tunnel = stack.enter_context(_listening(settings.tunnel_port, "--tunnel-port"))
        folder = stack.enter_context(_folder())
        enter()
        tell.heading("A small plant, in network namespaces of its own")
        plant = Plant(folder)
        stack.callback(plant.stop)
        plant.start()
        print(PICTURE)
        gate = _gate(plant, folder, portal, tunnel, settings)
        stack.callback(gate.stop)
        gate.start()
        maria = gate.enrol("maria", "operators", PASSWORD, plant.nodes["eng-1"])
        _write_private(folder / SECRET, maria.totp.provisioning_uri(name="maria", issuer_name="Penstock demo"))
        scene = Scene(plant=plant, gate=gate, folder=folder, tell=tell, maria=maria)
        is_as_claimed = play(scene) if settings.plays_story else True
        if settings.stays_up:
            _write_private(folder / USED, str(maria.last_step))
            _stay_up(tell, plant, gate, folder, settings)
        tell.heading("Taking everything down")
    print("    nothing of it is left behind", flush=True)
    return is_as_claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A one-time code, and for how many seconds to wait until the gate takes it: it takes each one once."""

    digits: str
    wait_s: float


def current_code() -> Code:
    """The next one-time code of maria's authenticator that was not used.  Raises `Unavailable` where no demo is up."""
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        with suppress(OSError):
            authenticator: Any = pyotp.parse_uri((folder / SECRET).read_text())
            now, used = time.time(), int((folder / USED).read_text())
            step = max(int(now) // TOTP_STEP_S, used + 1)
            return Code(digits=authenticator.at(step * TOTP_STEP_S), wait_s=max(0.0, (step - 1) * TOTP_STEP_S - now))
    raise Unavailable("no demo of yours is up; start one with make demo")


def _gate(plant: Plant, folder: Path, portal: socket.socket, tunnel: socket.socket, settings: DemoSettings) -> LabGate:
    address = plant.address("gate")
    return LabGate(
        node=plant.nodes["gate"],
        folder=folder,
        site=SITE,
        address=address,
        portal=(f"{address}:8443", f"127.0.0.1:{settings.portal_port}@{portal.fileno()}"),
        tunnel=(f"{address}:{settings.tunnel_port}", f"127.0.0.1:{settings.tunnel_port}@{tunnel.fileno()}"),
        responders=(f"{address}:53",),
        descriptors=(portal.fileno(), tunnel.fileno()),
    )


def _stay_up(tell: Narrator, plant: Plant, gate: LabGate, folder: Path, settings: DemoSettings) -> None:
    penstock = Path(sys.executable).with_name("penstock")
    tell.heading("The plant stays up until Ctrl-C")
    for line in (
        f"portal      https://127.0.0.1:{settings.portal_port}   (its certificate is the gate's own: accept it once)",
        f"sign in     maria / {PASSWORD} / the code below, or: {penstock} demo --code",
        "as a client, in another terminal:",
        f"            {penstock} login --gate https://127.0.0.1:{settings.portal_port} --as maria",
        f"            {penstock} ls",
        f"            {penstock} connect plc-dosing      then mbpoll as it tells you",
        "try         a value above 550; a second connect; a kill -9 of a gate process:",
        "            " + ", ".join(f"{name} {gate.pid(name)}" for name in ("enforcer", "control", "worker-1")),
        f"evidence    {penstock} evidence search {gate.evidence}",
        "administer  " + f"PENSTOCK_RUN={gate.run_dir} {penstock} status",
        f"logs        {folder / 'gate.log'}",
    ):
        print(f"    {line}", flush=True)
    with suppress(KeyboardInterrupt):
        while gate.process is not None and gate.process.poll() is None:
            if sys.stdout.isatty():
                lines = plant.polls("scada-1").lines()
                answered = sum(1 for line in lines if line["ok"])
                code = current_code()
                when = f"in {code.wait_s:2.0f} s" if code.wait_s else "now    "
                polls = f"{answered} of {len(lines)} polls answered"
                print(f"\r    code {code.digits} ({when})   scada-1: {polls} ", end="", flush=True)
            time.sleep(1)


@contextmanager
def _listening(port: int, option: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            why = f"port {port} of this machine's loopback is taken"
            raise Invalid(Problem(where=option, why=why, hint=f"give another one: penstock demo {option} N")) from error
        listening.listen(512)
        yield listening


@contextmanager
def _folder() -> Iterator[Path]:
    """A private folder that is removed at the end; what killed demos left is removed as well."""
    for old in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), (old / "lock").open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with (folder / "lock").open("w+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_private(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
