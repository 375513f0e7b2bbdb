"""``penstock connect``: one asset on a local port, for as long as the grant lives; native tools stay as they are."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from penstock.cli import local, output, profile, station
from penstock.cli.answers import OpenedGrant, Reachable, Refusal, clock
from penstock.cli.client import Gate, verifying
from penstock.cli.holding import Ending, Held, Holding
from penstock.cli.tunnel import TunnelPlace, client_context
from penstock.model import Invalid, Problem, Unauthenticated, Unavailable

EXIT_REFUSED = 1
_LAST_TCP_PORT = 65_535
#: How a native tool is pointed at a local port, by protocol; anything else is told the address.
_NATIVE = {
    "modbus": "mbpoll -m tcp -p {port} -a 1 -0 -r 0 -c 4 -1 {host}",
    "opcua": "opc.tcp://{host}:{port}",
    "ssh": "ssh -p {port} {host}",
    "http": "http://{host}:{port}/",
    "https": "https://{host}:{port}/",
    "vnc": "vncviewer {host}::{port}",
    "rdp": "xfreerdp /v:{host}:{port}",
    "telnet": "telnet {host} {port}",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``connect``."""
    parser = subparsers.add_parser(
        "connect",
        help="open a local port to an asset, and keep it until Ctrl-C",
        usage="penstock connect ASSET [--service NAME] [--port N] [--ready-file FILE] [-- COMMAND]",
        epilog="after --, a command to run with {host} and {port} filled in; its end disconnects",
    )
    parser.add_argument("asset", metavar="ASSET")
    parser.add_argument("--service", metavar="NAME", help="service or protocol; the asset's first when left out")
    parser.add_argument("--port", type=int, metavar="N", help="local port for this once; 0 takes any free one")
    parser.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="write HOST:PORT there once the port is open; for scripts"
    )
    parser.set_defaults(run=connect, takes_command=True)


def connect(arguments: argparse.Namespace) -> int:
    """Get a grant, listen, relay, and give the grant back; the exit status says how it ended."""
    place = profile.of_this_person()
    sign_in = place.live_sign_in()
    gate, ca_pem = place.known_gate()
    with place.credential() as path:
        context = client_context(verifying(ca_pem), path, path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_terminated_as_interrupted())
        http = stack.enter_context(Gate(gate.url, ca_pem, sign_in.token))
        # The port first: a grant that cannot be used need not be minted.
        service = _listed_service(http.reach().reach, arguments.asset, arguments.service)
        listening = stack.enter_context(_listening(place, arguments, service)) if service else None
        answer = http.open_grant(arguments.asset, arguments.service)
        if isinstance(answer, Refusal):
            return _refused(arguments.asset, answer)
        stack.callback(_give_back, http, answer)
        listening = listening or stack.enter_context(_listening(place, arguments, answer.service))
        port: int = listening.getsockname()[1]
        held = Held(
            grant=answer,
            listening=listening,
            place=TunnelPlace(host=urlsplit(gate.url).hostname or "", port=answer.tunnel_port, context=context),
            is_alive=lambda: answer.grant in http.live_grants(),
            command=_filled(arguments.command, port),
            ready=lambda: _announce(answer, port),
        )
        stack.enter_context(_ready_file(arguments.ready_file, port))
        with asyncio.Runner(loop_factory=station.event_loop_factory()) as runner:
            ending = runner.run(Holding(held).run())
    return _report(ending)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C also while no event loop runs, so that no grant is left behind."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _listed_service(rows: tuple[Reachable, ...], asset: str, wanted: str | None) -> str | None:
    """The name of the service that is meant, as far as the gate lists it."""
    return next((r.service for r in rows if r.asset == asset and wanted in (None, r.service, r.protocol)), None)


@contextlib.contextmanager
def _listening(place: profile.Profile, arguments: argparse.Namespace, service: str) -> Iterator[socket.socket]:
    """The listening socket of this service.  Raises `Invalid` where its port is taken."""
    wanted = arguments.port
    port = place.port_of(arguments.asset, service, local.is_free) if wanted is None else wanted
    if not 0 <= port <= _LAST_TCP_PORT:
        raise Invalid(Problem(where="--port", why=f"{port} is not a TCP port"))
    listening = local.listen(port)
    if listening is None:
        raise local.in_use(port, place.listening(port))
    with listening, place.announced(listening.getsockname()[1], arguments.asset, service):
        yield listening


def _refused(asset: str, refusal: Refusal) -> int:
    reason = f" ({refusal.reason})" if refusal.reason else ""
    output.say(f"penstock: no access to {asset}: {refusal.error or 'not allowed'}{reason}")
    if refusal.conduit:
        output.say(f"closest conduit: “{refusal.conduit}”")
    for miss in refusal.misses:
        output.say(f"  {miss}")
        output.hint(miss.remedy)
    return EXIT_REFUSED


def _announce(grant: OpenedGrant, port: int) -> None:
    """The address as the first line of stdout, for scripts; what to do with it on stderr, for people."""
    until = f" until {clock(grant.expires_at)}" if grant.expires_at else ""
    output.say(f"grant {grant.grant}: {grant.asset} {grant.service} ({grant.protocol}){until}")
    output.data(f"{local.HOST}:{port}")
    output.say(f"point your tool at it: {native(grant.protocol, port)}")
    if not local.knows_owners():
        output.say("this system does not tell whose connections come: other users of this computer can use the port")
    output.say("Ctrl-C disconnects")


def native(protocol: str, port: int) -> str:
    """How the protocol's usual tool is pointed at the local port."""
    return _NATIVE.get(protocol, "{host}:{port}").format(host=local.HOST, port=port)


def _filled(words: list[str], port: int) -> tuple[str, ...]:
    return tuple(word.replace("{host}", local.HOST).replace("{port}", str(port)) for word in words)


@contextlib.contextmanager
def _ready_file(path: Path | None, port: int) -> Iterator[None]:
    if path is None:
        yield
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(f"{local.HOST}:{port}\n", encoding="ascii")
        draft.replace(path)
    except OSError as error:
        raise Invalid(Problem(where=str(path), why=f"cannot be written: {error.strerror}")) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _give_back(http: Gate, grant: OpenedGrant) -> None:
    """End the grant; where the gate cannot be told, or ended it itself, there is nothing left to do."""
    try:
        http.close_grant(grant.grant)
    except Unavailable:
        output.say(f"the gate does not answer; grant {grant.grant} ends by itself {clock(grant.expires_at)}".rstrip())
    except (Invalid, Unauthenticated):
        return


def _report(ending: Ending) -> int:
    if ending.text:
        output.say(f"penstock: {ending.text}")
    output.hint(ending.hint)
    return ending.status
