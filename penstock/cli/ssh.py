"""``penstock ssh``: the system's own ssh to an asset, through the gate; keys, agents and options stay as they are.

The program of the system does all of SSH; this one gets the grant, and is its way through (see `ssh_proxy`): no local
port is opened.  The asset's host key is pinned under the asset's name, in a file of the profile: addresses and ports
mean nothing here.  It must never let a connection of somebody's multiplexing be taken for one under this grant.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from penstock.cli import opening, output, profile, ssh_proxy, station
from penstock.cli.answers import OpenedGrant, Reachable, Refusal, clock
from penstock.cli.client import Gate
from penstock.cli.renewing import FINAL, SIGN_IN_OVER
from penstock.cli.shared_grants import SharedGrants
from penstock.model import Invalid, Problem, Unauthenticated, Unavailable

SSH_PORT = 22
EXIT_REFUSED = 1
#: What ssh itself ends with when the connection fails (ssh(1)).
EXIT_SSH_FAILED = 255


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``ssh``."""
    parser = subparsers.add_parser(
        "ssh",
        help="ssh to an asset through the gate",
        usage="penstock ssh [USER@]ASSET [--service NAME] [-- SSH-ARGUMENTS]",
        epilog="after --, options and a command for the system's ssh",
    )
    parser.add_argument("asset", metavar="[USER@]ASSET")
    parser.add_argument("--service", metavar="NAME", help="service of the asset; its ssh when left out")
    parser.add_argument("--proxy", metavar="GRANT:PORT", help=argparse.SUPPRESS)
    parser.set_defaults(run=ssh, takes_command=True)


def ssh(arguments: argparse.Namespace) -> int:
    """Get a grant, run ssh, and give the grant back; the exit status is ssh's."""
    place = profile.of_this_person()
    if arguments.proxy is not None:
        return ssh_proxy.carry(place, arguments.proxy)
    program = shutil.which("ssh")
    if program is None:
        raise Invalid(Problem(where="ssh", why="this system has no ssh", hint="install OpenSSH's client"))
    user, _, asset = arguments.asset.rpartition("@")
    sign_in = place.live_sign_in()
    gate, ca_pem = place.known_gate()
    with place.credential(), ExitStack() as stack:  # what is missing is said before a grant is opened
        http = stack.enter_context(Gate(gate.url, ca_pem, sign_in.token))
        grants = SharedGrants(http, place)
        answer = grants.open_grant(asset, arguments.service or service_of(http.reach().reach, asset))
        if isinstance(answer, Refusal):
            opening.say_refused(opening.Wish(asset=asset, service=arguments.service, listed=None), answer)
            return EXIT_REFUSED
        stack.callback(_give_back, grants, answer)
        words = [program, *options_of(place.folder, asset, answer, user), asset, *arguments.command]
        status = _run(words)
        if status == EXIT_SSH_FAILED:
            _say_why(http, answer)
    return status


def service_of(rows: Sequence[Reachable], asset: str) -> str:
    """The asset's ssh: by its name or protocol, else what it offers on ssh's port, else just ``ssh``."""
    mine = [row for row in rows if row.asset == asset]
    named = [row.service for row in mine if "ssh" in (row.service, row.protocol)]
    return next(iter([*named, *(row.service for row in mine if row.port == SSH_PORT)]), "ssh")


def options_of(folder: Path, asset: str, grant: OpenedGrant, user: str) -> list[str]:
    """What ssh must know, as its own options; the first of each counts, so that the person's come too late."""
    known = folder / "known_hosts"
    chosen = {
        "ProxyCommand": proxy_command(grant, asset),
        "HostName": asset,
        "HostKeyAlias": asset,
        "CheckHostIP": "no",
        "UserKnownHostsFile": f'"{known}"',
        "GlobalKnownHostsFile": os.devnull,
        "ControlMaster": "no",
        "ControlPath": "none",
    }
    words = [word for name, value in chosen.items() for word in ("-o", f"{name}={value}")]
    return [*words, "-l", user] if user else words


def proxy_command(grant: OpenedGrant, asset: str) -> str:
    """This program once more, as ssh starts it; a ``%`` would be a token of ssh's."""
    words = [sys.executable, "-m", "penstock", "ssh", "--proxy", f"{grant.grant}:{grant.tunnel_port}", asset]
    text = subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
    return text.replace("%", "%%")


def _run(words: list[str]) -> int:
    """Run ssh until its end; Ctrl-C is ssh's, what ends this program ends it."""
    with subprocess.Popen(words) as program, _signals_for(program):
        status = program.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _signals_for(program: subprocess.Popen[bytes]) -> Iterator[None]:
    former = {number: signal.signal(number, lambda *_: program.terminate()) for number in station.ending_signals()}
    former[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


def _say_why(http: Gate, grant: OpenedGrant) -> None:
    """Where ssh only knows that the connection is gone, the gate may know more."""
    try:
        seen = http.grants()
    except Unauthenticated:
        output.say(f"penstock: {SIGN_IN_OVER}")
        output.hint("penstock login")
        return
    except Unavailable:
        output.say("penstock: the gate does not answer")
        return
    if grant.grant not in seen.live:
        reason = seen.ended.get(grant.grant, "")
        words = next((text for final, text in FINAL.items() if final == reason), reason or "it is over")
        output.say(f"penstock: grant {grant.grant}: {words}")
        output.hint("penstock ls shows what you may reach now")


def _give_back(grants: SharedGrants, grant: OpenedGrant) -> None:
    try:
        grants.close_grant(grant.grant)
    except Unavailable:
        output.say(f"the gate does not answer; grant {grant.grant} ends by itself {clock(grant.expires_at)}".rstrip())
    except (Invalid, Unauthenticated):
        return
