"""asyncua's client and server in secured channels, and the gate that reads what is in them."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from hypothesis import given
from hypothesis import strategies as st
from opcua_plant import POLICIES, URL, Gate, Plant, make_identity, no_large_values
from opcua_talk import ACKNOWLEDGE, hello
from proxying import T0, Inspected

from penstock.model import HoldDecided, Reason
from penstock.proxy.opcua.effort import AT_ONCE, Effort
from penstock.proxy.opcua.suites import Identity
from penstock.proxy.opcua.terminated import HALF_US, RENEWAL_US, TerminatedRelay
from penstock.proxy.relay import Effect
from penstock.wire import OpcUaDecoder, Side

Mode = ua.MessageSecurityMode
MODES = [Mode.Sign, Mode.SignAndEncrypt]
ENCRYPT = ("Basic256Sha256", Mode.SignAndEncrypt)


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
def started(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Asyncua reads its whole address space when it starts, so all tests ask one server."""
    made = Plant(tmp_path_factory.mktemp("plant"))
    runner.run(made.start())
    yield made
    runner.run(made.server.stop())


@pytest.fixture
def guarded(started: Plant, monkeypatch: pytest.MonkeyPatch) -> Plant:
    monkeypatch.setattr(started, "judge", no_large_values)
    monkeypatch.setattr(started, "effort", Effort())
    started.gates.clear()
    started.users.clear()
    return started


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_client_reads_and_writes_and_a_refusal_is_a_fault(
    runner: asyncio.Runner, guarded: Plant, policy: str, mode: Mode
) -> None:
    async def main() -> None:
        async with await guarded.secured(policy, mode) as client:
            level = client.get_node(guarded.level.nodeid)
            for value in (2.5, 3.5):
                await level.write_value(value)
                with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                    await level.write_value(99.5)
                assert await level.read_value() == value
            await client.open_secure_channel(renew=True)
            assert await level.read_value() == 3.5
        assert await guarded.level.read_value() == 3.5

    runner.run(main())
    (gate,) = guarded.gates
    values = [target.values for each in gate.operations if each.name == "Write" for target in each.targets]
    assert values == [(2.5,), (99.5,), (3.5,), (99.5,)]
    assert gate.relay.refused == 2


def test_what_passes_on_either_side_is_encrypted_and_long_messages_are_whole(
    runner: asyncio.Runner, guarded: Plant
) -> None:
    secret = "not to be seen " * 20_000

    async def main() -> None:
        async with await guarded.secured(*ENCRYPT) as client:
            text = client.get_node(guarded.text.nodeid)
            await text.write_value(secret[:9000])
            assert await guarded.text.read_value() == secret[:9000]
            await guarded.text.write_value(secret)
            assert await text.read_value() == secret

    runner.run(main())
    (gate,) = guarded.gates
    written = [target.values for each in gate.operations if each.name == "Write" for target in each.targets]
    assert str(written[0][0]).startswith(secret[:100]), "the gate saw it"
    assert len(gate.spied[Side.ASSET]) > 9000
    assert len(gate.spied[Side.CLIENT]) > len(secret)
    assert not any(b"not to be seen" in data for data in gate.spied.values())


def test_a_client_is_told_of_changes_that_it_subscribed_to(runner: asyncio.Runner, guarded: Plant) -> None:
    class Heard:
        def __init__(self) -> None:
            self.values: asyncio.Queue[float] = asyncio.Queue()

        def datachange_notification(self, _node: Any, value: float, _data: Any) -> None:
            self.values.put_nowait(value)

    async def main() -> None:
        heard = Heard()
        await guarded.level.write_value(1.0)
        async with await guarded.secured(*ENCRYPT) as client:
            subscription = await client.create_subscription(10, heard)
            await subscription.subscribe_data_change(client.get_node(guarded.level.nodeid))
            assert await asyncio.wait_for(heard.values.get(), 5) == 1.0
            await guarded.level.write_value(6.5)
            assert await asyncio.wait_for(heard.values.get(), 5) == 6.5
            await client.open_secure_channel(renew=True)
            await guarded.level.write_value(7.5)
            assert await asyncio.wait_for(heard.values.get(), 5) == 7.5
            await subscription.delete()

    runner.run(main())
    assert "CreateMonitoredItems" in {each.name for each in guarded.gates[0].operations}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_password_reaches_the_server_and_no_record(runner: asyncio.Runner, guarded: Plant, policy: str) -> None:
    async def main() -> None:
        client = await guarded.secured(policy, Mode.SignAndEncrypt)
        client.set_user("operator")
        client.set_password("correct horse")
        async with client:
            assert await client.get_node(guarded.level.nodeid).read_value() is not None

    runner.run(main())
    assert ("operator", "correct horse") in guarded.users
    kept = [repr(record.detail) for record in guarded.gates[0].inspected.reader.read(T0 + 60_000_000)]
    assert any("ActivateSession" in each for each in kept)
    assert not any("correct horse" in each or b"correct horse".hex() in each for each in kept)


