"""I/O: the benchmark's plant: a client, a controller, a gate's place and the other relays on one switch.

Everything lives in network namespaces of this program (`penstock.lab.netns`) and ends with it.  One core carries the
client and the controller, the other carries the gate or the relay that is measured; where there is one core only,
all share it.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from relays import Keys, relays
from report import Load

from penstock.identity import Authority
from penstock.lab.netns import Lan, Node
from penstock.model import Unavailable

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
COMPILE = ("gcc", "-O2", "-Wall", "-Wextra", "-std=gnu11")

OVERLAY = "100.64.0.0/16"
PREFIX = 24
CLIENT, GATE, RELAYS = "192.168.10.11", "192.168.10.2", "192.168.10.3"
#: The same controller thrice: the first address is inspected, the second goes over the kernel path, and so does the
#: third, with copies of every packet into the payload store.
CONTROLLER, CONTROLLER_KERNEL, CONTROLLER_COPIED = "192.168.10.50", "192.168.10.51", "192.168.10.52"
CLIENT_MAC = "02:00:00:00:10:11"
MODBUS_PORT = 502
READY_WITHIN_S = 20.0
WARM_UP_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """What a client needs for a TLS path: its keys, the protocol name (ALPN), and the first line each way, if any."""

    authority: Path
    certificate: Path
    key: Path
    alpn: str = ""
    say: str = ""
    expect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way from the client to the controller; `processes` are those that carry it.

    `talk` is what the client says (``talk.h``), in datagrams if `is_udp`; without one it polls a register.
    """

    variant: str
    address: str
    port: int
    tunnel: Tunnel | None = None
    talk: Path | None = None
    is_udp: bool = False
    processes: tuple[int, ...] = ()


@dataclass(slots=True)
class Plant:
    """The namespaces and what runs in them; `folder` is for files of this run."""

    folder: Path
    lan: Lan = field(init=False)
    client: Node = field(init=False)
    controller: Node = field(init=False)
    gate: Node = field(init=False)
    relays: Node = field(init=False)
    ways: dict[str, Way] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lay the cables, start the controller, and add the way that has nothing in between."""
        self.lan = Lan("plant")
        self.client = self.lan.add("client", f"{CLIENT}/{PREFIX}", mac=CLIENT_MAC)
        addresses = (f"{address}/{PREFIX}" for address in (CONTROLLER, CONTROLLER_KERNEL, CONTROLLER_COPIED))
        self.controller = self.lan.add("controller", *addresses)
        self.gate = self.lan.add("gate", f"{GATE}/{PREFIX}")
        self.relays = self.lan.add("relays", f"{RELAYS}/{PREFIX}")
        self.client.route(OVERLAY, GATE)
        self.start(self.controller, "controller", (str(BUILD / "device"), str(MODBUS_PORT)), far_core())
        self.ways["direct"] = Way(variant="direct", address=CONTROLLER, port=MODBUS_PORT)

    def start_relays(self) -> None:
        """Start every relay that the gate is compared with."""
        keys = make_keys(self.folder / "keys")
        tunnel = Tunnel(authority=keys.authority, certificate=keys.client_certificate, key=keys.client_key)
        for relay in relays(self.folder / "relays", f"{CONTROLLER}:{MODBUS_PORT}", keys):
            process = self.start(self.relays, relay.variant, relay.command, gate_core())
            self.ways[relay.variant] = Way(
                variant=relay.variant,
                address=RELAYS,
                port=relay.port,
                tunnel=tunnel if relay.variant in ("haproxy-tls", "stunnel") else None,
                processes=(process.pid,),
            )

    def start(self, node: Node, name: str, command: tuple[str, ...], core: int) -> subprocess.Popen[bytes]:
        """Start a program on a node and on one core; what it prints goes to a file of its name."""
        with (self.folder / f"{name}.out").open("wb") as output, on_core(core):
            return node.popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def measure(self, way: Way, load: Load) -> dict[str, float]:
        """Load a way once.  Raises `Unavailable` with the load generator's words when a single reply is missing."""
        command = (str(BUILD / "load"), *_arguments(way, load))
        try:
            with on_core(far_core()):
                printed = self.client.run(command, timeout_s=load.seconds + READY_WITHIN_S)
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"{way.variant}: {error.stderr.strip()}") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{way.variant}: the load generator did not end") from error
        figures: dict[str, float] = json.loads(printed)
        if figures["errors"] or not figures["n"]:
            raise Unavailable(f"{way.variant}: {figures['errors']} wrong replies of {figures['n']}")
        return figures

    def wait_for(self, way: Way) -> None:
        """Wait until a way answers.  Raises `Unavailable` with the last reason when it does not in time."""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                self.measure(way, Load(mode="closed", connections=1, seconds=0.05))
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def close(self) -> None:
        """End everything."""
        self.lan.close()


def _arguments(way: Way, load: Load) -> Iterator[str]:
    """What the load generator is told."""
    options = {
        "address": way.address,
        "port": way.port,
        "connections": load.connections,
        "seconds": load.seconds,
        "warm-up": WARM_UP_S,
        "interval-us": load.interval_us,
        "talk": way.talk,
        "datagrams": int(way.is_udp),
    }
    if (tunnel := way.tunnel) is not None:
        options |= {"ca": tunnel.authority, "certificate": tunnel.certificate, "key": tunnel.key}
        options |= {"alpn": tunnel.alpn, "say": tunnel.say, "expect": tunnel.expect}
    for name, value in options.items():
        if value:
            yield from (f"--{name}", str(value))


def far_core() -> int:
    """The core of the client and the controller."""
    return min(os.sched_getaffinity(0))


def gate_core() -> int:
    """The core of whatever stands between them."""
    return max(os.sched_getaffinity(0))


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Programs that are started in the block run on this core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def build() -> None:
    """Compile the load generator and the controllers.  Raises `Unavailable` with the compiler's words."""
    BUILD.mkdir(exist_ok=True)
    for name, libraries in (("load", ("-lssl", "-lcrypto")), ("device", ()), ("respondent", ())):
        words = (*COMPILE, "-o", str(BUILD / name), str(HERE / f"{name}.c"), *libraries)
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"{name}.c does not compile:\n{done.stderr}")


def make_keys(folder: Path) -> Keys:
    """Keys and certificates of the relays and their client, made as the gate makes its own (ECDSA P-256)."""
    now_us = time.time_ns() // 1000
    authority = Authority(folder, "bench", (RELAYS,), now_us)
    key, request = make_request("client-1")
    issued = authority.issue(request, "client-1", now_us + 3600 * 1_000_000, now_us)
    (folder / "client.key").write_text(key)
    (folder / "client.pem").write_text(issued.pem)
    return Keys(
        authority=folder / "ca.pem",
        certificate=folder / "gate.pem",
        key=folder / "gate.key",
        client_certificate=folder / "client.pem",
        client_key=folder / "client.key",
    )


def make_request(name: str) -> tuple[str, str]:
    """A new P-256 key and a certificate request for it, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), request.public_bytes(Encoding.PEM).decode()
