"""A worker's doors on loopback: plain asyncio streams as client and asset, no marks and no root."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from proxying import GRANT, READ_REPLY, PlainJudge, message

from penstock.bus import Journal, JournalReader, RingWriter
from penstock.model import Binding, GatePlace, GateSettings, Grant, PublishGrant, PublishRevision, Record, Site
from penstock.proxy.datagram_door import IP_RECVORIGDSTADDR, serve_datagrams
from penstock.proxy.doors import TunnelDoor, serve_transparent, tunnel_context
from penstock.proxy.hall import Hall, Judge
from penstock.proxy.office import Clock, Ends, Office, connected_datagrams
from penstock.proxy.tunnel import ALPN

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An asset that answers every request of 12 bytes with the same registers."""
    try:
        while True:
            request = await reader.readexactly(12)
            writer.write(message(int.from_bytes(request[:2], "big"), READ_REPLY))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An asset that sends back what it gets, and ends when the client does."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


@dataclass
class Doors:
    """A worker without its process."""

    hall: Hall
    reader: JournalReader
    clock: Clock
    keys: Path
    direct_port: int
    tunnel_port: int
    mark: int = 12
    refusals: int = 0
    datagram_port: int = 0
    direct_datagrams: int = 0
    own_ports: list[bool] = field(default_factory=list)
    may_dial: asyncio.Event = field(default_factory=asyncio.Event)
    dialled: list[int] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    seen: list[Record] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def grant(self, **changes: object) -> Grant:
        """A live grant whose overlay address is the loopback listener."""
        fields: dict[str, object] = {"overlay": "127.0.0.1", "port": self.direct_port, "expires_at_us": None}
        grant = replace(GRANT, **(fields | changes))  # type: ignore[arg-type]  # fields of Grant by name
        self.hall.publish(PublishGrant(grant=grant))
        return grant

    def tunnel_grant(self, certificate: x509.Certificate, **changes: object) -> Grant:
        """A live grant that is bound to this certificate."""
        return self.grant(
            binding=Binding.CERTIFICATE, certificate=certificate.fingerprint(hashes.SHA256()).hex(), **changes
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return self._keep(await asyncio.open_connection("127.0.0.1", self.direct_port))

    async def tunnel(
        self, name: str = "client", alpn: str | None = ALPN
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.keys / "ca.pem")
        if name:
            context.load_cert_chain(self.keys / f"{name}.pem", self.keys / f"{name}.key")
        if alpn:
            context.set_alpn_protocols([alpn])
        return self._keep(await asyncio.open_connection("127.0.0.1", self.tunnel_port, ssl=context))

    async def knock(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the tunnel that never begins the handshake."""
        return self._keep(await asyncio.open_connection("127.0.0.1", self.tunnel_port))

    def _keep(
        self, ends: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.writers.append(ends[1])
        return ends

    def records(self, kind: str) -> list[Record]:
        """What control reads of one kind, when it reads long after everything has happened."""
        later = self.clock.now_us() + 60_000_000
        self.seen += self.reader.read(later)
        return [record for record in self.seen if record.kind == kind]

    async def until_flows(self, count: int) -> None:
        """Wait until the hall has so many flows."""
        async with asyncio.timeout(5):
            while len(self.hall.flows) != count:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)

    async def until_record(self, kind: str) -> Record:
        """Wait until there is a record of this kind."""
        async with asyncio.timeout(5):
            while not (found := self.records(kind)):  # noqa: ASYNC110 - another process would poll as well
                await asyncio.sleep(0.001)
        return found[0]


@asynccontextmanager
async def doors(
    folder: Path,
    talk: Talk = answer,
    dial_error: OSError | None = None,
    judge: Callable[[Site, int], Judge] = PlainJudge.of_site,
) -> AsyncIterator[Doors]:
    """Both doors open, an asset behind them."""
    clock = Clock()
    ring = folder / "worker-1.ring"
    hall = Hall(Journal(RingWriter(ring, 1 << 15), clock.now_us()), judge)
    hall.publish(PublishRevision(revision=3, site=Site(name="s", domain="s.ot", overlay="127.0.0.0/8")))
    reader = JournalReader(ring)
    reader.read(clock.now_us())
    make_keys(folder)
    asset = await asyncio.start_server(talk, "127.0.0.1", 0)
    asset_port = asset.sockets[0].getsockname()[1]
    direct, tunnel = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    tunnel.setblocking(False)
    datagrams = open_datagrams(0)
    site = Doors(hall, reader, clock, folder, direct.getsockname()[1], tunnel.getsockname()[1])

    site.direct_datagrams = datagrams.getsockname()[1]
    site.may_dial.set()

    async def dial(grant: Grant, port: int) -> socket.socket:
        site.dialled.append(grant.number)
        site.ports.append(port)
        await site.may_dial.wait()
        if site.refusals:
            site.refusals -= 1
            raise ConnectionRefusedError(111, "Connection refused")
        if dial_error is not None:
            raise dial_error
        dialled = socket.socket()
        dialled.setblocking(False)
        await asyncio.get_running_loop().sock_connect(dialled, ("127.0.0.1", asset_port))
        return dialled

    def dial_datagrams(grant: Grant, port: int, from_own_port: bool) -> socket.socket:  # noqa: FBT001 - the office's
        site.dialled.append(grant.number)
        site.ports.append(port)
        site.own_ports.append(from_own_port)
        if dial_error is not None:
            raise dial_error
        return connected_datagrams(replace(grant, underlay="127.0.0.1"), site.datagram_port)

    async with asset, asyncio.timeout(20), asyncio.TaskGroup() as group:
        office = Office(
            hall=hall,
            clock=clock,
            group=group,
            dial=dial,
            dial_datagrams=dial_datagrams,
            answer_datagrams=answer_datagrams,
            mark=lambda _: site.mark,
            mark_in=lambda _: site.mark,
        )
        tasks = [group.create_task(serve_transparent(office, direct))]
        tasks.append(group.create_task(serve_datagrams(office, datagrams)))
        tasks.append(group.create_task(TunnelDoor(office, tunnel_context(settings_of(folder)).context).serve(tunnel)))
        try:
            yield site
        finally:
            for writer in site.writers:
                writer.close()
            for writer in site.writers:
                with suppress(OSError):
                    await writer.wait_closed()
        hall.end_all("test over", clock.now_us())
        for task in tasks:
            task.cancel()


def answer_datagrams(ends: Ends, _grant: Grant) -> socket.socket:
    """A socket that answers a client from where it asked."""
    answering = open_datagrams(ends[3])
    answering.connect(ends[:2])
    return answering


def open_datagrams(port: int) -> socket.socket:
    """A UDP socket of loopback that knows where datagrams were sent to; others may share its port."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.setsockopt(socket.IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
    opened.bind(("127.0.0.1", port))
    return opened


def settings_of(folder: Path) -> GateSettings:
    """A gate whose keys lie in this very folder."""
    place, state = GatePlace(interface="", address="127.0.0.1"), folder / "state"
    state.mkdir(exist_ok=True)
    (state / "keys").symlink_to(folder)
    return GateSettings(
        state_dir=str(state), run_dir=str(folder), site_path="", names=("gate",), place=place, portal=(), tunnel=()
    )


def make_keys(folder: Path) -> None:
    """An authority, the gate, two clients, and a client of another authority."""
    ca_key, ca = _certificate("ca", None, None)
    _write(folder, "ca", ca_key, ca)
    for name in ("gate", "client", "other"):
        _write(folder, name, *_certificate(name, ca_key, ca))
    stranger_key, stranger_ca = _certificate("ca", None, None)
    _write(folder, "stranger", *_certificate("client", stranger_key, stranger_ca))


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())


def _certificate(
    name: str, issuer_key: ec.EllipticCurvePrivateKey | None, issuer: x509.Certificate | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    return key, builder.sign(issuer_key or key, hashes.SHA256())


def _write(folder: Path, name: str, key: ec.EllipticCurvePrivateKey, made: x509.Certificate) -> None:
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