def test_endpoints_show_the_gates_certificate_and_only_what_it_can_vouch_for(
    runner: asyncio.Runner, guarded: Plant
) -> None:
    async def main() -> list[ua.EndpointDescription]:
        return await Client(URL, timeout=4).connect_and_get_server_endpoints()  # type: ignore[no-any-return]

    endpoints = runner.run(main())
    policies = {each.SecurityPolicyUri.rpartition("#")[2] for each in endpoints}
    assert policies == {"None", *POLICIES}
    assert {each.ServerCertificate for each in endpoints} == {guarded.gate.der}
    assert {each.Server.ApplicationUri for each in endpoints} == {"urn:gate"}
    tokens = {token.TokenType for each in endpoints for token in each.UserIdentityTokens}
    assert tokens == {ua.UserTokenType.Anonymous, ua.UserTokenType.UserName}


def test_a_session_without_security_is_as_before(runner: asyncio.Runner, guarded: Plant) -> None:
    async def main() -> None:
        async with Client(URL, timeout=4) as client:
            level = client.get_node(guarded.level.nodeid)
            await level.write_value(4.5)
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await level.write_value(99.5)
            assert await level.read_value() == 4.5

    runner.run(main())


async def fails(client: Client) -> None:
    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError, OSError)):
        await client.connect()


def test_another_server_is_not_believed(
    runner: asyncio.Runner, guarded: Plant, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The server that answers has not the key of the certificate that the site document names."""
    other = make_identity(tmp_path_factory.mktemp("other"), "other", "urn:plant")
    monkeypatch.setattr(guarded, "trusted", other)
    runner.run(_run(guarded))
    assert guarded.gates[0].operations == []


async def _run(guarded: Plant) -> None:
    await fails(await guarded.secured(*ENCRYPT))


def test_a_client_that_expects_the_server_itself_gets_nothing(runner: asyncio.Runner, guarded: Plant) -> None:
    async def main() -> None:
        await fails(await guarded.secured(*ENCRYPT, server="server"))

    runner.run(main())
    (gate,) = guarded.gates
    assert gate.why == "from the client: OPN is for another certificate than the gate's (OPC 10000-6, 6.7.2.3)"


def test_an_old_policy_is_refused_by_its_name(runner: asyncio.Runner, guarded: Plant) -> None:
    from asyncua.crypto.security_policies import SecurityPolicyBasic256  # noqa: PLC0415 - this one only

    async def main() -> None:
        client = Client(URL, timeout=4)
        files = (str(guarded.folder / "client.der"), str(guarded.folder / "client.pem"))
        server = str(guarded.folder / "gate.der")
        await client.set_security(SecurityPolicyBasic256, *files, server_certificate=server)
        with pytest.raises(ua.uaerrors.BadSecurityPolicyRejected):
            await client.connect()

    runner.run(main())


def test_a_gate_that_has_too_much_to_do_says_so(
    runner: asyncio.Runner, guarded: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = Effort()
    assert spent.spend(AT_ONCE, T0)
    monkeypatch.setattr(guarded, "effort", spent)

    async def main() -> None:
        client = await guarded.secured(*ENCRYPT)
        with pytest.raises(ua.uaerrors.BadTcpServerTooBusy):
            await client.connect()

    runner.run(main())


def test_a_channel_that_is_open_is_renewed_however_busy_the_gate_is(runner: asyncio.Runner, guarded: Plant) -> None:
    """Who opens channels one after another must not end those of others."""

    async def main() -> None:
        async with await guarded.secured(*ENCRYPT) as client:
            level, gate = client.get_node(guarded.level.nodeid), guarded.gates[-1]
            gate.now_us += RENEWAL_US
            while guarded.effort.spend(1, gate.now_us + 1000):
                pass
            await client.open_secure_channel(renew=True)
            await level.write_value(4.5)
            with pytest.raises(ua.uaerrors.BadTcpServerTooBusy):
                await client.open_secure_channel(renew=True)  # but not as often as anybody wants

    with suppress(ConnectionError):
        runner.run(main())
    assert runner.run(guarded.level.read_value()) == 4.5
    assert guarded.gates[-1].why == "too many openings a second"


def test_a_held_sign_in_that_cannot_be_made_anew_ends_its_flow_and_no_other(
    runner: asyncio.Runner, guarded: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with await guarded.secured(*ENCRYPT):
            gate = guarded.gates[-1]
            broken = b"\x01\0\xd3\x01\0\0" + bytes(27)
            approved = Effect(b"MSGF" + struct.pack("<IIIII", 24 + len(broken), 1, 1, 1, 1) + broken)
            monkeypatch.setattr(type(gate.inspected.inspection), "decide", lambda *_: approved)
            effect = gate.relay.decide(HoldDecided.__new__(HoldDecided), gate.now_us)
            assert effect is not None
            assert effect.ending is not None
            assert (effect.to_asset, effect.to_client[:4], effect.ending.reason) == (b"", b"ERRF", Reason.MALFORMED)
            gate.shut()

    with suppress(ConnectionError, ua.uaerrors.BadConnectionClosed):
        runner.run(main())


class Tampering(Gate):
    """Changes the bytes of one side's messages on their way to the gate."""

    side, is_on = Side.CLIENT, False
    change = staticmethod(lambda data: data)

    def receive(self, side: Side, data: bytes) -> None:
        is_hit = self.is_on and side is self.side and data[:3] == b"MSG"
        super().receive(side, self.change(data) if is_hit else data)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("flipped", "security checks failed"),
        ("cut", "security checks failed"),
        ("twice", "does not follow"),
        ("token", "no token"),
    ],
)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_what_was_changed_on_the_way_ends_the_connection_unread(
    runner: asyncio.Runner, guarded: Plant, monkeypatch: pytest.MonkeyPatch, side: Side, name: str, why: str, mode: Mode
) -> None:
    changes = {
        "flipped": lambda data: data[:40] + bytes((data[40] ^ 1,)) + data[41:],
        "cut": lambda data: data[:4] + (len(data) - 16).to_bytes(4, "little") + data[8:-16],
        "twice": lambda data: data + data,
        "token": lambda data: data[:12] + bytes((data[12] ^ 0x55,)) + data[13:],
    }
    monkeypatch.setattr("opcua_plant.Gate", Tampering)

    async def main() -> None:
        client = await guarded.secured("Basic256Sha256", mode)
        await client.connect()
        (gate,) = guarded.gates
        assert isinstance(gate, Tampering)
        gate.side, gate.change, gate.is_on = side, changes[name], True  # type: ignore[assignment]
        before = len(gate.spied[Side.ASSET])
        level = client.get_node(guarded.level.nodeid)
        with suppress(ua.UaError, ConnectionError, asyncio.TimeoutError):
            await level.write_value(5.5)
            await level.write_value(5.5)
        assert why in gate.why
        if side is Side.CLIENT and name != "twice":
            assert len(gate.spied[Side.ASSET]) == before, "nothing of it reached the server"
        client.disconnect_socket()

    runner.run(main())


