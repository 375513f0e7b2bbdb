"""I/O: the TLS listeners for smart cards: their own accept loop, so that a refused handshake leaves a record.

Bounded before anything is known about the other side, as the tunnel's door is.  The path to the site's authorities is
checked in the handshake and again, with all that TLS does not look at, by `penstock.identity`.  The certificate reaches
the application in the connection's own state: it must never be taken from a header.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from socket import IPPROTO_TCP, TCP_NODELAY, socket
from typing import Any, Final

from penstock.control import Cards
from penstock.identity import counted_as, refused_certificate

#: A handshake costs about a millisecond of a core: these many in progress are a quarter of a second of it.
MAX_HANDSHAKES: Final = 256
MAX_HANDSHAKES_PER_SOURCE: Final = 16
#: The browser asks for the card's PIN in the middle of it.
HANDSHAKE_TIMEOUT_S: Final = 60.0
_PAUSE_S: Final = 0.1
_CERTIFICATE_MESSAGE = 11
_WORDS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate was sent",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the other side refused the gate's certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the other side does not know the gate's authority",
    "UNSUPPORTED_PROTOCOL": "the version of TLS is too old",
    "HTTP_REQUEST": "it was no TLS but plain HTTP",
    "WRONG_VERSION_NUMBER": "it was no TLS",
}


class _Watched(ssl.SSLObject):
    """A TLS object that remembers the certificate message of the other side, for the record of a refusal."""

    certificate_message = b""
    is_tls_1_3 = False

    def do_handshake(self) -> None:
        """As the parent; a failure carries the subject that the other side claims."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            shown = refused_certificate(self.certificate_message, is_tls_1_3=self.is_tls_1_3)
            error.add_note(shown)
            raise


def card_context(context: ssl.SSLContext, authorities: str) -> ssl.SSLContext:
    """A server's context that asks for a certificate of these authorities (PEM), made of one that does not.

    No tickets: a resumed session would not ask for the card again.
    """
    context.load_verify_locations(cadata=authorities)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # an issuer may be named alone
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    context.sslobject_class = _Watched
    context._msg_callback = _watch  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to a refused certificate
    return context


def sent_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates that the client sent (DER), its own first.  Public from Python 3.13."""
    own = tls.getpeercert(binary_form=True)
    inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    sent = inner.get_unverified_chain() or []
    others = [each if isinstance(each, bytes) else each.public_bytes(_DER) for each in sent]
    return () if own is None else (own, *(each for each in others if each != own))


class CardDoor:
    """Accepts connections of the card's listeners and takes them through the handshake."""

    def __init__(
        self, cards: Cards, make_context: Callable[[], ssl.SSLContext], make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._cards, self._make_context, self._make_protocol = cards, make_context, make_protocol
        self._shaking: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._context: ssl.SSLContext | None = None
        self._made_for = ""

    def renew(self) -> None:
        """The gate's own certificate was made anew: the next handshake uses it."""
        self._context = None

    def open(self, listening: socket) -> None:
        """Accept on this listening socket until `close`."""
        self._keep(asyncio.get_running_loop().create_task(self._serve(listening)))

    async def _serve(self, listening: socket) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    accepted, peer = await loop.sock_accept(listening)
                except OSError:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                station = str(peer[0])
                source = counted_as(station)
                if self._shaking.total() >= MAX_HANDSHAKES or self._shaking[source] >= MAX_HANDSHAKES_PER_SOURCE:
                    accepted.close()
                    self._cards.refuse_handshake(station, "too many handshakes in progress")
                    continue
                self._shaking[source] += 1
                self._keep(loop.create_task(self._shake(accepted, source, station)))

    def close(self) -> None:
        """Stop accepting, and give up what is in progress."""
        for task in self._tasks:
            task.cancel()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _shake(self, accepted: socket, source: str, station: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            context = self._current()
            accepted.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                self._make_protocol, accepted, ssl=context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        except (OSError, TimeoutError, ValueError) as error:
            accepted.close()
            shown = next(iter(getattr(error, "__notes__", ())), "")
            self._cards.refuse_handshake(station, _words(error), shown)
        finally:
            self._shaking[source] -= 1
            if not self._shaking[source]:
                del self._shaking[source]

    def _current(self) -> ssl.SSLContext:
        """A context for the revision in force.  A store of authorities only grows, so a change makes a new one."""
        authorities = self._cards.authorities
        if not authorities:
            raise ValueError("no smart card source is in force")
        if self._context is None or self._made_for != authorities:
            self._context, self._made_for = card_context(self._make_context(), authorities), authorities
        return self._context


def _watch(tls: Any, direction: str, version: object, _content: object, message: object, data: bytes) -> None:
    if direction == "read" and message == _CERTIFICATE_MESSAGE and isinstance(tls, _Watched):
        tls.certificate_message, tls.is_tls_1_3 = data, version == ssl.TLSVersion.TLSv1_3


def _words(error: BaseException) -> str:
    """Why a handshake failed, in words and without anything that the other side could choose."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return _WORDS.get(error.reason or "", (error.reason or "TLS failed").lower().replace("_", " "))
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "it took too long"
    return "the connection ended"


#: ``ssl._ssl.ENCODING_DER``.
_DER = 2
