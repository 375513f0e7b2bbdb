"""The way of one ssh connection: stdin and stdout here, one TLS 1.3 connection to the gate's tunnel on the other side.

ssh starts it (``ProxyCommand``) and ends it.  Plain threads and streams, so that it does the same on every system.  It
must never write anything but the asset's bytes to stdout, nor send any before the gate took the grant.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from penstock.cli import gate_line, output
from penstock.cli.client import verifying
from penstock.cli.profile import Profile
from penstock.cli.tunnel import ALPN, OPEN_TIMEOUT_S, client_context, give_up_in_time
from penstock.model import Invalid, Problem, Unavailable

EXIT_REFUSED = 1
_PIECE = 64 << 10
_STDIN, _STDOUT = 0, 1


def carry(place: Profile, given: str) -> int:
    """Carry the connection of grant ``GRANT:PORT`` until either side ends it."""
    grant, _, port = given.partition(":")
    if not (given.isascii() and grant.isdecimal() and port.isdecimal()):
        raise Invalid(Problem(where="--proxy", why=f"{given} is not GRANT:PORT", hint="penstock ssh ASSET"))
    gate, ca_pem = place.known_gate()
    with place.credential() as path:
        context = client_context(verifying(ca_pem), path, path)
    host = urlsplit(gate.url).hostname or ""
    return asyncio.run(_carry(host, int(port), context, int(grant)))


async def _carry(host: str, port: int, context: ssl.SSLContext, grant: int) -> int:
    reader, writer = await _opened(host, port, context)
    try:
        writer.write(json.dumps({"grant": grant}).encode() + b"\n")
        said = await _line(reader, OPEN_TIMEOUT_S)
        if said.waiting is not None:
            output.say(f"penstock: {gate_line.in_words(said)}; waiting up to {said.may_take_s} s for one")
            said = await _line(reader, said.may_take_s + OPEN_TIMEOUT_S)
        if not said.ok:
            output.say(f"penstock: the gate refuses the connection: {gate_line.in_words(said) or said.reason}")
            return EXIT_REFUSED
        _feed(writer, asyncio.get_running_loop())
        with suppress(OSError):  # either end may just be gone: ssh says so in its own words
            while data := await reader.read(_PIECE):
                await asyncio.to_thread(_write_all, data)
        return 0
    finally:
        writer.close()


async def _opened(host: str, port: int, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=_PIECE)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"the gate's tunnel at {host}:{port} does not answer: {error}".rstrip(": ")) from error
    give_up_in_time(writer.get_extra_info("socket"))
    tls = writer.get_extra_info("ssl_object")
    if tls is None or tls.selected_alpn_protocol() != ALPN:
        writer.close()
        raise Unavailable(f"what answers at the tunnel port does not speak {ALPN}")
    return reader, writer


async def _line(reader: asyncio.StreamReader, within_s: float) -> gate_line.GateLine:
    try:
        async with asyncio.timeout(within_s):
            return gate_line.read(await reader.readuntil(b"\n"))
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Unavailable("the gate's tunnel does not answer") from error


def _feed(writer: asyncio.StreamWriter, loop: asyncio.AbstractEventLoop) -> None:
    """Send what ssh writes, no faster than the gate takes it; ssh's end is the connection's."""

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    def read() -> None:
        with suppress(OSError, RuntimeError):  # the loop may be over first
            while data := os.read(_STDIN, _PIECE):
                asyncio.run_coroutine_threadsafe(send(data), loop).result()
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(writer.close)

    threading.Thread(target=read, daemon=True).start()


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_STDOUT, view) :]