def test_half_a_message_does_not_wait_for_ever(runner: asyncio.Runner, guarded: Plant) -> None:
    async def main() -> None:
        client = await guarded.secured(*ENCRYPT)
        await client.connect()
        (gate,) = guarded.gates
        gate.relay.from_client(b"MSGF\x00\x01\x00\x00half", gate.now_us)
        gate.relay.from_client(b"drip", gate.now_us + HALF_US - 2)
        assert gate.relay.tick(gate.now_us + HALF_US - 1) is None
        ending = gate.relay.tick(gate.now_us + HALF_US)
        assert ending is not None
        assert ending.reason is Reason.MALFORMED
        gate.shut()
        client.disconnect_socket()

    runner.run(main())


KINDS = st.sampled_from([b"HELF", b"ACKF", b"OPNF", b"MSGF", b"MSGC", b"MSGA", b"CLOF", b"ERRF", b"RHEF", b"XXXF"])
PIECES = st.tuples(st.sampled_from(list(Side)), KINDS, st.binary(max_size=120), st.integers(-3, 3))


@given(pieces=st.lists(PIECES, max_size=6), is_greeted=st.sampled_from([0, 1, 2]))
def test_whatever_comes_before_there_is_a_channel_ends_in_an_error_or_in_nothing(
    relay_parts: tuple[Identity, Identity, Path], pieces: list[Any], is_greeted: int
) -> None:
    """Nothing is raised, nothing is judged, and no message reaches the server."""
    own, server, folder = relay_parts
    inspected = Inspected(folder, decoder=OpcUaDecoder())
    relay = TerminatedRelay(inspected.inspection, own, server, Effort(), bytes)
    known = [(Side.CLIENT, hello()), (Side.ASSET, ACKNOWLEDGE)][:is_greeted]
    sent = b""
    for side, data in [*known, *((side, framed_by(kind, body, lie)) for side, kind, body, lie in pieces)]:
        effect = (relay.from_client if side is Side.CLIENT else relay.from_asset)(data, T0)
        sent += effect.to_asset
    assert inspected.judged == []
    assert not any(kind in sent for kind in (b"MSGF", b"MSGC", b"CLOF"))


def framed_by(kind: bytes, body: bytes, lie: int) -> bytes:
    return kind + (8 + len(body) + lie).to_bytes(4, "little", signed=True) + body


@pytest.fixture(scope="module")
def relay_parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Identity, Identity, Path]:
    folder = tmp_path_factory.mktemp("relay")
    return make_identity(folder, "own", "urn:gate"), make_identity(folder, "server", "urn:plant"), folder
