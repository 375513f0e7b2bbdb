"""Encrypted OPC UA through a whole gate, without the kernel: a person's client, the tunnel, and a server behind it."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from penstock.lab.gate import LabGate, Person, free_port
from penstock.lab.machine import Machine

SERVER = Path(__file__).with_name("peers") / "opcua_secured.py"
SITE = """
site: bench
domain: bench.ot
overlay: 100.64.0.0/16
zones: {cell: {networks: [127.0.0.0/8]}}
assets:
  plc-line: {zone: cell, role: plc, address: 127.0.0.1, services: {opcua: SERVICE}}
conduits:
  Operators set the level: {from: {group: operators}, to: {asset: plc-line}, allow: {opcua: [ALLOW]}}
"""
LIMITED = "discovery, auth, read, {write: {values: 0-10}}"
UNREAD = "discovery, {encrypted: {endpoints: 'opc.tcp://127.0.0.1:*', security: Basic256Sha256}}"


class Line:
    """The server, a gate on this machine, and what they have in common."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.machine, self.port = folder, Machine(), free_port()
        for name in ("server", "client"):
            usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            files = folder / f"{name}.pem", folder / f"{name}.der"
            asyncio.run(setup_self_signed_certificate(*files, f"urn:{name}", "localhost", usage, {"countryName": "DE"}))
        words = [sys.executable, str(SERVER), str(self.port), str(folder)]
        self.server = self.machine.popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        site = folder / "site.yaml"
        site.write_text(self.document(UNREAD))
        self.gate = LabGate.on_loopback(self.machine, folder, site)
        self.tunnel: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        """Both are there, and maria is signed in."""
        self.node = self._heard()["node"]
        self.gate.start()
        self.maria: Person = self.gate.enrol("maria", "operators", "turbine hall seven", self.machine)
        done = self.gate.login(self.maria, self.machine)
        assert done.status == 0, done.said

    def document(self, allow: str, *, ends: bool = False) -> str:
        service = str(self.port)
        if ends:
            certificate = x509.load_der_x509_certificate((self.folder / "server.der").read_bytes())
            pem = certificate.public_bytes(Encoding.PEM).decode().replace("\n", "\\n")
            service = f'{{port: {self.port}, server_certificate: "{pem}"}}'
        return SITE.replace("SERVICE", service).replace("ALLOW", allow)

    def apply(self, document: str) -> None:
        wanted = self.folder / "wanted.yaml"
        wanted.write_text(document)
        applied = self.gate.command("revision", "apply", str(wanted), station=self.machine)
        assert applied.status == 0, applied.said

    async def client(self, certificate: Path) -> Client:
        """A client at the local end of maria's tunnel, who believes this certificate and no other."""
        if self.tunnel is None:
            self.tunnel = self.gate.connect(self.maria, "plc-line", self.machine)
            assert self.tunnel.stdout is not None
            self.local_port = int(self.tunnel.stdout.readline().rpartition(":")[2])
        client = Client(f"opc.tcp://127.0.0.1:{self.local_port}", timeout=8)
        client.application_uri = "urn:client"
        own = str(self.folder / "client.der"), str(self.folder / "client.pem")
        await client.set_security(SecurityPolicyBasic256Sha256, *own, server_certificate=str(certificate))
        return client

    def _heard(self) -> dict[str, Any]:
        assert self.server.stdout is not None
        return json.loads(self.server.stdout.readline())  # type: ignore[no-any-return]

    def last_level(self) -> float:
        """What the server has at the end."""
        assert self.server.stdin is not None
        self.server.stdin.close()
        return float(self._heard()["level"])

    def close(self) -> None:
        self.gate.stop()
        self.machine.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    logging.disable(logging.CRITICAL)
    made = Line(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()
        logging.disable(logging.NOTSET)


def test_an_encrypted_channel_passes_unread_until_it_is_ended_at_the_gate(line: Line) -> None:
    async def unread() -> None:
        async with await line.client(line.folder / "server.der") as client:
            await client.get_node(line.node).write_value(50.5)
            assert await client.get_node(line.node).read_value() == 50.5

    async def ended() -> None:
        async with await line.client(line.gate.state_dir / "keys" / "opcua.der") as client:
            level = client.get_node(line.node)
            await level.write_value(5.5)
            with pytest.raises(ua.uaerrors.BadOutOfRange):
                await level.write_value(50.5)
            assert await level.read_value() == 5.5, "the client is still connected"

    asyncio.run(unread())
    line.apply(line.document(LIMITED, ends=True))
    asyncio.run(ended())
    gate = line.gate
    gate.wait(lambda: len(gate.records("flow.closed")) >= 2, "both flows to be over")
    seen = {each["name"] for record in gate.records("operations") for each in record["detail"]["operations"]}
    assert {"Write", "Read", "CreateSession"} <= seen
    assert any(name.startswith("encrypted, operations not seen (Basic256Sha256") for name in seen)
    assert [each["reason"] for each in gate.records("operation.refused")] == ["value_out_of_range"]
    assert [each["detail"]["for"] for each in gate.records("certificate.issued") if "for" in each["detail"]] == [
        "opcua"
    ]
    assert line.last_level() == 5.5
