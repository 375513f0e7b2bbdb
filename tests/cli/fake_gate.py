"""A gate as the command line sees it: JSON over TLS, a tunnel port, an admin socket; nothing behind them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
FAR = "2099-01-01T00:00:00+00:00"


class TestAuthority:
    """A certificate authority of its own."""

    __test__ = False

    def __init__(self, name: str = "test authority") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            self._builder(self.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def issue(self, name: str, key: Any) -> str:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
        builder = self._builder(subject, key).add_extension(host, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def sign_request(self, csr_pem: str, name: str = "maria") -> str:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        assert request.is_signature_valid
        return self.issue(name, request.public_key())

    def server_context(self, folder: Path) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        path = folder / f"{id(self)}.pem"
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        path.write_text(text + self.issue("gate", key.public_key()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )


@dataclass
class Asked:
    """One request that arrived."""

    method: str
    path: str
    body: Any
    bearer: str | None


Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@dataclass
class Answers:
    """What is answered to what; everything that was asked is kept."""

    routes: dict[tuple[str, str], Answer | Callable[[Asked], Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        found = self.routes.get((asked.method, asked.path), (404, {"error": "not found", "problems": []}))
        return found(asked) if callable(found) else found


def request_class(answers: Answers) -> type[BaseHTTPRequestHandler]:
    class Request(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = Asked(self.command, self.path, body, self.headers.get("Authorization"))
            status, content, *headers = answers.answer(asked)
            text = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            for name, value in (headers[0] if headers else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815  the names that http.server calls

        def log_message(self, *_: Any) -> None:
            return

        def address_string(self) -> str:
            return "test"

    return Request


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that does not believe the certificate is no error of the test."""


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TlsTcpServer(socketserver.ThreadingTCPServer):
    """One thread a connection; the handshake happens in it."""

    allow_reuse_address = daemon_threads = True
    context: ssl.SSLContext

    def finish_request(self, request: Any, address: Any) -> None:
        try:
            with self.context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, address)
        except OSError:
            return

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is no error of the test."""


@dataclass
class FakeTunnel:
    """Takes flows as the gate does, then echoes in upper case; what it saw is kept."""

    answer: bytes = b'{"ok": true}\n'
    prefaces: list[bytes] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    alpns: list[str | None] = field(default_factory=list)
    protocol: str = "penstock/1"

    def serve(self, flow: ssl.SSLSocket) -> None:
        peer = flow.getpeercert() or {}
        self.peers.append(dict(pair[0] for pair in peer["subject"])["commonName"])
        self.alpns.append(flow.selected_alpn_protocol())
        reader = flow.makefile("rb")
        self.prefaces.append(reader.readline())
        flow.sendall(self.answer)
        while data := reader.read1(65536):
            flow.sendall(data.upper())


@contextmanager
def tunnel_port(authority: TestAuthority, folder: Path, tunnel: FakeTunnel, port: int = 0) -> Iterator[int]:
    context = authority.server_context(folder)
    context.load_verify_locations(cadata=authority.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols([tunnel.protocol])

    class Flow(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            tunnel.serve(self.request)

    server = TlsTcpServer((HOST, port), Flow)
    server.context = context
    with running(server):
        yield server.server_address[1]


DEVICE = {
    "device_code": "a-device-code", "user_code": "WDJBMJHT", "verification_path": "/device",
    "expires_in": 600, "interval": 5,
}  # fmt: skip
PROVED = {
    "subject": "maria", "factors": ["password", "totp"], "strength": "two", "proved_at": FAR, "expires_at": FAR,
}  # fmt: skip


class FakeGate:
    """A portal with everything in its place for one subject, maria, of the group operators."""

    def __init__(self, authority: TestAuthority, tunnel_port: int = 0) -> None:
        self.authority, self.tunnel_port, self.url = authority, tunnel_port, ""
        self.answers = Answers()
        about = {"gate": "gate-1", "site": "riverside-water", "tunnel_port": tunnel_port, "ca_pem": authority.pem}
        granted = {
            "grant": 7, "asset": "plc-dosing", "service": "modbus", "protocol": "modbus", "expires_at": FAR,
            "tunnel_port": tunnel_port, "overlay": "100.64.10.12", "port": 502,
        }  # fmt: skip
        self.answers.routes |= {
            ("GET", "/api/gate"): (200, about),
            ("POST", "/api/sign-ins"): self._sign_in,
            ("POST", "/api/sign-ins/current/proofs"): (200, PROVED),
            ("POST", "/api/clients/devices"): (200, DEVICE),
            ("POST", "/api/clients/tokens"): self._sign_in,
            ("POST", "/api/clients/proofs"): (200, PROVED),
            ("DELETE", "/api/sign-ins/current"): (204, None),
            ("GET", "/api/reach"): (200, {"reach": REACH, "gateway": "10.20.0.2"}),
            ("POST", "/api/grants"): (201, granted),
            ("DELETE", "/api/grants/7"): (204, None),
            ("GET", "/api/sessions"): (200, {"sessions": [{"grant": 7, "asset": "plc-dosing"}]}),
        }

    def _sign_in(self, asked: Asked) -> Answer:
        return 201, {
            "token": "a-secret-token",
            "certificate_pem": self.authority.sign_request(asked.body["csr_pem"]),
            "ca_pem": self.authority.pem,
            "subject": asked.body.get("subject", "maria"),
            "groups": ["operators"],
            "expires_at": FAR,
        }


REACH = [
    {
        "asset": "plc-dosing", "service": "modbus", "protocol": "modbus", "zone": "filtration", "port": 502,
        "overlay": "100.64.10.12", "is_allowed": True, "conduit": "Operators set the dosing rate",
        "allows": ["read", "write holding_registers 10-12, values 0-550"], "misses": [],
    },
    {
        "asset": "plc-filter-1", "service": "modbus", "protocol": "modbus", "zone": "filtration", "port": 502,
        "overlay": "100.64.10.11", "is_allowed": False, "conduit": "Vendors service the filters", "allows": [],
        "misses": [
            {"criterion": "group", "wanted": "vendors", "found": "operators", "remedy": "the shift lead adds you"},
            {"criterion": "factors", "wanted": "phishing-resistant", "found": "two", "remedy": "use a passkey"},
        ],
    },
]  # fmt: skip


@contextmanager
def portal(gate: FakeGate, folder: Path) -> Iterator[FakeGate]:
    server = QuietServer((HOST, 0), request_class(gate.answers))
    # The handshake happens in each connection's own thread, at its first read.
    server.socket = gate.authority.server_context(folder).wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    gate.url = f"https://{HOST}:{server.server_address[1]}"
    with running(server):
        yield gate


@contextmanager
def admin_socket(answers: Answers, path: Path) -> Iterator[None]:
    with running(UnixServer(str(path), request_class(answers))):
        yield
