"""The client's tunnel with a whole gate: every kind of service, overlay addresses, and a way that breaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from works import Works

from penstock.lab.layout import SITE_PATH
from penstock.lab.modbus import Conversation, Refused
from penstock.lab.netns import Node

SET_POINT = 11
DNS, FIRST, LAST = 53, 7000, 7003
ANSWER = "10.9.8.7"


@pytest.fixture
def site_text() -> str:
    """The dosing controller answers for names over UDP, and has a range of ports."""
    text = SITE_PATH.read_text()
    services = f"{{modbus: 502, dns: {{port: {DNS}, transport: udp}}, media: {{port: {FIRST}-{LAST}}}}}"
    head, _, tail = text.rpartition("    services: {modbus: 502}\n")
    text = f"{head}    services: {services}\n{tail}"
    conduit = f"""
  Operators look at the rest:
    from: {{group: operators}}
    to: {{asset: plc-dosing}}
    allow: {{udp/{DNS}: any, tcp/{FIRST}-{LAST}: any}}
    require: {{factors: two, tls: true}}
"""
    return text.replace("\ntests:\n", f"{conduit}\ntests:\n")


@dataclass
class Connected:
    """A running ``penstock connect``."""

    program: subprocess.Popen[Any]
    log: Path
    addresses: list[str]

    @property
    def said(self) -> str:
        return self.log.read_text()

    def until(self, text: str, within_s: float = 40.0) -> None:
        end = time.monotonic() + within_s
        while text not in self.said:
            assert self.program.poll() is None, self.said
            assert time.monotonic() < end, f"never said {text!r}:\n{self.said}"
            time.sleep(0.05)


@contextmanager
def connected(works: Works, *words: str, prefix: tuple[str, ...] = ()) -> Iterator[Connected]:
    """The program at maria's station, until the block ends."""
    maria, station = works.maria(), works.plant.nodes["eng-1"]
    log, ready = works.folder / "connect.log", works.folder / "ready"
    with log.open("wb") as said:
        program = station.popen(
            [*prefix, sys.executable, "-m", "penstock", "connect", "plc-dosing", "--ready-file", str(ready), *words],
            environment=works.gate.environment(maria),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    try:
        end = time.monotonic() + 30
        while not ready.exists():
            assert program.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        yield Connected(program, log, ready.read_text().split())
    finally:
        program.terminate()
        program.wait(20)


@contextmanager
def name_server(works: Works) -> Iterator[None]:
    """A real DNS server on the controller."""
    words = ["--no-daemon", "--no-resolv", "--no-hosts", f"--port={DNS}", "--bind-interfaces", "--conf-file=/dev/null"]
    words += [f"--listen-address={works.plant.address('plc-dosing')}", f"--address=/pump.example/{ANSWER}"]
    words += ["--user=root", "--pid-file"]
    server = works.plant.nodes["plc-dosing"].popen(["dnsmasq", *words], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.terminate()
        server.wait(10)


def dig(station: Node, address: str, port: str | int) -> str:
    words = ["dig", f"@{address}", "-p", str(port), "+short", "+tries=5", "+time=2", "+notcp", "pump.example"]
    with suppress(subprocess.CalledProcessError):
        return station.run(words).strip()
    return ""


def reads(station: Node, address: str, port: int) -> bool:
    with suppress(OSError, Refused), Conversation(station, address, port, timeout_s=15.0) as talk:
        return talk.read(SET_POINT) >= 0
    return False


def until_cut(talk: Conversation) -> None:
    """Go on reading until the connection is gone."""
    with pytest.raises(OSError):  # noqa: PT012 - whichever of the reads it is
        while True:
            talk.read(SET_POINT)


def test_every_service_is_reached_at_local_ports_and_with_two_capabilities_at_the_overlay_address(works: Works) -> None:
    station, overlay = works.plant.nodes["eng-1"], works.plant.overlay("plc-dosing")
    last = works.plant.nodes["plc-dosing"].listen(works.plant.address("plc-dosing"), LAST)
    last.settimeout(20)
    with name_server(works):
        with connected(works) as all_services:
            assert len(all_services.addresses) == 2 + LAST - FIRST + 1, all_services.said
            dns, *media, modbus = (address.split(":")[1] for address in all_services.addresses)
            assert dig(station, "127.0.0.1", dns) == ANSWER
            assert reads(station, "127.0.0.1", int(modbus))
            with station.connect("127.0.0.1", int(media[-1])) as client:
                client.sendall(b"hello")
                accepted, _ = last.accept()
                with accepted:
                    assert accepted.recv(5) == b"hello"
            refused = works.gate.command("connect", "plc-dosing", "--tun", station=station, person=works.maria())
            assert refused.status == 2
            assert f"{overlay} is routed already: 100.64.0.0/16 via 10.20.0.2" in refused.said
        before = station.run(["ip", "address"])
        station.ip("route del 100.64.0.0/16")
        told_what_to_run(works)
        rights = ("setpriv", "--bounding-set", "-all,+net_admin,+net_bind_service")
        with connected(works, "--tun", prefix=rights) as transparent:
            assert transparent.addresses[0].startswith(f"{overlay}:")
            values = station.run(["mbpoll", "-m", "tcp", "-0", "-1", "-r", str(SET_POINT), overlay])
            assert f"[{SET_POINT}]:" in values
            assert dig(station, overlay, DNS) == ANSWER
            assert f"{overlay}/32" in station.run(["ip", "address"])
            transparent.program.send_signal(signal.SIGKILL)
            transparent.program.wait(10)
        assert station.run(["ip", "address"]) == before, "nothing is left behind by a crash"
    works.gate.wait(lambda: len(_udp_flows(works)) >= 2, "the records of the datagram flows")
    for detail in _udp_flows(works)[:2]:
        assert detail["datagrams_from_client"] >= 1
        assert detail["datagrams_from_asset"] >= 1
        assert detail["bytes_from_asset"] > detail["datagrams_from_asset"]


def told_what_to_run(works: Works) -> None:
    """Who has no right to make a device is told how to get it, and has no grant."""
    words = ["setpriv", "--bounding-set", "-all", sys.executable, "-m", "penstock", "connect", "plc-dosing", "--tun"]
    with works.plant.nodes["eng-1"].entered():
        done = subprocess.run(
            words, env=works.gate.environment(works.maria()), capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 4, done.stderr
    assert "Operation not permitted" in done.stderr
    assert "--ambient-caps +net_admin,+net_bind_service" in done.stderr


def _udp_flows(works: Works) -> list[dict[str, Any]]:
    details = [record["detail"] for record in works.gate.records("flow.closed")]
    return [detail for detail in details if "datagrams_from_client" in detail]


def test_the_tunnel_outlasts_restarts_of_the_gate_and_another_address_without_a_new_sign_in(works: Works) -> None:
    gate, station = works.gate, works.plant.nodes["eng-1"]
    with connected(works, "--service", "modbus", "--service", "dns") as client, name_server(works):
        ports = [int(address.split(":")[1]) for address in client.addresses]
        assert reads(station, "127.0.0.1", ports[0])
        assert dig(station, "127.0.0.1", ports[1]) == ANSWER

        for name in ("worker-1", "control"):
            with Conversation(station, "127.0.0.1", ports[0], timeout_s=15.0) as talk:
                assert talk.read(SET_POINT) >= 0
                killed = gate.pid(name)
                assert killed is not None
                os.kill(killed, signal.SIGKILL)
                if name == "worker-1":
                    until_cut(talk)
            gate.wait(lambda name=name, killed=killed: gate.pid(name) not in (None, killed), f"a new {name}", 20)
            gate.wait(gate.is_ready, "the gate to be ready again", 30)
            assert reads(station, "127.0.0.1", ports[0]), client.said

        gate.stop()
        client.until("the way to the gate is gone")
        gate.start()
        assert reads(station, "127.0.0.1", ports[0]), client.said
        client.until("the way to the gate is back")
        assert dig(station, "127.0.0.1", ports[1]) == ANSWER

        with Conversation(station, "127.0.0.1", ports[0], timeout_s=20.0) as talk:
            assert talk.read(SET_POINT) >= 0
            station.ip("addr del 10.20.20.21/16 dev eth0", "addr add 10.20.20.99/16 dev eth0")
            until_cut(talk)
        assert reads(station, "127.0.0.1", ports[0]), client.said
        assert dig(station, "127.0.0.1", ports[1]) == ANSWER
        client.until("has not the address 10.20.20.21 any more")

        sources = {each["detail"]["source"].split(":")[0] for each in works.gate.records("flow.opened")}
        assert "10.20.20.99" in sources
        assert len([one for one in works.gate.records("signed_in") if one["subject"] == "maria"]) == 1
        assert client.program.poll() is None
        (number,) = [
            row["number"]
            for row in gate.admin("GET", "/admin/grants")["grants"]
            if row.get("service") == "modbus" and row.get("subject") == "maria"
        ]
        assert gate.command("grant", "revoke", str(number), station=works.plant.nodes["gate"]).status == 0
        client.until("plc-dosing modbus: the grant was revoked")
        assert dig(station, "127.0.0.1", ports[1]) == ANSWER
        suspended = gate.command("subject", "suspend", "maria", station=works.plant.nodes["gate"])
        assert suspended.status == 0, suspended.said
        assert client.program.wait(30) == 1
