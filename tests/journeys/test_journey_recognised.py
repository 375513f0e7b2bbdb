"""Real OpenSSH, HTTP and TLS through a whole gate, as services that a conduit permits by their names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_journey_client import Bench
from works import Works

from penstock.lab.layout import DOSING_PLC, HISTORIAN, SITE_PATH

SERVICES = "services: {modbus: 502, panel: {protocol: http, port: 80}, secure: {protocol: https, port: 443}}"
CONDUIT = """
  The historian looks after the dosing controller:
    from: {asset: historian-1}
    to: {asset: plc-dosing}
    allow: {http: any, https: any}
"""
#: A web server of the standard library: on port 80 in clear text, on 443 with TLS.
SERVER = """
import functools, http.server, ssl, sys, threading
folder, address = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder + "/www")
clear, secure = (http.server.ThreadingHTTPServer((address, port), handler) for port in (80, 443))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/panel.pem", folder + "/panel.key")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=clear.serve_forever).start()
secure.serve_forever()
"""
PAGE = os.urandom(3_000_000)


@pytest.fixture
def site_text() -> str:
    """The controller offers a shell and a panel, and the historian may use them."""
    text = SITE_PATH.read_text()
    before, dosing = text.split("  plc-dosing:\n", 1)
    text = f"{before}  plc-dosing:\n{dosing.replace('services: {modbus: 502}', SERVICES, 1)}"
    return text.replace("conduits:\n", f"conduits:\n{CONDUIT}", 1)


class Peers:
    """The real servers on the controller, and their clients at the historian."""

    def __init__(self, works: Works) -> None:
        self.works, self.folder = works, works.folder / "peers"
        self.folder.mkdir()
        self.plc, self.historian = works.plant.nodes["plc-dosing"], works.plant.nodes["historian-1"]
        self.panel = self._start_panel()
        for port in (80, 443):
            works.gate.wait(lambda port=port: self._listens(port), f"port {port} of the controller")

    def _listens(self, port: int) -> bool:
        with suppress(OSError):
            self.plc.connect(DOSING_PLC.address, port).close()
            return True
        return False

    def _start_panel(self) -> subprocess.Popen[Any]:
        (self.folder / "www").mkdir()
        (self.folder / "www" / "trend.bin").write_bytes(PAGE)
        keys = self.works.gate.state_dir / "keys"
        shutil.copy(keys / "gate.pem", self.folder / "panel.pem")
        shutil.copy(keys / "gate.key", self.folder / "panel.key")
        command = [sys.executable, "-c", SERVER, str(self.folder), DOSING_PLC.address]
        return self.plc.popen(command, stderr=subprocess.DEVNULL)

    def curl(self, url: str, *more: str) -> subprocess.CompletedProcess[bytes]:
        """A page over HTTP or TLS, through the gate."""
        return self._at_historian("curl", "--silent", "--insecure", "--max-time", "20", *more, url)

    def _at_historian(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        with self.historian.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as program:
            out, _ = program.communicate(timeout=30)
        return subprocess.CompletedProcess(command, program.returncode, out)

    def said(self, port: int, data: bytes) -> bytes:
        """What comes back for these bytes, until the connection is over."""
        heard = b""
        with self.historian.connect(DOSING_PLC.overlay, port) as client:
            client.sendall(data)
            with suppress(ConnectionError):
                while found := client.recv(4096):
                    heard += found
        return heard

    def ended(self, protocol: str) -> list[dict[str, Any]]:
        """The records of ended flows of the historian over this protocol."""
        found = self.works.gate.records("flow.closed")
        return [each for each in found if each["protocol"] == protocol and each["subject"] == HISTORIAN.name]


@pytest.fixture
def peers(works: Works) -> Iterator[Peers]:
    """Everything is up."""
    made = Peers(works)
    yield made
    made.panel.terminate()
    made.panel.wait()


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[Bench]:
    """A gate and an sshd on this machine: the latter needs the machine's own root, or an ordinary user."""
    made = Bench(tmp_path, allow="ssh")
    done = made.gate.login(made.maria, made.machine)
    assert done.status == 0, done.said
    yield made
    made.close()


