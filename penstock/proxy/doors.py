"""I/O: where clients come in: the transparent listener behind the kernel's TPROXY rule, and the tunnel's TLS listeners.

Bounded before anything is known about the other side: handshakes in progress are counted, in all and for each source
address, and every one has a deadline.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from ipaddress import IPv6Network
from pathlib import Path
from typing import Final

from penstock.model import GatePlace, GateSettings, Listener, Reason
from penstock.proxy.office import IP_TRANSPARENT, Office
from penstock.proxy.server import ClientSide, address_of
from penstock.proxy.tunnel import ALPN
from penstock.proxy.tunnelled import TunnelSide
from penstock.tls import Served, served

BACKLOG: Final = 1024
#: A handshake costs about a millisecond of a core: these many in progress are a quarter of a second of it.
MAX_HANDSHAKES: Final = 256
MAX_HANDSHAKES_PER_SOURCE: Final = 16
HANDSHAKE_TIMEOUT_S: Final = 5.0
#: After running out of file descriptors, or the like.
_PAUSE_S: Final = 0.1
#: How often the gate's certificate is looked at: it is renewed a week before its end.
_LOOK_S: Final = 60.0


def counted_as(address: str) -> str:
    """What a limit for each source counts: an IPv4 address, or the /64 of an IPv6 one, which is one link (RFC 4291)."""
    return str(IPv6Network((address, 64), strict=False)) if ":" in address else address


def open_transparent(place: GatePlace) -> socket.socket:
    """The listener that receives what the kernel steers to the proxy.  Needs CAP_NET_ADMIN.  Raises `OSError`."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        listening.bind(("127.0.0.1", place.proxy_port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def open_tunnel(listener: Listener) -> socket.socket:
    """A listener of the tunnel: inherited, or opened here.  Raises `OSError`."""
    if listener.descriptor is not None:
        listening = socket.socket(fileno=listener.descriptor)
    else:
        family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
        listening = socket.create_server((listener.host, listener.port), family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening


def tunnel_context(settings: GateSettings) -> Served:
    """TLS 1.3 with a client certificate of the gate's own authority.  Raises `OSError`."""
    return served(settings, (ALPN,), Path(settings.state_dir) / "keys" / "ca.pem")


async def keep_fresh(tls: Served) -> None:
    """Take up the gate's certificate whenever it was renewed, until cancelled."""
    while True:
        await asyncio.sleep(_LOOK_S)
        tls.refresh()


async def serve_transparent(office: Office, listening: socket.socket) -> None:
    """Accept until cancelled.  Does not wait for the flows then: `Hall` ends them, and nobody else would."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ClientSide(office), sock=listening)
    try:
        await loop.create_future()
    finally:
        server.close()


class TunnelDoor:
    """Accepts connections of the tunnel's listeners and takes them through the handshake."""

    def __init__(self, office: Office, context: ssl.SSLContext) -> None:
        self._office, self._context = office, context
        self._shaking: Counter[str] = Counter()

    async def serve(self, listening: socket.socket) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    accepted, peer = await loop.sock_accept(listening)
                except OSError:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                source = counted_as(str(peer[0]))
                if self._shaking.total() >= MAX_HANDSHAKES or self._shaking[source] >= MAX_HANDSHAKES_PER_SOURCE:
                    accepted.close()
                    self._refuse(address_of(peer), "too many handshakes in progress")
                    continue
                self._shaking[source] += 1
                self._office.group.create_task(self._shake(accepted, source, address_of(peer)))

    async def _shake(self, accepted: socket.socket, source: str, address: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: TunnelSide(self._office),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            )
        except (OSError, TimeoutError) as error:
            accepted.close()
            self._refuse(address, type(error).__name__)
        finally:
            self._shaking[source] -= 1
            if not self._shaking[source]:
                del self._shaking[source]

    def _refuse(self, source: str, why: str) -> None:
        self._office.hall.refuse(Reason.NOT_SIGNED_IN, source, self._office.clock.now_us(), way=TunnelSide.way, why=why)
