"""I/O: a flow that came through the tunnel: TLS with a certificate, and a first line that names the grant.

Otherwise it is a flow like any other (`penstock.proxy.server`).  It must never say why a grant is not to be had, unless
the certificate is the one that the grant belongs to.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from penstock.model import Grant, Json, Malformed, Reason
from penstock.proxy.datagram_side import DatagramSide
from penstock.proxy.hall import TUNNEL
from penstock.proxy.office import Office
from penstock.proxy.server import ClientSide, address_of
from penstock.proxy.tunnel import (
    ACCEPTED,
    ALPN,
    Preface,
    find_grant,
    port_in,
    read_preface,
    refusal,
    split_preface,
    waiting,
)

PREFACE_S: Final = 5.0


class TunnelSide(ClientSide):
    """A client that came through TLS with a certificate: its first line names the grant."""

    way = TUNNEL

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self._office = office

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is over; wait for the first line."""
        self._client = cast("asyncio.Transport", transport)
        self.source = address_of(transport.get_extra_info("peername"))
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(PREFACE_S, self.turn_away, Reason.NOT_SIGNED_IN, {})
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
            self.turn_away(Reason.WRONG_PROTOCOL, {})

    def take_place(self, waited_us: int) -> None:
        """The asset has a place for this flow: say so, and dial it."""
        client = self._client
        assert client is not None
        if self._hall.is_barred(self.source):  # since it began to wait
            self._has_place = True
            self.turn_away(Reason.ISOLATED, {})
            self._leave()
            return
        client.write(ACCEPTED)
        super().take_place(waited_us)

    def hold_on(self, detail: dict[str, Json]) -> None:
        """Tell the client what it waits for."""
        client = self._client
        assert client is not None
        client.write(waiting(detail))

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self._deadline.cancel()
        super().connection_lost(error)

    def _hold(self, data: bytes) -> None:
        if self._is_named or self._is_over:
            super()._hold(data)
            return
        self._early += data
        try:
            split = split_preface(self._early)
            if split is None:
                return
            asked = read_preface(split[0])
        except Malformed:
            self.turn_away(Reason.MALFORMED, {})
            return
        self._open(asked, split[1])

    def _open(self, asked: Preface, rest: bytes) -> None:
        client = self._client
        assert client is not None
        certificate = client.get_extra_info("ssl_object").getpeercert(binary_form=True)
        found = find_grant(asked.grant, certificate, self._hall.grants, self._hall.withdrawn, self._now())
        if isinstance(found, Grant) and self._hall.is_barred(self.source):
            found = Reason.ISOLATED
        port = port_in(found, asked.port) if isinstance(found, Grant) else None
        if isinstance(found, Reason) or port is None:
            reason = found if isinstance(found, Reason) else Reason.GRANT_UNKNOWN
            self.turn_away(reason, {} if asked.port is None else {"port": asked.port})
            return
        self._deadline.cancel()
        if found.transport == "udp":
            self._is_over = True  # the flow goes on, but not as one of this kind
            DatagramSide(self._office, client, found, self.source).begin(port, rest)
        else:
            self._admit(found, port, rest)

    def _say_no(self, reason: Reason, detail: dict[str, Json]) -> None:
        client = self._client
        assert client is not None
        self._deadline.cancel()
        client.write(refusal(reason, detail))
        client.close()
