"""``penstock serve``: wires the packages together and starts them.  Knows every package and contains no logic.

The supervisor runs each process of the gate as ``penstock process NAME``, with only its own privileges.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from penstock.model import GatePlace, GateSettings, Invalid, Listener, PenstockError, Problem, TlsSettings

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

#: Control may be busy with a large site for a while; a worker's silence is the dead-man switch's own second.
SLOW_SILENCE_S = 10.0
WORKER_SILENCE_S = 1.2
_LAST_PORT = 65_535


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``serve`` and the supervisor's own ``process``."""
    serve = subparsers.add_parser("serve", help="run the gate (needs CAP_NET_ADMIN and CAP_NET_RAW in its network)")
    serve.add_argument("--state", type=Path, required=True, help="folder that outlives the gate: keys, state, evidence")
    serve.add_argument(
        "--run", dest="run_dir", type=Path, required=True, help="folder for local sockets, best on a tmpfs"
    )
    serve.add_argument("--site", type=Path, required=True, help="the site document, a file or a folder of *.yaml")
    serve.add_argument("--interface", default="", help="the gate's leg on the plant network")
    serve.add_argument("--address", default="", help="the gate's address on that leg")
    serve.add_argument(
        "--no-kernel", action="store_true", help="tunnel and proxy only, needs no rights; refuses what needs nftables"
    )
    serve.add_argument("--name", action="append", default=[], help="a name of the gate in its certificate (repeatable)")
    serve.add_argument("--portal", type=listener, action="append", metavar="HOST:PORT[@FD]", default=[])
    serve.add_argument("--tunnel", type=listener, action="append", metavar="HOST:PORT[@FD]", default=[])
    serve.add_argument(
        "--names", type=listener, action="append", metavar="HOST:PORT", default=[],
        help="answer for the site's domain there (DNS, UDP and TCP); nowhere when left out",
    )  # fmt: skip
    serve.add_argument("--certificate", type=Path, metavar="FILE", help="the site's own certificate for the listeners")
    serve.add_argument(
        "--key", type=Path, metavar="FILE", help="its key (PEM, no passphrase, readable by the gate only)"
    )
    serve.add_argument("--authority", type=Path, metavar="FILE", help="whom clients are to believe then")
    serve.add_argument(
        "--allow-tls-1.2", dest="allow_tls_1_2", action="store_true", help="the portal speaks TLS 1.2 as well"
    )
    serve.add_argument(
        "--cards", type=listener, action="append", metavar="HOST:PORT[@FD]", default=[],
        help="take smart cards there: a TLS port of its own, by the portal's host name; nowhere when left out",
    )  # fmt: skip
    serve.set_defaults(run=run_gate)

    process = subparsers.add_parser("process")
    process.add_argument("name", choices=sorted(_PROCESSES))
    process.add_argument("--settings", type=Path, required=True)
    process.set_defaults(run=run_process)


def listener(text: str) -> Listener:
    """``HOST:PORT``, ``[IPV6]:PORT``, or either with ``@FD`` for a listening socket that was opened before.

    Raises `ValueError`, which the parser of arguments turns into words.
    """
    address, _, descriptor = text.partition("@")
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(IPv6Address(host[1:-1]))
    elif not host or ":" in host:
        raise ValueError(text)
    if not 0 < int(port) <= _LAST_PORT:
        raise ValueError(text)
    return Listener(host=host, port=int(port), descriptor=int(descriptor) if descriptor else None)


