"""The relays that the gate is compared with, configured as they are in real life, each with one thread.

HAProxy and nginx as TCP relays, HAProxy and stunnel as TLS 1.3 relays that require a client certificate.  All log as
their documentation shows it: a line per connection.  Files only; `plant` starts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penstock.model import Unavailable

NGINX_STREAM_MODULES = (
    "/usr/lib/nginx/modules/ngx_stream_module.so",
    "/usr/lib64/nginx/modules/ngx_stream_module.so",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """PEM files: the authority, the relay's own certificate and key, and the client's."""

    authority: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """One relay: the command that runs it in the foreground, and the port that it listens at."""

    variant: str
    port: int
    command: tuple[str, ...]


def relays(folder: Path, asset: str, keys: Keys) -> tuple[Relay, ...]:
    """Write the configurations into `folder` and say how to run them; `asset` is ``address:port``."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / "relay.pem"
    bundle.write_text(keys.certificate.read_text() + keys.key.read_text())
    tls = f" ssl crt {bundle} ca-file {keys.authority} verify required ssl-min-ver TLSv1.3"
    return (
        haproxy(folder, "haproxy", 1501, "", asset),
        _nginx(folder, "nginx", 1502, asset),
        haproxy(folder, "haproxy-tls", 1503, tls, asset),
        _stunnel(folder, "stunnel", 1504, asset, keys),
    )


def haproxy(folder: Path, variant: str, port: int, tls: str, asset: str) -> Relay:
    """HAProxy in TCP mode at `port`; `tls` is what its ``bind`` says of TLS."""
    path = folder / f"{variant}.cfg"
    path.write_text(f"""\
global
    nbthread 1
    maxconn 2000
    log stdout format raw local0

defaults
    mode tcp
    log global
    option tcplog
    timeout connect 5s
    timeout client 1m
    timeout server 1m

frontend modbus
    bind :{port}{tls}
    default_backend controllers

backend controllers
    server controller {asset}
""")
    return Relay(variant=variant, port=port, command=("haproxy", "-db", "-f", str(path)))


def _nginx(folder: Path, variant: str, port: int, asset: str) -> Relay:
    module = next((path for path in NGINX_STREAM_MODULES if Path(path).exists()), None)
    if module is None:
        raise Unavailable("nginx's stream module is not installed")
    path = folder / f"{variant}.conf"
    # One process without a master: a master cannot change to its worker's user inside a user namespace.
    path.write_text(f"""\
load_module {module};
daemon off;
master_process off;
worker_processes 1;
pid {folder}/{variant}.pid;
error_log {folder}/{variant}.error.log;
events {{ worker_connections 2048; }}
stream {{
    log_format basic '$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time';
    access_log {folder}/{variant}.access.log basic;
    server {{
        listen {port};
        proxy_pass {asset};
        proxy_connect_timeout 5s;
        proxy_timeout 1m;
    }}
}}
""")
    early_log = str(folder / f"{variant}.error.log")
    return Relay(variant=variant, port=port, command=("nginx", "-e", early_log, "-p", str(folder), "-c", str(path)))


def _stunnel(folder: Path, variant: str, port: int, asset: str, keys: Keys) -> Relay:
    path = folder / f"{variant}.conf"
    path.write_text(f"""\
foreground = yes
pid =
syslog = no
output = {folder}/{variant}.log
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1

[modbus]
accept = {port}
connect = {asset}
cert = {keys.certificate}
key = {keys.key}
CAfile = {keys.authority}
verifyChain = yes
requireCert = yes
sslVersionMin = TLSv1.3
""")
    return Relay(variant=variant, port=port, command=("stunnel4", str(path)))
