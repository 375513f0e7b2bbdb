"""An asyncua server and asyncua clients with a gate between them that ends their channels, without a network."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncua import Client, Server, ua
from asyncua.crypto import security_policies as policies
from asyncua.crypto.permission_rules import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from proxying import T0, Inspected

from penstock.model import Decision, Operation, OperationClass, Reason
from penstock.proxy.opcua.effort import Effort
from penstock.proxy.opcua.suites import Identity, read_identity
from penstock.proxy.opcua.terminated import TerminatedRelay
from penstock.proxy.relay import Effect
from penstock.wire import OpcUaDecoder, Side

URL = "opc.tcp://plc-1:4840/line"
POLICIES = {
    "Basic256Sha256": policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": policies.SecurityPolicyAes256Sha256RsaPss,
}
Judge = Callable[[Operation], bool]


def make_identity(folder: Path, name: str, uri: str, bits: int = 2048) -> Identity:
    """A key and a certificate of its own, also as files that asyncua reads."""
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=3650))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName("plc-1")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    (folder / f"{name}.der").write_bytes(der)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / f"{name}.pem").write_bytes(key.private_bytes(*pem))
    return Identity(der=der, public=read_identity(der).public, private=key)


class End(asyncio.Transport):
    """What one end writes into."""

    def __init__(self, gate: Gate, side: Side) -> None:
        super().__init__()
        self.gate, self.side, self.is_shut = gate, side, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        asyncio.get_running_loop().call_soon(self.gate.receive, self.side, bytes(data))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("plc-1", 4840) if name == "peername" else default

    def is_closing(self) -> bool:
        return self.is_shut

    def close(self) -> None:
        if not self.is_shut:
            self.is_shut = True
            asyncio.get_running_loop().call_soon(self.gate.shut)


class Gate:
    """One connection through a relay that ends its channels; `spied` is all that the server got, in bytes."""

    def __init__(self, plant: Plant, client: asyncio.BaseProtocol, asset: asyncio.BaseProtocol) -> None:
        self.inspected = Inspected(plant.folder, decoder=OpcUaDecoder())
        self.inspected.inspection._judge = lambda operation, _: self._decide(plant.judge, operation)
        self.operations: list[Operation] = []
        self.relay = TerminatedRelay(self.inspected.inspection, plant.gate, plant.trusted, plant.effort, plant.draw)
        self.protocols = {Side.CLIENT: client, Side.ASSET: asset}
        self.ends = {side: End(self, side) for side in Side}
        self.spied, self.now_us, self.is_shut = dict.fromkeys(Side, b""), T0, False
        self.why = ""
        for side in Side:
            self.protocols[side].connection_made(self.ends[side])

    def _decide(self, judge: Judge, operation: Operation) -> Decision:
        self.operations.append(operation)
        is_allowed = judge(operation)
        reason = Reason.ALLOWED if is_allowed else Reason.OPERATION_NOT_ALLOWED
        return Decision(is_allowed=is_allowed, reason=reason, revision=1, conduit="line")

    def receive(self, side: Side, data: bytes) -> None:
        self.now_us += 1000
        effect: Effect = (self.relay.from_client if side is Side.CLIENT else self.relay.from_asset)(data, self.now_us)
        self.deliver(Side.ASSET, effect.to_asset)
        self.deliver(Side.CLIENT, effect.to_client)
        if effect.ending is not None:
            self.why = effect.ending.why
            asyncio.get_running_loop().call_soon(self.shut)

    def deliver(self, side: Side, data: bytes) -> None:
        self.spied[side] += data
        if data and not self.is_shut:
            self.protocols[side].data_received(data)  # type: ignore[attr-defined]

    def shut(self) -> None:
        if not self.is_shut:
            self.is_shut = True
            for protocol in self.protocols.values():
                protocol.connection_lost(None)  # type: ignore[attr-defined]


class Plant:
    """A server with a variable and a method, and the gate in front of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.judge, self.gates = folder, no_large_values, list[Gate]()
        self.gate = make_identity(folder, "gate", "urn:gate")
        self.trusted = make_identity(folder, "server", "urn:plant", 3072)
        self.client = make_identity(folder, "client", "urn:client")
        self.users: list[tuple[str | None, str | None]] = []
        self.effort, self.server = Effort(), Server(user_manager=self)
        self.make_asset: Callable[[], asyncio.BaseProtocol] | None = None

    def get_user(self, _server: Any, username: str | None = None, password: str | None = None, **_: Any) -> User:
        """Whom the server takes somebody for: everybody is an operator, and what they said is kept."""
        self.users.append((username, password))
        return User(role=UserRole.User, name=username)

    def draw(self, count: int) -> bytes:
        return os.urandom(count)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.create_server = self.listen  # type: ignore[method-assign, assignment]
        loop.create_connection = self.connect  # type: ignore[method-assign, assignment]
        await self.server.init()
        self.server.set_endpoint(URL)
        await self.server.set_application_uri("urn:plant")
        self.server.set_security_policy(list(ua.SecurityPolicyType))
        await self.server.load_certificate(self.folder / "server.der")
        await self.server.load_private_key(self.folder / "server.pem")
        index = await self.server.register_namespace("urn:line")
        boiler = await self.server.nodes.objects.add_object(index, "Boiler")
        self.level = await boiler.add_variable(index, "Level", 1.0)
        self.text = await boiler.add_variable(index, "Text", "")
        await self.level.set_writable()
        await self.text.set_writable()
        await self.server.start()

    async def listen(self, factory: Callable[[], asyncio.BaseProtocol], *_: Any) -> Any:
        self.make_asset = factory
        return _Listening()

    async def connect(self, factory: Callable[[], asyncio.BaseProtocol], *_: Any) -> None:
        assert self.make_asset is not None
        self.gates.append(Gate(self, factory(), self.make_asset()))

    async def secured(self, policy: str, mode: ua.MessageSecurityMode, server: str = "gate") -> Client:
        """A client that knows the certificate that it expects."""
        client = Client(URL, timeout=4)
        client.application_uri = "urn:client"
        await client.set_security(
            POLICIES[policy],
            str(self.folder / "client.der"),
            str(self.folder / "client.pem"),
            server_certificate=str(self.folder / f"{server}.der"),
            mode=mode,
        )
        return client


class _Listening:
    sockets = ()

    def close(self) -> None:
        return None

    async def wait_closed(self) -> None:
        return None


def no_large_values(operation: Operation) -> bool:
    """What a conduit with `values: 0-10` and no `execute` says."""
    values = [value for target in operation.targets for value in target.values or ()]
    return OperationClass.EXECUTE not in operation.classes and not any(
        isinstance(value, float) and value > 10 for value in values
    )
