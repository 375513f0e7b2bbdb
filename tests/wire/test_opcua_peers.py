"""asyncua's client and server talk through the decoder as a gate would use it, without a network between them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography.x509.oid import ExtendedKeyUsageOID

from penstock.model import Operation, OperationClass, Reason
from penstock.wire import OpcUaDecoder, Role, Side

URL = "opc.tcp://plc-1:4840/line"
Judge = Callable[[Operation], bool]


class End(asyncio.Transport):
    """What one end writes into: its bytes go through the gate."""

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
    """Judges what the client asks, as the inspected relay does; both ends count what they see."""

    def __init__(self, judge: Judge, client: asyncio.BaseProtocol, asset: asyncio.BaseProtocol) -> None:
        self.decoder, self.judge = OpcUaDecoder(), judge
        self.protocols = {Side.CLIENT: client, Side.ASSET: asset}
        self.ends = {side: End(self, side) for side in Side}
        self.operations: list[Operation] = []
        self.is_shut = False
        for side in Side:
            self.protocols[side].connection_made(self.ends[side])

    def receive(self, side: Side, data: bytes) -> None:
        for frame in self.decoder.feed(side, data):
            if frame.role is Role.REQUEST:
                self.operations.append(frame.operation)
                if not self.judge(frame.operation):
                    self.deliver(side, self.decoder.refuse(frame, Reason.OPERATION_NOT_ALLOWED))
                    continue
            self.deliver(Side.ASSET if side is Side.CLIENT else Side.CLIENT, self.decoder.forward(frame))

    def deliver(self, side: Side, data: bytes) -> None:
        if data and not self.is_shut:
            self.protocols[side].data_received(data)  # type: ignore[attr-defined]

    def shut(self) -> None:
        if not self.is_shut:
            self.is_shut = True
            for protocol in self.protocols.values():
                protocol.connection_lost(None)  # type: ignore[attr-defined]


class Plant:
    """A server with one variable and one method, and the gate in front of it."""

    def __init__(self, judge: Judge) -> None:
        self.judge, self.gates, self.server = judge, list[Gate](), Server()
        self.make_asset: Callable[[], asyncio.BaseProtocol] | None = None

    async def start(self, keys: Path) -> None:
        loop = asyncio.get_running_loop()
        loop.create_server = self.listen  # type: ignore[method-assign, assignment]
        loop.create_connection = self.connect  # type: ignore[method-assign, assignment]
        await self.server.init()
        self.server.set_endpoint(URL)
        kinds = ua.SecurityPolicyType
        policies = [kinds.NoSecurity, kinds.Basic256Sha256_Sign, kinds.Basic256Sha256_SignAndEncrypt]
        self.server.set_security_policy(policies)
        await self.server.load_certificate(keys / "cert.der")
        await self.server.load_private_key(keys / "key.pem")
        index = await self.server.register_namespace("urn:plant")
        boiler = await self.server.nodes.objects.add_object(index, "Boiler")
        self.level = await boiler.add_variable(index, "Level", 1.0)
        await self.level.set_writable()
        await boiler.add_method(index, "Reset", lambda _, x: [x], [ua.VariantType.Int64], [ua.VariantType.Int64])
        await self.server.start()

    async def listen(self, factory: Callable[[], asyncio.BaseProtocol], *_: Any) -> Any:
        self.make_asset = factory
        return _Listening()

    async def connect(self, factory: Callable[[], asyncio.BaseProtocol], *_: Any) -> None:
        assert self.make_asset is not None
        self.gates.append(Gate(self.judge, factory(), self.make_asset()))

    @property
    def operations(self) -> list[Operation]:
        return [operation for gate in self.gates for operation in gate.operations]


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


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What asyncua writes about refusals is what these tests ask for."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    made = setup_self_signed_certificate(
        folder / "key.pem", folder / "cert.der", "urn:plant", "plc-1", usage, {"countryName": "DE"}
    )
    runner.run(made)
    return folder


@pytest.fixture(scope="module")
def started(runner: asyncio.Runner, keys: Path) -> Iterator[Plant]:
    """Asyncua reads its whole address space when it starts, so all tests ask one server."""
    made = Plant(no_large_values)
    runner.run(made.start(keys))
    yield made
    runner.run(made.server.stop())


@pytest.fixture
def guarded(started: Plant) -> Plant:
    started.judge = no_large_values
    started.gates.clear()
    return started


async def secured(keys: Path, mode: ua.MessageSecurityMode) -> Client:
    client = Client(URL, timeout=2)
    cert, key = str(keys / "cert.der"), str(keys / "key.pem")
    await client.set_security(SecurityPolicyBasic256Sha256, cert, key, mode=mode)
    return client


def test_a_client_sees_an_error_for_what_is_refused_and_goes_on_with_the_rest(
    runner: asyncio.Runner, guarded: Plant
) -> None:
    async def main() -> None:
        async with Client(URL) as client:
            level = await client.nodes.root.get_child(["0:Objects", "2:Boiler", "2:Level"])
            for value in (2.5, 3.5, 4.5):
                await level.write_value(value)
                with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                    await level.write_value(99.5)
                assert await level.read_value() == value
            boiler = await client.nodes.objects.get_child("2:Boiler")
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await boiler.call_method("2:Reset", 5)
            await client.open_secure_channel(renew=True)
            assert await level.read_value() == 4.5
        assert await guarded.level.read_value() == 4.5, "what was refused never reached the server"

    runner.run(main())
    writes = [target for each in guarded.operations if each.name == "Write" for target in each.targets]
    assert [target.values for target in writes] == [(2.5,), (99.5,), (3.5,), (99.5,), (4.5,), (99.5,)]
    assert {target.aliases for target in writes} == {("/0:Objects/2:Boiler/2:Level",)}


def test_a_signed_session_is_read_and_a_refusal_ends_it_with_the_reason(
    runner: asyncio.Runner, guarded: Plant, keys: Path
) -> None:
    async def main() -> None:
        client = await secured(keys, ua.MessageSecurityMode.Sign)
        await client.connect()
        level = client.get_node(guarded.level.nodeid)
        await level.write_value(1.5)
        await client.open_secure_channel(renew=True)
        assert await level.read_value() == 1.5
        with pytest.raises(ua.uaerrors.BadUserAccessDenied):
            await level.write_value(99.5)
        client.disconnect_socket()
        assert await guarded.level.read_value() == 1.5

    runner.run(main())
    assert [each.title for each in guarded.operations if each.targets and each.targets[0].table == "Value"] == [
        "opcua.write",
        "opcua.read",
        "opcua.write",
    ]


def test_an_encrypted_session_is_one_class_and_passes_only_as_a_whole(
    runner: asyncio.Runner, guarded: Plant, keys: Path
) -> None:
    async def pass_all() -> None:
        guarded.judge = lambda _: True
        async with await secured(keys, ua.MessageSecurityMode.SignAndEncrypt) as client:
            level = client.get_node(guarded.level.nodeid)
            await level.write_value(99.5)
            await client.open_secure_channel(renew=True)
            assert await level.read_value() == 99.5

    async def refuse() -> None:
        guarded.judge = lambda operation: OperationClass.ENCRYPTED not in operation.classes
        client = await secured(keys, ua.MessageSecurityMode.SignAndEncrypt)
        with pytest.raises(ua.uaerrors.BadSecurityModeRejected):
            await client.connect()

    runner.run(pass_all())
    found = guarded.gates[-1].operations
    certificate = hashlib.sha1((keys / "cert.der").read_bytes(), usedforsecurity=False).hexdigest()
    shown = f"Basic256Sha256, client certificate {certificate}, server certificate {certificate}"
    assert {each.name for each in found} == {f"encrypted, operations not seen ({shown})"}
    assert {target.name for each in found for target in each.targets} == {URL}
    runner.run(refuse())