def run_gate(arguments: argparse.Namespace) -> int:
    """Run the supervisor until it is told to stop."""
    from penstock.supervisor import Charge, Program, Supervisor, python  # noqa: PLC0415  each process loads its own

    _require_place(arguments)
    is_first = not (arguments.state / "state.db").exists()
    if is_first:  # a gate that has run before goes on with its last revision
        check = subprocess.run(python("policy", "check", str(arguments.site)), stdout=subprocess.DEVNULL, check=False)
        if check.returncode:
            return check.returncode
    _take_folders(arguments)
    settings = _settings(arguments)
    if settings.tls != TlsSettings():
        _check_own(settings)
    path = arguments.run_dir / "settings.json"
    path.write_bytes(msgspec.json.encode(settings))
    path.chmod(0o600)
    if is_first:  # in a process of its own: what makes a database need not stay in memory
        made = subprocess.run(python("process", "migrate", "--settings", str(path)), check=False)
        if made.returncode:
            return made.returncode
    if not settings.has_kernel:
        fits = subprocess.run(python("process", "fit", "--settings", str(path)), check=False)
        if fits.returncode:
            return fits.returncode

    def program(name: str, silence_s: float, listeners: tuple[Listener, ...] = ()) -> Program:
        descriptors = tuple(one.descriptor for one in listeners if one.descriptor is not None)
        words = python("process", name, "--settings", str(path))
        return Program(charge=Charge(name=name, silence_s=silence_s), command=words, descriptors=descriptors)

    enforcer = (program("enforcer", SLOW_SILENCE_S),) if settings.has_kernel else ()
    observer = (program("observer", SLOW_SILENCE_S),) if settings.has_kernel else ()
    for missing in settings.not_enforced:
        _say(f"not enforced: {missing}")
    Supervisor(
        programs=(
            *enforcer,
            program("control", SLOW_SILENCE_S, settings.portal + settings.cards),
            program("worker-1", WORKER_SILENCE_S, settings.tunnel),
            *((program("names", SLOW_SILENCE_S),) if settings.responders else ()),
            *observer,
        ),
        run_dir=arguments.run_dir,
        say=_say,
    ).run()
    return 0


def _take_folders(arguments: argparse.Namespace) -> None:
    from penstock.supervisor import alone_on  # noqa: PLC0415  each process loads its own

    for folder in {arguments.state.resolve(), arguments.run_dir.resolve()}:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        alone_on(folder)


def _say(text: str) -> None:
    print(f"penstock: {text}", file=sys.stderr, flush=True)


def _require_place(arguments: argparse.Namespace) -> None:
    """A gate with the kernel has a leg; one without listens on loopback where nothing else is said."""
    if arguments.no_kernel:
        arguments.address = arguments.address or "127.0.0.1"
        return
    missing = [option for option in ("interface", "address") if not getattr(arguments, option)]
    if missing:
        hint = "name the gate's leg; or --no-kernel, for the tunnel and the proxy only"
        raise Invalid(*(Problem(where=f"--{option}", why="it is missing", hint=hint) for option in missing))


def _ipv6_hosts(listeners: tuple[Listener, ...]) -> list[str]:
    """The addresses that clients find the gate at by IPv6: its certificate names them as well."""
    return [each.host for each in listeners if ":" in each.host and not IPv6Address(each.host).is_unspecified]


def _settings(arguments: argparse.Namespace) -> GateSettings:
    portal = tuple(arguments.portal) or (Listener(host=arguments.address, port=8443),)
    tunnel = tuple(arguments.tunnel) or (Listener(host=arguments.address, port=8444),)
    responders, cards = tuple(arguments.names), tuple(arguments.cards)

    def on_leg(listeners: tuple[Listener, ...]) -> tuple[int, ...]:
        return tuple(sorted({each.port for each in listeners if each.host == arguments.address or ":" in each.host}))

    return GateSettings(
        state_dir=str(arguments.state.resolve()),
        run_dir=str(arguments.run_dir.resolve()),
        site_path=str(arguments.site.resolve()),
        names=tuple(dict.fromkeys([*(arguments.name or [arguments.address]), *_ipv6_hosts(portal + tunnel + cards)])),
        place=GatePlace(
            interface=arguments.interface,
            address=arguments.address,
            open_ports=on_leg(portal + tunnel + responders + cards),
            open_udp_ports=on_leg(responders),
        ),
        portal=portal,
        tunnel=tunnel,
        responders=responders,
        cards=cards,
        has_kernel=not arguments.no_kernel,
        tls=TlsSettings(
            allows_1_2=arguments.allow_tls_1_2,
            certificate=_resolved(arguments.certificate),
            key=_resolved(arguments.key),
            authority=_resolved(arguments.authority),
        ),
    )