def test_openssh_works_as_the_service_that_it_is(shells: Bench) -> None:
    done = shells.ssh("-o", "StrictHostKeyChecking=accept-new", "head -c 2000000 /dev/zero | wc -c")
    assert (done.returncode, done.stdout.strip()) == (0, "2000000"), done.stderr
    gate = shells.gate
    gate.wait(lambda: bool(gate.records("flow.closed")), "the end of the flow")
    (record,) = gate.records("flow.closed")
    told = record["detail"]["told"]
    assert [told[key].startswith("SSH-2.0-OpenSSH") for key in ("client_banner", "asset_banner")] == [True, True]
    names = {line["name"] for each in gate.records("operations") for line in each["detail"]["operations"]}
    assert names == {"banner", "key exchange", "encrypted session"}


def test_what_is_no_ssh_does_not_reach_sshd(shells: Bench) -> None:
    tunnel = shells.gate.connect(shells.maria, "hmi-1", shells.machine)
    assert tunnel.stdout is not None
    port = int(tunnel.stdout.readline().rpartition(":")[2])
    with shells.machine.connect("127.0.0.1", port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: hmi-1\r\n\r\n")
        with suppress(ConnectionError):
            assert b"HTTP" not in client.recv(4096)
    gate = shells.gate
    gate.wait(lambda: bool(gate.records("flow.closed")), "the end of the flow")
    (record,) = gate.records("flow.closed")
    assert record["reason"] == "wrong_protocol"
    assert record["detail"]["why"] == "what the client sent first is no ssh; it begins as http does"
    assert "Invalid" not in (shells.folder / "sshd.log").read_text()


def test_real_clients_and_servers_work_and_what_they_ask_for_is_on_record(peers: Peers) -> None:
    gate = peers.works.gate
    assert peers.curl(f"http://{DOSING_PLC.overlay}/trend.bin?token=sesame42").stdout == PAGE
    assert peers.curl(f"https://{DOSING_PLC.overlay}/trend.bin").stdout == PAGE
    gate.wait(lambda: len(peers.ended("http")) == len(peers.ended("https")) == 1, "the ends of all flows")
    assert peers.ended("https")[0]["detail"]["told"] == {"tls_version": "TLSv1.3"}
    lines = [line for each in gate.records("operations") for line in each["detail"]["operations"]]
    names = {line["name"]: line for line in lines}
    assert {"GET", "Client Hello", "encrypted data"} <= set(names)
    assert names["GET"]["targets"][0]["name"] == "/trend.bin"
    assert names["GET"]["conduit"] == "The historian looks after the dosing controller"
    assert "sesame42" not in repr(lines) + bytes.fromhex(names["GET"]["data"]).decode()


#: What comes to a port, over which protocol it is declared, and what the record says that it looks like.
STRAY = [
    (80, b"SSH-2.0-client\r\n", "http", "ssh"),
    (80, bytes.fromhex("0001 0000 0006 01 03 0000 0002"), "http", "modbus"),
    (443, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "https", "http"),
    (443, bytes.fromhex("6804 07000000"), "https", "iec104"),
]


def test_a_flow_that_is_not_what_its_service_declares_is_refused_with_the_reason(peers: Peers) -> None:
    gate = peers.works.gate
    for number, (port, data, protocol, like) in enumerate(STRAY):
        assert peers.said(port, data) == b""
        count = sum(each[2] == protocol for each in STRAY[: number + 1])
        gate.wait(lambda protocol=protocol, count=count: len(peers.ended(protocol)) == count, "the end of the flow")
        last = peers.ended(protocol)[-1]
        assert last["reason"] == "wrong_protocol"
        assert last["detail"]["why"] == f"what the client sent first is no {protocol}; it begins as {like} does"
    assert peers.curl(f"http://{DOSING_PLC.overlay}:443/").returncode != 0
    assert peers.curl(f"https://{DOSING_PLC.overlay}:80/").returncode != 0
