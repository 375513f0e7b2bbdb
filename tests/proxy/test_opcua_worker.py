"""A worker's door, asyncua's client in front of it and asyncua's server behind it, over TCP, under a site document."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from asyncua import Client, Server, ua
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from opcua_plant import POLICIES, make_identity
from proxying import GRANT, T0

from penstock.bus import Journal, JournalReader, RingWriter
from penstock.identity import Authority
from penstock.model import Grant, HoldDecided, OperationHeld, PublishGrant, PublishRevision, Record
from penstock.policy import Judge, accept, parse
from penstock.proxy.doors import serve_transparent
from penstock.proxy.hall import Hall
from penstock.proxy.office import Clock, Office
from penstock.proxy.worker import terminator_of

SITE = """
site: plant
domain: plant.ot
overlay: 100.64.0.0/16
zones: {control: {networks: [10.20.0.0/24]}, cell: {networks: [10.20.10.0/24]}}
assets:
  scada-1: {zone: control, role: scada, address: 10.20.0.12}
  plc-1: {zone: cell, role: plc, address: 10.20.10.11, services: {opcua: SERVICE}}
conduits:
  Line: {from: {asset: scada-1}, to: {asset: plc-1}, allow: {opcua: [ALLOW]}, hold: [HOLD]}
"""
LIMITED = "discovery, auth, read, {write: {nodes: 'ns=2;i=*', values: 0-10}}"
UNREAD = "discovery, {encrypted: {endpoints: 'opc.tcp://127.0.0.1:*', security: Basic256Sha256}}"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What asyncua writes about refusals is what these tests ask for."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Worker:
    """A worker without its process; `url` is where clients find it."""

    def __init__(self, folder: Path, level: ua.NodeId) -> None:
        self.folder, self.level, self.clock = folder, level, Clock()
        ring = folder / "worker-1.ring"
        self.hall = Hall(
            Journal(RingWriter(ring, 1 << 16), self.clock.now_us()), Judge.of_site, terminator_of(folder / "keys")
        )
        self.reader = JournalReader(ring)
        self.reader.read(self.clock.now_us())
        self.url = ""
        self.seen: list[Record] = []

    def publish(self, allow: str, certificate: str = "", revision: int = 3, held: str = "") -> None:
        """Put a site document in force, and let SCADA have a grant for its service."""
        pem = certificate.strip().replace("\n", "\\n")
        service = f'{{port: 4840, server_certificate: "{pem}"}}' if certificate else "4840"
        site = SITE if held else SITE.replace(", hold: [HOLD]", "")
        document = site.replace("SERVICE", service).replace("ALLOW", allow).replace("HOLD", held)
        self.hall.publish(PublishRevision(revision=revision, site=accept(parse({"s.yaml": document}), revision).site))

    def grant(self, port: int) -> None:
        fields = {"asset": "plc-1", "service": "opcua", "protocol": "opcua", "port": port, "overlay": "127.0.0.1"}
        subject = replace(GRANT.subject, zone="control")
        grant: Grant = replace(GRANT, subject=subject, expires_at_us=None, **fields)  # type: ignore[arg-type]
        self.hall.publish(PublishGrant(grant=grant))

    async def client(self, server: str, policy: str = "Basic256Sha256") -> Client:
        client = Client(self.url, timeout=4)
        client.application_uri = "urn:client"
        files = (str(self.folder / "client.der"), str(self.folder / "client.pem"))
        mode = ua.MessageSecurityMode.SignAndEncrypt
        known = str(self.folder / server)
        await client.set_security(POLICIES[policy], *files, server_certificate=known, mode=mode)
        return client

    def records(self, kind: str) -> list[Record]:
        """What control reads of one kind, when it reads long after everything has happened."""
        self.seen += self.reader.read(self.clock.now_us() + 60_000_000)
        return [record for record in self.seen if record.kind == kind]

    async def until_held(self) -> OperationHeld:
        async with asyncio.timeout(5):
            while not (found := self.hall.holds.pending):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)
        return found[0]

    async def until_closed(self) -> None:
        async with asyncio.timeout(5):
            while self.hall.flows:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Worker]:
    """The server, and the worker's door in front of it."""
    (folder / "keys").mkdir(mode=0o700)
    server, listening = Server(), socket.create_server(("127.0.0.1", 0))
    for name in ("client", "server"):
        make_identity(folder, name, f"urn:{name}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy(list(ua.SecurityPolicyType))
    await server.load_certificate(folder / "server.der")
    await server.load_private_key(folder / "server.pem")
    level = await server.nodes.objects.add_variable(await server.register_namespace("urn:line"), "Level", 1.0)
    await level.set_writable()
    worker = Worker(folder, level.nodeid)
    worker.url = f"opc.tcp://127.0.0.1:{listening.getsockname()[1]}"

    async def dial(_grant: Grant, _port: int) -> socket.socket:
        dialled = socket.socket()
        dialled.setblocking(False)
        await asyncio.get_running_loop().sock_connect(dialled, ("127.0.0.1", port))
        return dialled

    async with server, asyncio.timeout(30), asyncio.TaskGroup() as group:
        office = Office(hall=worker.hall, clock=worker.clock, group=group, dial=dial, mark=lambda _: GRANT.number)
        task = group.create_task(serve_transparent(office, listening))
        worker.grant(listening.getsockname()[1])
        yield worker
        worker.hall.end_all("test over", worker.clock.now_us())
        task.cancel()


def make_keys(folder: Path) -> None:
    """The gate's own for OPC UA, as control makes them."""
    authority = Authority(folder / "keys", "gate", ("gate",), T0)
    authority.keep_application(authority.make_application(T0) or b"")


def pem_of(folder: Path, name: str) -> str:
    certificate = x509.load_der_x509_certificate((folder / name).read_bytes())
    return certificate.public_bytes(Encoding.PEM).decode()


def test_a_worker_ends_the_channel_and_holds_the_limits_inside_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with started(tmp_path) as worker:
            make_keys(tmp_path)
            worker.publish(LIMITED, pem_of(tmp_path, "server.der"))
            for policy in POLICIES:
                async with await worker.client("keys/opcua.der", policy) as client:
                    level = client.get_node(worker.level)
                    await level.write_value(5.5)
                    with pytest.raises(ua.uaerrors.BadOutOfRange):
                        await level.write_value(50.5)
                    assert await level.read_value() == 5.5
            await worker.until_closed()
            refused = worker.records("operation.refused")
            assert [each.detail["targets"][0]["values"] for each in refused] == [[50.5]] * 3
            lines = [line for record in worker.records("operations") for line in record.detail["operations"]]
            assert {"CreateSession", "ActivateSession", "Write", "Read"} <= {line["name"] for line in lines}

    asyncio.run(main())


def test_a_held_write_is_secured_when_it_was_approved_and_refused_when_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with started(tmp_path) as worker:
            make_keys(tmp_path)
            worker.publish(LIMITED, pem_of(tmp_path, "server.der"), held="write")
            async with await worker.client("keys/opcua.der") as client:
                level = client.get_node(worker.level)
                for value, is_approved in ((5.5, True), (6.5, False)):
                    writing = asyncio.create_task(level.write_value(value))
                    held = await worker.until_held()
                    assert not writing.done()
                    decided = HoldDecided(
                        flow=held.flow, hold=held.hold, is_approved=is_approved, decided_by="bob@local", why="as asked"
                    )
                    assert worker.hall.decide(decided)
                    if is_approved:
                        await writing
                    else:
                        with pytest.raises(ua.UaError):
                            await writing
                    assert await level.read_value() == 5.5

    asyncio.run(main())


def test_an_encrypted_channel_passes_unread_where_the_document_allows_its_endpoint(tmp_path: Path) -> None:
    async def main() -> None:
        async with started(tmp_path) as worker:
            worker.publish(UNREAD)
            async with await worker.client("server.der") as client:
                await client.get_node(worker.level).write_value(50.5)
                await client.open_secure_channel(renew=True)
                assert await client.get_node(worker.level).read_value() == 50.5
            await worker.until_closed()
            (line,) = {line["name"] for record in worker.records("operations") for line in record.detail["operations"]}
            assert line.startswith("encrypted, operations not seen (Basic256Sha256, client certificate ")
            (closed,) = worker.records("flow.closed")
            assert closed.detail["operations"] > 4
            assert closed.detail["bytes_from_asset"] > 1000
            with pytest.raises(ua.uaerrors.BadSecurityPolicyRejected):
                await (await worker.client("server.der", "Aes256_Sha256_RsaPss")).connect()
            worker.publish(LIMITED, revision=4)
            with pytest.raises(ua.uaerrors.BadSecurityModeRejected):
                await (await worker.client("server.der")).connect()

    asyncio.run(main())


def test_without_keys_nothing_passes_and_with_another_certificate_flows_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with started(tmp_path) as worker:
            worker.publish(LIMITED, pem_of(tmp_path, "server.der"))
            with pytest.raises((ua.UaError, ConnectionError, TimeoutError)):
                await Client(worker.url, timeout=1).connect()
            await worker.until_closed()
            assert [each.reason for each in worker.records("flow.closed")] == ["inspection_unavailable"]
            make_keys(tmp_path)
            client = await worker.client("keys/opcua.der")
            await client.connect()
            worker.publish(LIMITED, pem_of(tmp_path, "client.der"), revision=4)
            await worker.until_closed()
            with suppress(ua.UaError, ConnectionError, TimeoutError):
                client.disconnect_socket()
            assert "certificate was changed" in worker.records("flow.closed")[-1].detail["why"]

    asyncio.run(main())