def _resolved(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def _check_own(settings: GateSettings) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415  the supervisor does without

    from penstock.identity import check_own  # noqa: PLC0415  each process loads its own

    check_own(settings, datetime.now(UTC))


def run_process(arguments: argparse.Namespace) -> int:
    """Run one process of the gate until it is told to stop."""
    try:
        settings = msgspec.json.decode(arguments.settings.read_bytes(), type=GateSettings)
    except (OSError, msgspec.MsgspecError) as error:
        hint = "processes are started by penstock serve"
        raise Invalid(Problem(where=str(arguments.settings), why=str(error), hint=hint)) from error
    return _PROCESSES[arguments.name](settings)


def _enforcer(settings: GateSettings) -> int:
    from penstock.kernel import run_enforcer  # noqa: PLC0415  each process loads only its own packages

    return _event_loop(_beating("enforcer", settings, run_enforcer))


def _control(settings: GateSettings) -> int:
    from penstock.control import run_control  # noqa: PLC0415  each process loads only its own packages
    from penstock.web import serve_web  # noqa: PLC0415

    return _uvloop(_beating("control", settings, lambda given: run_control(given, serve_web)))


def _migrate(settings: GateSettings) -> int:
    from penstock.control import Store  # noqa: PLC0415  each process loads only its own packages

    async def make() -> int:
        store = Store(Path(settings.state_dir) / "state.db")
        await store.open()
        await store.close()
        return os.EX_OK

    return _event_loop(make())


def _fit(settings: GateSettings) -> int:
    from penstock.control import check_fit  # noqa: PLC0415  each process loads only its own packages

    async def check() -> int:
        await check_fit(settings)
        return os.EX_OK

    return _event_loop(check())


def _names(settings: GateSettings) -> int:
    from penstock.names import run_names  # noqa: PLC0415  each process loads only its own packages

    return _event_loop(_beating("names", settings, run_names))


def _worker(settings: GateSettings) -> int:
    from penstock.policy import Judge  # noqa: PLC0415  each process loads only its own packages
    from penstock.proxy import run_worker  # noqa: PLC0415

    return _uvloop(_beating("worker-1", settings, lambda given: run_worker(given, Judge.of_site)))


def _observer(settings: GateSettings) -> int:
    from penstock.observe import run_observer  # noqa: PLC0415  each process loads only its own packages

    return _event_loop(_beating("observer", settings, run_observer))


def _uvloop(main: Coroutine[None, None, int]) -> int:
    import uvloop  # noqa: PLC0415  the enforcer does without

    return _event_loop(main, uvloop.new_event_loop)


def _event_loop(main: Coroutine[None, None, int], factory: Callable[[], AbstractEventLoop] | None = None) -> int:
    import asyncio  # noqa: PLC0415  the supervisor does without

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def _beating(name: str, settings: GateSettings, run: Callable[[GateSettings], Awaitable[None]]) -> int:
    """Run a process with its heartbeat beside it; SIGTERM ends both in order."""
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415

    from penstock.bus.beat import beat_forever  # noqa: PLC0415

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(beat_forever(Path(settings.run_dir) / f"{name}.beat"))
            await run(settings)
            beat.cancel()
    except asyncio.CancelledError:
        pass
    except BaseExceptionGroup as errors:
        ours, others = errors.split(PenstockError)
        if others is not None or ours is None:
            raise
        raise next(_each(ours)) from None  # what an operator can act on goes out in words, not as a trace
    return os.EX_OK


def _each(errors: BaseExceptionGroup[PenstockError]) -> Iterator[PenstockError]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _each(error)
        else:
            yield error


_PROCESSES: dict[str, Callable[[GateSettings], int]] = {
    "control": _control,
    "enforcer": _enforcer,
    "fit": _fit,
    "migrate": _migrate,
    "names": _names,
    "observer": _observer,
    "worker-1": _worker,
}
